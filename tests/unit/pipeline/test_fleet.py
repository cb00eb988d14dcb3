"""Embedders behind several endpoints: shapes, order, failures, budgets, and endpoints that are not the same model."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedding_fleet import Answer, Node, fleet, vector

import vecver
from vecver.errors import BackendError, InvalidInputError, SpaceMismatchError
from vecver.local.embedders import Embedders
from vecver.pipeline.embedders import fleet as fleet_room
from vecver.pipeline.embedders.endpoint_recipes import recipe_of
from vecver.pipeline.embedders.open import open_embedder


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    with fleet(3) as nodes:
        yield nodes


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_room, "BACK_OFF", 0.02)


def spec(nodes: list[Node], kind: str = "openai", path: str = "/v1") -> str:
    return f"{kind}:toy@" + ",".join(node.url + path for node in nodes)


def unit(text: str, model: str = "toy", dim: int = 16) -> np.ndarray:
    row = np.array(vector(text, model, dim))
    return row / np.linalg.norm(row)


TEXTS = [f"text number {n}" for n in range(200)]


@pytest.mark.parametrize(
    ("kind", "path", "field"),
    [
        ("openai", "/v1", "input"),
        ("vllm", "/v1", "input"),
        ("infinity", "/v1", "input"),
        ("voyage", "/v1", "input"),
        ("cohere", "", "texts"),
        ("ollama", "", "input"),
        ("tei", "", "inputs"),
    ],
)
def test_every_shape_gives_the_vectors_in_the_order_of_the_texts(
    nodes: list[Node], kind: str, path: str, field: str
) -> None:
    embedder = open_embedder(spec(nodes, kind, path))
    vectors = embedder.embed(TEXTS)
    assert np.allclose(vectors, [unit(text) for text in TEXTS], atol=1e-6)
    assert np.allclose(embedder.embed_queries(["one question"])[0], unit("one question"), atol=1e-6)
    asked = [body for node in nodes for body in node.requests]
    assert all(body[field] for body in asked)
    if kind in ("voyage", "cohere"):
        kinds = {body["input_type"] for body in asked}
        assert {name.removeprefix("search_") for name in kinds} == {"document", "query"}
    assert open_embedder(embedder.recipe).fingerprint == embedder.fingerprint


def test_the_fingerprint_does_not_depend_on_who_serves(nodes: list[Node]) -> None:
    two, others = open_embedder(spec(nodes[:2])), open_embedder(spec(nodes[1:]))
    assert two.fingerprint == others.fingerprint and two.recipe["urls"] != others.recipe["urls"]
    one = open_embedder(spec(nodes[:1]))
    assert one.recipe == {"name": "openai", "model": "toy", "url": nodes[0].url + "/v1", "dim": 16}
    assert one.fingerprint != two.fingerprint


def test_work_is_shared_and_an_endpoint_that_is_down_is_left_aside_and_tried_again(nodes: list[Node]) -> None:
    embedder = open_embedder(spec(nodes))
    nodes[1].trouble = lambda texts: (503, {}, {})
    assert np.allclose(embedder.embed(TEXTS), [unit(text) for text in TEXTS], atol=1e-6)
    assert not nodes[1].texts and len(nodes[0].texts) + len(nodes[2].texts) >= len(TEXTS)
    nodes[1].trouble = lambda texts: None
    time.sleep(0.3)
    for node in nodes:
        node.pause_s = 0.02
    embedder.embed(TEXTS)
    assert nodes[1].texts


def test_a_broken_connection_is_another_endpoints_work(nodes: list[Node]) -> None:
    embedder = open_embedder(spec(nodes))
    nodes[0].trouble = lambda texts: (0, {}, {})
    assert np.allclose(embedder.embed(TEXTS), [unit(text) for text in TEXTS], atol=1e-6)


def test_retry_after_is_honoured_by_all_that_ask_this_endpoint(nodes: list[Node]) -> None:
    embedder = open_embedder(spec(nodes[:2]), endpoints=vecver.Endpoints(at_once=4))
    embedder.embed(TEXTS)
    until = time.monotonic() + 0.5
    nodes[0].trouble = nodes[1].trouble = lambda texts: (
        (429, {}, {"retry-after": "0.5"}) if time.monotonic() < until else None
    )
    before = [len(node.times) for node in nodes]
    assert np.allclose(embedder.embed(TEXTS), [unit(text) for text in TEXTS], atol=1e-6)
    for node, start in zip(nodes[:2], before[:2], strict=True):
        early = [moment for moment in node.times[start:] if moment < until - 0.05]
        assert len(early) <= 8  # those that were under way; nobody asked again before


def test_all_endpoints_down_is_a_retryable_error(nodes: list[Node]) -> None:
    embedder = open_embedder(spec(nodes))
    for node in nodes:
        node.trouble = lambda texts: (500, "boom", {})
    with pytest.raises(BackendError) as error:
        embedder.embed(TEXTS)
    assert error.value.retryable and error.value.code == "embedder_refused"


def test_budgets_hold(nodes: list[Node], monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    clock = [1000.0]
    monkeypatch.setattr(fleet_room.time, "monotonic", lambda: clock[0])

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    budget = fleet_room._Budget(100)
    monkeypatch.setattr(fleet_room.time, "sleep", sleep)
    sent: list[tuple[float, int]] = []
    for amount in (60, 40, 1, 99, 250, 10):
        budget.take(amount)
        sent.append((clock[0], amount))
    for moment, _ in sent:
        within = [amount for at, amount in sent if moment - 60 < at <= moment]
        assert sum(within) <= 100 or within == [250]
    assert slept == [60.0, 60.0, 60.0]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_poison_text_fails_by_itself(nodes: list[Node], status: int) -> None:
    embedder = open_embedder(spec(nodes))
    for node in nodes:
        node.trouble = lambda texts: (status, "too long", {}) if "text number 77" in texts else None
    made, refused = dict[int, np.ndarray](), dict[int, BackendError]()
    for positions, part in embedder.embed_parts(TEXTS):  # type: ignore[attr-defined]
        if isinstance(part, BackendError):
            refused[positions[0]] = part
        else:
            made.update(zip(positions, part, strict=True))
    assert {*refused} == {77} and {*made} == {*range(200)} - {77}
    assert np.allclose(made[78], unit("text number 78"), atol=1e-6)


def test_a_vector_of_nan_or_zeros_is_refused_by_itself(nodes: list[Node]) -> None:
    embedder = open_embedder(spec(nodes[:1], "tei", ""))
    for bad in ([float("nan")] * 16, [0.0] * 16, [None] * 16):

        def answer(texts: list[str], bad: list[Any] = bad) -> Answer:
            return 200, [bad if text == "text number 5" else vector(text) for text in texts], {}

        nodes[0].trouble = answer
        refused = [p for p, part in embedder.embed_parts(TEXTS) if isinstance(part, BackendError)]  # type: ignore[attr-defined]
        assert refused == [[5]]


def test_two_models_behind_one_name_are_refused_with_both_named(nodes: list[Node]) -> None:
    nodes[2].model = "another"
    with pytest.raises(SpaceMismatchError) as error:
        open_embedder(spec(nodes)).embed(TEXTS)
    assert error.value.code == "endpoints_differ" and nodes[2].url in error.value.message
    assert error.value.context["endpoints"][1].startswith("http")


def test_an_endpoint_that_comes_back_as_another_model_is_refused(nodes: list[Node]) -> None:
    embedder = open_embedder(spec(nodes))
    embedder.embed(TEXTS)
    nodes[0].trouble = lambda texts: (503, {}, {})
    embedder.embed(TEXTS)
    nodes[0].trouble, nodes[0].model = (lambda texts: None), "another"
    time.sleep(0.3)
    for node in nodes:
        node.pause_s = 0.02
    with pytest.raises(SpaceMismatchError):
        embedder.embed(TEXTS * 3)


def test_a_recipe_remembers_its_model(nodes: list[Node]) -> None:
    recipe = open_embedder(spec(nodes)).recipe
    assert json.loads(json.dumps(recipe)) == recipe
    for node in nodes:
        node.model = "another"
    with pytest.raises(SpaceMismatchError, match="another model than before"):
        open_embedder(recipe).embed_queries(["question"])


def test_limits_travel_to_other_processes(nodes: list[Node]) -> None:
    """As the workers of an ingest on Ray open the embedder."""
    opener = Embedders("key", endpoints=vecver.Endpoints(at_once=1))
    nodes[0].pause_s = 0.05
    pickle.loads(pickle.dumps(opener)).open(spec(nodes[:1])).embed(TEXTS)
    assert len(nodes[0].requests) > 2 and nodes[0].most_inside == 1


def test_a_wrong_key_is_raised_at_once(nodes: list[Node]) -> None:
    embedder = open_embedder(spec(nodes), api_key="sk-secret")
    for node in nodes:
        node.trouble = lambda texts: (401, "no: sk-secret", {})
    with pytest.raises(BackendError, match=r"no: \*\*\*") as error:
        embedder.embed(TEXTS)
    assert not error.value.retryable


def test_what_begins_to_refuse_everything_is_no_poison(nodes: list[Node]) -> None:
    """Else an ingest would commit without most of its documents, and say that their texts were wrong."""
    embedder = open_embedder(spec(nodes))
    embedder.embed(TEXTS)
    for node in nodes:
        node.trouble = lambda texts: (400, "no credit left", {})
    with pytest.raises(BackendError, match="no credit left"):
        list(embedder.embed_parts(TEXTS))  # type: ignore[attr-defined]


def test_many_poison_texts_in_a_row_stop_nothing(nodes: list[Node]) -> None:
    embedder = open_embedder(spec(nodes[:1]))
    poison = TEXTS[:18]
    nodes[0].trouble = lambda texts: (413, "too long", {}) if {*texts} & {*poison} else None
    parts = list(embedder.embed_parts(TEXTS[:24]))  # type: ignore[attr-defined]
    assert sorted(p[0] for p, part in parts if isinstance(part, BackendError)) == [*range(18)]


def test_an_endpoint_that_answers_with_a_page_costs_no_text(nodes: list[Node]) -> None:
    embedder = open_embedder(spec(nodes))
    embedder.embed(TEXTS)
    nodes[1].trouble = lambda texts: (200, "<html>We are back soon.</html>", {})
    assert np.allclose(embedder.embed(TEXTS), [unit(text) for text in TEXTS], atol=1e-6)


def test_one_that_asks_to_wait_long_does_not_keep_texts_from_another(nodes: list[Node]) -> None:
    embedder = open_embedder(spec(nodes[:2]))
    embedder.embed(TEXTS)
    down = time.monotonic() + 0.2
    nodes[0].trouble = lambda texts: (429, {}, {"retry-after": "30"})
    nodes[1].trouble = lambda texts: (503, {}, {}) if time.monotonic() < down else None
    assert np.allclose(embedder.embed(TEXTS), [unit(text) for text in TEXTS], atol=1e-6)
    assert time.monotonic() < down + 10


def test_an_error_does_not_wait_for_the_budget_of_other_texts(nodes: list[Node]) -> None:
    recipe = open_embedder(spec(nodes[:1])).recipe
    embedder = open_embedder(recipe, endpoints=vecver.Endpoints(requests_per_minute=2))
    nodes[0].trouble = lambda texts: (401, "revoked", {})
    begun = time.monotonic()
    with pytest.raises(BackendError, match="revoked"):
        list(embedder.embed_parts(TEXTS * 8))  # type: ignore[attr-defined]
    assert time.monotonic() - begun < 10 and len(nodes[0].requests) <= 3


def test_what_refuses_everything_is_no_poison(nodes: list[Node]) -> None:
    recipe = open_embedder(spec(nodes[:1])).recipe
    nodes[0].trouble = lambda texts: (400, "no such field", {})
    embedder = open_embedder(recipe)
    with pytest.raises(BackendError, match="no such field"):
        list(embedder.embed_parts(TEXTS))  # type: ignore[attr-defined]
    assert len(nodes[0].requests) < 40


@pytest.mark.parametrize(
    "wrong",
    [
        "tei:toy",
        "vllm:toy",
        "openai:",
        "voyage:@http://127.0.0.1:1",
        "openai:toy@http://h,http://u:p@h",
        "openai:toy@http://h/v1,",
        "openai:toy@http://h/v1, h:80/v1",
        "openai:toy@http://h/v1;http://i/v1",
        "openai:toy@localhost",
        "openai:toy@gpu1:8000/v1",
        "openai:toy@me:secret@gpu1/v1",
    ],
)
def test_specs_that_cannot_be_asked_are_refused(wrong: str) -> None:
    """And above all, nothing is sent to OpenAI because an address was not understood as one."""
    with pytest.raises(InvalidInputError) as error:
        open_embedder(wrong)
    assert "secret" not in f"{error.value} {error.value.hint}"


def test_how_addresses_are_written() -> None:
    assert recipe_of("openai:a/b@v2@HTTP://h/v1,https://i/v1/") == {
        "name": "openai",
        "model": "a/b@v2",
        "urls": ["HTTP://h/v1", "https://i/v1"],
    }
    assert recipe_of("openai:a/b@v2") == {"name": "openai", "model": "a/b@v2", "url": "https://api.openai.com/v1"}


# -- in an ingest -------------------------------------------------------------------------------


def folder_of(path: Path, count: int) -> Path:
    for n in range(count):
        (path / f"{n:03}.md").parent.mkdir(exist_ok=True)
        (path / f"{n:03}.md").write_text(f"# Document {n}\n\nAbout the matter of number {n}.\n")
    return path


def test_an_ingest_names_the_document_of_a_poison_text_and_keeps_the_others(nodes: list[Node], tmp_path: Path) -> None:
    for node in nodes:
        node.trouble = lambda texts: (400, "bad", {}) if any("number 7." in text for text in texts) else None
    docs = vecver.open(tmp_path / "kb", create=True, background=False).dataset("d")
    report = docs.ingest(folder_of(tmp_path / "docs", 30), embedder=spec(nodes))
    assert [(failure.document, failure.code) for failure in report.failures] == [("007.md", "not_embedded")]
    assert "number 7." in report.failures[0].reason
    assert len(docs.documents()) == 29 and report.chunks["embedded"] == report.chunks["live"] == 58
    assert report.tokens > 0
    for node in nodes:
        node.trouble = lambda texts: None
        node.texts.clear()
    again = docs.ingest(tmp_path / "docs")
    assert again.names["added"] == ("007.md",) and not again.failures
    assert again.chunks["embedded"] == 2
    assert docs.repository.check().clean


def test_what_was_embedded_before_a_dimension_changed_is_kept(nodes: list[Node], tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True, background=False).dataset("d")
    source = folder_of(tmp_path / "docs", 300)
    node = nodes[0]

    def changes(texts: list[str]) -> Answer | None:
        if len(node.texts) > 200:
            node.dim = 8
        return None

    node.trouble = changes
    with pytest.raises(SpaceMismatchError, match="8 dimensions"):
        docs.ingest(source, embedder=spec(nodes[:1]))
    assert docs.repository.datasets() == [] or "main" not in docs.branches()
    node.trouble, node.dim, node.texts = (lambda texts: None), 16, []
    report = docs.ingest(source, embedder=spec(nodes[:1]))
    assert report.chunks["live"] == 600 and report.chunks["embedded"] < 500


def test_a_space_goes_on_when_more_endpoints_serve_it(nodes: list[Node], tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True, background=False).dataset("d")
    source = folder_of(tmp_path / "docs", 5)
    docs.ingest(source, embedder=spec(nodes[:1]))
    space = docs.show().recipe.space.id
    (source / "new.md").write_text("# New\n\nSomething new.\n")
    report = docs.ingest(source, embedder=spec(nodes))
    assert report.names == {"added": ("new.md",), "changed": (), "removed": ()}
    assert docs.show().recipe.space.id == space and docs.show().recipe.embedder["urls"]
    nodes[0].trouble = lambda texts: (503, {}, {})
    assert len(docs.search("Something new.", k=1)) == 1
