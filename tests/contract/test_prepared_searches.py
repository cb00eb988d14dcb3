"""What a process keeps between searches changes no answer: refs moved elsewhere, other versions, filters, threads."""

from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import vecver
from vecver.model import Json

ROWS, DIM, VERSIONS = 9000, 8, 3
FILTERS: tuple[Json | None, ...] = (None, {"share": {"$lt": 500}}, {"share": {"$lt": 30}}, {"share": {"$lt": 0}})
Asked = tuple[int, int, Json | None, int]  # version, query, filter, k

_MOVE = """
import sys, vecver
docs = vecver.open(sys.argv[1]).dataset("d")
docs.promote("prod", sys.argv[2]) if sys.argv[3] == "prod" else docs.rollback("main", sys.argv[2])
print(docs.resolve(sys.argv[3]))
"""


def table(version: int) -> pa.Table:
    """All rows in the first version; later ones write some anew."""
    rng, slots = np.random.default_rng(version), np.arange(ROWS) if version == 0 else np.arange(version, ROWS, 7)
    vectors = rng.standard_normal((len(slots), DIM)).astype(np.float32)
    return pa.table(
        {
            "id": [f"{slot:05d}" for slot in slots],
            "text": [f"Row {slot} of version {version}." for slot in slots],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIM),
            "share": rng.integers(0, 1000, len(slots)),
        }
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A repository with an index, and its commits."""
    folder, ids = tmp_path_factory.mktemp("prepared") / "kb", []
    docs = vecver.open(folder, create=True).dataset("d")
    for version in range(VERSIONS):
        docs.ingest(table(version), space="given", label="rows", keep_missing=True, allow_removals=True)
        ids.append(docs.resolve())
    docs.optimize()
    return folder, ids


def answered(docs: vecver.Dataset, ids: list[str], asked: Asked) -> list[Any]:
    """Everything that an answer holds beside the revision."""
    version, number, filter, k = asked
    query = np.random.default_rng(1000 + number).standard_normal(DIM).astype(np.float32)
    answer = docs.search(query, at=ids[version], k=k, filter=filter)
    return [answer.commit, [hit.to_json() for hit in answer], answer.receipt]


def questions(count: int) -> list[Asked]:
    draw = random.Random(0)
    return [
        (draw.randrange(VERSIONS), draw.randrange(20), draw.choice(FILTERS), draw.choice((1, 10, 40)))
        for _ in range(count)
    ]


def test_a_handle_that_searched_before_answers_as_a_new_one(built: tuple[Path, list[str]]) -> None:
    folder, ids = built
    warm = vecver.open(folder).dataset("d")
    for asked in questions(24):
        assert answered(warm, ids, asked) == answered(vecver.open(folder).dataset("d"), ids, asked)


def test_threads_that_share_a_handle_get_the_same_answers(built: tuple[Path, list[str]]) -> None:
    folder, ids = built
    asked = questions(60)
    alone = [answered(vecver.open(folder).dataset("d"), ids, question) for question in asked[:6]]
    alone += [
        answered(handle, ids, question) for handle in [vecver.open(folder).dataset("d")] for question in asked[6:]
    ]
    shared = vecver.open(folder).dataset("d")
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda question: answered(shared, ids, question), asked * 3))
    assert together == alone * 3


def test_an_exact_answer_is_the_best_of_all_matching_rows(built: tuple[Path, list[str]]) -> None:
    folder, ids = built
    docs, rows = vecver.open(folder).dataset("d"), dict[str, tuple[Any, int]]()
    for version in range(2):  # as version 1 holds them
        columns = table(version).to_pydict()
        rows |= zip(columns["id"], zip(columns["vector"], columns["share"], strict=True), strict=True)
    query = np.random.default_rng(7).standard_normal(DIM).astype(np.float32)
    unit = query / np.linalg.norm(query)
    scores = {
        id: float(np.dot(vector, unit) / np.linalg.norm(vector)) for id, (vector, share) in rows.items() if share < 30
    }
    best = sorted(scores, key=lambda id: -scores[id])[:10]
    for exact in (True, False):
        answer = docs.search(query, at=ids[1], filter={"share": {"$lt": 30}}, exact=exact)
        assert [hit.document for hit in answer] == best
        assert np.allclose([hit.score for hit in answer], [scores[id] for id in best], atol=1e-6)


@pytest.mark.parametrize("ref", ["main", "prod"])
def test_a_ref_that_another_process_moves_is_seen_by_the_next_search(tmp_path: Path, ref: str) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    ids = []
    for text in ("one", "two"):
        docs.ingest([{"id": text, "text": text, "vector": [1.0, 0.0]}], space="given", label="rows", keep_missing=True)
        ids.append(docs.resolve())
    docs.promote("prod", ids[1])
    query = np.array([1.0, 0.0], np.float32)
    assert [docs.search(query, at=ref).commit for _ in range(2)] == [ids[1]] * 2
    moves = [sys.executable, "-c", _MOVE, str(tmp_path / "kb"), ids[0], ref]
    moved = subprocess.run(moves, check=True, capture_output=True, text=True).stdout.strip()
    assert moved != ids[1] and docs.search(query, at=ref).commit == moved == docs.resolve(ref)
