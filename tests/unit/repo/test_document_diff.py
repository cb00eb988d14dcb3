"""The difference of one document between two versions: chunks in reading order, texts, fields, and what it costs."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import open_on, records
from hypothesis import given, settings
from hypothesis import strategies as st

import vecver
from vecver.store import MemoryStore

PARAGRAPHS = st.lists(st.sampled_from([f"Paragraph {number} speaks of pumps and valves." for number in range(6)]))


def written(folder: Path, name: str, paragraphs: list[str]) -> None:
    sections = [f"## Part {number}\n\n{text}" for number, text in enumerate(paragraphs)]
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n\n".join(["# Book", *sections]) + "\n")


@settings(max_examples=25)
@given(one=PARAGRAPHS, two=PARAGRAPHS)
def test_it_tells_both_documents_whole(
    tmp_path_factory: pytest.TempPathFactory, one: list[str], two: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("docs")
    docs = open_on(MemoryStore()).dataset("d")
    for paragraphs in (one, two):
        written(folder, "book.md", paragraphs)
        docs.ingest(str(folder), embedder="hashing", chunk_tokens=32, message=str(len(paragraphs)))
        docs.branch(f"v{len(docs.branches())}")
    found = docs.diff("v1", docs.show(), document="book.md")
    before = [chunk.text for chunk in found.chunks if chunk.change != "added" and chunk.span[1]]
    after = [chunk.text for chunk in found.chunks if chunk.change != "removed" and chunk.span[1]]
    text = (folder / "book.md").read_text()
    for chunk in found.chunks:
        if chunk.change != "removed" and chunk.span[1]:
            assert text[slice(*chunk.span)] == chunk.text
    assert "".join("".join(after).split()) == "".join(text.split())
    counts = docs.diff("v1", docs.show()).chunks_of.get("book.md")
    if one == two:
        assert found.change == "unchanged" and counts is None and before == after
    else:
        assert found.change == "changed" and counts
        assert (counts.added, counts.removed) == (len(found.added), len(found.removed))
        assert (counts.before, counts.after) == (
            len(found.kept) + len(found.removed),
            len(found.kept) + len(found.added),
        )


@pytest.fixture
def docs() -> vecver.Dataset:
    return open_on(MemoryStore()).dataset("d")


def test_added_removed_and_changed(docs: vecver.Dataset) -> None:
    docs.ingest(records({"a": "one", "b": "two"}), space="test", metric="ip")
    docs.ingest(records({"b": "three", "c": "four"}), space="test", allow_removals=True)
    changes = {name: docs.diff("main~1", "main", document=name) for name in "abc"}
    assert {name: one.change for name, one in changes.items()} == {"a": "removed", "b": "changed", "c": "added"}
    assert [(chunk.change, chunk.text) for chunk in changes["b"].chunks] == [("added", "three"), ("removed", "two")]
    assert str(changes["b"]).splitlines() == [
        "b: changed",
        "+ three",
        "- two",
        "1 chunks added, 1 removed, 0 kept",
    ]
    found = docs.diff("main~1", "main").chunks_of
    assert {name: (one.before, one.after, one.added, one.removed) for name, one in found.items()} == {
        "a": (1, 0, 0, 1),
        "b": (1, 1, 1, 1),
        "c": (0, 1, 1, 0),
    }


def test_what_differs_beside_the_text(docs: vecver.Dataset) -> None:
    docs.ingest(records({"a": "one"}, year=2024, lang="en"), space="test", metric="ip")
    docs.ingest(records({"a": "one"}, year=2025), space="test")
    found = docs.diff("main~1", "main", document="a")
    assert (found.change, len(found.kept)) == ("changed", 1)
    assert found.fields == {"metadata.lang": ("en", None), "metadata.year": (2024, 2025)}


def test_a_document_that_neither_version_has(docs: vecver.Dataset) -> None:
    docs.ingest(records({"guide/heating.md": "one"}), space="test", metric="ip")
    with pytest.raises(vecver.NotFoundError) as caught:
        docs.diff("main", "main", document="heatng.md")
    assert caught.value.code == "document_not_found" and "guide/heating.md" in caught.value.hint


def test_other_documents_are_not_read(docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    docs.ingest(records({f"doc-{number}": f"text {number}" for number in range(500)}), space="test", metric="ip")
    docs.ingest(records({"doc-7": "another text"}), space="test", keep_missing=True)
    read: list[int] = []
    from vecver.repo.rows.segment import Segment

    text = Segment.text
    monkeypatch.setattr(Segment, "text", lambda self, row: read.append(row) or text(self, row))
    assert docs.diff("main~1", "main", document="doc-7").change == "changed"
    assert len(read) == 2


def test_it_agrees_with_the_difference_of_versions(docs: vecver.Dataset, tmp_path: Path) -> None:
    """Other blanks are a change, though no word differs."""
    (tmp_path / "book.md").write_text("# Book\n\nOne.\n\nTwo.\n")
    docs.ingest(str(tmp_path), embedder="hashing", label="a")
    (tmp_path / "book.md").write_text("# Book\n\nOne.\n\nTwo.\n\n\n")
    docs.ingest(str(tmp_path), label="a")
    assert docs.diff("main~1", "main").changed == ("book.md",)
    found = docs.diff("main~1", "main", document="book.md")
    assert (found.change, found.fields) == ("changed", {})
    assert docs.diff("main", "main", document="book.md").change == "unchanged"
