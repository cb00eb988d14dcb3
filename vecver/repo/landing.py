"""Landing: a draft becomes the newest version of a branch, even if others landed there since it was begun.

    turn      wait until no other writer is landing on this branch
    rebase    if the branch has moved, check that the draft still holds, then apply its change to the new head
    land      write the commit and move the branch: the only visible moment

If another writer changed documents that the draft also covers, landing raises a conflict that names them.

Decisions
1. A document that was added, changed or removed meanwhile is disputed if the draft (a) writes or removes it, unless to
   the same effect: the same bytes under the same recipe from the same source, or both removed it; (b) replaces the
   whole source that the document now belongs to, and has not seen it; or (c) found it unchanged, because then its
   source says what it said before and the other writer said otherwise. A document that could not be read keeps its
   present version. All other documents are free.
2. Another space is a conflict unless no document would stay in it, as for an ingest. Another chunker is none: the
   version keeps the recipe that its newest writer chose.
3. What others did is read from the two layouts, so a rebase costs what they and the draft changed. The old parent is
   opened with its present layout: a fold that moved the rows of both moved them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from time import sleep

from vecver.digest import digest_json
from vecver.errors import ConflictError, NotFoundError
from vecver.model import Commit
from vecver.repo.maintain.naming import locks_ahead, naming
from vecver.repo.read.differences import lacking
from vecver.repo.read.documents import KnownDocument, known_documents
from vecver.repo.read.snapshot import Snapshot
from vecver.repo.refs.refs import Refs, ref_moved
from vecver.repo.refs.turns import pauses, turn, turns_ahead
from vecver.repo.rows.layout import Layout
from vecver.repo.rows.schema import document_id
from vecver.repo.versions import Versions
from vecver.repo.write.draft import Draft

Changed = Mapping[str, tuple[KnownDocument | None, KnownDocument | None]]  # name -> (before, now)
_NAMED = 5  # documents that an error names in its text; its context has them all


@dataclass(frozen=True)
class Place:
    """Where a draft would land: the version before it, and how its rows lie then."""

    parent: Snapshot | None
    layout: Layout
    removed: int  # chunk rows of the parent that died
    settled: frozenset[str] = frozenset()  # documents that already are there as the draft would write them


@dataclass(frozen=True)
class Landing:
    """A draft on its way to a branch. `arrived`: ids of the documents that arrived; `failed`: those not readable."""

    versions: Versions
    dataset: str
    branch: str
    draft: Draft
    first: Place
    failed: Collection[str] = ()
    arrived: Collection[bytes] = ()

    def place(self, head: str | None) -> Place:
        """Where the draft lands if the branch stands on `head`. Raises ConflictError."""
        old = self.first.parent
        if head == (old.commit.id if old else None):
            return self._relaid(old) if old else self.first
        if head is None:
            raise ref_moved("branch", self.branch, None)
        return self._rebased(old, self.versions.newest_layout(head))

    def _relaid(self, parent: Snapshot) -> Place:
        """The first place, on the parent's present segments: otherwise the new version would undo a fold."""
        if self.versions.layout(parent.commit.id).segments == parent.layout.segments:
            return self.first
        present = self.versions.newest_layout(parent.commit.id)
        return Place(present, *self.draft.onto(present).layout())

    def _rebased(self, old: Snapshot | None, head: Snapshot) -> Place:
        if old:
            with suppress(NotFoundError):  # gc deleted it, but its rows are still mapped
                old = self.versions.newest_layout(old.commit.id)
        disputed, settled = judged(self.draft, meanwhile(old, head), self.failed, self.arrived)
        if disputed:
            raise _disputed(self.branch, head.commit.id, disputed)
        layout, removed = self.draft.onto(head).layout()
        new_segments = {segment.id for segment in self.draft.segments}
        staying = sum(len(live.documents) for live in layout.segments if live.segment not in new_segments)
        if staying and head.commit.recipe.space.id != self.draft.space.id:
            raise _other_space(self.branch, head.commit.id, staying)
        return Place(head, layout, removed, frozenset(settled))


def land(landing: Landing, commit_of: Callable[[Place], Commit | None], reason: str) -> tuple[Place, Commit | None]:
    """Make the commit for the place where the draft lands, and move the branch to it; None if nothing is left to do.

    Raises ConflictError if another writer changed what the draft covers, or deleted the branch.
    """
    versions, dataset, branch = landing.versions, landing.dataset, landing.branch
    refs = versions.refs(dataset)
    lost: ConflictError | None = None
    locks = [*turns_ahead(versions.store, _turn_name(dataset, branch)), *locks_ahead(versions.store)]
    with versions.store.moment(locks=locks), turn_at(versions, dataset, branch):
        for seconds in pauses():
            place = landing.place(refs.get("branch", branch))
            commit = commit_of(place)
            if commit is None:
                return place, None
            before = place.parent.commit.id if place.parent else None
            try:
                with naming(versions.store):
                    versions.save(commit, place.layout)
                    versions.move(dataset, "branch", branch, before=before, after=commit.id, reason=reason, held=True)
                versions.saw_head(dataset, branch, commit.id)
                return place, commit
            except ConflictError as error:
                if not _was_moved(error, refs, branch):
                    raise
                lost = error
            sleep(seconds)
    raise ref_moved("branch", branch, refs.get("branch", branch)) from lost


def turn_at(versions: Versions, dataset: str, branch: str) -> AbstractContextManager[None]:
    """The turn to move a branch on from the commit that it stands on."""
    return turn(versions.store, _turn_name(dataset, branch), lambda: versions.refs(dataset).get("branch", branch))


def _turn_name(dataset: str, branch: str) -> str:
    return f"commit-{digest_json([dataset, branch])[:32]}"


# -- may it still land? -------------------------------------------------------------------------


def meanwhile(before: Snapshot | None, after: Snapshot) -> Changed:
    """The documents that differ between two versions: name -> (before, now)."""
    nothing = Snapshot(after.commit, Layout.empty(), ())
    old, new = _lacking(before, after) if before else {}, _lacking(after, before or nothing)
    return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}


def judged(
    draft: Draft, changed: Changed, failed: Collection[str], arrived: Collection[bytes] = ()
) -> tuple[list[str], set[str]]:
    """(documents that others changed and the draft would write differently, those that it would write the same)."""
    written, removed, failed = draft.written(list(changed)), set(draft.removed), set(failed)
    disputed, settled = list[str](), set[str]()
    for name, (before, now) in changed.items():
        if name in failed:
            continue
        if name in written or name in removed:
            settled.add(name) if written.get(name) == now else disputed.append(name)
        elif (before and document_id(name) in arrived) or (now and now.source in draft.complete_sources):
            disputed.append(name)
    return sorted(disputed), settled


def _lacking(snapshot: Snapshot, other: Snapshot) -> dict[str, KnownDocument]:
    """The documents of `snapshot` whose rows are not live in `other`."""
    return {
        name: known for segment, _, rows in lacking(snapshot, other) for name, known in known_documents(segment, rows)
    }


def _was_moved(error: ConflictError, refs: Refs, branch: str) -> bool:
    """Did another writer just move or make the branch?"""
    return error.code == "ref_moved" or (error.code == "name_taken" and refs.get("branch", branch) is not None)


def _disputed(branch: str, head: str, documents: list[str]) -> ConflictError:
    first = ", ".join(repr(name) for name in documents[:_NAMED])
    more = f" and {len(documents) - _NAMED} more" if len(documents) > _NAMED else ""
    return ConflictError(
        f"somebody else moved the branch {branch!r} meanwhile, and changed documents of this ingest too: {first}{more}",
        code="ref_moved",
        hint="look at what they did; trying again puts yours in its place, and what was embedded is kept",
        name=branch,
        found=head,
        documents=documents,
    )


def _other_space(branch: str, head: str, staying: int) -> ConflictError:
    return ConflictError(
        f"somebody else moved the branch {branch!r} meanwhile, and {staying} documents there lie in another space",
        code="ref_moved",
        hint="look at what they did, and try again with the embedder or space that you mean",
        name=branch,
        found=head,
    )
