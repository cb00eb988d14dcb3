"""Bisecting: finds the version that broke an answer or a measure, in as many steps as the history halves.

the versions from `good` to `bad` along first parents -> try the middle one, keep the half in which it broke -> its diff

Decisions
1. The two ends are believed, as git believes them; but an end that the answer rests on alone is tried: `bad` where
   every other version passed, `good` where every other one failed. So no version is named that was not seen to fail.
2. While none has failed the middle is rounded up, afterwards down: so with that last try the steps stay within the
   logarithm (8 for 140 versions).
3. Versions whose rows gc deleted are passed over, and counted if they lie before the one that is named.
"""

from __future__ import annotations

from collections.abc import Callable

from vecver import repo
from vecver.errors import InvalidInputError, NotFoundError, say
from vecver.model import Bisection, Tested
from vecver.repo import Versions

Try = Callable[[str], "tuple[bool, float | None]"]  # a commit -> does it pass, and its value


def bisect(versions: Versions, dataset: str, good: str, bad: str, attempt: Try) -> Bisection:
    """The first version after `good` at which `attempt` fails, on the way to `bad`.

    Raises NotFoundError, InvalidInputError (`good` is not before `bad`; `bad` passes; `good` fails).
    """
    every = _way(versions, dataset, good, bad)
    way = [id for id in every if _has_rows(versions, id)]
    for end in (every[0], every[-1]):
        versions.layout_with_rows(end)  # raises, saying what became of its rows
    low, high, tested = 0, len(way) - 1, list[Tested]()
    while high - low > 1:
        none_failed = all(each.passed for each in tested)
        middle = (low + high + none_failed) // 2
        passed = _try(tested, way[middle], attempt)
        low, high = (middle, high) if passed else (low, middle)
    tried = {each.commit for each in tested}
    if way[high] not in tried and _try(tested, way[high], attempt):
        raise _wrong_end("bad", dataset, bad, "passes", "name a version that fails as --bad")
    if way[low] not in tried and not any(each.passed for each in tested) and not _try(tested, way[low], attempt):
        raise _wrong_end("good", dataset, good, "fails too", "name an older version that passes as --good")
    between = every.index(way[high]) - every.index(way[low]) - 1
    old, new = (versions.snapshot(way[end]) for end in (low, high))
    return Bisection(dataset, way[high], way[low], tuple(tested), between, repo.diff(old, new))


def _try(tested: list[Tested], commit: str, attempt: Try) -> bool:
    passed, value = attempt(commit)
    tested.append(Tested(commit, passed, value))
    return passed


def _way(versions: Versions, dataset: str, good: str, bad: str) -> list[str]:
    """The commits from `good` to `bad`, along first parents, both included. Raises InvalidInputError."""
    first, id = versions.resolve(dataset, good), versions.resolve(dataset, bad)
    way = [id]
    while id != first:
        parents = versions.commit(id).parents
        if not parents:
            raise InvalidInputError(
                f"{good} is not among the versions that led to {bad}",
                code="not_before",
                hint=say(
                    f"docs.log({bad!r}) lists them", cli=f"`vecver log {dataset}@{bad}` lists them: choose an older one"
                ),
            )
        id = parents[0]
        way.append(id)
    if len(way) == 1:
        raise InvalidInputError(
            f"{good} and {bad} are the same version",
            code="not_before",
            hint="name a version that passes and a later one that fails",
        )
    return way[::-1]


def _has_rows(versions: Versions, id: str) -> bool:
    try:
        versions.layout(id)
    except NotFoundError as error:
        return error.code == "rows_elsewhere"  # they come when it is tried
    return True


def _wrong_end(end: str, dataset: str, revision: str, what: str, hint: str) -> InvalidInputError:
    python = hint.replace("--", "")
    return InvalidInputError(
        f"the {end} version, {dataset}@{revision}, {what}", code=f"{end}_version", hint=say(python, cli=hint)
    )
