"""Globs: which parts of a pattern a path has reached, one folder level at a time. Reads nothing.

`**` stands for any number of folders, also none. Other parts match one name, case-sensitively.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


def after_name(parts: list[str], wanted: Iterable[int], name: str) -> set[int]:
    """Positions in the pattern that are reached by the path part `name`; `len(parts)` is a match."""
    positions = [at for at in wanted if at < len(parts)]
    stay = {at for at in positions if parts[at] == "**"}
    return stay | {at + 1 for at in positions if at not in stay and fnmatchcase(name, parts[at])}


def past_stars(parts: list[str], wanted: set[int]) -> frozenset[int]:
    """`wanted`, and the positions after a `**`, which may match no folder at all."""
    reached = set(wanted)
    for at, part in enumerate(parts):
        if at in reached and part == "**":
            reached.add(at + 1)
    return frozenset(reached)


def matches(pattern: str, document: str) -> bool:
    """Whether a glob matches an id, or a file's path below a folder; case-sensitive."""
    parts = pattern.split("/")
    at = past_stars(parts, {0})
    for name in document.split("/"):
        at = past_stars(parts, after_name(parts, at, name))
    return len(parts) in at
