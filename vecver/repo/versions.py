"""The versions of one repository: names them, opens them for reading, drafts and saves new ones, tidies them up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecver.digest import digest_json
from vecver.errors import ConflictError, IntegrityError, NotFoundError, VecverError, check_first, say
from vecver.near import near
from vecver.repo import objects, opened, spare
from vecver.repo.maintain.naming import confirm, locks_ahead, naming
from vecver.repo.objects import load_commit, save_commit
from vecver.repo.opened import OPEN_BYTES, OpenVersions
from vecver.repo.refs import names
from vecver.repo.refs.refs import Kind, NewestMoves, Refs, check_name, dataset_names, is_name
from vecver.repo.refs.revisions import ref_in, resolve
from vecver.repo.root import identity
from vecver.repo.rows import index_files
from vecver.repo.rows.segment_files import unit_of
from vecver.repo.rows.verifier import Verifier
from vecver.store.api import Still, writing

if TYPE_CHECKING:
    from vecver.model import Commit, Garbage, Json, Move, QuestionSet, Space, Verify
    from vecver.repo.maintain.retention import Retention
    from vecver.repo.maintain.rewrite import Rewrite
    from vecver.repo.published.ledger import Publications
    from vecver.repo.read.document_changes import DocumentChanges
    from vecver.repo.read.snapshot import Snapshot
    from vecver.repo.rows.layout import Layout
    from vecver.repo.rows.segment import Segment
    from vecver.repo.write.draft import Draft
    from vecver.sketching import Sketch
    from vecver.store import Store

_PROBE = 64 << 10  # bytes that a store must have room for before a model is loaded
KEPT_COMMITS = 16_384  # of about 4 kB in memory; reading one takes 0.1 ms
_KEPT_FAILURES = 20  # documents that could not be read, of a commit that is kept
_LISTED = 10  # datasets that an error names


@dataclass(frozen=True)
class Clock:
    """Where times come from; tests bring their own."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Versions:
    """The versions of all datasets on one store. `author` signs commits and ref moves; `author_key`: the id
    of the author's API key, where a service knows one. The rest: see `OpenVersions`."""

    def __init__(
        self,
        store: Store,
        *,
        author: str = "",
        author_key: str = "",
        clock: Clock | None = None,
        open_bytes: int = OPEN_BYTES,
        verify: Verify = "once",
        index_bytes: Callable[[Segment], int] | None = None,
        ref_age_s: float = 0.0,
    ) -> None:
        self.store = store
        self.ref_age_s = ref_age_s
        self.author = author
        self.author_key = author_key
        self._clock = clock or Clock()
        self._verifier = Verifier(store, verify)
        self.opened = OpenVersions(store, self._verifier, open_bytes, index_bytes)
        self.id = identity(store)
        self._newest_moves: NewestMoves = {}
        self._commits: dict[str, Commit] = {}
        self._heads: dict[tuple[str, str], str] = {}  # by dataset and branch: where it was seen last
        self._saved: tuple[str, Layout] | None = None  # the newest commit that this process saved
        self._last_read: Commit | None = None
        self.kept_measures: dict[Hashable, Any] = {}  # of `flows.evaluating.histories`

    def signed(self, author: str, key: str = "") -> Versions:
        """The same versions for another author; opened versions are shared."""
        other = copy(self)
        other.author, other.author_key = author, key
        return other

    # -- reading --------------------------------------------------------------------------------

    def datasets(self) -> list[str]:
        """The names of the datasets, sorted."""
        renamed = names.read(self.store)
        return sorted(name for key in dataset_names(self.store) if (name := renamed.name_of(key)))

    def key(self, dataset: str) -> str:
        """The key of the dataset with this name, under which commits and receipts know it; see `repo.refs.names`."""
        return names.read(self.store).key(dataset)

    def name_of(self, key: str) -> str | None:
        """The present name of the dataset with this key; None if it was deleted."""
        return opened.name_of(self.store, key)

    def refs(self, dataset: str) -> Refs:
        return Refs(self.store, self.key(dataset), dataset, self._newest_moves)

    def check_dataset(self, dataset: str) -> None:
        """Raises NotFoundError unless there is a dataset of this name."""
        datasets = self.datasets()
        if dataset not in datasets:
            raise _no_dataset(dataset, datasets, self.store.url)

    def resolve_lately(self, dataset: str, revision: str) -> str:
        """The commit that a revision named at most `ref_age_s` seconds ago, or since this process moved it: for
        searches, which then wait for no request to a bucket. Raises as `resolve`."""
        with self.store.moment(self._read_for(dataset, (revision,), None, None), age_s=self.ref_age_s):
            return self._resolve(dataset, revision)

    def resolves_at_once(self, dataset: str, revision: str) -> bool:
        """Would `resolve_lately` ask no store?"""
        return self.store.knows(self._read_for(dataset, (revision,), None, None), self.ref_age_s)

    def resolve(self, dataset: str, revision: str) -> str:
        """The commit id that a revision names.

        Raises NotFoundError (no such dataset, no such revision), IntegrityError (the commit is another dataset's).
        """
        with self.moment(dataset, revision):
            return self._resolve(dataset, revision)

    def _resolve(self, dataset: str, revision: str) -> str:
        key = self.key(dataset)
        snapshot = self.opened.peek(revision) if isinstance(revision, str) else None
        if snapshot and snapshot.commit.dataset == key:
            return revision
        refs = Refs(self.store, key, dataset, self._newest_moves)
        try:
            id = resolve(self.store, refs, revision)
        except NotFoundError:
            datasets = self.datasets()
            if dataset in datasets:
                raise
            raise _no_dataset(dataset, datasets, self.store.url) from None
        snapshot = self.opened.peek(id)
        if (snapshot.commit if snapshot else self.commit(id)).dataset != refs.key:
            raise IntegrityError(
                f"{dataset}@{revision} leads to {id[:12]}, which is a version of another dataset",
                code="wrong_dataset",
                hint=check_first("restore refs/ and moves/ from a copy of the repository"),
                dataset=dataset,
                commit=id,
            )
        return id

    def moment(
        self, dataset: str, *revisions: str, layout_of: str | None = None, policy_of: str | None = None
    ) -> AbstractContextManager[None]:
        """An operation that reads these revisions and refs, the layout of a commit and an alias's policy.

        See `Store.moment`.
        """
        return self.store.moment(self._read_for(dataset, revisions, layout_of, policy_of))

    def moment_at(self, dataset: str, branch: str, *also: str, head: str | None = None) -> AbstractContextManager[None]:
        """An operation that reads a branch, the layout of its `head`, and these objects.

        `head` None: that on which the branch was seen last, since it seldom moved.
        """
        from vecver.repo.rows.layout import layout_path

        head = head or self._heads.get((dataset, branch))
        branches = [Refs(self.store, dataset).path("branch", branch)] if is_name(branch) else []
        return self.store.moment([names.NAME, *branches, *([layout_path(head)] if head else []), *also])

    def saw_head(self, dataset: str, branch: str, commit: str) -> None:
        """Remember where a branch stands, for `moment_at`."""
        self._heads[dataset, branch] = commit

    @contextmanager
    def moving(self, dataset: str, kind: Kind, name: str, *revisions: str) -> Iterator[None]:
        """As `moment`, for a call that moves a ref and does little else: it holds the lock of `naming` meanwhile.

        The lock of the name is asked for too, unless this process knows the ref, and so will not make it.
        """
        refs = Refs(self.store, dataset)
        is_known = any(place[:3] == (dataset, kind, name) for place in list(self._newest_moves))
        locks = [*locks_ahead(self.store), *([] if is_known or not is_name(name) else [refs.name_lock(name)])]
        reads = self._read_for(dataset, (name, *revisions), None, name)
        with self.store.moment(reads, locks=locks), naming(self.store):
            yield

    def _read_for(
        self, dataset: str, revisions: Collection[str], layout_of: str | None, policy_of: str | None
    ) -> Iterator[str]:
        """The names that such an operation reads, if the dataset was not renamed."""
        from vecver.repo import policies
        from vecver.repo.rows.layout import layout_path

        yield names.NAME
        for revision in revisions:
            if isinstance(revision, str):
                yield from Refs(self.store, dataset).paths(ref_in(revision))
        if layout_of:
            yield layout_path(layout_of)
        if policy_of:
            yield policies.path_of(dataset, policy_of)

    def is_named(self, dataset: str, commit: str, revision: str) -> bool:
        """Is the revision a ref of the dataset that names this commit? The rows of such a version are kept."""
        named = self.refs(dataset).find(revision) if ref_in(revision) == revision else None
        return named is not None and named[1] == commit

    def commit(self, id: str) -> Commit:
        """A commit; those that were read stay in memory, up to `KEPT_COMMITS`. Raises NotFoundError, IntegrityError."""
        kept = self._commits.get(id)  # another thread may clear `_commits` at any time
        if kept is not None:
            return kept
        commit = load_commit(self.store, id)
        if len(commit.operation.get("failures", ())) > _KEPT_FAILURES:
            return commit
        if len(self._commits) >= KEPT_COMMITS:
            self._commits.clear()
        self._commits[id] = self._last_read = commit = _sharing(commit, self._last_read)
        return commit

    def layout(self, id: str) -> Layout:
        """Where a commit's rows lie. Raises NotFoundError (code version_forgotten where gc deleted them)."""
        return opened.find_layout(self.store, id)

    def layout_with_rows(self, id: str) -> Layout:
        """As `layout`; rows that a clone left at its remote are brought here first."""
        return self.opened.layout_with_rows(id)

    def snapshot(self, id: str, *, bring: bool = True) -> Snapshot:
        """A commit opened for reading; see `OpenVersions.open`. Raises NotFoundError, IntegrityError."""
        return self.opened.open(id, bring=bring)

    def document_changes(self, document: str) -> DocumentChanges:
        """Finds the versions that changed a document."""
        from vecver.repo.read.document_changes import DocumentChanges

        return DocumentChanges(document, partial(opened.find_document_masks, self.store), self.opened.segment)

    def newest_layout(self, id: str) -> Snapshot:
        """As `snapshot`, with the rows where they lie now; see `OpenVersions.open_newest_layout`."""
        return self.opened.open_newest_layout(id)

    def settle(self, snapshot: Snapshot | None = None) -> None:
        """Wait until a version, or every open one, is verified to the last byte. Raises IntegrityError."""
        self.opened.wait_verified(snapshot)

    def sketch(self, snapshot: Snapshot) -> Sketch:
        """The sketch of a version; one that has none is counted now, and keeps it if the store can be written."""
        from vecver.repo.rows.layout import keep_sketch
        from vecver.repo.rows.sketched import sketch_of_live

        if snapshot.layout.sketch:
            return snapshot.layout.sketch
        sketch = sketch_of_live(zip(snapshot.segments, snapshot.layout.segments, strict=True))
        with suppress(VecverError, OSError):
            keep_sketch(self.store, snapshot.commit.id, sketch)
            self.opened.close([snapshot.commit.id])
        return sketch

    # -- writing --------------------------------------------------------------------------------

    def draft(self, parent: Snapshot | None, space: Space, *, dry: bool = False) -> Draft:
        """A draft of the version after `parent`, with rows of `space`; a `dry` one writes nothing."""
        from vecver.repo.write.draft import Draft

        return Draft(self.store, parent, space, verify=self._verified, dry=dry)

    def forget_verified(self) -> None:
        """Close everything and forget what was verified before, here and by other processes."""
        self.opened.forget_verified()
        self._commits.clear()

    def _verified(self, segment: Segment) -> None:
        """Verify a segment that rows are copied from, now. Raises IntegrityError."""
        self._verifier.use([segment])
        self._verifier.wait([segment])

    def verify(self, segments: Iterable[Segment]) -> None:
        """Verify segments whose rows another version is about to name, now. Raises IntegrityError."""
        for segment in segments:
            self._verified(segment)

    def naming(self) -> AbstractContextManager[object]:
        """The time between `save` and the move that names what was saved; see `repo.maintain.naming`."""
        return naming(self.store)

    def save(self, commit: Commit, layout: Layout) -> str:
        """Write a commit and its layout, children first, and hold what they name. Nothing names it yet.

        To be called within `naming`. Raises ConflictError if gc is deleting rows that it names, or has deleted them.
        """
        from vecver.repo.maintain import trash
        from vecver.repo.rows.layout import layout_path, save_layout

        segments = {unit_of(live.segment) for live in layout.segments}
        own = [layout_path(commit.id), objects.path_of(commit.id)]
        save_layout(self.store, commit.id, layout)  # a bucket is written to while it is asked for the rest
        try:
            trash.claim(self.store, {*own, *segments})
            save_commit(self.store, commit)
            with self.store.moment((), own[:1], anew=True):  # after the claim: see `trash.hold`
                trash.check_there(self.store, segments)
                if self.store.size(own[0]) is None:
                    raise objects.collected(own[:1])
        except ConflictError:
            self.opened.close_all()  # so that the next attempt reads where the rows lie now
            raise
        spare.keep(self.store)
        self._saved = commit.id, layout
        return commit.id

    def saved_layout(self, id: str) -> Layout | None:
        """The layout of a commit that this process has just saved, once: a fold may replace it at any time."""
        saved, self._saved = self._saved, None
        return saved[1] if saved and saved[0] == id else None

    def check_writable(self) -> None:
        """Raises BackendError, naming the place, where nothing can be written; called before costly work."""
        import shutil

        folder = self.store.scratch()
        try:
            with writing(str(folder)):
                (folder / "probe").write_bytes(bytes(_PROBE))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def move(
        self,
        dataset: str,
        kind: Kind,
        name: str,
        *,
        before: str | None,
        after: str | None,
        reason: str,
        gating: Json | None = None,
        held: bool = False,
        kept: bool = False,
    ) -> Move:
        """Move a ref from where the caller saw it; creating needs a free name, and tags never move.

        `held`: within the same `naming` the commit was saved. `kept`: a ref of
        the dataset named the commit just now.

        Raises ConflictError (it stands elsewhere by now, the name is taken, a tag would move).
        """
        from vecver.repo.rows.layout import layout_path

        if kind == "tag" and before and after:
            raise ConflictError(
                f"the tag {name!r} is fixed", code="tag_fixed", hint="use an alias for a name that moves", name=name
            )
        signed: dict[str, Any] = {"author": self.author, "time": self.time(), "reason": reason}
        looked_at = [] if after is None or held else [layout_path(after)]
        with (
            self.moment_at(dataset, name) if kind == "branch" and before else self.moment(dataset, name),
            naming(self.store) as still,
            self.store.moment((), looked_at, anew=True),
        ):
            refs = self.refs(dataset)
            if kind != "alias" and before is None:
                self._check_no_policy(refs, kind, name)
            if after is not None and not held:  # a deletion too is in `naming`: it writes a move, then names it
                if before is None and not kept:
                    self._hold(after)  # before the ref is reserved
                signed["hold"] = partial(self._hold, after)
            signed["named"] = partial(self._confirm, still, after)
            if after is None or before is not None:
                return refs.move(kind, name, before=before, after=after, **signed, gating=gating)
            if kind == "branch" and not kept and not refs.all("branch"):
                return self._begin(dataset, name, after, **signed)
            return refs.create(kind, name, after, **signed, gating=gating)

    def _check_no_policy(self, refs: Refs, kind: Kind, name: str) -> None:
        """Raises ConflictError if the name is kept for an alias whose promotions a policy guards.

        Applications follow a name, whatever has it: a tag of this name would be what they are answered from.
        """
        from vecver.repo import policies

        check_name(kind, name)  # before it is taken for an alias's
        if policies.load(self.store, refs.key, name) is None:
            return
        raise ConflictError(
            f"{name!r} is kept for an alias of {refs.dataset}, which has a policy",
            code="name_taken",
            hint=say(
                f"choose another name for the {kind}; docs.policy({name!r}) is the policy",
                cli=f"choose another name for the {kind}; `vecver policy {refs.dataset} {name}` shows the policy",
                http=f"choose another name for the {kind}",
            ),
            name=name,
            kind="alias",
        )

    def _begin(self, dataset: str, branch: str, commit: str, **signed: Any) -> Move:
        """The first branch of a dataset, made while none can be renamed. Raises ConflictError if its name was taken."""
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

    @contextmanager
    def holding(self, id: str) -> Iterator[None]:
        """gc deletes nothing of a version that is named within. Raises NotFoundError, ConflictError."""
        with naming(self.store) as still:
            self._hold(id)
            yield
            confirm(self.store, still, partial(self._hold_again, id, ()), lambda: None)

    def _hold(self, id: str) -> None:
        """Keep gc from deleting a version that a ref is about to name. Raises NotFoundError, ConflictError."""
        from vecver.repo.maintain import trash
        from vecver.repo.rows.layout import layout_path

        if trash.mentions(self.store, [layout_path(id)]) or self.store.size(layout_path(id)) is None:  # in this order
            self._hold_all(id)

    def _hold_all(self, id: str) -> None:
        """As `_hold`, looking at every object of the version; of one without rows, at its records."""
        from vecver.repo.maintain import gc, trash
        from vecver.repo.rows.layout import layout_path

        if self.store.size(layout_path(id)) is None and gc.place_of_rows(self.store, id):
            trash.hold(self.store, {objects.path_of(id), gc.forgotten_path(id)})
            return
        segments = {unit_of(live.segment) for live in self.layout(id).segments}
        trash.hold(self.store, {layout_path(id), objects.path_of(id), *segments})

    def _confirm(self, still: Still, id: str | None, move: list[str], take_back: Callable[[], None]) -> None:
        """See `naming.confirm`: a ref has named a version by this move."""
        confirm(self.store, still, partial(self._hold_again, id, move), take_back)

    def _hold_again(self, id: str | None, move: Collection[str]) -> None:
        """Keep gc from deleting a version that a ref has named, and the move that says so. Raises ConflictError."""
        from vecver.repo.maintain import trash

        trash.hold(self.store, move)
        try:
            if id is not None:
                self._hold_all(id)
        except NotFoundError as error:
            raise objects.collected([objects.path_of(id or "")]) from error

    def time(self) -> str:
        """The present time, as ref moves record it."""
        return self._clock.now().isoformat(timespec="microseconds")

    def publications(self, dataset: str, uri: str, database: str) -> Publications:
        """The ledger of a dataset in one Milvus."""
        from vecver.repo.published.ledger import Publications

        return Publications(self.store, self.key(dataset), uri, database)

    # -- question sets ----------------------------------------------------------------------------

    def questions(self, dataset: str, name: str) -> QuestionSet:
        """A stored question set. Raises NotFoundError (dataset, name), IntegrityError."""
        from vecver.repo import question_sets

        self.check_dataset(dataset)
        return question_sets.load(self.store, self.key(dataset), dataset, name)

    def question_sets(self, dataset: str) -> dict[str, str]:
        """name -> digest of a dataset's question sets. Raises NotFoundError."""
        from vecver.repo import question_sets

        self.check_dataset(dataset)
        return question_sets.names(self.store, self.key(dataset))

    def save_questions(self, dataset: str, questions: QuestionSet) -> bool:
        """Store a set under its name, in place of the one before; False if that is the same.

        Raises NotFoundError, InvalidInputError (the name), ConflictError (another writer changed it at this moment).
        """
        from vecver.repo import question_sets
        from vecver.repo.maintain import trash

        check_name("question set", questions.name)
        self.check_dataset(dataset)
        signed = {"author": self.author, "time": self.time()}
        with naming(self.store) as still:
            unit = question_sets.put(self.store, questions)
            trash.hold(self.store, [unit])
            changed = question_sets.name_set(self.store, self.key(dataset), questions, **signed)
            take_back = partial(question_sets.remove, self.store, self.key(dataset), dataset, questions.name)
            confirm(self.store, still, partial(trash.hold, self.store, [unit]), take_back)
            return changed

    def remove_questions(self, dataset: str, name: str) -> str:
        """Let a name mean no set; gives the digest that it meant. Raises NotFoundError, ConflictError."""
        from vecver.repo import question_sets

        self.check_dataset(dataset)
        return question_sets.remove(self.store, self.key(dataset), dataset, name)

    # -- derived files --------------------------------------------------------------------------

    def has_derived(self, segment: Segment, spec: str) -> bool:
        return index_files.has_derived(self.store, segment.id, spec)

    def without_derived(self, layout: Layout, spec: str, rows: int) -> list[Segment]:
        """The segments of a layout with at least so many chunk rows that have no derived file of this kind."""
        from vecver.repo.rows.segment import Segment

        large = (live.segment for live in layout.segments if live.chunk_count >= rows)
        return [Segment(self.store, id) for id in large if not index_files.has_derived(self.store, id, spec)]

    def put_derived(self, segment: Segment, spec: str, file: Path, built_with: Json, *, replace: bool = False) -> None:
        index_files.put_derived(self.store, segment.id, spec, file, built_with, replace=replace)

    def put_derived_facts(self, segment: Segment, spec: str, built_with: Json) -> None:
        index_files.put_facts(self.store, segment.id, spec, built_with)

    def derived(self, segment: Segment, spec: str) -> tuple[memoryview, Json] | None:
        stamps = None if self._verifier.mode == "always" else self._verifier.stamps
        return index_files.derived(self.store, segment.id, spec, stamps)

    def derived_facts(self, segment: str, spec: str) -> Json | None:
        """The facts of a derived file, unproved; None if it was never built. Raises IntegrityError."""
        with suppress(NotFoundError):
            return index_files.facts(self.store, segment, spec)
        return None

    def put_measured(self, segment: str, spec: str, measured: Json) -> None:
        index_files.put_measured(self.store, segment, spec, measured)

    def measured(self, segment: str, spec: str) -> Json | None:
        return index_files.measured(self.store, segment, spec)

    # -- tidying --------------------------------------------------------------------------------

    def fold(self, head: str, small: int) -> Rewrite | None:
        """The rewrite that folds the tail of a version, if it needs one; see `repo.maintain.fold`."""
        from vecver.repo.maintain import fold

        return fold.fold(self.store, head, small)

    def is_crowded(self, layout: Layout, small: int) -> bool:
        """Would `fold` rewrite something of a version with this layout?"""
        from vecver.repo.maintain import fold

        return bool(fold.crowded(layout, small))

    def folding(self, dataset: str) -> AbstractContextManager[object]:
        """A lock: one process at a time folds a dataset. Raises ConflictError (code locked)."""
        return self.store.lock(f"fold-{digest_json([dataset])[:32]}", 0)

    def optimize(self, dataset: str) -> list[Rewrite]:
        """The rewrites that lay all versions of a dataset on the fewest segments; see `repo.maintain.fold`."""
        from vecver.repo.maintain import fold, gc

        return fold.optimize(self.store, gc.named(self.refs(dataset)))

    def layouts(self, dataset: str) -> Iterator[tuple[Commit, Layout]]:
        """Every version of a dataset that has rows, parents first, and where they lie."""
        from vecver.repo.maintain import fold, gc

        return fold.layouts_of(self.store, gc.named(self.refs(dataset)))

    def segments(self, dataset: str) -> Iterator[Segment]:
        """The segments of every version of a dataset that has rows, opened one after the other."""
        from vecver.repo.rows.segment import Segment

        ids = dict.fromkeys(live.segment for _, layout in self.layouts(dataset) for live in layout.segments)
        return (Segment(self.store, id) for id in ids)

    def named_of_late(self, dataset: str) -> set[str]:
        """The versions that a ref names, or named within the days in which it may be rolled back."""
        from vecver.repo.maintain import gc

        return set(gc.named_of_late(self.refs(dataset), self._clock.now()))

    def switch(self, rewrite: Rewrite) -> int:
        """Let the commits of a rewrite name its segments from now on; how many were switched."""
        switched = rewrite.switch(self.time())
        self.opened.close(rewrite.commits)
        return switched

    def garbage(self, retention: Retention, specs: Collection[str], grace: timedelta) -> Garbage:
        """The plan: what no version needs; see `repo.maintain.gc`."""
        from vecver.repo.maintain import gc

        return gc.plan(self.store, retention, specs, self._clock.now(), grace)

    def collect(self, garbage: Garbage, retention: Retention) -> None:
        """Delete of a plan what has waited long enough; the rest begins to wait."""
        from vecver.repo.maintain import gc

        self.opened.close_all()  # a deleted file takes its room on disk while it is mapped
        self._commits.clear()
        gc.collect(self.store, garbage, retention, self._clock.now())


def _sharing(commit: Commit, other: Commit | None) -> Commit:
    """The commit, with the recipe and environment of another one where they are equal: half of what it holds."""
    if other is None or (commit.recipe, commit.environment) != (other.recipe, other.environment):
        return commit
    shared = replace(commit, recipe=other.recipe, environment=other.environment)
    vars(shared)["id"] = commit.id
    return shared


def _no_dataset(dataset: str, datasets: list[str], url: str) -> NotFoundError:
    more = f", and {len(datasets) - _LISTED} more" if len(datasets) > _LISTED else ""
    known = f"there are: {', '.join(datasets[:_LISTED])}{more}" if datasets else "the repository is empty so far"
    return NotFoundError(
        f"there is no dataset {dataset!r} in {url}",
        code="dataset_not_found",
        hint=say(f"docs.ingest(SOURCE) makes it; {known}", cli=f"`vecver ingest {dataset} SOURCE` makes it; {known}"),
        dataset=dataset,
        did_you_mean=near(dataset, datasets),
    )
