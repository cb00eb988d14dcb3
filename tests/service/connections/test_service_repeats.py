"""Repeated writes, conditions on what a caller saw, and requests that web pages send."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

from raw_connections import SEARCH, service  # noqa: E402

import vecver  # noqa: E402

# -- once ----------------------------------------------------------------------------------------

ROLLBACK = "/v1/datasets/d/rollback"


@pytest.fixture(scope="module")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a service on a repository of its own."""
    place = tmp_path_factory.mktemp("once")
    docs = vecver.open(place / "kb", create=True, author="tester").dataset("d")
    docs.ingest([{"id": "d", "text": "text"}], embedder="hashing")
    with service(place) as client:
        yield client


def moves(client: Any, kind: str, name: str) -> int:
    answer = client.get(f"/v1/datasets/d/{kind}/{name}/moves")
    return len(answer.json()["moves"]) if answer.status_code == 200 else 0


def keyed(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


def test_a_repeated_write_is_answered_again_and_done_once(writing: Any) -> None:
    path = "/v1/datasets/d/branches/once"
    first = writing.put(path, json={"ref": "main"}, headers=keyed("a"))
    again = writing.put(path, json={"ref": "main"}, headers=keyed("a"))
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.status_code == 201 and moves(writing, "branches", "once") == 1
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    for other in (
        writing.put(path, json={"ref": "main~0"}, headers=keyed("a")),
        writing.put(path + "2", json={"ref": "main"}, headers=keyed("a")),
        writing.put(path + "?x=1", json={"ref": "main"}, headers=keyed("a")),
        writing.put(path, json={"ref": "main"}, headers={**keyed("a"), "if-none-match": "*"}),
        writing.delete(path, headers=keyed("a")),
    ):
        assert (other.status_code, other.json()["code"]) == (422, "key_reused")


def test_eight_equal_writes_at_once_are_done_once(writing: Any) -> None:
    def write(n: int) -> Any:
        return writing.post("/v1/datasets/d/publish", json={}, headers=keyed("eight"))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(write, range(32)))
    done = {answer.json()["id"] for answer in answers if answer.status_code == 202}
    assert len(done) == 1
    assert {answer.json().get("code") for answer in answers if answer.status_code != 202} <= {"in_progress"}
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len(writing.get("/v1/jobs").json()["jobs"]) == 1


def test_an_idempotency_key_may_be_used_again_after_an_error(writing: Any) -> None:
    wrong = {"json": {"ref": "nowhere"}, "headers": keyed("tries")}
    for _ in range(2):
        answer = writing.put("/v1/datasets/d/branches/tried", **wrong)
        assert (answer.status_code, answer.json()["code"]) == (404, "revision_not_found")
    answer = writing.put("/v1/datasets/d/branches/tried", json={"ref": "main"}, headers=keyed("tries"))
    assert answer.status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "x" * 10_000, "é" * 200, "a\tb", "../../x", "a/b", "*"], ids=ascii)
def test_unusable_idempotency_keys_are_refused(writing: Any, key: str) -> None:
    headers = {"idempotency-key": key.encode("latin-1")}
    answer = writing.post("/v1/datasets/d/promote", json={"alias": "odd"}, headers=headers)
    sound = 1 <= len(key) <= 255 and key.isprintable() and bool(key.strip())
    assert answer.status_code in ((200, 201) if sound else (422,)), answer.text


# -- where it was seen ---------------------------------------------------------------------------


def test_if_match_guards_a_ref(writing: Any) -> None:
    path = "/v1/datasets/d/aliases/seen"
    main = writing.get("/v1/datasets/d/branches/main")
    tag = main.headers["etag"]
    assert tag == f'"{main.json()["commit"]}"'
    assert writing.put(path, json={"ref": "main"}, headers={"if-none-match": "*"}).status_code == 201
    again = writing.put(path, json={"ref": "main"}, headers={"if-none-match": "*"})
    assert (again.status_code, again.json()["code"]) == (409, "name_taken")
    assert again.json()["context"]["commit"] == main.json()["commit"]
    assert writing.put(path, json={"ref": "main"}, headers={"if-match": tag}).status_code == 200
    other = '"' + "0" * 64 + '"'
    for answer in (
        writing.put(path, json={"ref": "main"}, headers={"if-match": other}),
        writing.delete(path, headers={"if-match": other}),
        writing.post("/v1/datasets/d/promote", json={"alias": "seen"}, headers={"if-match": other}),
        writing.post(ROLLBACK, json={"ref": "seen"}, headers={"if-match": other}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "ref_moved"), answer.text
        assert answer.json()["context"]["found"] == main.json()["commit"]
    wrong = [
        "*",
        "",
        "x",
        tag[1:-1],
        f"W/{tag}",
        f"{tag}, {other}",
        "'" + tag[1:-1] + "'",
        '"' + "é" * 64 + '"',
        tag * 99,
    ]
    for value in wrong:
        answer = writing.put(path, json={"ref": "main"}, headers={"if-match": value.encode("latin-1")})
        assert answer.status_code in (409, 422), value
    for headers in ({"if-none-match": tag}, {"if-none-match": ""}, {"if-none-match": "*", "if-match": tag}):
        answer = writing.put(path, json={"ref": "main"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_condition")
    assert writing.delete(path, headers={"if-match": tag}).status_code == 200


def test_a_known_answer_is_304(client: Any) -> None:
    first = client.post(SEARCH, json={"query": "text"})
    for value in (first.headers["etag"], f"W/{first.headers['etag']}", f'"x", {first.headers["etag"]}', "*"):
        again = client.post(SEARCH, json={"query": "text"}, headers={"if-none-match": value})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["vecver-commit"] == first.json()["commit"]
    for value in ("", "x", '"x"', "é", "," * 5000):
        again = client.post(SEARCH, json={"query": "text"}, headers={"if-none-match": value.encode("latin-1")})
        assert again.content == first.content


# -- web pages -----------------------------------------------------------------------------------

HERE = ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8000"]
ELSEWHERE = [
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "0.0.0.0",
    "",
    "[::2]",
    "10.0.0.1",
]


@pytest.mark.parametrize("host", HERE + ELSEWHERE)
def test_without_keys_only_local_host_names_are_answered(client: Any, host: str) -> None:
    """A web page whose host name was rebound to this machine sends that name as Host."""
    answer = client.get("/v1/datasets", headers={"host": host})
    assert answer.status_code == (200 if host in HERE else 401)
    answer = client.post(SEARCH, json={"query": "text"}, headers={"origin": f"http://{host}"})
    assert answer.status_code == (200 if host in HERE else 401)
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example", "file://", "http://localhost@evil.example", "http://"]
)
def test_without_keys_other_origins_are_refused(client: Any, origin: str) -> None:
    for method, path in (
        ("POST", SEARCH),
        ("GET", "/v1/datasets"),
        ("OPTIONS", SEARCH),
        ("DELETE", "/v1/datasets/d/tags/x"),
    ):
        answer = client.request(method, path, headers={"origin": origin, "access-control-request-method": "POST"})
        assert answer.status_code == 401
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded"])
def test_without_keys_forwarded_requests_are_refused(client: Any, header: str) -> None:
    assert client.get("/v1/datasets", headers={header: "127.0.0.1"}).status_code == 401
