"""Lists and reads a source in a bucket: what lies below a prefix, what matches a glob there, or one object.

    s3://BUCKET/PREFIX · gs://BUCKET/PREFIX · az://CONTAINER/PREFIX

A document has the id, the metadata and the ignore files that it would have in a folder with the same files. An object
is listed with its ETag; who asks decides which objects are fetched. Credentials come from where those of a repository
in a bucket come from (`store.clouds`).

Decisions
1. The bucket is listed once. Names, sizes and ETags go to a temporary file, since ignore files must be known before the
   first document, and a million names would take 0.3 GB. In memory are the names of folders, and the ignore files.
2. Consoles of clouds make an empty object `deep/` for a folder, which obstore lists as `deep`. Empty objects are looked
   at once more: what is no object under that name is no document.
3. Up to AT_ONCE objects are fetched at once, and at most IN_FLIGHT bytes wait for the parser.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Final
from urllib.parse import unquote

from vecver.digest import digest, key
from vecver.errors import BackendError, InvalidInputError, NotFoundError
from vecver.model import Failure, Original, Unread
from vecver.pipeline.sources.globs import after_name, past_stars
from vecver.pipeline.sources.ids import check_id, shown
from vecver.pipeline.sources.ignore_rules import IGNORE_FILES, Rule, is_ignored, rules_of
from vecver.pipeline.sources.records import is_records, may_hold_records
from vecver.store import BUCKETS, Entry, SourceBucket, Tag, Unlisted, UnreadableName
from vecver.version import __version__

AT_ONCE: Final = 16
IN_FLIGHT: Final = 64_000_000  # bytes; one larger object goes alone
LARGEST: Final = 375_000_000  # bytes of a document; the parsers take no more, see `workers.pool`
_CACHED_FOLDERS: Final = 4096
_GONE: Final = (
    "It was deleted while the source was read; the next ingest sees that. Or its key ends in /, and obstore reads none."
)
_CHECK: Final = "Check the rights to this object, and that it is neither archived nor encrypted with a key of its own."
_WILD: Final = re.compile(r"[*?\[]")
_URL: Final = re.compile(rf"({'|'.join(BUCKETS)})://", re.IGNORECASE)
_ELSEWHERE: Final = {"gcs": "gs", "s3a": "s3", "s3n": "s3", "abfs": "az", "abfss": "az", "azure": "az", "wasbs": "az"}


def is_bucket(source: object) -> bool:
    """Whether this is the address of something in a bucket."""
    return isinstance(source, str) and _URL.match(source) is not None


def as_source(source: object) -> object:
    """A source as it is read: an address of a bucket becomes a `BucketSource`. Asks the bucket nothing.

    Raises InvalidInputError (an address that holds credentials, names no bucket or is of another kind; settings),
    BackendError (obstore is not installed).
    """
    if not isinstance(source, str):
        return source
    if is_bucket(source):
        return BucketSource(source)
    scheme, separator, _ = source.partition("://")
    if separator and re.fullmatch("[a-z][a-z0-9+.-]*", scheme, re.IGNORECASE) and not Path(source).exists():
        meant = _ELSEWHERE.get(scheme.lower())
        raise InvalidInputError(
            f"no source is read from {scheme}://",  # the rest may hold a password
            code="invalid_source",
            hint=f"write {meant}://" if meant else "a source is a folder, a glob, a file, or s3://, gs://, az://",
        )
    return source


class BucketSource:
    """A source in a bucket. Methods raise BackendError (no such bucket, no rights, no answer)."""

    def __init__(self, url: str) -> None:
        """Asks nothing yet. Raises InvalidInputError, BackendError (obstore is not installed)."""
        self.scheme, self.bucket, path = _address(url)
        self.is_folder = path.endswith("/") or not path
        parts = [part for part in path.split("/") if part]
        wild = next((i for i, part in enumerate(parts) if _WILD.search(part)), len(parts))
        self.prefix = "/".join(parts[:wild])  # without a slash at its end
        self.pattern = parts[wild:]  # of a glob below the prefix
        self._objects = SourceBucket(self.scheme, self.bucket)
        self._listings: dict[str, _Listing] = {}

    def __str__(self) -> str:
        return self.url_of("/".join([*([self.prefix] if self.prefix else []), *self.pattern]))

    @property
    def url(self) -> str:
        """The address, without the wildcards of a glob."""
        return self.url_of(self.prefix)

    @property
    def name(self) -> str:
        """The last part of the prefix, else the bucket."""
        return self.prefix.rpartition("/")[2] or self.bucket

    @property
    def folder(self) -> str:
        """The folder in the bucket that paths are below, with its slash; "" for the bucket itself."""
        folder = self.prefix.rpartition("/")[0] if self.is_object else self.prefix
        return f"{folder}/" if folder else ""

    @property
    def place(self) -> str:
        """What tells this source from every other, 32 hex characters."""
        return self._place(self.prefix)

    @property
    def facts(self) -> str:
        """Where what is known of the bytes of this bucket's objects is kept, 32 hex characters."""
        return key(b"bucket", self._root).hex()

    def fact_name(self, name: str, e_tag: str) -> bytes:
        """The name of what this vecver knows of an object with its ETag, 16 bytes."""
        return key(self._root, name.encode(), e_tag.strip('"').encode(), __version__.encode())  # Azure lists no quotes

    def url_of(self, name: str) -> str:
        """The address of an object or prefix of this bucket."""
        return f"{self.scheme}://{self.bucket}" + (f"/{name.replace('%', '%25')}" if name else "")

    def above(self) -> Iterator[tuple[str, str, str]]:
        """(place, address, path below it such as "deep/key.md") for each prefix above this one, the nearest first."""
        parts = self.prefix.split("/") if self.prefix else []
        for count in range(len(parts) - 1, -1, -1):
            above = "/".join(parts[:count])
            yield self._place(above), self.url_of(above) + "/", "/".join(parts[count:])

    @cached_property
    def exists(self) -> bool:
        """Whether there is this object, or one below the prefix; a bucket always exists until it is read."""
        return not self.prefix or bool(self.pattern) or self.is_object or self._has_any

    @cached_property
    def is_object(self) -> bool:
        """Whether the address names one object; one that ends in "/" or is a glob names a prefix.

        So does an empty object with others below it: it stands for a folder. Who may list a prefix alone is refused
        its name, as S3 tells nobody else what is not there.
        """
        if self.is_folder or self.pattern:
            return False
        try:
            entry = self._objects.entry(self.prefix)
        except BackendError as error:
            if error.retryable or not self._has_any:
                raise
            return False
        return entry is not None and (entry.size > 0 or not self._has_any)

    @cached_property
    def _has_any(self) -> bool:
        try:
            return next(iter(self._objects.entries(self.prefix)), None) is not None
        except UnreadableName:
            return True

    # -- what it holds --------------------------------------------------------------------------

    def is_parsed(self, records: bool | None) -> bool:
        """Whether it holds files to be parsed."""
        if records or (records is None and may_hold_records(self.prefix) and not self.pattern):
            return not self.is_object
        return True

    def holds_records(self, records: bool | None) -> bool:
        """Whether it is one object of records: by its suffix, and for CSV by its header, which is fetched."""
        if not self.is_object or records is False:
            return False
        return bool(records) or (may_hold_records(self.prefix) and is_records(str(self.file)))

    @cached_property
    def file(self) -> Path:
        """The one object as a file of this machine, which lives as long as this source."""
        self._scratch = tempfile.TemporaryDirectory(prefix="vecver-")
        path = Path(self._scratch.name, "object" + Path(self.prefix).suffix)
        self._objects.fetch(self.prefix, path)
        return path

    def unread(self, label: str, prefix: str, within: str = "", under: str = "") -> Iterator[Unread | Failure]:
        """The documents, none of them read. The arguments are those of `files.read`.

        Raises NotFoundError (source_not_found), InvalidInputError (unreadable: the source as a whole).
        """
        if not self.exists:
            raise NotFoundError(
                f"there is no object {shown(str(self))!r}, and none below it",
                code="source_not_found",
                hint="check the address, and the settings of its service, such as AWS_ENDPOINT_URL",
            )
        if self.is_object:
            if entry := self._objects.entry(self.prefix):
                found = _Listed(entry.name, entry.size, entry.tag.e_tag or "", self.name)
                yield self._document(found, prefix + under, label, len(prefix))
            return
        lead = prefix + under
        for item in self._listing(within).items(lead):
            yield item if isinstance(item, Failure) else self._document(item, lead, label, len(prefix))

    def count(self, within: str = "") -> int:
        """How many documents there are. Lists them all."""
        return sum(isinstance(item, Unread) for item in self.unread("", "", within)) if self.exists else 0

    def _listing(self, within: str) -> _Listing:
        if within not in self._listings:
            parts = within.split("/") if within else self.pattern or ["**"]
            self._listings[within] = _Listing(self._objects, self.prefix, parts)
        return self._listings[within]

    def fetched(self, items: Iterable[Unread | Failure]) -> Iterator[Original | Failure]:
        """The documents with their bytes, in the order given, many fetched at once; failures pass through.

        An object that was deleted, is refused or changes while it is read is a Failure.
        """
        waiting = deque[tuple[Unread, Future[Original | Failure]] | Failure]()
        size = 0

        def pop() -> Iterator[Original | Failure]:
            nonlocal size
            item = waiting.popleft()
            if isinstance(item, Failure):
                yield item
                return
            size -= item[0].size
            yield item[1].result()

        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="vecver-source")
        try:
            for item in items:
                weight = 0 if isinstance(item, Failure) else item.size
                while waiting and (len(waiting) >= 2 * AT_ONCE or size + weight > IN_FLIGHT):
                    yield from pop()
                size += weight
                waiting.append(item if isinstance(item, Failure) else (item, pool.submit(self._fetch, item)))
            while waiting:
                yield from pop()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _fetch(self, unread: Unread) -> Original | Failure:
        """A document with its bytes, or why they cannot be had."""
        name = unread.document
        if not unread.size:
            return self._original(unread, b"", {})
        if unread.size > LARGEST:
            return Failure(name, "too_large", f"It has {unread.size:,} bytes: split it.")
        try:
            data, tag = self._objects.read(unread.key, unread.size)
        except NotFoundError:
            return Failure(name, "unreadable", _GONE)
        except BackendError as error:
            if error.code == "object_changed":
                return Failure(name, "unreadable", "It was replaced each time while it was read. Ingest it again.")
            if error.retryable or error.code not in ("store_refused", "store_failed"):
                raise
            return Failure(name, "unreadable", f"It cannot be read: {error.message}. {_CHECK}")
        return self._original(unread, data, {"e_tag": tag.e_tag, "version": tag.version})

    def _original(self, unread: Unread, data: bytes, tags: Mapping[str, str | None]) -> Original:
        known = {name: value for name, value in tags.items() if value}
        origin = {"bucket": self.url_of(""), "key": unread.key, **known}
        return Original(
            unread.document, unread.source, digest(data), data=data, metadata=unread.metadata, origin=origin
        )

    def _document(self, listed: _Listed, lead: str, label: str, cut: int) -> Unread | Failure:
        """`lead` stands before the path; `cut`: length of the part of it that is not in the metadata."""
        document = lead + listed.path
        if reason := check_id(document):
            return Failure(shown(document), "invalid_id", f"The object cannot be named so: {reason}. Rename it.")
        path = document[cut:]
        metadata = {"path": path, "folder": path.rpartition("/")[0]}
        e_tag = "" if listed.e_tag.startswith("W/") else listed.e_tag
        return Unread(document, label, metadata, listed.key, listed.size, e_tag)

    @property
    def _root(self) -> bytes:
        return f"{self.scheme}://{self.bucket} {self._objects.endpoint}".encode()

    def _place(self, prefix: str) -> str:
        return key(b"bucket", self._root, prefix.encode()).hex()


def _address(url: str) -> tuple[str, str, str]:
    """(scheme, bucket, path) of an address; %20 in a path is a space.

    Raises InvalidInputError, which quotes no credential.
    """
    scheme, _, rest = url.partition("://")
    bucket, _, path = rest.partition("/")
    scheme = scheme.lower()
    if "@" in bucket or ":" in bucket or re.search(r"\?[^/]*=", rest):
        raise InvalidInputError(
            f"an address of {scheme}:// holds a bucket and a path, no credentials and no options",
            code="credentials_in_url",
            hint="leave them out: credentials come from the environment, as for a repository in a bucket",
        )
    path = unquote(path)
    parts = path.split("/")
    middle = parts[1:-1] if not parts[0] else parts[:-1]
    if not bucket or re.search(r"[\s?*#\[]", bucket) or {".", ".."} & {*parts} or "" in middle[:-1] + middle[-1:]:
        raise InvalidInputError(
            f"{shown(url)!r} names no bucket and path",
            code="invalid_url",
            hint=f"write {scheme}://BUCKET, {scheme}://BUCKET/PREFIX or {scheme}://BUCKET/PREFIX/**/*.md",
        )
    return scheme, bucket, path


# -- listing ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Listed:
    """An object that is a document."""

    key: str
    size: int
    e_tag: str
    path: str  # below the source


@dataclass(frozen=True)
class _Folder:
    """A folder whose entries may be documents."""

    rules: tuple[Rule, ...]  # the last match decides
    wanted: frozenset[int]  # indices of the glob's parts that its entries may match


class _Listing:
    """What lies below a prefix and matches the parts of a glob: documents, and folders that cannot be listed."""

    def __init__(self, objects: SourceBucket, root: str, parts: list[str]) -> None:
        self._objects = objects
        self._root = f"{root}/" if root else ""
        self._parts = parts
        fixed = next((i for i, part in enumerate(parts) if _WILD.search(part)), len(parts) - 1)
        self._fixed = parts[:fixed]  # folders that lead to everything that may match
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (a line of JSON an object; lives as long as this)
        self._ignore_files: set[str] = set()  # paths below the root, as all that follow
        self._repositories: set[str] = set()  # folders that are a repository of vecver

    def items(self, lead: str) -> Iterator[_Listed | Failure]:
        """The documents and failures; `lead` stands before each path in what ignore files match."""
        for folder in self._unlisted:
            yield self._failure(folder, lead)
        folders: dict[str, _Folder | None] = {}
        for key_, size, e_tag in self._lines():
            path = key_[len(self._root) :]
            if self._is_document(path, lead, folders):
                yield _Listed(key_, size, e_tag, path)

    # -- the pass over the bucket ---------------------------------------------------------------

    @cached_property
    def _unlisted(self) -> list[Unlisted]:
        """The folders that cannot be listed. All other objects were written to the file."""
        for name in IGNORE_FILES:  # of the folders above a part of the source
            self._ignore_files.update("/".join([*self._fixed[:count], name]) for count in range(len(self._fixed)))
        prefix = (self._root + "/".join(self._fixed)).strip("/")
        try:
            return self._note(self._objects.entries(prefix))
        except UnreadableName as error:
            self._file.seek(0)
            self._file.truncate()
            return self._note(self._objects.entries_by_folder(prefix, error.name))

    def _note(self, entries: Iterable[Entry | Unlisted]) -> list[Unlisted]:
        unlisted, empty, folders, last = list[Unlisted](), set[str](), set[str](), None
        for entry in entries:
            if isinstance(entry, Unlisted):
                unlisted.append(entry)
                continue
            folder, _, name = entry.name[len(self._root) :].rpartition("/")
            if folder != last:
                last = folder
                folders.update(_with_above(folder))
            if name in IGNORE_FILES:
                self._ignore_files.add(f"{folder}/{name}".lstrip("/"))
            elif name == "vecver.json" and folder:
                self._repositories.add(folder)
            elif not entry.size:
                empty.add(entry.name)
            else:
                self._write(entry)
        self._add_empty({name for name in empty if name[len(self._root) :] not in folders})
        return unlisted

    def _add_empty(self, empty: set[str]) -> None:
        """Write those of the empty objects that are objects of their own."""
        if empty:
            empty -= {line[0] for line in self._lines() if line[0] in empty}
        self._file.seek(0, os.SEEK_END)
        for name in sorted(empty):
            if entry := self._empty_entry(name):
                self._write(entry)

    def _empty_entry(self, name: str) -> Entry | None:
        """An empty object; None if there is none under exactly this name. One that is refused may be there."""
        try:
            return self._objects.entry(name)
        except BackendError as error:
            if error.code != "store_refused":
                raise
            return Entry(name, 0, Tag(None, None))

    def _write(self, entry: Entry) -> None:
        line = json.dumps([entry.name, entry.size, entry.tag.e_tag or ""])
        self._file.write(line.encode("ascii") + b"\n")

    def _lines(self) -> Iterator[tuple[str, int, str]]:
        """(key, bytes, ETag) of each object in the file; several may read it by turns."""
        at = 0
        while True:
            self._file.seek(at)
            lines = self._file.readlines(1 << 16)
            at = self._file.tell()
            if not lines:
                return
            yield from (tuple(json.loads(line)) for line in lines)

    # -- ignore files and globs -----------------------------------------------------------------

    @cached_property
    def _texts(self) -> dict[str, str]:
        """The texts of the ignore files, by their paths. One that cannot be read holds no rules, as in a folder."""
        paths = sorted(self._ignore_files)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(paths, pool.map(self._text, paths), strict=True))

    def _text(self, path: str) -> str:
        try:
            return self._objects.read(self._root + path, 0)[0].decode("utf-8-sig", "surrogateescape")
        except NotFoundError:
            return ""
        except BackendError as error:
            if error.code != "store_refused":
                raise
            return ""

    def _is_document(self, path: str, lead: str, folders: dict[str, _Folder | None]) -> bool:
        above, _, name = path.rpartition("/")
        folder = self._folder(above, lead, folders)
        if folder is None or name.startswith(".") or is_ignored(folder.rules, lead + path, False):
            return False
        return len(self._parts) in past_stars(self._parts, after_name(self._parts, folder.wanted, name))

    def _folder(self, path: str, lead: str, folders: dict[str, _Folder | None]) -> _Folder | None:
        """A folder; None if nothing in it is a document. `folders`: those that were met lately."""
        if path not in folders:
            if len(folders) >= _CACHED_FOLDERS:
                folders.clear()
            for one in _with_above(path):
                if one not in folders:
                    folders[one] = self._entered(one, lead, folders)
        return folders[path]

    def _entered(self, path: str, lead: str, folders: dict[str, _Folder | None]) -> _Folder | None:
        """A folder, of which the one above it was met."""
        if not path:
            return _Folder(self._rules_in("", lead), past_stars(self._parts, {0}))
        above, _, name = path.rpartition("/")
        parent = folders[above]
        if parent is None or name.startswith(".") or path in self._repositories:
            return None
        wanted = past_stars(self._parts, after_name(self._parts, parent.wanted, name))
        if is_ignored(parent.rules, lead + path, True) or not wanted - {len(self._parts)}:
            return None
        return _Folder(parent.rules + self._rules_in(path, lead), wanted)

    def _rules_in(self, folder: str, lead: str) -> tuple[Rule, ...]:
        """The rules of the ignore files in a folder."""
        start = f"{folder}/" if folder else ""
        found = (self._texts.get(start + name, "") for name in IGNORE_FILES)
        return tuple(rule for text in found if text for rule in rules_of(text, len(lead + start)))

    def _failure(self, unlisted: Unlisted, lead: str) -> Failure:
        """Raises InvalidInputError if the source as a whole cannot be listed."""
        reason = f"obstore lists nothing beside the object {shown(unlisted.name)!r}, whose name it cannot hold."
        path = f"{unlisted.folder}/"[len(self._root) :] if unlisted.folder else ""
        if not path.strip("/"):
            raise InvalidInputError(
                reason, code="unreadable", hint="rename that object, or ingest the prefixes beside it one by one"
            )
        return Failure(shown(lead + path), "unreadable", f"{reason} Rename that object.", hides=True)


def _with_above(folder: str) -> list[str]:
    """A folder and those above it, down from the root ""."""
    parts = folder.split("/") if folder else []
    return ["", *("/".join(parts[: count + 1]) for count in range(len(parts)))]
