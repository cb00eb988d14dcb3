"""Reranking over HTTP and at the command line: the service's own rerankers by name, and no URL that a caller brings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rerank_server

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

from click.testing import CliRunner, Result  # noqa: E402
from serving import running  # noqa: E402
from vecver_service.app import create_app  # noqa: E402
from vecver_service.settings import ServiceSettings  # noqa: E402
from vecver_service.state.keys import Keys  # noqa: E402

import vecver  # noqa: E402
from vecver.cli import main  # noqa: E402
from vecver.errors import BackendError, InvalidInputError  # noqa: E402

TEXTS = {f"{i}.md": "pump " * (1 + (7 * i) % 20) for i in range(20)}
QUESTION = "which pump?"


class Faces:
    def __init__(self, place: Path, url: str, key: str, server: rerank_server.Server) -> None:
        self.place, self.url, self.key, self.server = place, url, key, server
        self.docs = vecver.open(place / "kb").dataset("d")
        self.remote = vecver.connect(url, api_key=key).dataset("d")

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["--repo", str(self.place / "kb"), *arguments])

    def post(self, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.post(f"{self.url}/v1/datasets/d/search", json=body, headers=headers)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faces]:
    place = tmp_path_factory.mktemp("faces")
    docs = vecver.open(place / "kb", create=True).dataset("d")
    docs.ingest([{"id": id, "text": text} for id, text in TEXTS.items()], embedder="hashing", chunker="whole")
    settings = ServiceSettings(state=str(place / "state"))
    _, key = Keys(settings.keys_file("")).add("tester", ["*:read"])
    with rerank_server.running() as server, pytest.MonkeyPatch.context() as patch:
        tables = {
            "short": {"model": f"tei:{server.url}", "api_key_variable": "SHORT_KEY", "timeout": 5},
            "lenient": {"model": f"cohere:m@{server.url}", "on_failure": "keep"},
            "plain": f"tei:{server.url}",
        }
        patch.setenv("SHORT_KEY", "very-secret")
        patch.setenv("VECVER_RERANKERS", json.dumps(tables))
        with running(create_app(docs.repository, settings)) as url:
            yield Faces(place, url, key, server)


@pytest.fixture
def here(faces: Faces) -> vecver.Answer:
    return faces.docs.search(QUESTION, k=5, reranker=f"tei:{faces.server.url}", rerank_top=8)


def test_every_face_gives_the_same_answer(faces: Faces, here: vecver.Answer) -> None:
    remote = faces.remote.search(QUESTION, k=5, reranker="plain", rerank_top=8)
    assert remote.hits == here.hits and remote.receipt == here.receipt
    reply = faces.post({"query": QUESTION, "k": 5, "reranker": "short", "rerank_top": 8})
    assert reply.json() == here.to_json() and faces.server.keys[-1] == "Bearer very-secret"
    assert "very-secret" not in reply.text
    for name in ("plain", f"tei:{faces.server.url}"):
        printed = faces.run("search", "d", QUESTION, "-k", "5", "--rerank", name, "--rerank-top", "8", "--json")
        assert json.loads(printed.output) == here.to_json()
    assert vecver.replay(faces.remote.repository, here.receipt).identical


def test_a_batch_comes_back_in_order(faces: Faces) -> None:
    answers = faces.remote.search([QUESTION, "a valve"], k=3, reranker="plain")
    assert [answer.hits for answer in answers] == [
        faces.docs.search(text, k=3, reranker=f"tei:{faces.server.url}").hits for text in (QUESTION, "a valve")
    ]


@pytest.mark.parametrize("name", ["tei:http://169.254.169.254/rerank", "shrt", "/etc", "cross-encoder/x", "lenient "])
def test_a_caller_can_only_name_what_the_operator_set_up(faces: Faces, name: str) -> None:
    asked = len(faces.server.requests)
    reply = faces.post({"query": QUESTION, "reranker": name})
    problem = reply.json()
    assert (reply.status_code, problem["code"]) == (422, "unknown_reranker") and "short" in problem["hint"]
    assert len(faces.server.requests) == asked


def test_options_cannot_travel(faces: Faces) -> None:
    with pytest.raises(InvalidInputError) as caught:
        faces.remote.search(QUESTION, reranker=vecver.Reranker("short", api_key="k"))
    assert caught.value.code == "reranker_not_named"


def test_a_failure_is_503_or_a_note(faces: Faces) -> None:
    faces.server.script += [(500, {}), (500, {})]
    reply = faces.post({"query": QUESTION, "reranker": "short"})
    assert (reply.status_code, reply.json()["code"]) == (503, "reranker_refused")
    kept = faces.remote.search(QUESTION, k=3, reranker="lenient")
    assert kept.hits == faces.docs.search(QUESTION, k=3).hits and "not reranked" in kept.notes[0]
    faces.server.script += [(500, {})] * 20  # the client asks again
    with pytest.raises(BackendError):
        faces.remote.search(QUESTION, reranker="short")
    printed = faces.run("search", "d", QUESTION, "--rerank", "lenient")
    faces.server.script.clear()
    assert printed.exit_code == 0 and "not reranked" in printed.stderr


def test_limits_hold(faces: Faces) -> None:
    assert faces.post({"query": QUESTION, "reranker": "short", "rerank_top": 1001}).json()["code"] == "limit"
    assert faces.post({"query": QUESTION, "rerank_top": 5}).json()["code"] == "conflicting_options"
    assert faces.post({"vector": [0.0] * 256, "reranker": "short"}).json()["code"] == "needs_text"
    both = faces.post({"query": QUESTION, "vector": [1.0] * 256, "reranker": "plain", "k": 2})
    assert both.status_code == 200 and both.json()["receipt"]["options"]["vector"] == "given"
    assert faces.post({"query": QUESTION, "vector": [1.0] * 256}).json()["code"] == "invalid_request"
    pairs = {"queries": ["a", "b"], "vectors": [[1.0] * 256], "reranker": "plain"}
    assert faces.post(pairs).status_code == 422


@pytest.mark.parametrize(
    "value", ["[", "[1]", '{"a": {"model": 3}}', '{"a": {"api_key": "k"}}', '{"a": {"model": "m", "speed": 1}}']
)
def test_bad_settings_are_named_and_no_key_is_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECVER_RERANKERS", value)
    printed = CliRunner().invoke(main, ["config"])
    assert printed.exit_code == 2 and "VECVER_RERANKERS" in printed.output


def test_config_names_rerankers_and_shows_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[rerankers.bge]\nmodel = "tei:http://h/rerank"\napi_key = "very-secret"\n')
    monkeypatch.setenv("VECVER_SETTINGS", str(settings))
    monkeypatch.delenv("VECVER_RERANKERS", raising=False)
    printed = CliRunner().invoke(main, ["config", "--all"])
    assert "bge" in printed.output and "very-secret" not in printed.output
