"""A golden export: a folder of 2026-11-21 must open, check clean and answer the same for ever.

`export_v1` is the tag v1 of the golden repository: `vecver --repo tests/golden/v1 snapshot hand-book@v1 FOLDER`.
"""

from __future__ import annotations

from pathlib import Path

from test_golden import C0, HITS, ROOTS

import vecver

FOLDER = Path(__file__).parent / "export_v1"


def test_a_golden_export_opens_and_is_clean() -> None:
    one = vecver.open_snapshot(FOLDER)
    assert (one.commit.id, one.repository_id) == (C0, "2325fc0c71876741934db073bf3a3955")
    assert (one.commit.content_root, one.commit.vector_root) == ROOTS[C0]
    assert one.check().problems == ()


def test_a_golden_export_answers_the_same() -> None:
    one = vecver.open_snapshot(FOLDER)
    assert [(hit.document, hit.score, hit.key) for hit in one.search([1, 0, 0, 0], k=9)] == HITS["v1"]
    (hit,) = one.search([1, 0, 0, 0], filter={"year": {"$gte": 2000}})
    deep = {"deep": {"x": [1, None]}, "draft": False, "lang": "de", "share": 0.5, "tags": ["a", "b"], "year": 2024}
    assert hit.metadata == deep
    assert (hit.document, hit.title, hit.text) == ("docs/0.md", "Number 0", "This is text 0.")
