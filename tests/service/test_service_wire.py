"""Callers that are slow, silent, or send no HTTP; that ask too much, too often, or repeat a request; and web pages.

Each is answered or disconnected, and others are served meanwhile. Against a real uvicorn on a port of this machine.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

from serving import running  # noqa: E402
from vecver_service import worker  # noqa: E402
from vecver_service.app import create_app  # noqa: E402
from vecver_service.http import connections  # noqa: E402
from vecver_service.settings import ServiceSettings  # noqa: E402
from vecver_service.state.keys import Keys  # noqa: E402

import vecver  # noqa: E402

Json = dict[str, Any]
DATASET = "/v1/datasets/d"
SEARCH = f"{DATASET}/search"
PATIENCE = 0.6  # seconds: of the services here


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository of three documents."""
    place = tmp_path_factory.mktemp("wire")
    docs = vecver.open(place / "kb", create=True, author="tester").dataset("d")
    for year in (2024, 2025):
        docs.ingest([{"id": f"d{i}", "text": f"text {i} of {year}"} for i in range(3)], embedder="hashing")
    docs.promote("prod")
    return place


@contextmanager
def service(place: Path, **settings: Any) -> Iterator[Any]:
    """A client of a service on the repository, whose jobs wait."""
    state = str(place / f"state-{time.monotonic_ns()}")
    own = ServiceSettings(state=state, **settings)
    app = create_app(vecver.open(place / "kb"), own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.Worker, "start", lambda self: None)
        patch.setattr(worker.Worker, "stop", lambda self, seconds: None)
        patch.setattr(connections, "_settings", lambda: ServiceSettings(header_timeout=PATIENCE, timeout=PATIENCE))
        with running(app) as url, httpx.Client(base_url=url, timeout=30) as client:
            client.app = app
            yield client


@pytest.fixture(scope="module")
def client(place: Path) -> Iterator[Any]:
    with service(place, timeout=4.0) as client:
        yield client


class Line:
    """A connection of bytes."""

    def __init__(self, client: Any) -> None:
        at = urlsplit(str(client.base_url))
        self._socket = socket.create_connection((at.hostname, at.port), timeout=30)

    def say(self, data: bytes) -> Line:
        self._socket.sendall(data)
        return self

    def half_close(self) -> Line:
        self._socket.shutdown(socket.SHUT_WR)
        return self

    def hear(self, answers: int = 0) -> bytes:
        """What comes until the other side closes, or so many answers have begun."""
        heard = b""
        while not answers or heard.count(b"HTTP/1.1 ") < answers:
            try:
                part = self._socket.recv(1 << 16)
            except ConnectionResetError:
                break
            if not part:
                break
            heard += part
        return heard

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def alive(client: Any) -> None:
    answer = client.post(SEARCH, json={"query": "text", "k": 1})
    assert answer.status_code == 200 and len(answer.json()["hits"]) == 1


def request(body: bytes = b"", *, method: str = "POST", path: str = SEARCH, extra: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
    return head + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


def problem(heard: bytes) -> Json:
    """The error that an answer is."""
    head, _, body = heard.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head, heard[:500]
    value: Json = json.loads(body)
    assert value["instance"].encode() in head and str(value["status"]).encode() in head.split(b"\r\n")[0]
    return value


QUERY = b'{"query":"text","k":1}'

# -- HTTP, or not --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        *(
            b"\0\0\0\0",
            b"hello\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        ),
        *(
            b"GET / HTTP/1.1\r\nA b: c\r\n\r\n",
            b"GET / HTTP/1.1\r\n: x\r\n\r\n",
            b"GET /\x80\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        b"POST /v1/replay HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/replay HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST /v1/replay HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/replay HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1e3\r\n\r\n",
        b"POST /v1/replay HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /v1/replay HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        *(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"G" * 100_000),
        b"GET /" + b"a" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 30_000,
        b"GET / HTTP/1.1\r\nX: " + b"y" * 300_000,
    ],
    ids=lambda said: ascii(said)[2:24],
)
def test_bytes_that_are_no_http_get_a_problem_and_the_connection_closes(client: Any, said: bytes) -> None:
    with Line(client) as line:
        try:
            heard = line.say(said).hear()
        except (BrokenPipeError, ConnectionResetError):  # it was told before all was said
            heard = b""
    if heard:
        told = problem(heard)
        assert told["status"] == 400 and told["code"] in ("invalid_http", "invalid_request")
    alive(client)


@pytest.mark.parametrize(
    "said",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"GET /healthz?" + b"a=b&" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=lambda said: ascii(said)[2:40],
)
def test_unusual_but_valid_requests_are_answered(client: Any, said: bytes) -> None:
    with Line(client) as line:
        assert line.say(said).hear(1).startswith(b"HTTP/1.1 200 OK")


def test_pipelined_requests_are_answered_in_order(client: Any) -> None:
    with Line(client) as line:
        line.say(request(QUERY) + request(b"{", path="/v1/replay") + request(method="GET", path="/healthz"))
        heard = line.hear(3)
    assert re.findall(rb"HTTP/1.1 (\d+)", heard) == [b"200", b"422", b"200"]
    with Line(client) as line:  # the second is nonsense: nothing of it is done
        heard = line.say(request(QUERY) + b"nonsense\r\n\r\n").hear()
    assert heard.count(b"HTTP/1.1 ") <= 2


def test_a_websocket_upgrade_is_refused(client: Any) -> None:
    head = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    head += b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    with Line(client) as line:
        heard = line.say(b"GET /v1/datasets HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n").hear(1)
    assert b" 101 " not in heard.split(b"\r\n")[0]


METHODS = ["HEAD", "OPTIONS", "PATCH", "TRACE", "DELETE", "PUT", "POST", "GET", "PROPFIND"]
PATHS = ["/", "/v1", "/v1/", "/v1/datasets", DATASET, "/v1/datasets/x", SEARCH, "/nowhere", "/healthz/", "//v1"]
CALLS = [(method, path) for path in PATHS for method in METHODS]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_unknown_methods_and_paths(client: Any, method: str, path: str) -> None:
    answer = client.request(method, path)
    if answer.status_code == 200:
        assert method == "GET"
        return
    assert answer.status_code in (404, 405, 422), (method, path)
    assert answer.headers["content-type"] == "application/problem+json"
    if answer.status_code == 405:
        assert answer.headers["allow"]
        if method != "HEAD":
            assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("kind", ["branches", "tags", "aliases"])
@pytest.mark.parametrize("name", ["..", "%2e%2e", "..%2f", "x/..", "."])
def test_no_name_of_a_ref_deletes_its_dataset(client: Any, kind: str, name: str) -> None:
    with Line(client) as line:
        heard = line.say(request(method="DELETE", path=f"{DATASET}/{kind}/{name}")).hear(1)
    assert heard.split()[1] in (b"404", b"422"), heard
    alive(client)


# -- slow and silent -----------------------------------------------------------------------------


def seconds(work: Callable[[], Any]) -> float:
    since = time.monotonic()
    work()
    return time.monotonic() - since


@pytest.mark.parametrize(
    "said",
    [b"", b"GET", b"GET /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", b"\r\n"],
    ids=ascii,
)
def test_a_connection_without_a_request_is_closed(client: Any, said: bytes) -> None:
    with Line(client) as line:
        assert line.say(said).hear() == b""


def test_headers_that_trickle_in_time_out(client: Any) -> None:
    with Line(client) as line:
        for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 1000:
            try:
                line.say(bytes([byte]))
            except OSError:
                break
            time.sleep(0.02)
        else:
            raise AssertionError("it listened to the end")
    alive(client)


def test_bodies_that_trickle_in_time_out(client: Any) -> None:
    with Line(client) as line:
        line.say(b"POST /v1/replay HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n")
        told: list[bytes] = []
        listener = threading.Thread(target=lambda: told.append(line.hear()))
        listener.start()
        for _ in range(1000):
            try:
                line.say(b" ")
            except OSError:
                break
            time.sleep(0.02)
        else:
            raise AssertionError("it listened to the end")
        listener.join(30)
    found = problem(told[0])
    assert (found["status"], found["code"], found["context"]["retryable"]) == (408, "slow_request", True)
    alive(client)


def test_line_ends_do_not_keep_a_connection_open(client: Any) -> None:
    """uvicorn's timer is stopped by any byte and was not started again."""
    with Line(client) as line:
        line.say(request(method="GET", path="/healthz")).hear(1)
        for _ in range(1000):
            try:
                line.say(b"\r\n")
            except OSError:
                break
            time.sleep(0.02)
        else:
            raise AssertionError("it listened to the end")


def test_an_unread_body_does_not_keep_a_connection_open(client: Any) -> None:
    """The request was answered before its body had arrived."""
    with Line(client) as line:
        line.say(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n")
        assert line.hear(1).startswith(b"HTTP/1.1 413")
        for _ in range(1000):
            try:
                line.say(b" ")
            except OSError:
                break
            time.sleep(0.02)
        else:
            raise AssertionError("it listened to the end")


def test_an_idle_connection_outlives_its_callers_timeout() -> None:
    """If the service closes it first, a request may be sent on a closed connection."""
    import asyncio

    import uvicorn
    from uvicorn.server import ServerState

    loop = asyncio.new_event_loop()
    connection = connections.TimeoutProtocol(uvicorn.Config(create_app), ServerState(), {}, loop)
    loop.close()
    assert connection.timeout_keep_alive > max(60, httpx.Limits().keepalive_expiry)  # 60: nginx, load balancers


def test_half_closed_connections_end(client: Any) -> None:
    for said in (b"", b"GET /hea", request(QUERY), request(QUERY)[:-5]):
        with Line(client) as line:
            line.say(said).half_close().hear()
    alive(client)


def test_two_hundred_silent_connections_do_not_block_others(client: Any) -> None:
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(Line(client))
        for _ in range(10):
            alive(client)


def test_a_caller_that_reads_no_answer_is_disconnected(client: Any) -> None:
    """Unread answers would stay in memory for ever."""
    asked = request(method="GET", path="/openapi.json")
    with Line(client) as line:
        try:
            for _ in range(2000):  # some 100 MB of answers
                line.say(asked)
        except (BrokenPipeError, ConnectionResetError):  # and no TimeoutError
            pass
        else:
            for _ in range(100):
                time.sleep(0.1)
                try:
                    line.say(b"\r\n")
                except OSError:
                    break
            else:
                raise AssertionError("it waits still")
    alive(client)


# -- deadlines -----------------------------------------------------------------------------------


def test_a_slow_search_is_answered_at_the_deadline(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    search = vecver.Dataset.search

    def slow(self: Any, query: Any, **how: Any) -> Any:
        if query == ["slow"]:
            go.wait(30)
        return search(self, query, **how)

    monkeypatch.setattr(vecver.Dataset, "search", slow)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(client.post, SEARCH, json={"query": "slow"}) for _ in range(4)]
        while not all(one.done() for one in waiting):
            alive(client)  # the others are served
        for one in waiting:
            answer = one.result()
            assert (answer.status_code, answer.json()["code"]) == (503, "timeout")
            assert not answer.json()["context"]["retryable"] and answer.headers["x-request-id"]
    go.set()
    alive(client)


# -- how often -----------------------------------------------------------------------------------


def test_the_rate_limit_is_per_key(place: Path) -> None:
    keys = Keys(place / "rate.json")
    tokens = [keys.add(name, ["d:read"])[1] for name in ("often", "seldom")]
    often, seldom = ({"authorization": f"Bearer {token}"} for token in tokens)
    with service(place, rate=0.5, burst=5, keys=str(place / "rate.json")) as client:
        answers = [client.get("/v1", headers=often) for _ in range(20)]
        assert [one.status_code for one in answers[:5]] == [200] * 5
        late = [one for one in answers if one.status_code == 429]
        assert len(late) >= 10
        told = late[0].json()
        assert (told["code"], told["context"]["retryable"]) == ("rate_limited", True)
        assert 1 <= int(late[0].headers["retry-after"]) <= 2
        assert client.get("/v1", headers=seldom).status_code == 200
        assert client.get("/healthz").status_code == 200
        for _ in range(20):  # guessing keys costs nobody their share
            assert client.get("/v1", headers={"authorization": "Bearer vv_00000000_x"}).status_code == 401
        assert client.get("/v1", headers=seldom).status_code == 200
        time.sleep(int(late[-1].headers["retry-after"]))
        assert client.get("/v1", headers=often).status_code == 200


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
