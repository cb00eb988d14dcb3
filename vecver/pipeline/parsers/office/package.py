"""Reads the parts of a zipped office file within limits, finds them by content type, and replaces changed parts.

Decisions
1. A usual archive is spliced here with a few structs: `zipfile` reads the directory a second time and costs 100 us a
   part, of which a deck of 100 slides changes 100. An unusual one (longer, or with bytes before it) goes through
   `zipfile`.
2. Usual parts are inflated here: `ZipFile.open` costs 60 us a part, and a deck of 100 slides has 300.
3. A changed part is appended and the old one dropped from the directory, so that pictures are neither unpacked nor
   packed again, as they would be in a new archive.
"""

from __future__ import annotations

import html
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

LARGEST_PART: Final = 64_000_000  # unpacked bytes; larger parts are left to the library and its limits
_OVERRIDE: Final = re.compile(rb"<(?:\w++:)?Override\s([^<>]*+)>")
_PART_NAME: Final = re.compile(rb"""PartName=["']/([^"']*+)["']""")
_CONTENT_TYPE: Final = re.compile(rb"""ContentType=["']([^"']*+)["']""")
_RELATION: Final = re.compile(rb"<(?:\w++:)?Relationship\s([^<>]*+)>")
_LENGTHS: Final = struct.Struct("<HH")  # lengths of name and extra field, before a part's bytes
_DIRECTORY: Final = struct.Struct("<HHH")  # lengths of name, extra field and comment, in the directory
_OFFSET: Final = struct.Struct("<L")
_FACTS: Final = struct.Struct("<5H3L2H")  # version, flags, method, time, date, CRC, sizes, lengths
_REST: Final = struct.Struct("<HHHLL")
_END: Final = struct.Struct("<4s4H2LH")
_MOST_BYTES: Final = 1 << 31
_MOST_PARTS: Final = 65_000
_ATTRIBUTE: Final = re.compile(rb"""([\w:]++)\s*+=\s*+(?:"([^"<>]*+)"|'([^'<>]*+)')""")
_TAG: Final = re.compile(rb"<[^<>]*+>")


class Package:
    """A zip file in memory. Raises zipfile.BadZipFile (it is no zip file)."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._zip = zipfile.ZipFile(io.BytesIO(data))
        self.names = self._zip.namelist()

    def read(self, name: str) -> bytes:
        """The part's bytes, unpacked; b"" if it is missing, broken or larger than `LARGEST_PART`."""
        try:
            info = self._zip.getinfo(name)
            if info.file_size > LARGEST_PART:
                return b""
            content = self._inflated(info)
            if content is None:
                with self._zip.open(info) as stream:
                    content = stream.read(LARGEST_PART + 1)
        except (KeyError, OSError, RuntimeError, NotImplementedError, ValueError, zipfile.BadZipFile):
            return b""
        return content if len(content) <= LARGEST_PART else b""

    def _inflated(self, info: zipfile.ZipInfo) -> bytes | None:
        """The part's bytes if it is stored as usual; None leaves it to `zipfile`, which reports what is wrong."""
        at = info.header_offset
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 0x21:
            return None
        if self.data[at : at + 4] != b"PK\x03\x04":
            return None
        start = at + 30 + sum(_LENGTHS.unpack_from(self.data, at + 26))
        raw = self.data[start : start + info.compress_size]
        try:
            content = zlib.decompressobj(-15).decompress(raw, LARGEST_PART + 1) if info.compress_type else raw
        except zlib.error:
            return None
        return content if len(content) == info.file_size and zlib.crc32(content) == info.CRC else None

    def kinds(self) -> dict[str, str]:
        """Part name -> the last word of its content type: "document.main", "footnotes", "chart" ..."""
        kinds_by_name = {}
        for attributes in _OVERRIDE.findall(self.read("[Content_Types].xml")):
            name, kind = _PART_NAME.search(attributes), _CONTENT_TYPE.search(attributes)
            if name and kind:
                word = kind[1].decode("utf-8", "replace").removesuffix("+xml").rpartition("/")[2]
                kinds_by_name[name[1].decode("utf-8", "replace")] = re.split(r"ml\.|ms-\w+\.", word)[-1]
        return kinds_by_name

    def relations(self, part: str) -> dict[str, tuple[str, str]]:
        """The part's relations: id -> (last word of the type, name of the target part)."""
        folder, _, leaf = part.rpartition("/")
        targets = {}
        for tag in _RELATION.findall(self.read(f"{folder}/_rels/{leaf}.rels".lstrip("/"))):
            values = attributes_of(tag)
            if values.get("TargetMode") != "External":
                target = _joined(folder, values.get("Target", ""))
                targets[values.get("Id", "")] = values.get("Type", "").rpartition("/")[2], target
        return targets

    def replaced(self, parts: Mapping[str, bytes]) -> bytes:
        """The archive with the content of these parts replaced."""
        if not parts:
            return self.data
        return self._spliced(parts) or self._rewritten(parts)

    def _spliced(self, parts: Mapping[str, bytes]) -> bytes | None:
        """The archive with the new parts and a new directory in place of its directory; None for an unusual archive."""
        entries, records, at = self._zip.infolist(), [], self._zip.start_dir
        for info in entries:
            size = 46 + sum(_DIRECTORY.unpack_from(self.data, at + 28)) if at + 46 <= len(self.data) else 0
            if not size or _OFFSET.unpack_from(self.data, at + 42)[0] != info.header_offset:
                return None
            records.append(self.data[at : at + size])
            at += size
        out = [self.data[: self._zip.start_dir]]
        kept = [record for info, record in zip(entries, records, strict=True) if info.filename not in parts]
        length = len(out[0])
        for name, content in parts.items():
            raw_name = name.encode()
            if length + len(content) >= _MOST_BYTES or len(kept) >= _MOST_PARTS or len(raw_name) >= _MOST_PARTS:
                return None
            facts = _FACTS.pack(
                20, 0x800, 0, 0, 0x21, zlib.crc32(content), len(content), len(content), len(raw_name), 0
            )
            kept.append(b"PK\x01\x02\x14\0" + facts + _REST.pack(0, 0, 0, 0, length) + raw_name)
            out += [b"PK\x03\x04" + facts, raw_name, content]
            length += 30 + len(raw_name) + len(content)
        directory = b"".join(kept)
        end = _END.pack(b"PK\x05\x06", 0, 0, len(kept), len(kept), len(directory), length, 0)
        return b"".join([*out, directory, end])

    def _rewritten(self, parts: Mapping[str, bytes]) -> bytes:
        buffer = io.BytesIO(self.data)
        buffer.seek(0)
        with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
            archive.filelist[:] = [info for info in archive.filelist if info.filename not in parts]
            for name, content in parts.items():
                archive.NameToInfo.pop(name, None)
                archive.writestr(name, content)
        return buffer.getvalue()


def attributes_of(tag: bytes) -> dict[str, str]:
    return {
        name.decode(): html.unescape((double or single).decode("utf-8", "replace"))
        for name, double, single in _ATTRIBUTE.findall(tag)
    }


def paragraphs(xml: bytes, texts: bytes = b"a:t", end: bytes = b"a:p") -> list[str]:
    """The text of each paragraph: the `texts` elements up to each end tag `end`; empty ones left out."""
    pattern = re.compile(b"<(?:%s)(?:\\s[^<>]*+)?+>([^<]*+)|</(?:%s)>" % (texts, end))
    texts_found, run = [], []
    for match in pattern.finditer(xml):
        if match[1] is not None:
            run.append(match[1])
        elif run:
            texts_found.append(b"".join(run))
            run = []
    return all_plain(texts_found + ([b"".join(run)] if run else []))


def plain(xml: bytes) -> str:
    """XML's character data as text, without tags."""
    text = (_TAG.sub(b"", xml) if b"<" in xml else xml).decode("utf-8", "replace")
    return html.unescape(text) if "&" in text else text


def all_plain(pieces: Sequence[bytes]) -> list[str]:
    """`plain` of each piece, at the cost of one."""
    texts = plain(b"\0".join(pieces)).split("\0") if pieces else []
    return texts if len(texts) == len(pieces) else [plain(piece) for piece in pieces]


def _joined(folder: str, target: str) -> str:
    """`target`, relative to `folder` unless it begins with a slash."""
    if target.startswith("/"):
        return target[1:]
    steps = folder.split("/") if folder else []
    for step in target.split("/"):
        if step == "..":
            del steps[-1:]
        elif step != ".":
            steps.append(step)
    return "/".join(steps)
