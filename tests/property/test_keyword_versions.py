"""Keyword answers of a version are those of an index built on just that version: same chunks, same score bits.

Versions are made by adding, changing and removing documents; then asked at once, after folds, after optimize and gc,
and from an export. The other side knows no versions: it holds one version's chunks in a `KeywordVersion` of one part.
"""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vecver
from vecver import flows, pipeline
from vecver.flows.maintaining import postings
from vecver.flows.searching.keywords import keyword_rows, keyword_scores
from vecver.index.keywords import KeywordPart, KeywordVersion, Terms, build
from vecver.repo import Snapshot

pytest.importorskip("Stemmer", reason="keyword search needs PyStemmer")
WORDS = ["valve", "Pumpe", "getUser", "snake_case", "running", "C", "東京都", "한국어", "привет", "מילה", "3.14", "the"]
MORE = [f"term{i}" for i in range(60)]
K = 15


class Model:
    """A dataset, the texts of each of its versions, and a random number generator."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.repository = vecver.open(folder, create=True, background=False)
        self.docs = self.repository.dataset("d")
        self.random = random.Random(seed)
        self.texts: dict[str, str] = {}
        self.versions: dict[str, dict[str, str]] = {}  # by commit

    def text(self) -> str:
        words = self.random.choices([*WORDS, *MORE], k=self.random.randrange(1, 40))
        return " ".join(words) + f" {self.random.choice(WORDS)}"

    def commit(self, changes: int) -> None:
        """Add, change and remove documents, and remember what the new version holds."""
        for _ in range(changes):
            name = f"d{self.random.randrange(120)}"
            if self.random.random() < 0.25 and len(self.texts) > 1 and name in self.texts:
                del self.texts[name]
            else:
                self.texts[name] = self.text()
        rows = [{"id": name, "text": text, "vector": [1.0, 2.0]} for name, text in self.texts.items()]
        report = self.docs.ingest(rows, space="s", label="x", allow_removals=True)
        assert report.commit
        self.versions[report.commit] = dict(self.texts)

    def question(self) -> str:
        return " ".join(self.random.choices([*WORDS, *MORE, "absent", "!"], k=self.random.choice([1, 3, 8])))

    def opened(self, commit: str) -> Snapshot:
        versions = self.docs._session.versions
        snapshot = versions.snapshot(commit)
        postings.open_postings(versions, snapshot)
        return snapshot

    def differences(self, commit: str, snapshot: Snapshot, questions: list[str]) -> int:
        """How many questions have other chunks or score bits than an index of just this version's texts."""
        alone, names = fresh(snapshot, self.versions[commit])
        tokenizer, differing = pipeline.Tokenizer(pipeline.tokenizer_recipe()), 0
        for question, found in zip(questions, keyword_rows(snapshot, None, questions, K), strict=True):
            expected = [(names[row], s) for _, row, s in alone.best(Terms.of(tokenizer.terms(question)), K)]
            ours = [(snapshot.segments[number].owner(row), score) for (number, row), score in found]
            again = keyword_scores(snapshot, question, [place for place, _ in found])
            differing += ours != expected or again != [score for _, score in found]
        return differing

    def all_differences(self, count: int) -> int:
        questions = [self.question() for _ in range(count)]
        return sum(self.differences(commit, self.opened(commit), questions) for commit in self.versions)


def fresh(snapshot: Snapshot, texts: dict[str, str]) -> tuple[KeywordVersion, list[str]]:
    """An index of these texts alone, in the order of their names; chunk keys are those of the version."""
    names = sorted(texts)
    tokenizer = pipeline.Tokenizer(pipeline.tokenizer_recipe())
    made = build(pipeline.tokenised(tokenizer, [texts[name] for name in names]))
    owners: dict[str, Any] = {}
    for segment, live in zip(snapshot.segments, snapshot.layout.segments, strict=True):
        owners |= {segment.owner(row): segment.keys[row] for row in live.chunks}
    keys = np.stack([owners[name] for name in names])
    return KeywordVersion([KeywordPart(made, None, len(names), keys)]), names


def check_everywhere(model: Model, folder: Path, questions: int) -> None:
    """The same answers at once, after folds, optimize and gc, in another process's place, and from an export."""
    assert model.all_differences(questions) == 0
    model.docs.optimize()
    assert model.all_differences(questions) == 0
    model.repository.gc(apply=True, grace=timedelta(0))
    assert list(folder.glob("kb/segments/*/words-1-english.json")), "segments have postings in files"
    assert model.all_differences(questions) == 0
    model.docs = vecver.open(model.repository.url).dataset("d")
    assert model.all_differences(questions) == 0
    for number, commit in enumerate(list(model.versions)[:: max(1, len(model.versions) // 3)]):
        model.docs.snapshot(commit, folder / f"export{number}")
        exported = flows.open_export(folder / f"export{number}").opened
        assert model.differences(commit, exported, [model.question() for _ in range(questions)]) == 0


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments have postings in files from 30 rows on."""
    monkeypatch.setattr(postings, "LARGE", 30)


def test_versions_answer_as_indexes_of_their_own(tmp_path: Path, small: Any) -> None:
    model = Model(tmp_path / "kb", 11)
    for number in range(12):
        model.commit(70 if number == 0 else 8)
    check_everywhere(model, tmp_path, 6)


@pytest.mark.deep
def test_fifty_versions_answer_a_hundred_questions_as_indexes_of_their_own(tmp_path: Path, small: Any) -> None:
    model = Model(tmp_path / "kb", 5)
    for number in range(50):
        model.commit(100 if number == 0 else 10)
    check_everywhere(model, tmp_path, 100)


@given(st.integers(0, 2**32), st.lists(st.integers(1, 30), min_size=1, max_size=4))
@settings(max_examples=5, deadline=None)
def test_any_changes_keep_the_statistics_those_of_the_version(
    tmp_path_factory: pytest.TempPathFactory, seed: int, changes: list[int]
) -> None:
    model = Model(tmp_path_factory.mktemp("kb"), seed)
    for count in changes:
        model.commit(count)
    assert model.all_differences(4) == 0
