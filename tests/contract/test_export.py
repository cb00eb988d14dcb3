"""Exports: a version in a folder answers as its repository does and needs no vecver."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exported import ALL, QUERIES, code_of, entries, given, names
from generated import clustered, document, vectors_of
from helpers import DIM, SPACE, open_on, vector_of
from inside import versions_of
from standing import cut_at_lines, line

import vecver
from vecver.digest import digest, digest_json
from vecver.errors import NotFoundError, VecverError
from vecver.index import faiss
from vecver.model import Json, Replay
from vecver.repo import ROW_FILES, Layout
from vecver.repo.read import export
from vecver.repo.rows.schema import chunk_key, document_id
from vecver.store import LocalStore, MemoryStore

TEXT = "# The manual\n\n" + "\n\n".join(f"## Part {i}\n\n" + f"Turn valve {i} by hand. " * 60 for i in range(5))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> vecver.Repository:
    """In memory: given vectors under each metric, with a history, and a folder's texts with titles and spans."""
    repository = open_on(MemoryStore())
    for metric in ("cosine", "ip", "l2"):
        for version in range(3):
            repository.dataset(metric).ingest(entries(60, version), space=SPACE, metric=metric)
        repository.dataset(metric).tag("v1", "main~1")
    notes = [{"id": f"note {i}", "text": TEXT.replace("valve 3", f"pump {i}"), "year": 2020 + i} for i in range(4)]
    manual = tmp_path_factory.mktemp("manual")
    (manual / "manual.md").write_text(TEXT)
    repository.dataset("notes").ingest(manual, embedder="hashing")
    repository.dataset("notes").ingest(notes)
    repository.dataset("notes").ingest(notes[1:])
    return repository


# -- the same answers -------------------------------------------------------------------------------

FILTERS: list[Json | None] = [None, {"odd": True}, {"any": {"$gte": 1}}, {"any": "a"}, {"any": {"$exists": False}}]


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_it_answers_as_the_repository_does(repository: vecver.Repository, tmp_path: Path, metric: str) -> None:
    """Hits, order, score bits, metadata, texts and receipts, of an old version that shares its segments."""
    docs = repository.dataset(metric)
    docs.snapshot("v1", tmp_path / "out")
    snapshot = vecver.open_snapshot(tmp_path / "out")
    assert snapshot.commit == docs.show("v1") and snapshot.repository_id == repository.id
    at = snapshot.commit.id
    for filter in FILTERS:
        for k, exact, context in ((1, False, 0), (7, True, 0), (1000, True, 2)):
            how: Any = {"k": k, "exact": exact, "filter": filter, "context": context, "space": SPACE}
            answers = snapshot.search(QUERIES, **how)
            assert answers == docs.search(QUERIES, at=at, **how) and len(answers) == 6
            assert answers[0] == snapshot.search(QUERIES[0], **how)
            assert all(len(answer) == k for answer in answers) or filter or k == 1000
    assert snapshot.search(QUERIES[0], k=1000)[0].score == docs.search(QUERIES[0], at="v1")[0].score
    assert snapshot.documents() == docs.documents("v1") and snapshot.check().clean
    assert (snapshot.check().objects, snapshot.check().problems) == (10, ())


def test_texts_titles_spans_and_context(repository: vecver.Repository, tmp_path: Path) -> None:
    docs = repository.dataset("notes")
    docs.snapshot("main", tmp_path / "out")
    snapshot = vecver.open_snapshot(tmp_path / "out")
    for query in ("turn the pump", "the manual"):
        for filter in (None, {"year": {"$gt": 2021}}):
            answer = snapshot.search(query, k=500, context=1, filter=filter)
            assert answer == docs.search(query, at=snapshot.commit.id, k=500, context=1, filter=filter)
            assert all(hit.context and hit.text in hit.context for hit in answer if hit.span != (0, 0))
            assert {hit.document for hit in answer} == {"note 2", "note 3"} | (
                set() if filter else {"note 1", "manual.md"}
            )
    everything = snapshot.search("the manual", k=500)
    titles = [hit for hit in everything if hit.by == "title"]
    assert len(everything) + len(titles) == snapshot.commit.counts["chunks"] > 10
    assert titles and titles[0].title == "The manual", "a title ranks a passage of its document"


def test_where_chunks_stand_goes_along(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As plain columns beside the chunks, and as the filters and hits that the repository gives."""
    cut_at_lines(monkeypatch)
    docs = open_on(MemoryStore()).dataset("d")
    rows = [
        line("one", headings=["A"], page=1),
        line("two", headings=["A", "B"], page=2, header="| h |"),
        line("three", sheet="S", line=9),
        line("four"),
    ]
    docs.ingest([{"id": "placed", "text": "\n".join(rows)}], embedder="hashing", label="placed")
    docs.ingest([{"id": "a plain one", "text": line("five")}], label="plain")
    docs.snapshot("main", tmp_path / "out")
    snapshot = vecver.open_snapshot(tmp_path / "out")
    file = tmp_path / "out/chunks.parquet"
    shown = pq.read_table(file, columns=["text", "page", "sheet", "line", "headings", "header"]).to_pylist()
    assert [list(row.values()) for row in shown] == [
        ["five", None, None, None, None, None],
        ["one", 1, None, None, ["A"], None],
        ["two", 2, None, None, ["A", "B"], "| h |"],
        ["three", None, "S", 9, None, None],
        ["four", None, None, None, None, None],
    ]
    assert snapshot.check().clean
    for filter in (None, {"page": {"$gte": 2}}, {"headings": "A"}, {"$or": [{"sheet": "S"}, {"page": 1}]}):
        answer = snapshot.search("two", k=9, filter=filter)
        assert answer == docs.search("two", at=snapshot.commit.id, k=9, filter=filter) and len(answer)
    altered, schema = pq.read_table(file).to_pydict(), pq.read_schema(file)
    pq.write_table(pa.table({**altered, "page": [None, 1, 1, None, None]}, schema=schema), file)
    problems = {problem.problem for problem in snapshot.check().problems}
    assert "it says of a document what documents.parquet does not" in problems


def test_an_export_refuses_the_queries_that_the_repository_refuses(
    repository: vecver.Repository, tmp_path: Path
) -> None:
    docs = repository.dataset("ip")
    docs.snapshot("main", tmp_path / "out")
    snapshot = vecver.open_snapshot(tmp_path / "out")
    unfit: list[tuple[Any, dict[str, Any]]] = [
        ("text", {}),
        (QUERIES[0][:3], {}),
        (QUERIES[0], {"k": 0}),
        (QUERIES[0], {"filter": {"x": 1}}),
    ]
    for query, how in unfit:
        with pytest.raises(VecverError) as here:
            snapshot.search(query, **how)
        with pytest.raises(VecverError) as exported:
            docs.search(query, **how)
        assert (type(here.value), here.value.code) == (type(exported.value), exported.value.code)


def test_a_large_export_is_searched_through_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss.costs, "INDEX_ROWS", 5000)
    rows, queries, _ = clustered("cosine")
    docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
    docs.ingest(({"id": str(i), "text": str(i), "vector": row} for i, row in enumerate(rows)), space=SPACE)
    dead = [{"id": str(i), "text": f"new {i}", "vector": rows[i]} for i in range(0, 2000, 2)]
    docs.ingest(dead, space=SPACE, keep_missing=True)
    made = docs.snapshot("main", tmp_path / "out")
    assert (made.index, made.chunks) == (faiss.SPEC, 10_000)
    snapshot = vecver.open_snapshot(tmp_path / "out")
    answers, true = snapshot.search(list(queries)), snapshot.search(list(queries), exact=True)
    assert answers[0].receipt["engine"]["name"] == f"faiss {faiss.SPEC}"
    assert true == docs.search(list(queries), exact=True, at=snapshot.commit.id)
    shares = [len({h.key for h in a} & {h.key for h in b}) / 10 for a, b in zip(answers, true, strict=True)]
    assert np.mean(shares) >= 0.95
    bits = {hit.key: hit.score_bits for hit in true[0]}
    assert all(bits[hit.key] == hit.score_bits for hit in answers[0] if hit.key in bits)
    for answer in answers[:3]:
        assert vecver.replay(docs.repository, answer.receipt).identical
    assert vecver.replay(snapshot, docs.search(queries[0]).receipt).identical
    assert snapshot.check().clean


def test_plain_faiss_searches_the_index_of_a_large_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the README asks it: its own number of lists, so many candidates, then the vectors decide."""
    monkeypatch.setattr(faiss.costs, "INDEX_ROWS", 5000)
    rows, queries, _ = clustered("cosine")
    docs = open_on(MemoryStore()).dataset("d")
    docs.ingest(({"id": str(i), "text": str(i), "vector": row} for i, row in enumerate(rows)), space=SPACE)
    docs.snapshot("main", tmp_path / "out")
    vectors, index = np.load(tmp_path / "out/vectors.npy"), _read(tmp_path / "out/index.faiss")
    (candidates,) = re.findall(r"index\.search\(query, (\d+)\)", (tmp_path / "out/README.md").read_text())
    shares = []
    for query, proposed in zip(queries, index.search(queries, int(candidates))[1], strict=True):
        best = proposed[np.argsort(-(vectors[proposed] @ query))[:10]]
        shares.append(len({*best} & {*np.argsort(-(vectors @ query))[:10]}) / 10)
    assert np.mean(shares) >= 0.95
    command = [sys.executable, "-c", BLOCKED, "README.md"]
    done = subprocess.run(command, cwd=tmp_path / "out", capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 5


# -- receipts ---------------------------------------------------------------------------------------


def test_receipts_replay_on_both_sides(repository: vecver.Repository, tmp_path: Path) -> None:
    docs, notes = repository.dataset("l2"), repository.dataset("notes")
    docs.snapshot("v1", tmp_path / "l2")
    notes.snapshot("main", tmp_path / "notes")
    snapshot, texts = vecver.open_snapshot(tmp_path / "l2"), vecver.open_snapshot(tmp_path / "notes")
    for receipt in (
        snapshot.search(QUERIES[0]).receipt,
        snapshot.search(QUERIES[1], filter={"odd": True}, exact=True).receipt,
    ):
        assert vecver.replay(repository, receipt) == vecver.replay(snapshot, receipt) == Replay(True, (), None)
    receipt = texts.search("the pump").receipt
    assert vecver.replay(repository, receipt) == vecver.replay(texts, receipt) == Replay(True, (), None)
    named = docs.search(QUERIES[0], at="v1").receipt
    assert vecver.replay(snapshot, named) == Replay(True, (), None, ("'v1' names no version here",))
    forged = {**named, "k": 11}
    forged["digest"] = digest_json({name: value for name, value in forged.items() if name != "digest"})
    assert not vecver.replay(snapshot, forged).identical
    assert (
        code_of(lambda: vecver.replay(snapshot, docs.search(QUERIES[0]).receipt), NotFoundError) == "revision_not_found"
    )
    assert code_of(lambda: vecver.replay(texts, named), NotFoundError) == "revision_not_found"


# -- without vecver ---------------------------------------------------------------------------------


def test_the_rows_by_hand(tmp_path: Path) -> None:
    """Row i is one chunk in every file: documents by name, their chunks as they are read."""
    docs = open_on(MemoryStore()).dataset("d")
    first = [{"id": "b", "text": "two", "vector": [0, 2], "year": 7}, {"id": "B", "text": "gone", "vector": [9, 9]}]
    docs.ingest([*first, {"id": "a", "text": "one", "vector": [1, 0]}], space=SPACE, metric="l2")
    docs.ingest([first[0], {"id": "ä", "text": "new", "vector": [3, 3]}], space=SPACE)
    docs.ingest([{"id": "a", "text": "one", "vector": [1, 0], "day": "mon"}], space=SPACE, keep_missing=True)
    made = docs.snapshot(docs.show(), tmp_path / "out")
    assert (made.documents, made.chunks, made.index, made.commit) == (3, 3, "flat", docs.resolve())
    assert names(tmp_path / "out") == sorted(ALL) and made.bytes == sum(f["bytes"] for f in made.files.values())
    chunks = pq.read_table(tmp_path / "out/chunks.parquet").to_pylist()
    keys = [chunk_key(*row, 0) for row in (("a", "one"), ("b", "two"), ("ä", "new"))]
    columns = ["key", "document", "start", "end", "text", "title", "metadata.int.year", "metadata.str.day"]
    rows = [
        (keys[0], "a", 0, 3, "one", "", None, "mon"),
        (keys[1], "b", 0, 3, "two", "", 7, None),
        (keys[2], "ä", 0, 3, "new", "", None, None),
    ]
    assert chunks == [dict(zip(columns, row, strict=True)) for row in rows]
    documents = pq.read_table(tmp_path / "out/documents.parquet").to_pylist()
    assert [row["document"] for row in documents] == ["a", "b", "ä"] and [row["chunks"] for row in documents] == [1] * 3
    assert [row["id"] for row in documents] == [document_id(name) for name in ("a", "b", "ä")]
    vectors = np.load(tmp_path / "out/vectors.npy")
    assert vectors.dtype == np.dtype("<f4") and vectors.tolist() == [[1, 0], [0, 2], [3, 3]]
    (hit, *_), index = vecver.open_snapshot(tmp_path / "out").search([0, 0]), _read(tmp_path / "out/index.faiss")
    assert (hit.document, hit.score) == ("a", -1.0)
    assert [answer.tolist() for answer in index.search(np.zeros((1, 2), "f4"), 3)] == [[[1, 4, 18]], [[0, 1, 2]]]


def _read(file: Path) -> Any:
    import faiss as library

    return library.read_index(str(file))


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, *rest):
        if name.split(".")[0] == "vecver":
            raise ImportError("there is no vecver")
sys.meta_path.insert(0, Blocked())
exec(compile(open(sys.argv[1]).read().split("```python\\n")[1].split("```")[0], "README.md", "exec"))
"""


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_its_readme_searches_it_without_vecver(repository: vecver.Repository, tmp_path: Path, metric: str) -> None:
    repository.dataset(metric).snapshot("main", tmp_path / "out")
    snapshot = vecver.open_snapshot(tmp_path / "out")
    command = [sys.executable, "-c", BLOCKED, "README.md"]
    done = subprocess.run(command, cwd=tmp_path / "out", capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    hits = snapshot.search(np.ones(DIM, np.float32), k=1000, exact=True)
    assert [float(line[1]) for line in lines] == pytest.approx([hit.score for hit in hits[:5]], abs=1e-4)
    texts = pq.read_table(tmp_path / "out/chunks.parquet").column("text").to_pylist()
    scores = {(hit.text, round(hit.score, 3)) for hit in hits}
    assert {(texts[int(line[0])], round(float(line[1]), 3)) for line in lines} <= scores


def test_checksums_by_other_tools(repository: vecver.Repository, tmp_path: Path) -> None:
    repository.dataset("ip").snapshot("main", tmp_path / "out")
    lines = (tmp_path / "out/SHA256SUMS").read_text().splitlines()
    assert {name for _, name in map(str.split, lines)} == ALL - {"SHA256SUMS", "snapshot.json"}
    for told, name in map(str.split, lines):
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == told
    assert digest((tmp_path / "out/commit.json").read_bytes()) == repository.dataset("ip").resolve()
    if tool := shutil.which("sha256sum"):
        subprocess.run([tool, "--check", "--strict", "SHA256SUMS"], cwd=tmp_path / "out", check=True)
    environment = json.loads((tmp_path / "out/environment.json").read_bytes())
    assert environment == repository.dataset("ip").show().environment


# -- the same bytes ---------------------------------------------------------------------------------


def test_equal_content_gives_equal_files_whatever_the_history(tmp_path: Path) -> None:
    """One commit, laid in one segment here and in three there, which also hold what is dead, and other sources."""
    here, exported = (open_on(MemoryStore()).dataset("d") for _ in range(2))
    here.ingest(entries(40), space=SPACE, metric="ip")
    other = {"id": "dead", "text": "dead", "vector": vector_of("dead"), "only": "dead"}
    for count in (10, 25, 40):
        exported.ingest([*entries(count)[::-1], other], space=SPACE, metric="ip", label="other")
    exported.ingest(entries(40), space=SPACE, metric="ip", label="other")
    layout = versions_of(exported).snapshot(exported.resolve()).layout
    assert len(layout.segments) == 3
    versions_of(exported).save(here.show(), layout)
    commit = here.show()
    here.snapshot(commit, tmp_path / "a")
    here.snapshot(commit, tmp_path / "b")
    exported.snapshot(commit, tmp_path / "c")
    for name in ROW_FILES:
        assert len({(tmp_path / folder / name).read_bytes() for folder in "abc"}) == 1, name
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in ALL)


@pytest.mark.parametrize("size", [1, 7])
def test_blocks_do_not_show(
    repository: vecver.Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    docs = repository.dataset("notes")
    docs.snapshot("main", tmp_path / "whole")
    monkeypatch.setattr(export, "BLOCK_ROWS", size)
    told: list[tuple[str, int]] = []
    docs.snapshot("main", tmp_path / "blocks", progress=lambda unit, count, *_: told.append((unit, count)))
    for name in ("chunks.parquet", "documents.parquet"):
        snapshot, other = (pq.read_table(tmp_path / folder / name) for folder in ("whole", "blocks"))
        assert snapshot.equals(other) and snapshot.schema.equals(other.schema)
    assert (tmp_path / "whole/vectors.npy").read_bytes() == (tmp_path / "blocks/vectors.npy").read_bytes()
    count = docs.show().counts["chunks"]
    assert sum(n for unit, n in told if unit == "chunks") == count
    assert max(n for unit, n in told if unit == "chunks") == size
    blocks, at = vecver.open_snapshot(tmp_path / "blocks"), docs.resolve()
    assert blocks.check().clean
    assert blocks.search("valve", k=500, context=1) == docs.search("valve", at=at, k=500, context=1)


# -- versions of little -----------------------------------------------------------------------------


def _saved(docs: vecver.Dataset, layout: Layout) -> str:
    """A commit like the dataset's newest, but with these rows."""
    roots = {"content_root": layout.roots.content_root, "vector_root": layout.roots.vector_root}
    counts = {"documents": layout.document_count, "chunks": layout.chunk_count}
    return versions_of(docs).save(replace(docs.show(), counts=counts, **roots), layout)  # type: ignore[arg-type]


def test_an_empty_version(tmp_path: Path) -> None:
    docs = given(open_on(MemoryStore()))
    made = docs.snapshot(_saved(docs, Layout.empty()), tmp_path / "out")
    assert (made.documents, made.chunks) == (0, 0)
    snapshot = vecver.open_snapshot(tmp_path / "out")
    assert snapshot.search(QUERIES[0]).hits == () and snapshot.documents() == [] and snapshot.check().clean
    assert snapshot.search(QUERIES[0]) == docs.search(QUERIES[0], at=snapshot.commit)
    assert vecver.replay(snapshot, snapshot.search(QUERIES[0]).receipt) == Replay(True, (), None)
    assert np.load(tmp_path / "out/vectors.npy").shape == (0, DIM)
    command = [sys.executable, "-c", BLOCKED, "README.md"]
    assert subprocess.run(command, cwd=tmp_path / "out", capture_output=True, text=True, check=True).stdout == ""


def test_documents_without_chunks(tmp_path: Path) -> None:
    docs = given(open_on(MemoryStore()))
    for number, texts in enumerate([[], ["one", "two", "one"]]):
        draft = versions_of(docs).draft(None, docs.show().recipe.space)
        draft.stage([document("a", [], {"n": 1}), document("z", [])])
        rows = draft.stage([document("m", texts, {"n": 2})])
        draft.add(rows, vectors_of(rows.table.column("text").to_pylist())) if texts else None
        at = _saved(docs, draft.finish()[0])
        docs.snapshot(at, tmp_path / str(number))
        snapshot = vecver.open_snapshot(tmp_path / str(number))
        assert snapshot.documents() == ["a", "m", "z"] and snapshot.check().clean
        assert snapshot.search(QUERIES[0], filter={"n": 2}, context=5) == docs.search(
            QUERIES[0], at=at, filter={"n": 2}, context=5
        )
        assert [hit.span for hit in sorted(snapshot.search(QUERIES[0]), key=lambda hit: hit.span)] == [
            (10 * i, 10 * i + 3) for i in range(len(texts))
        ]
        assert snapshot.search(QUERIES[0], filter={"n": 1}).hits == ()
