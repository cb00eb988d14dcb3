"""Records from JSONL, CSV and values: ids, digests, metadata, vectors, and every way to be unusable."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import SHARED
from record_results import A, codes, lines, originals, pairs, read, refusal

from vecver.model import Failure, Original
from vecver.pipeline.sources import records as reading

IR = SHARED / "data/ir"


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def file(name: str, content: str | bytes) -> Path:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    return file


File = Callable[[str, str | bytes], Path]


@pytest.fixture(autouse=True, params=["one by one", "columns"])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to read rows: one by one, as a few are, and in columns."""
    if request.param == "columns":
        monkeypatch.setattr(reading, "FEW", 1)


# -- one record ---------------------------------------------------------------------------------


def test_a_record_and_its_digest_worked_out_by_hand() -> None:
    (item,) = originals(read([{"id": "a", "text": "é", "title": "T", "n": 1, "vector": [1, 0.5]}], label="wiki"))
    canonical = '{"id":"a","metadata":{"n":1},"text":"é","title":"T"}'.encode()
    assert item.digest == hashlib.sha256(canonical).hexdigest()
    assert (item.document, item.source, item.text, item.title, item.data) == ("a", "wiki", "é", "T", None)
    assert item.metadata == {"n": 1}
    assert item.vector is not None and item.vector.dtype == np.float32 and item.vector.tolist() == [1.0, 0.5]


def test_digest_changes_with_every_part_but_the_vector() -> None:
    base: dict[str, Any] = {"id": "a", "text": "t", "title": "T", "x": 1, "vector": [1.0, 2.0]}
    changes: list[dict[str, Any]]
    changes = [{"id": "b"}, {"text": "u"}, {"title": "U"}, {"x": 2}]
    digests = [originals(read([base | change]))[0].digest for change in [{}, *changes]]
    assert len(set(digests)) == len(digests)
    same = {"vector": [3.0], "x": 1, "y": None, "_id": "a", "text": "t", "title": "T"}
    assert originals(read([same]))[0].digest == digests[0]


def test_ids_may_be_integers_and_underscored() -> None:
    records = [
        {"id": 7, "text": "x"},
        {"_id": "b", "text": "y"},
        {"id": "c", "_id": 1, "text": ""},
        {"id": -(10**20), "text": ""},
    ]
    found = originals(read(records))
    assert [item.document for item in found] == ["7", "b", "c", "-100000000000000000000"]
    assert [item.metadata for item in found] == [{}, {}, {"_id": 1}, {}]
    assert originals(read([{"id": np.int64(3), "text": "x"}]))[0].document == "3"


def test_metadata_holds_only_json_values() -> None:
    values = {
        "s": "x", "b": True, "i": -(2**63), "f": 0.5, "none": None, "tags": ["a", "b"],
        "deep": {"k": [1, None, {"z": "é"}]}, "date": datetime.date(2026, 11, 21),
        "time": datetime.datetime(2026, 11, 21, 9, 30, tzinfo=datetime.UTC),
        "price": decimal.Decimal("1.25"), "lasts": datetime.timedelta(minutes=1.5), "np": np.float32(0.25),
        "arr": np.arange(2), "pair": (1, 2),
    }  # fmt: skip
    (item,) = originals(read([A | values]))
    assert item.metadata == {
        "s": "x", "b": True, "i": -(2**63), "f": 0.5, "tags": ["a", "b"], "deep": {"k": [1, None, {"z": "é"}]},
        "date": "2026-11-21", "time": "2026-11-21T09:30:00+00:00", "price": 1.25, "lasts": 90.0, "np": 0.25,
        "arr": [0, 1], "pair": [1, 2],
    }  # fmt: skip
    assert type(item.metadata["b"]) is bool and json.loads(json.dumps(item.metadata)) == item.metadata


def test_the_digest_of_a_record_with_a_long_decimal_worked_out_by_hand() -> None:
    (item,) = originals(read([A | {"n": decimal.Decimal("12345678901234567.890")}]))
    canonical = b'{"id":"a","metadata":{"n":{"$decimal":"12345678901234567.890"}},"text":"one","title":""}'
    assert item.digest == hashlib.sha256(canonical).hexdigest()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("1.25", 1.25),
        ("1.10", 1.1),
        ("-7", -7.0),
        ("9007199254740991", 2.0**53 - 1),
        ("9007199254740993", 2**53 + 1),
        ("1234567890123456700", 1234567890123456700),  # a float prints as it, but is 1234567890123456768
        ("9223372036854775808", {"$decimal": "9223372036854775808"}),
        ("12345678901234567.89", {"$decimal": "12345678901234567.89"}),
        ("0.10000000000000000001", {"$decimal": "0.10000000000000000001"}),
        ("1E+400", {"$decimal": "1E+400"}),
        ("1E+22", 1e22),
    ],
)
def test_a_decimal_keeps_every_digit(given: str, wanted: Any) -> None:
    exact = decimal.Decimal(given)
    (item,) = originals(read([A | {"x": exact, "xs": [exact], "deep": {"x": exact}}]))
    assert item.metadata == {"x": wanted, "xs": [wanted], "deep": {"x": wanted}}
    assert type(item.metadata["x"]) is type(wanted)
    (again,) = originals(read([A | {"x": {"$decimal": given}, "xs": [{"$decimal": given}], "deep": {"x": exact}}]))
    assert again.digest == item.digest
    (line,) = originals(read([json.loads(json.dumps({**A, **item.metadata}))]))
    assert line.digest == item.digest


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"id": ""}, "invalid_id", "must not be empty"),
        ({"id": None}, "invalid_id", "neither a string nor an integer"),
        ({"id": True}, "invalid_id", "neither"),
        ({"id": 1.0}, "invalid_id", "neither"),
        ({"id": "../b"}, "invalid_id", "'../b': an id has no '.' or '..'"),
        ({"id": "b\nc"}, "invalid_id", "control characters"),
        ({"id": "x" * 4000}, "invalid_id", "this one has 4000"),
        ({"text": None}, "no_text", "null"),
        ({"text": 5}, "malformed", "text or a title that is not a string"),
        ({"title": 5}, "malformed", "text or a title that is not a string"),
        ({"text": "half \ud83d"}, "malformed", "surrogate"),
        ({"x": "half \ud83d"}, "malformed", "surrogate"),
        ({"x": float("nan")}, "invalid_metadata", "nan in 'x'"),
        ({"x": 2**63}, "invalid_metadata", "64 bits in 'x'"),
        ({"x": decimal.Decimal("NaN")}, "invalid_metadata", "NaN in 'x'"),
        ({"x": decimal.Decimal("sNaN")}, "invalid_metadata", "sNaN in 'x'"),
        ({"x": [decimal.Decimal("-Infinity")]}, "invalid_metadata", "-Infinity in 'x'"),
        ({"x": {"deep": [float("inf")]}}, "invalid_metadata", "inf in 'x'"),
        ({"x": b"raw"}, "invalid_metadata", "'x', a bytes"),
        ({"x": {1: 2}}, "invalid_metadata", "name is not a string, 1"),
        ({"vector": [1, float("nan")]}, "invalid_vector", "NaN"),
        ({"vector": [1, 1e39]}, "invalid_vector", "beyond float32"),
        ({"vector": [1, "2"]}, "invalid_vector", "no list of numbers"),
        ({"vector": [1, None]}, "invalid_vector", "no list of numbers"),
        ({"vector": [[1], [2]]}, "invalid_vector", "no list of numbers"),
        ({"vector": [[1], 2]}, "invalid_vector", "no list of numbers"),
        ({"vector": []}, "invalid_vector", "no list of numbers"),
        ({"vector": "[1, 2]"}, "invalid_vector", "no list of numbers"),
        ({"vector": [True, False]}, "invalid_vector", "no list of numbers"),
        ({"vector": [1, 2, 3]}, "invalid_vector", "a vector of 3 dimensions, but the first record has a vector of 2"),
        ({"vector": None}, "invalid_vector", "no vector, but the first record has a vector of 2"),
    ],
)
def test_a_record_that_cannot_be_used(change: dict[str, Any], code: str, words: str) -> None:
    good = {"id": "good", "text": "t", "vector": [0.0, 1.0]}
    bad = {"id": "bad", "text": "t", "vector": [1, 2]} | change
    first, failure, last = read([good, bad, good | {"id": "last"}], label="wiki")
    assert isinstance(first, Original) and isinstance(last, Original)
    assert isinstance(failure, Failure)
    assert (failure.document, failure.code) == ("wiki:2" if "id" in change else "bad", code)
    assert failure.reason.startswith("Record 2 ") and words in failure.reason


def test_a_vector_where_the_first_record_has_none_fails() -> None:
    assert codes(read([A, {"id": "b", "text": "t", "vector": [1.0]}])) == [("a", "ok"), ("b", "invalid_vector")]


def test_prefix_belongs_to_the_id() -> None:
    records = list(read([{"id": "x" * 1020, "text": "t"}, {"id": "/y", "text": "t"}, A], prefix="books/"))
    assert codes(records) == [("records:1", "invalid_id"), ("records:2", "invalid_id"), ("books/a", "ok")]


def test_a_repeated_id_is_an_error_that_names_both_lines(file: File) -> None:
    path = file("r.jsonl", lines(A) + "\n" + lines({"id": "b", "text": ""}, A))
    error = refusal(lambda: read(path))
    assert (error.code, error.context) == ("duplicate_document", {"document": "a"})
    assert error.message == "r.jsonl holds the document 'a' twice: line 1 and line 4."
    assert refusal(lambda: read([{"id": 1, "text": ""}, {"id": "1", "text": ""}])).code == "duplicate_document"


# -- JSONL --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["r.jsonl", "r.NDJSON"])
def test_jsonl_with_mark_crlf_blank_lines_and_no_last_newline(file: File, name: str) -> None:
    path = file(name, b'\xef\xbb\xbf{"id":"a","text":"\xe2\x80\xa8one"}\r\n\r\n  \n{"id":"b","text":"two"}')
    assert pairs(read(path)) == [("a", "\u2028one"), ("b", "two")]


def test_one_huge_line(file: File) -> None:
    text = "0123456789" * 1_000_000
    assert pairs(read(file("r.jsonl", lines({"id": "a", "text": text})))) == [("a", text)]


def test_broken_lines_fail_with_their_number(file: File) -> None:
    broken = b'{"id": "b", "te\n[1]\n"x"\n\xff\n' + b"[" * 100_000 + b'\n{"id": "c"}\n{"text": "d"}\n'
    records = list(read(file("r.jsonl", lines(A).encode() + broken + lines({"id": "z", "text": ""}).encode())))
    names = ["r.jsonl:2", "r.jsonl:3", "r.jsonl:4", "r.jsonl:5", "r.jsonl:6", "c", "r.jsonl:8"]
    assert codes(records) == [("a", "ok"), *((name, "malformed") for name in names), ("z", "ok")]
    reasons = [item.reason for item in records if isinstance(item, Failure)]
    assert [reason.split(" ")[1] for reason in reasons] == ["2", "3", "4", "5", "6", "7", "8"]
    assert reasons[1] == "Line 3 is no object but a list."
    assert reasons[5] == "Line 7 has no field 'text' but ['id']."


def test_a_broken_first_line_does_not_fail_the_file(file: File) -> None:
    assert codes(read(file("r.jsonl", "{broken\n" + lines(A)))) == [("r.jsonl:1", "malformed"), ("a", "ok")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("# A heading\n\nSome prose.\n", "line 1 is no JSON"),
        (lines({"name": "x", "body": "y"}), "line 1 has no field 'id' but ['name', 'body']"),
        ("\n" + lines({"id": "x", "body": "y"}), "line 2 has no field 'text' but ['id', 'body']"),
        ('{"id": "a"}\n'.encode("utf-16"), "line 1 is no JSON"),
        ("nonsense\n" * 100 + lines(A), "line 1 is no JSON"),
        (lines([A]), "line 1 is no object but a list"),
    ],
)
def test_a_file_without_records_is_an_error_that_names_the_line(file: File, content: str | bytes, words: str) -> None:
    path = file("r.jsonl", content)
    error = refusal(lambda: read(path))
    assert error.code == "not_records" and words in error.message and "records=False" in error.hint
    (whole,) = read(path, records=False)
    assert isinstance(whole, Original) and whole.document == "r.jsonl" and whole.data == path.read_bytes()


def test_records_can_be_forced_for_any_name(file: File) -> None:
    assert pairs(read(file("dump.txt", lines(A)), records=True)) == [("a", "one")]


def test_an_empty_file_has_no_records(file: File) -> None:
    assert list(read(file("r.jsonl", ""))) == []


def test_a_file_of_records_that_cannot_be_opened_is_an_error(file: File, tmp_path: Path) -> None:
    path = file("r.jsonl", lines(A))
    results = read(path)
    path.unlink()
    assert refusal(lambda: results).code == "unreadable"
    for name in ("r.jsonl", "r.csv"):
        (tmp_path / name).symlink_to("gone")
        assert refusal(lambda name=name: read(tmp_path / name)).code == "unreadable"  # type: ignore[misc]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines(A).encode())))
    (item,) = originals(read("-"))
    assert (item.document, item.source) == ("a", "stdin")


def test_inside_a_folder_every_file_is_a_document(file: File) -> None:
    path = file("r.jsonl", lines(A))
    assert [item.document for item in originals(read(path.parent))] == ["r.jsonl"]


def test_records_are_read_lazily() -> None:
    asked = []

    def values() -> Iterator[dict[str, Any]]:
        for n in range(10_000):
            asked.append(n)
            yield {"id": n, "text": ""}

    next(iter(read(values())))
    assert len(asked) == 512  # one block


# -- CSV ----------------------------------------------------------------------------------------


def test_csv_with_quotes_newlines_mark_and_crlf(file: File) -> None:
    path = file("r.csv", '\ufeffid, text ,title,year\r\na,"one, ""two""\r\nthree",T,2024\r\n\r\nb,"",,\r\nc,no end,,')
    records = originals(read(path))
    assert pairs(records) == [("a", 'one, "two"\r\nthree'), ("b", ""), ("c", "no end")]
    assert [(item.title, item.metadata) for item in records] == [("T", {"year": "2024"}), ("", {}), ("", {})]


def test_tsv(file: File) -> None:
    assert pairs(read(file("r.tsv", "_id\ttext\n1\ta,b\n"))) == [("1", "a,b")]


def test_csv_rows_that_do_not_fit_fail_with_their_line(file: File) -> None:
    path = file("r.csv", 'id,text\na,"1\n2"\nb\nc,x,y\nd,"q"z\ne,fine\nf,"never closed\ng,x\n')
    records = list(read(path))
    assert codes(records) == [
        ("a", "ok"), *((f"r.csv:{n}", "malformed") for n in (4, 5, 6)), ("e", "ok"), ("r.csv:8", "malformed")
    ]  # fmt: skip
    assert isinstance(records[1], Failure) and records[1].reason == "Line 4 has 1 cells, but the header has 2."


def test_csv_with_a_field_beyond_the_default_limit(file: File) -> None:
    assert pairs(read(file("r.csv", f'id,text\na,"{"x" * 200_000}"\n'))) == [("a", "x" * 200_000)]


@pytest.mark.parametrize("content", ["name,text\na,b\n", "id;text\na;b\n", "", b"id,text\xff\n", "just prose"])
def test_csv_without_both_columns_is_one_document(file: File, content: str | bytes) -> None:
    path = file("r.csv", content)
    (item,) = originals(read(path))
    assert (item.document, item.data) == ("r.csv", path.read_bytes())


def test_csv_can_be_forced_either_way(file: File) -> None:
    (whole,) = originals(read(file("r.csv", "id,text\na,b\n"), records=False))
    assert whole.data == b"id,text\na,b\n"
    assert refusal(lambda: read(file("s.csv", "name,text\na,b\n"), records=True)).code == "not_records"
    assert refusal(lambda: read(file("t.csv", b"id,text\na,\xff\n"))).code == "not_records"


@pytest.mark.parametrize("source", [{"id": "a", "text": "t"}, 7, b"bytes", ["a", "b"]])
def test_values_that_are_no_records(source: Any) -> None:
    assert refusal(lambda: read(source)).code == "not_records"


# -- real collections ---------------------------------------------------------------------------


@pytest.mark.skipif(not IR.is_dir(), reason=f"the retrieval collections are not at {IR}")
def test_real_collections_read_whole() -> None:
    for path in sorted(IR.glob("*/corpus.jsonl")):
        count = sum(1 for line in path.read_bytes().splitlines() if line.strip())
        records = originals(read(path, label=path.parent.name))
        assert len(records) == count and len({item.digest for item in records}) == count
