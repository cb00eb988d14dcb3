"""The graph of commits: order and lines."""

from __future__ import annotations

import random

import pytest

from vecver.cli.screens.graph import newest_first, rows


def drawn(*commits: tuple[str, str]) -> list[str]:
    """Commits ("a", "b c": its parents), newest first, as they are drawn."""
    lines = []
    pairs = [(id, parents.split()) for id, parents in commits]
    for row, (id, _) in zip(rows(pairs), pairs, strict=True):
        lines += [row.node + id, *row.edges]
    return lines


@pytest.mark.parametrize(
    ("commits", "lines"),
    [
        ([("b", "a"), ("a", "")], ["* b", "* a"]),
        ([("c", "a"), ("b", "a"), ("a", "")], ["* c", "| * b", "|/", "* a"]),
        ([("m", "a b"), ("b", "r"), ("a", "r"), ("r", "")], ["* m", "|\\", "| * b", "* | a", "|/", "* r"]),
        (
            [("d", "a"), ("c", "a"), ("b", "a"), ("a", "")],
            ["* d", "| * c", "|/", "| * b", "|/", "* a"],
        ),
        ([("x", ""), ("y", ""), ("z", "")], ["* x", "* y", "* z"]),
        (
            [("d", "a"), ("c", "b"), ("e", "a"), ("b", "a"), ("a", "")],
            ["* d", "| * c", "| | * e", "|_|/", "| * b", "|/", "* a"],
        ),
        ([("a", "gone")], ["* a"]),
    ],
)
def test_lines(commits: list[tuple[str, str]], lines: list[str]) -> None:
    assert drawn(*commits) == lines


def test_children_come_before_parents_whatever_their_clocks_say() -> None:
    parents = {"c": ["b"], "b": ["a"], "a": [], "d": ["a"]}
    times = {"c": "2020", "b": "2026", "a": "2025", "d": "2021"}
    assert newest_first(parents, times) == ["d", "c", "b", "a"]


@pytest.mark.parametrize("seed", range(20))
def test_any_history_is_drawn_once_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    parents = {str(n): chance.sample([str(m) for m in range(n)], min(n, chance.randint(0, 3))) for n in range(40)}
    order = newest_first(parents, {id: f"{chance.randint(0, 9)}" for id in parents})
    assert sorted(order) == sorted(parents)
    assert all(order.index(id) < order.index(parent) for id in order for parent in parents[id])
    drawn = list(rows([(id, parents[id]) for id in order]))
    assert len(drawn) == 40 and all(row.node.count("*") == 1 for row in drawn)
    assert len(drawn[-1].node) <= 2 * 40
