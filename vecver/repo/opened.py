"""Opened versions: opens commits for reading and keeps them open within a budget of memory. Versions share segments."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from weakref import ReferenceType, WeakValueDictionary, ref

from vecver.errors import IntegrityError, NotFoundError, say
from vecver.repo import objects
from vecver.repo.objects import load_commit
from vecver.repo.refs import names
from vecver.repo.rows.segment_files import FILES, path_of

if TYPE_CHECKING:
    from vecver.model import Commit
    from vecver.repo.read.snapshot import Snapshot
    from vecver.repo.rows.layout import DocumentMasks, Layout
    from vecver.repo.rows.segment import Segment
    from vecver.repo.rows.verifier import Verifier
    from vecver.store import Store

T = TypeVar("T")
OPEN_BYTES = 1 << 30  # memory that opened versions may hold, beside mapped files
OPEN_VERSIONS = 256  # may stay open: each maps files, and a process may map some 65,000


def find_layout(store: Store, id: str) -> Layout:
    """Where a commit's rows lie. Raises NotFoundError (code version_forgotten where gc deleted them)."""
    from vecver.repo.rows.layout import load_layout

    return _unless_forgotten(load_layout, store, id)


def find_document_masks(store: Store, id: str) -> DocumentMasks:
    """The live documents of a commit. Raises as `find_layout`."""
    from vecver.repo.rows.layout import load_document_masks

    return _unless_forgotten(load_document_masks, store, id)


def _unless_forgotten(load: Callable[[Store, str], T], store: Store, id: str) -> T:
    try:
        return load(store, id)
    except NotFoundError:
        from vecver.repo.maintain import gc

        if store.size(gc.forgotten_path(id)) is None:
            raise
        if remote := gc.place_of_rows(store, id):
            raise _elsewhere(id, remote) from None
        time = gc.load_forgotten(store, id)["time"]
        raise NotFoundError(
            f"the rows of version {id[:12]} were let go by gc at {time[:19]}",
            code="version_forgotten",
            hint=say(
                "ask a version that is kept, or ingest its source again: docs.show(...).operation names it",
                cli="ask a version that is kept, or ingest its source again: `vecver show` names it",
                http="ask a version that is kept, or ingest its source again: its commit's operation names it",
            ),
            commit=id,
        ) from None


def _elsewhere(id: str, remote: str) -> NotFoundError:
    """The error for a version whose rows a clone did not bring."""
    return NotFoundError(
        f"the rows of version {id[:12]} are at the remote {remote!r}",
        code="rows_elsewhere",
        hint=say("search, diff and get bring them here", cli="`vecver search`, `diff` and `cat` bring them here"),
        commit=id,
        remote=remote,
    )


class OpenVersions:
    """The versions of a store that are open. `index_bytes`: memory of the search index opened for a segment."""

    def __init__(
        self, store: Store, verifier: Verifier, open_bytes: int, index_bytes: Callable[[Segment], int] | None = None
    ) -> None:
        self.open_bytes = open_bytes
        self.bring_rows: Callable[[str], None] | None = None  # brings the rows of a version that are at a remote
        self._store = store
        self._verifier = verifier
        self._index_bytes = index_bytes
        self._segments: WeakValueDictionary[str, Segment] = WeakValueDictionary()
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()  # used longest ago first
        self._lock = threading.Lock()

    def ids(self) -> list[str]:
        """The commits that are open, used longest ago first."""
        return list(self._snapshots)

    def peek(self, id: str) -> Snapshot | None:
        """A version if it is open; does not count as a use."""
        return self._snapshots.get(id)

    def open(self, id: str, *, bring: bool = True) -> Snapshot:
        """A commit opened for reading. `bring`: its rows, from the remote where they are.

        Small segments are verified before this returns, large ones in a thread. Raises NotFoundError (without `bring`
        also for rows at a remote: code rows_elsewhere), IntegrityError where something of the version is damaged.
        """
        with self._lock:
            snapshot = self._snapshots.pop(id, None)
            if snapshot is None:
                snapshot = self._load(id, bring=bring)
                self._close_unused()
            try:
                self._verifier.use(snapshot.segments)
            except IntegrityError:
                for segment in snapshot.segments:  # so that repaired files are opened anew
                    self._segments.pop(segment.id, None)
                raise
            self._snapshots[id] = snapshot
            return snapshot

    def segment(self, id: str) -> Segment:
        """A segment, verified as those of `open`. Raises NotFoundError, IntegrityError."""
        from vecver.repo.rows.segment import Segment

        with self._lock:
            segment = self._segments.get(id) or Segment(self._store, id)
            self._verifier.use([segment])
            self._segments[id] = segment
            return segment

    def open_newest_layout(self, id: str) -> Snapshot:
        """As `open`, with the rows where the stored layout places them now: the next version is written upon that."""
        snapshot = self.peek(id)
        if snapshot and snapshot.layout.segments != find_layout(self._store, id).segments:
            self.close([id])
        return self.open(id)

    @property
    def is_opening(self) -> bool:
        """True while a thread opens a version, which may hash gigabytes: every other `open` waits for it."""
        return self._lock.locked()

    def wait_verified(self, snapshot: Snapshot | None = None) -> None:
        """Wait until a version, or every open one, is verified to the last byte. Raises IntegrityError."""
        for each in [snapshot] if snapshot else list(self._snapshots.values()):
            self._verifier.wait(each.segments)

    def close(self, ids: Sequence[str]) -> None:
        """Let these versions be opened anew."""
        with self._lock:
            for id in ids:
                self._snapshots.pop(id, None)

    def close_all(self) -> None:
        """Let every version be opened anew; files that no handle uses are unmapped."""
        with self._lock:
            self._snapshots.clear()

    def forget_verified(self) -> None:
        """Close everything and forget what this and other processes have verified."""
        with self._lock:
            self._snapshots.clear()
            self._segments.clear()
        self._verifier.forget()

    @property
    def nbytes(self) -> int:
        """Memory that the open versions hold, each segment counted once."""
        segments = {segment for snapshot in self._snapshots.values() for segment in snapshot.segments}
        shared = sum(segment.nbytes for segment in segments)
        indexes = sum(map(self._index_bytes, segments)) if self._index_bytes else 0
        return shared + indexes + sum(snapshot.nbytes for snapshot in self._snapshots.values())

    def has_room(self, nbytes: int) -> bool:
        """True if the open versions may hold so many bytes more."""
        with self._lock:
            return self.nbytes + nbytes <= self.open_bytes

    @property
    def segment_count(self) -> int:
        """Segments that are open."""
        return len(self._segments)

    def _close_unused(self) -> None:
        """Close the versions used longest ago while the open ones are too many or hold too much.

        Codes of rows go before versions: a search makes them again.
        """
        if self.nbytes > self.open_bytes:
            self._drop_row_codes()
        while self._snapshots and (len(self._snapshots) >= OPEN_VERSIONS or self.nbytes > self.open_bytes):
            self._snapshots.popitem(last=False)

    def _drop_row_codes(self) -> None:
        for snapshot in self._snapshots.values():
            for segment in snapshot.segments:
                if segment.row_codes is not None:
                    segment.row_codes.drop()

    def layout_with_rows(self, id: str, *, bring: bool = True) -> Layout:
        """A version's layout, whose rows are here then."""
        try:
            return find_layout(self._store, id)
        except NotFoundError as error:
            if error.code != "rows_elsewhere" or self.bring_rows is None or not bring:
                raise
        self.bring_rows(id)
        return find_layout(self._store, id)

    def _load(self, id: str, *, bring: bool = True) -> Snapshot:
        """Read and map a version; if its segments were folded away after its layout was read, read that again."""
        from vecver.repo.read.snapshot import Snapshot
        from vecver.repo.rows.layout import layout_path
        from vecver.repo.rows.segment import Segment

        with self._store.moment([layout_path(id)]):
            commit, layout = load_commit(self._store, id), self.layout_with_rows(id, bring=bring)
        while True:
            closed = [live.segment for live in layout.segments if live.segment not in self._segments]
            self._store.bring(path_of(segment, file) for segment in closed for file in ("segment.json", *FILES))
            try:
                segments = [
                    self._segments.get(live.segment) or Segment(self._store, live.segment) for live in layout.segments
                ]
                break
            except NotFoundError:
                old, layout = layout, find_layout(self._store, id)
                if layout.segments == old.segments:
                    raise
        _check_layout(commit, layout, segments)
        self._segments.update((segment.id, segment) for segment in segments)
        present_name = partial(name_of, self._store, commit.dataset)  # not of a handle: a cycle keeps files mapped
        has_room = partial(_has_room, ref(self))
        return Snapshot(commit, layout, segments, partial(self._verifier.state, segments), present_name, has_room)


def _has_room(versions: ReferenceType[OpenVersions], nbytes: int) -> bool:
    opened = versions()
    return opened is not None and opened.has_room(nbytes)


def name_of(store: Store, key: str) -> str | None:
    """The present name of the dataset with this key; None if it was deleted."""
    return names.read(store).name_of(key)


def _check_layout(commit: Commit, layout: Layout, segments: Sequence[Segment]) -> None:
    """Raises IntegrityError unless the layout agrees with the commit and the segments: roots, counts, space, sizes."""
    from vecver.repo.rows.layout import layout_path

    counts = {"documents": layout.document_count, "chunks": layout.chunk_count}
    roots = (layout.roots.content_root, layout.roots.vector_root)
    sizes = [(live.chunk_count, live.document_count) for live in layout.segments]
    if (
        (*roots, counts) != (commit.content_root, commit.vector_root, commit.counts)
        or {segment.space.id for segment in segments} - {commit.recipe.space.id}
        or sizes != [(segment.chunk_count, segment.document_count) for segment in segments]
    ):
        raise objects.misplaced(layout_path(commit.id))
