"""A chunk's position is stored with its document's row: read back, hashed, carried along, and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from helpers import open_on
from inside import versions_of
from standing import cut_at_lines, line

import vecver
from vecver.cli.app import main
from vecver.model import NOWHERE, Hit, Position
from vecver.repo import Segment
from vecver.repo.rows.arrow_file import open_columns
from vecver.repo.rows.cells import POSITION, position_at, with_prefix
from vecver.repo.rows.positions import chunk_columns, chunk_owners, column_names, position_columns
from vecver.repo.rows.table_cells import table_columns
from vecver.store import LocalStore, MemoryStore

HANDBOOK = [
    line("Prices of 2026.", headings=["Prices"], page=1),
    line("| Plug | 3.10 |", headings=["Prices", "Parts"], header="| Part | Price |", page=1, sheet="Parts"),
    line("Bleed the valve.", headings=["Heating"], page=2, line=41),
    line("No place at all."),
]
PLAIN = {"id": "plain.txt", "text": line("Nothing is known of this.")}


def handbook(*before: str) -> dict[str, Any]:
    return {"id": "handbook.pdf", "text": "\n".join([*before, *HANDBOOK])}


@pytest.fixture
def docs(monkeypatch: pytest.MonkeyPatch) -> vecver.Dataset:
    cut_at_lines(monkeypatch)
    return open_on(MemoryStore()).dataset("d")


def hits(docs: vecver.Dataset, **how: Any) -> dict[str, Hit]:
    return {hit.text: hit for hit in docs.search("valve", k=99, **how)}


def arrow_file(table: pa.Table) -> memoryview:
    """The bytes of a table in a file."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    return memoryview(sink.getvalue())


def test_a_hit_has_the_position_of_its_chunk(docs: vecver.Dataset) -> None:
    docs.ingest([handbook(), PLAIN], embedder="hashing")
    found = hits(docs)
    parts = found["| Plug | 3.10 |"]
    assert (parts.headings, parts.header, parts.page, parts.sheet, parts.line) == (
        ("Prices", "Parts"),
        "| Part | Price |",
        1,
        "Parts",
        None,
    )
    assert (found["Bleed the valve."].page, found["Bleed the valve."].line) == (2, 41)
    assert parts.to_json()["headings"] == ["Prices", "Parts"] and "line" not in parts.to_json()
    assert Hit.from_json(parts.to_json()) == parts
    for nowhere in ("No place at all.", "Nothing is known of this."):
        assert not {"headings", "header", "page", "sheet", "line"} & found[nowhere].to_json().keys()


def test_columns_hold_each_name_once_and_give_every_position_back() -> None:
    documents = [
        [Position(headings=("A", "B" if i % 2 else "C"), page=i // 100 + 1) for i in range(1000)],
        [],
        [NOWHERE, Position(sheet="S", header="| h |", line=7), NOWHERE, Position(sheet="T")],
        [NOWHERE],
    ]
    table = pa.table({"chunks": [[1] * len(positions) for positions in documents], **position_columns(documents)})
    assert table.column("position.paths")[0].as_py() == [["A", "C"], ["A", "B"]]
    assert table.column("position.page").null_count == 3 and table.column("position.sheets")[2].as_py() == ["S", "T"]
    for cells in (table_columns(table), open_columns(arrow_file(table))):
        columns = with_prefix(cells, POSITION)
        assert documents == [[position_at(columns, row, i) for i in range(len(of))] for row, of in enumerate(documents)]
    flat = [position for positions in documents for position in positions]
    for start in (0, 990, 1004):
        block = chunk_columns(table, ["page", "sheet", "line", "headings", "header"])(slice(start, start + 8))
        for field, values in block.items():
            wanted = [getattr(position, field) or None for position in flat[start : start + 8]]
            assert values.to_pylist() == [
                list(positions) if isinstance(positions, tuple) else positions for positions in wanted
            ]
    assert np.bincount(chunk_owners(table), minlength=4).tolist() == [1000, 0, 4, 1]
    assert position_columns([[NOWHERE], []]) == {}


def test_documents_without_positions_keep_their_roots_and_columns(docs: vecver.Dataset) -> None:
    """Beside documents that have positions, in one segment with them, or alone."""
    other = open_on(MemoryStore()).dataset("d")
    other.ingest([PLAIN], embedder="hashing")
    docs.ingest([PLAIN, handbook()], embedder="hashing", label="s")
    docs.ingest([PLAIN], label="s", allow_removals=True)
    assert docs.show().content_root == other.show().content_root
    (segment,) = (s for s in versions_of(other).snapshot(other.resolve()).segments if s.document_count)
    assert column_names(segment.documents.schema) == []


def test_a_moved_page_is_another_version_that_costs_one_document_row(docs: vecver.Dataset) -> None:
    docs.ingest([handbook(), PLAIN], embedder="hashing")
    first = docs.resolve()
    moved = {"id": "handbook.pdf", "text": "\n".join(HANDBOOK).replace('"page": 2', '"page": 3')}
    report = docs.ingest([moved, PLAIN])
    assert report.chunks["embedded"] == 0 and docs.show().content_root != docs.show(first).content_root
    assert hits(docs)["Bleed the valve."].page == 3 and hits(docs, at=first)["Bleed the valve."].page == 2
    last = versions_of(docs).snapshot(docs.resolve()).segments[-1]
    assert (last.chunk_count, last.document_count) == (0, 1)


def test_a_heading_changed_above_a_chunk_gives_it_another_vector(docs: vecver.Dataset) -> None:
    """Same key, other embedded text: each version keeps its own vector, also after folding and optimizing."""

    def version(heading: str) -> list[dict[str, Any]]:
        positions = line("Bleed the valve.", f"{heading}\nBleed the valve.", headings=[heading])
        return [{"id": "a", "text": positions}, PLAIN]

    docs.ingest(version("Heating"), embedder="hashing")
    first = docs.resolve()
    assert docs.ingest(version("Plumbing")).chunks["embedded"] == 1
    second = docs.resolve()
    assert docs.ingest(version("Heating")).chunks["embedded"] == 0
    assert docs.show().content_root == docs.show(first).content_root
    assert docs.show().vector_root == docs.show(first).vector_root != docs.show(second).vector_root

    def check() -> None:
        for at, heading in ((first, "Heating"), (second, "Plumbing"), ("main", "Heating")):
            hit = docs.search(f"{heading}\nBleed the valve.", at=at, k=1, exact=True)[0]
            assert hit.headings == (heading,) and hit.score == pytest.approx(1.0), at

    check()
    keys = {docs.search("valve", at=at, k=1)[0].key for at in (first, second)}
    assert len(keys) == 1

    docs.optimize()
    check()
    assert vecver.Repository(versions_of(docs)).check().problems == ()


def test_folds_and_optimize_carry_segments_with_and_without_positions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repository = open_on(LocalStore(tmp_path))
    docs = repository.dataset("d")
    docs.ingest([{"id": f"old {i}", "text": f"Old text {i}."} for i in range(3)], embedder="hashing", label="old")
    cut_at_lines(monkeypatch)
    for number in range(10):
        positions = line(f"New text {number}.", headings=[f"H{number % 2}"], page=number + 1)
        docs.ingest([{"id": f"new {number}", "text": positions}], label=f"new {number}")
    before = docs.search("text", k=99, exact=True)
    assert {hit.page for hit in before} == {None, *range(1, 11)}
    docs.optimize()
    reopened = open_on(LocalStore(tmp_path))
    after = reopened.dataset("d").search("text", k=99, exact=True)
    assert after.hits == before.hits and reopened.check().problems == ()
    assert docs.search("text", k=99, filter={"page": {"$gte": 9}}).hits == tuple(
        reopened.dataset("d").search("text", k=99, filter={"page": {"$gte": 9}})
    )


def test_damaged_positions_are_detected(docs: vecver.Dataset) -> None:
    """They are under the content root: rows that say otherwise give another one."""
    docs.ingest([handbook()], embedder="hashing")
    (segment,) = versions_of(docs).snapshot(docs.resolve()).segments
    proper = segment.roots(np.arange(0), np.arange(1)).content_root
    table = segment.documents
    for name in column_names(table.schema):
        other = Segment.__new__(Segment)
        other.__dict__["documents"] = table.drop_columns([name])
        other.__dict__["chunks"], other.__dict__["vectors"] = segment.chunks, segment.vectors
        assert other.roots(np.arange(0), np.arange(1)).content_root != proper, name


def test_the_command_line_shows_it_shortly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cut_at_lines(monkeypatch)
    docs = open_on(LocalStore(tmp_path / "r")).dataset("d")
    docs.ingest([handbook()], embedder="hashing")
    shown = CliRunner().invoke(main, ["--repo", str(tmp_path / "r"), "search", "d", "valve"]).output
    assert "handbook.pdf [17:32]  p. 1 · Parts · Prices > Parts\n     | Part | Price |\n     | Plug | 3.10 |" in shown
    assert "  p. 2 · line 41 · Heating\n     Bleed the valve." in shown
    assert "[52:68]\n     No place at all." in shown
    filter = '{"page": 2}'
    shown = CliRunner().invoke(main, ["--repo", str(tmp_path / "r"), "search", "d", "valve", "--filter", filter]).output
    assert shown.count("handbook.pdf") == 1
