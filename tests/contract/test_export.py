"""Exports: a version in a folder answers as its repository does, needs no vecver, and hides no changed byte."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from generated import clustered, document, vectors_of
from helpers import DIM, SPACE, ingest, open_on, vector_of
from standing import cut_at_lines, line

import vecver
from vecver.cli import main
from vecver.digest import canonical_json, digest, digest_json
from vecver.errors import BackendError, IntegrityError, InvalidInputError, NotFoundError, VecverError
from vecver.index import faiss
from vecver.model import Json, Replay
from vecver.repo import ROW_FILES, Layout
from vecver.repo.read import export
from vecver.repo.rows.schema import chunk_key, document_id
from vecver.repo.rows.segment_files import FILES
from vecver.store import LocalStore, MemoryStore

METADATA: list[Any] = [1, 1.0, "1", True, [], ["a", "b"], [1, "a"], {"deep": [None]}, -(2**63), 1e300, "", -0.0]
QUERIES = [vector_of(f"question {i}") for i in range(6)]
ALL = {*ROW_FILES, "snapshot.json", "index.faiss", "README.md", "SHA256SUMS"}
TEXT = "# The manual\n\n" + "\n\n".join(f"## Part {i}\n\n" + f"Turn valve {i} by hand. " * 60 for i in range(5))


def entries(count: int, version: int = 0) -> list[Json]:
    """Records whose metadata have every type; every third changes with the version, every fifth is equal text."""
    given = []
    for i in range(count):
        text = "twin" if i % 5 == 0 else f"text {i} of {version if i % 3 == 0 else 0}"
        fields = {"any": METADATA[i % len(METADATA)], "odd": bool(i % 2)} if i % 7 else {}
        given.append({"id": f"d/ü {i}", "text": text, "title": f"T{i % 4}", "vector": vector_of(text), **fields})
    return given


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


def given(repository: vecver.Repository, count: int = 3) -> vecver.Dataset:
    docs = repository.dataset("d")
    ingest(docs, {f"doc-{i}": f"text {i}" for i in range(count)})
    return docs


def code_of(call: Callable[[], Any], kind: type[VecverError]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.hint
    return caught.value.code


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- the same answers -------------------------------------------------------------------------------

FILTERS: list[Json | None] = [None, {"odd": True}, {"any": {"$gte": 1}}, {"any": "a"}, {"any": {"$exists": False}}]


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_it_answers_as_the_repository_does(repository: vecver.Repository, tmp_path: Path, metric: str) -> None:
    """Hits, order, score bits, metadata, texts and receipts, of an old version that shares its segments."""
    docs = repository.dataset(metric)
    docs.snapshot("v1", tmp_path / "out")
    one = vecver.open_snapshot(tmp_path / "out")
    assert one.commit == docs.show("v1") and one.repository_id == repository.id
    at = one.commit.id
    for filter in FILTERS:
        for k, exact, context in ((1, False, 0), (7, True, 0), (1000, True, 2)):
            asked: Any = {"k": k, "exact": exact, "filter": filter, "context": context, "space": SPACE}
            answers = one.search(QUERIES, **asked)
            assert answers == docs.search(QUERIES, at=at, **asked) and len(answers) == 6
            assert answers[0] == one.search(QUERIES[0], **asked)
            assert all(len(answer) == k for answer in answers) or filter or k == 1000
    assert one.search(QUERIES[0], k=1000)[0].score == docs.search(QUERIES[0], at="v1")[0].score
    assert one.documents() == docs.documents("v1") and one.check().clean
    assert (one.check().objects, one.check().problems) == (10, ())


def test_texts_titles_spans_and_context(repository: vecver.Repository, tmp_path: Path) -> None:
    docs = repository.dataset("notes")
    docs.snapshot("main", tmp_path / "out")
    one = vecver.open_snapshot(tmp_path / "out")
    for query in ("turn the pump", "the manual"):
        for filter in (None, {"year": {"$gt": 2021}}):
            found = one.search(query, k=500, context=1, filter=filter)
            assert found == docs.search(query, at=one.commit.id, k=500, context=1, filter=filter)
            assert all(hit.context and hit.text in hit.context for hit in found if hit.span != (0, 0))
            assert {hit.document for hit in found} == {"note 2", "note 3"} | (
                set() if filter else {"note 1", "manual.md"}
            )
    everything = one.search("the manual", k=500)
    titles = [hit for hit in everything if hit.by == "title"]
    assert len(everything) + len(titles) == one.commit.counts["chunks"] > 10
    assert titles and titles[0].title == "The manual", "a title ranks a passage of its document"


def test_where_chunks_stand_goes_along(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As plain columns beside the chunks, for whoever reads them, and as the repository's own filters and hits."""
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
    one = vecver.open_snapshot(tmp_path / "out")
    file = tmp_path / "out/chunks.parquet"
    shown = pq.read_table(file, columns=["text", "page", "sheet", "line", "headings", "header"]).to_pylist()
    assert [list(row.values()) for row in shown] == [
        ["five", None, None, None, None, None],
        ["one", 1, None, None, ["A"], None],
        ["two", 2, None, None, ["A", "B"], "| h |"],
        ["three", None, "S", 9, None, None],
        ["four", None, None, None, None, None],
    ]
    assert one.check().clean
    for filter in (None, {"page": {"$gte": 2}}, {"headings": "A"}, {"$or": [{"sheet": "S"}, {"page": 1}]}):
        found = one.search("two", k=9, filter=filter)
        assert found == docs.search("two", at=one.commit.id, k=9, filter=filter) and len(found)
    altered, schema = pq.read_table(file).to_pydict(), pq.read_schema(file)
    pq.write_table(pa.table({**altered, "page": [None, 1, 1, None, None]}, schema=schema), file)
    problems = {problem.problem for problem in one.check().problems}
    assert "it says of a document what documents.parquet does not" in problems


def test_what_cannot_be_asked_there_cannot_be_asked_here(repository: vecver.Repository, tmp_path: Path) -> None:
    docs = repository.dataset("ip")
    docs.snapshot("main", tmp_path / "out")
    one = vecver.open_snapshot(tmp_path / "out")
    unfit: list[tuple[Any, dict[str, Any]]] = [
        ("text", {}),
        (QUERIES[0][:3], {}),
        (QUERIES[0], {"k": 0}),
        (QUERIES[0], {"filter": {"x": 1}}),
    ]
    for query, how in unfit:
        with pytest.raises(VecverError) as here:
            one.search(query, **how)
        with pytest.raises(VecverError) as there:
            docs.search(query, **how)
        assert (type(here.value), here.value.code) == (type(there.value), there.value.code)


def test_a_large_version_is_searched_through_its_own_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss.costs, "INDEX_ROWS", 5000)
    rows, queries, _ = clustered("cosine")
    docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
    docs.ingest(({"id": str(i), "text": str(i), "vector": row} for i, row in enumerate(rows)), space=SPACE)
    dead = [{"id": str(i), "text": f"new {i}", "vector": rows[i]} for i in range(0, 2000, 2)]
    docs.ingest(dead, space=SPACE, keep_missing=True)
    made = docs.snapshot("main", tmp_path / "out")
    assert (made.index, made.chunks) == (faiss.SPEC, 10_000)
    one = vecver.open_snapshot(tmp_path / "out")
    answers, true = one.search(list(queries)), one.search(list(queries), exact=True)
    assert answers[0].receipt["engine"]["name"] == f"faiss {faiss.SPEC}"
    assert true == docs.search(list(queries), exact=True, at=one.commit.id)
    shares = [len({h.key for h in a} & {h.key for h in b}) / 10 for a, b in zip(answers, true, strict=True)]
    assert np.mean(shares) >= 0.95
    bits = {hit.key: hit.score_bits for hit in true[0]}
    assert all(bits[hit.key] == hit.score_bits for hit in answers[0] if hit.key in bits)
    for answer in answers[:3]:
        assert vecver.replay(docs.repository, answer.receipt).identical
    assert vecver.replay(one, docs.search(queries[0]).receipt).identical
    assert one.check().clean


def test_a_large_index_serves_those_who_have_only_faiss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    one, texts = vecver.open_snapshot(tmp_path / "l2"), vecver.open_snapshot(tmp_path / "notes")
    for receipt in (one.search(QUERIES[0]).receipt, one.search(QUERIES[1], filter={"odd": True}, exact=True).receipt):
        assert vecver.replay(repository, receipt) == vecver.replay(one, receipt) == Replay(True, (), None)
    receipt = texts.search("the pump").receipt
    assert vecver.replay(repository, receipt) == vecver.replay(texts, receipt) == Replay(True, (), None)
    named = docs.search(QUERIES[0], at="v1").receipt
    assert vecver.replay(one, named) == Replay(True, (), None, ("'v1' names no version here",))
    forged = {**named, "k": 11}
    forged["digest"] = digest_json({name: value for name, value in forged.items() if name != "digest"})
    assert not vecver.replay(one, forged).identical
    assert code_of(lambda: vecver.replay(one, docs.search(QUERIES[0]).receipt), NotFoundError) == "revision_not_found"
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
    assert [found.tolist() for found in index.search(np.zeros((1, 2), "f4"), 3)] == [[[1, 4, 18]], [[0, 1, 2]]]


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
    one = vecver.open_snapshot(tmp_path / "out")
    command = [sys.executable, "-c", BLOCKED, "README.md"]
    done = subprocess.run(command, cwd=tmp_path / "out", capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    hits = one.search(np.ones(DIM, np.float32), k=1000, exact=True)
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
    here, there = (open_on(MemoryStore()).dataset("d") for _ in range(2))
    here.ingest(entries(40), space=SPACE, metric="ip")
    other = {"id": "dead", "text": "dead", "vector": vector_of("dead"), "only": "dead"}
    for count in (10, 25, 40):
        there.ingest([*entries(count)[::-1], other], space=SPACE, metric="ip", label="other")
    there.ingest(entries(40), space=SPACE, metric="ip", label="other")
    layout = there._versions.snapshot(there.resolve()).layout
    assert len(layout.segments) == 3
    there._versions.save(here.show(), layout)
    commit = here.show()
    here.snapshot(commit, tmp_path / "a")
    here.snapshot(commit, tmp_path / "b")
    there.snapshot(commit, tmp_path / "c")
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
        one, other = (pq.read_table(tmp_path / folder / name) for folder in ("whole", "blocks"))
        assert one.equals(other) and one.schema.equals(other.schema)
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
    return docs._versions.save(replace(docs.show(), counts=counts, **roots), layout)  # type: ignore[arg-type]


def test_an_empty_version(tmp_path: Path) -> None:
    docs = given(open_on(MemoryStore()))
    made = docs.snapshot(_saved(docs, Layout.empty()), tmp_path / "out")
    assert (made.documents, made.chunks) == (0, 0)
    one = vecver.open_snapshot(tmp_path / "out")
    assert one.search(QUERIES[0]).hits == () and one.documents() == [] and one.check().clean
    assert one.search(QUERIES[0]) == docs.search(QUERIES[0], at=one.commit)
    assert vecver.replay(one, one.search(QUERIES[0]).receipt) == Replay(True, (), None)
    assert np.load(tmp_path / "out/vectors.npy").shape == (0, DIM)
    command = [sys.executable, "-c", BLOCKED, "README.md"]
    assert subprocess.run(command, cwd=tmp_path / "out", capture_output=True, text=True, check=True).stdout == ""


def test_documents_without_chunks(tmp_path: Path) -> None:
    docs = given(open_on(MemoryStore()))
    for number, texts in enumerate([[], ["one", "two", "one"]]):
        draft = docs._versions.draft(None, docs.show().recipe.space)
        draft.stage([document("a", [], {"n": 1}), document("z", [])])
        rows = draft.stage([document("m", texts, {"n": 2})])
        draft.add(rows, vectors_of(rows.table.column("text").to_pylist())) if texts else None
        at = _saved(docs, draft.finish()[0])
        docs.snapshot(at, tmp_path / str(number))
        one = vecver.open_snapshot(tmp_path / str(number))
        assert one.documents() == ["a", "m", "z"] and one.check().clean
        assert one.search(QUERIES[0], filter={"n": 2}, context=5) == docs.search(
            QUERIES[0], at=at, filter={"n": 2}, context=5
        )
        assert [hit.span for hit in sorted(one.search(QUERIES[0]), key=lambda hit: hit.span)] == [
            (10 * i, 10 * i + 3) for i in range(len(texts))
        ]
        assert one.search(QUERIES[0], filter={"n": 1}).hits == ()


# -- what was changed is not opened -----------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    given(open_on(MemoryStore())).snapshot("main", tmp_path / "out")
    return tmp_path / "out"


def refused(folder: Path) -> IntegrityError:
    with pytest.raises(IntegrityError) as caught:
        vecver.open_snapshot(folder)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_changed_byte_in_any_file_is_told(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "load", lambda *source: pytest.fail("nothing is loaded before all is verified"))
    whole = (folder / name).read_bytes()
    places = range(len(whole)) if name == "snapshot.json" else (0, len(whole) // 3, len(whole) - 1)
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1
        (folder / name).write_bytes(changed)
        error = refused(folder)
        assert error.context["name"] == name and name in error.message
    for content in (b"", whole[:-1], whole + b"\n"):
        (folder / name).write_bytes(content)
        assert refused(folder).context["name"] == name


def test_missing_and_foreign_files_are_told(folder: Path) -> None:
    for name in sorted(ALL - {"snapshot.json"}):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        assert refused(folder).context["name"] == name
        (folder / name).mkdir()
        assert refused(folder).context["name"] == name
        (folder / name).rmdir()
        (folder / name).write_bytes(content)
    (folder / "more.txt").touch()
    assert refused(folder).context["name"] == "more.txt"
    (folder / "more.txt").unlink()
    assert len(vecver.open_snapshot(folder).search(QUERIES[0])) == 3


def resealed(folder: Path, **changes: Any) -> None:
    """Write the manifest anew with what lies there, as a forger would."""
    value = json.loads((folder / "snapshot.json").read_bytes())
    files = {
        path.name: {"sha256": digest(path.read_bytes()), "bytes": path.stat().st_size}
        for path in folder.iterdir()
        if path.name != "snapshot.json"
    }
    value = {name: told for name, told in {**value, "files": files, **changes}.items() if name != "digest"}
    (folder / "snapshot.json").write_bytes(canonical_json({**value, "digest": digest_json(value)}))


def test_unknown_formats_ask_for_another_vecver(folder: Path) -> None:
    resealed(folder, format=2)
    error = refused(folder)
    assert (error.code, error.hint) == ("unknown_format", "upgrade vecver")


def test_an_index_of_another_kind_is_not_searched_through(folder: Path) -> None:
    resealed(folder, index={"kind": "graph of 2031", "faiss": "9.0"})
    assert vecver.open_snapshot(folder).search(QUERIES[0]).receipt["engine"] == {"name": "exact"}


def test_an_index_that_faiss_cannot_read_is_told(folder: Path) -> None:
    (folder / "index.faiss").write_bytes(b"written by another FAISS")
    resealed(folder, index={"kind": faiss.SPEC, "faiss": "9.0"})
    error = refused(folder)
    assert error.code == "index_version" and "9.0" in error.hint
    resealed(folder, index={"kind": faiss.SPEC, "faiss": faiss.version()})
    assert refused(folder).code == "index_damaged"


def test_a_forged_folder_is_told_by_its_roots(folder: Path) -> None:
    """Whoever writes the digests anew cannot give other rows the same roots, nor the commit the same id."""
    whole = {name: (folder / name).read_bytes() for name in ALL}

    def problems() -> set[str]:
        resealed(folder)
        found = {problem.object for problem in vecver.open_snapshot(folder).check().problems}
        for name in ALL:
            (folder / name).write_bytes(whole[name])
        return found

    vectors = bytearray(whole["vectors.npy"])
    vectors[-2] ^= 1
    (folder / "vectors.npy").write_bytes(vectors)
    assert "chunks.parquet, vectors.npy" in problems()
    for name, column, roots in (
        ("chunks.parquet", "text", {"documents.parquet, chunks.parquet"}),
        ("chunks.parquet", "title", {"chunks.parquet"}),
        ("documents.parquet", "title", {"chunks.parquet", "documents.parquet, chunks.parquet"}),
        ("documents.parquet", "media_type", {"documents.parquet, chunks.parquet"}),
    ):
        table = pq.read_table(folder / name)
        place = table.column_names.index(column)
        pq.write_table(table.set_column(place, column, [["x"] * len(table)]), folder / name)
        assert problems() == roots, column
    (folder / "commit.json").write_bytes(whole["commit.json"].replace(b"tester", b"nobody"))
    resealed(folder)
    assert refused(folder).context["name"] == "commit.json"


def test_what_is_no_snapshot(tmp_path: Path) -> None:
    open_on(LocalStore(tmp_path / "kb"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name in ("kb", "empty", "file", "nowhere"):
        assert code_of(lambda name=name: vecver.open_snapshot(tmp_path / name), NotFoundError) == "snapshot_not_found"  # type: ignore[misc]


# -- where to -----------------------------------------------------------------------------------------


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = given(open_on(LocalStore(tmp_path / "kb")))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/note").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path / "here")
    before = names(tmp_path)
    for name in ("file", "full", "link", "dangling", "here"):
        assert code_of(lambda name=name: docs.snapshot("main", tmp_path / name), InvalidInputError) == "not_empty"  # type: ignore[misc]
    assert code_of(lambda: docs.snapshot("main", "."), InvalidInputError) == "not_empty"
    assert code_of(lambda: docs.snapshot("main", tmp_path / "no/out"), InvalidInputError) == "no_folder"
    assert code_of(lambda: docs.snapshot("main", tmp_path / "file/out"), InvalidInputError) == "no_folder"
    assert code_of(lambda: docs.snapshot("main", tmp_path / "kb/out"), InvalidInputError) == "within_repository"
    assert code_of(lambda: docs.snapshot("v9", tmp_path / "out"), NotFoundError) == "revision_not_found"
    assert names(tmp_path) == before and (tmp_path / "file").read_text() == "mine"
    assert docs.snapshot("main", tmp_path / "here/../empty").path == str(tmp_path / "empty")
    assert len(vecver.open_snapshot("../empty").search(QUERIES[0])) == 3 and names(tmp_path) == before


def test_a_folder_that_was_filled_meanwhile_is_kept(tmp_path: Path) -> None:
    docs = given(open_on(MemoryStore()))

    def fill(unit: str, count: int, total: int | None = None) -> None:
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out/note").write_text("mine")

    assert code_of(lambda: docs.snapshot("main", tmp_path / "out", progress=fill), InvalidInputError) == "not_empty"
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["note"]


# -- failures -----------------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path) -> Iterator[vecver.Dataset]:
    (tmp_path / "to").mkdir()
    docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
    docs.ingest(entries(2000), space=SPACE, metric="ip")
    before = docs.repository.check()
    yield docs
    assert docs.repository.check() == before, "the repository is untouched"
    docs.snapshot("main", tmp_path / "to/out")
    assert vecver.open_snapshot(tmp_path / "to/out").check().clean


@pytest.mark.parametrize("indexed", [False, True])
def test_a_disk_that_fills_leaves_nothing(
    large: vecver.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indexed: bool
) -> None:
    """Files may not grow beyond a limit, which stops every library that writes one, as a full disk does."""
    resource = pytest.importorskip("resource", reason="this system limits no file sizes")
    monkeypatch.setattr(faiss.costs, "INDEX_ROWS", 100 if indexed else 10_000)
    made = large.snapshot("main", tmp_path / "to/whole")
    sizes = {name: file["bytes"] for name, file in made.files.items()}
    shutil.rmtree(tmp_path / "to/whole")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, *(size - 1 for size in sizes.values())):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(BackendError) as caught:
                large.snapshot("main", tmp_path / "to/out")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caught.value.hint and names(tmp_path / "to") == []


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_full_disk_at_the_last_step_is_told_apart(
    large: vecver.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*names: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    assert code_of(lambda: large.snapshot("main", tmp_path / "to/out"), BackendError) == "store_full"
    assert names(tmp_path / "to") == []
    monkeypatch.undo()


CHILD = """
import os, signal, sys
import vecver, vecver.index.faiss.costs
vecver.index.faiss.costs.INDEX_ROWS = 1000
def die(unit, count):
    if unit == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
vecver.open(sys.argv[1]).dataset("d").snapshot("main", sys.argv[2], progress=die)
"""


@pytest.mark.parametrize("unit", ["chunks", "index rows"])
def test_a_killed_export_leaves_nothing_that_opens(large: vecver.Dataset, tmp_path: Path, unit: str) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path / "kb"), str(tmp_path / "to/out"), unit]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(command, env=environment).returncode == -9
    (left,) = (tmp_path / "to").iterdir()
    assert left.name.startswith(".out.") and code_of(lambda: vecver.open_snapshot(left), NotFoundError)
    large.snapshot("main", tmp_path / "to/out")
    assert names(tmp_path / "to") == [left.name, "out"], "it may belong to a living process"
    long_ago = time.time() - 2 * 24 * 3600
    for path in (*left.iterdir(), left):
        os.utime(path, (long_ago, long_ago))
    shutil.rmtree(tmp_path / "to/out")
    large.snapshot("main", tmp_path / "to/out")
    assert names(tmp_path / "to") == ["out"]
    shutil.rmtree(tmp_path / "to/out")


@pytest.mark.parametrize("file", FILES)
def test_damaged_rows_are_not_sealed_under_new_checksums(tmp_path: Path, file: str) -> None:
    docs = given(open_on(LocalStore(tmp_path / "kb")), 50)
    (place,) = (tmp_path / "kb/segments").glob(f"*/{file}")
    content = bytearray(place.read_bytes())
    for at in range(0, len(content), max(1, len(content) // 20)):
        content[at] ^= 1
        place.write_bytes(content)
        docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
        assert code_of(lambda docs=docs: docs.snapshot("main", tmp_path / "out"), IntegrityError) == "digest_mismatch"  # type: ignore[misc]
        content[at] ^= 1
    assert names(tmp_path) == ["kb"]


def test_a_layout_of_other_rows_is_not_exported(tmp_path: Path) -> None:
    docs = given(open_on(MemoryStore()))
    commit = docs.show()
    ingest(docs, {"doc-1": "another text"})
    docs._versions.save(commit, docs._versions.snapshot(docs.resolve()).layout)
    docs = open_on(docs._versions.store).dataset("d")
    assert code_of(lambda: docs.snapshot(commit, tmp_path / "out"), IntegrityError) == "misplaced"
    assert names(tmp_path) == []


# -- the command line ---------------------------------------------------------------------------------


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "handbook").mkdir()
    (tmp_path / "handbook/valve.md").write_text("# Valve\n\nOpen the valve slowly until water comes.\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("VECVER_REPO", "VECVER_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    run("init")
    run("ingest", "handbook", "handbook", "--embedder", "hashing")
    run("tag", "handbook", "v1")
    return tmp_path


def test_the_commands(here: Path) -> None:
    made = json.loads(run("snapshot", "handbook@v1", "OUT", "--json"))
    assert made["path"] == str(here / "OUT") and set(made["files"]) == ALL - {"snapshot.json"}
    assert made["commit"][:12] in run("snapshot", "handbook", "again")
    run("search", "handbook@v1", "open the valve", "--exact", "--receipt", "theirs.json")
    shutil.rmtree(here / ".vecver")
    found = json.loads(run("search", "--snapshot", "OUT", "open the valve", "-k", "1", "--json", "--receipt", "r.json"))
    assert found["commit"] == found["revision"] == made["commit"] and "water" in found["hits"][0]["text"]
    assert "valve.md" in run("search", "--snapshot", "OUT", "valve")
    for receipt in ("r.json", "theirs.json"):
        assert json.loads(run("replay", receipt, "--snapshot", "OUT", "--json"))["identical"]
    (here / "queries").write_text('{"query": "valve"}\n{"query": "water"}\n')
    assert len(run("search", "--snapshot", "OUT", "--queries", "queries", "--json").splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["snapshot", "handbook@v1", "handbook"], 2, "not_empty"),
        (["snapshot", "handbook@v9", "OUT"], 3, "revision_not_found"),
        (["search", "--snapshot", "handbook", "q"], 3, "snapshot_not_found"),
        (["search", "--snapshot", "OUT", "handbook", "q"], 2, "conflicting_options"),
        (["search", "--snapshot", "OUT"], 2, "no_query"),
        (["search"], 2, "no_dataset"),
    ],
)
def test_what_goes_wrong_has_a_code(
    here: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, told: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["vecver", "--json"])
    output = run(*arguments, "--json", code=code)
    assert json.loads(output)["error"]["hint"] and not (here / "OUT").exists()
    assert json.loads(output)["error"]["code"] == told


def test_a_changed_snapshot_exits_5(here: Path) -> None:
    run("snapshot", "handbook", "OUT")
    with open(here / "OUT/index.faiss", "ab") as file:
        file.write(b"x")
    assert "index.faiss does not match its digest" in run("search", "--snapshot", "OUT", "valve", code=5)
