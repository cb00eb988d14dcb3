"""Callers that send no HTTP, are slow, or are silent: each is answered or disconnected, and others are served."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

from raw_connections import DATASET, QUERY, SEARCH, Line, alive, problem, request, service  # noqa: E402
from vecver_service.app import create_app  # noqa: E402
from vecver_service.http import connections  # noqa: E402
from vecver_service.state.keys import Keys  # noqa: E402

import vecver  # noqa: E402

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
    is_page = answer.request.url.path == "/"
    kind = "text/html; charset=utf-8" if is_page else "application/problem+json"
    assert answer.headers["content-type"] == kind
    if answer.status_code == 405:
        assert answer.headers["allow"]
        if method != "HEAD" and not is_page:
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


def trickle(line: Line, pieces: Iterable[bytes]) -> None:
    """Say these slowly, one after the other, until the service closes the connection."""
    for piece in pieces:
        try:
            line.say(piece)
        except OSError:
            return
        time.sleep(0.02)
    raise AssertionError("it listened to the end")


def test_headers_that_trickle_in_time_out(client: Any) -> None:
    with Line(client) as line:
        trickle(line, (bytes([byte]) for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 1000))
    alive(client)


def test_bodies_that_trickle_in_time_out(client: Any) -> None:
    with Line(client) as line:
        line.say(b"POST /v1/replay HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n")
        told: list[bytes] = []
        listener = threading.Thread(target=lambda: told.append(line.hear()))
        listener.start()
        trickle(line, [b" "] * 1000)
        listener.join(30)
    found = problem(told[0])
    assert (found["status"], found["code"], found["context"]["retryable"]) == (408, "slow_request", True)
    alive(client)


def test_line_ends_do_not_keep_a_connection_open(client: Any) -> None:
    """uvicorn's timer is stopped by any byte and was not started again."""
    with Line(client) as line:
        line.say(request(method="GET", path="/healthz")).hear(1)
        trickle(line, [b"\r\n"] * 1000)


def test_an_unread_body_does_not_keep_a_connection_open(client: Any) -> None:
    """The request was answered before its body had arrived."""
    with Line(client) as line:
        line.say(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n")
        assert line.hear(1).startswith(b"HTTP/1.1 413")
        trickle(line, [b" "] * 1000)


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
