"""Finds the names that resemble a mistyped one.

    near("mian", ["main", "prod"])              ["main"]
    near("heating.md", ["docs/heating.md"])     ["docs/heating.md"]

Decisions
1. difflib's ratio of 0.6 finds a swapped, lost, doubled or wrong letter in words of four letters and more. 10,000 names
   take 20 ms, and no more are compared. Not rapidfuzz: faster, but a package for what runs once before a program ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

MOST_LOOKED_AT = 10_000  # names
LONGEST = 200  # characters of a name that are compared
LEAST_RATIO = 0.6
CLOSE = 0.1  # a name that is that much less like it than the best is not named beside that


def near(name: object, names: Iterable[str], most: int = 3) -> list[str]:
    """Up to `most` of `names` that someone who wrote `name` may have meant, the likeliest first.

    Case is ignored. A path resembles another also by its last part. `name` itself is never one of them; something
    that is no string resembles nothing. Of more than 10,000 names the first are looked at.
    """
    if not isinstance(name, str) or not name.strip():
        return []
    start = name[:LONGEST]
    rated = [(_ratio(start, other[:LONGEST]), other) for other in islice(dict.fromkeys(names), MOST_LOOKED_AT)]
    best = max((ratio for ratio, other in rated if other != name), default=0.0)
    likely = [(-ratio, other) for ratio, other in rated if ratio >= max(LEAST_RATIO, best - CLOSE) and other != name]
    return [other for _, other in sorted(likely)[:most]]


def _ratio(name: str, other: str) -> float:
    """How much two names resemble each other, 0 to 1; of paths the whole or the last parts, whichever is more."""
    name, other = name.casefold(), other.casefold()
    last, other_last = name.rstrip("/").rpartition("/")[2], other.rstrip("/").rpartition("/")[2]
    similarity = _similarity(name, other)
    if (last, other_last) == (name, other) or not last:
        return similarity
    return max(similarity, 0.95 * _similarity(last, other_last))


def _similarity(name: str, other: str) -> float:
    if name == other:
        return 1.0
    from difflib import SequenceMatcher  # 1 ms, and most commands mistype nothing

    matcher = SequenceMatcher(None, name, other, autojunk=False)
    if matcher.real_quick_ratio() < LEAST_RATIO or matcher.quick_ratio() < LEAST_RATIO:
        return 0.0
    return matcher.ratio()
