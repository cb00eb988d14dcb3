"""The remote handle repeats what may succeed later, and raises the service's errors as its own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, cast

import pytest
from played import JOB, MOVE, PROBLEM, SECRET, Played, Reply, answer

import vecver
from vecver.errors import (
    AccessError,
    BackendError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    NotPublishedError,
    SpaceMismatchError,
    VecverError,
)
from vecver.model import (
    Move,
)
from vecver.remote.repository import RemoteRepository
from vecver.wire import Wire

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")


class TestAttempts:
    PROMOTE = "PUT /v1/datasets/handbook/aliases/prod"

    def promote(self, played: Played, *replies: Reply, **how: Any) -> Move:
        played.replies[self.PROMOTE] = list(replies)
        return played.connect(**how).dataset("handbook").promote("prod")

    def test_what_may_succeed_later_is_sent_again_as_it_was(self, played: Played, waits: list[float]) -> None:
        failures: list[Reply] = [httpx2.ConnectError("refused"), answer("busy", 503, retry_after="1.5")]
        assert self.promote(played, *failures, answer(MOVE.to_json())) == MOVE
        assert waits == [0.25, 1.5]
        assert len({request.headers["idempotency-key"] for request in played.requests}) == 1
        assert [request.headers["authorization"] for request in played.requests] == [f"Bearer {SECRET}"] * 3
        assert played.bodies == [{"ref": "main"}] * 3

    def test_two_calls_have_two_keys(self, played: Played) -> None:
        played.replies[self.PROMOTE] = [answer(MOVE.to_json())]
        docs = played.connect().dataset("handbook")
        assert docs.promote("prod") == docs.promote("prod")
        assert len({request.headers["idempotency-key"] for request in played.requests}) == 2

    @pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 500, 501, 504])
    def test_what_would_fail_again_is_not(self, played: Played, waits: list[float], status: int) -> None:
        with pytest.raises(VecverError):
            self.promote(played, answer(PROBLEM, status))
        assert (len(played.requests), waits) == (1, [])

    @pytest.mark.parametrize("status", [429, 502, 503])
    def test_it_gives_up(self, played: Played, waits: list[float], status: int) -> None:
        with pytest.raises(BackendError) as caught:
            self.promote(played, answer("busy", status), retries=3)
        assert (len(played.requests), waits) == (4, [0.25, 0.5, 1.0])
        assert caught.value.retryable and caught.value.context["status"] == status

    def test_the_service_may_say_that_it_would_not_help(self, played: Played, waits: list[float]) -> None:
        broken = {**PROBLEM, "category": "BackendError", "code": "disk_full", "context": {"retryable": False}}
        with pytest.raises(BackendError) as caught:
            self.promote(played, answer(broken, 503))
        assert (caught.value.code, caught.value.retryable, len(played.requests)) == ("disk_full", False, 1)

    def test_an_attempt_that_is_still_being_done_is_waited_for(self, played: Played, waits: list[float]) -> None:
        doing = answer({**PROBLEM, "code": "in_progress"}, 409)
        assert self.promote(played, httpx2.ReadError("cut"), doing, answer(MOVE.to_json())) == MOVE
        assert waits == [0.25, 0.5]

    def test_nothing_is_tried_after_the_time_is_spent(self, played: Played, waits: list[float]) -> None:
        with pytest.raises(BackendError):
            self.promote(played, answer("busy", 503, retry_after="61"))
        with pytest.raises(BackendError):
            self.promote(played, httpx2.ConnectError("refused"), timeout=0.2)
        assert waits == []

    def test_an_unreachable_service_is_reported_without_the_key(self, played: Played, waits: list[float]) -> None:
        with pytest.raises(BackendError, match=r"http://kb\.test did not answer: ConnectError") as caught:
            self.promote(played, httpx2.ConnectError(f"refused; authorization: Bearer {SECRET}"))
        assert (caught.value.code, caught.value.retryable) == ("service_unreachable", True)
        assert caught.value.__cause__ is None and caught.value.__context__ is None

    def test_a_job_outlives_a_service_that_is_restarted(self, played: Played, waits: list[float]) -> None:
        done = {**JOB, "state": "succeeded", "result": {"x": 1}}
        gone = [httpx2.ConnectError("refused")] * 20
        played.replies[f"GET /v1/jobs/{JOB['id']}"] = [answer(JOB), *gone, answer(done)]
        assert played.connect().dataset("handbook")._wire.result_of(JOB) == {"x": 1}

    def test_a_service_that_stays_away_is_not_waited_for_for_ever(self, played: Played, waits: list[float]) -> None:
        played.replies[f"GET /v1/jobs/{JOB['id']}"] = [httpx2.ConnectError("refused")]
        with pytest.raises(BackendError) as caught:
            played.connect(timeout=30).dataset("handbook")._wire.result_of(JOB)
        assert caught.value.__notes__[1:] == [f"job {JOB['id']}"] and 30 < sum(waits) < 120


class _Counted(BaseHTTPRequestHandler):
    """Answers with the client's port of the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"repository": str(self.client_address[1])}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def test_a_process_that_is_forked_asks_on_connections_of_its_own() -> None:
    """On shared connections a search received the answer to another process's search."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Counted) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        wire = Wire(f"http://127.0.0.1:{server.server_port}")
        reading, writing = os.pipe()
        mine = wire.get("/v1")["repository"]
        if not (child := os.fork()):
            try:
                os.write(writing, wire.get("/v1")["repository"].encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 9).decode() not in ("", mine)
        assert wire.get("/v1")["repository"] == mine
        wire.close()
        server.shutdown()
        os.close(reading)
        os.close(writing)


VERBS: dict[str, Callable[[RemoteRepository], Any]] = {
    "datasets": lambda kb: kb.datasets(),
    "replay": lambda kb: kb.replay({}),
    "ingest": lambda kb: kb.dataset("d").ingest([{"id": "a", "text": "a"}]),
    "search": lambda kb: kb.dataset("d").search("a"),
    "several": lambda kb: kb.dataset("d").search(["a", "b"]),
    "publish": lambda kb: kb.dataset("d").publish(),
    "publication": lambda kb: kb.dataset("d").publication(),
    "show": lambda kb: kb.dataset("d").show(),
    "log": lambda kb: list(kb.dataset("d").log()),
    "documents": lambda kb: kb.dataset("d").documents(),
    "diff": lambda kb: kb.dataset("d").diff("a", "b"),
    "diff of a document": lambda kb: kb.dataset("d").diff("a", "b", document="x"),
    "tags": lambda kb: kb.dataset("d").tags(),
    "promote": lambda kb: kb.dataset("d").promote("prod"),
    "moves": lambda kb: kb.dataset("d").moves("alias", "prod"),
}
SAID = ("id", "datasets", "answers", "hits", "commits", "documents", "aliases", "tags", "moves", "chunks")


class TestErrors:
    def failing(self, played: Played, reply: Reply) -> VecverError:
        played.replies["GET /v1/datasets/handbook/tags"] = [reply]
        with pytest.raises(VecverError) as caught:
            played.connect(retries=0).dataset("handbook").tags()
        return caught.value

    @pytest.mark.parametrize(
        "kind",
        [
            *(NotFoundError, ConflictError, InvalidInputError, SpaceMismatchError),
            *(IntegrityError, NotPublishedError, AccessError, BackendError),
        ],
    )
    def test_an_error_is_what_the_library_raised_there(self, played: Played, kind: type[VecverError]) -> None:
        error = self.failing(played, answer({**PROBLEM, "category": kind.__name__}, kind.http_status))
        assert type(error) is kind
        assert (error.message, error.code, error.hint) == (PROBLEM["detail"], "ref_moved", "look at it again")
        assert error.context["found"] == "c" * 64
        assert error.__notes__ == ["hint: look at it again", "request req-1"]

    def test_a_category_of_a_newer_service_is_an_error_still(self, played: Played) -> None:
        assert type(self.failing(played, answer({**PROBLEM, "category": "QuotaError"}, 418))) is VecverError

    @pytest.mark.parametrize(
        "reply",
        [answer("<html>", 200), answer([1], 200), answer("no such host", 404), answer("", 302), answer("é", 500)],
    )
    def test_a_response_of_another_server_is_an_error(self, played: Played, reply: httpx2.Response) -> None:
        error = self.failing(played, reply)
        assert (type(error), error.code) == (BackendError, "service_bad_answer")

    @pytest.mark.parametrize("status", [401, 403])
    def test_an_error_from_a_proxy_does_not_show_the_key(self, played: Played, status: int) -> None:
        error = self.failing(played, answer(f"Bearer {SECRET} is not welcome", status))
        assert isinstance(error, AccessError)
        assert "Bearer *** is not welcome" in error.message

    @pytest.mark.parametrize("status", [200, 403, 500])
    def test_a_key_at_the_place_where_an_error_is_cut_stays_masked(self, played: Played, status: int) -> None:
        error = self.failing(played, answer("x" * 290 + SECRET, status))
        assert SECRET[:6] not in error.message

    def test_a_problem_that_quotes_the_key_does_not_tell_it(self, played: Played) -> None:
        told = {"detail": f"no {SECRET}", "hint": f"{SECRET}?", "context": {"headers": [SECRET]}}
        error = self.failing(played, answer({**PROBLEM, **told}, 409))
        assert (error.message, error.hint, error.context) == ("no ***", "***?", {"headers": ["***"]})

    @pytest.mark.parametrize(
        ("problem", "code"),
        [
            ({"code": 401}, "service_bad_answer"),
            ({"code": ["x"]}, "service_bad_answer"),
            ({"code": "x", "category": ["NotFoundError"], "hint": 3, "context": "text"}, "x"),
            ({"code": "x", "context": {"self": 1, "code": 2, "hint": 3, "message": 4}}, "x"),
            ({"code": "x", "category": "BackendError", "context": [1]}, "x"),
        ],
    )
    def test_a_problem_body_of_another_server_becomes_an_error(self, played: Played, problem: Any, code: str) -> None:
        assert self.failing(played, answer(problem, 400)).code == code

    def test_an_answer_nested_too_deep_is_none(self, played: Played) -> None:
        deep = '{"a":' * 100_000 + "1" + "}" * 100_000
        assert self.failing(played, answer(deep)).code == "service_bad_answer"

    def test_a_response_in_an_unknown_encoding_is_an_error(self, played: Played) -> None:
        reply = httpx2.Response(500, content=b"\xff no", headers={"content-type": "text/plain; charset=base64"})
        assert "no" in self.failing(played, reply).message

    def test_a_closed_handle_raises_an_error_that_names_it(self, played: Played) -> None:
        with played.connect() as repository:
            pass
        with pytest.raises(InvalidInputError) as caught:
            repository.datasets()
        assert caught.value.code == "closed"

    def test_an_answer_that_does_not_end_is_not_waited_for(self, played: Played) -> None:
        def drops() -> Iterator[bytes]:
            until = time.monotonic() + 20
            while time.monotonic() < until:
                yield b" "
                time.sleep(0.01)
            yield b"{}"

        played.replies["GET /v1/datasets/handbook/tags"] = [httpx2.Response(200, content=drops())]
        with pytest.raises(BackendError, match="did not answer") as caught:
            played.connect(retries=0, timeout=0.2).dataset("handbook").tags()
        assert caught.value.retryable

    @pytest.mark.parametrize(
        ("name", "value"), [("SSL_CERT_FILE", "/no/such/file"), ("ALL_PROXY", "gopher://proxy:1"), ("ALL_PROXY", "a b")]
    )
    def test_an_environment_that_cannot_be_used(self, name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(name, value)
        with pytest.raises(VecverError) as caught:
            vecver.connect("http://127.0.0.1:1", retries=0)
        assert caught.value.code in ("invalid_environment", "service_unreachable")

    @pytest.mark.parametrize("body", [{}, {"commits": []}, dict.fromkeys(SAID, 3), {name: [3] for name in SAID}])
    @pytest.mark.parametrize("verb", VERBS)
    def test_an_answer_of_another_shape_is_no_answer(self, verb: str, body: Any) -> None:
        told = {"repository": "f" * 32, **body}
        wire = Wire("http://kb.test", transport=httpx2.MockTransport(lambda _: answer(told)))
        with pytest.raises(BackendError) as caught:
            VERBS[verb](RemoteRepository(wire))
        assert caught.value.code == "service_bad_answer" and caught.value.hint

    @pytest.mark.parametrize("seconds", [None, 0, -1, float("nan"), float("inf"), "3", True])
    def test_no_time_to_wait(self, seconds: Any) -> None:
        with pytest.raises(InvalidInputError) as caught:
            vecver.connect("http://127.0.0.1:1", timeout=seconds)
        assert caught.value.code == "invalid_timeout"

    def test_another_service_is_no_repository(self, played: Played) -> None:
        played.replies["GET /v1"] = [answer({"hello": "world"})]
        with pytest.raises(BackendError, match="no vecver"):
            played.connect()

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "kb.test",
            "ftp://kb.test",
            "http://",
            "http://me:pw@kb.test",
            "http://kb.test?key=1",
            "http://a:b",
            "http://a\n",
            f"http://{'a' * 70}",
        ],
    )
    def test_a_url_that_is_none(self, url: str) -> None:
        with pytest.raises(InvalidInputError) as caught:
            vecver.connect(url)
        assert caught.value.code == "invalid_url" and "pw" not in str(caught.value)

    @pytest.mark.parametrize("key", ["a b", "schlüssel", "a\nb"])
    def test_a_key_that_is_none(self, key: str) -> None:
        with pytest.raises(InvalidInputError) as caught:
            vecver.connect("http://kb.test", key)
        assert caught.value.code == "invalid_api_key" and key not in str(caught.value)

    def test_handles_are_shown_without_the_key(self, played: Played) -> None:
        with played.connect() as repository:
            shown = repr((repository, repository.dataset("handbook")))
        assert shown == "(<vecver repository http://kb.test>, <vecver dataset handbook in http://kb.test>)"

    @pytest.mark.parametrize("name", ["", "../x", "a/b", "."])
    def test_a_name_that_is_none_is_not_sent(self, played: Played, name: str) -> None:
        repository = played.connect()
        with pytest.raises(InvalidInputError):
            repository.dataset(name)
        with pytest.raises(InvalidInputError):
            repository.dataset("handbook").tag(name)
        assert played.requests == []

    def test_no_revision_is_not_the_default_one(self, played: Played) -> None:
        docs, no = played.connect().dataset("handbook"), cast(Any, None)
        for ask in (lambda: docs.search("x", at=no), lambda: docs.resolve(""), lambda: list(docs.log(no))):
            with pytest.raises(InvalidInputError) as caught:
                ask()
            assert caught.value.code == "invalid_revision"
        assert played.requests == []
