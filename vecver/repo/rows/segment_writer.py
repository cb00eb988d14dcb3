"""Writes a segment as a stream of batches: rows go to files in a private folder; `seal` makes them visible at once."""

from __future__ import annotations

import contextlib
import hashlib
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa

from vecver.digest import canonical_json, digest_json
from vecver.repo import objects
from vecver.repo.rows import npy_file, sorted_keys
from vecver.repo.rows.schema import CHUNKS, DOCUMENTS, keys_array
from vecver.repo.rows.segment import BLOCK_ROWS, Segment
from vecver.repo.rows.segment_files import FILES, path_of
from vecver.store.api import writing

if TYPE_CHECKING:
    from vecver.model import Json, Space, Vectors
    from vecver.store import Store

MAX_ROWS = 1 << 22  # chunk rows after which a writer begins another segment: 3 GB of memory at most
_NEW = "a new segment"


class SegmentWriter:
    """Collects rows and seals them into one segment. Vectors and texts stream to disk as they come."""

    def __init__(self, store: Store, space: Space) -> None:
        self.chunk_count = 0
        self.document_count = 0
        self._store = store
        self._space = space
        self._folder = store.scratch()
        with writing(_NEW, self._folder):
            self._vectors: BinaryIO = open(self._folder / "vectors.npy", "wb")  # noqa: SIM115 (closed by `discard`)
            self._vectors.write(b"\0" * npy_file.HEADER_BYTES)
            self._chunks_file = pa.OSFile(str(self._folder / "chunks.arrow"), "wb")
            self._chunks = pa.ipc.new_file(self._chunks_file, CHUNKS)
        self._max_norm = 0.0
        self._forget_rows()

    def add(self, documents: pa.Table | None, chunks: pa.Table, vectors: Vectors) -> None:
        """Append rows: `chunks` in the columns CHUNKS, `vectors` `(n, dim)` float32, `documents` or None."""
        if len(chunks):
            with writing(_NEW, self._folder):
                self._pending.append(chunks)
                self._write_chunks(BLOCK_ROWS)
                self._vectors.write(np.ascontiguousarray(vectors, "<f4").data.cast("B"))
            self._keys.append(keys_array(chunks.column("key")))
            self._embedded.append(keys_array(chunks.column("embedded")))
            self._max_norm = max(self._max_norm, _max_norm(vectors))
            self.chunk_count += len(chunks)
        if documents is not None and len(documents):
            self._documents.append(documents)
            self.document_count += len(documents)

    def seal(self) -> Segment:
        """Make the segment durable and return it opened. After a failure nothing is visible."""
        try:
            with writing(_NEW, self._folder):
                self._finish_files()
            files = {file: _measured(self._folder / file) for file in FILES}
            manifest = _manifest(self._space, self.chunk_count, self.document_count, self._max_norm, files)
            id = digest_json(manifest)
            self._store.put_all({path_of(id, file): self._folder / file for file in FILES})
            self._store.put(path_of(id, "segment.json"), canonical_json(manifest))
            return Segment(self._store, id)
        finally:
            self.discard()

    def discard(self) -> None:
        """Delete the unfinished files, and let go of the rows; safe to call twice."""
        for file in (self._vectors, self._chunks_file):
            with contextlib.suppress(OSError):  # on a full disk flushing the buffer fails again
                file.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._forget_rows()
        pa.default_memory_pool().release_unused()  # or 1,000,000 rows keep 0.2 GB while their index is built

    def _forget_rows(self) -> None:
        self._pending: list[pa.Table] = []  # chunk rows that do not fill a block yet
        self._documents: list[pa.Table] = []
        self._keys: list[sorted_keys.Keys] = []
        self._embedded: list[sorted_keys.Keys] = []

    def _write_chunks(self, least: int) -> None:
        """Write blocks of BLOCK_ROWS while `least` rows wait, so that the file does not depend on the batches added."""
        while (waiting := sum(len(table) for table in self._pending)) >= least and waiting:
            table = pa.concat_tables(self._pending)
            self._chunks.write_table(table.slice(0, BLOCK_ROWS).combine_chunks())
            self._pending = [table.slice(BLOCK_ROWS)]

    def _finish_files(self) -> None:
        self._write_chunks(1)
        self._vectors.seek(0)
        self._vectors.write(npy_file.header((self.chunk_count, self._space.dim), "<f4"))
        self._vectors.close()
        self._chunks.close()
        self._chunks_file.close()
        documents = self._joined_documents()
        with (
            pa.OSFile(str(self._folder / "documents.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, documents.schema) as file,
        ):
            file.write_table(documents)
        ids = keys_array(documents.column("id")).copy()
        del documents  # 150 bytes a row, which sorting the keys need not hold
        columns = [_stacked(self._keys), _stacked(self._embedded), ids]
        order = np.concatenate([sorted_keys.order_of(keys) for keys in columns])
        with open(self._folder / "lookup.npy", "wb") as lookup:  # `np.save` would not say that a disk is full
            lookup.write(npy_file.header(order.shape, "<u4"))
            lookup.write(order.view(np.uint8).data)

    def _joined_documents(self) -> pa.Table:
        """All document rows in one piece; the pieces are let go."""
        if not self._documents:
            return DOCUMENTS.empty_table()
        pieces, self._documents = self._documents, []
        documents = pa.concat_tables(pieces, promote_options="default")
        del pieces
        fields = set(documents.column_names) - set(DOCUMENTS.names)
        return documents.combine_chunks().select([*DOCUMENTS.names, *sorted(fields)])


def segment_manifest(space: Space, chunks: int, documents: int, vectors: Vectors, files: Json) -> Json:
    """The content of segment.json for a segment with these rows."""
    blocks = [vectors[start : start + BLOCK_ROWS] for start in range(0, len(vectors), BLOCK_ROWS)]
    return _manifest(space, chunks, documents, max((_max_norm(block) for block in blocks), default=0.0), files)


def _manifest(space: Space, chunks: int, documents: int, max_norm: float, files: Json) -> Json:
    return {
        "format": objects.FORMAT,
        "space": space.to_json(),
        "chunks": chunks,
        "documents": documents,
        "max_norm": max_norm,
        "files": files,
    }


def _stacked(keys: Sequence[sorted_keys.Keys]) -> sorted_keys.Keys:
    return np.concatenate(keys) if keys else np.zeros((0, 16), np.uint8)


def _max_norm(vectors: Vectors) -> float:
    """An upper bound of the norms, in thousandths, that is the same on every CPU.

    The order of a sum changes its last bits, so a norm at the edge of a thousandth could be rounded either way. The
    millionth that is added keeps the usual norms, those near 1, away from the edges.
    """
    largest = float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64).max()))
    return math.ceil(largest * 1000 + 1e-3) / 1000


def _measured(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}
