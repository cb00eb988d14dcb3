"""Datasets with many small versions, for the tests of folding, optimize and gc; `assert_versions_hold` checks them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from helpers import ingest, open_on, texts_of
from inside import versions_of

import vecver
from vecver.model import Garbage

NO_GRACE = timedelta(0)
Texts = dict[str, str]


def history(docs: vecver.Dataset, versions: int = 30, branch: str = "main") -> Iterator[tuple[str, Texts]]:
    """Ingest versions that add, edit and remove documents; yield (commit, its texts by document)."""
    texts: Texts = {}
    for turn in range(versions):
        texts = {**texts, f"new{turn}": f"text {turn}", f"often{turn % 3}": f"edit {turn}"}
        texts.pop(f"new{turn - 14}", None)
        commit = ingest(docs, texts, message=str(turn), branch=branch).commit
        assert commit
        yield commit, dict(texts)


def add_versions(docs: vecver.Dataset, branch: str, versions: int) -> dict[str, Texts]:
    """Ingest versions that each add a document to the branch; their texts by commit."""
    texts_by_commit = {}
    for turn in range(versions):
        texts = {**texts_of(docs, branch), f"more{turn}": "x"}
        texts_by_commit[str(ingest(docs, texts, branch=branch).commit)] = texts
    return texts_by_commit


def collect(docs: vecver.Dataset, **keep: Any) -> Garbage:
    """Run gc twice without a grace period: the first run lists garbage, the second deletes it."""
    docs.repository.gc(**keep, grace=NO_GRACE, apply=True)
    return docs.repository.gc(**keep, grace=NO_GRACE, apply=True)


def segments_of(docs: vecver.Dataset, at: str = "main") -> list[str]:
    """The ids of the segments of a version."""
    return [live.segment for live in versions_of(docs).layout(docs.resolve(at)).segments]


def assert_versions_hold(docs: vecver.Dataset, known: dict[str, Texts]) -> None:
    """Each version, opened anew, holds its texts, and `check` reports no problem."""
    again = open_on(versions_of(docs).store).dataset(docs.name)
    for commit, texts in known.items():
        assert texts_of(again, commit) == texts
    assert again.repository.check().problems == ()
