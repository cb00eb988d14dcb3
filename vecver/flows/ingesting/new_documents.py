"""From a parsed document and its chunks to the row that a draft stages; pure functions, nothing is read or written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecver import pipeline
from vecver.digest import key
from vecver.flows.embedding import is_given
from vecver.flows.ingesting.changes import recipe_of, record_recipes
from vecver.model import Chunk, Failure, Original, Parsed, Position, Recipe
from vecver.repo import NewDocument, record_rows

if TYPE_CHECKING:
    from vecver.model import Records, Vectors
    from vecver.repo import NewRows


def new_document(original: Original, parsed: Parsed, chunks: Sequence[Chunk], recipe: Recipe) -> NewDocument:
    """The row of a document that was added or changed."""
    return NewDocument(
        document=original.document,
        source=original.source,
        digest=original.digest,
        recipe=recipe_of(original, recipe),
        media_type=parsed.media_type,
        title=parsed.title,
        metadata={**parsed.metadata, **original.metadata},
        texts=[chunk.text for chunk in chunks],
        embedded=[embedded_name(chunk.embedded, original.vector) for chunk in chunks],
        spans=[(chunk.start, chunk.end) for chunk in chunks],
        origin=original.origin,
        positions=() if is_given(recipe) and not parsed.marks else _positions(parsed, chunks),  # a record has none
    )


def new_rows(records: Records, recipe: Recipe) -> NewRows:
    """The rows of records that bring their vectors, as `new_document` makes them of each."""
    return record_rows(records, record_recipes(records, recipe), media_type="text/plain")


def embedded_name(text: str, vector: Vectors | None = None) -> bytes:
    """The 16 bytes under which a vector is stored and reused: a digest of the text embedded, or of the vector given."""
    return key(b"text", text.encode("utf-8", "surrogatepass")) if vector is None else key(b"vector", vector.tobytes())


def unfit_vector(original: Original, recipe: Recipe) -> Failure | None:
    """Why a record's vector, or its absence, does not suit the space; None: it does."""
    name, vector, dim = original.document, original.vector, recipe.space.dim
    if not is_given(recipe):
        reason = "it brings a vector: name the space of the vectors, or leave them out"
        return Failure(name, "unexpected_vector", reason) if vector is not None else None
    if vector is None:
        return Failure(name, "no_vector", "the dataset's records bring vectors, this one has none")
    reason = f"its vector has {len(vector)} dimensions, the space has {dim}"
    return Failure(name, "wrong_dimension", reason) if len(vector) != dim else None


def _positions(document: Parsed, chunks: Sequence[Chunk]) -> list[Position]:
    parts = pipeline.parts_of(document, chunks)
    return [
        Position(chunk.headings, chunk.header, chunk.page, chunk.sheet, chunk.line, part)
        for chunk, part in zip(chunks, parts, strict=True)
    ]
