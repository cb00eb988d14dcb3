"""Keyword search of a version: BM25 by hand, statistics of the version alone, equal bits wherever its rows lie."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import vecver
from vecver.flows.searching.keywords import keyword_rows, keyword_scores, matched_words
from vecver.repo import Snapshot

pytest.importorskip("Stemmer", reason="keyword search needs PyStemmer")
UNIT = 2.0**-36


def opened(docs: vecver.Dataset, at: str = "main") -> Snapshot:
    versions = docs._session.versions
    return versions.snapshot(versions.resolve(docs.name, at))


def rows(texts: dict[str, str]) -> list[dict[str, Any]]:
    return [{"id": name, "text": text, "vector": [1.0, float(i)]} for i, (name, text) in enumerate(texts.items())]


def best(snapshot: Snapshot, text: str, n: int = 10) -> list[tuple[str, float]]:
    ((found),) = keyword_rows(snapshot, None, [text], n)
    return [(snapshot.segments[segment].owner(row), score) for (segment, row), score in found]


@pytest.fixture
def docs(tmp_path: Path) -> vecver.Dataset:
    return vecver.open(tmp_path, create=True).dataset("d")


def test_scores_are_bm25_by_hand(docs: vecver.Dataset) -> None:
    """Lengths 2, 3 and 1, so 2 in the mean; "red" is in two of three rows, twice in b."""
    docs.ingest(rows({"a": "red valve", "b": "red red pump", "c": "pump"}), space="s")
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    a = idf * 1 / (1 + 1.5 * (0.25 + 0.75 * 2 / 2))
    b = idf * 2 / (2 + 1.5 * (0.25 + 0.75 * 3 / 2))
    found = best(opened(docs), "The RED")
    assert [name for name, _ in found] == ["b", "a"]
    assert [score for _, score in found] == [pytest.approx(b, abs=UNIT), pytest.approx(a, abs=UNIT)]
    assert all((score / UNIT).is_integer() for _, score in found)
    assert best(opened(docs), "red red")[0][1] == 2 * found[0][1], "a term counts as often as the question has it"


def test_dead_rows_do_not_count(docs: vecver.Dataset, tmp_path: Path) -> None:
    """A version that lost rows answers as a dataset that never had them."""
    docs.ingest(rows({"a": "red valve", "b": "red red pump", "c": "pump", "d": "red"}), space="s", label="x")
    docs.ingest(rows({"b": "red red pump", "c": "pump", "e": "red valve"}), space="s", label="x", allow_removals=True)
    fresh = vecver.open(tmp_path / "fresh", create=True).dataset("d")
    fresh.ingest(rows({"b": "red red pump", "c": "pump", "e": "red valve"}), space="s", label="x")
    for text in ("red", "pump valve", "a red, a valve"):
        assert best(opened(docs), text) == best(opened(fresh), text)
    assert [name for name, _ in best(opened(docs, "main~1"), "red")] == ["d", "b", "a"]


def test_a_text_without_terms_has_no_rows(docs: vecver.Dataset) -> None:
    docs.ingest(rows({"a": "the of"}), space="s")
    snapshot = opened(docs)
    for text in ("", "the of", "!? …", "\x00", "\ud800", "absent"):
        assert best(snapshot, text) == []
    assert best(snapshot, "word " * 10_000) == []


def test_scores_and_words_of_given_rows(docs: vecver.Dataset) -> None:
    docs.ingest(rows({"a": "red valve", "b": "getUser", "c": "pump"}), space="s")
    snapshot = opened(docs)
    ((found),) = keyword_rows(snapshot, None, ["valves red user"], 3)
    places = [(0, 0), (0, 1), (0, 2)]
    assert dict(zip(places, keyword_scores(snapshot, "valves red user", places), strict=True)) == {
        **dict(found),
        (0, 2): 0.0,
    }
    assert matched_words(snapshot, "valves, Red users", (0, 0)) == ["valves", "Red"]
    assert matched_words(snapshot, "valves, Red users", (0, 1)) == ["users"]


def test_the_first_n_are_a_prefix_of_the_first_n_and_one(docs: vecver.Dataset) -> None:
    docs.ingest(rows({f"d{i}": "red " * (i % 3 + 1) for i in range(20)}), space="s")
    whole = best(opened(docs), "red", 20)
    assert len(whole) == 20
    for n in range(20):
        assert best(opened(docs), "red", n) == whole[:n]


# -- languages ------------------------------------------------------------------------------------


def test_the_language_is_part_of_the_recipe_and_changes_no_vector(docs: vecver.Dataset) -> None:
    texts = rows({"a": "Die Häuser", "b": "Der Baum"})
    first = docs.ingest(texts, space="s", label="x")
    assert "keywords" not in docs.show("main").recipe.to_json(), "English is what is meant where nothing is said"
    assert best(opened(docs), "Haus") == []
    second = docs.ingest(texts, space="s", label="x", language="german")
    assert second.changed and second.chunks["embedded"] == 0
    one, two = docs.show("main~1"), docs.show("main")
    assert two.recipe.to_json()["keywords"] == {"name": "words", "version": 1, "language": "german"}
    assert (one.recipe.fingerprint, one.content_root) == (two.recipe.fingerprint, two.content_root)
    assert [name for name, _ in best(opened(docs), "Haus")] == ["a"]
    assert not docs.ingest(texts, space="s", label="x", language="German").changed
    third = docs.ingest([*texts, *rows({"c": "Haus"})], space="s", label="x")
    assert {name for name, _ in best(opened(docs), "Häusern")} == {"a", "c"}, "the next version keeps the language"
    assert best(opened(docs, first.commit or ""), "Haus") == [] and third.changed
    assert docs.ingest(texts[:1], space="s", label="x", language="english", allow_removals=True).changed
    assert "keywords" not in docs.show("main").recipe.to_json()


def test_an_unknown_language_stops_an_ingest_before_it_begins(docs: vecver.Dataset) -> None:
    with pytest.raises(vecver.InvalidInputError) as caught:
        docs.ingest(rows({"a": "x"}), space="s", language="klingon")
    assert caught.value.code == "unknown_language"
