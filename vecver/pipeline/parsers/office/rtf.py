"""Prepares RTF for anydoc, and lists its text, footnotes, comments, page headers and footers.

anydoc leaves out page headers, footers and comments, and keeps text that a tracked change deleted.

Decisions
1. Text that a tracked change deleted is removed, and hidden text is kept, as with Word's own files.
2. Groups that begin with `\\*` and an unknown word hold no text, as the format says. List numbers (`listtext`) are not
   words of the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from vecver.pipeline.parsers.restoring import View

_TOKEN: Final = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z'])|([{}])|([^\\{}\r\n]+)|[\r\n]+|\\", re.S
)
_TEXT, _NOTE, _COMMENT, _END, _NONE = "text", "note", "comment", "end", "none"
_SILENT: Final = (
    *("fonttbl", "colortbl", "stylesheet", "info", "filetbl", "revtbl", "bkmkstart", "bkmkend"),
    *("pict", "fldinst", "objdata", "objclass", "sn", "sv", "ud"),
    *("listtext", "pntext", "pnseclvl", "ftnsep", "ftnsepc", "ftncn", "aftnsep", "aftnsepc", "aftncn"),
    *("atnid", "atnauthor", "atrfstart", "atrfend"),
)
_PLACES: Final = {
    **dict.fromkeys(("footnote",), _NOTE),
    **dict.fromkeys(("annotation",), _COMMENT),
    **dict.fromkeys(("header", "headerl", "headerr", "headerf", "footer", "footerl", "footerr", "footerf"), _END),
    **dict.fromkeys(_SILENT, _NONE),
}
_ENTERED: Final = ("shpinst", "annotation", "do", "shppict")  # groups after \* that do hold text
_BREAKS: Final = frozenset(["par", "sect", "page", "column", "cell", "row", "nestcell", "nestrow"])
_SPACES: Final = frozenset(["tab", "line", "emspace", "enspace", "qmspace", "lbr", "softline"])
_SIGNS: Final = {
    "emdash": "\u2014", "endash": "\u2013", "bullet": "\u2022", "lquote": "\u2018", "rquote": "\u2019",
    "ldblquote": "\u201c", "rdblquote": "\u201d",
}  # fmt: skip
_SYMBOLS: Final = {b"~": "\xa0", b"_": "-", b"\\": "\\", b"{": "{", b"}": "}", b"\t": " ", b"\n": "\n", b"\r": "\n"}
_CODEPAGES: Final = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 134: "gbk", 136: "cp950", 161: "cp1253", 162: "cp1254",
    163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
}  # fmt: skip
_KNOWN: Final = frozenset([*_PLACES, *_BREAKS, *_SPACES, *_SIGNS, "uc", "deleted", "plain", "f", "fcharset", "ansicpg",
                           "mac", "bin"])  # fmt: skip
_DEEPEST: Final = 1_000  # groups inside one another


@dataclass(frozen=True)
class _Group:
    """The settings that hold until a group ends."""

    place: str = _TEXT
    encoding: str = ""  # "": the file's
    fallback: int = 1  # characters after a Unicode character that replace it for old readers
    deleted: bool = False


@dataclass
class _Scan:
    """The state of reading a file."""

    encoding: str = "cp1252"
    fonts: dict[int, str] = field(default_factory=dict)
    font: int = 0  # the font named last
    paragraphs: dict[str, list[str]] = field(default_factory=dict)  # by place
    run: dict[str, list[str]] = field(default_factory=dict)  # texts of the current paragraph, by place
    raw: bytearray = field(default_factory=bytearray)  # bytes of a code page that are not decoded yet
    deleted: list[tuple[int, int]] = field(default_factory=list)  # spans of deleted text in the file

    def add(self, group: _Group, text: str) -> None:
        self.flush(group)
        if group.place != _NONE and not group.deleted:
            self.run.setdefault(group.place, []).append(text)

    def flush(self, group: _Group) -> None:
        if self.raw:
            if group.place != _NONE and not group.deleted:
                text = bytes(self.raw).decode(group.encoding or self.encoding, "replace")
                self.run.setdefault(group.place, []).append(text)
            self.raw.clear()

    def end(self, place: str) -> None:
        text = "".join(self.run.pop(place, ())).strip()
        if text:
            self.paragraphs.setdefault(place, []).append(text)


def prepared(data: bytes) -> tuple[bytes, list[View]]:
    """The file without deleted text, and its texts to compare with."""
    scan = _Scan()
    _read(data, scan)
    ends = list(dict.fromkeys(scan.paragraphs.get(_END, ())))
    views = [
        View("", "Other text", scan.paragraphs.get(_TEXT, [])),
        View("the footnotes", "Notes", scan.paragraphs.get(_NOTE, [])),
        View("the comments", "Comments", scan.paragraphs.get(_COMMENT, []), apart=True),
        View("the page headers and footers", "Page headers and footers", ends, apart=True),
    ]
    return b"".join(_without(data, scan.deleted)), views


def _without(data: bytes, spans: list[tuple[int, int]]) -> Iterator[bytes]:
    at = 0
    for start, end in spans:
        yield data[at:start]
        at = end
    yield data[at:]


def _read(data: bytes, scan: _Scan) -> None:
    group, around = _Group(), list[_Group]()
    at = skipped = 0
    while token := _TOKEN.match(data, at):
        at = token.end()
        word, number, code, symbol, brace, text = token.groups()
        if brace:
            scan.flush(group)
            skipped = 0
            if brace == b"{" and len(around) < _DEEPEST:
                around.append(group)
            elif brace == b"}" and around:
                if group.place != around[-1].place:
                    scan.end(group.place)
                group = around.pop()
            continue
        if skipped and (text or code or symbol):
            dropped = min(skipped, len(text or b"x"))
            skipped -= dropped
            text, code, symbol = (text or b"")[dropped:], None, None
        if word:
            group, skipped, at = _controlled(scan, group, word.decode(), number, data, at)
        elif code or text:
            scan.raw += bytes.fromhex(code.decode()) if code else text
        elif symbol == b"*":
            group = _starred(data, at, group)
        elif symbol:
            scan.add(group, _SYMBOLS.get(symbol, ""))
        if group.deleted and (token[3] or token[6] or word == b"u"):
            scan.deleted.append((token.start(), token.end()))
    for place in (_TEXT, _NOTE, _COMMENT, _END):
        scan.flush(group)
        scan.end(place)


def _starred(data: bytes, at: int, group: _Group) -> _Group:
    following = _TOKEN.match(data, at)
    name = following[1].decode() if following and following[1] else ""
    return group if name in _ENTERED else replace(group, place=_NONE)


def _controlled(
    scan: _Scan, group: _Group, word: str, number: bytes | None, data: bytes, at: int
) -> tuple[_Group, int, int]:
    """The group after a control word, the number of characters to skip, and where to continue."""
    value = int(number) if number else 1
    if word == "u" and number:
        scan.add(group, chr(value % 65536))
        return group, group.fallback, at
    scan.flush(group)
    if word not in _KNOWN:
        return group, 0, at
    if word in _PLACES:
        place = _PLACES[word]
        kept = group.place == _NONE or (place == _NONE and word == "ud")
        group = replace(group, place=_NONE if kept else place)
    elif word in _BREAKS:
        scan.end(group.place)
    elif word in _SPACES or word in _SIGNS:
        scan.add(group, _SIGNS.get(word, " "))
    elif word == "uc":
        group = replace(group, fallback=min(max(value, 0), 10))
    elif word == "deleted":
        group = replace(group, deleted=number != b"0")
    elif word == "plain":
        group = replace(group, encoding="")
    elif word == "f" and number:
        group = replace(group, encoding=scan.fonts.get(value, ""))
        scan.fonts.setdefault(value, "")
        scan.font = value
    elif word == "fcharset" and scan.fonts:
        scan.fonts[scan.font] = _CODEPAGES.get(value, "") if number else ""
    elif word == "ansicpg":
        scan.encoding = _codepage(value)
    elif word == "mac":
        scan.encoding = "mac_roman"
    elif word == "bin" and number:
        at += min(max(value, 0), len(data) - at)
    return group, 0, at


def _codepage(number: int) -> str:
    import codecs

    try:
        return codecs.lookup(f"cp{number}").name
    except LookupError:
        return "cp1252"
