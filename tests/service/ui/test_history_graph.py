"""The lines of the history: they join, every version has its own, and the trunk keeps the first column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from vecver_service.ui.graph import GraphRow, rows

Parents = dict[str, list[str]]


@st.composite
def histories(draw: st.DrawFn) -> Parents:
    """Versions, the newest first, each with up to two older parents."""
    count = draw(st.integers(1, 12))
    parents: Parents = {}
    for number in range(count, 0, -1):
        older = st.integers(1, number - 1) if number > 1 else st.nothing()
        chosen = draw(st.lists(older, unique=True, max_size=2)) if number > 1 else []
        parents[f"v{number}"] = [f"v{each}" for each in chosen]
    return parents


def drawn(parents: Mapping[str, Sequence[str]], trunk: str = "") -> dict[str, GraphRow]:
    return dict(zip(parents, rows(parents, trunk), strict=True))


@given(histories(), st.data())
def test_lines_join_and_lead_to_every_parent(parents: Parents, data: st.DataObject) -> None:
    made = drawn(parents, data.draw(st.sampled_from(["", *parents])))
    reach: dict[int, set[str]] = {}  # the column at the border of two rows -> the versions whose lines run there
    ends: dict[str, set[str]] = {id: set() for id in parents}
    for id, row in made.items():
        assert {top for top, _ in row.upper} == set(reach), "a line begins or ends between two rows"
        middle: dict[int, set[str]] = {row.x: {id}}
        for top, x in row.upper:
            if x == row.x:
                ends[id] |= reach[top]
            else:
                middle.setdefault(x, set()).update(reach[top])
        reach = {}
        for x, bottom in row.lower:
            reach.setdefault(bottom, set()).update(middle[x])
        assert all(x < row.columns for line in (*row.upper, *row.lower) for x in line) and row.x < row.columns
    assert {child for child, its in parents.items() if its} == set().union(*ends.values())
    assert all(child in ends[parent] for child, its in parents.items() for parent in its)


def test_the_trunk_keeps_the_first_column_below_a_newer_branch() -> None:
    parents = {"b2": ["b1"], "m2": ["m1"], "b1": ["m1"], "m1": []}
    made = drawn(parents, trunk="m2")
    assert [made[id].x for id in parents] == [1, 0, 1, 0]
    assert made["b2"].upper == () and made["m2"].upper == ((1, 1),)
    assert drawn({"b": ["m"], "m": []}, trunk="m")["b"] == GraphRow(1, (), ((1, 0),), 2)
