"""Made `tests/golden/v2/` on 2026-11-26, with the formats of that day: `python tests/golden/make_v2.py FOLDER`.

It holds what `v1` lacks: files from a folder (places of sources, an unreadable document), embedded texts (tables of
known vectors), exact decimals and instants, a folded tail, and a receipt.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import pyarrow as pa
from helpers import Ticking, open_on

from vecver.store import LocalStore

QUERY = "How do I bleed a radiator?"
PAGES = {
    "heating.md": "# Heating\n\nBleed the radiator with its key.\n",
    "keys.md": "# Keys\n\nKeys hang by the door.\n",
}
BALANCES = [Decimal("12345678901234567.89"), Decimal("12345678901234567.90"), Decimal("0.10")]


def pages(folder: Path) -> Path:
    """A folder of two pages and a file that nobody can read."""
    folder.mkdir(parents=True)
    for name, text in PAGES.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "broken.pdf").write_bytes(b"no PDF")
    return folder


def accounts() -> pa.Table:
    """Records with an exact decimal, an instant in another zone, and a list of integers."""
    zone = timezone(timedelta(hours=2))
    return pa.table(
        {
            "id": [f"account {i}" for i in range(3)],
            "text": [f"This is account {i}." for i in range(3)],
            "vector": pa.array([[1.0, float(i), 0.0] for i in range(3)], pa.list_(pa.float32())),
            "balance": pa.array(BALANCES, pa.decimal128(20, 2)),
            "opened": [datetime(2026, 10, 25, 2, 30 + i, tzinfo=zone).isoformat() for i in range(3)],
            "groups": [[7, 8], [8], []],
        }
    )


def main(folder: Path) -> None:
    repository = open_on(LocalStore(folder / "v2"), clock=Ticking(), author="Golden Author <golden@example.org>")
    docs = repository.dataset("handbook")
    source = pages(folder / "handbook")
    docs.ingest(source, embedder="hashing", message="First")
    docs.tag("v1")
    for number in range(9):
        (source / f"day-{number}.md").write_text(f"# Day {number}\n\nToday is day {number}.\n", "utf-8")
        docs.ingest(source, message=f"Day {number}")
    answer = docs.search(QUERY, at="v1", k=2, exact=True)
    (folder / "v2_receipt.json").write_text(json.dumps(answer.receipt, indent=1, ensure_ascii=False) + "\n", "utf-8")
    repository.dataset("accounts").ingest(accounts(), space="golden", metric="ip", message="Accounts")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
