"""Keyword search of a version: BM25 by hand, statistics of the version alone, equal bits wherever its rows lie."""

from __future__ import annotations

import json
import math
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import vecver
from vecver import pipeline
from vecver.flows.maintaining import postings
from vecver.flows.searching.keywords import keyword_rows, keyword_scores
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


def test_scores_of_given_rows(docs: vecver.Dataset) -> None:
    docs.ingest(rows({"a": "red valve", "b": "getUser", "c": "pump"}), space="s")
    snapshot = opened(docs)
    ((found),) = keyword_rows(snapshot, None, ["valves red user"], 3)
    places = [(0, 0), (0, 1), (0, 2)]
    assert dict(zip(places, keyword_scores(snapshot, "valves red user", places), strict=True)) == {
        **dict(found),
        (0, 2): 0.0,
    }


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


def test_documents_that_are_added_may_name_the_language_too(docs: vecver.Dataset, tmp_path: Path) -> None:
    texts = rows({"a": "Die Häuser"})
    docs.upsert(texts, space="s", language="german")
    assert [name for name, _ in best(opened(docs), "Haus")] == ["a"]
    assert docs.upsert(texts, space="s", language="english").changed and best(opened(docs), "Haus") == []
    (tmp_path / "b.jsonl").write_text(json.dumps(rows({"b": "Der Baum"})[0]) + "\n")
    docs.add(tmp_path / "b.jsonl", records=True, space="s", language="german")
    assert [name for name, _ in best(opened(docs), "Bäume")] == ["b"]
    for add in (lambda: docs.upsert(texts, language="klingon"), lambda: docs.add(tmp_path, language="klingon")):
        with pytest.raises(vecver.InvalidInputError) as caught:
            add()
        assert caught.value.code == "unknown_language"


# -- postings of large segments -------------------------------------------------------------------


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> vecver.Dataset:
    """A version of 40 rows, where segments have postings in files from 30 rows on."""
    monkeypatch.setattr(postings, "LARGE", 30)
    docs = vecver.open(tmp_path / "kb", create=True, background=False).dataset("d")
    docs.ingest(rows({f"d{i}": f"red term{i}" for i in range(40)}), space="s", label="x")
    return docs


def files(docs: vecver.Dataset) -> list[Path]:
    return sorted(Path(docs.repository.url).glob("segments/*/words-1-*"))


def drop(docs: vecver.Dataset) -> None:
    for file in files(docs):
        file.unlink()


def test_a_commit_builds_the_postings_of_large_segments(many: vecver.Dataset) -> None:
    assert [file.name for file in files(many)] == ["words-1-english", "words-1-english.json"]
    assert many.repository.check().clean
    garbage = many.repository.gc(apply=True, grace=timedelta(0))
    assert not garbage.delete and len(files(many)) == 2


def test_a_dataset_from_before_keyword_search_says_that_optimize_builds_them(many: vecver.Dataset) -> None:
    drop(many)
    waited: list[bool] = []
    versions, snapshot = many._session.versions, opened(many)
    with pytest.raises(vecver.ConflictError) as caught:
        postings.open_postings(versions, snapshot, lambda: waited.append(True))
    assert (caught.value.code, waited) == ("keywords_not_built", [True])
    assert "optimize" in caught.value.hint and "1 of its 1 segments" in caught.value.message
    done = many.optimize()
    assert (done.changed, done.versions, done.indexes, done.postings) == (True, 0, 0, 1)
    assert done.to_json()["postings"] == 1 and not many.optimize().changed
    postings.open_postings(versions, snapshot)
    assert best(snapshot, "term7") == best(opened(many), "term7") != []


def test_what_upkeep_builds_meanwhile_is_waited_for(many: vecver.Dataset) -> None:
    drop(many)
    versions, snapshot = many._session.versions, opened(many)
    tokenizer = pipeline.tokenizer_recipe()
    postings.open_postings(
        versions, snapshot, lambda: postings.build_postings(versions, snapshot.segments[0], tokenizer)
    )
    assert [name for name, _ in best(snapshot, "term7")] == ["d7"]


def test_the_next_commit_builds_what_is_missing(many: vecver.Dataset) -> None:
    drop(many)
    many.upsert(rows({"new": "blue"}), label="x")
    postings.open_postings(many._session.versions, opened(many))
    assert [name for name, _ in best(opened(many), "blue")] == ["new"]


def test_postings_of_another_stemmer_are_built_again(many: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    versions, snapshot = many._session.versions, opened(many)
    monkeypatch.setattr("vecver.pipeline.made_with", lambda: {"stemmer": "9.9"})
    with pytest.raises(vecver.ConflictError) as caught:
        postings.open_postings(versions, snapshot)
    assert caught.value.code == "keywords_not_built" and "with PyStemmer 9.9" in caught.value.message
    assert "install PyStemmer==" in caught.value.hint and "every commit" not in caught.value.hint
    many.upsert(rows({"new": "blue"}), label="x")  # a commit does not build them again: others may use the repository
    with pytest.raises(vecver.ConflictError):
        postings.open_postings(versions, opened(many))
    assert many.optimize().postings == 1
    postings.open_postings(versions, opened(many))


def test_postings_without_their_bytes_are_refused_and_mended(many: vecver.Dataset) -> None:
    """A gc of an older vecver deletes both files, the bytes first, and may be killed between them."""
    files(many)[0].unlink()
    many.repository.close()
    docs = vecver.open(many.repository.url).dataset("d")
    with pytest.raises(vecver.IntegrityError) as caught:
        docs.search("term7", mode="keyword")
    assert caught.value.code == "index_damaged" and "is missing" in caught.value.message
    docs.optimize()
    assert [hit.document for hit in docs.search("term7", mode="keyword")] == ["d7"]
    assert docs.repository.check().clean


def test_damaged_postings_are_refused_and_mended(many: vecver.Dataset) -> None:
    file = files(many)[0]
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.unlink()
    file.write_bytes(content)
    many.repository.close()
    docs = vecver.open(many.repository.url).dataset("d")
    assert not docs.repository.check().clean
    with pytest.raises(vecver.IntegrityError) as caught:
        postings.open_postings(docs._session.versions, opened(docs))
    assert caught.value.code == "index_damaged"
    docs.optimize()
    postings.open_postings(docs._session.versions, opened(docs))
    assert docs.repository.check().clean


def test_without_pystemmer_commits_land_and_questions_say_what_is_missing(
    many: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(many)
    monkeypatch.setattr("vecver.pipeline.can_tokenise", lambda: False)
    assert many.upsert(rows({"new": "blue"}), label="x").changed and files(many) == []
    monkeypatch.setitem(sys.modules, "Stemmer", None)
    with pytest.raises(vecver.InvalidInputError) as caught:
        pipeline.Tokenizer(pipeline.tokenizer_recipe()).terms("blue")
    assert caught.value.code == "missing_package"
