"""Drafts: documents with several chunks, and ingests that are interrupted and reuse what they embedded."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from helpers import DIM, ingest, records, vector_of
from inside import versions_of

import vecver
from vecver.digest import key
from vecver.model import Commit, Recipe, Space
from vecver.repo import Draft, NewDocument, NewRows, Versions, document_id, find_absent, find_known
from vecver.repo.rows.schema import keys_array
from vecver.repo.rows.sorted_keys import as_keys
from vecver.store import Store


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    return repository.dataset("d")


def segments_on(store: Store) -> set[str]:
    return {name for name in store.list("segments/")}


THE_SPACE = Space("given:test", DIM, "ip")


def pages(*chunks: Iterable[str], titles: str = "") -> list[NewDocument]:
    """Documents p0, p1 ... with these chunks each."""
    made = []
    for number, texts in enumerate(map(list, chunks)):
        spans = [(i * 10, i * 10 + 10) for i in range(len(texts))]
        embedded = [key(text.encode()) for text in texts]
        made.append(
            NewDocument(f"p{number}", "s", "00" * 32, "00" * 16, "text/plain", titles, {}, texts, embedded, spans)
        )
    return made


def committed(docs: vecver.Dataset, documents: list[NewDocument]) -> tuple[int, int]:
    """A version with these documents beside those that were there; (rows written, rows removed)."""
    versions = versions_of(docs)
    branches = docs.branches()
    parent = versions.snapshot(branches["main"]) if branches else None
    draft = Draft(versions.store, parent, THE_SPACE)
    rows = draft.stage(documents)
    if len(rows):
        draft.add(rows, np.stack([vector_of(text) for text in rows.table.column("text").to_pylist()]))
    layout, removed = draft.finish()
    before = parent.commit.id if parent else None
    commit = Commit(
        dataset=docs.name,
        parents=(before,) if before else (),
        author="",
        message="",
        time=versions.time(),
        content_root=layout.roots.content_root,
        vector_root=layout.roots.vector_root,
        counts={"documents": layout.document_count, "chunks": layout.chunk_count},
        recipe=Recipe({"name": "given"}, {"name": "test", "given": True}, THE_SPACE),
        environment={},
        operation={},
    )
    versions.move(docs.name, "branch", "main", before=before, after=versions.save(commit, layout), reason="test")
    return len(rows), removed


def chunks_of(docs: vecver.Dataset, page: str, at: str = "main") -> list[str]:
    snapshot = versions_of(docs).snapshot(docs.resolve(at))
    table, row = snapshot.document(page)  # type: ignore[misc]
    keys = np.frombuffer(b"".join(table.column("chunks")[row].as_py()), np.uint8).reshape(-1, 16)
    return [snapshot.text(int(n), int(r)) for n, r in zip(*snapshot.find_chunks(keys), strict=True)]


def test_one_edited_paragraph_writes_one_row(docs: vecver.Dataset) -> None:
    assert committed(docs, pages("abcdefgh", "xyz")) == (11, 0)
    assert committed(docs, pages("abcDefgh")) == (1, 1)
    assert chunks_of(docs, "p0") == list("abcDefgh") and chunks_of(docs, "p0", "main~1") == list("abcdefgh")
    assert committed(docs, pages("hgfeDcba")) == (0, 0)  # another order is another document row only
    assert committed(docs, pages("abcdefgh")) == (0, 1)  # the old row is revived
    assert chunks_of(docs, "p0") == list("abcdefgh") and chunks_of(docs, "p1") == list("xyz")
    assert docs.repository.check().clean


def test_equal_paragraphs_get_a_row_each(docs: vecver.Dataset) -> None:
    assert committed(docs, pages("aaa", "a")) == (4, 0)
    assert committed(docs, pages("aa")) == (0, 1)
    assert committed(docs, pages("aaaa")) == (1, 0)
    assert chunks_of(docs, "p0") == list("aaaa") and docs.show().counts == {"documents": 2, "chunks": 5}
    assert docs.repository.check().clean


def test_context_joins_neighbours(docs: vecver.Dataset) -> None:
    spans = [(0, 0), (0, 3), (3, 7), (6, 9), (10, 12), (14, 16)]
    texts = ["Title", "abc", "defg", "ghi", "kl", "op"]
    embedded = [key(text.encode()) for text in texts]
    committed(docs, [NewDocument("p", "s", "00" * 32, "00" * 16, "text/plain", "", {}, texts, embedded, spans)])
    snapshot = versions_of(docs).snapshot(docs.resolve())
    keys = snapshot.document("p")[0].column("chunks")[0].as_py()  # type: ignore[index]
    assert snapshot.context(keys[2], "p", 0) == "defg"
    assert snapshot.context(keys[2], "p", 1) == "abcdefghi"
    assert snapshot.context(keys[2], "p", 9) == "abcdefghi kl\n\nop"
    assert snapshot.context(keys[0], "p", 1) == "abc"
    assert snapshot.context(keys[0], "p", 0) == ""


def test_look_ups_do_not_change_a_draft(docs: vecver.Dataset) -> None:
    committed(docs, pages("abc", "xy"))
    versions = versions_of(docs)
    parent = versions.snapshot(docs.resolve())
    draft = Draft(versions.store, parent, THE_SPACE, part_rows=1)
    assert [document is not None for document in find_known(parent, ["p1", "new", "p0"])] == [True, False, True]
    assert find_absent(parent, as_keys([document_id("p1")]), ["s"]) == [("p0", "s")]
    assert (
        find_absent(parent, as_keys([]), ["s"]) == [("p0", "s"), ("p1", "s")]
        and find_absent(parent, as_keys([]), ["t"]) == []
    )
    assert list(draft.vectors_of([key(b"a"), key(b"new")])) == [key(b"a")]
    assert draft.kept() == (5, 0) and draft.layout()[0] == parent.layout
    draft.seal()
    assert (
        parts_on(versions.store) == []
        and find_known(None, ["p0"]) == [None]
        and find_absent(None, as_keys([]), ["s"]) == []
    )


def test_status_builds_no_draft(docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest(docs, {"a": "one", "b": "two", "c": "three"})
    monkeypatch.delattr(Versions, "draft")
    found = docs.status(records({"a": "one", "b": "other", "d": "new"}), label="records")
    assert (found["added"], found["changed"], found["removed"]) == (["d"], ["b"], ["c"])


class Embedding:
    """Embeds each text once, and counts; breaks off after so many batches."""

    def __init__(self, store: Store, batches: int) -> None:
        self.store, self.batches, self.texts = store, batches, list[str]()

    def into(self, draft: Draft, chunks: list[str]) -> None:
        rows = draft.stage(pages(chunks))
        for start in range(0, len(rows), 4):
            piece = rows.slice(start, 4)
            names = piece.table.column("embedded").to_pylist()
            texts = dict(zip(names, piece.table.column("text").to_pylist(), strict=True))
            known = draft.vectors_of(names)
            missing = [name for name in texts if name not in known]
            if missing and not self.batches:
                raise KeyboardInterrupt
            self.batches -= 1 if missing else 0
            self.texts += [texts[name] for name in missing]
            computed = {name: vector_of(texts[name]) for name in missing}
            draft.keep(computed)
            known.update(computed)
            draft.add(piece, np.stack([known[name] for name in names]))


def parts_on(store: Store) -> list[str]:
    return list(store.list("parts/"))


def embed(store: Store, chunks: list[str], batches: int = 1000) -> list[str]:
    """One attempt at an ingest; the texts that it embedded."""
    draft, embedding = Draft(store, None, THE_SPACE, part_rows=8), Embedding(store, batches)
    try:
        embedding.into(draft, chunks)
        draft.finish()
    except KeyboardInterrupt:
        draft.seal()
    finally:
        draft.discard()
    return embedding.texts


def test_an_ingest_reuses_what_an_interrupted_one_embedded(store: Store) -> None:
    chunks = [f"text {i}" for i in range(40)]
    assert embed(store, chunks, batches=5) == chunks[:20]
    assert len(parts_on(store)) == 3 and segments_on(store) == set()
    assert embed(store, chunks, batches=2) == chunks[20:28]
    assert embed(store, chunks) == chunks[28:]
    assert parts_on(store) == [] and len(segments_on(store)) == 5
    assert embed(store, [*chunks, "new"]) == ["new"]
    assert parts_on(store) == []


def test_a_killed_ingest_loses_less_than_a_part(store: Store) -> None:
    """Nothing is sealed at the end, as after `kill -9`."""
    chunks = [f"text {i}" for i in range(40)]
    draft, embedding = Draft(store, None, THE_SPACE, part_rows=8), Embedding(store, 7)
    with pytest.raises(KeyboardInterrupt):
        embedding.into(draft, chunks)
    assert embedding.texts == chunks[:28]
    assert embed(store, chunks) == chunks[24:]


def test_vectors_given_with_records_write_no_parts(store: Store) -> None:
    draft = Draft(store, None, THE_SPACE, part_rows=1)
    rows = draft.stage(pages("abc"))
    draft.add(rows, np.stack([vector_of(text) for text in "abc"]))
    assert parts_on(store) == []
    draft.finish()


def test_a_damaged_part_is_embedded_again(store: Store) -> None:
    chunks = [f"text {i}" for i in range(24)]
    embed(store, chunks, batches=5)
    for name, damage in zip(parts_on(store), (b"", b"\0" * 99, None), strict=True):
        store.put(name, damage) if damage is not None else store.delete(name)
    assert embed(store, chunks) == chunks
    assert all(store.size(name) in (0, 99) for name in parts_on(store))


def test_parts_of_another_space_are_not_mixed_in(store: Store) -> None:
    embed(store, ["one"] * 1, batches=0)
    draft = Draft(store, None, Space("other", DIM, "ip"))
    embed(store, ["one", "two"], batches=1)
    assert draft.vectors_of([key(b"one")]) == {}


def test_a_part_stays_while_some_of_it_is_in_no_segment(store: Store) -> None:
    embed(store, ["one", "two", "three", "four", "five"], batches=1)
    assert embed(store, ["one", "two"]) == []
    assert len(parts_on(store)) == 1
    assert embed(store, ["one", "two", "three", "four"]) == []
    assert parts_on(store) == []


def test_rows_of_a_part_are_listed_when_they_are_committed(store: Store) -> None:
    """They were not where an ingest computed nothing and found all its vectors in parts: the parts went, unlisted."""
    embed(store, ["zero"])  # so that the space has tables, and is not searched through
    chunks = ["one", "two"]
    draft, embedding = Draft(store, None, THE_SPACE), Embedding(store, 1000)
    embedding.into(draft, chunks)
    draft.seal()  # and the process ends
    assert embed(store, chunks) == []
    assert parts_on(store) == []
    assert embed(store, chunks) == []


def test_drafts_of_several_writers_make_one_version(docs: vecver.Dataset) -> None:
    committed(docs, pages("ab", "cd"))
    versions = versions_of(docs)
    parent = versions.snapshot(docs.branches()["main"])
    new = pages("ax", "cy", "zz")  # of the old chunks two stay, two die
    draft = Draft(versions.store, parent, THE_SPACE)
    writers = [Draft(versions.store, None, THE_SPACE) for _ in range(2)]
    for number, page in enumerate(new):
        rows = NewRows.of([page])
        ids, keys, embedded = (
            keys_array(rows.documents.column("id")),
            keys_array(rows.chunks.column("key")),
            keys_array(rows.chunks.column("embedded")),
        )
        missing = np.flatnonzero(draft.replace(ids, keys, embedded))
        writer = writers[number % 2]
        written = writer.stage(NewRows(rows.documents, rows.chunks.take(missing)))
        writer.add(written, np.stack([vector_of(text) for text in written.table.column("text").to_pylist()]))
        if number == 0:
            draft.adopt(writer.hand_over())
    for writer in writers:
        draft.adopt(writer.hand_over())
        assert writer.hand_over() == []
    layout, removed = draft.finish()

    alone = Draft(versions.store, parent, THE_SPACE)
    staged = alone.stage(new)
    alone.add(staged, np.stack([vector_of(text) for text in staged.table.column("text").to_pylist()]))
    expected, removed_alone = alone.finish()
    assert (layout.roots.content_root, layout.roots.vector_root) == (
        expected.roots.content_root,
        expected.roots.vector_root,
    )
    assert layout.sketch is not None and expected.sketch is not None
    assert layout.sketch == expected.sketch
    assert (layout.document_count, layout.chunk_count, removed) == (3, 6, 2)
    assert removed_alone == removed and len(draft.segments) == 3
