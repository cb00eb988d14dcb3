"""Revisions: the one string that names a commit.

main  v1  prod          a branch, tag or alias
3f9a2c1                 a commit by its first four or more digits; 64 digits never name a ref
main~2  v1~  prod^      ancestors: `~2` goes two steps along first parents, `^` is a parent
main^2                  the second parent of a merge: the version that was merged; `^0` is the commit itself
origin/main             where a ref of a remote stood when it was last asked
@{2026-11-01}           where `main` stood then;  `prod@{2026-11-01T12:00}` for any other ref
git:9c1e…               the newest commit made from that commit of the source's own Git repository
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vecver.errors import InvalidInputError, NotFoundError, say
from vecver.near import near
from vecver.repo.objects import commit_ids, load_commit, parents_first, path_of
from vecver.repo.refs import tracking
from vecver.repo.refs.refs import KINDS, Refs

if TYPE_CHECKING:
    from vecver.model import Commit
    from vecver.store import Store

DEFAULT_BRANCH = "main"
_ANCESTORS = re.compile(r"(.*?)((?:[~^]\d*)*)$", re.DOTALL)
_STEP = re.compile(r"([~^])(\d*)")
_AT = re.compile(r"(.*)@\{(.+)\}$", re.DOTALL)
_FULL = re.compile(r"[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]{4,64}")
_LONGEST = 500  # characters; a name has 100, and parsing 10,000 `~` takes 3 s


def resolve(store: Store, refs: Refs, revision: str) -> str:
    """The id of the commit that `revision` names in a dataset.

    Raises NotFoundError (no such revision), InvalidInputError (not a revision, or an ambiguous id).
    """
    if not isinstance(revision, str) or not revision:
        raise InvalidInputError(
            f"{revision!r} is not a revision",
            code="invalid_revision",
            hint="name a branch, tag, alias or commit id; `main` is the default branch",
        )
    if len(revision) > _LONGEST:
        raise _unknown(refs, f"{revision[:50]}…", "it is longer than any")
    base, steps = _ANCESTORS.fullmatch(revision).groups()  # type: ignore[union-attr]
    commit = _base(store, refs, base, revision)
    for sign, digits in _STEP.findall(steps):
        number = int(digits) if digits else 1
        if sign == "^":
            commit = _parent(store, refs, commit, number, revision)
        else:
            for _ in range(number):
                commit = _parent(store, refs, commit, 1, revision)
    return commit


def _parent(store: Store, refs: Refs, commit: str, number: int, revision: str) -> str:
    """The parent with this number, from 1; 0 is the commit itself. Raises NotFoundError."""
    parents = (commit, *load_commit(store, commit).parents)
    if number < len(parents):
        return parents[number]
    count = {0: "no parent", 1: "one parent", 2: "two parents"}.get(len(parents) - 1, f"{len(parents) - 1} parents")
    raise _unknown(refs, revision, f"{commit[:12]} has {count}")


def ref_in(revision: str) -> str:
    """The ref that a revision begins with, if it is one that does."""
    return re.split(r"[~^@]", revision, maxsplit=1)[0] if len(revision) <= _LONGEST else ""


def _base(store: Store, refs: Refs, base: str, revision: str) -> str:
    if _FULL.fullmatch(base) and _is_commit(store, refs.key, base):
        return base
    if ref := refs.find(base):
        return ref[1]
    if tracked := tracking.find(store, refs.key, base):
        return tracked
    if at := _AT.fullmatch(base):
        return _at_time(refs, at[1] or DEFAULT_BRANCH, at[2], revision)
    if base.startswith("git:"):
        return _of_git(store, refs, base[4:].lower(), revision)
    if _HEX.fullmatch(base):
        return _by_prefix(store, refs, base, revision)
    raise _unknown(refs, revision, "it is no branch, tag, alias or commit id", base)


def _at_time(refs: Refs, name: str, when: str, revision: str) -> str:
    try:
        limit = datetime.fromisoformat(when)
    except ValueError as error:
        raise InvalidInputError(
            f"{when!r} in {revision!r} is not a date",
            code="invalid_revision",
            hint="write @{2026-11-01} or @{2026-11-01T12:30:00+00:00}; times without a zone are UTC",
        ) from error
    limit = limit if limit.tzinfo else limit.replace(tzinfo=UTC)
    for kind in KINDS:
        for move in refs.log(kind, name):
            if datetime.fromisoformat(move.time) <= limit:
                if move.after:
                    return move.after
                break
    raise _unknown(refs, revision, f"{name!r} did not exist then", name)


def _of_git(store: Store, refs: Refs, sha: str, revision: str) -> str:
    """The newest commit, over all refs, that was made from the Git commit `sha…`."""
    heads = [commit for kind in KINDS for commit in refs.all(kind).values()]
    newest_first = reversed(list(parents_first(reversed(heads), lambda id: load_commit(store, id))))
    matching = [commit for commit in newest_first if _made_from(commit, sha)]
    if not matching:
        raise _unknown(refs, revision, "no commit was made from that Git commit")
    return max(matching, key=lambda commit: commit.time).id  # of equal times the first: children before parents


def _made_from(commit: Commit, sha: str) -> bool:
    origins = [source.get("origin") or {} for source in commit.operation.get("sources", [])]
    return len(sha) >= 4 and any(origin.get("commit", "").startswith(sha) for origin in origins)


def _is_commit(store: Store, key: str, id: str) -> bool:
    return store.size(path_of(id)) is not None and load_commit(store, id).dataset == key


def _by_prefix(store: Store, refs: Refs, prefix: str, revision: str) -> str:
    ids = [id for id in commit_ids(store, prefix) if load_commit(store, id).dataset == refs.key]
    if not ids:
        raise _unknown(refs, revision, "no commit id begins so", prefix)
    if len(ids) > 1:
        raise InvalidInputError(
            f"{revision!r} is ambiguous in {refs.dataset}: {', '.join(id[: len(prefix) + 6] for id in ids[:5])}",
            code="ambiguous_revision",
            hint="give more digits",
            candidates=ids,
        )
    return ids[0]


def _unknown(refs: Refs, revision: str, why: str, name: str = "") -> NotFoundError:
    """The error for an unknown revision. `name`: the part of it that may be a mistyped ref."""
    dataset, ending = refs.dataset, revision.removeprefix(name)
    return NotFoundError(
        f"{dataset} has no revision {revision!r}: {why}",
        code="revision_not_found",
        hint=say(
            "docs.log(), docs.branches(), docs.tags() and docs.aliases() list what there is",
            cli=f"`vecver log {dataset}`, `vecver branch {dataset}` and `vecver tag {dataset}` list what there is",
            http=f"GET /v1/datasets/{dataset}/commits, …/branches, …/tags and …/aliases list what there is",
        ),
        dataset=dataset,
        revision=revision,
        did_you_mean=[other + ending for other in near(name, refs.live_names())] if name else [],
    )
