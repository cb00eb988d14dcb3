"""One request, three ways to answer it: on the event loop, in a thread behind plain ASGI, and by FastAPI's own route.

Seeded requests, valid ones and all kinds of others, get the same status, headers, body, log line and metrics from each.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers import ingest, vector_of

import vecver
from vecver.errors import SpaceMismatchError

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

import httpx2
from fastapi.testclient import TestClient
from starlette.responses import Response
from vecver_service import searching
from vecver_service.app import create_app
from vecver_service.routes import raw_search
from vecver_service.schemas.requests import Search
from vecver_service.settings import ServiceSettings
from vecver_service.short_searches import ShortSearches
from vecver_service.state.keys import Keys

Json = dict[str, Any]
WAYS = ("loop", "thread", "fastapi")
VECTOR = vector_of("a question").astype("<f4")
FORMS: list[Any] = [base64.b64encode(VECTOR.tobytes()).decode(), [float(x) for x in VECTOR]]
BAD: list[Any] = [None, True, 0, -1, 51, 1e400, "", "x", [], [1], {}, {"a": 1}, "###", "\ud800", [[1]], 3.5]
VALUES: dict[str, list[Any]] = {
    "vector": [*FORMS, *(vector_of(str(i)).tolist() for i in range(4))],
    "vectors": [FORMS, FORMS * 2, [FORMS[0]]],
    "query": ["a text"],
    "like": ["doc-3", "nothing"],
    "ref": ["main", "v1", "prod", "main~1", "nowhere", "@{2020-01-01}"],
    "k": [1, 3, 10, 50],
    "filter": [{"$document": "doc-3"}, {"nothing": 1}, {}],
    "exact": [True, False],
    "engine": ["faiss", "milvus"],
    "context": [0, 1],
    "receipt": [True, False],
    "offset": [0, 2],
    "per_document": [1],
    "min_score": [0.1, -2.0],
    "diversity": [0.0, 0.5],
    "hit_vectors": ["base64", "list"],
    "missing": ["error", "empty"],
    "unknown": [1],
}
PATHS = [*["/v1/datasets/d/search"] * 12, "/v1/datasets/e/search", "/v1/datasets/d/search/", "/v1/datasets//search"]
PATHS += ["/v1/datasets/%64/search", "/v1/datasets/../search", "/v1/datasets/d/search?k=1", "/v1/datasets/d/search?a&a"]
RAW = [b"", b"{", b"[]", b"null", b"\xff", b'{"vector": [NaN]}', b'{"k": 1, "k": 2, "vector": []}', b" " * 5000]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    place = tmp_path_factory.mktemp("routes")
    docs = vecver.open(place / "kb", create=True, author="tester").dataset("d")
    ingest(docs, {f"doc-{i}": f"the text number {i} ü \x7f" for i in range(20)})
    docs.tag("v1")
    docs.promote("prod", "v1")
    ingest(docs, {f"doc-{i}": f"another text {i}" for i in range(5)})
    with client_of(place) as client:
        yield client


@contextmanager
def client_of(place: Path) -> Iterator[TestClient]:
    """A service with the keys of a reader of `d`, and of another dataset, in `client.tokens`."""
    config = ServiceSettings(state=str(place / "state"), max_body=4096, max_k=50, max_queries=3)
    keys = Keys(config.keys_file(""))
    with TestClient(create_app(vecver.open(place / "kb"), config), raise_server_exceptions=False) as client:
        client.tokens = [keys.add(name, [f"{name}:read"])[1] for name in "de"]  # type: ignore[attr-defined]
        yield client


def request_of(rng: random.Random, tokens: list[str]) -> Json:
    """One request, as arguments of `TestClient.post`."""
    body: Json = {rng.choice(["vector"] * 6 + ["vectors", "query", "like", "k"]): None}
    for name in rng.sample(list(VALUES), rng.choice([0, 0, 1, 1, 2, 3])):
        body[name] = None
    for name in body:
        body[name] = rng.choice(VALUES[name] if rng.random() < 0.9 else BAD)
    content = json.dumps(body).encode() if rng.random() < 0.9 else rng.choice(RAW)
    headers = {"content-type": "application/json", "authorization": f"Bearer {tokens[0]}", "x-request-id": "same"}
    if rng.random() < 0.3:
        name, value = rng.choice(
            [
                ("content-type", rng.choice(["text/plain", "application/json; charset=utf-8", ""])),
                ("authorization", rng.choice([f"Bearer {tokens[1]}", f"bearer  {tokens[0]} ", "Bearer x", "Basic x"])),
                ("if-none-match", rng.choice(["*", '"x", W/"y"'])),
            ]
        )
        headers[name] = value
    return {"url": rng.choice(PATHS), "content": content, "headers": headers}


@contextmanager
def answered(way: str) -> Iterator[list[bool]]:
    """Every search is answered in this way; on the loop, where it may be. Gives whether searches were."""
    search_on_loop, answered_at_once = raw_search.search_on_loop, []

    def counted(*args: Any) -> Any:
        outcomes = search_on_loop(*args)
        answered_at_once.append(outcomes != [None])
        return outcomes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShortSearches, "allows", lambda *_: way == "loop")
        patch.setattr(raw_search, "search_on_loop", counted)
        if way == "fastapi":
            patch.setattr(raw_search, "_dataset_name", lambda scope: None)
        yield answered_at_once


def outcome(client: TestClient, request: Json, caplog: pytest.LogCaptureFixture) -> Json:
    """What the caller, the log and the metrics see of a request, without times."""
    before, deps = counts(client), client.app.state.deps  # type: ignore[attr-defined]
    caplog.clear()
    answer = client.post(**request)
    fields = [{**vars(record)} for record in caplog.records if record.name == "vecver.service"]
    standard = {*vars(logging.makeLogRecord({})), "ms", "message"}
    lines = [{name: value for name, value in line.items() if name not in standard} for line in fields]
    for line in lines:
        line["phases_ms"] = sorted(line.get("phases_ms", ()))
    after = counts(client)
    assert not deps.search_lock.locked()
    return {
        "status": answer.status_code,
        "headers": list(answer.headers.multi_items()),
        "body": answer.content,
        "log": lines,
        "metrics": {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)},
    }


def counts(client: TestClient) -> dict[str, float]:
    """The metrics that count."""
    text = client.app.state.deps.metrics.text()[0].decode()  # type: ignore[attr-defined]
    return {name: float(value) for name, value in re.findall(r"^(\w+_(?:count|total)\S*) (\S+)$", text, re.MULTILINE)}


def check(client: TestClient, caplog: pytest.LogCaptureFixture, seed: int, count: int) -> None:
    caplog.set_level(logging.INFO, "vecver.service")
    rng, on_loop = random.Random(seed), 0
    for number in range(count):
        request = request_of(rng, client.tokens)  # type: ignore[attr-defined]
        outcomes = {}
        for way in WAYS:
            with answered(way) as at_once:
                outcomes[way] = outcome(client, request, caplog)
            on_loop += way == "loop" and any(at_once)
            assert way == "loop" or not any(at_once)
        assert outcomes["loop"] == outcomes["thread"] == outcomes["fastapi"], (seed, number, request)
    assert on_loop > count / 10, "else this would compare threads with threads"


def test_every_way_to_answer_a_search_gives_the_same(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    check(client, caplog, 0, 150)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(1, 11))
def test_every_way_to_answer_many_searches_gives_the_same(
    client: TestClient, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    check(client, caplog, seed, 400)


def test_an_etag_of_one_way_is_known_to_the_others(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"content-type": "application/json", "authorization": f"Bearer {client.tokens[0]}"}  # type: ignore[attr-defined]
    request: Json = {"url": PATHS[0], "content": json.dumps({"vector": FORMS[0]}).encode()}
    with answered("fastapi"):
        etag = client.post(**request, headers=headers).headers["etag"]
    for way in WAYS:
        with answered(way):
            again = outcome(client, {**request, "headers": {**headers, "if-none-match": f'W/{etag}, "x"'}}, caplog)
        assert (again["status"], again["body"]) == (304, b"") and ("etag", etag) in again["headers"], way


def test_the_loop_leaves_every_other_search_to_threads(client: TestClient) -> None:
    """What may be long, whatever the searches before it took."""
    deps = client.app.state.deps  # type: ignore[attr-defined]
    docs = deps.repository.dataset("d")
    others: list[Json] = [{"query": "a"}, {"queries": ["a"]}, {"vectors": [FORMS[0]]}, {"like": "doc-1"}]
    long: list[Json] = [{"exact": True}, {"filter": {}}, {"k": 51}, {"offset": 100}, {"context": 1}]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShortSearches, "allows", lambda *_: True)
        for options in [*others, *({"vector": FORMS[0], **options} for options in long)]:
            assert not searching.fits_loop(deps, docs, Search(**options)), options
        assert searching.fits_loop(deps, docs, Search(vector=FORMS[0]))


def loop_search(client: TestClient, query: Any, **options: Any) -> searching.LoopSearch:
    docs = client.app.state.deps.repository.dataset("d")  # type: ignore[attr-defined]
    return searching.LoopSearch(docs, {}, Search(vector=FORMS[0], **options), query, "")


def test_no_search_runs_on_the_loop_beside_another(client: TestClient) -> None:
    deps = client.app.state.deps  # type: ignore[attr-defined]
    with deps.search_lock:
        assert searching.search_on_loop(deps, [loop_search(client, VECTOR)] * 2) == [None, None]


def test_searches_that_are_answered_together_get_the_answers_of_each_alone(client: TestClient) -> None:
    deps = client.app.state.deps  # type: ignore[attr-defined]
    searches = [loop_search(client, vector_of(str(i)), k=5, receipt=i % 2 == 0) for i in range(8)]
    alone = [searching.search_on_loop(deps, [search])[0] for search in searches]
    together = searching.search_on_loop(deps, searches)
    for one, other in zip(alone, together, strict=True):
        assert isinstance(one, Response) and isinstance(other, Response)
        assert (one.body, one.raw_headers) == (other.body, other.raw_headers)
    assert all(search.scope["vecver.log_fields"]["queries"] == 1 for search in searches)


def test_searches_whose_receipts_differ_are_not_answered_by_one_call(client: TestClient) -> None:
    plus, minus = (loop_search(client, VECTOR, min_score=least) for least in (0.0, -0.0))
    assert plus.alike == loop_search(client, VECTOR, min_score=0.0).alike != minus.alike


def test_a_bad_vector_spoils_no_answer_beside_it(client: TestClient) -> None:
    deps = client.app.state.deps  # type: ignore[attr-defined]
    outcomes = searching.search_on_loop(deps, [loop_search(client, query) for query in (VECTOR, VECTOR[:3], VECTOR)])
    assert isinstance(outcomes[1], SpaceMismatchError) and not deps.search_lock.locked()
    assert isinstance(outcomes[0], Response) and isinstance(outcomes[2], Response)


@pytest.mark.parametrize("most_waiting", [raw_search._MOST_WAITING, 3])
def test_many_callers_at_once_each_get_their_answer(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, most_waiting: int
) -> None:
    """Requests of several options, answered in the turns of one loop; more than one turn holds, or than may wait."""
    monkeypatch.setattr(raw_search, "_MOST_WAITING", most_waiting)
    headers = {"content-type": "application/json", "authorization": f"Bearer {client.tokens[0]}"}  # type: ignore[attr-defined]
    bodies = [json.dumps({"vector": vector_of(str(i)).tolist(), "k": 1 + i % 3}).encode() for i in range(30)]
    with answered("thread"):
        expected = [client.post(PATHS[0], content=body, headers=headers).content for body in bodies]

    async def ask_all() -> list[bytes]:
        transport = httpx2.ASGITransport(client.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as caller:
            answers = await asyncio.gather(*(caller.post(PATHS[0], content=body, headers=headers) for body in bodies))
        return [answer.content for answer in answers]

    with answered("loop") as at_once:
        assert client.portal is not None and client.portal.call(ask_all) == expected
    assert len(at_once) < len(bodies) and (all(at_once) or most_waiting == 3)
