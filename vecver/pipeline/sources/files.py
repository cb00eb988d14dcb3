"""Lists and reads the files of a source: a folder, a glob, or a single file. It never looks inside a text.

A file's id is its path below the source folder, with forward slashes. Files are read in the bytewise order of their
ids, so that two machines read the same folder in the same order. Hidden files, and files that `.gitignore` or
`.vecverignore` exclude, are skipped. A file's path and folder are its first two metadata fields.

Decisions
1. Ignore files above the source folder count too, up to the folder that holds `.git`: most work trees keep their only
   ignore file at the top, while the source is `docs/`.
2. Symlinked folders are followed, at most four inside one another, and never into a folder that contains the link: ten
   folders that link to each other would make millions of paths.
3. Globs are walked here, because `glob.glob` follows circular links.
4. A folder that cannot be listed yields a `Failure` whose document ends in "/". A caller that removes missing
   documents must keep everything below it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sized
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

from vecver.digest import digest
from vecver.errors import InvalidInputError, NotFoundError, say
from vecver.model import Failure, Original, Records
from vecver.near import near
from vecver.pipeline.sources.bucket import BucketSource
from vecver.pipeline.sources.globs import after_name, past_stars
from vecver.pipeline.sources.ids import check_id, shown
from vecver.pipeline.sources.ignore_rules import Rule, is_ignored, rules_above, rules_in
from vecver.pipeline.sources.origin import SourceLike, label_of, split_glob
from vecver.pipeline.sources.records import file_rows, is_records, may_hold_records, read_file, read_values

__all__ = ["SourceLike", "how_many", "is_parsed", "label_of", "read"]

_MAX_LINKS: Final = 4  # symlinked folders inside one another


# -- the door -----------------------------------------------------------------------------------


def read(
    source: SourceLike,
    *,
    label: str | None = None,
    prefix: str = "",
    records: bool | None = None,
    within: str = "",
    under: str = "",
) -> Iterator[Original | Failure | Records]:
    """The documents of `source`, each an `Original` or the `Failure` to read it; many records at once as `Records`.

    `source` is a folder, a glob, a file, the same in a bucket, "-" (JSONL from standard input), an Arrow table or
    reader, or an iterable of dicts. `prefix` is put in front of every id. `records` says whether a file holds
    records; by default its suffix decides. A folder or glob without documents yields nothing. `within`: a
    glob below the folder `source`; only matching files are read, with the folder's ids and ignore files. `under`:
    the path of `source` within a larger source ("deep/"), which is put between the prefix and its paths.

    Raises
        NotFoundError: `source_not_found`.
        InvalidInputError: `invalid_source`, `invalid_prefix`, `invalid_label`; while reading also
            `unreadable` (the source as a whole) and, for records, `not_records`, `duplicate_document`.
    """
    name = label_of(source, label)
    if prefix and (reason := check_id(prefix + "x")):
        message = f"The prefix {shown(prefix)!r} cannot be used: {reason}."
        raise InvalidInputError(message, code="invalid_prefix", hint="Use something like 'handbook/'.")
    if isinstance(source, BucketSource):
        return _in_bucket(source, name, prefix, records, within, under)
    if not isinstance(source, str | os.PathLike) or source == "-":
        if records is False:
            raise _invalid_source(f"{name} is no file", say("leave out records=False", cli="leave out --no-records"))
        if isinstance(source, str):
            return read_file(source, label=name, prefix=prefix)
        return read_values(source, label=name, prefix=prefix)
    base, parts = split_glob(os.fspath(source))
    mode, lead = _mode(base), prefix + under
    if stat.S_ISDIR(mode):
        if records:
            raise _invalid_source(f"{name} is a folder, whose files are documents", "Give its files one by one.")
        entries = _walk(base, within.split("/") if within else parts or ["**"], lead)
        return (_file(entry, name, len(prefix)) if isinstance(entry, _Entry) else entry for entry in entries)
    if (stat.S_ISREG(mode) or not mode) and (is_records(base) if records is None else records):
        return read_file(base, label=name, prefix=lead)
    return iter([_file(_Entry(base, lead + PurePath(base).name, mode), name, len(prefix))])


def is_parsed(source: SourceLike, *, records: bool | None = None) -> bool:
    """Whether `read` yields files to be parsed, decided without opening any."""
    if isinstance(source, BucketSource):
        return source.is_parsed(records)
    if not isinstance(source, str | os.PathLike) or source == "-" or records:
        return False
    return records is False or not may_hold_records(os.fspath(source))


def how_many(source: SourceLike, *, records: bool | None = None, within: str = "") -> int | None:
    """How many documents `read` will yield, if that is known without reading them, otherwise None.

    Counts files below a folder, lines of JSONL (including empty ones), rows of Parquet files and tables.
    """
    if isinstance(source, BucketSource):
        return file_rows(str(source.file)) if source.holds_records(records) else source.count(within)
    if source == "-":
        return None
    if not isinstance(source, str | os.PathLike):
        return getattr(source, "num_rows", len(source) if isinstance(source, Sized) else None)
    base, parts = split_glob(os.fspath(source))
    if os.path.isdir(base):
        return sum(1 for _ in _walk(base, within.split("/") if within else parts or ["**"], ""))
    return file_rows(base) if (is_records(base) if records is None else records) else 1


def _in_bucket(
    source: BucketSource, label: str, prefix: str, records: bool | None, within: str, under: str
) -> Iterator[Original | Failure | Records]:
    if source.holds_records(records):
        return read_file(str(source.file), label=label, prefix=prefix + under)
    if records and source.exists:
        raise _invalid_source(f"{label} is a prefix, whose objects are documents", "Give its objects one by one.")
    return source.fetched(source.unread(label, prefix, within, under))


def _mode(path: str) -> int:
    """The path's stat mode; 0 for a broken or circular link. Raises NotFoundError."""
    if os.path.lexists(path):
        info = _stat(path)
        return info.st_mode if info else 0
    raise NotFoundError(
        f"there is no file or folder {shown(path)!r}",
        code="source_not_found",
        hint="check the path",
        did_you_mean=_paths_like(path),
    )


def _paths_like(path: str) -> list[str]:
    """Paths in the same folder with names similar to a missing one."""
    folder, name = os.path.split(path.rstrip("/"))
    try:
        beside = os.listdir(folder or ".")
    except OSError:
        return []
    return [shown(os.path.join(folder, sibling)) for sibling in near(name, beside)]


def _invalid_source(reason: str, hint: str) -> InvalidInputError:
    return InvalidInputError(f"the source cannot be read like this: {reason}", code="invalid_source", hint=hint)


# -- one file -----------------------------------------------------------------------------------


def _file(entry: _Entry, label: str, cut: int) -> Original | Failure:
    """Reads a regular file. Nothing else is ever opened, since reading a pipe would hang.

    `cut`: length of the prefix in its id, before its path below the source.
    """
    mode, document = entry.mode, entry.document
    if reason := check_id(document):
        return Failure(shown(document), "invalid_id", f"The file cannot be named so: {reason}. Rename it.")
    if mode and not stat.S_ISREG(mode):
        return Failure(document, "unsupported", "It is no regular file but a pipe, a socket or a device.")
    try:
        data = Path(entry.path).read_bytes()
    except OSError as error:
        return Failure(document, "unreadable", f"It cannot be read: {error.strerror}. Check it and its permissions.")
    path = document[cut:]
    metadata = {"path": path, "folder": path.rpartition("/")[0]}
    return Original(document, label, digest(data), data=data, metadata=metadata)


# -- folders ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    """A file to read."""

    path: str
    document: str
    mode: int  # 0 if stat failed; reading the file will raise the reason


@dataclass(frozen=True)
class _Folder:
    """A folder to list."""

    path: str
    document: str  # the start of its documents' ids: the prefix, then folder names, each with a slash
    rules: tuple[Rule, ...]  # the last match decides
    around: frozenset[tuple[int, int]]  # device and inode of this folder and each folder above it
    links: int  # how many of these are symlinks
    wanted: frozenset[int]  # indices of the glob's parts that its entries may match


def _walk(base: str, parts: list[str], prefix: str) -> Iterator[_Entry | Failure]:
    """Walks depth first with an explicit stack, since folders may be nested deeper than Python's recursion limit."""
    info = _stat(base)
    around = frozenset([_identity(info)] if info else [])
    stack: list[_Folder | _Entry | Failure]
    stack = [_Folder(base, prefix, rules_above(base, len(prefix)), around, 0, past_stars(parts, {0}))]
    while stack:
        item = stack.pop()
        if isinstance(item, _Folder):
            stack.extend(reversed(_entries_of(item, parts)))
        else:
            yield item


def _entries_of(folder: _Folder, parts: list[str]) -> list[_Folder | _Entry | Failure]:
    """The matching entries of a folder, sorted. Folder names end in a slash, so that full ids come out in order."""
    try:
        entries = [entry for entry in os.scandir(folder.path) if not entry.name.startswith(".")]
    except OSError as error:
        reason, hint = (
            f"The folder {shown(folder.path)!r} cannot be listed: {error.strerror}.",
            "Check its permissions.",
        )
        if len(folder.around) < 2:  # the source itself: nothing is known about any of its documents
            raise InvalidInputError(reason, code="unreadable", hint=hint) from error
        return [Failure(shown(folder.document), "unreadable", f"{reason} {hint}", hides=True)]
    rules = folder.rules + rules_in(folder.path, len(folder.document))
    seen = [_checked_entry(folder, rules, parts, entry) for entry in entries]
    return sorted((item for item in seen if item), key=lambda item: os.fsencode(item.document))


def _checked_entry(
    folder: _Folder, rules: tuple[Rule, ...], parts: list[str], entry: os.DirEntry[str]
) -> _Folder | _Entry | Failure | None:
    info = _stat(entry.path)
    is_folder = info is not None and stat.S_ISDIR(info.st_mode)
    document = folder.document + entry.name
    wanted = past_stars(parts, after_name(parts, folder.wanted, entry.name))
    if is_ignored(rules, document, is_folder) or not (wanted - {len(parts)} if is_folder else len(parts) in wanted):
        return None
    if is_folder and os.path.isfile(os.path.join(entry.path, "vecver.json")):
        return None  # a vecver repository inside its source
    if info is None or not is_folder:
        return _Entry(entry.path, document, info.st_mode if info else 0)
    links = folder.links + entry.is_symlink()
    if _identity(info) in folder.around:
        return Failure(shown(document), "symlink_loop", "The link leads back into a folder that it lies in.")
    if links > _MAX_LINKS:
        reason = f"More than {_MAX_LINKS} symlinked folders inside one another."
        return Failure(shown(document), "symlink_loop", reason, hides=True)
    return _Folder(entry.path, document + "/", rules, folder.around | {_identity(info)}, links, wanted)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:  # a broken or circular link, or a file removed meanwhile
        return None


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino
