"""Context: a hit widened with its neighbours is the document's own text around it."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import open_on
from inside import versions_of

import vecver
from vecver.repo import Snapshot
from vecver.store import MemoryStore

WORDS = """
valve pump pipe gauge seal filter tank hose lever spring bolt nut shaft wheel belt chain motor fuse
""".split()  # noqa: SIM905


def section(number: int) -> str:
    """A heading, a long paragraph and a list: a few chunks."""
    sentences = [f"The {WORDS[(number + i) % 18]} of part {number} meets the {WORDS[i % 18]}." for i in range(20)]
    items = [f"- check the {word} of part {number}" for word in WORDS[:6]]
    return f"## Part {number}\n\n" + " ".join(sentences) + "\n\n" + "\n".join(items) + "\n"


TEXT = "# The manual\n\n" + "\n".join(section(number) for number in range(6))


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> vecver.Dataset:
    folder = tmp_path_factory.mktemp("manual")
    (folder / "manual.md").write_text(TEXT)
    (folder / "short.md").write_text("# Short\n\nOne line about cheese.\n")
    docs = open_on(MemoryStore()).dataset("manual")
    docs.ingest(folder, embedder="hashing")
    return docs


def spans(docs: vecver.Dataset, document: str = "manual.md") -> list[tuple[int, int]]:
    """The spans of a document's chunks, in order, without its title's."""
    table, row = versions_of(docs).snapshot(docs.resolve()).document(document) or (None, 0)
    assert table is not None
    starts, ends = (table.column(name)[row].as_py() for name in ("starts", "ends"))
    return [(start, end) for start, end in zip(starts, ends, strict=True) if end > start]


def blanks_folded(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("count", [1, 2, 5, 1000])
def test_context_is_the_documents_own_slice(docs: vecver.Dataset, count: int) -> None:
    """For every chunk, the first and the last too: from the start of its first neighbour to the end of its last."""
    order = spans(docs)
    assert len(order) > 8
    hits = [hit for hit in docs.search("part", k=1000, context=count) if hit.document == "manual.md"]
    assert len([hit for hit in hits if hit.span != (0, 0)]) == len(order)
    for hit in hits:
        if hit.span == (0, 0):
            continue
        place = order.index(hit.span)
        first, last = order[max(0, place - count)], order[min(len(order) - 1, place + count)]
        assert hit.context is not None and hit.text in hit.context
        assert blanks_folded(hit.context) == blanks_folded(TEXT[first[0] : last[1]])
        assert hit.text == TEXT[slice(*hit.span)]


VERSION_1 = {"name": "structure", "version": 1, "min_tokens": 32, "max_tokens": 112, "title": True}


def test_a_title_hit_opens_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an older dataset too, which goes on with its chunker until it is ingested with the one of today."""
    (tmp_path / "manual.md").write_text(TEXT)
    docs = open_on(MemoryStore()).dataset("manual")
    with monkeypatch.context() as patch:
        patch.setattr("vecver.pipeline.chunker_recipe", lambda *args, **how: VERSION_1)
        docs.ingest(tmp_path, embedder="hashing")
    (tmp_path / "other.md").write_text("# Other\n\nOne line about cheese.\n")
    assert docs.ingest(tmp_path).chunks["embedded"] == 2, "the title and the line"
    hits = {hit.document: hit for hit in docs.search("manual", k=1000, context=1) if hit.span == (0, 0)}
    start, end = spans(docs)[0]
    assert blanks_folded(hits["manual.md"].context or "") == blanks_folded(TEXT[start:end])

    first, second = (docs.ingest(tmp_path, chunker="structure") for _ in range(2))
    assert first.chunks["embedded"] > 20 and second.chunks["embedded"] == 0
    assert any(hit.headings for hit in docs.search("manual", k=1000)), "as today's chunker says"


def test_no_context_by_default(docs: vecver.Dataset) -> None:
    plain, wide = docs.search("cheese", k=3), docs.search("cheese", k=3, context=1)
    assert all(hit.context is None for hit in plain) and "context" not in plain[0].to_json()
    assert all(hit.context is not None for hit in wide) and wide[0].to_json()["context"] == wide[0].context
    assert plain.receipt == wide.receipt, "context is no part of what was answered"


def test_a_record_of_one_chunk_is_its_own_context() -> None:
    docs = open_on(MemoryStore()).dataset("d")
    docs.ingest([{"id": "a", "text": "alone", "vector": [1, 0]}, {"id": "b", "text": "", "vector": [1, 1]}], space="t")
    assert {hit.document: hit.context for hit in docs.search([1, 0], context=9)}["a"] == "alone"


def test_context_after_an_edit_reads_each_chunk_from_its_segment(tmp_path: Path) -> None:
    docs = open_on(MemoryStore()).dataset("d")
    for text in (TEXT, TEXT.replace("check the pump of part 3", "check the PUMP of part 3")):
        (tmp_path / "manual.md").write_text(text)
        docs.ingest(tmp_path, embedder="hashing", label="manual")
    assert docs.show().operation["chunks"]["reused"] > 5
    (hit,) = docs.search("check the PUMP of part 3", k=1, context=1000)
    assert blanks_folded(hit.context or "") == blanks_folded(text)
    (old,) = docs.search("check the pump of part 3", k=1, context=1000, at="main~1")
    assert blanks_folded(old.context or "") == blanks_folded(TEXT)


class Spans(Snapshot):
    """A snapshot of one document with hand-made spans of `abcdefghij`."""

    def __init__(self, docs: vecver.Dataset, spans: list[tuple[int, int]]) -> None:
        import pyarrow as pa

        opened = versions_of(docs).snapshot(docs.resolve())
        super().__init__(opened.commit, opened.layout, opened.segments)
        keys = [bytes([i]) * 16 for i in range(len(spans))]
        self.table = pa.table({"chunks": [keys], "starts": [[s for s, _ in spans]], "ends": [[e for _, e in spans]]})
        self.pieces = ["abcdefghij"[start:end] for start, end in spans]

    def _document_of(self, name: str):  # type: ignore[no-untyped-def]
        return self.table, 0

    def find_chunks(self, keys):  # type: ignore[no-untyped-def]
        return keys[:, 0] * 0, keys[:, 0]

    def text(self, number: int, row: int) -> str:
        return self.pieces[row]


@pytest.mark.parametrize(
    ("spans", "place", "count", "wanted"),
    [
        ([(0, 4), (4, 7), (7, 10)], 1, 1, "abcdefghij"),
        ([(0, 5), (3, 8), (6, 10)], 1, 1, "abcdefghij"),
        ([(0, 5), (3, 8), (6, 10)], 2, 1, "defghij"),
        ([(0, 8), (2, 5), (6, 10)], 1, 1, "abcdefghij"),
        ([(0, 8), (2, 5), (6, 10)], 1, 0, "cde"),
        ([(0, 0), (0, 5), (5, 10)], 0, 1, "abcde"),
        ([(0, 0), (0, 5), (5, 10)], 1, 1, "abcdefghij"),
        ([(0, 0)], 0, 1, ""),
        ([(0, 3), (4, 6), (8, 10)], 1, 1, "abc ef\n\nij"),
    ],
)
def test_spans_by_hand(docs: vecver.Dataset, spans: list[tuple[int, int]], place: int, count: int, wanted: str) -> None:
    """Overlaps are not doubled, a chunk within another adds nothing, blanks left out come back as blanks."""
    assert Spans(docs, spans).context(bytes([place]) * 16, "x", count) == wanted
