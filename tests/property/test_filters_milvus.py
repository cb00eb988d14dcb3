"""Filters through Milvus answer as plain Python does, and Milvus itself proposed the rows."""

from __future__ import annotations

import random
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from filter_reference import Refused, matches
from helpers import open_on, vector_of
from standing import cut_at_lines, line

import vecver
from vecver.errors import InvalidInputError
from vecver.store import MemoryStore

QUERY = np.ones(8, np.float32)
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
INSTANTS = [
    datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
    datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    datetime(2026, 10, 24, 20, 30, tzinfo=NEW_YORK),
    "2026-10-25T00:30:00Z",
    "2026-10-25T14:29+14:00",
    "2026-10-24T01:00:00.5-23:00",
]
DECIMALS = [Decimal(text) for text in ("12345678901234567.89", "12345678901234567.91", "9007199254740993", "0.1")]
FLAVOURS: dict[str, list[Any]] = {  # of fields: what their values, and the items of their lists, are drawn from
    "groups": [7, 8, 9, 0, 1],
    "numbers": [0, 1, 1.0, 2.5, 2**53, 2**53 + 1, 2.0**53, 2**63 - 1, -(2**63)],
    "flags": [True, False],
    "flags_and_numbers": [True, False, 0, 1, 2],
    "at": INSTANTS,
    "at_or_never": [*INSTANTS, "never", "a"],
    "day": ["2026-10-24", "2026-10-25", "2026-10-25T02:30:00"],
    "account": DECIMALS,
    "names": ["a", "ä", '["a"]', "[7]", ""],
    "mixed": ["a", "7", 7, 7.5, True, *INSTANTS[:2], DECIMALS[0]],
}


def documents(chance: random.Random) -> dict[str, dict[str, Any]]:
    """Of each flavour one field of scalars, one of lists, and one that has both, nulls and objects."""
    found: dict[str, dict[str, Any]] = {}
    for number in range(60):
        fields = found.setdefault(f"d{number:02d}", {})
        for name, flavour in FLAVOURS.items():
            values = chance.choices(flavour, k=chance.randrange(4))
            if values:
                fields[name] = values[0]
            if chance.random() < 0.9:
                fields[f"{name}_list"] = values
            odd = chance.choice([None, {"x": 7}, [None, *values], [values], [], *values])
            fields[f"{name}_odd"] = odd
    return found


def filters(chance: random.Random, name: str, flavour: list[Any]) -> list[dict[str, Any]]:
    """Every operator, with values of the flavour and others."""
    values = [*chance.sample(flavour, min(3, len(flavour))), 7, "a"]
    comparing = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")
    single = [{name: {operator: value}} for value in values for operator in comparing]
    several = [{name: {operator: chance.sample(flavour, 2)}} for operator in ("$in", "$nin", "$all")]
    plain = [*single, *several, {name: {"$exists": True}}, {name: {"$contains": values[0]}}]
    negated = [{name: {"$not": filter[name]}} for filter in chance.sample(plain, 3)]
    joined: list[dict[str, Any]] = [{"$not": chance.choice(plain)}, {"$nor": chance.sample(plain, 2)}]
    return [*plain, *plain, *negated, *joined, {name: {"$exists": False}}]


NAMES: list[dict[str, Any]] = [
    {"$document": "guides/07"},
    {"$document": {"$in": ["guides/07", "other/12", "nowhere"]}},
    {"$document": {"$nin": ["guides/07", "other/12"]}, "$path": "guides/"},
    {"$document": {"$gte": "guides/20", "$lt": "other/2"}},
    {"$path": "guides/"},
    {"$path": {"$not": {"$in": ["guides/1", "other/"]}}},
    {"$path": {"$ne": "guides/"}, "$title": {"$exists": True}},
    {"$title": "Title 3"},
    {"$title": {"$ne": "Title 3"}},
    {"$title": {"$contains": "tle 1"}},
    {"$title": {"$exists": False}},
    {"$nor": [{"$title": {"$exists": True}}, {"$path": "other/"}]},
    {"$media_type": {"$ne": "text/html"}, "$path": "other/4"},
    {"$source": {"$exists": True}, "$document": {"$contains": "7"}},
]


def test_built_in_fields(milvus: str) -> None:
    docs = open_on(MemoryStore(), milvus=vecver.Milvus(milvus)).dataset("d")
    ids = [f"{'guides' if number % 3 else 'other'}/{number:02d}" for number in range(60)]
    titles = {id: "" if number % 4 == 0 else f"Title {number % 5}" for number, id in enumerate(ids)}
    docs.ingest([{"id": id, "title": titles[id], "text": id, "vector": vector_of(id)} for id in ids], space="test")
    docs.publish()
    rows = {id: {"$document": id, "$path": id, "$title": titles[id], "$source": "records"} for id in ids}
    for filter in NAMES:
        answer = docs.search(QUERY, k=100, filter=filter, engine="milvus")
        assert sorted(hit.document for hit in answer) == sorted(expected(filter, rows) or ()), filter
        assert not len(answer) or answer.receipt["engine"]["name"] == "milvus", filter
        assert answer.hits == docs.search(QUERY, k=100, filter=filter).hits
        assert vecver.replay(docs.repository, answer.receipt).identical


def expected(filter: dict[str, Any], rows: dict[str, dict[str, Any]]) -> list[str] | None:
    try:
        flags = matches(filter, list(rows.values()))
    except Refused:
        return None
    return [id for id, flag in zip(rows, flags, strict=True) if flag]


def test_as_plain_python_would(milvus: str) -> None:
    chance = random.Random(12)
    rows = documents(chance)
    docs = open_on(MemoryStore(), milvus=vecver.Milvus(milvus)).dataset("d")
    records = [{"id": id, "text": id, "vector": vector_of(id), **fields} for id, fields in rows.items()]
    assert docs.ingest(records, space="test", metric="ip").documents["failed"] == 0
    docs.publish()
    asked = [
        (filter, expected(filter, rows))
        for name, flavour in FLAVOURS.items()
        for field in (name, f"{name}_list", f"{name}_odd")
        for filter in chance.sample(filters(chance, field, flavour), 6)
    ]
    refused = [filter for filter, wanted in asked if wanted is None]
    assert len(asked) > 3 * len(refused) > 0
    for filter, wanted in asked:
        if wanted is None:
            with pytest.raises(InvalidInputError):
                docs.search(QUERY, filter=filter, engine="milvus")
            continue
        answer = docs.search(QUERY, k=100, filter=filter, engine="milvus")
        assert sorted(hit.document for hit in answer) == wanted, filter
        # a scan of the repository would hide what the expression left out
        assert not wanted or answer.receipt["engine"]["name"] == "milvus", filter
        assert answer.hits == docs.search(QUERY, k=100, filter=filter).hits


def test_places_of_chunks(milvus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Milvus stores no places: such conditions do not narrow its proposals, and every row is checked here."""
    cut_at_lines(monkeypatch)
    chance = random.Random(13)
    repository = open_on(MemoryStore(), milvus=vecver.Milvus(milvus))
    docs = repository.dataset("d")
    records, rows = list[dict[str, Any]](), dict[str, dict[str, Any]]()
    for number in range(20):
        metadata: dict[str, Any] = {"year": number % 3, **({"page": "iv"} if number % 5 == 0 else {})}
        lines = []
        for chunk in range(4):
            position: dict[str, Any] = {"page": chance.randrange(1, 5), "headings": chance.sample(["x", "y", "z"], 2)}
            lines.append(line(f"word{number} chunk{chunk}", **position))
            rows[f"word{number} chunk{chunk}"] = {**position, **metadata}
        records.append({"id": f"d{number}", "text": "\n".join(lines), **metadata})
    docs.ingest(records, embedder="hashing")
    docs.publish()
    for filter in (
        {"page": {"$gte": 3}},
        {"page": {"$nin": [1, "iv"]}, "year": 1},
        {"headings": "x", "year": {"$lt": 2}},
        {"$or": [{"page": "iv"}, {"headings": {"$ne": "y"}}]},
        {"page": 2, "headings": "z", "year": 0},
    ):
        answer = docs.search("word7 chunk2", k=100, filter=filter, engine="milvus")
        assert sorted(hit.text for hit in answer) == sorted(expected(filter, rows) or ()), filter
        assert len(answer) and answer.receipt["engine"]["name"] == "milvus", filter
        assert answer.hits == docs.search("word7 chunk2", k=100, filter=filter).hits
        few = docs.search("word7 chunk2", k=3, filter=filter, engine="milvus")
        assert few.hits == docs.search("word7 chunk2", k=3, filter=filter, exact=True).hits
        assert vecver.replay(repository, answer.receipt).identical
