"""What a version holds, as routes answer with it: hits, documents, chunks, counts, differences.

Decisions
1. A chunk's position is written once, in `Position`. Pydantic lists fields from the last base class to the first, so
   the fields that come before the position stand in a base class too: the published schema keeps their order.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

Json = dict[str, Any]


class Side(BaseModel):
    """What one side of a hybrid search says of a hit."""

    score: float
    rank: Annotated[int | None, Field(description="Among the side's first; null below them.")]


class Reranked(BaseModel):
    """What a reranker said of a hit."""

    score: float
    before: Annotated[int, Field(description="The hit's rank without it, from 1.")]


class Hit(BaseModel):
    """A chunk that answers."""

    rank: int
    score: float
    score_bits: str
    document: str
    key: str
    span: tuple[int, int]
    text: str
    title: str
    metadata: Json
    context: str | None = None
    headings: Annotated[list[str] | None, Field(description="Over the chunk, outermost first; absent if none.")] = None
    header: Annotated[str | None, Field(description="The header row of a table that the chunk goes on with.")] = None
    page: Annotated[int | None, Field(description="From 1: where the chunk begins.")] = None
    sheet: Annotated[str | None, Field(description="Of a workbook: where the chunk begins.")] = None
    line: Annotated[int | None, Field(description="From 1: where the chunk begins; of text and source code.")] = None
    by: Annotated[
        Literal["title"] | None, Field(description="The score is that of the document's title, which ranked this.")
    ] = None
    reranked: Annotated[
        Reranked | None, Field(description="Where a reranker ordered it; `score` stays that of the search.")
    ] = None
    dense: Annotated[Side | None, Field(description="In hybrid search: what its vector says of it.")] = None
    keyword: Annotated[Side | None, Field(description="In hybrid search: what its words say of it.")] = None
    vector: Annotated[list[float] | str | None, Field(description="Where `hit_vectors` asks for it.")] = None


class Answer(BaseModel):
    """The hits of one question, best first."""

    dataset: str
    revision: str
    commit: str
    hits: list[Hit]
    receipt: Json | None = None
    missing: Annotated[
        str | None, Field(description="Where `missing` is empty: what is not there. No version: `commit` is empty.")
    ] = None
    notes: Annotated[list[str] | None, Field(description="What was not done as it was asked; absent if nothing.")] = (
        None
    )
    query: Annotated[Json | None, Field(description="Token counts of a query that the model did not see whole.")] = None


class Answers(BaseModel):
    """The answers of several questions, in their order."""

    dataset: str
    revision: str
    commit: str
    answers: list[Answer]


class DocumentIds(BaseModel):
    """A page of the documents of a version, sorted."""

    commit: str
    documents: list[str]
    next: str | None


class ObjectNames(BaseModel):
    """A page of the names of stored objects, sorted."""

    objects: list[str]
    next: str | None


class Position(BaseModel):
    """Where a chunk stands in its document."""

    headings: list[str] | None = None
    header: str | None = None
    page: int | None = None
    sheet: str | None = None
    line: int | None = None


class _Chunk(BaseModel):
    document: str
    key: str
    span: tuple[int, int]
    text: str
    title: str
    metadata: Json


class _ChunkOfDocument(BaseModel):
    key: str
    span: tuple[int, int]
    text: str | None = None
    metadata: Json | None = None


class _ChunkOfDiff(BaseModel):
    change: Literal["added", "removed", "kept"]
    key: str
    text: str
    span: tuple[int, int]


class StoredChunk(Position, _Chunk):
    """A chunk of a version."""

    context: str | None = None
    vector: Annotated[str | None, Field(description="Base64 of its little-endian float32 bytes.")] = None


class DocumentChunk(Position, _ChunkOfDocument):
    """A chunk of a document; text and metadata only where they are not the document's."""


class Document(BaseModel):
    """A document of a version, put together from its chunks."""

    id: str
    title: str
    text: str
    metadata: Json
    source: str
    media_type: str
    digest: Annotated[str, Field(description="sha256 of the source's bytes.")]
    chunks: list[DocumentChunk]
    missing: Annotated[list[tuple[int, int]], Field(description="Spans of `text` that no chunk holds: U+FFFD there.")]
    origin: Annotated[dict[str, str] | None, Field(description="Of an object: bucket, key, e_tag, version.")] = None


class Documents(BaseModel):
    """Documents of a version, in the order asked."""

    commit: str
    documents: list[Document]


class FilterField(BaseModel):
    """A field that filters may name."""

    name: str
    kind: Literal["metadata", "position", "built-in"]
    types: list[str]
    documents: Annotated[int, Field(description="That have a value.")]
    examples: Annotated[list[Any], Field(description="The most frequent values, at most 3.")]


class Fields(BaseModel):
    """What filters may name in a version."""

    commit: str
    fields: list[FilterField]


class DiffDocuments(BaseModel):
    """Document ids, sorted."""

    added: list[str]
    changed: list[str]
    removed: list[str]


class DiffChunks(BaseModel):
    """How many chunks."""

    added: int
    removed: int


class ChunkCounts(BaseModel):
    """How many chunks a document has in both versions, and how many only one of them has."""

    before: int
    after: int
    added: int
    removed: int


class Diff(BaseModel):
    """What lies between two versions."""

    from_: Annotated[str, Field(alias="from")]
    to: str
    documents: DiffDocuments
    chunks: DiffChunks
    chunks_of: Annotated[dict[str, ChunkCounts], Field(description="Of each of these documents.")]


class ChunkDiff(Position, _ChunkOfDiff):
    """A chunk that one of two versions of a document has, or both."""


class DocumentDiff(BaseModel):
    """What one document says in two versions; a chunk that was removed stands before the one that followed it."""

    from_: Annotated[str, Field(alias="from")]
    to: str
    document: str
    change: Literal["added", "changed", "removed", "unchanged"]
    fields: Annotated[dict[str, tuple[Any, Any]], Field(description="What else differs: before and after.")]
    chunks: list[ChunkDiff]
