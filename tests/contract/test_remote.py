"""The client of the HTTP service: what it sends, what it makes of the answers, and when it asks again."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread, get_ident
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

import vecver
from vecver import pipeline
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
    Answer,
    ChunkCounts,
    ChunkDiff,
    Coverage,
    Diff,
    DocumentDiff,
    Failure,
    Hit,
    Move,
    Position,
    Publication,
    Replay,
    Report,
)
from vecver.remote.http import Wire
from vecver.remote.repository import RemoteRepository

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

HIT = Hit(
    rank=1,
    score=0.1 + 0.2,
    score_bits="3fd3333333333334",
    document="guide/Wärme.md",
    key="0f" * 16,
    span=(3, 17),
    text="bleed\u2028the valve",
    title="",
    metadata={"year": 2024, "tags": ["a", "b"], "deep": {"x": None}},
    headings=("Heating", "Valves"),
    header="| Part | Price |",
    page=3,
)
REPORT = Report(
    dataset="handbook",
    commit="c" * 64,
    changed=True,
    documents={"added": 1, "changed": 0, "removed": 0, "unchanged": 2, "failed": 1},
    chunks={"live": 9, "embedded": 3, "reused": 0, "removed": 0},
    failures=(Failure("a.pdf", "encrypted", "It needs a password."),),
    seconds={"parse": 0.125, "chunk": 0.0, "embed": 1.5, "write": 0.25},
    tokens=120,
    names={"added": ("b.md",), "changed": (), "removed": ()},
    notes=("not published", "b.md: Page 3 holds no text."),
    coverage={"b.md": Coverage(9, 7, 1, ("Page 3 holds no text.",))},
    unseen={"c.md": "The embedder minilm does not know 97% of its tokens."},
)
PUBLICATION = Publication(
    uri="http://localhost:19530",
    database="",
    collection="handbook_1",
    alias="",
    ordinal=3,
    filter="born <= 3 and died > 3",
    metric="IP",
    index="FLAT",
    dim=8,
    fields=("vector", "text"),
    dataset="handbook",
    commit="c" * 64,
    chunks=9,
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


def test_access_errors_are_told_apart_by_a_script() -> None:
    error = pickle.loads(pickle.dumps(AccessError("no", code="forbidden", hint="ask", scope="x:read")))
    assert isinstance(error, VecverError)
    assert (error.exit_code, error.http_status, error.context) == (8, 403, {"scope": "x:read"})


# -- a service that is played -----------------------------------------------------------------------

SECRET = "vv_0badcafe_secret"
PROBLEM = {
    "type": "urn:vecver:error:ref_moved",
    "title": "Conflict",
    "status": 409,
    "detail": "the alias 'prod' was moved by somebody else",
    "category": "ConflictError",
    "code": "ref_moved",
    "hint": "look at it again",
    "context": {"found": "c" * 64},
    "instance": "req-1",
}
MOVE = Move("handbook", "alias", "prod", None, "c" * 64, "alice", "2026-01-01T00:00:00.000000+00:00", "promote", None)
JOB: dict[str, Any] = {"id": "20260101T000000-0", "state": "queued", "progress": {}, "result": None, "error": None}

Reply = httpx2.Response | Exception


@dataclass
class Played:
    """Answers each request with the next reply that was written down for its path, the last one for ever."""

    replies: dict[str, list[Reply]] = field(default_factory=dict)
    requests: list[httpx2.Request] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.requests.append(request)
        replies = self.replies.get(f"{request.method} {request.url.path}", [answer({"code": "x"}, 404)])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    def connect(self, **how: Any) -> vecver.RemoteRepository:
        self.replies.setdefault("GET /v1", [answer({"repository": "f" * 32})])
        repository = RemoteRepository(Wire("http://kb.test/", SECRET, transport=httpx2.MockTransport(self), **how))
        self.requests.clear()
        return repository

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]


def answer(body: Any, status: int = 200, **headers: str) -> httpx2.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, str):
        return httpx2.Response(status, text=body, headers=names)
    return httpx2.Response(status, json=body, headers=names)


@pytest.fixture
def played() -> Played:
    return Played()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were slept between attempts; nobody sleeps."""
    seconds: list[float] = []
    mine, real = get_ident(), time.sleep

    def sleep(wanted: float) -> None:
        if get_ident() == mine:
            seconds.append(wanted)
        else:
            real(wanted)  # the threads that mind the workers of an earlier test

    monkeypatch.setattr("vecver.remote.http.time.sleep", sleep)
    return seconds


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

    def test_nobody_there(self, played: Played, waits: list[float]) -> None:
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
    """Answers with the port of the connection on which it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"repository": str(self.client_address[1])}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def test_a_process_that_is_forked_asks_on_connections_of_its_own() -> None:
    """On shared ones a search was given the answer to another process's."""
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
    def test_somebody_else_answers(self, played: Played, reply: httpx2.Response) -> None:
        error = self.failing(played, reply)
        assert (type(error), error.code) == (BackendError, "service_bad_answer")

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_proxy_refuses_and_the_key_is_not_told(self, played: Played, status: int) -> None:
        error = self.failing(played, answer(f"Bearer {SECRET} is not welcome", status))
        assert isinstance(error, AccessError)
        assert "Bearer *** is not welcome" in error.message

    @pytest.mark.parametrize("status", [200, 403, 500])
    def test_a_key_that_is_quoted_where_the_text_is_cut_is_not_told(self, played: Played, status: int) -> None:
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
    def test_a_problem_of_somebody_elses_is_an_error_too(self, played: Played, problem: Any, code: str) -> None:
        assert self.failing(played, answer(problem, 400)).code == code

    def test_an_answer_nested_too_deep_is_none(self, played: Played) -> None:
        deep = '{"a":' * 100_000 + "1" + "}" * 100_000
        assert self.failing(played, answer(deep)).code == "service_bad_answer"

    def test_an_answer_in_letters_that_nobody_knows_is_told(self, played: Played) -> None:
        reply = httpx2.Response(500, content=b"\xff no", headers={"content-type": "text/plain; charset=base64"})
        assert "no" in self.failing(played, reply).message

    def test_a_handle_that_was_closed_says_so(self, played: Played) -> None:
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
    def test_how_nobody_can_be_asked(
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

    def test_pages_are_asked_for_as_they_are_wanted(self, played: Played) -> None:
        played.replies["GET /v1/datasets/handbook/documents"] = [
            answer({"commit": "c" * 64, "documents": ["a", "b"], "next": "2"}),
            answer({"commit": "c" * 64, "documents": ["c"], "next": None}),
        ]
        assert played.connect().dataset("handbook").documents("prod") == ["a", "b", "c"]
        assert [dict(request.url.params) for request in played.requests] == [
            {"ref": "prod"},
            {"ref": "c" * 64, "cursor": "2"},
        ]


class TestIngest:
    INGEST = "POST /v1/datasets/handbook/ingest"
    LOOK = f"GET /v1/jobs/{JOB['id']}"

    @pytest.fixture
    def docs(self, played: Played, waits: list[float]) -> vecver.RemoteDataset:
        done = {**REPORT.to_json(), "names": {name: list(ids) for name, ids in REPORT.names.items()}}
        played.replies[self.INGEST] = [answer(JOB, 202)]
        played.replies[self.LOOK] = [answer({**JOB, "state": "succeeded", "result": done})]
        return played.connect().dataset("handbook")

    def test_a_folder_travels_as_its_documents(
        self, played: Played, docs: vecver.RemoteDataset, tmp_path: Path
    ) -> None:
        folder = tmp_path / "handbook"
        files = {'say "hi".md': b"quoted", "guide/W\u00e4rme.md": b"warm\r\n--x", "b.pdf": bytes(range(256))}
        for name, data in {**files, ".hidden": b"", "skip.log": b"", ".gitignore": b"*.log"}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        assert docs.ingest(folder, prefix="kb/", message="June", keep_missing=True, chunk_tokens=64) == REPORT
        request = played.requests[0]
        assert dict(request.url.params) == {
            **{"message": "June", "branch": "main", "label": "handbook", "prefix": "kb/", "chunk_tokens": "64"},
            **{"keep_missing": "true", "strict": "false", "dry_run": "false"},
        }
        assert received(request) == files
        assert int(request.headers["content-length"]) == len(request.content)

    def test_records_travel_as_lines_whose_digest_is_the_same(self, played: Played, docs: vecver.RemoteDataset) -> None:
        records = [
            {
                "id": "a",
                "text": "one\u2028two\n",
                "title": "T",
                "year": 2024,
                "_id": "b",
                "tags": ["x", None],
                "vector": [1, 2],
            },
            {
                "_id": 7,
                "text": "three",
                "day": date(2026, 1, 2),
                "none": None,
                "vector": np.array([0.1, 1e-45], np.float32),
            },
        ]
        docs.ingest(iter(records), prefix="kb/", space="s", metric="ip", label="notes")
        request = played.requests[0]
        assert request.headers["content-type"] == "application/x-ndjson"
        assert dict(request.url.params) | {"label": "notes", "space": "s", "metric": "ip"} == dict(request.url.params)
        lines = [json.loads(line) for line in request.content.splitlines()]
        there: list[Any] = list(pipeline.read(iter(lines), label="notes", prefix="kb/"))
        here: list[Any] = list(pipeline.read(iter(records), label="notes", prefix="kb/"))
        assert [(one.document, one.digest) for one in there] == [(one.document, one.digest) for one in here]
        assert [one.document for one in there] == ["kb/a", "kb/7"]
        assert there[1].vector.tobytes() == here[1].vector.tobytes()

    def test_an_upload_that_is_sent_again_is_the_same(self, played: Played, docs: vecver.RemoteDataset) -> None:
        played.replies[self.INGEST] = [httpx2.WriteError("cut"), answer("busy", 503), answer(JOB, 202)]
        docs.ingest(iter([{"id": "a", "text": "x"}]))
        first, second, third, _ = played.requests
        assert first.content == second.content == third.content != b""
        assert first.headers["idempotency-key"] == third.headers["idempotency-key"]

    def test_how_far_it_is_is_told(self, played: Played, docs: vecver.RemoteDataset) -> None:
        chunks = {"done": 7, "total": None}
        steps = [
            {"documents": {"done": 2, "total": 5}},
            {"documents": {"done": 2, "total": 5}, "chunks": chunks},
            {"documents": {"done": 5, "total": 5}, "chunks": chunks},
        ]
        played.replies[self.LOOK][:0] = [answer({**JOB, "state": "running", "progress": step}) for step in steps]
        told: list[Any] = []
        docs.ingest([{"id": "a", "text": "x"}], progress=lambda *what: told.append(what))
        assert told == [("documents", 2, 5), ("chunks", 7, None), ("documents", 3, 5)]

    def test_the_error_of_a_job_is_raised(self, played: Played, docs: vecver.RemoteDataset) -> None:
        played.replies[self.LOOK] = [answer({**JOB, "state": "failed", "error": PROBLEM})]
        with pytest.raises(ConflictError) as caught:
            docs.ingest([{"id": "a", "text": "x"}])
        assert caught.value.code == "ref_moved"
        assert caught.value.__notes__[1:] == ["request req-1", f"job {JOB['id']}"]

    def test_a_job_that_somebody_cancelled(self, played: Played, docs: vecver.RemoteDataset) -> None:
        played.replies[self.LOOK] = [answer({**JOB, "state": "cancelled"})]
        with pytest.raises(ConflictError) as caught:
            docs.ingest([{"id": "a", "text": "x"}])
        assert caught.value.code == "job_cancelled"

    def test_whoever_interrupts_it_cancels_the_job(self, played: Played, docs: vecver.RemoteDataset) -> None:
        def stop(*_: Any) -> None:
            raise KeyboardInterrupt

        played.replies[self.LOOK] = [answer({**JOB, "progress": {"documents": {"done": 1, "total": 2}}})]
        with pytest.raises(KeyboardInterrupt):
            docs.ingest([{"id": "a", "text": "x"}], progress=stop)
        assert played.requests[-1].url.path.endswith(f"{JOB['id']}/cancel")

    def test_what_cannot_be_read_here_is_reported_and_removes_nothing(
        self, played: Played, docs: vecver.RemoteDataset
    ) -> None:
        report = docs.ingest([{"id": "a", "text": "x"}, {"id": "b", "text": None}])
        assert dict(played.requests[0].url.params)["keep_missing"] == "true"
        assert [(one.document, one.code) for one in report.failures] == [("b", "no_text"), ("a.pdf", "encrypted")]
        assert report.documents["failed"] == 2 and "could not be read here" in report.notes[-1]

    @pytest.mark.parametrize(
        ("source", "how", "code"),
        [
            ([{"id": "a", "text": "x"}, {"id": "b", "text": None}], {"strict": True}, "documents_failed"),
            ([{"id": "b", "text": None}], {}, "documents_failed"),
            ([], {}, "empty_source"),
            ("empty", {}, "empty_source"),
            (["empty", "a.md"], {}, "several_sources"),
            ("a.md", {"prefix": "\n"}, "invalid_prefix"),
            (["a.md", "a.md"], {"label": "x"}, "conflicting_options"),
            ("a.md", {"workers": 4}, "not_over_http"),
            ("a.md", {"passwords": ["x"]}, "not_over_http"),
        ],
    )
    def test_what_one_request_cannot_hold_is_not_sent(
        self,
        played: Played,
        docs: vecver.RemoteDataset,
        tmp_path: Path,
        monkeypatch: Any,
        source: Any,
        how: Any,
        code: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "empty").mkdir()
        (tmp_path / "a.md").write_text("x")
        with pytest.raises(InvalidInputError) as caught:
            docs.ingest(source, **how)
        assert caught.value.code == code and played.requests == []

    def test_files_and_records_are_two_requests(
        self, played: Played, docs: vecver.RemoteDataset, tmp_path: Path
    ) -> None:
        folder, file = tmp_path / "notes.jsonl", tmp_path / "sub" / "notes.jsonl"
        for path, text in [(folder / "a.md", "prose"), (file, '{"id": "x", "text": "y"}')]:
            path.parent.mkdir()
            path.write_text(text)
        with pytest.raises(InvalidInputError, match="files and records") as caught:
            docs.ingest([folder, file])
        assert caught.value.code == "several_sources" and played.requests == []

    def test_publishing_is_a_job_too(self, played: Played, waits: list[float]) -> None:
        done = {**JOB, "state": "succeeded", "result": PUBLICATION.to_json()}
        played.replies["POST /v1/datasets/handbook/publish"] = [answer(done, 202)]
        docs = played.connect().dataset("handbook")
        assert docs.publish("prod", flat=True) == PUBLICATION
        assert played.bodies == [{"ref": "prod", "dedicated": False, "flat": True}]
        with pytest.raises(InvalidInputError):
            docs.publish("prod", to="http://elsewhere")  # type: ignore[arg-type]


def received(request: httpx2.Request) -> dict[str, bytes]:
    """The files of a multipart request, read as a service reads them."""
    python_multipart = pytest.importorskip("python_multipart", reason="no python-multipart: install vecver[service]")
    found: dict[str, bytes] = {}
    python_multipart.parse_form(
        {"Content-Type": request.headers["content-type"].encode()},
        io.BytesIO(request.content),
        lambda _: None,
        lambda file: found.update({file.file_name.decode(): file.file_object.getvalue()}),
    )
    return found
