"""The versions of one repository: opens commits for reading and drafts new ones, within a budget of memory."""

from __future__ import annotations

import shutil
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from vecver.digest import digest_json
from vecver.errors import ConflictError, IntegrityError, NotFoundError, check_first, say
from vecver.model import Commit, Garbage, Json, Move, Space, Verify
from vecver.near import near
from vecver.repo import objects
from vecver.repo.maintain import spare, trash
from vecver.repo.objects import load_commit, save_commit
from vecver.repo.published.ledger import Publications
from vecver.repo.refs import names
from vecver.repo.refs.refs import Kind, Refs, dataset_names
from vecver.repo.refs.revisions import resolve
from vecver.repo.root import identity
from vecver.repo.rows import index_files
from vecver.repo.rows.segment_files import unit_of
from vecver.repo.rows.verifier import Verifier
from vecver.store import Store
from vecver.store.api import writing

if TYPE_CHECKING:
    from vecver.repo.maintain.retention import Retention
    from vecver.repo.maintain.rewrite import Relay
    from vecver.repo.read.snapshot import Snapshot
    from vecver.repo.rows.layout import Layout
    from vecver.repo.rows.segment import Segment
    from vecver.repo.write.draft import Draft

_PROBE = 64 << 10  # bytes that a store must have room for before a model is loaded
OPEN_BYTES = 1 << 30  # memory that opened versions may hold, beside mapped files
_LISTED = 10  # datasets that an error names
OPEN_VERSIONS = 256  # as many may stay open: each maps files, of which a process may have some 65,000


@dataclass(frozen=True)
class Clock:
    """Where times come from; tests bring their own."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Versions:
    """The versions of all datasets on one store. `author` signs commits and ref moves."""

    def __init__(
        self,
        store: Store,
        *,
        author: str = "",
        clock: Clock | None = None,
        open_bytes: int = OPEN_BYTES,
        verify: Verify = "once",
    ) -> None:
        self.store = store
        self.open_bytes = open_bytes
        self.author = author
        self._clock = clock or Clock()
        self._segments: WeakValueDictionary[str, Segment] = WeakValueDictionary()
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()
        self._opening = threading.Lock()
        self._verifier = Verifier(store, verify)
        self.id = identity(store)

    def signed(self, author: str) -> Versions:
        """These versions for another author; what is open is shared."""
        other = copy(self)
        other.author = author
        return other

    # -- reading --------------------------------------------------------------------------------

    def datasets(self) -> list[str]:
        """What the datasets are called, sorted."""
        called = names.read(self.store)
        return sorted(name for key in dataset_names(self.store) if (name := called.name_of(key)))

    def key(self, dataset: str) -> str:
        """The key of the dataset of this name: what its commits and receipts say; see `repo.refs.names`."""
        return names.read(self.store).key(dataset)

    def name_of(self, key: str) -> str | None:
        """What the dataset of a key is called; None if it was deleted."""
        return _name_of(self.store, key)

    def refs(self, dataset: str) -> Refs:
        return Refs(self.store, self.key(dataset), dataset)

    def check_dataset(self, dataset: str) -> None:
        """Raises NotFoundError unless there is a dataset of this name."""
        there = self.datasets()
        if dataset not in there:
            raise _no_dataset(dataset, there, self.store.url)

    def resolve(self, dataset: str, revision: str) -> str:
        """The commit id that a revision names.

        Raises NotFoundError (no such dataset, no such revision), IntegrityError (the commit is another dataset's).
        """
        refs = self.refs(dataset)
        opened = self._snapshots.get(revision) if isinstance(revision, str) else None
        if opened and opened.commit.dataset == refs.key:
            return revision
        try:
            id = resolve(self.store, refs, revision)
        except NotFoundError:
            there = self.datasets()
            if dataset in there:
                raise
            raise _no_dataset(dataset, there, self.store.url) from None
        opened = self._snapshots.get(id)
        if (opened.commit if opened else self.commit(id)).dataset != refs.key:
            raise IntegrityError(
                f"{dataset}@{revision} leads to {id[:12]}, which is a version of another dataset",
                code="wrong_dataset",
                hint=check_first("restore refs/ and moves/ from a copy of the repository"),
                dataset=dataset,
                commit=id,
            )
        return id

    def commit(self, id: str) -> Commit:
        return load_commit(self.store, id)

    def layout(self, id: str) -> Layout:
        """Where a commit's rows lie. Raises NotFoundError where gc has let them go."""
        from vecver.repo.maintain import gc
        from vecver.repo.rows import layout as layouts

        try:
            return layouts.load_layout(self.store, id)
        except NotFoundError:
            if self.store.size(gc.forgotten_path(id)) is None:
                raise
            time = gc.load_forgotten(self.store, id)["time"]
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

    def snapshot(self, id: str) -> Snapshot:
        """A commit opened for reading. Versions share their segments, and stay open within a budget of bytes.

        Raises IntegrityError where something of it is damaged; large segments are looked through beside its use.
        """
        with self._opening:
            snapshot = self._snapshots.pop(id, None)
            if snapshot is None:
                snapshot = self._opened(id)
                self._make_room()
            try:
                self._verifier.use(snapshot.segments)
            except IntegrityError:
                for segment in snapshot.segments:  # so that what is put in their place is seen
                    self._segments.pop(segment.id, None)
                raise
            self._snapshots[id] = snapshot
            return snapshot

    def settle(self, snapshot: Snapshot | None = None) -> None:
        """Wait until a version, or all that are open, are verified to the last byte. Raises IntegrityError."""
        for one in [snapshot] if snapshot else list(self._snapshots.values()):
            self._verifier.wait(one.segments)

    def newest_layout(self, id: str) -> Snapshot:
        """As `snapshot`, with the rows where they lie now: what the next version is written upon."""
        opened = self._snapshots.get(id)
        if opened and opened.layout.segments != self.layout(id).segments:
            with self._opening:
                self._snapshots.pop(id, None)
        return self.snapshot(id)

    def _make_room(self) -> None:
        """Let go of the versions that were not asked for longest, while those that are open hold too much."""
        while self._snapshots and (len(self._snapshots) >= OPEN_VERSIONS or self._held() > self.open_bytes):
            self._snapshots.popitem(last=False)

    def _held(self) -> int:
        """Memory that the opened versions hold, each segment once."""
        segments = {segment for snapshot in self._snapshots.values() for segment in snapshot.segments}
        own = sum(snapshot.nbytes for snapshot in self._snapshots.values())
        return own + sum(segment.nbytes for segment in segments)

    # -- writing --------------------------------------------------------------------------------

    def draft(self, parent: Snapshot | None, space: Space, *, dry: bool = False) -> Draft:
        """The next version after `parent`, to be filled with rows of `space`; a `dry` one writes nothing."""
        from vecver.repo.write.draft import Draft

        return Draft(self.store, parent, space, verify=self._verified, dry=dry)

    def forget_verified(self) -> None:
        """Believe nothing that was verified before, here or by other processes, and open everything anew."""
        with self._opening:
            self._snapshots.clear()
            self._segments.clear()
        self._verifier.forget()

    def _verified(self, segment: Segment) -> None:
        """Look through a segment that rows are copied from, now. Raises IntegrityError."""
        self._verifier.use([segment])
        self._verifier.wait([segment])

    def save(self, commit: Commit, layout: Layout) -> str:
        """Write a commit and its layout, children first. Nothing names it yet.

        Raises ConflictError if gc is deleting rows that it names.
        """
        from vecver.repo.rows import layout as layouts

        try:
            trash.hold(self.store, {unit_of(live.segment) for live in layout.segments})
        except ConflictError:
            with self._opening:
                self._snapshots.clear()  # so that the next attempt looks where the rows lie now
            raise
        layouts.save_layout(self.store, commit.id, layout)
        save_commit(self.store, commit)
        spare.keep(self.store)
        return commit.id

    def check_writable(self) -> None:
        """Raises BackendError, naming the place, where nothing can be written: asked before costly work is begun."""
        folder = self.store.scratch()
        try:
            with writing(str(folder)):
                (folder / "probe").write_bytes(bytes(_PROBE))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def move(self, dataset: str, kind: Kind, name: str, *, before: str | None, after: str | None, reason: str) -> Move:
        """Move a ref from where the caller saw it; creating needs a free name, and tags never move.

        Raises ConflictError (it stands elsewhere by now, the name is taken, a tag would move).
        """
        refs = self.refs(dataset)
        if kind == "tag" and before and after:
            raise ConflictError(
                f"the tag {name!r} is fixed", code="tag_fixed", hint="use an alias for a name that moves", name=name
            )
        if after is not None:
            self._hold(after)
        signed = {"author": self.author, "time": self.time(), "reason": reason}
        if before is None and after is not None:
            if kind == "branch" and not refs.all("branch"):
                return self._begin(dataset, name, after, **signed)
            return refs.create(kind, name, after, **signed)
        return refs.move(kind, name, before=before, after=after, **signed)

    def _begin(self, dataset: str, branch: str, commit: str, **signed: str) -> Move:
        """The first branch of a dataset, while none is renamed. Raises ConflictError: its name means another by now."""
        with names.changing(self.store):
            refs = self.refs(dataset)
            if self.commit(commit).dataset != refs.key:
                raise ConflictError(
                    f"another dataset was renamed to {dataset!r} meanwhile",
                    code="names_moved",
                    hint="look at the datasets, and repeat the command; what was embedded is kept",
                    dataset=dataset,
                )
            return refs.create("branch", branch, commit, **signed)

    def _hold(self, id: str) -> None:
        """Keep gc from a version that a ref is about to name. Raises NotFoundError, ConflictError: it was faster."""
        from vecver.repo.rows import layout as layouts

        if trash.mentions(self.store, [layouts.path_of(id)]) or self.store.size(layouts.path_of(id)) is None:
            segments = {unit_of(live.segment) for live in self.layout(id).segments}
            trash.hold(self.store, {layouts.path_of(id), objects.path_of(id), *segments})

    def time(self) -> str:
        """Now, as ref moves record it."""
        return self._clock.now().isoformat(timespec="microseconds")

    def publications(self, dataset: str, uri: str, database: str) -> Publications:
        """The ledger of a dataset in one Milvus."""
        return Publications(self.store, self.key(dataset), uri, database)

    # -- derived files --------------------------------------------------------------------------

    def has_derived(self, segment: Segment, spec: str) -> bool:
        return index_files.has_derived(self.store, segment.id, spec)

    def put_derived(self, segment: Segment, spec: str, file: Path, built_with: Json) -> None:
        index_files.put_derived(self.store, segment.id, spec, file, built_with)

    def put_derived_facts(self, segment: Segment, spec: str, built_with: Json) -> None:
        index_files.put_facts(self.store, segment.id, spec, built_with)

    def derived(self, segment: Segment, spec: str) -> tuple[memoryview, Json] | None:
        return index_files.derived(self.store, segment.id, spec)

    # -- tidying --------------------------------------------------------------------------------

    def fold(self, head: str, small: int) -> Relay | None:
        """What folds the tail of a version; see `repo.maintain.fold`."""
        from vecver.repo.maintain import fold

        return fold.fold(self.store, head, small)

    def folding(self, dataset: str) -> AbstractContextManager[None]:
        """Nobody else folds this dataset meanwhile. Raises ConflictError(code="locked") if somebody does."""
        return self.store.lock(f"fold-{digest_json([dataset])[:32]}", 0)

    def optimize(self, dataset: str) -> list[Relay]:
        """What re-lays all versions of a dataset on the fewest segments; see `repo.maintain.fold`."""
        from vecver.repo.maintain import fold, gc

        return fold.optimize(self.store, gc.named(self.refs(dataset)))

    def segments(self, dataset: str) -> Iterator[Segment]:
        """The segments of every version of a dataset that has rows, opened one after the other."""
        from vecver.repo.maintain import fold, gc
        from vecver.repo.rows.segment import Segment

        laid = fold.layouts_of(self.store, gc.named(self.refs(dataset)))
        ids = dict.fromkeys(live.segment for _, layout in laid for live in layout.segments)
        return (Segment(self.store, id) for id in ids)

    def named_of_late(self, dataset: str) -> set[str]:
        """The versions on which a ref stands, or stood in the days in which it may be rolled back."""
        from vecver.repo.maintain import gc

        return set(gc.named_of_late(self.refs(dataset), self._clock.now()))

    def switch(self, relay: Relay) -> int:
        """Let the commits of a relay name its segments from now on; how many were switched."""
        switched = relay.switch(self.time())
        with self._opening:
            for id in relay.commits:
                self._snapshots.pop(id, None)
        return switched

    def garbage(self, retention: Retention, specs: Collection[str], grace: timedelta) -> Garbage:
        """What no version needs; see `repo.maintain.gc`."""
        from vecver.repo.maintain import gc

        return gc.plan(self.store, retention, specs, self._clock.now(), grace)

    def collect(self, garbage: Garbage, retention: Retention) -> None:
        """Delete what has waited long enough, and let the rest wait."""
        from vecver.repo.maintain import gc

        with self._opening:
            self._snapshots.clear()  # a file that is mapped takes its room until it is let go
        gc.collect(self.store, garbage, retention, self._clock.now())

    def _opened(self, id: str) -> Snapshot:
        """A version, opened; where its segments were folded away after its layout was read, that is read again."""
        from vecver.repo.read.snapshot import Snapshot
        from vecver.repo.rows.segment import Segment

        commit, layout = self.commit(id), self.layout(id)
        while True:
            try:
                segments = [
                    self._segments.get(live.segment) or Segment(self.store, live.segment) for live in layout.segments
                ]
                break
            except NotFoundError:
                old, layout = layout, self.layout(id)
                if layout.segments == old.segments:
                    raise
        _check_layout(commit, layout, segments)
        self._segments.update((segment.id, segment) for segment in segments)
        called = partial(_name_of, self.store, commit.dataset)  # not of `self`: a circle would keep files mapped
        return Snapshot(commit, layout, segments, partial(self._verifier.state, segments), called)


def _name_of(store: Store, key: str) -> str | None:
    return names.read(store).name_of(key)


def _check_layout(commit: Commit, layout: Layout, segments: Sequence[Segment]) -> None:
    """Raises IntegrityError unless a layout can be this commit's: its roots, its counts, its space, its segments'."""
    from vecver.repo.rows import layout as layouts

    counts = {"documents": layout.document_count, "chunks": layout.chunk_count}
    roots = (layout.roots.content_root, layout.roots.vector_root)
    sizes = [(live.chunk_count, live.document_count) for live in layout.segments]
    if (
        (*roots, counts) != (commit.content_root, commit.vector_root, commit.counts)
        or {segment.space.id for segment in segments} - {commit.recipe.space.id}
        or sizes != [(segment.chunk_count, segment.document_count) for segment in segments]
    ):
        raise objects.misplaced(layouts.path_of(commit.id))


def _no_dataset(dataset: str, there: list[str], url: str) -> NotFoundError:
    more = f", and {len(there) - _LISTED} more" if len(there) > _LISTED else ""
    known = f"there are: {', '.join(there[:_LISTED])}{more}" if there else "the repository is empty so far"
    return NotFoundError(
        f"there is no dataset {dataset!r} in {url}",
        code="dataset_not_found",
        hint=say(f"docs.ingest(SOURCE) makes it; {known}", cli=f"`vecver ingest {dataset} SOURCE` makes it; {known}"),
        dataset=dataset,
        did_you_mean=near(dataset, there),
    )
