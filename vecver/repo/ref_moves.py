"""Ref moves: branch, tag, promote, roll back. Each moves one ref; none copies a vector."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vecver.errors import ConflictError, NotFoundError, say
from vecver.model import Json, Move
from vecver.repo.landing import turn_at
from vecver.repo.maintain.naming import naming
from vecver.repo.refs.refs import Kind, missing, ref_moved
from vecver.repo.versions import Versions

ROLLBACK = "rollback"
MERGE = "merge"
ABSENT = "absent"  # what `expected` says where the caller expects no ref


def create(
    versions: Versions,
    dataset: str,
    kind: Kind,
    name: str,
    commit: str,
    *,
    at: str = "",
    expected: str | None = None,
) -> Move:
    """Make a branch or tag on a commit, to which the revision `at` led; a branch that stands at `expected` is moved.

    Raises ConflictError if the name is taken, or the branch stands elsewhere.
    """
    if expected in (None, ABSENT):
        kept = versions.is_named(dataset, commit, at)
        return versions.move(dataset, kind, name, before=None, after=commit, reason=f"create {kind}", kept=kept)
    return versions.move(dataset, kind, name, before=expected, after=commit, reason=f"move {kind}")


def delete(versions: Versions, dataset: str, kind: Kind, name: str, *, expected: str | None = None) -> Move:
    """Remove a ref; its log is kept. Raises NotFoundError, ConflictError (a branch's last one, it was moved)."""
    refs = versions.refs(dataset)
    commit = refs.get(kind, name)
    if commit is None:
        raise missing(kind, name, versions.refs(dataset))
    _check_expected(kind, name, commit, expected)
    if kind == "branch" and len(refs.all("branch")) == 1:
        raise ConflictError(
            f"{name!r} is the only branch of {dataset}",
            code="last_branch",
            hint=say(
                "make another branch first: docs.branch(NAME)",
                cli=f"make another branch first: `vecver branch {dataset} NAME`",
                http=f"make another branch first: PUT /v1/datasets/{dataset}/branches/NAME",
            ),
            name=name,
        )
    return versions.move(dataset, kind, name, before=commit, after=None, reason=f"delete {kind}")


def promote(
    versions: Versions,
    dataset: str,
    name: str,
    commit: str,
    *,
    at: str = "",
    expected: str | None = None,
    gating: Json | None = None,
) -> Move:
    """Point an alias at a commit; make it if it is new. `gating`: what was measured for it, kept with the move.

    `at`: the revision that led to the commit.

    Raises ConflictError if a branch or tag has its name, or it does not stand at `expected`.
    """
    seen = versions.refs(dataset).get("alias", name) if expected is None else expected
    before = None if seen == ABSENT else seen
    signed: dict[str, Any] = {"reason": "promote", "gating": gating, "kept": versions.is_named(dataset, commit, at)}
    return versions.move(dataset, "alias", name, before=before, after=commit, **signed)


def rollback(
    versions: Versions, dataset: str, name: str, to: str | None = None, *, expected: str | None = None
) -> Move:
    """Take a ref back: an alias moves to where it was, a branch gets a commit with the old content.

    `to` is a commit id; None means the state before the newest one that was not itself rolled back. Commits that
    land on the branch while this waits are taken back too, unless `expected` says where the branch must stand.
    Raises NotFoundError if there is no such ref, or nothing before it; ConflictError if it is not at `expected`.
    """
    kind, current = _movable(versions, dataset, name)
    if kind == "alias":
        _check_expected(kind, name, current, expected)
        target = to or _alias_before(versions, dataset, name)
        return versions.move(dataset, kind, name, before=current, after=target, reason=ROLLBACK)
    versions.layout_with_rows(to or _branch_before(versions, dataset, name, current))  # before anybody waits for us
    with turn_at(versions, dataset, name), naming(versions.store):
        kind, current = _movable(versions, dataset, name)
        _check_expected(kind, name, current, expected)
        target = to or _branch_before(versions, dataset, name, current)
        after = _revert(versions, name, current, target)
        return versions.move(dataset, kind, name, before=current, after=after, reason=ROLLBACK)


def _movable(versions: Versions, dataset: str, name: str) -> tuple[Kind, str]:
    """The branch or alias of this name, and where it stands."""
    ref = versions.refs(dataset).find(name)
    if not ref:
        raise missing("alias", name, versions.refs(dataset))
    if ref[0] == "tag":
        raise ConflictError(
            f"{name!r} is a tag, and tags are fixed", code="tag_fixed", hint="roll back a branch or an alias"
        )
    return ref


def _check_expected(kind: Kind, name: str, commit: str, expected: str | None) -> None:
    """Raises ConflictError if the ref stands on another commit than expected."""
    if expected not in (None, commit):
        raise ref_moved(kind, name, commit)


def _alias_before(versions: Versions, dataset: str, name: str) -> str:
    """Moves push, rollbacks pop, so rolling back twice goes back two promotions; a deletion empties the stack."""
    stack: list[str] = []
    for move in reversed(list(versions.refs(dataset).log("alias", name))):
        if move.after is None:
            stack.clear()
        elif move.reason == ROLLBACK and move.after in stack:
            while stack[-1] != move.after:
                stack.pop()
        elif stack[-1:] != [move.after]:  # promoting the same commit again is no step to go back
            stack.append(move.after)
    if len(stack) < 2:
        raise _nothing_before(dataset, name)
    return stack[-2]


def _branch_before(versions: Versions, dataset: str, name: str, current: str) -> str:
    """The parent of the commit whose content the branch holds; a rollback holds the content that it went back to.

    Of a commit to which a merge moved the branch forward it is where the branch stood: that was made elsewhere.
    """
    commit = versions.commit(current)
    while commit.operation.get("kind") == ROLLBACK:
        commit = versions.commit(commit.operation["to"])
    for move in versions.refs(dataset).log("branch", name):
        if move.reason == MERGE and move.after == commit.id and move.before:
            return move.before
    if not commit.parents:
        raise _nothing_before(dataset, name)
    return commit.parents[0]


def _revert(versions: Versions, branch: str, current: str, target: str) -> str:
    """A commit after `current` with the content of `target`; its layout is the same rows."""
    old = versions.commit(target)
    operation = {"kind": ROLLBACK, "branch": branch, "from": current, "to": target}
    commit = replace(
        old,
        parents=(current,),
        author=versions.author,
        message=f"Roll back to {target[:12]}: {old.message}",
        time=versions.time()[:19] + "+00:00",
        operation=operation,
    )
    return versions.save(commit, versions.layout(target))


def _nothing_before(dataset: str, name: str) -> NotFoundError:
    return NotFoundError(
        f"{name!r} of {dataset} was nowhere before",
        code="nothing_before",
        hint=say(
            "name a revision: docs.rollback(ref, to=REVISION); docs.moves() lists where it was",
            cli=f"name a revision with --to; `vecver log {dataset}` lists them",
        ),
        name=name,
    )
