"""Filters: each operator by hand, and what it says of values of every type."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from filtered import BERLIN, INSTANTS, ONES, WIDE, dataset, found
from helpers import open_on, vector_of

import vecver
from vecver.digest import digest_json
from vecver.errors import InvalidInputError
from vecver.store import MemoryStore

DOCUMENTS: dict[str, dict[str, Any]] = {
    "a": {"year": 2023, "lang": "en", "tags": ["x", "y"], "draft": True, "size": 1.5},
    "b": {"year": 2024, "lang": "de", "tags": ["y"], "draft": False, "größe.ü": 3},
    "c": {"year": 2025.5, "lang": "en", "day": "2026-11-21"},
    "d": {"year": "2024", "tags": "x", "nested": {"year": 2024}, "mixed": [1, 2]},
    "e": {},
}


@pytest.fixture(scope="module")
def docs() -> vecver.Dataset:
    return dataset(DOCUMENTS)


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        (None, "abcde"),
        ({}, "abcde"),
        ({"year": 2024}, "b"),
        ({"year": 2024.0}, "b"),
        ({"year": {"$ne": 2024}}, "acde"),
        ({"year": {"$gt": 2023, "$lt": 2026}}, "bc"),
        ({"year": {"$gte": 2024.5}}, "c"),
        ({"year": {"$lte": 2024}}, "ab"),
        ({"year": {"$in": [2023, "2024"]}}, "ad"),
        ({"year": {"$nin": [2023, "2024"]}}, "bce"),
        ({"year": {"$in": []}}, ""),
        ({"year": {"$nin": []}}, "abcde"),
        ({"year": {"$exists": True}}, "abcd"),
        ({"year": {"$exists": False}}, "e"),
        ({"year": {"$gt": "2"}}, "d"),
        ({"lang": {"$gte": "e"}}, "ac"),
        ({"day": {"$lt": "2026-12"}}, "c"),
        ({"draft": True}, "a"),
        ({"draft": False}, "b"),
        ({"draft": {"$lt": True}}, "b"),
        ({"size": {"$gt": 1}}, "a"),
        ({"tags": "x"}, "ad"),
        ({"tags": {"$ne": "x"}}, "bce"),
        ({"tags": {"$in": ["x", "z"]}}, "ad"),
        ({"tags": {"$gt": "x"}}, "ab"),
        ({"nested": {"$exists": True}}, "d"),
        ({"mixed": 1}, "d"),
        ({"mixed": {"$nin": [1, 7]}}, "abce"),
        ({"größe.ü": {"$gte": 3}}, "b"),
        ({"lang": "en", "year": {"$lt": 2025}}, "a"),
        ({"$or": [{"lang": "de"}, {"$and": [{"lang": "en"}, {"year": {"$gt": 2024}}]}]}, "bc"),
        ({"$and": [{"$or": [{"draft": True}, {"draft": False}]}, {"tags": "y"}], "lang": "en"}, "a"),
        ({"lang": "fr"}, ""),
        ({"$not": {"lang": "en"}}, "bde"),
        ({"$nor": [{"lang": "en"}, {"tags": "x"}]}, "be"),
        ({"year": {"$not": {"$gte": 2024}}}, "ade"),
        ({"year": {"$not": {"$gte": 2024, "$lt": 2025}}}, "acde"),
        ({"year": {"$not": {"$not": {"$gte": 2024}}}}, "bc"),
        ({"$not": {"$or": [{"lang": "de"}, {"draft": True}]}}, "cde"),
        ({"tags": {"$all": ["x", "y"]}}, "a"),
        ({"tags": {"$all": ["x"]}}, "ad"),
        ({"tags": {"$contains": "x"}}, "ad"),
        ({"lang": {"$contains": "n"}}, "ac"),
        ({"day": {"$contains": "-11-"}}, "c"),
        ({"mixed": {"$contains": 2}}, "d"),
        ({"mixed": {"$not": {"$contains": 2}}}, "abce"),
        ({"$document": "a"}, "a"),
        ({"$document": {"$in": ["a", "e"]}}, "ae"),
        ({"$document": {"$gt": "b", "$lte": "d"}}, "cd"),
        ({"$document": {"$ne": "a"}, "lang": "en"}, "c"),
        ({"$title": {"$exists": False}}, "abcde"),
        ({"$title": {"$ne": "x"}}, "abcde"),
        ({"$source": {"$exists": True}}, "abcde"),
    ],
)
def test_each_operator_by_hand(docs: vecver.Dataset, filter: Any, wanted: str) -> None:
    assert found(docs, filter) == found(docs, filter, exact=True) == wanted


@pytest.mark.parametrize(
    ("filter", "code"),
    [
        ({"jahr": 1}, "unknown_field"),
        ({"$or": [{"year": 1}, {"jahr": 1}]}, "unknown_field"),
        ({"year": {"$near": 1}}, "invalid_filter"),
        ({"year": {"gte": 1}}, "invalid_filter"),
        ({"$not": [{"year": 1}]}, "invalid_filter"),
        ({"year": {"$not": 1}}, "invalid_filter"),
        ({"year": {"$not": {}}}, "invalid_filter"),
        ({"year": {"$not": {"$near": 1}}}, "invalid_filter"),
        ({"$nor": {"year": 1}}, "invalid_filter"),
        ({"$nor": [{"jahr": 1}]}, "unknown_field"),
        ({"tags": {"$all": []}}, "invalid_filter"),
        ({"tags": {"$all": "x"}}, "invalid_filter"),
        ({"tags": {"$contains": 1}}, "invalid_filter"),
        ({"tags": {"$contains": ["x"]}}, "invalid_filter"),
        ({"draft": {"$contains": True}}, "invalid_filter"),
        ({"size": {"$contains": 1.5}}, "invalid_filter"),
        ({"$document": 7}, "invalid_filter"),
        ({"$document": ["a"]}, "invalid_filter"),
        ({"$title": None}, "invalid_filter"),
        ({"$path": {"$gt": "a"}}, "invalid_filter"),
        ({"$media_type": {"$in": [1]}}, "invalid_filter"),
        ({"$doc": "a"}, "invalid_filter"),
        ({"$or": {}}, "invalid_filter"),
        ({"$and": []}, "invalid_filter"),
        ({"$and": ["year"]}, "invalid_filter"),
        ({"year": {}}, "invalid_filter"),
        ({"year": None}, "invalid_filter"),
        ({"year": [2023, 2024]}, "invalid_filter"),
        ({"year": {"$in": 2023}}, "invalid_filter"),
        ({"year": {"$in": [None]}}, "invalid_filter"),
        ({"year": {"$exists": 1}}, "invalid_filter"),
        ({"year": float("nan")}, "invalid_filter"),
        ({"year": {"$lt": float("inf")}}, "invalid_filter"),
        ({"lang": "\ud800"}, "invalid_filter"),
        ({"draft": 1}, "invalid_filter"),
        ({"year": True}, "invalid_filter"),
        ({"nested": 2024}, "invalid_filter"),
        ({"year": np.int64(1)}, "invalid_filter"),
        ({1: 2}, "invalid_filter"),
        ([], "invalid_filter"),
        ("year", "invalid_filter"),
        (0, "invalid_filter"),
    ],
)
def test_bad_filters_say_what_to_do(docs: vecver.Dataset, filter: Any, code: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        found(docs, filter)
    assert caught.value.code == code and caught.value.hint


def test_paths_and_titles_of_files(tmp_path: Path) -> None:
    for name in ("guides/pump.md", "guides/deep/valve.md", "guides-old/pump.md", "tax.txt"):
        (tmp_path / "kb" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "kb" / name).write_text(f"# About {name[-7:]}\n\nText.\n")
    docs = open_on(MemoryStore()).dataset("d")
    docs.ingest(tmp_path / "kb", embedder="hashing")

    def documents(filter: Any) -> list[str]:
        return sorted({hit.document for hit in docs.search("text", k=100, filter=filter)})

    assert documents({"$path": "guides/"}) == ["guides/deep/valve.md", "guides/pump.md"]
    assert documents({"$path": "guides"}) == ["guides-old/pump.md", "guides/deep/valve.md", "guides/pump.md"]
    assert documents({"$path": {"$nin": ["guides/", "tax"]}}) == ["guides-old/pump.md"]
    assert documents({"$path": {"$contains": "pump"}}) == ["guides-old/pump.md", "guides/pump.md"]
    assert documents({"$document": {"$contains": "pump"}, "$path": {"$ne": "guides-"}}) == ["guides/pump.md"]
    assert documents({"$media_type": "text/markdown", "$title": {"$contains": "pump"}}) == [
        "guides-old/pump.md",
        "guides/pump.md",
    ]
    assert documents({"$source": {"$exists": False}}) == []
    assert documents({"$media_type": {"$ne": "text/markdown"}}) == ["tax.txt"]
    assert len(documents({"$source": "kb"})) == 4
    docs.snapshot("main", tmp_path / "out")
    export = vecver.open_snapshot(tmp_path / "out")
    for filter in ({"$path": "guides/"}, {"$title": {"$contains": "pump"}}, {"$media_type": "text/plain"}):
        assert export.search("text", filter=filter).hits == docs.search("text", filter=filter).hits
    with pytest.raises(InvalidInputError) as caught:
        export.search("text", filter={"$source": "kb"})
    assert caught.value.code == "unknown_field"


@pytest.mark.parametrize(
    ("filter", "meant"),
    [({"yaer": 1}, "'year'"), ({"$documents": "a"}, "'$document'"), ({"year": {"$gtee": 1}}, "'$gte'")],
)
def test_near_matches_are_named(docs: vecver.Dataset, filter: Any, meant: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        docs.search(ONES, filter=filter)
    assert f"did you mean {meant}" in caught.value.hint


def test_unknown_fields_are_listed(docs: vecver.Dataset) -> None:
    with pytest.raises(InvalidInputError) as caught:
        found(docs, {"jahr": 1})
    assert "day, draft, größe.ü, lang, mixed, nested, size, tags, year" in caught.value.hint


def test_a_field_that_only_dead_rows_have_is_unknown() -> None:
    """What a filter may name depends on the version, not on the segments that it shares with others."""
    docs = dataset({"a": {"year": 2023}, "b": {}}, {"a": {}, "b": {}})  # b's row lies beside the year still
    assert found(docs, {"year": {"$exists": False}}, at="main~1") == "b"
    with pytest.raises(InvalidInputError) as caught:
        found(docs, {"year": {"$exists": False}})
    assert caught.value.code == "unknown_field"


def test_numbers_compare_by_their_exact_values() -> None:
    """2^53 and 2^53 + 1 are one number in float64."""
    docs = dataset({"a": {"n": 2**53}, "b": {"n": 2**53 + 1}, "c": {"n": 2.0**53}, "d": {"n": -(2**63)}})
    assert found(docs, {"n": 2**53}) == found(docs, {"n": 2.0**53}) == "ac"
    assert found(docs, {"n": {"$gt": 2.0**53}}) == "b"
    assert found(docs, {"n": {"$gte": 2**53 + 1}}) == "b"
    assert found(docs, {"n": {"$lt": 2**70}}) == "abcd"
    assert found(docs, {"n": {"$lt": -(2.0**63)}}) == found(docs, {"n": 10**400}) == ""
    assert found(docs, {"n": {"$lt": 0.5}}) == "d"


def test_across_segments_with_other_columns_and_edits_of_metadata_only() -> None:
    """A document's chunk stays where it lies when only its metadata changes; the filter follows the document."""
    first: dict[str, dict[str, Any]] = {"a": {"lang": "en"}, "b": {"year": 1}}
    second: dict[str, dict[str, Any]] = {"a": {"lang": "en"}, "b": {"year": 2, "lang": "de"}, "c": {"other": True}}
    docs = dataset(first, second)
    embedded = docs.show("main").operation["chunks"]
    assert embedded["reused"] + embedded["embedded"] >= 1
    assert found(docs, {"year": 1}, at="main~1") == "b" and found(docs, {"year": 1}) == ""
    assert found(docs, {"year": 2}) == "b" and found(docs, {"lang": {"$exists": True}}) == "ab"
    assert found(docs, {"lang": {"$ne": "en"}}) == "bc" and found(docs, {"other": True}) == "c"
    with pytest.raises(InvalidInputError):
        found(docs, {"other": True}, at="main~1")


# -- lists, decimals, instants ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        ({"groups": 7}, "ae"),
        ({"groups": {"$in": [7, 9.5]}}, "abe"),
        ({"groups": {"$nin": [7]}}, "bcdf"),
        ({"groups": {"$ne": 7.0}}, "bcdf"),
        ({"groups": {"$gt": 8}}, "be"),
        ({"groups": {"$lt": 7.5}}, "ae"),
        ({"groups": True}, "e"),
        ({"groups": {"$nin": [True, "x"]}}, "abcd"),
        ({"groups": "x"}, "ef"),
        ({"groups": {"$exists": True}}, "abcef"),
    ],
)
def test_lists_of_every_type_match_by_any_item(filter: Any, wanted: str) -> None:
    groups: list[Any] = [[7, 8], [9.5], [], None, [None, True, "x", 7.0, 10], "x"]
    docs = dataset({id: {"groups": own} for id, own in zip("abcdef", groups, strict=True)})
    assert found(docs, filter) == found(docs, filter, exact=True) == wanted


def test_a_filter_of_texts_on_a_field_of_numbers_is_refused() -> None:
    docs = dataset({"open": {"denied": [1]}, "shut": {"denied": [7, 8]}, "half": {"denied": 7}, "free": {"denied": []}})
    hits = docs.search(ONES, filter={"denied": {"$nin": [7]}})
    assert {hit.document for hit in hits} == {"open", "free"}
    with pytest.raises(InvalidInputError, match=r"'denied' holds integers, lists of integers: '7' is a string"):
        docs.search(ONES, filter={"denied": {"$nin": ["7"]}})


def test_decimals_that_are_one_float_stay_two() -> None:
    first, second = Decimal("12345678901234567.89"), Decimal("12345678901234567.91")
    docs = dataset({"a": {"account": first}, "b": {"account": second}, "c": {"account": Decimal("1.10")}, "d": {}})
    assert float(first) == float(second)
    for filter in (first, str(first), {"$decimal": str(first)}, {"$in": [first, 7]}, {"$lt": second, "$gt": 2}):
        assert found(docs, {"account": filter}) == "a"
    assert found(docs, {"account": {"$nin": [first]}}) == "bcd"
    assert found(docs, {"account": {"$gte": str(first)}}) == "ab"
    assert found(docs, {"account": 1.1}) == found(docs, {"account": Decimal("1.1")}) == "c"
    with pytest.raises(InvalidInputError, match="'account' holds decimals, for one of which"):
        found(docs, {"account": {"$nin": [float(first)]}})
    hits = {hit.document: hit.metadata for hit in docs.search(ONES)}
    assert hits["a"] == {"account": "12345678901234567.89"} and hits["c"] == {"account": 1.1}


def test_account_numbers_of_eighteen_digits_stay_apart() -> None:
    first, second = Decimal(123456789012345678), Decimal(123456789012345679)
    docs = dataset({"a": {"account": first}, "b": {"account": [second]}})
    assert found(docs, {"account": first}) == found(docs, {"account": 123456789012345678}) == "a"
    assert found(docs, {"account": {"$ne": first}}) == found(docs, {"account": {"$gt": int(first)}}) == "b"
    assert docs.search(ONES, k=1, filter={"account": second})[0].metadata == {"account": [int(second)]}


def test_a_receipt_holds_decimals_and_times_and_is_replayed() -> None:
    docs = dataset({"a": {"n": Decimal("0.12345678901234567891"), "at": INSTANTS[0]}, "b": {"n": 1, "at": INSTANTS[1]}})
    filter = {"n": {"$gt": Decimal("0.1234567890123456789")}, "at": {"$lt": datetime(2026, 10, 25, 1, 30, tzinfo=UTC)}}
    answer = docs.search(ONES, filter=filter)
    assert [hit.document for hit in answer] == ["a"]
    receipt = json.loads(json.dumps(answer.receipt))
    assert receipt["filter"]["at"] == {"$lt": "2026-10-25T01:30:00+00:00"}
    assert docs.repository.replay(receipt).identical


def test_a_receipt_of_a_filter_that_is_refused_now_is_replayed() -> None:
    """Before, such a filter found nothing in silence."""
    docs = dataset({"a": {"year": 2024}})
    receipt = {**docs.search(ONES, filter={"year": 1}).receipt, "filter": {"year": "2024"}}
    receipt["digest"] = digest_json({name: value for name, value in receipt.items() if name != "digest"})
    assert docs.repository.replay(receipt).identical


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        ({"at": "2026-10-25T00:30:00Z"}, "acde"),
        ({"at": datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)}, "acde"),
        ({"at": {"$in": ["2026-10-25T01:30:00.000Z"]}}, "b"),
        ({"at": {"$nin": ["2026-10-24T20:30:00-04:00", "x"]}}, "bfg"),
        ({"at": {"$gt": "2026-10-25T02:30:00+02:00"}}, "bf"),
        ({"at": {"$gte": "2026-10-25T02:30:00+01:00"}}, "b"),
        ({"at": {"$lt": "2026-10-25T02:30:00+01:00"}}, "acdef"),
        ({"at": {"$lte": "2026-10-25T01:29:59.999999999Z"}}, "acdef"),
        ({"at": {"$gt": "m"}}, "g"),
        ({"at": "never"}, "g"),
        ({"at": {"$ne": "never"}}, "abcdef"),
    ],
)
def test_instants_compare_as_such_at_the_end_of_summer_time(filter: Any, wanted: str) -> None:
    first = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    times = [
        first,
        first.replace(fold=1),
        "2026-10-24T20:30-0400",
        "2026-10-25 00:30:00.000Z",
        ["2026-10-25T02:30:00+02:00[Europe/Berlin]", None],
        "2026-10-25T01:29:59.999999+00",
        "never",
    ]
    docs = dataset({id: {"at": own} for id, own in zip("abcdefg", times, strict=True)})
    assert found(docs, filter) == found(docs, filter, exact=True) == wanted


def test_zones_of_arrow_and_their_instants() -> None:
    moments = pa.array([1_792_888_200, 1_792_891_800], pa.timestamp("s", "UTC"))
    columns = {"utc": moments, "berlin": moments.cast(pa.timestamp("s", "Europe/Berlin"))}
    docs = open_on(MemoryStore()).dataset("d")
    vectors = pa.array([vector_of(id).tolist() for id in "ab"], pa.list_(pa.float32()))
    docs.ingest(pa.table({"id": ["a", "b"], "text": ["a", "b"], "vector": vectors, **columns}), space="test")
    for field in columns:
        assert found(docs, {field: "2026-10-25T00:30:00Z"}) == "a"
        assert found(docs, {field: {"$gt": "2026-10-25T02:30:00+02:00"}}) == "b"


@pytest.mark.parametrize(
    ("filter", "words"),
    [
        ({"year": "2024"}, "'year' holds integers: '2024' is a string"),
        ({"year": {"$nin": ["2024"]}}, "'year' holds integers: '2024' is a string"),
        ({"year": {"$in": [2024, True]}}, "'year' holds integers: True is a boolean"),
        ({"lang": 1}, "'lang' holds strings: 1 is a number"),
        ({"lang": {"$ne": False}}, "'lang' holds strings: False is a boolean"),
        ({"draft": 0}, "'draft' holds booleans: 0 is a number"),
        ({"size": {"$lt": "2"}}, "'size' holds floats: '2' is a string"),
        ({"groups": {"$nin": ["7"]}}, "'groups' holds lists of integers: '7' is a string"),
        ({"tags": {"$in": ["x", 1]}}, "'tags' holds lists of strings: 1 is a number"),
        ({"about": "x"}, "'about' holds objects: 'x' is a string"),
        ({"lang": {"$gt": "2026-10-25T00:30:00Z"}}, "'lang' holds strings: '2026-10-25T00:30:00Z' is a time with"),
        ({"at": {"$lt": "x"}}, "'at' holds times with an offset from UTC: 'x' is a string"),
        ({"at": {"$gt": "2026-10-25T00:30:00"}}, "'at' holds times with an offset from UTC: '2026-10-25T00:30:00' is"),
        ({"at": {"$gt": "2026-10-25"}}, "'at' holds times with an offset from UTC: '2026-10-25' is a date"),
        ({"at": {"$ne": datetime(2026, 10, 25)}}, "'at' holds times with an offset from UTC: '2026-10-25T00:00:00' is"),
        ({"local": {"$ne": "2026-10-25T00:30Z"}}, "'local' holds dates or times without an offset from UTC: "),
        ({"day": "2026-10-25T00:30Z"}, "'day' holds dates or times without an offset from UTC: "),
        ({"$or": [{"lang": "en"}, {"$and": [{"year": "2024"}]}]}, "'year' holds integers"),
    ],
)
def test_a_value_of_another_type_is_refused(filter: Any, words: str) -> None:
    docs = dataset(
        {
            "a": {"year": 2024, "lang": "en", "draft": True, "size": 1.5},
            "c": {"groups": [7], "tags": ["x"], "about": {"x": 1}},
            "b": {"at": "2026-10-25T00:30Z", "local": datetime(2026, 10, 25), "day": date(2026, 10, 25)},
        }
    )
    for how in ({}, {"exact": True}):
        with pytest.raises(InvalidInputError) as caught:
            found(docs, filter, **how)
        assert caught.value.message.startswith(words) and caught.value.code == "invalid_filter" and caught.value.hint


def test_the_type_is_that_of_the_version() -> None:
    """Rows that only other versions have do not count, and any value may be compared with a field of empty lists."""
    docs = dataset({"a": {"f": 1}, "b": {}}, {"a": {"f": "x"}, "b": {}}, {"a": {"f": []}, "b": {}})
    assert found(docs, {"f": 1}, at="main~2") == found(docs, {"f": "x"}, at="main~1") == "a"
    for at, value in (("main~2", "x"), ("main~1", 1)):
        with pytest.raises(InvalidInputError):
            found(docs, {"f": value}, at=at)
    assert found(docs, {"f": {"$nin": [1, "x"]}}) == "ab" and found(docs, {"f": 1}) == ""


def test_an_export_answers_filters_in_the_same_way(tmp_path: Path) -> None:
    docs = dataset({"a": {"x": [7], "n": Decimal(WIDE[0]), "at": INSTANTS[0]}, "b": {"x": 8, "at": INSTANTS[1]}})
    docs.snapshot("main", tmp_path / "out")
    there = vecver.open_snapshot(tmp_path / "out")
    for filter in ({"x": 7}, {"n": Decimal(WIDE[0])}, {"at": INSTANTS[2]}, {"x": {"$nin": [8]}}):
        assert [hit.document for hit in there.search(ONES, filter=filter)] == ["a"]
        assert there.search(ONES, filter=filter).hits == docs.search(ONES, filter=filter).hits
