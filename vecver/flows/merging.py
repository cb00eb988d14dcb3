"""Merge: a branch gets what another version changed since the two parted, document by document.

    ancestors   the newest commits that led to both
    forward     where the branch itself is one, it moves to the other version; where the other is, nothing is to do
    compare     what only they changed, and what both changed: `repo.read.three_way`
    settle      each conflict as the caller says; one that is left is an error, and nothing is changed
    join        the rows become live where they lie: no vector is embedded, no row is copied
    land        a commit with two parents, the branch's first; one swap moves the branch

Decisions
1. The turn of the branch is held throughout, as a delete does. A writer without a turn that moves the branch meanwhile
   loses nothing: the merge is compared again with what the branch has then. The other version is resolved once.
2. Where nothing diverged the branch moves forward to the other version and no commit is made, as git does by default:
   `fast_forward=False` makes one with the same content. Its log says that a merge moved it, so that `rollback` goes
   back to where the branch stood, not to the parent of the version that it moved to.
3. Vectors of two spaces cannot lie in one version, and chunks of two chunkers in one source would be made again by the
   next ingest: both are refused. So are they where only one side changed them, since what the other side added would
   have to be embedded, which a merge never does. What counts is the space and the chunker of the two recipes, that is
   their fingerprint. Parsers may differ: each row says by which it was made, a version may hold rows of several, as it
   does after an upgrade, and an ingest reads again what another parser made.
4. The other settings of a recipe and the places of sources are merged three ways as documents are. Both are settled by
   `settings`, or with all documents by `ours=True` or `theirs=True`. Where an embedder's files lie is not a setting:
   the branch's side counts, unless only the other one changed.
5. Two places of one label are no conflict if they share a path or a Git repository: the same source, seen from two
   machines. A label without a place (records, an upload) takes the place of the other side.
6. Once merged is merged: after a rollback of a merge the other version is still an ancestor, and merging it again does
   nothing, as in git; if it went on since, only the rest comes. A note says so, and names the version that has all.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vecver import repo
from vecver.errors import ConflictError, InvalidInputError, SpaceMismatchError, say
from vecver.flows.ingesting import shortfalls
from vecver.flows.ingesting.commits import LISTED, commit_at
from vecver.flows.ingesting.environment import current_environment
from vecver.flows.ingesting.head import check_expected, head_of, id_of, retried
from vecver.flows.ingesting.sources import Places, places_of
from vecver.model import Commit, Diff, Json, Merge, MergeConflict, Recipe
from vecver.model.merges import MergeKind, MergeSide
from vecver.near import near
from vecver.repo import Comparison, Joined, Place, Snapshot, ThreeWay, Versions, turn_at

_NAMED = 5  # conflicts that an error names in its text; its context has them all
_FOLLOWED = 1000  # commits that are searched for the rollback of a merge


@dataclass(frozen=True)
class Merging:
    """What to merge, and how. `ours`, `theirs`: the conflicts in which that side's documents hold; True: all others."""

    revision: str
    branch: str = "main"
    message: str = ""
    ours: bool | tuple[str, ...] = ()
    theirs: bool | tuple[str, ...] = ()
    settings: MergeSide | None = None
    fast_forward: bool = True
    dry_run: bool = False
    expected: str | None = None

    def side_of(self, document: str) -> MergeSide | None:
        """Whose version of a document in conflict holds; None where the caller does not say."""
        for side, named in (("ours", self.ours), ("theirs", self.theirs)):
            if not isinstance(named, bool) and document in named:
                return "ours" if side == "ours" else "theirs"
        return self.all_side

    @property
    def all_side(self) -> MergeSide | None:
        """The side that holds wherever nothing else is said."""
        return "ours" if self.ours is True else "theirs" if self.theirs is True else None

    @property
    def named(self) -> tuple[str, ...]:
        """The documents that are settled by name."""
        return tuple(name for side in (self.ours, self.theirs) if not isinstance(side, bool) for name in side)


def merging_of(revision: str, ours: Any, theirs: Any, settings: Any, **how: Any) -> Merging:
    """What the caller wants merged. Raises InvalidInputError for answers to conflicts that contradict each other."""
    ours, theirs = _documents("ours", ours), _documents("theirs", theirs)
    if ours is True and theirs is True:
        raise _contradiction("ours and theirs cannot both hold in all conflicts")
    if settings not in (None, "ours", "theirs"):
        raise InvalidInputError(
            f"settings are those of one side, not {settings!r}",
            code="invalid_side",
            hint=say('settings="ours" or settings="theirs"', cli="write --settings ours, or --settings theirs"),
        )
    if not isinstance(ours, bool) and not isinstance(theirs, bool) and (both := sorted(set(ours) & set(theirs))):
        raise _contradiction(f"{both[0]!r} cannot be both ours and theirs")
    return Merging(revision, ours=ours, theirs=theirs, settings=settings, **how)


def merge(versions: Versions, dataset: str, what: Merging) -> Merge:
    """Bring what a version changed into a branch: a commit with two parents, or a move of the branch forward.

    Raises NotFoundError (dataset, branch, revision), SpaceMismatchError (another embedder), ConflictError (conflicts
    that are not settled, another chunker, the branch is not at `expected`), InvalidInputError (a document is settled
    that is not in conflict). After any failure nothing was changed.
    """
    theirs = versions.resolve(dataset, what.revision)

    def attempt(before: int) -> Merge:
        head = head_of(versions, dataset, what.branch)
        assert head is not None, "the revision is a version of the dataset, so it has a branch"
        check_expected(what.expected, what.branch, id_of(head))
        return _Merge(versions, dataset, what, head, versions.newest_layout(theirs)).run()

    with turn_at(versions, dataset, what.branch):
        return retried(attempt, what.expected)


class _Merge:
    """One running merge."""

    def __init__(self, versions: Versions, dataset: str, what: Merging, ours: Snapshot, theirs: Snapshot) -> None:
        self.versions, self.dataset, self.what = versions, dataset, what
        self.ours, self.theirs = ours, theirs
        self.bases = repo.common_ancestors(versions.commit, [ours.commit.id], [theirs.commit.id])

    def run(self) -> Merge:
        if self.theirs.commit.id in self.bases:
            _check_named(self.what, ())
            return self._outcome("up_to_date", notes=tuple(self._rolled_back()))
        if self.bases == [self.ours.commit.id]:
            _check_named(self.what, ())
            return self._forward()
        return self._three_way()

    # -- nothing diverged -----------------------------------------------------------------------

    def _forward(self) -> Merge:
        difference = repo.diff(self.ours, self.theirs)
        if self.what.fast_forward:
            outcome = self._outcome("fast_forward", difference)
            if not self.what.dry_run:
                self._move(self.theirs.commit.id)
                outcome = replace(outcome, commit=self.theirs.commit.id, changed=True)
            return outcome
        joined = Joined(self.theirs.layout, difference.chunks_added, difference.chunks_removed, ())
        outcome = self._outcome("merge", difference)
        if self.what.dry_run:
            return outcome
        places = self._places_of(self.theirs.commit)
        return self._landed(joined, outcome, self.theirs.commit.recipe, places)

    def _rolled_back(self) -> list[str]:
        """A note, if the branch held the other version, or one that led to it, and was rolled back to before that."""
        for held in self.bases:
            if back := self._before_rollback(held):
                whole = held == self.theirs.commit.id
                changes = "these changes" if whole else f"the changes up to {held[:12]}"
                way = f"roll {self.dataset}@{self.what.branch} back to {back[:12]} to have them"
                return [
                    f"{self.what.branch} had {changes} and was rolled back since: a merge does not bring them again; "
                    f"{way if whole else f'version {back[:12]} has them'}"
                ]
        return []

    def _before_rollback(self, held: str) -> str | None:
        """Where the branch stood before a rollback took back what it had from a version; None if it has that still."""
        if repo.common_ancestors(self._content, [self.ours.commit.id], [held]) == [held]:
            return None
        commit, back = self.ours.commit, None
        for _ in range(_FOLLOWED):
            if commit.id == held or not commit.parents:
                break
            if commit.operation.get("kind") == repo.ref_moves.ROLLBACK:
                back = commit.operation["from"]
            elif held in commit.parents[1:]:
                break
            commit = self.versions.commit(commit.parents[0])
        return back

    def _content(self, id: str) -> Commit:
        """A commit whose parents its content comes from: that of a rollback is the version it went back to."""
        commit = self.versions.commit(id)
        if commit.operation.get("kind") != repo.ref_moves.ROLLBACK:
            return commit
        content = replace(commit, parents=(commit.operation["to"],))
        vars(content)["id"] = id
        return content

    # -- both sides went on ---------------------------------------------------------------------

    def _three_way(self) -> Merge:
        self._check_recipes()
        versions = self.versions
        three = ThreeWay(
            self.ours,
            versions.newest_layout,
            lambda done, other: repo.common_ancestors(versions.commit, done, [other]),
        )
        compared = three.compare(self.theirs, self.bases)
        _check_named(self.what, compared.conflicts)
        settings, (recipe, places) = self._settings()
        conflicts = (*settings, *self._conflicts(compared))
        taken, removed = _settled(compared, conflicts)
        joined = repo.join(self.ours, self.theirs, taken, removed)
        there = {name for name, known in zip(taken, repo.find_known(self.ours, taken), strict=True) if known}
        names = {
            "added": tuple(name for name in taken if name not in there),
            "changed": tuple(name for name in taken if name in there),
            "removed": removed,
        }
        outcome = replace(
            self._outcome("merge"),
            documents={change: len(ids) for change, ids in names.items()},
            chunks={"live": joined.layout.chunk_count, "added": joined.came, "removed": joined.went},
            names=names,
            conflicts=conflicts,
            notes=tuple(self._rolled_back()),
        )
        if self.what.dry_run:
            return outcome
        if outcome.unsettled:
            raise _conflicting(self.dataset, self.what, outcome)
        return self._landed(joined, outcome, recipe, places)

    def _conflicts(self, compared: Comparison) -> list[MergeConflict]:
        return [
            MergeConflict("document", name, *sides, self.what.side_of(name))
            for name, sides in compared.conflicts.items()
        ]

    def _check_recipes(self) -> None:
        """Raises SpaceMismatchError, ConflictError unless both versions were embedded and cut alike."""
        ours, theirs = self.ours.commit.recipe, self.theirs.commit.recipe
        if ours.space.id != theirs.space.id:
            raise _other_space(self.dataset, self.what, ours, theirs)
        if ours.fingerprint != theirs.fingerprint:
            raise _other_chunker(self.dataset, self.what, ours, theirs)

    def _settings(self) -> tuple[list[MergeConflict], tuple[Recipe, Places]]:
        """(conflicts of settings, (the recipe, the places of sources)), merged three ways."""
        base = self.versions.commit(self.bases[0]) if len(self.bases) == 1 else None
        side = self.what.settings or self.what.all_side
        ours, theirs = self.ours.commit.recipe, self.theirs.commit.recipe
        conflicts, fields = list[MergeConflict](), dict[str, Any]()
        for name in ("embedder", "keywords", "hybrid"):
            mine, other = getattr(ours, name), getattr(theirs, name)
            old = getattr(base.recipe, name) if base else None
            fields[name] = other if mine == old else mine
            if name != "embedder" and mine != other and old not in (mine, other):
                texts = (_said(name, mine), _said(name, other))
                conflicts.append(MergeConflict("keywords" if name == "keywords" else "hybrid", name, *texts, side))
                fields[name] = other if side == "theirs" else mine
        before = self._places_of(base) if base else {}
        places, disputed = _merged_places(
            before, self._places_of(self.ours.commit), self._places_of(self.theirs.commit), side
        )
        conflicts += [MergeConflict("source", label, "one place", "another place", side) for label in disputed]
        return conflicts, (replace(ours, **fields), places)

    def _places_of(self, commit: Commit) -> Places:
        return places_of(commit, self.versions.commit)

    # -- the result -----------------------------------------------------------------------------

    def _landed(self, joined: Joined, outcome: Merge, recipe: Recipe, places: Places) -> Merge:
        self.versions.verify(joined.read)
        commit = replace(
            commit_at(
                self.versions,
                self.dataset,
                Place(self.ours, joined.layout, joined.went),
                message=self.what.message or self._message(),
                recipe=recipe,
                environment=current_environment(),
                operation=self._operation(outcome, places),
            ),
            parents=(self.ours.commit.id, self.theirs.commit.id),
        )
        with self.versions.naming():
            self.versions.save(commit, joined.layout)
            self._move(commit.id)
        changed = {name for ids in outcome.names.values() for name in ids}
        shortfalls.save_merged(self.versions, self.ours.commit.id, self.theirs.commit.id, commit.id, changed)
        return replace(outcome, commit=commit.id, changed=True)

    def _move(self, after: str) -> None:
        branch, before = self.what.branch, self.ours.commit.id
        reason = repo.ref_moves.MERGE
        self.versions.move(self.dataset, "branch", branch, before=before, after=after, reason=reason)

    def _message(self) -> str:
        into = "" if self.what.branch == "main" else f" into {self.what.branch}"
        return f"Merge {self.what.revision}{into}"

    def _operation(self, outcome: Merge, places: Places) -> Json:
        settled = {conflict.name: conflict.settled for conflict in outcome.conflicts[:LISTED]}
        chunks = outcome.chunks
        return {
            "kind": repo.ref_moves.MERGE,
            "branch": self.what.branch,
            "revision": self.what.revision,
            "bases": self.bases,
            "documents": dict(outcome.documents),
            "chunks": {"live": chunks["live"], "embedded": 0, "reused": chunks["added"], "removed": chunks["removed"]},
            "conflicts": len(outcome.conflicts),
            **({"settled": settled} if settled else {}),
            "sources": [],
            "places": dict(places),
        }

    def _outcome(self, kind: MergeKind, difference: Diff | None = None, notes: tuple[str, ...] = ()) -> Merge:
        names = {
            change: tuple(getattr(difference, change)) if difference else ()
            for change in ("added", "changed", "removed")
        }
        chunks = {
            "live": (self.theirs if difference else self.ours).commit.counts["chunks"],
            "added": difference.chunks_added if difference else 0,
            "removed": difference.chunks_removed if difference else 0,
        }
        return Merge(
            dataset=self.dataset,
            branch=self.what.branch,
            kind=kind,
            commit=self.ours.commit.id,
            changed=False,
            ours=self.ours.commit.id,
            theirs=self.theirs.commit.id,
            bases=tuple(self.bases),
            documents={change: len(ids) for change, ids in names.items()},
            chunks=chunks,
            names=names,
            dry_run=self.what.dry_run,
            notes=notes,
        )


# -- conflicts ----------------------------------------------------------------------------------


def _settled(compared: Comparison, conflicts: Sequence[MergeConflict]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(the documents to take, the documents to remove), with the conflicts that are settled for theirs."""
    theirs = {each.name for each in conflicts if each.kind == "document" and each.settled == "theirs"}
    taken = sorted({*compared.taken, *(theirs - compared.gone)})
    return tuple(taken), tuple(sorted({*compared.removed, *(theirs & compared.gone - compared.absent)}))


def _merged_places(base: Places, ours: Places, theirs: Places, side: MergeSide | None) -> tuple[Places, list[str]]:
    """(the places of sources, the labels that mean two different sources)."""
    places, disputed = dict(ours), list[str]()
    for label, other in theirs.items():
        mine, old = ours.get(label), base.get(label)
        if other in (mine, old):
            continue
        if mine is None or mine == old or not mine:
            places[label] = other
        elif other and not _same_place(mine, other):
            disputed.append(label)
            places[label] = other if side == "theirs" else mine
        elif other:
            places[label] = _wider(mine, other)
    return places, disputed


def _same_place(one: Json, two: Json) -> bool:
    shared = any(kind in one and one[kind] == two.get(kind) for kind in ("path", "git"))
    return shared and one.get("prefix", "") == two.get("prefix", "")


def _wider(mine: Json, other: Json) -> Json:
    """The branch's place of a source, with what both sides read of it."""
    if "scope" not in mine or "scope" not in other:
        return {name: value for name, value in mine.items() if name != "scope"}
    return {**mine, "scope": "\n".join(dict.fromkeys([*mine["scope"].split("\n"), *other["scope"].split("\n")]))}


def _said(name: str, value: Json | None) -> str:
    """What a recipe says of a setting, for people."""
    if value is None:
        return "english" if name == "keywords" else "no weight"
    return str(value.get("language" if name == "keywords" else "weight", value))


def _documents(side: str, named: Any) -> bool | tuple[str, ...]:
    if isinstance(named, bool):
        return named if named else ()
    if isinstance(named, str):
        return (named,)
    if not isinstance(named, Collection) or isinstance(named, Mapping) or not all(isinstance(x, str) for x in named):
        raise InvalidInputError(
            f"{side} names documents, or is True for all conflicts, not {named!r}",
            code="invalid_side",
            hint=f'{side}=["a.md"], or {side}=True',
        )
    return tuple(named)


def _contradiction(problem: str) -> InvalidInputError:
    return InvalidInputError(
        f"{problem}; nothing was changed",
        code="conflicting_options",
        hint=say(
            'name the documents of one side and let the other hold for the rest: ours=["a.md"], theirs=True',
            cli="name the documents of one side and let the other hold for the rest: --ours a.md --theirs",
        ),
    )


def _check_named(what: Merging, conflicts: Collection[str]) -> None:
    """Raises InvalidInputError for a document that is settled and is not in conflict."""
    for name in what.named:
        if name not in conflicts:
            raise InvalidInputError(
                f"{name!r} is not in conflict; nothing was changed",
                code="no_such_conflict",
                hint=say(
                    f"docs.merge({what.revision!r}, dry_run=True).conflicts lists those there are",
                    cli="the same command with --dry-run lists those there are",
                    http='the same request with "dry_run": true lists those there are',
                ),
                document=name,
                did_you_mean=near(name, conflicts),
            )


def _conflicting(dataset: str, what: Merging, outcome: Merge) -> ConflictError:
    left = outcome.unsettled
    first = ", ".join(repr(each.name) if each.kind in ("document", "source") else each.name for each in left[:_NAMED])
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    python, cli = _answer(left)
    return ConflictError(
        f"{what.branch!r} and {what.revision!r} both changed {first}{more}; nothing was changed",
        code="merge_conflicts",
        hint=say(
            f"docs.merge({what.revision!r}, {python}) takes what {what.revision} has, ours= keeps what "
            f"{what.branch} has, True stands for all; "
            f"docs.diff({what.branch!r}, {what.revision!r}, document=…) shows both",
            cli=f"add {cli} to take what {what.revision} has, or {cli.replace('theirs', 'ours')} to keep what "
            f"{what.branch} has; without a name each stands for all; "
            f"`vecver diff {dataset} {what.branch} {what.revision} DOC` shows both",
            http='"theirs": ["DOC"] takes what the merged version has, "ours": ["DOC"] keeps what the branch has, '
            'true stands for all; "settings" is for the rest',
        ),
        conflicts=[each.to_json() for each in left],
        bases=list(outcome.bases),
    )


def _answer(left: Sequence[MergeConflict]) -> tuple[str, str]:
    """(the arguments, the options) that settle the first conflict of each kind."""
    python, cli = list[str](), list[str]()
    if document := next((each.name for each in left if each.kind == "document"), None):
        python.append(f"theirs=[{document!r}]")
        cli.append(f"--theirs {shlex.quote(document)}")
    if any(each.kind != "document" for each in left):
        python.append('settings="theirs"')
        cli.append("--settings theirs")
    return ", ".join(python), " ".join(cli)


def _other_space(dataset: str, what: Merging, ours: Recipe, theirs: Recipe) -> SpaceMismatchError:
    mine, other = ours.embedder.get("name"), theirs.embedder.get("name")
    names = f"{mine} and {other}" if mine != other else f"two versions of {mine}"
    return SpaceMismatchError(
        f"{what.branch!r} and {what.revision!r} were embedded by {names}, whose vectors cannot be compared; "
        "nothing was changed",
        code="merge_other_space",
        hint=_bring_to(dataset, what, f"embedder={other!r}", f"--embedder {other}"),
        ours=mine,
        theirs=other,
    )


def _other_chunker(dataset: str, what: Merging, ours: Recipe, theirs: Recipe) -> ConflictError:
    other = theirs.chunker.get("name")
    tokens = theirs.chunker.get("max_tokens")
    python, cli = f"chunker={other!r}", f"--chunker {other}"
    if tokens:
        python, cli = f"{python}, chunk_tokens={tokens}", f"{cli} --chunk-tokens {tokens}"
    return ConflictError(
        f"{what.branch!r} and {what.revision!r} were cut into chunks differently; nothing was changed",
        code="merge_other_chunker",
        hint=_bring_to(dataset, what, python, cli),
        ours=ours.chunker,
        theirs=theirs.chunker,
    )


def _bring_to(dataset: str, what: Merging, python: str, cli: str) -> str:
    """The way to a merge of two recipes: the branch's sources are ingested as the other version was."""
    return say(
        f"ingest its sources as the other was, docs.ingest(SOURCE, branch={what.branch!r}, {python}), and merge then; "
        "what is known in that space is not embedded again",
        cli=f"ingest its sources as the other was, `vecver ingest {dataset} SOURCE --branch {what.branch} {cli}`, "
        "and merge then; what is known in that space is not embedded again",
    )
