"""The golden repository whose titles lift passages, and receipts with options. Made by `make_titles.py`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers import Ticking, open_on
from make_titles import ASKED, QUERY

import vecver
from vecver.store import LocalStore

HERE = Path(__file__).parent
FIRST = "86e96fa8e4590d334f2dbad5c5da071d2545a1b8259249b8c316ab63808f2ffd"


@pytest.fixture
def repository(tmp_path: Path) -> vecver.Repository:
    """A copy, since opening it may write."""
    shutil.copytree(HERE / "titles", tmp_path / "titles")
    return open_on(LocalStore(tmp_path / "titles"), clock=Ticking())


def test_it_answers_as_its_receipts_say(repository: vecver.Repository) -> None:
    receipts = json.loads((HERE / "titles_receipts.json").read_text("utf-8"))
    docs = repository.dataset("handbook")
    assert (repository.id, docs.resolve("v1")) == ("ec9921db06d46e95191926159f122ab9", FIRST)
    assert set(receipts) == {*ASKED, "like"}
    for name, receipt in receipts.items():
        assert vecver.replay(repository, receipt).identical, name
        how = ASKED.get(name)
        again = docs.more_like("guides/pump.md", at="v1", exact=True)
        again = again if how is None else docs.search(QUERY, at="v1", exact=True, **how)
        assert again.receipt == receipt, name


def test_its_options_by_hand(repository: vecver.Repository) -> None:
    receipts = json.loads((HERE / "titles_receipts.json").read_text("utf-8"))
    titles = {"titles": "passage"}
    shaped = {"offset": 1, "per_document": 1, "min_score": -0.5, "diversity": 0.4}
    assert {name: receipt["options"] for name, receipt in receipts.items()} == {
        "titles": titles,
        "options": {**titles, **shaped},
        "path": titles,
        "missing": {**titles, "missing": "empty"},
        "like": {**titles, "like": {"document": "guides/pump.md"}},
    }
    found = repository.dataset("handbook").search(QUERY, at="v1")
    assert [(hit.document, hit.span, hit.by) for hit in found] == [
        ("guides/valve.md", (0, 38), "title"),
        ("keys.md", (0, 42), None),
        ("tax.md", (0, 21), "title"),
        ("guides/pump.md", (0, 49), "title"),
        ("guides/valve.md", (38, 85), None),
    ]
