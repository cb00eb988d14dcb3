"""Hostile and malformed JSON: each request is answered with what is wrong, and the service keeps running."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

from hostile_requests import (  # noqa: E402
    STORE,
    TEXTS,
    UPLOAD,
    VECTORS,
    Served,
    assert_told,
    refused,
    service_of_two_datasets,
)
from serving import ended  # noqa: E402


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with service_of_two_datasets(tmp_path_factory.mktemp("abuse")) as served:
        yield served


# -- JSON ----------------------------------------------------------------------------------------


def nested(opening: bytes, closing: bytes) -> list[bytes]:
    """Deep values; around the interpreter's own limit every depth, for each step may reach it first."""
    depths = [20, 300, *range(880, 1000, 6), 2000, 100_000]
    return [opening * depth + b"1" + closing * depth for depth in depths]


DEEP = [*nested(b'{"a":', b"}"), *nested(b"[", b"]")]


def test_deeply_nested_values_are_refused_everywhere(served: Served) -> None:
    receipt = json.dumps(served.receipt).encode()
    for deep in DEEP:
        served_at = [
            ("POST", f"{TEXTS}/search", deep),
            ("POST", f"{TEXTS}/search", b'{"query":"q","filter":' + deep + b"}"),
            ("POST", f"{TEXTS}/search", b'{"query":"q","filter":{"year":{"$in":' + deep + b"}}}"),
            ("POST", f"{VECTORS}/search", b'{"vector":' + deep + b"}"),
            ("POST", "/v1/replay", b'{"receipt":' + deep + b"}"),
            ("POST", "/v1/replay", b'{"receipt":' + receipt[:-1] + b',"filter":' + deep + b"}}"),
            ("POST", "/v1/replay", b'{"receipt":' + receipt[:-1] + b',"more":' + deep + b"}}"),
            ("POST", "/v1/replay", b'{"receipt":' + receipt[:-1] + b',"engine":{"name":"exact","x":' + deep + b"}}}"),
            ("POST", STORE, b'{"query":"q","filters":{"type":"in","key":"year","value":' + deep + b"}}"),
            ("POST", UPLOAD, b'{"documents":[{"id":"x","text":"y","m":' + deep + b"}]}"),
            ("PUT", f"{TEXTS}/branches/deep", deep),
        ]
        for method, path, body in served_at:
            assert_told(served.send(method, path, body))
    for depth in (10, 100, *range(200, 400, 20), 2000):
        compound = b'{"type":"and","filters":[' * depth + b'{"type":"eq","key":"year","value":1}' + b"]}" * depth
        assert_told(served.send("POST", STORE, b'{"query":"q","filters":' + compound + b"}"))
    refused(served.send("POST", f"{TEXTS}/search", {"query": "q", "filter": {"$and": [[[[{"a": 1}]]]]}}), *FILTER)
    refused(served.send("POST", f"{TEXTS}/search", {"query": "q", "filter": {"year": {"$in": [1] * 10_001}}}), *FILTER)


FILTER = ("invalid_filter", "invalid_request")


def test_deeply_nested_records_fail_their_job_only(served: Served) -> None:
    for deep in DEEP[::4]:
        line = b'{"id":"x","text":"y","m":' + deep + b"}\n"
        job = served.send("POST", f"{UPLOAD}&embedder=hashing", line, "application/x-ndjson").json()
        job = ended(served.client, job["id"])
        assert (job["error"] or {}).get("code") != "internal", job
        assert job["state"] in ("succeeded", "failed")


VALUES = [
    *(b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1e39", b"9" * 5000, b"9" * 30, b"9223372036854775808"),
    *(b"1" + b"0" * 400, b"true", b"null", b'"1"', b"1.5", b"-0.0", b"0", b"-1", b"[]", b"{}", b"[[]]", b'""', b'" "'),
    *(b'"\\ud800"', b'"\\u0000"', b'"a\\udfffb"', b'"..%2f"', '"́"'.encode(), '"🚲"'.encode(), '"‮x"'.encode(), b"\xff"),
]


def test_no_value_in_any_field_breaks_a_search(served: Served) -> None:
    fields = ("k", "context", "exact", "receipt", "engine", "space", "ref", "filter", "query", "queries", "more")
    for value in VALUES:
        for field in fields:
            assert_told(served.send("POST", f"{TEXTS}/search", b'{"query":"q","%s":%s}' % (field.encode(), value)))
        for vector in (b"%s", b"[%s]", b"[1,2,3,4,5,6,7,%s]"):
            assert_told(served.send("POST", f"{VECTORS}/search", b'{"vector":%s}' % (vector % value)))
            assert_told(served.send("POST", f"{VECTORS}/search", b'{"vectors":[%s]}' % (vector % value)))
        for field in ("query", "max_num_results", "filters", "ranking_options", "rewrite_query"):
            assert_told(served.send("POST", STORE, b'{"query":"q","%s":%s}' % (field.encode(), value)))
        assert_told(served.send("POST", STORE, b'{"query":["q",%s]}' % value))
        threshold = b'{"query":"q","ranking_options":{"score_threshold":%s}}' % value
        assert_told(served.send("POST", STORE, threshold))


@pytest.mark.parametrize("operator", ["$gte", "$eq", "$ne", "$in", "$nin", "$exists", "$and", "$or", "$not", "$where"])
def test_no_value_breaks_a_filter(served: Served, operator: str) -> None:
    for value in VALUES:
        for field in ("year", "tags", "ok", "s", "none"):
            for inner in (value, b"[%s,1]" % value):
                filter = b'{"%s":{"%s":%s}}' % (field.encode(), operator.encode(), inner)
                assert_told(served.send("POST", f"{TEXTS}/search", b'{"query":"q","filter":%s}' % filter))
        for inner in (value, b"[%s]" % value):
            filter = b'{"%s":%s}' % (operator.encode(), inner)
            assert_told(served.send("POST", f"{TEXTS}/search", b'{"query":"q","filter":%s}' % filter))
        kind = operator[1:].encode()
        comparison = b'{"type":"%s","key":"year","value":%s}' % (kind, value)
        assert_told(served.send("POST", STORE, b'{"query":"q","filters":%s}' % comparison))


def test_no_value_in_any_field_of_a_receipt_breaks_a_replay(served: Served) -> None:
    receipt = served.receipt
    changed = [{**receipt, field: "HERE"} for field in (*receipt, "more")]
    changed += [{**receipt, "query": {**receipt["query"], field: "HERE"}} for field in (*receipt["query"], "more")]
    changed += [{**receipt, "engine": {**receipt["engine"], field: "HERE"}} for field in ("name", "exact", "faiss")]
    changed += [{**receipt, "hits": ["HERE"]}, {**receipt, "hits": [["HERE", "HERE", "HERE"]]}]
    for value in VALUES:
        for one in changed:
            body = json.dumps({"receipt": one}).encode().replace(b'"HERE"', value)
            assert_told(served.send("POST", "/v1/replay", body))
    long = {"receipt": {**receipt, "commit": "~" * 500_000 + "x"}}
    refused(served.send("POST", "/v1/replay", long), "revision_not_found")
    refused(served.send("POST", "/v1/replay", {"receipt": {**receipt, "k": 10**6}}), "limit")
    refused(served.send("POST", "/v1/replay", {"receipt": {**receipt, "hits": [receipt["hits"][0]] * 1001}}), "limit")


def test_no_value_breaks_a_write(served: Served) -> None:
    for value in VALUES:
        for path, body in (
            ("promote", b'{"alias":%s}'),
            ("promote", b'{"alias":"x","ref":%s}'),
            ("rollback", b'{"ref":%s}'),
            ("rollback", b'{"ref":"x","to":%s}'),
            ("publish", b'{"ref":"nowhere","dedicated":%s}'),
            ("publish", b'{"ref":"nowhere","flat":false,"%s":1}' if value.isalnum() else b'{"more":%s}'),
            ("ingest?label=x&dry_run=true", b'{"documents":%s}'),
            ("ingest?label=x&dry_run=true", b'{"documents":[%s]}'),
            ("ingest?label=x&dry_run=true", b'{"folder":%s}'),
        ):
            assert_told(served.send("POST", f"{TEXTS}/{path}", body % value))
        assert_told(served.send("PUT", f"{TEXTS}/branches/made", b'{"ref":%s}' % value))


def test_vectors_are_numbers_of_the_right_count(served: Served) -> None:
    def ask(vector: Any) -> Any:
        return served.send("POST", f"{VECTORS}/search", {"vector": vector})

    def packed(*numbers: float) -> str:
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()

    assert ask([1] * 8).json()["hits"] == ask(packed(*[1] * 8)).json()["hits"]
    for wrong in (
        *([1] * 7, [1] * 9, [], [1] * 100_000, [[1] * 8], [True] * 8, ["1"] * 8, [None] * 8, {"0": 1}, 8, True),
        *(packed(*[1] * 7), packed(*[1] * 9), packed(*[1] * 8)[:-2], packed(*[1] * 8) + "\n", "", "?!", "é", "A" * 31),
        *(packed(*[1] * 7, number) for number in (float("nan"), float("inf"), -float("inf"))),
        *([1] * 7 + [number] for number in (1e39, 10**400, -1e300)),
        base64.b64encode(b"x" * 31).decode(),
    ):
        answer = ask(wrong)
        refused(answer, "invalid_vector", "invalid_request", "space_mismatch", "wrong_dimension", "invalid_query")
        assert answer.status_code in (400, 422)


def test_the_size_of_a_request_is_limited(served: Served) -> None:
    search = f"{TEXTS}/search"
    refused(served.send("POST", search, {"query": "q", "k": 1001}), "limit")
    refused(served.send("POST", search, {"query": "q", "k": 10**30}), "limit", "invalid_request")
    refused(served.send("POST", search, {"query": "q", "context": 21}), "limit")
    refused(served.send("POST", search, {"queries": ["q"] * 257}), "limit")
    refused(served.send("POST", search, {"queries": []}), "empty_query")
    refused(served.send("POST", search, {"query": "q" * 100_001}), "invalid_request")
    refused(served.send("POST", STORE, {"query": ["q"] * 257}), "limit")
    refused(served.send("POST", STORE, {"query": "q", "max_num_results": 51}), "invalid_request")
    refused(served.send("POST", search, {"query": "q", "queries": ["q"]}), "invalid_request")
    refused(served.send("POST", search, {}), "invalid_request")
    for path in ("commits?limit=1001", "documents?limit=10001", "commits?limit=0", "commits?limit=1e3"):
        refused(served.send("GET", f"{TEXTS}/{path}"), "invalid_request")


BODIES = [b"", b"{", b"null", b"[]", b"\xff\xfe", b"\xef\xbb\xbf{}", b"{}x", b"\0"]
KINDS = [
    *(
        "application/json",
        "text/plain",
        "",
        "x",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
    ),
    *(
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=x",
        "application/x-ndjson",
    ),
]


def test_bodies_of_another_kind_are_refused(served: Served) -> None:
    before = served.left()
    for kind in KINDS:
        for body in BODIES:
            for method, path in (("POST", f"{TEXTS}/search"), ("POST", "/v1/replay"), ("PUT", f"{TEXTS}/branches/b")):
                answer = served.send(method, path, body, kind)
                assert_told(answer)
                assert answer.status_code in (400, 422)
            if kind != "application/x-ndjson":  # whose lines are looked at by the job
                answer = served.send("POST", UPLOAD, body, kind)
                assert_told(answer)
                assert answer.status_code in (400, 422), (kind, body)
    assert served.left() == before
