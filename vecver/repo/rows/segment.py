"""Segments: immutable batches of rows on a store, read memory-mapped. `segment_writer` writes them.

    segments/<id>/segment.json     space, counts, the digests of the files below; its own digest is <id>
                 /documents.arrow  one row a document version          (Arrow IPC, uncompressed)
                 /chunks.arrow     one row a chunk                     (Arrow IPC, uncompressed)
                 /vectors.npy      (n, dim) float32; row i is chunk i
                 /lookup.npy       uint32: chunk rows by key, chunk rows by `embedded`, document rows by id

`segment.json` is written last, so a segment exists completely or not at all.

Decisions
1. Opening checks the digest of segment.json and the sizes of the files, not their content: reading 1.5 GB to answer one
   query would end promise 2. `repo.rows.verifier` hashes the content, in a thread where it is large; `vecver check`
   hashes everything again.
2. The look-up orders are part of the segment and under its digest, not derived files: they cost 12 bytes on a row of
   some 2,000, and can then be trusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vecver.errors import IntegrityError, check_first
from vecver.model import NOWHERE, Json, Position, Space, Vectors
from vecver.repo import objects
from vecver.repo.rows import sorted_keys
from vecver.repo.rows.arrow_file import MALFORMED, open_columns
from vecver.repo.rows.cells import METADATA, POSITION, Cells, Spans, metadata_at, position_at, with_prefix
from vecver.repo.rows.npy_file import array_of
from vecver.repo.rows.segment_files import FILES, path_of

if TYPE_CHECKING:
    import pyarrow as pa

    from vecver.repo.rows.document_codes import DocumentCodes
    from vecver.repo.rows.listed_by import ListedBy
    from vecver.repo.rows.roots import Roots
    from vecver.repo.rows.verdict import Verdict
    from vecver.store import Store

BLOCK_ROWS = 16384  # rows of one record batch, and whose canonical bytes are summed at once
_LISTED_ROWS = 32  # chunk rows for each chunk looked up before `listed_by` is made
_BISECTED_ROWS = 4096  # document rows for each document looked up before their prefixes are sorted into memory


class Segment:
    """One segment, opened for reading. Its files stay mapped even if they are deleted meanwhile."""

    _lookups = 0  # chunks whose documents were looked up by their ids
    _bisected = 0  # documents that were looked up without sorted prefixes
    row_codes: Any = None  # of its vectors, made by exact searches (`index.SegmentCodes`)

    def __init__(self, store: Store, id: str) -> None:
        self.id = id
        self._store = store
        self.manifest = objects.load(store, path_of(id, "segment.json"), id)
        self.space = Space.from_json(self.manifest["space"])
        self.chunk_count: int = self.manifest["chunks"]
        self.document_count: int = self.manifest["documents"]
        self.max_norm: float = self.manifest["max_norm"]
        self.verdict: Verdict | None = None  # set by `repo.rows.verifier`
        self._mapped = self._map_files()

    @cached_property
    def documents(self) -> pa.Table:
        return self._read("documents.arrow", table_of)

    @cached_property
    def chunks(self) -> pa.Table:
        return self._read("chunks.arrow", table_of)

    @cached_property
    def vectors(self) -> Vectors:
        """`(n, dim)` float32, read-only, mapped."""
        return self._read("vectors.npy", array_of)

    @cached_property
    def keys(self) -> sorted_keys.Keys:
        """`(chunks, 16)`."""
        return self._chunk_cells["key"].whole()

    @cached_property
    def embedded(self) -> sorted_keys.Keys:
        """`(chunks, 16)`."""
        return self._chunk_cells["embedded"].whole()

    @cached_property
    def document_ids(self) -> sorted_keys.Keys:
        """`(documents, 16)`."""
        return self._document_cells["id"].whole()

    def text(self, row: int) -> str:
        """The text of a chunk."""
        return str(self._texts[row])

    def texts(self) -> Iterator[str]:
        """The texts of all chunks, in the order of their rows."""
        for block in self.chunks.column("text").chunks:
            yield from block.to_pylist()

    def owner(self, row: int) -> str:
        """The name of a chunk's document."""
        return str(self._owners[row])

    def title(self, row: int) -> str:
        """The title of a document."""
        return str(self._titles[row])

    def span(self, row: int, key: bytes) -> tuple[int, int]:
        """The characters `[start, end)` of a chunk in the document of this row."""
        return self._spans.span(row, self._spans.number(row, key))

    def chunk_keys(self, row: int) -> tuple[sorted_keys.Keys, sorted_keys.Keys]:
        """The keys of a document row's chunks in order, `(n, 16)` each: those of its title, those of its text."""
        return self._spans.keys(row)

    def position(self, row: int, key: bytes) -> Position:
        """The position of a chunk in the document of this row, as far as it is known."""
        return position_at(self._positions, row, self._spans.number(row, key)) if self._positions else NOWHERE

    def metadata(self, row: int) -> Json:
        """The metadata of the document of this row, exactly as given."""
        return metadata_at(self._fields, row)

    def document_version(self, row: int) -> tuple[str, str, bytes, bytes]:
        """The name, source, digest and recipe of a document."""
        document, source, digest, recipe = (
            self._document_cells[name][row] for name in ("document", "source", "digest", "recipe")
        )
        return document, source, digest, recipe

    @cached_property
    def _document_cells(self) -> dict[str, Cells]:
        return self._read("documents.arrow", open_columns)

    @cached_property
    def _chunk_cells(self) -> dict[str, Cells]:
        return self._read("chunks.arrow", open_columns)

    @cached_property
    def _spans(self) -> Spans:
        return Spans(self._document_cells)

    @cached_property
    def _positions(self) -> dict[str, Cells]:
        return with_prefix(self._document_cells, POSITION)

    @cached_property
    def _fields(self) -> dict[str, Cells]:
        return with_prefix(self._document_cells, METADATA)

    @cached_property
    def _texts(self) -> Cells:
        return self._chunk_cells["text"]

    @cached_property
    def _owners(self) -> Cells:
        return self._chunk_cells["document"]

    @cached_property
    def _titles(self) -> Cells:
        return self._document_cells["title"]

    def find_keys(self, wanted: sorted_keys.Keys) -> tuple[sorted_keys.Rows, sorted_keys.Rows]:
        """(i, chunk row) for every row whose key is `wanted[i]`."""
        return sorted_keys.find(self._sorted_keys, self.orders[0], self.keys, wanted)

    def find_embedded(self, wanted: sorted_keys.Keys) -> tuple[sorted_keys.Rows, sorted_keys.Rows]:
        """(i, chunk row) for every row that embedded `wanted[i]`."""
        return sorted_keys.find(self._sorted_embedded, self.orders[1], self.embedded, wanted)

    def find_documents(self, wanted: sorted_keys.Keys) -> tuple[sorted_keys.Rows, sorted_keys.Rows]:
        """(i, document row) for every version of the document with id `wanted[i]`."""
        if "_sorted_documents" not in self.__dict__:
            self._bisected += len(wanted)
            if self._bisected * _BISECTED_ROWS < self.document_count:
                return sorted_keys.find_few(self.orders[2], self.document_ids, wanted)
        return sorted_keys.find(self._sorted_documents, self.orders[2], self.document_ids, wanted)

    def roots(self, chunks: sorted_keys.Rows, documents: sorted_keys.Rows) -> Roots:
        """The roots of these chunk rows and document rows."""
        from vecver.repo.rows import schema
        from vecver.repo.rows.root_rows import chunk_lanes, document_lanes
        from vecver.repo.rows.roots import Roots, lanes_of_matrix

        content = document_lanes(self.documents, documents) + chunk_lanes(self.chunks, chunks)
        vector = Roots.empty().vector
        for start in range(0, len(chunks), BLOCK_ROWS):
            block = chunks[start : start + BLOCK_ROWS]
            vector = vector + lanes_of_matrix(schema.vector_bytes(self.keys[block], self.vectors[block]))
        return Roots(content, vector)

    @cached_property
    def orders(self) -> list[npt.NDArray[np.uint32]]:
        """The rows of `keys`, `embedded` and `document_ids`, each sorted by `sorted_keys.prefixes`."""
        n = self.chunk_count
        return np.split(self._read("lookup.npy", array_of), [n, 2 * n])

    def listing_documents(self, row: int) -> list[int] | None:
        """The document rows that list a chunk row; None while that is not worth knowing, see `listed_by`."""
        if "_listed_by" not in self.__dict__:
            self._lookups += 1
            if self._lookups * _LISTED_ROWS < self.chunk_count:
                return None
        return self._listed_by(row)

    @cached_property
    def _listed_by(self) -> ListedBy:
        from vecver.repo.rows.listed_by import listed_by

        offsets, listed = self._document_cells["chunks"].lists()
        return listed_by(offsets, listed, self.keys, self.find_keys)

    @cached_property
    def document_codes(self) -> DocumentCodes:
        """A code for each document that its chunks name."""
        from vecver.repo.rows.document_codes import document_codes

        return document_codes(self.chunks, self.documents, self.document_ids)

    def keep_row_codes(self, row_codes: Any) -> Any:
        """Keeps these unless another thread was faster; returns what is kept."""
        return self.__dict__.setdefault("row_codes", row_codes)

    @cached_property
    def _sorted_keys(self) -> npt.NDArray[np.uint64]:
        return sorted_keys.prefixes(self.keys)[self.orders[0]]

    @cached_property
    def _sorted_embedded(self) -> npt.NDArray[np.uint64]:
        return sorted_keys.prefixes(self.embedded)[self.orders[1]]

    @cached_property
    def _sorted_documents(self) -> npt.NDArray[np.uint64]:
        return sorted_keys.prefixes(self.document_ids)[self.orders[2]]

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(len(buffer) for buffer in self._mapped.values())

    def verify(self, files: Sequence[str] = FILES) -> None:
        """Raises IntegrityError unless these mapped files have the content that was written."""
        for file in files:
            buffer = self._mapped[file]
            if hashlib.sha256(buffer).hexdigest() != self.manifest["files"][file]["sha256"]:
                raise objects.mismatch(path_of(self.id, file))

    @property
    def nbytes(self) -> int:
        """Memory that it holds beside its mapped files."""
        held = ("_sorted_keys", "_sorted_embedded", "_sorted_documents", "_listed_by", "document_codes", "row_codes")
        return sum(self.__dict__[name].nbytes for name in held if name in self.__dict__)

    def _map_files(self) -> Mapping[str, memoryview]:
        return {file: self._map(file) for file in FILES}

    def _map(self, file: str) -> memoryview:
        """A file, mapped; its content is not read yet. Raises NotFoundError, IntegrityError (another size)."""
        name, expected = path_of(self.id, file), self.manifest["files"][file]["bytes"]
        buffer = memoryview(self._store.map(name, fixed=True))
        if len(buffer) != expected:
            raise IntegrityError(
                f"{name} has {len(buffer)} bytes, not {expected}",
                code="wrong_size",
                hint=check_first("restore the file from a copy of the repository"),
                name=name,
            )
        return buffer

    def _read(self, file: str, decode: Callable[[memoryview], Any]) -> Any:
        """A mapped file, decoded. Raises IntegrityError."""
        try:
            return decode(self._mapped[file])
        except (OSError, TypeError, NotImplementedError, *MALFORMED) as error:  # pyarrow's too
            raise objects.malformed(path_of(self.id, file)) from error


def segment_ids(store: Store) -> Iterator[str]:
    """Every sealed segment on the store, whether a layout names it or not; sorted."""
    return (name.split("/")[1] for name in store.list("segments/") if name.endswith("/segment.json"))


def table_of(buffer: memoryview) -> pa.Table:
    """The table in the bytes of an .arrow file."""
    import pyarrow as pa

    return pa.ipc.open_file(buffer).read_all()
