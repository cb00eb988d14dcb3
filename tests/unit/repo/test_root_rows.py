"""The canonical bytes of rows from whole columns are those that `schema` gives row by row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from generated import document
from hypothesis import given
from hypothesis import strategies as st

from vecver.digest import canonical_json
from vecver.json_columns import joined, numbers_json, objects_json, quoted, row_digests, rows_of_matrix
from vecver.model import Json, Position
from vecver.repo import NewDocument
from vecver.repo.rows import root_rows, schema
from vecver.repo.rows.roots import lanes_of
from vecver.repo.write.new_rows import FlatChunks, document_table

STRINGS = ["", "plain", 'quote " and \\', "line\nend\ttab\r", "\x00\x1f\x7f", "ü 漢字 🎈 \u2028", "x" * 3000]
VALUES = [True, 0, -(2**63), 2**63 - 1, 1.5, -0.0, 1e16, 1e-7, 3.0, "", 'a"b', ["x"], [], {"b": [None], "a": {}}]


def documents() -> list[NewDocument]:
    """Documents with every type of metadata, some without, and with chunks whose positions are known."""
    fields: list[Json] = [{f"f{i % 4}": value, "same": value, 'odd."name': i} for i, value in enumerate(VALUES)]
    texts = zip(STRINGS * 2, fields, strict=True)
    made = [document(f"d{i}", [text, "second", text], field) for i, (text, field) in enumerate(texts)]
    return [*made, document("empty", [], {}), document("nothing", ["z"], None)]


def tables(rows: list[NewDocument]) -> tuple[pa.Table, pa.Table]:
    chunks = FlatChunks.of(rows)
    return document_table(rows, chunks.keys), chunks.table()


@pytest.mark.parametrize("picked", ["all", "middle", "scattered", "none"])
def test_bytes_of_columns_are_those_of_rows(picked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for table, column_of, bytes_of, lanes in zip(
        tables(documents()),
        (root_rows.document_rows, root_rows.chunk_rows),
        (schema.document_bytes, schema.chunk_bytes),
        (root_rows.document_lanes, root_rows.chunk_lanes),
        strict=True,
    ):
        every = np.arange(len(table))
        rows = {"all": every, "middle": every[3:9], "scattered": every[::-3], "none": every[:0]}[picked]
        expected = list(bytes_of(table, rows.tolist()))
        assert column_of(schema.taken(table, rows)).to_pylist() == expected
        in_pieces = pa.concat_tables([table.slice(0, 4), table.slice(4)])
        monkeypatch.setattr(root_rows, "FEW", 0)
        monkeypatch.setattr(root_rows, "BLOCK_ROWS", 5)
        assert np.array_equal(lanes(in_pieces, rows), lanes_of(expected))
        monkeypatch.setattr(root_rows, "LARGEST", 0)
        assert np.array_equal(lanes(in_pieces, rows), lanes_of(expected))


def test_documents_with_positions() -> None:
    known = document("p", ["a", "b"], {"n": 1})
    known = NewDocument(**{**known.__dict__, "positions": [Position(page=1), Position(sheet="s", headings=("h", "i"))]})
    table, _ = tables([document("plain", ["a"], {}), known, document("last", ["a", "b"], {"n": 2})])
    assert root_rows.document_rows(table).to_pylist() == list(schema.document_bytes(table, range(3)))


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"])))))
def test_quoted_strings_are_canonical_json(values: list[str | None]) -> None:
    expected = [None if value is None else canonical_json(value) for value in values]
    assert quoted(pa.array(values, pa.string())).to_pylist() == expected


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))))
def test_floats_are_canonical_json(values: list[float | None]) -> None:
    expected = [None if value is None else canonical_json(value) for value in values]
    assert numbers_json(pa.array(values, pa.float64())).to_pylist() == expected


def test_objects_have_the_fields_of_their_rows_sorted() -> None:
    numbers, strings = numbers_json(pa.array([1, None, None])), quoted(pa.array([None, "x", None]))
    objects = objects_json({"b": [numbers, strings], "a": [numbers_json(pa.array([True, False, None]))]}, 3)
    assert objects.to_pylist() == [b'{"a":true,"b":1}', b'{"a":false,"b":"x"}', b"{}"]
    assert objects_json({}, 2).to_pylist() == [b"{}", b"{}"]


def test_digests_of_rows_by_hand() -> None:
    empty, abc = "e3b0c44298fc1c149afbf4c8996fb924", "ba7816bf8f01cfea414140de5dae2223"
    rows = joined(b"a", pa.array([b"bc", b"x"], pa.binary()))
    assert [digest.tobytes().hex()[:32] for digest in row_digests(rows.slice(0, 1))] == [abc]
    assert row_digests(pa.array([b""], pa.binary()))[0].tobytes().hex().startswith(empty)
    assert row_digests(rows.slice(1, 0)).shape == (0, 32)
    assert rows_of_matrix(np.array([[97, 98], [99, 100]], np.uint8)).to_pylist() == [b"ab", b"cd"]
