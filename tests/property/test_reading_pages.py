"""Pages of documents and chunks of any size make up the whole; a document is read back unchanged."""

from __future__ import annotations

from itertools import chain

import numpy as np
from helpers import SPACE, open_on, records
from hypothesis import given, settings
from hypothesis import strategies as st

import vecver
from vecver.flows.reading.documents import joined
from vecver.model import MISSING, Document
from vecver.store import MemoryStore

NAMES = st.builds(
    str.__add__, st.sampled_from("aé\U0001f600"), st.text(st.sampled_from("ab/\uffee\U0001f600"), max_size=3)
)
LINES = st.sampled_from(
    ["# Title", "## Part", "text and more text", "", "", "- item", "```", "| a | b |", "|---|---|", "---", "title: x",
     "<!-- no -->", "  indented", "word " * 150, "é" * 40, "\t", "[a]: http://x", "> quoted"]
)  # fmt: skip
MARKDOWN = st.lists(LINES, min_size=1, max_size=30).map("\n".join)


def versions(states: list[dict[str, str]]) -> vecver.Dataset:
    """A dataset with a version for each state, so that the last one lies in several segments."""
    docs = open_on(MemoryStore()).dataset("d")
    for state in states:
        docs.ingest(records(state), space=SPACE, metric="ip", allow_removals=True)
    return docs


@settings(max_examples=25)
@given(
    st.lists(st.dictionaries(NAMES, st.sampled_from(["1", "2", "3"]), min_size=1, max_size=8), min_size=1, max_size=3),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    NAMES,
)
def test_pages_of_any_sizes_are_the_whole(states: list[dict[str, str]], sizes: list[int], prefix: str) -> None:
    docs = versions(states)
    names = sorted(states[-1])
    assert docs.documents() == names
    assert docs.documents(prefix=prefix) == [name for name in names if name.startswith(prefix)]
    assert docs.documents(after=prefix) == [name for name in names if name > prefix]
    listed: list[str] = []
    for turn in range(100):
        page = docs.documents(limit=sizes[turn % len(sizes)], after=listed[-1] if listed else None)
        if not page:
            break
        listed += page
    assert listed == names
    whole = list(docs.chunks())
    assert [(chunk.document, chunk.text) for chunk in whole] == sorted(states[-1].items())
    read: list[vecver.StoredChunk] = []
    for turn in range(100):
        chunks = list(docs.chunks(limit=sizes[turn % len(sizes)], after=read[-1].key if read else None))
        if not chunks:
            break
        read += chunks
    assert read == whole


@settings(max_examples=40)
@given(st.lists(MARKDOWN.filter(lambda text: bool(text.strip())), min_size=1, max_size=3))
def test_a_document_is_read_back_unchanged(texts: list[str]) -> None:
    docs = open_on(MemoryStore()).dataset("d")
    names = [f"{number}.md" for number in range(len(texts))]
    rows = [{"id": name, "text": text} for name, text in zip(names, texts, strict=True)]
    report = docs.ingest(rows, embedder="hashing", chunk_tokens=24)
    failed = {failure.document for failure in report.failures}  # those of which nothing can be embedded
    found = {document.id: document for document in docs.get(names, missing="skip")} if report.commit else {}
    assert set(found) == set(names) - failed
    for name, text in zip(names, texts, strict=True):
        if name in found:
            assert (found[name].text, found[name].missing) == (text, ())
            assert Document.from_json(found[name].to_json()) == found[name]


@settings(max_examples=50)
@given(st.text(max_size=40), st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), max_size=8))
def test_what_is_missing_of_a_text_is_what_no_piece_holds(text: str, spans: list[tuple[int, int]]) -> None:

    pieces = [
        (a, b, text[a:b]) for start, length in spans for a, b in [(start, min(start + length, len(text)))] if a < b
    ]
    covered = set(chain.from_iterable(range(a, b) for a, b, _ in pieces))
    made, missing = joined(pieces)
    reached = max((b for _, b, _ in pieces), default=0)
    expected = "".join(text[i] if i in covered else MISSING for i in range(reached))
    assert made == expected
    assert [i for a, b in missing for i in range(a, b)] == sorted(set(range(reached)) - covered)
    assert all(np.diff([edge for span in missing for edge in span]) > 0)
