"""An answer reads its hits and its receipt when they are first used, and is the same value as one that has them."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import weakref
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
from helpers import SPACE, ingest, open_on, records, vector_of
from inside import versions_of

import vecver
from vecver import Answer, Hit
from vecver.store import LocalStore

HIT = Hit(1, 0.5, "3fe0000000000000", "a.md", "0" * 32, (0, 4), "text", "title", {"year": 2024})
FIELDS: dict[str, Any] = {"dataset": "d", "revision": "main", "commit": "c" * 64}
WHOLE = Answer("d", "main", "c" * 64, (HIT,), {"hits": 1})


def unread(reads: list[str] | None = None) -> Answer:
    """The same answer as WHOLE; what it reads is listed."""
    reads = [] if reads is None else reads
    hits: Callable[[], tuple[Hit, ...]] = lambda: (reads.append("hits"), (HIT,))[1]  # noqa: E731
    return Answer.unread(hits, lambda hits: (reads.append("receipt"), {"hits": len(hits)})[1], **FIELDS)


def test_each_is_read_once_when_it_is_first_used() -> None:
    reads = list[str]()
    answer = unread(reads)
    assert (answer.commit, answer.query, answer.missing, reads) == ("c" * 64, None, None, [])
    assert len(answer) == 1 and answer[0] is HIT and list(answer) == [HIT] and reads == ["hits"]
    assert answer.receipt == answer.receipt == {"hits": 1} and reads == ["hits", "receipt"]
    assert vars(answer) == vars(WHOLE)


@pytest.mark.parametrize(
    "see",
    [
        repr,
        lambda answer: answer._repr_html_(),
        lambda answer: json.dumps(answer.to_json()),
        asdict,
        list,
        lambda answer: replace(answer, dataset="e"),
        lambda answer: pickle.loads(pickle.dumps(answer)),
        copy.copy,
        copy.deepcopy,
    ],
)
def test_it_is_the_same_value_as_a_whole_one(see: Callable[[Answer], Any]) -> None:
    assert see(unread()) == see(WHOLE)
    assert unread() == WHOLE and unread() == unread()
    assert Answer.from_json(unread().to_json()) == WHOLE


def test_it_stays_frozen_and_knows_its_names() -> None:
    answer = unread()
    with pytest.raises(FrozenInstanceError):
        answer.hits = ()  # type: ignore[misc]
    with pytest.raises(AttributeError, match="no_such_name"):
        answer.no_such_name  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(answer, "_read_nothing")


def test_a_receipt_says_what_was_searched_whatever_happens_before_it_is_read(tmp_path: Path) -> None:
    docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
    ingest(docs, {"a": "one", "b": "two"})
    filter = {"$document": {"$in": ["a", "b"]}}
    now, later = (docs.search(vector_of("one"), filter=filter) for _ in range(2))
    assert now.receipt["hits"] and now[0].document == "a"
    filter["$document"]["$in"].clear()
    ingest(docs, {"c": "one"})
    assert (later.receipt, later.hits) == (now.receipt, now.hits)
    later.receipt["filter"]["$document"] = "changed"
    assert now.receipt["filter"] == {"$document": {"$in": ["a", "b"]}}


FIRST = {"rank": HIT.rank, "score": HIT.score, "context": None, "by": None, "vector": None}


def unread_hit(reads: list[str] | None = None) -> Hit:
    """The same hit as HIT; a document is read alone, everything else together. What it reads is listed."""
    reads, rest = (
        [] if reads is None else reads,
        {name: value for name, value in vars(HIT).items() if name not in FIRST},
    )

    def read_field(name: str) -> dict[str, Any]:
        reads.append(name)
        return {"document": rest["document"]} if name == "document" else dict(rest)

    return Hit.unread(FIRST, read_field)


def test_a_hit_reads_a_field_when_it_is_first_used() -> None:
    reads = list[str]()
    hit = unread_hit(reads)
    assert (hit.rank, hit.score, hit.context, hit.by, hit.vector, reads) == (1, 0.5, None, None, None, [])
    assert hit.document == hit.document == "a.md" and reads == ["document"]
    assert (hit.text, hit.span, hit.headings, hit.page, reads) == ("text", (0, 4), (), None, ["document", "text"])
    assert hit.read() is hit and vars(hit) == vars(HIT) and list(vars(hit)) == list(vars(HIT))
    assert hit.read() is hit and reads == ["document", "text"]


@pytest.mark.parametrize(
    "see",
    [
        repr,
        lambda hit: hit._repr_html_(),
        lambda hit: json.dumps(hit.to_json()),
        Hit.to_row,
        asdict,
        lambda hit: (hit.text, hit.line, hit.sheet, hit.header),
        lambda hit: replace(hit, rank=2),
        lambda hit: pickle.loads(pickle.dumps(hit)),
        lambda hit: vars(copy.copy(hit)),
        copy.deepcopy,
    ],
)
def test_an_unread_hit_is_the_same_value_as_a_whole_one(see: Callable[[Hit], Any]) -> None:
    assert see(unread_hit()) == see(HIT)
    assert unread_hit() == HIT == unread_hit() and unread_hit() == unread_hit()
    assert Hit.from_json(unread_hit().to_json()) == HIT


def test_an_unread_hit_stays_frozen_and_knows_its_names() -> None:
    hit = unread_hit()
    with pytest.raises(FrozenInstanceError):
        hit.text = ""  # type: ignore[misc]
    with pytest.raises(AttributeError, match="no_such_name"):
        hit.no_such_name  # type: ignore[attr-defined]  # noqa: B018
    assert [field.default for field in fields(Hit) if field.name == "page"] == [None]


def test_an_answer_releases_its_version_once_its_hits_are_read(tmp_path: Path) -> None:
    docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
    ingest(docs, {"a": "one"})
    snapshot = weakref.ref(versions_of(docs).snapshot(docs.resolve()))
    answer = docs.search(vector_of("one"))
    versions_of(docs).forget_verified()
    gc.collect()
    assert snapshot() is not None, "the hits are still to be read"
    assert answer[0].text == "one"
    gc.collect()
    assert snapshot() is not None, "its metadata is still to be read"
    assert answer[0].read().text == "one"
    gc.collect()
    assert snapshot() is None and vecver.Answer.from_json(answer.to_json()) == answer


def test_a_hit_releases_its_version_with_its_last_field(tmp_path: Path) -> None:
    docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
    ingest(docs, {"a": "one"})
    snapshot = weakref.ref(versions_of(docs).snapshot(docs.resolve()))
    (hit,) = docs.search(vector_of("one")).hits
    versions_of(docs).forget_verified()
    assert (hit.text, hit.metadata) == ("one", {})
    gc.collect()
    assert snapshot() is None and hit == hit.read() and hit.key == Hit.from_json(hit.to_json()).key


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_a_receipt_names_the_vector_that_was_searched_with(tmp_path: Path, metric: Any) -> None:
    repository = open_on(LocalStore(tmp_path / "kb"))
    docs = repository.dataset("d")
    docs.ingest(records({"a": "one", "b": "two"}), space=SPACE, metric=metric)
    buffer = vector_of("one").copy()
    now, later = docs.search(buffer), docs.search(buffer)
    assert now.receipt
    buffer[:] = vector_of("two")
    assert later.receipt == now.receipt and repository.replay(later.receipt).identical


def test_timings_include_what_is_read_later(tmp_path: Path) -> None:
    docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
    ingest(docs, {"a": "one"})
    phases = list[str]()
    with vecver.listening(lambda phase, _: phases.append(phase)):
        answer = docs.search(vector_of("one"))
    assert "fetch" in phases and "_read_hits" not in vars(answer)
