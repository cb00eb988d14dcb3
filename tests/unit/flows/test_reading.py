"""Documents and chunks of a version, read through the handle of a repository and of a snapshot in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import SPACE, ingest, records, vector_of

import vecver
from vecver.errors import InvalidInputError, NotFoundError, VecverError
from vecver.flows.reading.documents import joined

Handle = vecver.Dataset | vecver.Snapshot

PAGES = {
    "guide/pump.md": "# The pump\n\nThe pump runs dry without water.\n",
    "guide/Wärme.md": f"# Wärme\n\n{'Das Ventil öffnen. ' * 12}\n\n## Schlüssel\n\n{'Er hängt an der Tür. ' * 12}\n",
    "heating.md": "\n\n# Heating\n\nTo bleed the radiator, open the valve with the key.\n\n\n",
}


def folder_of(place: Path) -> Path:
    folder = place / "handbook"
    for name, text in PAGES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


@pytest.fixture(params=["dataset", "snapshot"])
def pages(request: pytest.FixtureRequest, repository: vecver.Repository, tmp_path: Path) -> Handle:
    """The pages, in a repository and in a folder of their own."""
    docs = repository.dataset("handbook")
    docs.ingest(folder_of(tmp_path), embedder="hashing")
    if request.param == "dataset":
        return docs
    docs.snapshot("main", tmp_path / "export")
    return vecver.open_snapshot(tmp_path / "export")


# -- whole documents ------------------------------------------------------------------------------


def test_documents_come_as_they_were_in_the_order_asked(pages: Handle) -> None:
    names = ["heating.md", "guide/Wärme.md", "heating.md"]
    found = pages.get(names)
    assert [document.id for document in found] == names
    assert [document.text for document in found] == [PAGES[name] for name in names]
    assert [document.title for document in found] == ["Heating", "Wärme", "Heating"]
    assert all(document.media_type == "text/markdown" and not document.missing for document in found)
    assert found[0].source == ("handbook" if isinstance(pages, vecver.Dataset) else "")
    assert len(found[0].digest) == 64


def test_one_id_gives_one_document(pages: Handle) -> None:
    document = pages.get("guide/pump.md")
    assert isinstance(document, vecver.Document) and document.text == PAGES["guide/pump.md"]
    assert pages.get(iter(["guide/pump.md"])) == [document]
    assert pages.get([]) == []


def test_a_document_has_its_chunks_those_of_its_title_first(pages: Handle) -> None:
    document = pages.get("guide/Wärme.md")
    title, *body = document.chunks
    assert (title.span, title.text) == ((0, 0), "Wärme")
    assert all(chunk.text == document.text[slice(*chunk.span)] for chunk in body)
    assert body[-1].headings == ("Schlüssel",) and {chunk.document for chunk in body} == {"guide/Wärme.md"}


def test_an_unknown_id_is_named_with_those_like_it(pages: Handle) -> None:
    with pytest.raises(NotFoundError, match=r"has no document 'guide/pumpe.md', 'x'") as caught:
        pages.get(["guide/pumpe.md", "heating.md", "x"])
    assert caught.value.code == "document_not_found"
    assert caught.value.context["documents"] == ["guide/pumpe.md", "x"]
    assert caught.value.context["did_you_mean"][0] == "guide/pump.md"
    assert caught.value.hint.startswith("did you mean 'guide/pump.md'")
    with pytest.raises(NotFoundError, match="and 2 more"):
        pages.get([str(number) for number in range(7)])


def test_unknown_ids_can_be_left_out(pages: Handle) -> None:
    assert [document.id for document in pages.get(["x", "heating.md"], missing="skip")] == ["heating.md"]
    assert pages.get("x", missing="skip") is None


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda docs: docs.get(7), "invalid_ids"),
        (lambda docs: docs.get(["heating.md", 7]), "invalid_ids"),
        (lambda docs: docs.get("heating.md", missing="ignore"), "invalid_missing"),
        (lambda docs: docs.documents(limit=0), "invalid_limit"),
        (lambda docs: docs.documents(limit=True), "invalid_limit"),
        (lambda docs: docs.documents(limit="3"), "invalid_limit"),
        (lambda docs: docs.documents(prefix=None), "invalid_prefix"),
        (lambda docs: docs.documents(after=3), "invalid_after"),
        (lambda docs: docs.documents(where={"nothing": 1}), "unknown_field"),
        (lambda docs: docs.documents(where=[]), "invalid_filter"),
        (lambda docs: docs.count(where="year"), "invalid_filter"),
        (lambda docs: docs.chunks(limit=-1), "invalid_limit"),
        (lambda docs: docs.chunks(after="heating.md"), "invalid_key"),
        (lambda docs: docs.chunks(after="0" * 32), "invalid_cursor"),
        (lambda docs: docs.chunk("g" * 32), "invalid_key"),
        (lambda docs: docs.chunk(None), "invalid_key"),
        (lambda docs: docs.chunk("0" * 32), "chunk_not_found"),
        (lambda docs: docs.chunk("0" * 32, context=-1), "invalid_context"),
        (lambda docs: docs.count(where={"nothing": 1}), "unknown_field"),
    ],
)
def test_what_cannot_be_read_is_said_at_once(pages: Handle, ask: Callable[[Any], Any], code: str) -> None:
    with pytest.raises(VecverError) as caught:
        ask(pages)
    assert caught.value.code == code and caught.value.hint


def test_a_text_with_gaps_says_what_is_missing() -> None:
    assert joined([]) == ("", ())
    assert joined([(0, 0, "Title"), (0, 3, "abc"), (3, 4, "d")]) == ("abcd", ())
    assert joined([(0, 3, "abc"), (5, 7, "fg")]) == ("abc\ufffd\ufffdfg", ((3, 5),))
    assert joined([(2, 4, "cd")]) == ("\ufffd\ufffdcd", ((0, 2),))
    assert joined([(0, 4, "abcd"), (2, 6, "cdef"), (3, 5, "de"), (0, 0, "Title")]) == ("abcdef", ())


# -- ids ------------------------------------------------------------------------------------------


def test_ids_are_listed_in_pages(pages: Handle) -> None:
    names = sorted(PAGES)
    assert pages.documents() == names
    assert pages.documents(limit=2) == names[:2]
    assert pages.documents(limit=2, after=names[1]) == names[2:]
    assert pages.documents(after="guide/q") == ["heating.md"]
    assert pages.documents(after="zzz") == [] and pages.documents(prefix="zzz") == []
    assert pages.documents(prefix="guide/") == names[:2]
    assert pages.documents(prefix="guide/", after="guide/W") == ["guide/Wärme.md", "guide/pump.md"]
    assert pages.documents(prefix="guide/", after="guide/Wärme.md", limit=5) == ["guide/pump.md"]


def test_an_id_of_another_version_begins_a_page_as_well(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    ingest(docs, {"a": "1", "b": "2", "c": "3"})
    ingest(docs, {"a": "1", "c": "3", "d": "4"})
    assert docs.documents(after="b") == ["c", "d"] and docs.documents("main~1", after="b") == ["c"]


def test_filters_choose_documents_and_chunks(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    rows = [{**row, "year": year} for year, row in enumerate(records({"a": "1", "b": "2", "c": "3"}), 2024)]
    docs.ingest(rows, space=SPACE, metric="ip")
    late = {"year": {"$gte": 2025}}
    assert docs.documents(where=late) == ["b", "c"] and docs.documents(where=late, after="b") == ["c"]
    assert [chunk.text for chunk in docs.chunks(where=late)] == ["2", "3"]
    assert docs.count(where=late) == vecver.Count(2, 2) and docs.count() == vecver.Count(3, 3)
    assert docs.documents(where=late, limit=1) == ["b"] and docs.documents(where={"year": 2024}) == ["a"]
    assert docs.documents(where={"year": 2030}) == [] and docs.count(where={"year": 2030}) == vecver.Count(0, 0)
    assert list(docs.chunks(where={"year": 2030})) == [] and docs.documents(where={}) == ["a", "b", "c"]


def test_filters_on_a_place_choose_single_chunks(pages: Handle) -> None:
    key = {"headings": "Schlüssel"}
    assert pages.documents(where=key) == ["guide/Wärme.md"]
    (chunk,) = pages.chunks(where=key)
    assert "hängt an der Tür" in chunk.text and pages.count(where=key) == vecver.Count(1, 1)
    assert list(pages.chunks(where=key, after=chunk.key)) == []
    first = next(pages.chunks())
    assert [one.key for one in pages.chunks(where=key, after=first.key)] == [chunk.key]


# -- chunks ---------------------------------------------------------------------------------------


def test_chunks_come_by_document_and_as_they_are_read(pages: Handle) -> None:
    found = list(pages.chunks())
    assert [(chunk.document, chunk.span) for chunk in found] == sorted((c.document, c.span) for c in found)
    assert found == [chunk for document in pages.get(sorted(PAGES)) for chunk in document.chunks]
    assert pages.count() == vecver.Count(3, len(found))
    assert list(pages.chunks(limit=2)) == found[:2]
    assert list(pages.chunks(limit=2, after=found[1].key)) == found[2:4]


def test_chunks_are_taken_one_after_the_other_and_shown_from_the_first(pages: Handle) -> None:
    chunks = pages.chunks()
    first = next(chunks)
    assert first.document == "guide/Wärme.md" and repr(chunks).count("[title]") == 3
    assert len(list(chunks)) == pages.count().chunks - 1 and next(chunks, None) is None
    assert chunks.to_arrow()["key"][0].as_py() == first.key


def test_a_page_begins_in_the_middle_of_a_document_of_many_chunks(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    text = "\n\n".join(f"## Part {n}\n\n{' '.join(f'word{n}x{i}' for i in range(60))}." for n in range(80))
    docs.ingest([{"id": "long.md", "text": text}, {"id": "z", "text": "short"}], embedder="hashing")
    found = list(docs.chunks())
    assert len(found) > 40
    for start in (0, 7, len(found) - 2, len(found) - 1):
        assert list(docs.chunks(after=found[start].key, limit=5)) == found[start + 1 : start + 6]


def test_vectors_are_those_that_are_searched(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    ingest(docs, {"a": "1", "b": "2"})
    vectors: list[Any] = [chunk.vector for chunk in docs.chunks(vectors=True)]
    assert all(np.array_equal(one, vector_of(text)) for one, text in zip(vectors, "12", strict=True))
    assert [chunk.vector for chunk in docs.chunks()] == [None, None]
    table = docs.chunks(vectors=True).to_arrow()
    assert table.schema.field("vector").type.list_size == 8 and table["vector"][1].as_py() == vectors[1].tolist()
    assert docs.chunks().to_arrow().column_names[:4] == ["document", "key", "start", "end"]


def test_a_chunk_comes_with_its_neighbours(pages: Handle) -> None:
    for chunk in pages.chunks():
        assert pages.chunk(chunk.key, context=0) == chunk == pages.chunk(chunk.key.upper(), context=0)
        assert pages.chunk(chunk.key) == pages.chunk(chunk.key, context=1) != chunk
    document = pages.get("guide/Wärme.md")
    alone = pages.chunk(document.chunks[1].key, context=1)
    assert alone.context and alone.text in alone.context and len(alone.context) > len(alone.text)
    assert document.text.startswith(alone.context)


def test_a_key_of_another_version_begins_no_page(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    ingest(docs, {"a": "old", "b": "same"})
    gone, kept = docs.chunks()
    ingest(docs, {"a": "new", "b": "same", "c": "more"})
    assert [chunk.text for chunk in docs.chunks(after=kept.key)] == ["more"]
    with pytest.raises(InvalidInputError) as caught:
        docs.chunks(after=gone.key)
    assert caught.value.code == "invalid_cursor" and "one version" in caught.value.hint
    assert [chunk.text for chunk in docs.chunks("main~1", after=gone.key)] == ["same"]


def test_an_empty_selection_is_an_empty_table(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    ingest(docs, {"a": "1"})
    (only,) = docs.chunks()
    none = docs.chunks(after=only.key)
    assert none.to_arrow().num_rows == 0 and {"document", "text", "page"} <= set(none.to_arrow().column_names)
    assert list(none.to_pandas().columns[:2]) == ["document", "key"]


def test_a_chunk_has_the_metadata_of_its_part_of_the_document(repository: vecver.Repository, tmp_path: Path) -> None:
    mails = [f"From a@b.c Thu Jan  1 00:00:00 2026\nSubject: {n}\n\n{f'mail {n} ' * 60}\n\n" for n in ("one", "two")]
    (tmp_path / "box.mbox").write_text("".join(mails))
    docs = repository.dataset("d")
    docs.ingest(tmp_path / "box.mbox", embedder="hashing")
    document = docs.get("box.mbox")
    subjects = [chunk.metadata["subject"] for chunk in document.chunks if chunk.span[1]]
    assert {"one", "two"} <= set(subjects) and "subject" not in document.metadata
    assert (
        list(docs.chunks()) == list(document.chunks) == [docs.chunk(chunk.key, context=0) for chunk in document.chunks]
    )
    assert vecver.Document.from_json(document.to_json()) == document


# -- fields ---------------------------------------------------------------------------------------


def test_fields_tell_types_counts_and_examples(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    more: list[dict[str, Any]] = [
        {"year": 2024, "tags": ["a", "b"], "done": True, "price": 1.5, "note": "x" * 200},
        {"year": 2024, "tags": ["b"], "done": False, "price": 2.5, "deep": {"x": 1}},
        {"year": "unknown", "tags": ["b", "c"], "done": True},
    ]
    rows = [{**row, **own} for row, own in zip(records({"a": "1", "b": "2", "c": "3"}), more, strict=True)]
    docs.ingest(rows, space=SPACE, metric="ip", label="rows")
    told = {one.name: (one.kind, one.types, one.documents, one.examples) for one in docs.fields()}
    assert told == {
        "deep": ("metadata", ("json",), 1, ({"x": 1},)),
        "done": ("metadata", ("bool",), 3, (True, False)),
        "note": ("metadata", ("str",), 1, ()),
        "price": ("metadata", ("float",), 2, (1.5, 2.5)),
        "tags": ("metadata", ("strs",), 3, ("b", "a", "c")),
        "year": ("metadata", ("int", "str"), 3, (2024, "unknown")),
        "$document": ("built-in", ("str",), 3, ("a", "b", "c")),
        "$media_type": ("built-in", ("str",), 3, ("text/plain",)),
        "$path": ("built-in", ("str",), 3, ("a", "b", "c")),
        "$source": ("built-in", ("str",), 3, ("rows",)),
        "$title": ("built-in", ("str",), 0, ()),
    }


def test_every_field_that_is_told_may_be_asked_for(pages: Handle) -> None:
    fields = pages.fields()
    assert {"headings", "path", "$title"} <= {one.name for one in fields}
    for one in fields:
        assert len(pages.documents(where={one.name: {"$exists": True}})) == one.documents, one
        for example in one.examples:
            assert pages.documents(where={one.name: example}), one


def test_a_version_without_documents_has_no_values(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    ingest(docs, {"a": "1"})
    docs.delete("a")
    assert docs.documents() == list(docs.chunks()) == [] and docs.count() == vecver.Count(0, 0)
    assert all(one.documents == 0 and one.examples == () for one in docs.fields())
    assert docs.get([]) == [] and docs.chunks().to_arrow().num_rows == 0
    with pytest.raises(NotFoundError):
        docs.get("a")
