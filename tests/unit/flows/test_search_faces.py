"""Search options through every face: a repository, an export, a service and the command line answer alike."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

from click.testing import CliRunner, Result  # noqa: E402
from serving import running  # noqa: E402
from vecver_service.app import create_app  # noqa: E402
from vecver_service.settings import ServiceSettings  # noqa: E402
from vecver_service.state.keys import Keys  # noqa: E402

import vecver  # noqa: E402
from vecver.cli import main  # noqa: E402
from vecver.errors import VecverError  # noqa: E402

ASKED: list[dict[str, Any]] = [
    {"vectors": True},
    {"diversity": 0.5, "k": 3},
    {"per_document": 1},
    {"min_score": 0.1},
    {"offset": 2, "k": 2},
    {"k": 3, "offset": 1, "per_document": 2, "min_score": 0.0, "diversity": 0.3, "filter": {"$path": "guides/"}},
    {"filter": {"nothing": 1}, "missing": "empty"},
    {"at": "later", "missing": "empty"},
    {"mode": "keyword"},
    {"mode": "keyword", "diversity": 0.5, "k": 3, "offset": 1},
    {"mode": "hybrid"},
    {"mode": "hybrid", "weight": 0.25, "per_document": 1, "filter": {"$path": "guides/"}, "vectors": True},
    {"mode": "hybrid", "fusion": "rrf", "min_score": 0.02},
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"offset": -1}, "invalid_offset"),
    ({"per_document": 0}, "invalid_per_document"),
    ({"min_score": "high"}, "invalid_min_score"),
    ({"min_score": 10**400}, "invalid_min_score"),
    ({"diversity": 2}, "invalid_diversity"),
    ({"missing": "never"}, "invalid_missing"),
    ({"filter": {"nothing": 1}}, "unknown_field"),
    ({"mode": "words"}, "invalid_mode"),
    ({"mode": "hybrid", "fusion": "sum"}, "invalid_fusion"),
    ({"mode": "hybrid", "weight": 1.5}, "invalid_weight"),
    ({"mode": "hybrid", "weight": "half"}, "invalid_weight"),
    ({"weight": 0.5}, "conflicting_options"),
    ({"mode": "keyword", "fusion": "rrf"}, "conflicting_options"),
    ({"mode": "hybrid", "fusion": "rrf", "weight": 0.5}, "conflicting_options"),
]


class Faces:
    """One dataset, behind every face."""

    def __init__(self, place: Path, url: str, key: str) -> None:
        self.place, self.url, self.key = place, url, key
        self.docs = vecver.open(place / "kb").dataset("handbook")
        self.remote = vecver.connect(url, api_key=key).dataset("handbook")
        self.folder = vecver.open_snapshot(place / "export")

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["--repo", str(self.place / "kb"), *arguments])

    def post(self, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.post(f"{self.url}/v1/datasets/handbook/search", json=body, headers=headers)


@pytest.fixture(scope="module")
def faces() -> Iterator[Faces]:
    with TemporaryDirectory() as folder:
        place = Path(folder)
        docs = vecver.open(place / "kb", create=True).dataset("handbook")
        long = "Bleed the valve.\n\n" + "\n\n".join(
            f"Part {i}: turn the pump and the valve {i} times." for i in range(6)
        )
        texts = {"guides/valve.md": long, "guides/pump.md": "Oil the pump.", "tax.md": "File the form in May."}
        records = [{"id": id, "text": text, "title": id[-8:-3], "kind": id[:5]} for id, text in texts.items()]
        docs.ingest(records, embedder="hashing", chunk_tokens=16)
        docs.snapshot("main", place / "export")
        settings = ServiceSettings(state=str(place / "state"))
        _, key = Keys(settings.keys_file("")).add("tester", ["*:read"])
        with running(create_app(docs.repository, settings)) as url:
            yield Faces(place, url, key)


@pytest.mark.parametrize("how", ASKED, ids=str)
def test_every_face_answers_alike(faces: Faces, how: dict[str, Any]) -> None:
    here, there = faces.docs.search("pump valve", **how), faces.remote.search("pump valve", **how)
    assert there == here
    assert [vector_of(hit) for hit in there] == [vector_of(hit) for hit in here]
    if "at" not in how:
        assert faces.folder.search("pump valve", **how).hits == here.hits
        assert vecver.replay(faces.remote.repository, here.receipt).identical
        assert faces.folder.replay(here.receipt).identical
    revision = how.get("at", "main")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in how.items() if name not in NOT_PLAIN]
    options += [f"-k{how['k']}"] if "k" in how else []
    options += ["--vectors"] if "vectors" in how else []
    options += ["--filter", json.dumps(how["filter"])] if "filter" in how else []
    shown = faces.run("search", f"handbook@{revision}", "pump valve", "--json", *options)
    assert json.loads(shown.stdout) == json.loads(json.dumps(here.to_json())), shown.output


NOT_PLAIN = ("at", "k", "vectors", "filter")


def vector_of(hit: vecver.Hit) -> bytes | None:
    return None if hit.vector is None else hit.vector.tobytes()


@pytest.mark.parametrize(("how", "code"), REFUSED, ids=str)
def test_every_face_refuses_alike(faces: Faces, how: dict[str, Any], code: str) -> None:
    for docs in (faces.docs, faces.remote, faces.folder):
        with pytest.raises(VecverError) as caught:
            docs.search("pump", **how)
        assert caught.value.code == code and caught.value.hint
        with pytest.raises(VecverError):
            docs.more_like("tax.md", **how)
    assert faces.post({"query": "pump", **how}).status_code == 422


def test_more_like_this_from_every_face(faces: Faces) -> None:
    here = faces.docs.more_like("guides/pump.md", k=3)
    assert here == faces.remote.more_like("guides/pump.md", k=3)
    assert here.hits == faces.folder.more_like("guides/pump.md", k=3).hits
    assert here == faces.remote.more_like("guides/pump.md", k=3, exact=True) and here[0].document == "guides/valve.md"
    chunk = faces.remote.more_like(here[0], k=3)
    assert chunk == faces.docs.more_like(here[0].key, k=3) and here[0].key not in {hit.key for hit in chunk}
    shown = faces.run("search", "handbook", "--like", "guides/pump.md", "-k3", "--json")
    assert json.loads(shown.stdout) == json.loads(json.dumps(here.to_json()))
    assert faces.run("search", "handbook", "--like", "guides/pump.md").exit_code == 0
    missed = faces.run("search", "handbook", "--like", "guides/pumps.md")
    assert missed.exit_code == 3 and "did you mean 'guides/pump.md'" in missed.output
    with pytest.raises(VecverError) as caught:
        faces.remote.more_like("guides/pumps.md")
    assert caught.value.code == "document_not_found"
    assert faces.run("search", "handbook", "a query", "--like", "tax.md").exit_code == 2


def test_vectors_over_http_as_numbers_and_as_bytes(faces: Faces) -> None:
    numbers, text = (faces.post({"query": "pump", "hit_vectors": way}).json()["hits"] for way in ("list", "base64"))
    for one, other in zip(numbers, text, strict=True):
        assert np.array(one["vector"], "<f4").tobytes() == base64.b64decode(other["vector"])
    assert "vector" not in faces.post({"query": "pump"}).json()["hits"][0]
    assert faces.post({"query": "pump", "hit_vectors": "csv"}).status_code == 422


def test_what_is_missing_over_http(faces: Faces) -> None:
    found = faces.post({"query": "pump", "ref": "later", "missing": "empty"})
    assert found.status_code == 200 and found.json()["hits"] == [] and "later" in found.json()["missing"]
    assert "vecver-commit" not in found.headers
    assert faces.post({"query": "pump", "k": 900, "offset": 200}).json()["code"] == "limit"


def test_empty_answers_on_a_screen_say_why(faces: Faces) -> None:
    assert "no dataset 'nowhere'" in faces.run("search", "nowhere", "pump", "--missing", "empty").output
    assert "--min-score" in faces.run("search", "handbook", "pump", "--min-score", "2").output
    nothing = faces.run("search", "handbook", "pump", "--missing", "empty", "--filter", '{"who": "me"}')
    assert "'who'" in nothing.output and nothing.exit_code == 0
    assert faces.run("search", "handbook", "pump", "--vectors").exit_code == 2


def test_how_much_diversity_a_service_takes(faces: Faces) -> None:
    """Its cost is the square of how many hits it is asked for, in a search and in a replay of a forged receipt."""
    assert faces.post({"query": "pump", "k": 150, "offset": 50, "diversity": 0.5}).status_code == 200
    refused = faces.post({"query": "pump", "k": 150, "offset": 51, "diversity": 0.5}).json()
    assert refused["code"] == "limit" and "VECVER_MAX_DIVERSE" in refused["hint"]
    assert faces.post({"query": "pump", "k": 201, "diversity": 0}).status_code == 200
    receipt = faces.docs.search("pump", diversity=0.5).receipt
    with pytest.raises(VecverError) as caught:
        faces.remote.repository.replay({**receipt, "k": 201})
    assert caught.value.code == "limit"
