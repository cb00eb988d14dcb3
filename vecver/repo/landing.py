"""Landing: a draft becomes the newest version of a branch, though others landed there since it was begun.

    turn      wait until nobody else is landing on this branch
    rebase    where the branch has moved: is what the draft says still true? then lay its change onto the new head
    land      write the commit, move the branch: the only visible moment

Where somebody else changed what the draft speaks of, that is a conflict, and is told with the documents' names.

Decisions
- 2026-11-26 a document is disputed if it was added, changed or removed meanwhile and the draft (a) writes or removes
  it, unless to the same effect: the same bytes under the same recipe from the same source, or both removed it;
  (b) speaks for all of the source that it is of now, and has not seen it; (c) found it unchanged: then its source
  says what it said before, and somebody else said otherwise. A document that could not be read keeps whatever
  version it has by now. Other documents are nobody's concern.
- 2026-11-26 another space is a conflict unless no document would stay in it, as it is for an ingest. Another chunker
  is none: the version keeps the recipe that its newest writer asked for.
- 2026-11-26 what others did is read from the two layouts, so a rebase costs what they and the draft changed. The old
  parent is looked at where its rows lie now: a fold that moved both moved both alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from time import sleep

from vecver.digest import digest_json
from vecver.errors import ConflictError, NotFoundError
from vecver.model import Commit
from vecver.repo.read.differences import lacking
from vecver.repo.read.documents import KnownDocument, known_documents
from vecver.repo.read.snapshot import Snapshot
from vecver.repo.refs.refs import Refs, ref_moved
from vecver.repo.refs.turns import pauses, turn
from vecver.repo.rows.layout import Layout
from vecver.repo.rows.schema import document_id
from vecver.repo.versions import Versions
from vecver.repo.write.draft import Draft

Changed = Mapping[str, tuple[KnownDocument | None, KnownDocument | None]]  # name -> as it was, as it is
_NAMED = 5  # documents that an error names in its text; its context has them all


@dataclass(frozen=True)
class Place:
    """Where a draft would land: the version before it, and how its rows lie then."""

    parent: Snapshot | None
    layout: Layout
    removed: int  # chunk rows of the parent that are live no more
    settled: frozenset[str] = frozenset()  # documents that stand there already as the draft would have them


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
        """Where it lands on `head`. Raises ConflictError."""
        old = self.first.parent
        if head == (old.commit.id if old else None):
            return self.first
        if head is None:
            raise ref_moved("branch", self.branch, None)
        return self._rebased(old, self.versions.newest_layout(head))

    def _rebased(self, old: Snapshot | None, head: Snapshot) -> Place:
        if old:
            with suppress(NotFoundError):  # gc let it go: its rows are still mapped
                old = self.versions.newest_layout(old.commit.id)
        disputed, settled = judged(self.draft, meanwhile(old, head), self.failed, self.arrived)
        if disputed:
            raise _disputed(self.branch, head.commit.id, disputed)
        layout, removed = self.draft.onto(head).layout()
        mine = {segment.id for segment in self.draft.segments}
        staying = sum(len(live.documents) for live in layout.segments if live.segment not in mine)
        if staying and head.commit.recipe.space.id != self.draft.space.id:
            raise _other_space(self.branch, head.commit.id, staying)
        return Place(head, layout, removed, frozenset(settled))


def land(landing: Landing, commit_of: Callable[[Place], Commit | None], reason: str) -> tuple[Place, Commit | None]:
    """Move the branch to the commit that is made for the place; None where nothing was left to do there.

    Raises ConflictError: somebody else changed what the draft speaks of, or deleted the branch.
    """
    versions, dataset, branch = landing.versions, landing.dataset, landing.branch
    refs = versions.refs(dataset)
    lost: ConflictError | None = None
    with turn_at(versions, dataset, branch):
        for seconds in pauses():
            place = landing.place(refs.get("branch", branch))
            commit = commit_of(place)
            if commit is None:
                return place, None
            before = place.parent.commit.id if place.parent else None
            versions.save(commit, place.layout)
            try:
                versions.move(dataset, "branch", branch, before=before, after=commit.id, reason=reason)
                return place, commit
            except ConflictError as error:
                if not _was_moved(error, refs, branch):
                    raise
                lost = error
            sleep(seconds)
    raise ref_moved("branch", branch, refs.get("branch", branch)) from lost


def turn_at(versions: Versions, dataset: str, branch: str) -> AbstractContextManager[None]:
    """One's turn to move a branch to a commit that follows the one it stands on."""
    name = f"commit-{digest_json([dataset, branch])[:32]}"
    return turn(versions.store, name, lambda: versions.refs(dataset).get("branch", branch))


# -- may it still land? -------------------------------------------------------------------------


def meanwhile(before: Snapshot | None, after: Snapshot) -> Changed:
    """The documents that differ between two versions."""
    nothing = Snapshot(after.commit, Layout.empty(), ())
    old, new = _lacking(before, after) if before else {}, _lacking(after, before or nothing)
    return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}


def judged(
    draft: Draft, changed: Changed, failed: Collection[str], arrived: Collection[bytes] = ()
) -> tuple[list[str], set[str]]:
    """(the documents that others changed and of which the draft says otherwise, those of which it says the same)."""
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


def _lacking(one: Snapshot, other: Snapshot) -> dict[str, KnownDocument]:
    """The documents of `one` that do not lie in the same place in `other`."""
    return {name: known for segment, _, rows in lacking(one, other) for name, known in known_documents(segment, rows)}


def _was_moved(error: ConflictError, refs: Refs, branch: str) -> bool:
    """Was the branch moved, or made, by somebody else just now?"""
    return error.code == "ref_moved" or (error.code == "name_taken" and refs.get("branch", branch) is not None)


def _disputed(branch: str, found: str, documents: list[str]) -> ConflictError:
    named = ", ".join(repr(name) for name in documents[:_NAMED])
    more = f" and {len(documents) - _NAMED} more" if len(documents) > _NAMED else ""
    return ConflictError(
        f"somebody else moved the branch {branch!r} meanwhile, and changed documents of this ingest too: {named}{more}",
        code="ref_moved",
        hint="look at what they did; trying again puts yours in its place, and what was embedded is kept",
        name=branch,
        found=found,
        documents=documents,
    )


def _other_space(branch: str, found: str, staying: int) -> ConflictError:
    return ConflictError(
        f"somebody else moved the branch {branch!r} meanwhile, and {staying} documents there lie in another space",
        code="ref_moved",
        hint="look at what they did, and try again with the embedder or space that you mean",
        name=branch,
        found=found,
    )
