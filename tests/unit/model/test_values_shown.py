"""How values show themselves: at a prompt in at most 80 columns, in a notebook with every text escaped, as tables."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
from helpers import ingest, open_on
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import versions_of

import vecver
from vecver.errors import InvalidInputError, NotFoundError
from vecver.model import ChunkCounts, ChunkDiff, Coverage, Failure, Field, Fields
from vecver.model.display import COLUMNS, clipped, padded, width_of
from vecver.model.frames import arrow_table, data_frame
from vecver.store import MemoryStore

NASTY = '<script>alert("&")</script>'
SPACED = "ein  Text\n\tmit\x1b[31m Steuerzeichen\u202e und \u3042\u3044\u3046 " * 100


def values(text: str) -> list[Any]:
    """One of each value that can show itself, with this text wherever a document's text or name goes."""
    fields: dict[str, Any] = {"document": text, "key": "0f" * 16, "span": (3, 17), "text": text, "title": text}
    fields |= {"metadata": {"year": 2024, text: text}, "headings": (text, text), "sheet": text, "line": 3}
    hit = vecver.Hit(rank=1, score=0.5, score_bits="3fe0000000000000", **fields, vector=np.ones(3, np.float32))
    chunk = vecver.StoredChunk(**fields, vector=np.ones(3, np.float32))
    docs = open_on(MemoryStore()).dataset("d")
    commit = replace(docs.show(ingest(docs, {"a": "1"})), message=text, author=text)
    counts = {"added": 12_000, "changed": 1, "removed": 2, "unchanged": 3_456_789, "failed": 1}
    report = vecver.Report(
        dataset="d" * 60,
        commit="c" * 64,
        changed=True,
        documents=counts,
        chunks={"live": 9, "embedded": 3, "reused": 0, "removed": 0},
        failures=(Failure(text, "empty", text),),
        seconds={},
        names={"added": (text,) * 60, "changed": (), "removed": ()},
        coverage={text: Coverage(9, 7, 1, (text,))},
    )
    diff = vecver.Diff("b" * 64, "c" * 64, (text,) * 30, (text,), (), 9, 1, {text: ChunkCounts(1, 2, 3, 4)})
    changed = ChunkDiff("added", "0f" * 16, text, (0, 4))
    return [
        hit,
        chunk,
        commit,
        report,
        replace(report, dry_run=True, commit=None),
        diff,
        changed,
        vecver.DocumentDiff("b" * 64, "c" * 64, text, "changed", (changed,) * 30, {"title": (text, "")}),
        vecver.Answer("d", text, "c" * 64, (hit,) * 60, {"digest": "0"}, missing=text),
        vecver.Document(text, text, text, {"a": text}, text, "text/plain", "0" * 64, (chunk,) * 60, ((0, 3),)),
        vecver.Log(lambda: iter([commit] * 60), text),
        vecver.Chunks(lambda: iter([chunk] * 60), text, "c" * 64),
        vecver.Field(text, "metadata", ("str",), 1, (text, text)),
        Fields((Field(text, "metadata", ("str",), 1, (text,)),) * 60),
    ]


@pytest.mark.parametrize("text", [NASTY, SPACED, "", "x" * 5000, "\u3042" * 5000, "a\u0301" * 99], ids=len)
def test_they_fit_a_terminal_of_80_columns(text: str) -> None:
    for value in values(text):
        lines = repr(value).split("\n")
        assert len(lines) <= 12 and all(width_of(line) <= COLUMNS for line in lines), value
        assert all(line.isprintable() for line in lines) and lines[0].startswith(f"<{type(value).__name__}")


@pytest.mark.parametrize("text", [NASTY, SPACED, "x" * 5000], ids=len)
def test_a_notebook_shows_texts_and_runs_none(text: str) -> None:
    shown = [value for value in values(text) if hasattr(value, "_repr_html_")]
    assert len(shown) == 12
    for value in shown:
        page = value._repr_html_()
        assert "<script" not in page and "\x1b" not in page and page.startswith("<table>") and len(page) < 60_000
        assert "&lt;script&gt;" in page or text != NASTY


def test_lists_say_how_many_they_do_not_show() -> None:
    hit, _, _, _, _, diff, _, _, answer, *_ = values("x")
    assert repr(answer).endswith("… and 50 more") and repr(diff).endswith("… and 21 more")
    assert "more" not in repr(replace(answer, hits=(hit,) * 10))
    assert "(the first 50)" in answer._repr_html_() and "<script" not in answer._repr_html_()


def test_an_answer_shows_its_hits() -> None:
    docs = open_on(MemoryStore()).dataset("d")
    docs.ingest([{"id": "pump.md", "text": "The pump moves water."}], embedder="hashing")
    assert repr(docs.search("pump")).splitlines()[1].split()[2:] == ["pump.md", "The", "pump", "moves", "water."]
    assert repr(docs.search("pump")).startswith(f"<Answer d@main {docs.resolve()[:12]}: 1 hit>")


def test_dictionaries_are_what_json_says() -> None:
    hit, chunk, commit, report, _, diff, changed, document_diff, answer, document, *_ = values("x")
    for value in (hit, chunk, diff, changed, document_diff, answer, document):
        assert value.to_dict() == value.to_json()
    assert commit.to_dict() == {"commit": commit.id, **commit.to_json()}
    assert report.to_dict()["names"]["added"] == ["x"] * 60 and vecver.Report.from_json(report.to_dict()) == report


def test_tables_have_a_row_each() -> None:
    hit, chunk, commit, report, _, diff, _, document_diff, answer, document, log, chunks, *_ = values("x")
    rows = [(hit, 1), (chunk, 1), (commit, 1), (report, 61), (diff, 31), (document_diff, 30), (answer, 60)]
    for value, count in [*rows, (document, 60), (log, 60), (chunks, 60)]:
        assert len(value.to_pandas()) == count
    frame = answer.to_pandas()
    assert list(frame.columns[:8]) == ["rank", "score", "document", "key", "start", "end", "text", "title"]
    assert frame["metadata.year"].tolist() == [2024] * 60 and frame["score"].tolist() == [0.5] * 60
    assert report.to_pandas().iloc[-1].tolist() == ["x", "failed", "x"]
    assert len(replace(answer, hits=()).to_pandas()) == 0 and "score" in replace(answer, hits=()).to_pandas()


def test_without_pandas_a_table_is_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InvalidInputError) as caught:
        values("x")[0].to_pandas()
    assert caught.value.code == "missing_package" and "pip install pandas" in caught.value.hint


def test_integers_stay_integers_in_a_frame() -> None:
    large = 2**63 - 1
    frame = data_frame([{"a": large, "b": 1, "c": 2**70}, {"a": None, "b": 2, "c": 1, "d": "x"}])
    assert frame["a"].tolist()[0] == large and str(frame["a"].dtype) == "Int64"
    assert frame["b"].tolist() == [1, 2] and frame["c"].tolist() == [2**70, 1]


def test_a_column_of_an_arrow_table_has_one_type() -> None:
    rows: list[dict[str, Any]] = [
        {"x": 1, "y": "a"},
        {"x": "one", "y": None},
        {"x": 2.5},
        {"x": ["a"], "y": "b"},
        {"x": {"z": 2**70}},
    ]
    table = arrow_table(rows, {})
    assert table["y"].to_pylist() == ["a", None, None, "b", None]
    assert table["x (int)"].to_pylist() == [1, None, None, None, None]
    assert table["x (strs)"].to_pylist()[3] == ["a"] and table["x (json)"].to_pylist()[4] == f'{{"z": {2**70}}}'


# -- the log ----------------------------------------------------------------------------------------


@pytest.fixture
def docs() -> vecver.Dataset:
    docs = open_on(MemoryStore()).dataset("d")
    for number in range(12):
        ingest(docs, {"a": str(number)}, message=f"version {number}")
    return docs


def test_a_log_is_an_iterator_and_a_table(docs: vecver.Dataset) -> None:
    log = docs.log()
    assert next(log).message == "version 11"
    assert [commit.message for commit in islice(log, 2)] == ["version 10", "version 9"]
    assert len(log.to_pandas()) == 12 and log.to_pandas()["message"][0] == "version 11"
    assert len(list(log)) == 9 and list(log) == [] and len(log.to_dict()) == 12
    lines = repr(docs.log()).splitlines()
    assert len(lines) == 12 and "version 11" in lines[1] and lines[-1] == "  …"
    assert docs.log()._repr_html_().count("<tr>") == 11


def test_a_log_reads_only_the_commits_that_are_iterated(docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    load = type(versions_of(docs)).commit
    monkeypatch.setattr(type(versions_of(docs)), "commit", lambda self, id: read.append(id) or load(self, id))
    log = docs.log()
    assert read == []
    next(log)
    assert len(set(read)) == 1
    repr(log)
    assert len(set(read)) == 11


def test_a_log_of_nothing_says_so_when_it_is_read(docs: vecver.Dataset) -> None:
    log = docs.log("mian")
    assert repr(log).startswith("<Log of d@mian: ")
    with pytest.raises(NotFoundError):
        next(log)


# -- texts -------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.text(), st.integers(0, 30))
def test_a_clipped_text_has_no_more_columns(text: str, columns: int) -> None:
    line = clipped(text, columns)
    assert width_of(line) <= columns and line.isprintable()
    assert width_of(padded(text, columns)) == columns
    assert line.endswith("…") or columns == 0 or line == clipped(text, 10**6)


def test_the_version_is_that_of_the_package() -> None:
    from importlib import metadata

    assert vecver.__version__ == metadata.version("vecver")
