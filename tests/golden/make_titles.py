"""Made `tests/golden/titles/` on 2026-11-26, with the formats of that day: `python tests/golden/make_titles.py FOLDER`.

It holds what `v3` lacks: a version whose recipe lets titles lift passages, and receipts with options.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from helpers import Ticking, open_on

from vecver.store import LocalStore

QUERY = "bleed a radiator"
RECORDS: list[dict[str, Any]] = [
    {
        "id": "guides/valve.md",
        "title": "Bleed a radiator",
        "text": "Turn the red valve until water runs.\n\nClose it when the hissing has stopped for good.",
        "year": 2026,
    },
    {"id": "guides/pump.md", "title": "Pump", "text": "Bleed the pump and oil it.\n\nThen close the valve."},
    {"id": "tax.md", "title": "Tax", "text": "File the form in May."},
    {"id": "keys.md", "text": "The key of the radiator hangs by the door."},
]
ASKED: dict[str, dict[str, Any]] = {
    "titles": {},
    "options": {"k": 2, "offset": 1, "per_document": 1, "min_score": -0.5, "diversity": 0.4},
    "path": {"filter": {"$path": "guides/", "$not": {"$title": {"$contains": "ump"}}}},
    "missing": {"filter": {"tenant": {"$ne": 7}}, "missing": "empty"},
}


def main(folder: Path) -> None:
    repository = open_on(LocalStore(folder / "titles"), clock=Ticking(), author="Golden Author <golden@example.org>")
    docs = repository.dataset("handbook")
    docs.ingest(RECORDS, embedder="hashing", chunk_tokens=16, label="all", message="First")
    docs.tag("v1")
    answers = {name: docs.search(QUERY, at="v1", exact=True, **how) for name, how in ASKED.items()}
    answers["like"] = docs.more_like("guides/pump.md", at="v1", exact=True)
    receipts = {name: answer.receipt for name, answer in answers.items()}
    (folder / "titles_receipts.json").write_text(json.dumps(receipts, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(repository.id, docs.resolve("v1"), docs.show("v1").content_root)
    for name, answer in answers.items():
        print(name, [(hit.document, hit.span, hit.by, round(hit.score, 4)) for hit in answer])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
