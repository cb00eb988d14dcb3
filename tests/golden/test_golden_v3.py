"""The golden repository with chunks that say where they stand; see `test_golden.py` of v1. Made by `make_v3.py`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers import Ticking, open_on
from make_v3 import FILTER, QUERY, manual, others
from standing import cut_at_lines, line

import vecver
from vecver.store import LocalStore

HERE = Path(__file__).parent
FIRST = "1cb5795e3e062fa589f9224394ae549e5568cab154b96d94e4862fd81cbad507"
LAST = "f52e78aa7ce492441aaf66bc9c5a52c4092971309c7091344816faf619d567fe"
ROOTS = {
    LAST: (
        "e5f7a330dcdde3316f42ab8ffbfd9fd35a8223633f74c55d41f015b2edc6c7ba",
        "7a750ee12edce6015fbc5ee77cca984d24b97547aff9ecf9d131666864c07602",
    ),
    FIRST: (
        "80e68f9ec540499b6876c74b55cc31080585bd9d8a4c806fb59fc4562f9a16b5",
        "f0c1a285017c8af23dcf100dc42bcbdd53a6b13c132ffdfd0b70c8216dc739a7",
    ),
}


@pytest.fixture
def repository(tmp_path: Path) -> vecver.Repository:
    """A copy, since some tests write."""
    shutil.copytree(HERE / "v3", tmp_path / "v3")
    return open_on(LocalStore(tmp_path / "v3"), clock=Ticking())


def test_it_opens_and_is_clean(repository: vecver.Repository) -> None:
    assert repository.id == "d87a6d70750cce3941c7da0a26916fbd"
    report = repository.check()
    assert (report.problems, report.objects, report.bytes) == ((), 28, 52317)
    docs = repository.dataset("handbook")
    assert (docs.resolve("v1"), docs.resolve()) == (FIRST, LAST)
    for id, roots in ROOTS.items():
        assert (docs.show(id).content_root, docs.show(id).vector_root) == roots


def test_its_receipt_replays(repository: vecver.Repository) -> None:
    receipt = json.loads((HERE / "v3_receipt.json").read_text("utf-8"))
    assert vecver.replay(repository, receipt).identical
    answer = repository.dataset("handbook").search(QUERY, at="v1", k=9, exact=True, filter=FILTER)
    assert [(hit.document, hit.score, hit.key) for hit in answer] == [
        ("prices.xlsx", 0.34188172685146334, "e7698ed9cbf86c5246a21bd8db18dbbb"),
        ("manual.pdf", 0.0, "517b9ae81913c7d61f7c02bcf63553ca"),
    ]
    assert answer.receipt == receipt


def test_its_chunks_say_where_they_stand(repository: vecver.Repository) -> None:
    found = repository.dataset("handbook").search(QUERY, k=9)
    told: dict[str, Any] = {hit.text: hit.to_json() for hit in found}
    fields = ("headings", "header", "page", "sheet", "line")
    assert {text: {name: hit[name] for name in fields if name in hit} for text, hit in told.items()} == {
        "A preface.": {"page": 1},
        "Bleed the radiator with its key.": {"headings": ["Heating"], "page": 1},
        "| key | 3.10 |": {"headings": ["Heating", "Parts"], "header": "| Part | Price |", "page": 2},
        "Nobody knows where this stands.": {},
        "A radiator costs 90.": {"sheet": "Prices"},
        "def bleed(radiator): ...": {"headings": ["Radiator", "bleed"], "line": 41},
        "Keys hang by the door.": {},
        "Nothing above this.": {},
    }


def test_it_can_be_written_on(repository: vecver.Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_at_lines(monkeypatch)
    docs = repository.dataset("handbook")
    report = docs.ingest([manual(line("A preface.", page=1)), *others()], label="all")
    assert not report.changed
    report = docs.ingest([manual(), *others()], label="all")
    assert (report.names["changed"], report.chunks["embedded"]) == (("manual.pdf",), 0)
    docs.optimize()
    assert repository.check().problems == () and docs.show("v1").content_root == ROOTS[FIRST][0]
