"""The golden repository with policies and measures of keyword and hybrid search. Made by `make_modes.py`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers import Ticking, open_on
from make_modes import GATE

import vecver
from vecver.store import LocalStore

pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")

HERE = Path(__file__).parent


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A copy, since some tests write."""
    shutil.copytree(HERE / "modes", tmp_path / "modes")
    return LocalStore(tmp_path / "modes")


def test_it_opens_and_is_clean(store: LocalStore) -> None:
    repository = open_on(store, clock=Ticking())
    assert repository.check().problems == ()
    docs = repository.dataset("handbook")
    policies = docs.policies()
    assert {name: (each.mode, each.weight, each.fusion) for name, each in policies.items()} == {
        "plain": ("dense", None, None), "prod": ("hybrid", 0.25, None)
    }  # fmt: skip
    assert policies["prod"].approval and policies["plain"].gates == tuple(GATE)
    waiting = docs.approvals()["prod"]
    assert (waiting.state, waiting.mode, waiting.fusion, waiting.weight) == ("waiting", "hybrid", "rrf", None)
    measured = docs.measures()["recall-keyword"]
    assert (measured["mode"], measured["at"][0]["engine"]) == ("keyword", "bm25")
    (shown,) = docs.measure_history(measures="P@1,ann_recall@1", questions="words", mode="keyword")
    assert {name: each.mean for name, each in shown.measures.items()} == {"P@1": 1.0, "ann_recall@1": 1.0}
    (move,) = docs.moves("alias", "words")
    assert move.gating is not None and move.gating["engine"] == {"name": "faiss", "exact": False, "mode": "keyword"}


def test_what_waits_is_approved(store: LocalStore) -> None:
    docs = open_on(store, clock=Ticking(), author="boss").dataset("handbook")
    move = docs.approve("prod")
    assert move.gating is not None
    assert [(gate["gate"], gate["mode"]) for gate in move.gating["gates"]] == [(GATE[0], "hybrid")] * 2


def test_a_dense_policy_has_no_field_of_modes() -> None:
    (file,) = (HERE / "modes" / "policies").glob("*/plain")
    (entry,) = json.loads(file.read_text("utf-8").splitlines()[1])["entries"]
    assert set(entry) == {"gates", "questions", "exact", "engine", "author", "time"}


def test_a_policy_that_is_set_again_keeps_its_mode(store: LocalStore) -> None:
    docs: vecver.Dataset = open_on(store, clock=Ticking()).dataset("handbook")
    assert docs.set_policy("prod", ["P@1 >= 0.5"], questions="words").weight == 0.25
