"""Lines that join commits to their parents, as `git log --graph` draws them; it sees only ids."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What stands before one commit."""

    node: str  # on its first line: "| * "
    below: str  # on its other lines: "| | "
    edges: tuple[str, ...]  # lines between it and the next commit: "|/"


def newest_first(parents: Mapping[str, Sequence[str]], times: Mapping[str, str]) -> list[str]:
    """Commits with every child before its parents, else the newest first; ids break ties."""
    children = dict.fromkeys(parents, 0)
    for parent_ids in parents.values():
        for parent in parent_ids:
            if parent in children:
                children[parent] += 1
    ready = [(_later(times[id]), id) for id, count in children.items() if not count]
    heapq.heapify(ready)
    found = []
    while ready:
        _, id = heapq.heappop(ready)
        found.append(id)
        for parent in parents[id]:
            if parent in children:
                children[parent] -= 1
                if not children[parent]:
                    heapq.heappush(ready, (_later(times[parent]), parent))
    return found


def rows(commits: Iterable[tuple[str, Sequence[str]]]) -> Iterator[Row]:
    """A row for each (id, parents), which come with every child before its parents."""
    lanes: list[str] = []  # the commit that each column leads down to
    for id, parents in commits:
        if id not in lanes:
            lanes.append(id)
        at = lanes.index(id)
        node = "".join("* " if lane == at else "| " for lane in range(len(lanes)))
        edges = []
        if not parents:
            edges += _ended(lanes, at)
        else:
            lanes[at] = parents[0]
            for number, parent in enumerate(parents[1:], 1):
                edges.append(_opened(lanes, at + number, parent))
        below = "| " * len(lanes)
        edges += _joined(lanes)
        yield Row(node, below, tuple(edges))


def _ended(lanes: list[str], at: int) -> list[str]:
    """A column that ends: those to its right move left."""
    del lanes[at]
    if at == len(lanes):
        return []
    return ["| " * at + " /" * (len(lanes) - at)]


def _opened(lanes: list[str], at: int, parent: str) -> str:
    """A column for one more parent, right of its child; those to its right move right."""
    moved = len(lanes) - at
    lanes.insert(at, parent)
    return "| " * (at - 1) + "|\\" + " \\" * moved


def _joined(lanes: list[str]) -> list[str]:
    """Columns that lead to the same commit become one: the right one goes over to the left."""
    found = []
    right = 1
    while right < len(lanes):
        left = lanes.index(lanes[right])
        if left == right:
            right += 1
            continue
        bridge = "|" + "_|" * (right - left - 1) if right - left > 1 else "|"
        found.append("| " * left + bridge + "/" + " /" * (len(lanes) - right - 1))
        del lanes[right]
    return found


def _later(time: str) -> tuple[int, ...]:
    """A key that sorts later times first."""
    return tuple(-ord(character) for character in time)
