"""Made `tests/golden/v3/` on 2026-11-26, with the formats of that day: `python tests/golden/make_v3.py FOLDER`.

It holds what `v2` lacks: documents whose rows say where their chunks stand, beside others in the same segment and in
another, a document whose chunks moved, and a receipt of a filter on them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import pytest
from helpers import Ticking, open_on
from standing import cut_at_lines, line

from vecver.store import LocalStore

QUERY = "How do I bleed a radiator?"
FILTER = {"$or": [{"page": {"$gte": 2}, "headings": "Heating"}, {"sheet": "Prices"}]}


def manual(*before: str) -> dict[str, Any]:
    """A document on two pages; `before` stands above it all."""
    rows = [
        *before,
        line("Bleed the radiator with its key.", headings=["Heating"], page=1),
        line("| key | 3.10 |", headings=["Heating", "Parts"], header="| Part | Price |", page=2),
        line("Nobody knows where this stands."),
    ]
    return {"id": "manual.pdf", "text": "\n".join(rows)}


def others() -> list[dict[str, Any]]:
    """A workbook, a source file, and a document of which nothing is known."""
    return [
        {"id": "prices.xlsx", "text": line("A radiator costs 90.", sheet="Prices"), "year": 2026},
        {"id": "bleed.py", "text": line("def bleed(radiator): ...", headings=["Radiator", "bleed"], line=41)},
        {"id": "plain.txt", "text": line("Keys hang by the door.")},
    ]


def main(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        cut_at_lines(patch)
        repository = open_on(LocalStore(folder / "v3"), clock=Ticking(), author="Golden Author <golden@example.org>")
        docs = repository.dataset("handbook")
        docs.ingest([manual(), *others()], embedder="hashing", label="all", message="First")
        docs.tag("v1")
        docs.ingest([manual(line("A preface.", page=1)), *others()], label="all", message="A preface")
        docs.ingest([{"id": "note", "text": line("Nothing above this.")}], label="note", message="A note")
        answer = docs.search(QUERY, at="v1", k=9, exact=True, filter=FILTER)
    text = json.dumps(answer.receipt, indent=1, ensure_ascii=False) + "\n"
    (folder / "v3_receipt.json").write_text(text, "utf-8")
    for kind in ("main", "v1"):
        print(kind, docs.resolve(kind), docs.show(kind).content_root, docs.show(kind).vector_root)
    report = repository.check()
    print(repository.id, report.problems, report.objects, report.bytes)
    print([(hit.document, hit.score, hit.key) for hit in answer])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
