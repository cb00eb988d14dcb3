"""Sends versions from one store to another: finds what of them is not there, then writes it, children before parents.

    packing    the layouts of the versions, the segments that these name, and which of their files are missing
    sending    files of segments, then what announces them (segment.json, facts of indexes), then questions
    naming     claim all that the versions need; layouts, then commits, parents first, then measures; the caller's refs

Every object is verified against its digest before it is written. A transfer that is cut off leaves unnamed objects,
which gc keeps for its grace age; the next one finds them and sends the rest.

Decisions
1. What travels with a version: its commit, its layout, its segments with their indexes and postings (left out with
   `indexes=False`), what was measured of it, and the record that gc let its rows go. With a dataset: the logs of refs
   that are new there, and its question sets. Not: publications, parts and vectors of unfinished ingests, approvals and
   policies, which belong to a place.
2. A version that is there keeps its layout, which `optimize` may have changed on either side: the roots in its commit
   prove that the rows are the same. A new one brings the sender's layout with whole segments. So the first transfer
   after `optimize` on one side moves the rows once more.
3. Nothing is packed or compressed on the way: what lies on a store must be a repository that can be opened there.
   A store that compresses what it keeps does so itself.
4. A large file on its way to a folder goes on after a break where it stopped: what is there is hashed, and the digest
   of the whole decides. A small one, and one on its way to a bucket, begins again.
5. Only files of segments are written in parallel. A commit is written after its parents, so that one that is there
   implies them, whatever is cut.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from vecver.digest import canonical_json, digest
from vecver.errors import ConflictError, IntegrityError, NotFoundError, say
from vecver.model import Commit
from vecver.progress import Progress
from vecver.repo import measures, objects
from vecver.repo.maintain import gc, trash
from vecver.repo.rows import index_files
from vecver.repo.rows.layout import Layout, layout_path, parse_layout
from vecver.repo.rows.segment_files import FILES, path_of, unit_of
from vecver.repo.sync.parallel import each, present
from vecver.store import LocalStore, Store
from vecver.store.api import PIECE_BYTES, writing

LARGE_BYTES = 8 << 20  # of a file that goes on where an earlier transfer stopped; a smaller one begins again
_FEW = 50  # versions whose measures are listed one by one


@dataclass(frozen=True)
class File:
    """A file beside a segment to send."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Version:
    """A version to send. `layout`: as it is stored; None where no rows come along.

    `forgotten`: the record that gc let its rows go at the source.
    """

    commit: Commit
    layout: bytes | None
    forgotten: bytes | None
    segments: tuple[str, ...]


@dataclass
class Sent:
    """What was written so far."""

    objects: int = 0
    bytes: int = 0
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def add(self, size: int, objects: int = 1) -> None:
        with self._lock:
            self.objects += objects
            self.bytes += size


class Transfer:
    """Versions on their way from `source` to `target`; `sent` counts what was written.

    `rows_of`: only these bring their rows; of the others it is recorded that they are at the remote `elsewhere`.
    """

    def __init__(
        self,
        source: Store,
        target: Store,
        *,
        indexes: bool = True,
        rows_of: Collection[str] | None = None,
        elsewhere: str = "",
        restore: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self.source = source
        self.target = target
        self.sent = Sent()
        self._indexes = indexes
        self._rows_of = rows_of
        self._elsewhere = elsewhere
        self._restore = restore
        self._progress = progress
        self.named = set[str]()  # versions that the caller named: `restore` brings them back whatever gc let go
        self.let_go = set[str]()  # versions that `restore` did not bring back, since gc at the target let them go
        self._total = 0  # bytes of the files that are sent
        self._versions: list[Version] = []
        self._units = set[str]()  # that the versions need, there or sent

    # -- packing and sending --------------------------------------------------------------------

    def send_rows(self, commits: Iterable[Commit], begin: Callable[[], None] = lambda: None) -> None:
        """Write the segments of these versions that are not there; parents come first in `commits`.

        `begin` is called when all versions were read, before anything is written.
        Raises IntegrityError (an object is lost or damaged at the source), ConflictError (it was laid anew meanwhile),
        BackendError, NotFoundError.
        """
        commits, self._units = list(commits), set()
        there = present(self.target, [objects.path_of(commit.id) for commit in commits], "commits")
        versions = self._read_versions(commits)
        begin()
        whole = {version.commit.id for version in versions if self._is_whole(version, there)}
        self._versions = [version for version in versions if version.commit.id not in whole]
        segments = sorted({id for version in self._versions for id in version.segments})
        self._units |= {unit_of(id) for id in segments}
        try:
            self._send_segments(self._missing_segments(segments))
        except IntegrityError as error:
            if error.code == "object_lost" and self._are_relaid():
                raise _relaid(self.source) from error
            raise

    def _are_relaid(self) -> bool:
        """Did `optimize` lay versions anew at the source since their layouts were read? A service gives no old ones."""
        read = [version for version in self._versions if version.layout is not None]
        now = self.source.get_all([layout_path(version.commit.id) for version in read])
        return any(version.layout != layout for version, layout in zip(read, now, strict=True))

    def _brings_rows(self, commit: Commit) -> bool:
        return self._rows_of is None or commit.id in self._rows_of

    def _read_versions(self, commits: Sequence[Commit]) -> list[Version]:
        """The versions as the source has them. Raises IntegrityError, ConflictError (the rows of one are not there)."""
        names = {commit.id: layout_path(commit.id) for commit in commits}
        bare = [commit.id for commit in commits if not self._brings_rows(commit)]
        is_there = dict(zip(bare, self.source.has_all([names[id] for id in bare]), strict=True))
        wanted = [commit.id for commit in commits if not is_there.get(commit.id)]
        layouts = dict(zip(wanted, self.source.get_all([names[id] for id in wanted]), strict=True))
        return each(partial(self._version, layouts), commits)

    def _version(self, layouts: Mapping[str, bytes | None], commit: Commit) -> Version:
        """A version as the source has it; `layouts` lacks those whose rows do not come along."""
        if commit.id not in layouts:
            return Version(commit, None, None, ())
        body = layouts[commit.id]
        if body is None:
            record = gc.forgotten_path(commit.id)
            if self.source.size(record) is None:
                raise lost(self.source, layout_path(commit.id), commit) from None
            if gc.place_of_rows(self.source, commit.id):
                raise _partial(self.source, commit) from None
            return Version(commit, None, self.source.get(record), ())
        layout = parse_layout(commit.id, body)
        check_roots(commit, layout)
        return Version(commit, body, None, tuple(live.segment for live in layout.segments))

    def _is_whole(self, version: Version, there: Collection[str]) -> bool:
        """Does the target have a version with all its rows? Then it keeps its own layout; its segments are claimed."""
        id = version.commit.id
        if objects.path_of(id) not in there:
            return False
        if self._restore and id not in self.named and self._was_let_go(id):
            self.let_go.add(id)
            return True
        if version.layout is None:
            return any(self.target.size(name) is not None for name in (gc.forgotten_path(id), layout_path(id)))
        with suppress(NotFoundError, IntegrityError):
            layout = parse_layout(id, self.target.get(layout_path(id)))
            ids = [live.segment for live in layout.segments]
            if not trash.lacking(self.target, [unit_of(segment) for segment in ids]):
                self._units |= {layout_path(id), objects.path_of(id), *map(unit_of, ids)}
                return True
        return False

    def _was_let_go(self, id: str) -> bool:
        """Did gc at the target let the rows of a version go, on purpose?"""
        if any(self.target.size(name) is None for name in (gc.forgotten_path(id), objects.path_of(id))):
            return False
        has_layout = self.target.size(layout_path(id)) is not None
        return not has_layout and gc.place_of_rows(self.target, id) is None

    def _missing_segments(self, segments: list[str]) -> list[str]:
        """Those of these segments that are not there. What announces a segment is written last and deleted first."""
        if self._restore:
            return [unit.partition("/")[2] for unit in trash.lacking(self.target, [unit_of(id) for id in segments])]
        names = {path_of(id, "segment.json"): id for id in segments}
        exists = self.target.has_all(names)
        return [id for id, is_there in zip(names.values(), exists, strict=True) if not is_there]

    def _send_segments(self, segments: list[str]) -> None:
        manifests = each(self._manifest, segments)
        files = [file for id, body in zip(segments, manifests, strict=True) for file in _files_of(id, body)]
        derived = [file for found in each(self._derived, segments if self._indexes else []) for file in found]
        files = self._missing_files(files)
        self._total = sum(file.bytes for file in [*files, *(each[0] for each in derived)])
        self._advance(0)
        with self._folder() as write:
            each(write, files)
            for id, body in zip(segments, manifests, strict=True):
                self._put(path_of(id, "segment.json"), body)
            for file, facts in derived:
                with suppress(IntegrityError):  # it is built again meanwhile, or damaged: it is derived
                    write(file)
                    for name, body in facts.items():
                        self._put(name, body)

    def _missing_files(self, files: list[File]) -> list[File]:
        """The files that an earlier transfer did not bring. What it left is proved, since anything may have cut it off.

        A store shows files only when they are whole, but a copy of a folder by other means does not.
        """
        there = each(self._is_there, files)
        return [file for file, is_there in zip(files, there, strict=True) if not is_there]

    def _is_there(self, file: File) -> bool:
        if self.target.size(file.name) != file.bytes:
            return False
        if self.source.folder is not None and self.target.holds(file.name, self.source.map(file.name)):
            return True  # not fetched: the store's own hash is that of the bytes here, which are proved where they lie
        hashed = hashlib.sha256()
        for piece in self.target.stream(file.name):
            hashed.update(piece)
        return hashed.hexdigest() == file.sha256

    def _manifest(self, segment: str) -> bytes:
        """segment.json as it is stored. Raises IntegrityError."""
        name = path_of(segment, "segment.json")
        body = self._get(name)
        if digest(body) != segment:
            raise objects.mismatch(name)
        return body

    def _derived(self, segment: str) -> list[tuple[File, dict[str, bytes]]]:
        """The derived files of a segment, each with the objects that announce it; damaged ones are left out."""
        found = []
        for spec in index_files.specs(self.source, segment):
            name = path_of(segment, spec)
            with suppress(NotFoundError, IntegrityError):
                body = self.source.get(name + ".json")
                facts = objects.parse_sealed(name + ".json", body)
                announcing = {name + ".json": body}
                measured = index_files.measured_path(segment, spec)
                if self.source.size(measured) is not None:
                    announcing[measured] = self.source.get(measured)
                found.append((File(name, facts["bytes"], facts["sha256"]), announcing))
        return found

    @contextmanager
    def _folder(self) -> Iterator[Callable[[File], None]]:
        """A call that sends a file by way of a private folder of the target, which is removed at the end."""
        folder, numbers = self.target.scratch(), count()
        try:
            yield lambda file: self._send_file(file, folder / f"{next(numbers)}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _send_file(self, file: File, place: Path) -> None:
        if file.bytes < LARGE_BYTES or not isinstance(self.target, LocalStore):
            self._collect(file, place)
            return
        with self.target.part(file.sha256) as part:
            self._collect(file, part or place)

    def _collect(self, file: File, place: Path) -> None:
        """Write a file of the source to one here, after what an earlier transfer left of it, and `put` that."""
        with writing(file.name, place):
            left = place.stat().st_size if place.exists() else 0
        found = self._reading(file.name, lambda name: self._copied(name, place))
        if left and found != (file.bytes, file.sha256):  # what was left is no beginning of it
            place.unlink()
            left, found = 0, self._reading(file.name, lambda name: self._copied(name, place))
        if found != (file.bytes, file.sha256):
            place.unlink()
            raise objects.mismatch(file.name)
        self.target.put(file.name, place)
        self.sent.add(file.bytes - left)

    def _copied(self, name: str, place: Path) -> tuple[int, str]:
        """Write the rest of a file of the source to a file here, and tell each piece; gives (bytes, sha256) of all."""
        hashed, size = hashlib.sha256(), 0
        with writing(name, place), open(place, "a+b") as file:
            file.seek(0)
            while piece := file.read(PIECE_BYTES):
                hashed.update(piece)
                size += len(piece)
            self._advance(size)
            for piece in self.source.stream(name, size):
                hashed.update(piece)
                file.write(piece)
                size += len(piece)
                self._advance(len(piece))
        return size, hashed.hexdigest()

    def _advance(self, count: int) -> None:
        if self._progress:
            self._progress("bytes", count, self._total)

    def _get(self, name: str) -> bytes:
        return self._reading(name, self.source.get)

    def _reading(self, name: str, read: Callable[[str], Any]) -> Any:
        try:
            return read(name)
        except NotFoundError as error:
            raise lost(self.source, name) from error

    def _put(self, name: str, body: bytes) -> None:
        self.target.put(name, body)
        self.sent.add(len(body))

    def send_object(self, name: str, id: str) -> None:
        """Write an object whose digest is `id`. Raises IntegrityError."""
        body = self._get(name)
        if digest(body) != id:
            raise objects.mismatch(name)
        self._put(name, body)

    # -- naming ---------------------------------------------------------------------------------

    def name_versions(self, heads: Iterable[str]) -> None:
        """Write layouts and commits of what was sent, and what was measured of it and of `heads`.

        To be called within `naming(target)`, before the refs move. Raises ConflictError if gc deletes some of it.
        """
        trash.hold(self.target, sorted(self._units))
        trash.claim(self.target, _written(self._versions))
        layouts = [(layout_path(one.commit.id), one.layout) for one in self._versions if one.layout is not None]
        each(lambda layout: self._put(*layout), layouts)
        for version in self._versions:
            if version.forgotten is not None:
                self._put(gc.forgotten_path(version.commit.id), version.forgotten)
            elif self._rows_of is not None:
                record = gc.note_elsewhere(self.target, version.commit.id, self._elsewhere, version.commit.time)
                self.sent.add(len(record))
            self._put_rolled_back_to(version.commit)
            self._put_commit(version.commit)
        self._send_measures({version.commit.id for version in self._versions}, set(heads))

    def _put_rolled_back_to(self, commit: Commit) -> None:
        """The record of the commit that a rollback went back to: nothing else may lead to it."""
        to = commit.operation.get("to")
        if isinstance(to, str) and self.target.size(objects.path_of(to)) is None:
            with suppress(NotFoundError):
                self._put_commit(objects.load_commit(self.source, to))

    def _put_commit(self, commit: Commit) -> None:
        """Write a commit as it is stored: a later vecver may have written more into it than this one reads."""
        name, body = objects.path_of(commit.id), canonical_json(commit.to_json())
        if digest(body) == commit.id:
            self._put(name, body)
        else:
            self.send_object(name, commit.id)

    def _send_measures(self, new: set[str], heads: set[str]) -> None:
        """What was measured of new versions, and what the target lacks of those that refs name. A damaged one stays."""
        names = self._measured(new | heads)
        absent = set(names) - present(self.target, names, "measures")
        for name, body in zip(sorted(absent), self.source.get_all(sorted(absent)), strict=True):
            if body is None:
                continue
            with suppress(IntegrityError):
                objects.parse_sealed(name, body)
                self._put(name, body)

    def _measured(self, commits: set[str]) -> list[str]:
        if len(commits) <= _FEW:
            listed = each(lambda id: list(self.source.list(measures.path_of(id, ""))), sorted(commits))
            return [name for found in listed for name in found]
        return [name for name in self.source.list("measures/") if name.split("/")[1] in commits]


def _written(versions: Iterable[Version]) -> set[str]:
    """The units that are written for versions, of which gc may be deleting what an earlier transfer left."""
    ids = [version.commit.id for version in versions]
    return {name(id) for id in ids for name in (objects.path_of, layout_path, gc.forgotten_path, measures.unit_of)}


def check_roots(commit: Commit, layout: Layout) -> None:
    """Raises IntegrityError unless a layout is that of its commit."""
    if (layout.roots.content_root, layout.roots.vector_root) != (commit.content_root, commit.vector_root):
        raise objects.misplaced(layout_path(commit.id))


def _files_of(segment: str, manifest: bytes) -> list[File]:
    files = json.loads(manifest)["files"]
    return [File(path_of(segment, name), files[name]["bytes"], files[name]["sha256"]) for name in FILES]


def _partial(store: Store, commit: Commit) -> ConflictError:
    return ConflictError(
        f"{store.url} does not have the rows of version {commit.id[:12]}: it is a clone without them",
        code="partial_clone",
        hint=say(
            "ask the repository that it was cloned from, or a whole clone of that",
            cli="ask the repository that it was cloned from: `vecver remote` names it",
        ),
        commit=commit.id,
    )


def _relaid(store: Store) -> ConflictError:
    return ConflictError(
        f"{store.url} laid the rows of its versions anew at this moment",
        code="layout_moved",
        hint="try again; what was sent stays sent",
        url=store.url,
    )


def lost(store: Store, name: str, commit: Commit | None = None) -> IntegrityError:
    """The error for an object that is gone from the store where it should be."""
    of = f", which version {commit.id[:12]} needs" if commit else ""
    return IntegrityError(
        f"{store.url} has lost {name}{of}",
        code="object_lost",
        hint=say(
            "a repository that has it can send it again: push(restore=True); other datasets can be named",
            cli="a repository that has it can send it again: `vecver push --restore`; other datasets can be named: "
            "`vecver fetch DATASET`",
        ),
        name=name,
    )
