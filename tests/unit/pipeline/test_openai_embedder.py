"""The embedder behind an OpenAI-compatible endpoint: requests, retries, and answers it refuses."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from embedding_server import Server, embeddings, running

from vecver.errors import BackendError, SpaceMismatchError, VecverError
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
            "not json",
            "[]",
            {"data": [{"index": 0}]},
            {"data": [{"index": 0, "embedding": "AAAA"}]},
            {"data": [{"index": 0, "embedding": [1, float("nan")]}]},
            {"data": [{"index": 0, "embedding": [0, 0]}]},
            {"data": [{"index": 0, "embedding": 1}]},
            {"data": []},
            {"data": [{"index": 1, "embedding": [1, 2]}]},
            {"data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1, 2]}]},
        ],
    )
    def test_an_invalid_response_is_refused(self, ours: Embedder, server: Server, answer: Any) -> None:
        server.script = [(200, answer, {})]
        with pytest.raises(BackendError) as error:
            ours.embed(["valve"])
        assert error.value.code == "embedder_bad_answer" and not error.value.retryable

    def test_another_dimension_is_another_space(self, ours: Embedder, server: Server) -> None:
        server.script = [(200, embeddings(["valve"], embedding=[1.0, 2.0, 3.0]), {})]
        with pytest.raises(SpaceMismatchError, match="3 dimensions; its recipe says 2"):
            ours.embed(["valve"])

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
