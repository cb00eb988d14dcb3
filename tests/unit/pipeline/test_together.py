"""Queries of many threads are batched, without any effect on vectors or errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import numpy as np
import pytest
from test_embedders import one_by_one, texts_of

import vecver
from vecver import pipeline
from vecver.errors import InvalidInputError, SpaceMismatchError, VecverError
from vecver.model import Vectors
from vecver.pipeline.embedders.batching import MOST, Together
from vecver.pipeline.embedders.open import HashingEmbedder


class Panic(BaseException):
    """As pyo3's PanicException, which is no Exception."""


class Slow(HashingEmbedder):
    """Hashing that waits in each call until it is let go, and notes what it was asked together."""

    def __init__(self, at_once: int = 1) -> None:
        super().__init__()
        self.at_once = at_once
        self.calls = list[list[str]]()
        self.go = Event()

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        assert self.go.wait(60)
        if "stop" in texts and len(self.calls) == 1:
            raise KeyboardInterrupt
        if "panic" in texts:
            raise Panic
        if any("bad" in text for text in texts):
            raise InvalidInputError(f"{len(texts)} texts with a bad one", code="bad", hint="")
        return super().embed_queries(texts)


def asked(slow: Slow, first: list[list[str]], then: list[list[str]]) -> list[Future[Vectors]]:
    """Answers to calls of threads: `then` come, one after the other, while `first` are in the model."""
    together = Together(slow)
    with ThreadPoolExecutor(len(first) + len(then)) as threads:
        answers = [threads.submit(together.embed_queries, texts) for texts in first]
        until(lambda: len(slow.calls) == len(first))
        for count, texts in enumerate(then, 1):
            answers.append(threads.submit(together.embed_queries, texts))
            until(lambda count=count: len(together._waiting) == count)  # type: ignore[misc]
        slow.go.set()
    assert together._waiting == [] and together._inside == 0
    return answers


def until(true: Callable[[], bool]) -> None:
    stop = time.monotonic() + 60
    while not true():
        assert time.monotonic() < stop
        time.sleep(0.001)


def test_eight_callers_take_two_turns() -> None:
    slow, texts = Slow(), texts_of(8)
    answers = asked(slow, [texts[:1]], [[text] for text in texts[1:]])
    assert slow.calls == [texts[:1], texts[1:]]
    assert np.array_equal(np.concatenate([answer.result() for answer in answers]), HashingEmbedder().embed(texts))


def test_the_embedder_limits_how_many_callers_run_it() -> None:
    slow = Slow(at_once=2)
    answers = asked(slow, [["a"], ["b"]], [["c"], ["d", "e"]])
    assert sorted(slow.calls) == [["a"], ["b"], ["c", "d", "e"]]
    assert np.array_equal(answers[3].result(), HashingEmbedder().embed(["d", "e"]))


def test_the_oldest_callers_go_first_up_to_the_limit() -> None:
    slow, many = Slow(), [f"t{n}" for n in range(MOST + 5)]
    answers = asked(slow, [["a"]], [["b"], many, ["c"]])
    assert [text for call in slow.calls[:2] for text in call] == ["a", "b"], "32 do not fit behind b"
    assert slow.calls[2] == many[:MOST]
    assert sorted(slow.calls[3:]) in ([["c", *many[MOST:]]], sorted([["c"], many[MOST:]]))
    assert np.array_equal(answers[2].result(), HashingEmbedder().embed(many))


def test_an_error_reaches_only_its_caller() -> None:
    slow = Slow()
    answers = asked(slow, [["a"]], [["b"], ["so bad"], ["c", "d"]])
    assert slow.calls[1:] == [["b", "so bad", "c", "d"], ["b"], ["so bad"], ["c", "d"]]
    with pytest.raises(InvalidInputError, match="1 texts"):
        answers[2].result()
    assert np.array_equal(answers[3].result(), HashingEmbedder().embed(["c", "d"]))
    assert answers[1].result().shape == (1, 256)


def test_an_interrupted_caller_leaves_no_one_waiting() -> None:
    slow = Slow()
    answers = asked(slow, [["stop"]], [["b"], ["c"]])
    with pytest.raises(KeyboardInterrupt):
        answers[0].result()
    assert [answer.result().shape for answer in answers[1:]] == [(1, 256)] * 2
    assert slow.calls[1:] == [["b", "c"]], "who was interrupted is not embedded"


def test_a_panic_reaches_only_its_caller() -> None:
    slow = Slow()
    answers = asked(slow, [["a"]], [["b"], ["panic"], ["c"]])
    with pytest.raises(Panic):
        answers[2].result()
    assert [answers[i].result().shape for i in (0, 1, 3)] == [(1, 256)] * 3
    assert slow.calls[1:] == [["b", "panic", "c"], ["b"], ["panic"], ["c"]]


def test_the_wrapper_has_the_embedders_properties() -> None:
    inner = HashingEmbedder()
    ours = Together(inner)
    for field in ("name", "dim", "metric", "max_tokens", "at_once", "recipe", "fingerprint", "environment"):
        assert getattr(ours, field) == getattr(inner, field)
    assert np.array_equal(ours.embed(["a"]), inner.embed(["a"])) and ours.count_tokens(["a b"]).tolist() == [2]
    assert ours.embed_queries([]).shape == (0, 256)


@pytest.mark.parametrize("calls", [200, pytest.param(5000, marks=pytest.mark.deep)])
def test_sixteen_threads_get_their_own_vectors(calls: int) -> None:
    ours, texts = Together(HashingEmbedder()), texts_of(40)
    alone = one_by_one(HashingEmbedder(), texts)
    rng = np.random.default_rng(3)
    asks = [rng.choice(40, rng.integers(1, 40)) for _ in range(calls)]
    with ThreadPoolExecutor(16) as threads:
        found = threads.map(lambda rows: ours.embed_queries([texts[row] for row in rows]), asks)
        assert all(np.array_equal(vectors, alone[rows]) for vectors, rows in zip(found, asks, strict=True))


# -- through the door ------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Slow]:
    """Every embedder that is opened, which takes a while."""
    made = list[Slow]()

    def open_slowly(*_: Any, **__: Any) -> Slow:
        time.sleep(0.05)
        made.append(Slow())
        made[-1].go.set()
        return made[-1]

    monkeypatch.setattr(pipeline, "open_embedder", open_slowly)
    return made


@pytest.fixture
def docs(tmp_path: Path, opened: list[Slow]) -> vecver.Dataset:
    docs = vecver.create(tmp_path / "kb").dataset("d")
    docs.ingest([{"id": "a", "text": "bleed the valve"}, {"id": "b", "text": "open the pump"}], embedder="hashing")
    opened.clear()
    return docs


@pytest.mark.parametrize("exported", [False, True])
def test_concurrent_threads_load_an_embedder_once(
    docs: vecver.Dataset, tmp_path: Path, opened: list[Slow], exported: bool
) -> None:
    docs.snapshot("main", tmp_path / "out")
    asked = vecver.open_snapshot(tmp_path / "out") if exported else vecver.open(tmp_path / "kb").dataset("d")
    ready = Barrier(8)

    def ask(_: int) -> str:
        ready.wait(60)
        return asked.search("bleed the valve")[0].document

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(8))) == ["a"] * 8
    assert len(opened) == 1


def test_the_texts_of_a_call_are_embedded_in_one(docs: vecver.Dataset, opened: list[Slow]) -> None:
    vector = HashingEmbedder().embed(["open the pump"])[0]
    docs = vecver.open(docs.repository.url).dataset("d")
    answers = docs.search(["bleed the valve", vector, "pump"], exact=True)
    assert opened[0].calls == [["bleed the valve", "pump"]]
    assert [answer[0].document for answer in answers] == ["a", "b", "b"]
    alone = [docs.search(query, exact=True) for query in ("bleed the valve", vector, "pump")]
    assert [one.receipt for one in answers] == [one.receipt for one in alone]


def test_the_first_querys_error_is_raised_and_nothing_is_embedded(docs: vecver.Dataset, opened: list[Slow]) -> None:
    docs = vecver.open(docs.repository.url).dataset("d")
    mixed: list[tuple[Any, type[VecverError]]] = [
        (["a", " ", [1.0]], InvalidInputError),
        (["a", [1.0], " "], SpaceMismatchError),
    ]
    for queries, error in mixed:
        with pytest.raises(error):
            docs.search(queries)
    assert opened[0].calls == []
