"""The embedder behind an OpenAI-compatible endpoint: requests, retries, and answers it refuses."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from embedding_server import Server, embeddings, running

from vecver.errors import BackendError, InvalidInputError, SpaceMismatchError, VecverError
from vecver.model import Embedder
from vecver.pipeline.embedders import fleet
from vecver.pipeline.embedders.open import open_embedder


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that this thread slept between attempts; it does not sleep. Threads of earlier tests do as before."""
    seconds: list[float] = []
    mine, sleep = threading.get_ident(), time.sleep
    record = lambda wait: seconds.append(wait) if threading.get_ident() == mine else sleep(wait)  # noqa: E731
    monkeypatch.setattr("vecver.pipeline.embedders.fleet.time.sleep", record)
    return seconds


@contextmanager
def dripping() -> Iterator[str]:
    """The URL of a server that answers with a byte every now and then."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(head)
            while True:
                connection.sendall(b" ")
                time.sleep(0.02)

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


class TestEndpoint:
    @pytest.fixture
    def ours(self, server: Server) -> Embedder:
        server.script.clear()
        opened = open_embedder(f"openai:toy@{server.url}/", api_key="sk-secret")
        server.requests.clear()
        server.keys.clear()
        return opened

    def test_requests_follow_openais_api(self, ours: Embedder, server: Server) -> None:
        assert ours.embed(["four", "six six"]).ravel() == pytest.approx([0.6, 0.8, 3 / 58**0.5, 7 / 58**0.5])
        assert server.requests == [{"model": "toy", "input": ["four", "six six"], "encoding_format": "float"}]
        assert server.keys == ["Bearer sk-secret"]

    def test_each_query_is_a_separate_request(self, ours: Embedder, server: Server) -> None:
        assert ours.embed_queries(["four", "six six"])[1] == pytest.approx([3 / 58**0.5, 7 / 58**0.5])
        assert [body["input"] for body in server.requests] == [["four"], ["six six"]]

    def test_the_key_is_never_shown_or_stored(self, ours: Embedder, server: Server) -> None:
        assert "sk-secret" not in json.dumps([ours.recipe, ours.environment, ours.name, ours.fingerprint])
        server.script = [(401, {"error": {"message": "wrong key: sk-secret"}}, {})]
        with pytest.raises(BackendError, match=r"401.*wrong key: \*\*\*") as error:
            ours.embed_queries(["valve"])
        assert "sk-secret" not in repr((error.value.message, error.value.hint, error.value.context))
        assert not error.value.retryable

    def test_texts_go_in_batches_and_come_back_in_order(self, ours: Embedder, server: Server) -> None:
        texts = ["x" * (1 + n % 50) for n in range(300)]
        vectors = ours.embed(texts)
        assert sorted(len(body["input"]) for body in server.requests) == [44, 128, 128]
        assert (vectors[:, 1] / vectors[:, 0] * 3).round().astype(int).tolist() == [len(text) for text in texts]

    def test_it_waits_for_retry_after_and_retries(self, ours: Embedder, server: Server, waits: list[float]) -> None:
        server.script = [
            (429, "slow down", {"retry-after": "2"}),
            (503, "", {}),
            (429, "", {"retry-after": "999999"}),
            (500, "", {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}),
        ]
        assert ours.embed_queries(["four"])[0].tolist() == pytest.approx([0.6, 0.8])
        assert waits == [2.0, 1.0, fleet.LONGEST_WAIT, 4.0]

    def test_a_server_that_stays_down_is_an_error_after_all_attempts(
        self, ours: Embedder, server: Server, waits: list[float]
    ) -> None:
        server.script = [(500, "boom", {})] * 9
        with pytest.raises(BackendError, match="answered 500: boom") as error:
            ours.embed(["valve"])
        assert error.value.retryable and error.value.context["status"] == 500
        assert len(server.requests) == fleet.ATTEMPTS == 5
        assert waits == [0.5, 1.0, 2.0, 4.0]

    def test_an_unreachable_endpoint_is_retryable(self, waits: list[float]) -> None:
        with pytest.raises(BackendError, match="did not answer: ConnectError") as error:
            open_embedder("openai:toy@http://127.0.0.1:9/v1")
        assert error.value.retryable and len(waits) == 4

    @pytest.mark.parametrize(
        "answer",
        [
            {"data": [{"index": 0, "embedding": [1, float("nan")]}]},
            {"data": [{"index": 0, "embedding": [0, 0]}]},
            {"data": [{"index": 0, "embedding": [1e200, 1e200]}]},
            {"data": [{"index": 0, "embedding": [1e-200, 0]}]},
            {"data": []},
            {"data": [{"index": 1, "embedding": [1, 2]}]},
            {"data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1, 2]}]},
        ],
    )
    def test_a_vector_that_cannot_be_used_is_refused(self, ours: Embedder, server: Server, answer: Any) -> None:
        server.script = [(200, answer, {})]
        with pytest.raises(BackendError) as error:
            ours.embed(["valve"])
        assert error.value.code == "embedder_bad_answer" and not error.value.retryable

    @pytest.mark.parametrize(
        "answer",
        [
            "<html>We are back soon.</html>",
            "",
            "[]",
            "[" * 100_000,
            {"error": {"message": "overloaded"}},
            {"data": [{"index": 0}]},
            {"data": [{"index": 0, "embedding": "AACAPwAA" * 1000}]},
            {"data": [{"index": 0, "embedding": 1}]},
            {"data": [{"index": 0, "embedding": ["one", "two"]}]},
        ],
    )
    def test_an_answer_that_is_no_list_of_vectors_is_asked_for_again(
        self, ours: Embedder, server: Server, waits: list[float], answer: Any
    ) -> None:
        server.script = [(200, answer, {})]
        assert ours.embed(["four"])[0].tolist() == pytest.approx([0.6, 0.8])
        server.script = [(200, answer, {})] * fleet.ATTEMPTS
        with pytest.raises(BackendError) as error:
            ours.embed(["four"])
        assert error.value.code == "embedder_bad_answer" and len(error.value.message) < 250
        assert len(waits) == fleet.ATTEMPTS

    def test_an_answer_that_cannot_be_unpacked_is_asked_for_again(
        self, ours: Embedder, server: Server, waits: list[float]
    ) -> None:
        server.script = [(200, "no gzip", {"content-encoding": "gzip"})]
        assert ours.embed(["four"])[0].tolist() == pytest.approx([0.6, 0.8])

    @pytest.mark.parametrize("asks", ["0", "-7", "nan", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"])
    def test_a_retry_after_that_says_nothing_is_a_back_off(
        self, ours: Embedder, server: Server, waits: list[float], asks: str
    ) -> None:
        server.script = [(429, "", {"retry-after": asks})] * 3
        ours.embed_queries(["four"])
        assert waits == [0.5, 1.0, 2.0]

    def test_texts_wait_as_long_as_429_asks_and_questions_do_not(
        self, ours: Embedder, server: Server, waits: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.script = [(429, "", {"retry-after": "0.7"})] * 20
        assert ours.embed(["four"])[0].tolist() == pytest.approx([0.6, 0.8])
        assert waits == [0.7] * 20
        server.script = [(429, "", {"retry-after": "0.7"})] * 20
        with pytest.raises(BackendError, match="answered 429"):
            ours.embed_queries(["four"])
        monkeypatch.setattr(fleet, "PATIENCE", -1.0)
        with pytest.raises(BackendError, match="answered 429"):
            ours.embed(["four"])

    def test_an_account_without_credit_is_not_waited_for(self, ours: Embedder, server: Server) -> None:
        server.script = [(429, {"error": {"code": "insufficient_quota"}}, {})]
        with pytest.raises(BackendError, match="insufficient_quota") as error:
            ours.embed(["four"])
        assert not error.value.retryable and "credit" in error.value.hint

    def test_a_server_that_drips_is_given_up(self, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
        monkeypatch.setattr("vecver.pipeline.embedders.endpoint.TIMEOUT", 0.2)
        with dripping() as url, pytest.raises(BackendError, match="did not answer: ReadTimeout") as error:
            open_embedder({"name": "openai", "model": "toy", "url": url, "dim": 2}).embed(["four"])
        assert error.value.retryable

    def test_a_redirect_is_not_followed(self, ours: Embedder, server: Server) -> None:
        server.script = [(307, "", {"location": f"{server.url}/elsewhere"})]
        with pytest.raises(BackendError, match="answered 307") as error:
            ours.embed(["four"])
        assert len(server.requests) == 1 and "redirects to" in error.value.hint

    def test_a_key_may_end_in_a_line_break_and_must_fit_into_a_header(self, server: Server) -> None:
        server.script.clear()
        open_embedder(f"openai:toy@{server.url}", api_key="sk-secret\r\n")
        assert server.keys[-1] == "Bearer sk-secret"
        for key in ("sk-secr\u00e9t", "sk\nsecret", "sk\0secret"):
            with pytest.raises(InvalidInputError) as error:
                open_embedder(f"openai:toy@{server.url}", api_key=key)
            assert error.value.code == "bad_api_key" and "secr" not in f"{error.value} {error.value.hint}"

    def test_half_of_a_surrogate_pair_can_be_asked_for(self, ours: Embedder, server: Server) -> None:
        assert ours.embed_queries(["fo\ud800r"]).shape == (1, 2)
        assert server.requests[-1]["input"] == ["fo\ud800r"]

    def test_another_dimension_is_another_space(self, ours: Embedder, server: Server) -> None:
        server.script = [(200, embeddings(["valve"], embedding=[1.0, 2.0, 3.0]), {})]
        with pytest.raises(SpaceMismatchError, match="3 dimensions; its recipe says 2"):
            ours.embed(["valve"])

    def test_two_dimensions_in_one_answer_are_another_space(self, ours: Embedder, server: Server) -> None:
        answer = embeddings(["four", "six"])
        answer["data"][0]["embedding"] = [1.0, 2.0, 3.0]
        server.script = [(200, answer, {})]
        with pytest.raises(SpaceMismatchError, match="3 dimensions; its recipe says 2"):
            ours.embed(["four", "six"])

    def test_a_recipe_opens_without_a_request(self, ours: Embedder, server: Server) -> None:
        assert open_embedder(ours.recipe).dim == 2
        assert server.requests == []

    @pytest.mark.parametrize("url", ["http://", "https://me:pw@host/v1", "https://host/v1?key=1"])
    def test_a_url_that_would_carry_a_secret_is_refused(self, url: str) -> None:
        with pytest.raises(VecverError) as error:
            open_embedder(f"openai:toy@{url}")
        assert error.value.code == "bad_embedder_url" and "pw" not in str(error.value)

    def test_tokens_are_estimated(self, ours: Embedder) -> None:
        assert ours.count_tokens(["", "bleed the valve!", "1234567", "圧力"]).tolist() == [0, 6, 3, 2]
