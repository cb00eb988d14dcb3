"""Embedders of a caller's own: its vectors are used, or an error says what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import vecver
from vecver.arguments import embedder_name
from vecver.errors import BackendError, InvalidInputError, SpaceMismatchError, VecverError, hint_for
from vecver.pipeline import open_embedder

ROWS = [{"id": "a", "text": "bleed the valve"}, {"id": "b", "text": "open the pump"}]
inner = open_embedder("hashing")


class Own:
    """As a caller would write it."""

    dim = 256
    fingerprint = "own hashing 1"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def embed(self, texts: list[str]) -> Any:
        self.asked.append(texts)
        return inner.embed(texts)


class LangChain:
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return inner.embed(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return inner.embed([text])[0].tolist()


class LlamaIndex:
    def get_text_embedding_batch(self, texts: list[str], show_progress: bool = False) -> list[list[float]]:
        return inner.embed(texts).tolist()

    def get_query_embedding(self, query: str) -> list[float]:
        return inner.embed([query])[0].tolist()


class Encoder:
    def __call__(self, features: dict[str, Any]) -> Any:
        raise TypeError("a network, not a function of texts")

    def encode_document(self, texts: list[str]) -> Any:
        return inner.embed(texts)

    def encode_query(self, texts: list[str]) -> Any:
        return inner.embed(texts)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "kb"


def ingested(place: Path, embedder: Any) -> vecver.Dataset:
    docs = vecver.open(place, create=True).dataset("d")
    docs.ingest(ROWS, embedder=embedder)
    return docs


# -- what works --------------------------------------------------------------------------------------


def test_an_object_embeds_documents_and_queries(place: Path) -> None:
    own = Own()
    docs = ingested(place, own)
    assert docs.search("open the pump", exact=True)[0].document == "b"
    assert own.asked[-1] == ["open the pump"]
    recipe = docs.show().recipe
    assert recipe.embedder == {"name": "object", "fingerprint": "own hashing 1", "dim": 256, "metric": "cosine"}
    assert recipe.space.embedder == "object:own hashing 1"
    before = len(own.asked)
    docs.ingest([*ROWS, {"id": "c", "text": "shut it"}])
    assert own.asked[before:] == [["shut it"]], "the version's embedder, and only what is new"


@pytest.mark.parametrize("made", [LangChain, LlamaIndex, Encoder, lambda: lambda texts: inner.embed(texts).tolist()])
def test_embeddings_of_frameworks_are_taken_with_a_fingerprint(place: Path, made: Callable[[], Any]) -> None:
    own = vecver.embedder(made(), fingerprint="theirs")
    docs = ingested(place, own)
    assert own.dim == 256 and docs.search("open the pump", exact=True)[0].document == "b"
    with pytest.raises(InvalidInputError, match=r"no fingerprint|is no embedder") as error:
        docs.ingest(ROWS, embedder=made())
    assert "vecver.embedder(" in error.value.hint


def test_another_handle_is_given_the_object(place: Path, tmp_path: Path) -> None:
    ingested(place, Own()).snapshot("main", tmp_path / "out")
    docs = vecver.open(place).dataset("d")
    for ask in (lambda: docs.search("pump"), lambda: docs.ingest([{"id": "c", "text": "new"}])):
        with pytest.raises(InvalidInputError, match="own hashing 1") as error:
            ask()
        assert error.value.code == "embedder_not_given" and "embedders=[" in error.value.hint
        assert "--queries" in hint_for("cli", error.value.hint) and "vector" in hint_for("http", error.value.hint)
    assert docs.search(inner.embed(["open the pump"])[0], exact=True)[0].document == "b", "a vector needs no object"
    given = vecver.open(place, embedders=[Own()]).dataset("d")
    answer = given.search("open the pump", exact=True)
    assert answer[0].document == "b" and vecver.replay(given.repository, answer.receipt).identical
    exported = vecver.open_snapshot(tmp_path / "out", embedders=[Own()])
    assert exported.search("open the pump", exact=True)[0].score_bits == answer[0].score_bits


def test_what_an_object_says_of_itself_is_used() -> None:
    own = Own()
    own.max_tokens, own.count_tokens = 7, lambda texts: [len(text) for text in texts]  # type: ignore[attr-defined]
    made = vecver.embedder(own, fingerprint="other")
    assert made.max_tokens == 7 and made.count_tokens(["abc", ""]).tolist() == [3, 0]
    assert made.token_counts(["123456789"]).cut.tolist() == [2]
    plain = vecver.embedder(Own(), fingerprint="other")
    assert plain.count_tokens(["open it"]).tolist() == [2] and plain.max_tokens == 512


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.float32, list])
def test_numbers_are_converted_and_made_length_one(dtype: Any) -> None:
    def longer(texts: list[str]) -> Any:
        return (inner.embed(texts) * 3).tolist() if dtype is list else (inner.embed(texts) * 3).astype(dtype)

    vectors = vecver.embedder(longer, fingerprint="longer").embed(["valve", "pump"])
    assert vectors.dtype == np.float32 and np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
    raw = vecver.embedder(SimpleNamespace(embed=longer, metric="ip"), fingerprint="raw").embed(["valve"])
    assert np.linalg.norm(raw) == pytest.approx(3, abs=1e-2)


# -- what does not -----------------------------------------------------------------------------------

VALID = inner.embed(["valve", "pump"])


def nan() -> Any:
    vectors = VALID.copy()
    vectors[1, 3] = np.nan
    return vectors


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (lambda: VALID[:1], InvalidInputError, r"\(1, 256\) of float32 for 2 texts"),
        (lambda: VALID[0], InvalidInputError, "for 2 texts"),
        (nan, InvalidInputError, "NaN"),
        (lambda: VALID.astype(np.float64) * 1e300, InvalidInputError, "infinity"),
        (lambda: VALID * 0, InvalidInputError, "zeros"),
        (lambda: [["a"] * 256] * 2, InvalidInputError, "no rows of numbers"),
        (lambda: [[1.0, 2.0], [1.0]], InvalidInputError, "no rows of numbers"),
        (lambda: None, InvalidInputError, "no rows of numbers"),
        (lambda: VALID[:, :255], SpaceMismatchError, "255 dimensions; it said 256"),
        (lambda: 1 / 0, BackendError, "ZeroDivisionError"),
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error_and_nothing_is_lost(
    place: Path, answer: Callable[[], Any], error: type[VecverError], told: str
) -> None:
    own = Own()
    docs = ingested(place, own)
    own.embed = lambda texts: answer()  # type: ignore[method-assign]
    with pytest.raises(error, match=told) as raised:
        vecver.open(place, embedders=[own]).dataset("d").ingest([{"id": n, "text": f"new {n}"} for n in "xy"])
    assert "own hashing 1" in str(raised.value)
    assert len(list(docs.log())) == 1 and docs.search("open the pump", exact=True)[0].document == "b"


def test_a_model_of_another_dimension_needs_another_fingerprint(place: Path) -> None:
    ingested(place, Own())
    other = SimpleNamespace(dim=8, fingerprint="own hashing 1", embed=lambda texts: np.ones((len(texts), 8)))
    with pytest.raises(SpaceMismatchError, match="8 dimensions"):
        vecver.open(place, embedders=[other]).dataset("d").search("pump")


@pytest.mark.parametrize("bad", [3, object(), Own, {"a": 1}, SimpleNamespace(embed=3)])
def test_what_is_no_embedder_is_refused(place: Path, bad: Any) -> None:
    with pytest.raises(InvalidInputError) as error:
        ingested(place, bad)
    assert error.value.code == "bad_embedder"
    with pytest.raises(InvalidInputError):
        vecver.embedder(Own(), fingerprint="")


def test_an_object_does_not_travel() -> None:
    assert embedder_name("minilm") == "minilm" and embedder_name(None) is None
    with pytest.raises(InvalidInputError, match="cannot travel") as error:
        embedder_name(Own())
    assert "space=NAME" in error.value.hint
