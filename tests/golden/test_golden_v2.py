"""The golden repository of 2026-11-26: what `test_golden.py` says of v1 holds for it too. Made by `make_v2.py`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers import Ticking, open_on
from inside import versions_of
from make_v2 import QUERY, pages

import vecver
from vecver.store import LocalStore

HERE = Path(__file__).parent
FIRST = "c41efabc5bf4622395cb22f29c82e7487f619dc9e3364fb129389d50ab2d4cbb"
LAST = "fcc03c2d552b4536fff45bee317ac1572dcd065fe5ecb3236fad34b868b34e12"
ACCOUNTS = "a292e822de3c3a6a81679d512962b8d4e3dfd2a7ab27dc43034791594c3b7798"
ROOTS = {
    LAST: (
        "7ce10edfdb0db0c6d26126ca84880b82e613c70f16e365a595c0a280f6226176",
        "0ede9fdbb70761175d6bfa66e547210fe860de05e39b329d1c6848f4cfe4d716",
    ),
    FIRST: (
        "6313fdf872e16c8efb3dfc7f31bf8a208d997e70bf477020d18d39723b4065d8",
        "dd99a361f1adaa48d8ebf9e5576ee09a1660e3608858d0ed3970fdc7fc9ad76a",
    ),
}


@pytest.fixture
def repository(tmp_path: Path) -> vecver.Repository:
    """A copy, since some tests write."""
    shutil.copytree(HERE / "v2", tmp_path / "v2")
    return open_on(LocalStore(tmp_path / "v2"), clock=Ticking())


def test_it_opens_and_is_clean(repository: vecver.Repository) -> None:
    assert repository.id == "6924797a9d14b5f0c7eafad79e4a1d64"
    report = repository.check()
    assert (report.problems, report.objects, report.bytes) == ((), 103, 189482)
    docs = repository.dataset("handbook")
    assert (docs.resolve("v1"), docs.resolve(), repository.dataset("accounts").resolve()) == (FIRST, LAST, ACCOUNTS)
    for id, roots in ROOTS.items():
        assert (docs.show(id).content_root, docs.show(id).vector_root) == roots


def test_its_receipt_replays(repository: vecver.Repository) -> None:
    receipt = json.loads((HERE / "v2_receipt.json").read_text("utf-8"))
    assert vecver.replay(repository, receipt).identical
    answer = repository.dataset("handbook").search(QUERY, at="v1", k=2, exact=True)
    assert [(hit.document, hit.score, hit.key) for hit in answer] == [
        ("heating.md", 0.15569978864447265, "e1e3c6c2c4c7c41b5161b82575fda5c4"),
        ("keys.md", 0.0, "78a1b224e402b61d8bea5562e70566b1"),
    ]
    assert answer.receipt == receipt


def test_its_fold_is_read(repository: vecver.Repository) -> None:
    versions = versions_of(repository.dataset("handbook"))
    assert [live.chunk_count for live in versions.layout(LAST).segments] == [20, 2]


@pytest.mark.parametrize(
    ("filter", "numbers"),
    [
        ({"balance": {"$decimal": "12345678901234567.89"}}, [0]),
        ({"balance": {"$lt": 1}}, [2]),
        ({"opened": {"$lte": "2026-10-25T00:31Z"}}, [0, 1]),
        ({"groups": {"$nin": [7]}}, [1, 2]),
    ],
)
def test_decimals_instants_and_lists_match(repository: vecver.Repository, filter: Any, numbers: list[int]) -> None:
    answer = repository.dataset("accounts").search([1, 0, 0], k=9, filter=filter)
    assert sorted(hit.document for hit in answer) == [f"account {number}" for number in numbers]


def test_a_text_of_it_is_not_embedded_again(repository: vecver.Repository, tmp_path: Path) -> None:
    report = repository.dataset("copy").ingest(pages(tmp_path / "other"), embedder="hashing")
    assert (report.documents["added"], report.chunks["embedded"]) == (2, 0)


def test_its_source_goes_on_under_its_label(repository: vecver.Repository, tmp_path: Path) -> None:
    """The folder moved; by its label it is the same source, and a file that could not be read is not a new one."""
    docs, source = repository.dataset("handbook"), pages(tmp_path / "moved")
    for number in range(9):
        (source / f"day-{number}.md").write_text(f"# Day {number}\n\nToday is day {number}.\n", "utf-8")
    status = docs.status(source, label="handbook")
    assert status == {"added": [], "changed": [], "removed": [], "failed": ["broken.pdf"]}
    (source / "day-3.md").unlink()
    report = docs.ingest(source, label="handbook")
    assert (report.names["removed"], report.chunks["embedded"]) == (("day-3.md",), 0)
    assert repository.check().problems == ()
