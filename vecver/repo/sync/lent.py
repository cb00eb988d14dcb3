"""Opens a version whose rows are at a remote for what needs only some of its files. Nothing of it is kept here.

Decisions
1. A difference of two versions needs the rows of documents in the segments that they do not share: of a clone without
   rows that is the layouts and some `documents.arrow`, no text and no vector. Before, both versions came whole.
2. A file is fetched when it is first read, proved by the digest in its segment's manifest, and mapped from a file that
   is deleted at once, so that memory holds only what is read of it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from typing import Any, cast

from vecver.errors import NotFoundError
from vecver.repo import objects
from vecver.repo.maintain import gc
from vecver.repo.objects import load_commit
from vecver.repo.read.snapshot import Snapshot
from vecver.repo.refs import remotes
from vecver.repo.rows.layout import load_layout
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.segment_files import path_of
from vecver.repo.sync.exchange import check_same
from vecver.repo.sync.parallel import each
from vecver.repo.sync.service import open_remote
from vecver.repo.sync.transfer import check_roots
from vecver.repo.versions import Versions
from vecver.store import Store, writing
from vecver.store.mapping import map_file


def lent(here: Versions, id: str, key: str = "") -> Snapshot:
    """A version, of which each file is fetched when it is first read, unless it is here. `key`: for a service.

    Raises NotFoundError (no such remote, nothing there), ConflictError (another repository), IntegrityError,
    BackendError.
    """
    remote = gc.place_of_rows(here.store, id)
    if remote is None:
        return here.snapshot(id)
    there = open_remote(remotes.url_of(here.store, remote), key)
    check_same(here, there)
    both = cast(Store, _Both(here.store, there))
    commit, layout = load_commit(both, id), load_layout(both, id)
    check_roots(commit, layout)
    segments = each(lambda live: _LentSegment(both, live.segment), layout.segments)
    return Snapshot(commit, layout, segments, present_name=lambda: here.name_of(commit.dataset))


class _Both:
    """What `lent` reads of a store: an object that is not here is read from the remote."""

    def __init__(self, here: Store, there: Store) -> None:
        self._here, self._there = here, there
        self.url = there.url

    def get(self, name: str, *, fixed: bool = False) -> bytes:
        try:
            return self._here.get(name, fixed=fixed)
        except NotFoundError:
            return self._there.get(name, fixed=fixed)

    def map(self, name: str, *, fixed: bool = False) -> memoryview:
        try:
            return self._here.map(name, fixed=fixed)
        except NotFoundError:
            return self._fetched(name)

    def _fetched(self, name: str) -> memoryview:
        folder = self._here.scratch()
        try:
            with writing(name, folder), open(folder / "part", "xb") as file:
                for piece in self._there.stream(name):
                    file.write(piece)
            return map_file(folder / "part")
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class _LentSegment(Segment):
    """A segment whose files are mapped, and proved, when they are first read."""

    def _map_files(self) -> dict[str, memoryview]:
        return _Lazily(self._map)

    def _map(self, file: str) -> memoryview:
        buffer = super()._map(file)
        if hashlib.sha256(buffer).hexdigest() != self.manifest["files"][file]["sha256"]:
            raise objects.mismatch(path_of(self.id, file))
        return buffer


class _Lazily(dict[str, Any]):
    def __init__(self, make: Callable[[str], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: str) -> Any:
        self[name] = self._make(name)
        return self[name]
