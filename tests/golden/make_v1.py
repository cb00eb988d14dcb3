"""Made `tests/golden/v1/` on 2026-11-21, with the formats of that day: `python tests/golden/make_v1.py FOLDER`.

A golden is never made again: later formats get goldens of their own, and this one must open for ever.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import numpy as np
from helpers import Ticking, open_on

from vecver.digest import key
from vecver.model import Space
from vecver.repo.write import vector_cache
from vecver.store import LocalStore

METADATA: list[dict[str, Any]] = [
    {"year": 2024, "share": 0.5, "lang": "de", "draft": False, "tags": ["a", "b"], "deep": {"x": [1, None]}},
    {"year": "unknown", "ünïcode.name": "日本"},
    {},
]


def record(number: int, text: str, **fields: Any) -> dict[str, Any]:
    vector = [float((number * 7 + i * 3) % 11 - 5) for i in range(4)]
    return {"id": f"docs/{number}.md", "text": text, "title": f"Number {number}", "vector": vector, **fields}


def main(folder: Path) -> None:
    store = LocalStore(folder)
    repository = open_on(store, clock=Ticking(), author="Golden Author <golden@example.org>")
    docs = repository.dataset("hand-book")
    base = [record(i, f"This is text {i}.", **METADATA[i]) for i in range(3)]
    docs.ingest(base, space="golden", metric="l2", message="First")
    docs.tag("v1")
    docs.promote("prod")
    edited = [base[0], record(1, "This is another text."), record(5, "Ünï 日本 😀")]
    docs.ingest(edited, space="golden", message="Second: ünï")
    docs.promote("prod")
    docs.rollback("main")
    docs.branch("side", "main~1")
    docs.branch("gone", "v1")
    docs.delete("branch", "gone")
    docs.ingest([record(9, "On a side branch.")], space="golden", branch="side", keep_missing=True, message="Third")
    docs.rollback("prod")
    segment = docs._versions.snapshot(docs.resolve("v1")).segments[0]
    scratch = store.scratch()
    (scratch / "index").write_bytes(b"golden index")
    docs._versions.put_derived(segment, "golden", scratch / "index", {"built": "by hand"})
    scratch.rmdir()
    vectors = {key(b"text", f"text {i}".encode()): np.arange(4, dtype=np.float32) + i for i in range(2)}
    vector_cache.save(store, Space("golden", 4, "ip"), vectors)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
