"""The plain ASGI route of searches answers exactly as FastAPI's route of the same path: answers, problems, headers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from helpers import ingest, vector_of

import vecver

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from vecver_service.app import create_app
from vecver_service.routes import raw_search
from vecver_service.schemas.requests import Search
from vecver_service.settings import ServiceSettings
from vecver_service.state.keys import Keys

Json = dict[str, Any]
PATH = "/v1/datasets/d/search"
VECTOR = [float(x) for x in vector_of("a question")]
BASE64 = base64.b64encode(vector_of("a question").astype("<f4").tobytes()).decode()


class Service:
    """A service, and how often FastAPI's own route answered."""

    def __init__(self, app: FastAPI, keys: dict[str, str]) -> None:
        self.app, self.keys, self.client = app, keys, TestClient(app, raise_server_exceptions=False)

    def post(self, content: bytes, path: str = PATH, key: str = "reader", **headers: str) -> tuple[int, Json, bytes]:
        """(status, headers, body) without what differs between any two requests."""
        own = {"authorization": f"Bearer {self.keys[key]}", "content-type": "application/json", "x-request-id": "same"}
        answer = self.client.post(
            path, content=content, headers=own | {k.replace("_", "-"): v for k, v in headers.items()}
        )
        return answer.status_code, dict(answer.headers), answer.content


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    place = tmp_path_factory.mktemp("raw")
    repository = vecver.open(place / "kb", create=True, author="tester")
    docs = repository.dataset("d")
    ingest(docs, {f"doc-{i}": f"the text number {i} ü \x7f" for i in range(20)})
    docs.tag("v1")
    ingest(docs, {f"doc-{i}": f"another text {i}" for i in range(5)})
    config = ServiceSettings(state=str(place / "state"), max_body=4096, max_k=50, max_queries=3)
    keys = Keys(config.keys_file(""))
    tokens = {"reader": keys.add("alice", ["d:read"])[1], "other": keys.add("bob", ["e:read"])[1]}
    with TestClient(create_app(repository, config)) as client:
        yield Service(client.app, tokens)  # type: ignore[arg-type]


def both(service: Service, monkeypatch: pytest.MonkeyPatch, content: bytes, **how: Any) -> tuple[int, Json, bytes]:
    """The answer of the plain route, after comparing it with FastAPI's."""
    plain = service.post(content, **how)
    with monkeypatch.context() as patch:
        patch.setattr(raw_search, "_dataset_name", lambda scope: None)
        assert plain == service.post(content, **how)
    return plain


BODIES: list[Json] = [
    {"vector": VECTOR},
    {"vector": BASE64},
    {"vector": BASE64, "ref": "v1", "k": 3, "receipt": False},
    {"vectors": [BASE64, VECTOR], "k": 2},
    {"vectors": []},
    {"vectors": [BASE64] * 4},
    {"vector": VECTOR, "hit_vectors": "base64"},
    {"vector": VECTOR, "hit_vectors": "list", "exact": True},
    {"vector": [1]},
    {"vector": [1e39] * len(VECTOR)},
    {"vector": "###"},
    {"vector": []},
    {"vector": VECTOR, "filter": {"nothing": 1}},
    {"vector": VECTOR, "filter": {"nothing": 1}, "missing": "empty"},
    {"vector": VECTOR, "filter": {"$document": "doc-3"}},
    {"vector": VECTOR, "ref": "nowhere"},
    {"vector": VECTOR, "ref": "nowhere", "missing": "empty"},
    {"vector": VECTOR, "k": 51},
    {"vector": VECTOR, "k": 0},
    {"vector": VECTOR, "k": True},
    {"vector": VECTOR, "min_score": 1, "diversity": 0, "per_document": 1, "offset": 1, "context": 1},
    {"vector": VECTOR, "query": "two"},
    {"vector": VECTOR, "unknown": 1},
    {"vector": VECTOR, "space": "other"},
    {"like": "doc-3"},
    {"like": "nothing"},
    {"query": "a text"},
    {"queries": ["a", "b"]},
    {},
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: json.dumps(body)[:60])
def test_a_body_is_answered_in_the_same_way(service: Service, monkeypatch: pytest.MonkeyPatch, body: Json) -> None:
    both(service, monkeypatch, json.dumps(body).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"vector": [NaN]}',
        b'{"query": "\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"a":' * 300,
        b"x" * 5000,
    ],
    ids=lambda content: repr(content[:20]),
)
def test_a_body_that_is_no_search_is_explained_in_the_same_way(
    service: Service, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    status, _, body = both(service, monkeypatch, content)
    assert status in (400, 413, 422) and json.loads(body)["code"] in ("too_large", "invalid_request")


@pytest.mark.parametrize(
    "how",
    [
        {"key": "other"},
        {"path": "/v1/datasets/e/search"},
        {"path": "/v1/datasets/e/search", "key": "other"},
        {"path": "/v1/datasets/%2E%2E/search"},
        {"path": f"/v1/datasets/{'x' * 301}/search"},
        {"path": PATH + "?unknown=1"},
        {"path": PATH + "?twice=1&twice=2"},
        {"path": PATH + "/"},
        {"content_type": "text/plain"},
        {"content_type": "application/json; charset=utf-8"},
        {"content_type": "application/ld+json"},
        {"authorization": "Bearer wrong"},
        {"if_none_match": "*"},
        {"if_none_match": '"other", "another"'},
    ],
    ids=str,
)
def test_a_request_is_answered_in_the_same_way(
    service: Service, monkeypatch: pytest.MonkeyPatch, how: dict[str, str]
) -> None:
    both(service, monkeypatch, json.dumps({"vector": BASE64}).encode(), **how)


def test_an_answer_that_the_caller_has_is_not_sent_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.dumps({"vector": BASE64}).encode()
    etag = service.post(content)[1]["etag"]
    status, headers, body = both(service, monkeypatch, content, if_none_match=f'W/{etag}, "x"')
    assert (status, body) == (304, b"") and headers["etag"] == etag and "vecver-commit" in headers


def test_searches_do_not_reach_fastapi_and_count_as_its_route(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else this file would compare FastAPI with itself."""
    before = searches_counted(service, 200)
    with monkeypatch.context() as patch:
        patch.setattr("vecver_service.routes.search.search_response", None)
        assert service.post(json.dumps({"vector": BASE64}).encode())[0] == 200
    assert searches_counted(service, 200) == before + 1


def test_a_search_whose_body_grows_too_large_counts_as_a_search(service: Service) -> None:
    before = searches_counted(service, 413)
    answer = service.client.post(
        PATH,
        content=iter([b" " * 3000] * 2),
        headers={"authorization": f"Bearer {service.keys['reader']}", "content-type": "application/json"},
    )
    assert answer.status_code == 413 and "content-length" not in answer.request.headers
    assert searches_counted(service, 413) == before + 1


def test_a_body_that_is_too_large_by_its_length_counts_as_its_route(service: Service) -> None:
    before = searches_counted(service, 413)
    assert service.post(b" " * 5000)[0] == 413
    assert searches_counted(service, 413) == before + 1
    nowhere = counted(service, "POST", "other", 413)
    assert service.post(b" " * 5000, "/v1/nowhere")[0] == 413
    assert counted(service, "POST", "other", 413) == nowhere + 1


def searches_counted(service: Service, status: int) -> float:
    """How many searches the metrics count that were answered with this status."""
    return counted(service, "POST", "/v1/datasets/{dataset}/search", status)


def counted(service: Service, method: str, route: str, status: int) -> float:
    """How many requests the metrics count for a route and status."""
    name = f'vecver_request_seconds_count{{method="{method}",route="{route}",status="{status}"}}'
    text = service.app.state.deps.metrics.text()[0].decode()
    return float(next((line for line in text.splitlines() if line.startswith(name)), "0").split()[-1])


_NUMBERS = st.one_of(st.integers(), st.floats(width=32), st.floats(), st.booleans(), st.none())
_LEAVES = st.one_of(_NUMBERS, st.text(max_size=5))
_VALUES = st.recursive(
    _LEAVES, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=3), some, max_size=3)
)
_NAMES = st.sampled_from([*Search.model_fields, "unknown"])


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(_NAMES, _VALUES, max_size=4), st.sampled_from([{"query": "x"}, {"vector": [1, 2.5]}, {}]))
def test_the_body_is_read_as_fastapi_reads_it(fields: Json, query: Json) -> None:
    """pydantic's JSON parser beside Python's: the same values, or no value here."""
    content = json.dumps(fields | query).encode()
    parsed = raw_search._parsed([{"type": "http.request", "body": content}])
    try:
        expected = Search.model_validate(json.loads(content))
    except ValidationError:
        expected = None
    assert repr(parsed) == repr(expected) or parsed is None
