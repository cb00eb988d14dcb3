"""New rows: documents and chunks as a caller gives them, and the Arrow tables that a segment stores of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecver.json_columns import row_digests, row_keys, rows_of_matrix
from vecver.model import Json, Position, Records
from vecver.repo.rows import schema
from vecver.repo.rows.cells import ORIGIN
from vecver.repo.rows.positions import position_columns
from vecver.repo.rows.sorted_keys import Keys, as_keys


@dataclass(frozen=True)
class NewDocument:
    """A document version to write; the lists run in parallel, one entry a chunk, in reading order."""

    document: str
    source: str
    digest: str
    recipe: str
    media_type: str
    title: str
    metadata: Json
    texts: Sequence[str]
    embedded: Sequence[bytes]  # 16 bytes: the digest of what is embedded
    spans: Sequence[tuple[int, int]]
    positions: Sequence[Position] = ()  # one a chunk, or empty where no position is known
    origin: Mapping[str, str] = field(default_factory=dict)  # of an object: bucket, key, e_tag, version


@dataclass(frozen=True)
class NewRows:
    """Document versions to write, as the tables that a segment stores of them and of all their chunks."""

    documents: pa.Table  # columns DOCUMENTS and those of metadata and positions
    chunks: pa.Table  # columns CHUNKS, document after document

    @classmethod
    def of(cls, documents: Sequence[NewDocument]) -> NewRows:
        """The rows of these documents."""
        chunks = FlatChunks.of(documents)
        return cls(document_table(documents, chunks.keys), chunks.table())


@dataclass(frozen=True)
class NewChunks:
    """Chunk rows that no segment of the parent holds: they need vectors, and are then written."""

    table: pa.Table  # columns CHUNKS
    origin: npt.NDArray[np.int64]  # where each row stands in the flat list of chunks that was staged

    def __len__(self) -> int:
        return len(self.table)

    def slice(self, start: int, count: int) -> NewChunks:
        return NewChunks(self.table.slice(start, count), self.origin[start : start + count])


@dataclass(frozen=True)
class FlatChunks:
    """The chunks of several documents, document after document; the lists run in parallel."""

    keys: list[bytes]
    documents: list[str]
    texts: list[str]
    embedded: list[bytes]

    @classmethod
    def of(cls, documents: Sequence[NewDocument]) -> FlatChunks:
        chunks = cls([], [], [], [])
        for document in documents:
            numbers: dict[str, int] = {}  # how often each text has come up in this document
            for text in document.texts:
                number = numbers.get(text, 0)
                numbers[text] = number + 1
                chunks.keys.append(schema.chunk_key(document.document, text, number))
                chunks.documents.append(document.document)
            chunks.texts.extend(document.texts)
            chunks.embedded.extend(document.embedded)
        return chunks

    def table(self) -> pa.Table:
        """The chunks in the columns CHUNKS."""
        columns: list[Sequence[bytes | str]] = [self.keys, self.documents, self.texts, self.embedded]
        arrays = [pa.array(values, field.type) for values, field in zip(columns, schema.CHUNKS, strict=True)]
        return pa.Table.from_arrays(arrays, schema=schema.CHUNKS)


def document_ids(documents: Sequence[str]) -> Keys:
    """The keys of documents by their names, `(n, 16)`."""
    return as_keys([schema.document_id(name) for name in documents])


def document_table(documents: Sequence[NewDocument], keys: Sequence[bytes]) -> pa.Table:
    """One row a document, in the columns DOCUMENTS and those of metadata and positions; `keys`: of all chunks."""
    lists, start = [], 0
    for document in documents:
        end = start + len(document.texts)
        lists.append(keys[start:end])
        start = end
    values = {
        "id": [schema.document_id(d.document) for d in documents],
        "document": [d.document for d in documents],
        "source": [d.source for d in documents],
        "digest": [bytes.fromhex(d.digest) for d in documents],
        "recipe": [bytes.fromhex(d.recipe) for d in documents],
        "media_type": [d.media_type for d in documents],
        "title": [d.title for d in documents],
        "chunks": lists,
        "starts": [[start for start, _ in d.spans] for d in documents],
        "ends": [[end for _, end in d.spans] for d in documents],
    }
    arrays = {name: pa.array(value, schema.DOCUMENTS.field(name).type) for name, value in values.items()}
    metadata = schema.metadata_columns([d.metadata for d in documents])
    origins = origin_columns([d.origin for d in documents])
    return pa.table({**arrays, **metadata, **position_columns([d.positions for d in documents]), **origins})


def origin_columns(origins: Sequence[Mapping[str, str]]) -> dict[str, pa.Array]:
    """The columns that say of which object of a bucket each document was read; none where no document was."""
    names = sorted({name for origin in origins for name in origin})
    return {ORIGIN + name: pa.array([origin.get(name) for origin in origins], pa.string()) for name in names}


def record_rows(records: Records, recipes: Keys, media_type: str) -> NewRows:
    """The rows of records that bring their vectors: a text is one chunk, named by its vector. `recipes`: `(n, 16)`."""
    import pyarrow.compute as pc

    count, vectors = len(records), records.vectors
    assert vectors is not None, "records without vectors are embedded one by one"
    embedded = schema.byte_column(row_keys(b"vector", rows_of_matrix(vectors.view(np.uint8))))
    keys = schema.byte_column(_chunk_keys(records.documents, records.texts))
    each, ends = pa.array(np.arange(count + 1, dtype=np.int32)), pc.utf8_length(records.texts).cast(pa.int32())
    columns = {
        "id": schema.byte_column(records.keys),
        "document": records.documents,
        "source": pa.repeat(records.source, count),
        "digest": schema.byte_column(records.digests),
        "recipe": schema.byte_column(recipes),
        "media_type": pa.repeat(media_type, count),
        "title": records.titles,
        "chunks": pa.ListArray.from_arrays(each, keys),
        "starts": pa.ListArray.from_arrays(each, pa.array(np.zeros(count, np.int32))),
        "ends": pa.ListArray.from_arrays(each, ends),
    }
    documents = pa.table({**columns, **schema.field_columns(records.metadata, count)})
    return NewRows(
        documents, pa.Table.from_arrays([keys, records.documents, records.texts, embedded], schema=schema.CHUNKS)
    )


def _chunk_keys(documents: pa.Array, texts: pa.Array) -> Keys:
    """`schema.chunk_key` of each document's first chunk."""
    digests = rows_of_matrix(row_digests(texts.cast(pa.binary())))
    return row_keys(documents.cast(pa.binary()), digests, bytes(4))
