"""The remote handle: values travel unchanged, and each search sends the expected request."""

from __future__ import annotations

import base64
import json
import pickle
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import numpy as np
import pytest
from played import HIT, MOVE, PUBLICATION, REPORT, Played, answer

import vecver
from vecver.errors import (
    AccessError,
    IntegrityError,
    InvalidInputError,
    VecverError,
)
from vecver.model import (
    Answer,
    ChunkCounts,
    ChunkDiff,
    Diff,
    DocumentDiff,
    Failure,
    Hit,
    Position,
    Publication,
    Replay,
    Report,
)


@pytest.mark.parametrize(
    "value",
    [
        HIT,
        replace(HIT, context="before bleed after"),
        Answer("handbook", "prod", "c" * 64, (HIT, replace(HIT, rank=2)), {"digest": "d" * 64}),
        Answer("handbook", "prod", "c" * 64, (), {}, {"tokens": 300, "unknown": 0, "cut": 46}),
        Diff("b" * 64, "c" * 64, ("x",), ("y", "z"), (), 4, 1, {"x": ChunkCounts(0, 3, 3, 0)}),
        DocumentDiff(
            *("b" * 64, "c" * 64, "x", "changed"),
            (ChunkDiff("added", "0f" * 16, "a\u2028b", (0, 3), Position(("Heating",), page=3)),),
            {"metadata.year": (None, 2024)},
        ),
        Failure("a.pdf", "encrypted", "It needs a password."),
        replace(REPORT, names={}),
        replace(REPORT, names={}, commit=None, dry_run=True),
        PUBLICATION,
        Replay(False, ("the hits differ",), 0.9, ("a note",)),
        Replay(True, (), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_travelled_is_the_same(value: Any) -> None:
    assert type(value).from_json(json.loads(json.dumps(value.to_json()))) == value


def test_a_report_travels_with_the_names_that_were_added_to_it() -> None:
    sent = {**REPORT.to_json(), "names": {"added": ["b.md"], "changed": [], "removed": []}}
    assert Report.from_json(json.loads(json.dumps(sent))) == REPORT


def test_what_a_newer_service_adds_is_no_obstacle() -> None:
    assert Hit.from_json({**HIT.to_json(), "colour": "red"}) == HIT
    assert Publication.from_json({**PUBLICATION.to_json(), "colour": "red"}) == PUBLICATION


def test_access_errors_keep_their_codes_when_pickled() -> None:
    error = pickle.loads(pickle.dumps(AccessError("no", code="forbidden", hint="ask", scope="x:read")))
    assert isinstance(error, VecverError)
    assert (error.exit_code, error.http_status, error.context) == (8, 403, {"scope": "x:read"})


class TestAsking:
    FOUND = Answer("handbook", "main", "c" * 64, (HIT,), {"digest": "d"})

    @pytest.fixture
    def docs(self, played: Played) -> vecver.RemoteDataset:
        several = {"dataset": "handbook", "revision": "main", "commit": "c" * 64, "answers": [self.FOUND.to_json()] * 2}
        played.replies["POST /v1/datasets/handbook/search"] = [answer(self.FOUND.to_json()), answer(several)]
        return played.connect().dataset("handbook")

    def test_a_text(self, played: Played, docs: vecver.RemoteDataset) -> None:
        assert (
            docs.search("valve", at="prod", k=cast(int, np.int64(3)), filter={"year": 2024}, exact=True) == self.FOUND
        )
        options = {"ref": "prod", "k": 3, "exact": True, "filter": {"year": 2024}, "context": 0, "space": None}
        assert played.bodies == [{"query": "valve", **options, "engine": "faiss"}]

    def test_decimals_and_times_in_a_filter(self, played: Played, docs: vecver.RemoteDataset) -> None:
        moment = datetime(2026, 10, 25, 2, 30, tzinfo=UTC)
        docs.search("valve", filter={"n": {"$in": [Decimal("0.1"), Decimal(7)]}, "at": {"$gt": moment}})
        sent = {"n": {"$in": [{"$decimal": "0.1"}, 7]}, "at": {"$gt": "2026-10-25T02:30:00+00:00"}}
        assert played.bodies[0]["filter"] == sent

    def test_a_vector_travels_bit_by_bit(self, played: Played, docs: vecver.RemoteDataset) -> None:
        vector = np.array([0.1, -0.0, 1e-45, 3.4e38], dtype=np.float32)
        docs.search(vector)
        docs.search([0.1, -0.0, 1e-45, 3.4e38])
        assert {body["vector"] for body in played.bodies} == {"zczMPQAAAIABAAAAnsl/fw=="}
        assert base64.b64decode(played.bodies[0]["vector"]) == vector.tobytes()

    def test_several(self, played: Played, docs: vecver.RemoteDataset) -> None:
        docs.search("warm up")
        assert docs.search(["a", "b"]) == [self.FOUND] * 2
        assert docs.search(np.eye(2, dtype=np.float32)) == [self.FOUND] * 2
        assert docs.search([[1, 2], [3, 4]]) == [self.FOUND] * 2
        assert [body.get("queries") for body in played.bodies[1:]] == [["a", "b"], None, None]
        assert [len(body.get("vectors", ())) for body in played.bodies[1:]] == [0, 2, 2]

    @pytest.mark.parametrize("query", [[], ["a", [1.0]], [1.0, float("nan")], [[1.0], ["x"]], {"a": 1}, None])
    def test_what_is_no_query_is_not_sent(self, played: Played, docs: vecver.RemoteDataset, query: Any) -> None:
        with pytest.raises(InvalidInputError) as caught:
            docs.search(query)
        assert caught.value.code in ("invalid_query", "invalid_vector") and played.requests == []

    @pytest.mark.parametrize(
        ("how", "code"),
        [
            ({"k": 0}, "invalid_k"),
            ({"k": True}, "invalid_k"),
            ({"k": 2.0}, "invalid_k"),
            ({"context": -1}, "invalid_context"),
            ({"engine": "solr"}, "unknown_engine"),
        ],
    )
    def test_search_options_that_the_service_would_refuse_are_not_sent(
        self, played: Played, docs: vecver.RemoteDataset, how: dict[str, Any], code: str
    ) -> None:
        with pytest.raises(InvalidInputError) as caught:
            docs.search("x", **how)
        assert caught.value.code == code and played.requests == []

    @pytest.mark.parametrize("filter", [{"x": {1, 2}}, {"x": float("nan")}, {"x": b"y"}])
    def test_a_filter_that_is_no_json(self, played: Played, docs: vecver.RemoteDataset, filter: Any) -> None:
        with pytest.raises(InvalidInputError) as caught:
            docs.search("x", filter=filter)
        assert caught.value.code == "not_json" and played.requests == []

    def test_a_commit_that_was_changed_on_the_way_is_refused(self, played: Played) -> None:
        docs = vecver.open("memory://", create=True).dataset("handbook")
        docs.ingest([{"id": "a", "text": "x", "vector": [1.0]}], space="s", metric="ip")
        told = {"commit": docs.resolve(), **docs.show().to_json()}
        played.replies["GET /v1/datasets/handbook/commits"] = [
            answer({"commits": [told], "next": None}),
            answer({"commits": [{**told, "message": "never said"}], "next": None}),
        ]
        remote = played.connect().dataset("handbook")
        assert remote.show() == docs.show()
        with pytest.raises(IntegrityError):
            remote.show()
        assert dict(played.requests[0].url.params) == {"ref": "main", "limit": "1"}

    def test_what_was_expected_is_a_condition(self, played: Played) -> None:
        played.replies = {
            f"{method} /v1/datasets/handbook/{path}": [answer(MOVE.to_json())]
            for method, path in [
                ("PUT", "aliases/prod"),
                ("PUT", "branches/b"),
                ("DELETE", "tags/t"),
                ("POST", "rollback"),
            ]
        }
        docs = played.connect().dataset("handbook")
        docs.promote("prod", "main~1", expected="absent")
        docs.branch("b", expected="c" * 64)
        docs.delete_tag("t", expected="c" * 64)
        docs.rollback("prod")
        sent = [(request.headers.get("if-match"), request.headers.get("if-none-match")) for request in played.requests]
        assert sent == [(None, "*"), (f'"{"c" * 64}"', None), (f'"{"c" * 64}"', None), (None, None)]
        assert played.requests[2].content == b""

    def test_pages_are_requested_only_when_they_are_needed(self, played: Played) -> None:
        played.replies["GET /v1/datasets/handbook/documents"] = [
            answer({"commit": "c" * 64, "documents": ["a", "b"], "next": "2"}),
            answer({"commit": "c" * 64, "documents": ["c"], "next": None}),
        ]
        assert played.connect().dataset("handbook").documents("prod") == ["a", "b", "c"]
        assert [dict(request.url.params) for request in played.requests] == [
            {"ref": "prod"},
            {"ref": "c" * 64, "cursor": "2"},
        ]
