"""Upsert and add: what becomes of rows and files, whose they are, and what is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers import ingest, open_on, texts_of, vector_of
from inside import versions_of

import vecver
from vecver.errors import ConflictError, InvalidInputError, NotFoundError, VecverError
from vecver.store import MemoryStore


@pytest.fixture
def docs(tmp_path: Path) -> vecver.Dataset:
    return vecver.open(tmp_path / "kb", create=True, author="test").dataset("d")


def sources(docs: vecver.Dataset) -> dict[str, str]:
    table = versions_of(docs).snapshot(docs.resolve()).documents(["document", "source"])
    return dict(zip(table["document"].to_pylist(), table["source"].to_pylist(), strict=True))


def folder(path: Path, **texts: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (path / f"{name}.md").write_text(text + "\n", "utf-8")
    return path


# -- rows ---------------------------------------------------------------------------------------


def test_rows_are_added_and_replaced_and_nothing_is_removed(docs: vecver.Dataset) -> None:
    first = docs.upsert([{"id": "a", "text": "one", "year": 2024}, {"id": "b", "text": "two"}], embedder="hashing")
    assert first.documents == {"added": 2, "changed": 0, "removed": 0, "unchanged": 0, "failed": 0}
    second = docs.upsert([{"id": "b", "text": "three"}, {"id": "c", "text": "four"}], message="More")
    assert second.names == {"added": ("c",), "changed": ("b",), "removed": ()}
    assert texts_of(docs) == {"a": "one", "b": "three", "c": "four"}
    commit = docs.show()
    assert (commit.message, commit.operation["kind"], commit.counts) == (
        "More",
        "upsert",
        {"documents": 3, "chunks": 3},
    )
    assert not docs.upsert([{"id": "a", "text": "one", "year": 2024}]).changed and docs.resolve() == commit.id


def test_the_last_of_a_repeated_id_wins_and_the_report_says_so(docs: vecver.Dataset) -> None:
    rows = [
        {"id": 7, "text": "one"},
        {"id": "b", "text": "two"},
        {"id": "7", "text": "three"},
        {"id": 7, "text": "four"},
    ]
    report = docs.upsert(rows, embedder="hashing")
    assert texts_of(docs) == {"7": "four", "b": "two"}
    assert report.notes[0].startswith("2 rows were left out")


def test_a_text_has_an_id_made_of_itself(docs: vecver.Dataset) -> None:
    report = docs.upsert(["The pump is red.", "The key is blue."], embedder="hashing")
    assert len(report.names["added"]) == 2 and all(len(name) == 32 for name in report.names["added"])
    again = docs.upsert(["The key is blue.", "The door is green."])
    assert again.documents["unchanged"] == 1 and again.documents["added"] == 1


def test_metadata_stands_beside_the_text_or_under_metadata(docs: vecver.Dataset) -> None:
    docs.upsert(
        [{"id": "a", "text": "one", "metadata": {"year": 2024, "title": "A", "void": None}}], embedder="hashing"
    )
    assert not docs.upsert([{"id": "a", "text": "one", "title": "A", "year": 2024}]).changed
    with pytest.raises(InvalidInputError, match="'year' in its metadata"):
        docs.upsert([{"id": "a", "text": "one", "year": 1, "metadata": {"year": 2}}])


def test_tables_are_rows(docs: vecver.Dataset) -> None:
    pandas = pytest.importorskip("pandas")
    table = pa.table({"id": ["a", "b"], "text": ["one", "two"], "year": [1, None]})
    docs.upsert(table, embedder="hashing")
    frame = pandas.DataFrame({"id": ["a", "x", "c"], "text": ["one", "gone", "three"], "year": [1, 2, 3]})
    report = docs.upsert(frame[frame.id != "x"])  # whose row numbers have a gap, and are no metadata
    assert report.names["added"] == ("c",) and report.documents["unchanged"] == 1
    assert versions_of(docs).snapshot(docs.resolve()).metadata.keys() == {"metadata.int.year"}
    assert docs.upsert(row for row in [{"id": "g", "text": "a generator"}]).documents["added"] == 1


def test_vectors_stand_beside_the_rows() -> None:
    docs = open_on(MemoryStore()).dataset("d")
    vectors = np.stack([vector_of("one"), vector_of("two")])
    docs.upsert([{"id": "a", "text": "one"}, {"id": "b", "text": "two"}], vectors=vectors, space="test", metric="ip")
    assert docs.search(vector_of("two"), k=1)[0].document == "b"
    table = pa.table({"id": ["c"], "text": ["three"]})
    docs.upsert(table, vectors=[vector_of("three").tolist()])
    docs.upsert(["four"], vectors=vector_of("four").astype(np.float64)[None])  # type: ignore[arg-type]
    assert docs.search(vector_of("three"), k=1)[0].document == "c" and len(docs.documents()) == 4
    same = docs.upsert([{"id": "a", "text": "one", "vector": vector_of("one")}])
    assert not same.changed


def test_an_empty_list_makes_no_commit(docs: vecver.Dataset) -> None:
    report = docs.upsert([], embedder="hashing")
    assert (report.commit, report.changed) == (None, False) and "no rows were given" in report.notes[0]
    before = docs.upsert(["one"], embedder="hashing").commit
    nothings: list[Any] = [
        [],
        (),
        iter([]),
        pa.table({"id": pa.array([], pa.string()), "text": pa.array([], pa.string())}),
    ]
    for nothing in nothings:
        report = docs.upsert(nothing)
        assert (report.commit, report.changed, report.chunks["live"]) == (before, False, 1)
    assert docs.upsert([], vectors=np.zeros((0, 4), np.float32)).notes == report.notes


BAD: list[tuple[Callable[[vecver.Dataset], Any], type[VecverError], str]] = [
    (lambda docs: docs.upsert("handbook/"), InvalidInputError, "invalid_rows"),
    (lambda docs: docs.upsert(b"text"), InvalidInputError, "invalid_rows"),
    (lambda docs: docs.upsert(Path("a.md")), InvalidInputError, "invalid_rows"),  # type: ignore[arg-type]
    (lambda docs: docs.upsert({"id": "a", "text": "one"}), InvalidInputError, "invalid_rows"),
    (lambda docs: docs.upsert(None), InvalidInputError, "invalid_rows"),  # type: ignore[arg-type]
    (lambda docs: docs.upsert(5), InvalidInputError, "invalid_rows"),  # type: ignore[arg-type]
    (lambda docs: docs.upsert([5]), InvalidInputError, "invalid_rows"),
    (lambda docs: docs.upsert([{"id": "a"}]), InvalidInputError, "invalid_rows"),
    (lambda docs: docs.upsert([{"text": "a"}]), InvalidInputError, "invalid_rows"),
    (lambda docs: docs.upsert([{"id": "a", "text": ""}]), InvalidInputError, "documents_failed"),
    (lambda docs: docs.upsert([{"id": "../a", "text": "one"}]), InvalidInputError, "documents_failed"),
    (lambda docs: docs.upsert([{"id": "a", "text": "one", "vector": [1.0]}]), InvalidInputError, "documents_failed"),
    (lambda docs: docs.upsert(["one", ""], strict=True), InvalidInputError, "documents_failed"),
    (lambda docs: docs.upsert(["one"], vectors=[[1.0, 2.0]]), InvalidInputError, "no_space"),
    (lambda docs: docs.upsert(["one"], vectors=[[1.0], [2.0]], space="s"), InvalidInputError, "invalid_vectors"),
    (lambda docs: docs.upsert(["one"], vectors=[1.0], space="s"), InvalidInputError, "invalid_vectors"),  # type: ignore[list-item]
    (lambda docs: docs.upsert(["one"], vectors=[["x"]], space="s"), InvalidInputError, "invalid_vectors"),  # type: ignore[list-item]
    (lambda docs: docs.upsert(["one"], vectors=[[]], space="s"), InvalidInputError, "invalid_vectors"),
    (lambda docs: docs.upsert(["one"], branch="nowhere"), NotFoundError, "branch_not_found"),
    (lambda docs: docs.upsert(["one"], branch="../x"), InvalidInputError, "invalid_name"),
    (lambda docs: docs.upsert(["one"], embedder="hashing", space="s"), InvalidInputError, "conflicting_options"),
    (lambda docs: docs.upsert(["one"], label=""), InvalidInputError, "invalid_label"),
    (lambda docs: docs.upsert(["one"], expected="absent"), ConflictError, "ref_moved"),
    (lambda docs: docs.upsert([], expected="a" * 64), ConflictError, "ref_moved"),
    (lambda docs: docs.add("nowhere.md"), NotFoundError, "source_not_found"),
]


@pytest.mark.parametrize(("call", "kind", "code"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_bad_input_changes_nothing(
    docs: vecver.Dataset, call: Callable[[vecver.Dataset], Any], kind: type[VecverError], code: str
) -> None:
    before = docs.upsert(["zero"], embedder="hashing").commit
    with pytest.raises(kind) as raised:
        call(docs)
    assert raised.value.code == code and raised.value.hint and docs.resolve() == before


def test_a_row_that_cannot_be_used_leaves_the_others(docs: vecver.Dataset) -> None:
    report = docs.upsert([{"id": "a", "text": "one"}, {"id": "b", "text": None}, {"text": "no id"}], embedder="hashing")
    assert report.documents["added"] == 1 and [one.document for one in report.failures] == ["b", "added:3"]


class Counting:
    """An embedder of one's own."""

    dim, fingerprint = 2, "counting letters"

    def embed(self, texts: list[str]) -> np.ndarray[Any, Any]:
        return np.array([[len(text), text.count("o") + 1] for text in texts], np.float32)


def test_an_embedder_of_ones_own(docs: vecver.Dataset) -> None:
    docs.upsert(["one", "a long text"], embedder=Counting())
    docs.upsert(["another"], embedder=Counting())
    assert len(docs.documents()) == 3 and docs.show().recipe.space.dim == 2


# -- whose documents they are ---------------------------------------------------------------------


def test_a_document_stays_with_its_source_which_may_speak_again(docs: vecver.Dataset, tmp_path: Path) -> None:
    pages = folder(tmp_path / "handbook", heating="Turn it on.", keys="Under the mat.")
    docs.ingest(pages, embedder="hashing")
    report = docs.upsert([{"id": "keys.md", "text": "With the neighbour."}, "A loose note."])
    assert "belongs to the source 'handbook'" in report.notes[0]
    assert sources(docs)["keys.md"] == "handbook" and sorted(sources(docs).values()) == [
        "added",
        "handbook",
        "handbook",
    ]
    again = docs.ingest(pages)
    assert again.names == {"added": (), "changed": ("keys.md",), "removed": ()} and len(docs.documents()) == 3


def test_no_other_ingest_sweeps_what_was_added(docs: vecver.Dataset, tmp_path: Path) -> None:
    docs.upsert(["A loose note."], embedder="hashing")
    docs.ingest([{"id": "r", "text": "a record"}])
    docs.ingest([{"id": "s", "text": "another"}], allow_removals=True)  # sweeps records in memory, and those alone
    docs.ingest(folder(tmp_path / "added", page="A folder of that name."))
    docs.ingest(folder(tmp_path / "x" / "added", leaf="And another."))
    assert len(docs.documents()) == 4
    docs.upsert(["A second note."])
    assert sorted(sources(docs).values()).count("added") == 2
    docs.ingest([{"id": "n", "text": "the truth"}], label="added", allow_removals=True)  # named, and so meant
    assert "n" in docs.documents() and len(docs.documents()) == 4


def test_a_folder_called_added_keeps_its_name_and_its_documents(docs: vecver.Dataset, tmp_path: Path) -> None:
    pages = folder(tmp_path / "added", one="1", two="2")
    docs.ingest(pages, embedder="hashing")
    docs.upsert(["A loose note."])
    assert docs.ingest(pages).changed is False and sorted(sources(docs).values()) == ["added", "added", "added-2"]


def test_a_label_names_the_source_of_new_documents(docs: vecver.Dataset) -> None:
    docs.upsert([{"id": "a", "text": "one"}], label="wiki", embedder="hashing")
    docs.upsert([{"id": "b", "text": "two"}], label="wiki")
    docs.upsert([{"id": "a", "text": "three"}])
    assert sources(docs) == {"a": "wiki", "b": "wiki"}


# -- files --------------------------------------------------------------------------------------


def test_a_file_of_a_known_source_is_named_as_there(
    docs: vecver.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = folder(tmp_path / "handbook" / "deep", pump="# Pump")
    docs.ingest(tmp_path / "handbook", embedder="hashing")
    folder(pages, pump="# Pump\n\nRed.", valve="# Valve")
    (tmp_path / "handbook" / "other.md").write_text("other", "utf-8")
    monkeypatch.chdir(pages)
    assert docs.add("pump.md").names["changed"] == ("deep/pump.md",)
    assert docs.add(tmp_path / "handbook" / "deep").names["added"] == ("deep/valve.md",)
    assert docs.documents() == ["deep/pump.md", "deep/valve.md"] and set(sources(docs).values()) == {"handbook"}
    assert docs.ingest(tmp_path / "handbook").names == {"added": ("other.md",), "changed": (), "removed": ()}


def test_any_other_file_is_named_by_its_path_from_here(
    docs: vecver.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "here" / "a", page="One.")
    folder(tmp_path / "here" / "b", page="Two.")
    folder(tmp_path / "there", page="Three.")
    monkeypatch.chdir(tmp_path / "here")
    docs.add(["a/page.md", "./b", "b"], embedder="hashing")
    docs.add("../there/page.md")
    outside = str(tmp_path / "there" / "page.md").lstrip("/")
    assert docs.documents() == sorted(["a/page.md", "b/page.md", outside])
    assert not docs.add([tmp_path / "here" / "a" / "page.md", "../there/*.md"]).changed
    monkeypatch.chdir(tmp_path / "here" / "a")
    assert docs.add("page.md", prefix="pre/").names["added"] == ("pre/page.md",)


def test_files_of_records(docs: vecver.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}, {"id": "a", "text": "three"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    report = docs.add(tmp_path / "rows.jsonl", embedder="hashing")
    assert texts_of(docs) == {"a": "three", "b": "two"} and "one row was left out" in report.notes[-1]
    (tmp_path / "rows.txt").write_text('"a plain text"\n', "utf-8")
    assert docs.add(tmp_path / "rows.txt", records=True).documents["added"] == 1
    (tmp_path / "empty.jsonl").write_text("", "utf-8")
    assert "nothing was found" in docs.add(tmp_path / "empty.jsonl").notes[-1]
    (tmp_path / "hollow").mkdir()
    assert "nothing was found" in docs.add(tmp_path / "hollow").notes[-1]


# -- at once ------------------------------------------------------------------------------------


def test_writers_at_once_all_land(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    ingest(docs, {"zero": "zero"})
    start, failed = threading.Barrier(8), list[BaseException]()

    def work(number: int) -> None:
        here = vecver.open(tmp_path / "kb").dataset("d")
        start.wait()
        try:
            for turn in range(3):
                text = f"text {number} {turn}"
                own = {"id": f"own {number}", "text": text, "vector": vector_of(text)}
                here.upsert([own, {"id": "shared", "text": text, "vector": vector_of(text)}])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failed
    found = texts_of(docs)
    assert {name: text for name, text in found.items() if name.startswith("own")} == {
        f"own {number}": f"text {number} 2" for number in range(8)
    }
    assert found["shared"].endswith(" 2") and len(found) == 10  # whoever was last: nobody writes after turn 2
    assert sum(1 for _ in docs.log()) == 25 and docs.repository.check().clean


def test_who_read_a_version_writes_upon_it_or_not_at_all(docs: vecver.Dataset) -> None:
    seen = docs.upsert([{"id": "a", "text": "one"}], embedder="hashing", expected="absent").commit
    docs.upsert([{"id": "b", "text": "two"}], expected=seen)
    with pytest.raises(ConflictError) as raised:
        docs.upsert([{"id": "a", "text": "three"}], expected=seen)
    assert raised.value.code == "ref_moved" and texts_of(docs) == {"a": "one", "b": "two"}
