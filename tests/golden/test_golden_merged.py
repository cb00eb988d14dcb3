"""The golden repository with merges: crossed histories, settled conflicts, a branch that moved forward."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers import Ticking, open_on, texts_of, vector_of
from make_merged import BRANCHES, QUERY, write

import vecver
from vecver.store import LocalStore

HERE = Path(__file__).parent
HEADS = {
    "main": "0cc945bcec6de384d581f2d907f5b77491d7232266129b1aa4d69711cd7d6c67",
    "draft": "e19e304d784c049d06fa8e203422557df9b213e923764e47f78937feb9f3a6c5",
    "next": "0cc945bcec6de384d581f2d907f5b77491d7232266129b1aa4d69711cd7d6c67",
}
TEXTS = {"a": "one of draft", "b": "two of draft", "d": "draft", "m": "main"}
ROOT = "35a9bbcaaeee7dbbff6758e824a543c9816cbb2ea05739babf04bc32fb00ea75"


@pytest.fixture
def docs(tmp_path: Path) -> vecver.Dataset:
    """Of a copy, since opening it may write."""
    shutil.copytree(HERE / "merged", tmp_path / "merged")
    return open_on(LocalStore(tmp_path / "merged"), clock=Ticking()).dataset("handbook")


def test_it_holds_what_was_merged(docs: vecver.Dataset) -> None:
    assert docs.branches() == HEADS
    for branch in BRANCHES:
        assert texts_of(docs, branch) == TEXTS and docs.show(branch).content_root == ROOT
    assert docs.show("main").parents == (docs.resolve("main~1"), HEADS["draft"])
    assert len(docs.show("main").operation["bases"]) == 2, "the histories crossed"
    assert docs.show("main~1").operation["settled"] == {"b": "theirs"}
    assert docs.show("draft~1").operation["settled"] == {"b": "ours"}
    assert docs.moves("branch", "next")[0].reason == "merge" and docs.repository.check().clean


def test_it_goes_on(docs: vecver.Dataset) -> None:
    """Its merges are known as such, and a rollback goes to where the branch stood."""
    assert docs.merge("draft").kind == "up_to_date"
    write(docs, "draft", {"e": "five"})
    write(docs, "main", {"m": "main again"})
    merge = docs.merge("draft")
    assert merge.bases == (HEADS["draft"],) and texts_of(docs) == {**TEXTS, "e": "five", "m": "main again"}
    before = docs.show("next").parents[0]
    docs.rollback("next")
    assert docs.show("next").content_root == docs.show(before).content_root


def test_its_receipt_is_replayed(docs: vecver.Dataset) -> None:
    receipt = json.loads((HERE / "merged_receipt.json").read_text("utf-8"))
    assert vecver.replay(docs.repository, receipt).identical
    assert docs.search(vector_of(QUERY), at="v1", exact=True).receipt == receipt
