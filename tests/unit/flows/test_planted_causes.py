"""Planted causes: `compare` names the reason that was planted; the command in `planted_causes` runs all 200."""

from __future__ import annotations

import pytest
from planted_causes import OWN, approximation, other_embedder, own_changes, rechunked

pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")


def test_a_documents_own_change_and_its_rivals_are_named() -> None:
    cases = list(own_changes(40))
    assert [case.planted for case in cases[:4]] == list(OWN)
    assert [case for case in cases if not case.is_right] == []


def test_another_chunker_is_named() -> None:
    cases = rechunked(12)
    assert {case.planted for case in cases} == {"rechunked", "edited"}
    assert [case for case in cases if not case.is_right] == []


def test_another_embedder_is_named() -> None:
    cases = other_embedder(6, words=12)
    assert len(cases) >= 6 and [case for case in cases if not case.is_right] == []


def test_what_a_real_index_missed_is_named() -> None:
    cases = approximation(12, rows=8_300)
    assert len(cases) == 12 and [case for case in cases if not case.is_right] == []
