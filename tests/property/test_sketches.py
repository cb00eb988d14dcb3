"""The sketch of a version equals one that is counted from all its live rows, whatever led to the version."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest

import vecver
from vecver.repo.rows.sketched import sketch_of_live
from vecver.sketching import Sketch

TEXTS = (
    "The valve is opened by hand, and water comes out of it.",
    "Das Ventil wird von Hand geöffnet, und das Wasser läuft aus.",
    "Вентиль открывают рукой, и из него выходит вода.",
    "バルブは手で開けます。",
    "",
    " ",
    "x" * 5000,
    "\U0001f600 no words\n",
    "print(1)",
)


def counted(docs: vecver.Dataset, at: str = "main") -> tuple[Sketch | None, Sketch]:
    """(the sketch that a version carries, one of all its live rows)."""
    versions: Any = docs._versions
    versions.opened.close_all()
    snapshot = versions.snapshot(docs.resolve(at))
    return snapshot.layout.sketch, sketch_of_live(zip(snapshot.segments, snapshot.layout.segments, strict=True))


def assert_exact(docs: vecver.Dataset, at: str = "main") -> None:
    carried, fresh = counted(docs, at)
    assert carried is not None
    different = [name for name, counts in fresh.parts.items() if not np.array_equal(counts, carried.parts[name])]
    assert not different
    assert Sketch.from_json(carried.to_json()) == fresh


@pytest.mark.parametrize("seed", range(6))
def test_any_history_of_vectors_leaves_the_sketch_of_its_rows(tmp_path: Any, seed: int) -> None:
    random_source, numbers = random.Random(seed), np.random.default_rng(seed)
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")

    def rows(count: int) -> list[dict[str, Any]]:
        vectors = numbers.standard_normal((count, 24)).astype(np.float32) * 10 ** numbers.uniform(-40, 20, (count, 1))
        return [
            {"id": f"{random_source.randrange(40)}-{n}", "text": random_source.choice(TEXTS), "vector": v}
            for n, v in enumerate(vectors.astype(np.float32).tolist())
        ]

    docs.ingest(rows(30), label="rows", space="given", metric="ip")
    ids = docs.documents()
    for _ in range(10):
        act = random_source.choice(("ingest", "upsert", "delete", "rollback", "optimize", "again"))
        if act == "ingest":
            docs.ingest(rows(random_source.randrange(1, 30)), label="rows", allow_removals=True)
        elif act == "upsert":
            docs.upsert(rows(random_source.randrange(1, 9)), label="rows", space="given", metric="ip")
        elif act == "delete":
            docs.delete(random_source.sample(docs.documents(), k=min(5, len(docs.documents()))))
        elif act == "rollback":
            docs.rollback("main", to=random_source.choice(list(docs.log())))
        elif act == "optimize":
            docs.optimize()
        else:
            docs.upsert(
                [{"id": id, "text": TEXTS[0], "vector": [1.0] * 24} for id in ids[:3]], label="rows", space="given"
            )
        assert_exact(docs)
    for commit in docs.log():
        assert_exact(docs, commit.id)


def test_chunked_documents_that_are_edited_and_revived_keep_the_sketch(tmp_path: Any) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    text = "\n\n".join(f"# Part {n}\n\n{TEXTS[n % 4]} {n} and more of it. " * 12 for n in range(8))
    for edit in (text, text.replace("Part 3", "Section 3"), text, text[: len(text) // 2], text + text):
        (folder / "a.md").write_text(edit, "utf-8")
        (folder / "b.md").write_text(TEXTS[1] * (1 + len(edit) % 7), "utf-8")
        docs.ingest(folder, embedder="hashing")
        assert_exact(docs)


def test_writers_that_land_on_a_new_head_keep_the_sketch(tmp_path: Any) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    docs.upsert([{"id": "first", "text": TEXTS[0]}], embedder="hashing")
    writers = [
        threading.Thread(target=docs.upsert, args=([{"id": f"{n}-{i}", "text": TEXTS[(n + i) % 4]} for i in range(5)],))
        for n in range(6)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert docs.show().counts["documents"] == 31
    for commit in docs.log():
        assert_exact(docs, commit.id)
