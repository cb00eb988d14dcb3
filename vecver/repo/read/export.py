"""Export: writes a version's rows as files that anyone can read, and opens such files as a snapshot. Knows no index.

    commit.json        canonical JSON; its sha256 is the commit's id
    environment.json   the libraries and the machine that made the commit
    layout.json        counts, the order of the rows, and the lanes of both roots
    documents.parquet  id · document · digest · media_type · title · chunks · metadata.* · position.*
    chunks.parquet     key · document · start · end · text · page · sheet · line · headings · header · title ·
                       metadata.*
    vectors.npy        (n, dim) float32; row i is chunk i

Documents are ordered by name (UTF-8 bytes), chunks by document and then in reading order, so the next `chunks` rows of
chunks.parquet are those of the next document. Columns of `position.*` (`repo.rows.positions`), and the five columns
that show them beside every chunk, are left out if no document of the version has a value in them.

Decisions
1. The files hold what the roots cover and nothing else (no source label, no recipe, no field that only dead rows have),
   in an order that follows from the content: equal roots give equal files, whatever the history and the layout. (With
   one pyarrow; another may encode Parquet otherwise.)
2. Title, metadata, page, sheet, line, headings and header stand beside every chunk too, where DuckDB, pandas and
   pyarrow filter by them without a join; repeated values cost almost nothing. vecver reads them from the documents.
3. The files of the segments are hashed before a row is read. Otherwise an export would seal damaged rows under fresh
   checksums, and Arrow files with a changed byte crash the process that decodes them. Proving the roots from the rows
   as well took 8 s for 200,000 documents of one chunk where everything else takes 1.5 s (two busy cores); `check`
   does it, in the repository and in the export.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vecver.digest import canonical_json
from vecver.errors import IntegrityError, check_first
from vecver.model import Commit, Vectors
from vecver.progress import Progress
from vecver.repo import objects
from vecver.repo.read.snapshot import Snapshot
from vecver.repo.rows import schema
from vecver.repo.rows.cells import POSITION, Cells
from vecver.repo.rows.layout import Layout, Live
from vecver.repo.rows.npy_file import array_of
from vecver.repo.rows.positions import FIELDS, chunk_columns, column_type
from vecver.repo.rows.root_rows import chunk_lanes, document_lanes
from vecver.repo.rows.roots import Roots, lanes_of_matrix
from vecver.repo.rows.schema import KEY, keys_array, taken
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.sorted_keys import Keys, Rows, order_of
from vecver.repo.rows.table_cells import table_columns
from vecver.store.mapping import map_file

ROW_FILES: tuple[str, ...] = (
    "chunks.parquet",
    "commit.json",
    "documents.parquet",
    "environment.json",
    "layout.json",
    "vectors.npy",
)
BLOCK_ROWS = 16384  # rows in memory at once, and in a row group
ORDER = "document name, then reading order"
_DOCUMENT = {"id": KEY, "document": pa.string(), "digest": pa.binary(32), "media_type": pa.string()}
_CHUNK = {"key": KEY, "document": pa.string(), "start": pa.int32(), "end": pa.int32(), "text": pa.string()}


# -- writing ------------------------------------------------------------------------------------


def write_rows(snapshot: Snapshot, folder: Path, progress: Progress | None = None) -> None:
    """Write ROW_FILES of a version into `folder`, a block of rows at a time.

    Raises IntegrityError if a file of its segments was changed, or its rows are not those of the commit.
    """
    for segment in snapshot.segments:
        segment.verify()
    commit, plan, roots = snapshot.commit, _plan(snapshot), snapshot.layout.roots
    stored = (roots.content_root, roots.vector_root, len(plan.documents), len(plan.keys))
    if stored != (commit.content_root, commit.vector_root, commit.counts["documents"], commit.counts["chunks"]):
        raise _other_rows(commit)
    _write_documents(snapshot, plan, folder)
    _write_chunks(snapshot, plan, folder, progress)
    layout = {"format": objects.FORMAT, "commit": commit.id, **commit.counts, "order": ORDER}
    (folder / "commit.json").write_bytes(canonical_json(commit.to_json()))
    (folder / "environment.json").write_bytes(canonical_json(commit.environment))
    (folder / "layout.json").write_bytes(canonical_json({**layout, **roots.to_json()}))


@dataclass(frozen=True)
class _Plan:
    """Where every row of a version lies, in the order of the files."""

    documents: Rows  # (m,) rows of the document tables one after the other
    counts: npt.NDArray[np.int64]  # (m,) chunks of each document
    keys: Keys  # (n, 16)
    spans: pa.Table  # n rows: start, end
    metadata: pa.Schema  # the fields that live documents have
    positions: pa.Schema  # the position columns of documents in which a live one has a value
    position_blocks: Callable[[slice], dict[str, pa.Array]]  # reads the position columns of a slice of the n chunks

    @property
    def position_fields(self) -> list[tuple[str, pa.DataType]]:
        """The columns of chunks that show the positions."""
        return _position_fields(self.positions.names)

    @cached_property
    def owners(self) -> Rows:
        """The document of each chunk, `(n,)`."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


def _stacked(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of tables one after the other, null where a table lacks a column."""
    return pa.concat_tables(tables, promote_options="default") if tables else pa.table({})


def _plan(snapshot: Snapshot) -> _Plan:
    bases = np.cumsum([0, *(segment.document_count for segment in snapshot.segments)])
    places = [bases[number] + rows for number, rows in snapshot.document_rows()]
    table = snapshot.documents(["document", "chunks", "starts", "ends"])
    order = pc.sort_indices(table.column("document"))
    documents = np.concatenate([np.zeros(0, np.int64), *places])[np.asarray(order)]
    positions = pa.schema(list(snapshot.positions.items()))
    table = table.select(["chunks", "starts", "ends"]).take(order)
    spans = {"start": pc.list_flatten(table.column("starts")), "end": pc.list_flatten(table.column("ends"))}
    return _Plan(
        documents=documents,
        counts=np.asarray(pc.list_value_length(table.column("chunks")), np.int64),
        keys=keys_array(pc.list_flatten(table.column("chunks"))),
        spans=pa.table(spans),
        metadata=pa.schema(list(snapshot.metadata.items())),
        positions=positions,
        position_blocks=_position_blocks(snapshot, documents, positions.names),
    )


def _position_blocks(snapshot: Snapshot, documents: Rows, names: list[str]) -> Callable[[slice], dict[str, pa.Array]]:
    """Reads what the chunks of these documents show of their positions, block by block."""
    if not names:
        return lambda block: {}
    table = _stacked([_only(segment.documents, {"chunks", *names}) for segment in snapshot.segments])
    return chunk_columns(taken(table, documents), [field for field, _ in _position_fields(names)])


def _position_fields(names: Sequence[str]) -> list[tuple[str, pa.DataType]]:
    """The columns of chunks that show these position columns of documents."""
    return [(field, column_type(field)) for field in FIELDS if POSITION + field in names]


def _write_documents(snapshot: Snapshot, plan: _Plan, folder: Path) -> None:
    """documents.parquet."""
    schema = pa.schema(
        [*_DOCUMENT.items(), ("title", pa.string()), ("chunks", pa.int32()), *plan.metadata, *plan.positions]
    )
    table = _stacked([_only(segment.documents, {*schema.names} - {"chunks"}) for segment in snapshot.segments])
    with closing(_parquet(folder / "documents.parquet", schema)) as file:
        for start in range(0, len(plan.documents), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            rows = taken(table, plan.documents[block])
            rows = rows.append_column("chunks", pa.array(plan.counts[block], pa.int32()))
            file.write_table(rows.select(schema.names))


def _write_chunks(snapshot: Snapshot, plan: _Plan, folder: Path, progress: Progress | None) -> None:
    """chunks.parquet and vectors.npy."""
    schema = pa.schema([*_CHUNK.items(), *plan.position_fields, ("title", pa.string()), *plan.metadata])
    shape = (len(plan.keys), snapshot.commit.recipe.space.dim)
    with closing(_parquet(folder / "chunks.parquet", schema)) as file, open(folder / "vectors.npy", "wb") as raw:
        np.lib.format.write_array_header_1_0(raw, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for table, vectors in _chunk_blocks(snapshot, plan):
            file.write_table(table.select(schema.names))
            raw.write(vectors.data)
            if progress:
                progress("chunks", len(table))


def _chunk_blocks(snapshot: Snapshot, plan: _Plan) -> Iterator[tuple[pa.Table, Vectors]]:
    """(chunk rows with the columns of their documents, their vectors `(n, dim)` little-endian float32), by blocks."""
    texts = _stacked([segment.chunks.select(["key", "text"]) for segment in snapshot.segments])
    bases = np.cumsum([0, *(segment.chunk_count for segment in snapshot.segments)])  # where each segment's rows begin
    shown = {"document", "title", *plan.metadata.names}
    documents = _stacked([_only(segment.documents, shown) for segment in snapshot.segments])
    for start in range(0, len(plan.keys), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        numbers, rows = snapshot.find_chunks(plan.keys[block])
        if (numbers < 0).any():
            raise _other_rows(snapshot.commit)
        owners, owner_of = np.unique(plan.owners[block], return_inverse=True)
        table = taken(documents, plan.documents[owners]).take(pa.array(owner_of))
        for part in (taken(texts, bases[numbers] + rows), plan.spans.slice(start, BLOCK_ROWS)):
            for name in part.column_names:
                table = table.append_column(name, part.column(name))
        for name, column in plan.position_blocks(block).items():
            table = table.append_column(name, column)
        yield table, _vectors(snapshot, numbers, rows)


def _vectors(snapshot: Snapshot, numbers: Rows, rows: Rows) -> Vectors:
    vectors = np.empty((len(rows), snapshot.commit.recipe.space.dim), "<f4")
    for number in np.unique(numbers):
        in_segment = numbers == number
        vectors[in_segment] = snapshot.segments[number].vectors[rows[in_segment]]
    return vectors


def _only(table: pa.Table, names: set[str]) -> pa.Table:
    return table.select([name for name in table.column_names if name in names])


def _parquet(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    repeated = [name for name in schema.names if name not in ("id", "key", "digest", "text")]
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=repeated)


# -- reading ------------------------------------------------------------------------------------


class ExportedRows(Segment):
    """The files as one segment whose rows are all live. Vectors are mapped; tables are read when first used.

    Texts are read one by one: reading all took 4 s for 1,000,000 (450 MB).
    The files lack what was embedded, so no draft can start from here.
    """

    def __init__(self, folder: Path, commit: Commit, max_norm: float) -> None:
        self.id = commit.id
        self.space = commit.recipe.space
        self.chunk_count = commit.counts["chunks"]
        self.document_count = commit.counts["documents"]
        self.max_norm = max_norm
        self.verdict = None  # its files were verified when the folder was opened
        self._folder = folder
        self._decoded: dict[int, pa.ChunkedArray] = {}  # texts by row group

    @cached_property
    def documents(self) -> pa.Table:
        """As in a segment: the lists of chunks and spans are those of the chunk rows."""
        table = pq.read_table(self._folder / "documents.parquet")
        offsets = pa.array(np.cumsum([0, *np.asarray(table.column("chunks"))]), pa.int32())
        table = table.drop_columns("chunks")
        for name, source in (("chunks", "key"), ("starts", "start"), ("ends", "end")):
            values = self.chunks.column(source).combine_chunks()
            table = table.append_column(name, pa.ListArray.from_arrays(offsets, values))
        return table

    @cached_property
    def chunks(self) -> pa.Table:
        """As in a segment, without the texts."""
        return pq.read_table(self._folder / "chunks.parquet", columns=[name for name in _CHUNK if name != "text"])

    @cached_property
    def _document_cells(self) -> dict[str, Cells]:
        return {**table_columns(self.documents)}

    @cached_property
    def _chunk_cells(self) -> dict[str, Cells]:
        return {**table_columns(self.chunks)}

    def text(self, row: int) -> str:
        """The text of a chunk; its row group is decoded once."""
        group = int(np.searchsorted(self._groups, row, side="right")) - 1
        if group not in self._decoded:
            file = pq.ParquetFile(self._folder / "chunks.parquet", metadata=self._metadata)
            self._decoded[group] = file.read_row_group(group, columns=["text"]).column(0)
        return str(self._decoded[group][int(row - self._groups[group])].as_py())

    def texts(self) -> Iterator[str]:
        """The texts of all chunks, in the order of their rows; a row group is decoded at a time."""
        for block in pq.ParquetFile(self._folder / "chunks.parquet").iter_batches(columns=["text"]):
            yield from block.column(0).to_pylist()

    @cached_property
    def _metadata(self) -> Any:
        return pq.read_metadata(self._folder / "chunks.parquet")

    @cached_property
    def _groups(self) -> Rows:
        """The first row of each row group."""
        sizes = [self._metadata.row_group(number).num_rows for number in range(self._metadata.num_row_groups)]
        return np.cumsum([0, *sizes])[:-1]

    @cached_property
    def vectors(self) -> Vectors:
        return array_of(map_file(self._folder / "vectors.npy"))

    @cached_property
    def orders(self) -> list[npt.NDArray[np.uint32]]:
        return [order_of(self.keys), np.zeros(0, np.uint32), order_of(self.document_ids)]


def open_rows(folder: Path, max_norm: float) -> Snapshot:
    """A snapshot of the files that `write_rows` wrote, whose digests were checked. No vector is longer than `max_norm`.

    Raises IntegrityError if they contradict each other.
    """
    commit = Commit.from_json(objects.known("commit.json", json.loads((folder / "commit.json").read_bytes())))
    layout = objects.known("layout.json", json.loads((folder / "layout.json").read_bytes()))
    roots = Roots.from_json(layout)
    if (commit.content_root, commit.vector_root) != (roots.content_root, roots.vector_root):
        raise _other_rows(commit)
    rows = ExportedRows(folder, commit, max_norm)
    if not (rows.chunk_count or rows.document_count):
        return Snapshot(commit, Layout((), roots), [])
    return Snapshot(commit, Layout((Live.whole(rows.id, rows.chunk_count, rows.document_count),), roots), [rows])


def prove_rows(snapshot: Snapshot, folder: Path, progress: Progress | None = None) -> Iterator[str]:
    """The problems of an opened folder: its rows must give the commit's roots and agree with each other."""
    roots, commit = Roots.empty(), snapshot.commit
    for rows in snapshot.segments:
        names, ids = (rows.documents.column(name).to_pylist() for name in ("document", "id"))
        if [schema.document_id(name) for name in names] != ids:
            yield "documents.parquet: an id is not that of its document"
        for start in range(0, rows.document_count, BLOCK_ROWS):
            roots = roots + _document_roots(rows.documents.slice(start, BLOCK_ROWS))
        for table, vectors, expected in _read_blocks(rows, folder):
            roots = roots + _chunk_roots(table, vectors)
            if not table.select(expected.column_names).equals(expected):
                yield "chunks.parquet: it says of a document what documents.parquet does not"
            if not np.linalg.norm(vectors.astype(np.float64), axis=1).max() <= rows.max_norm:
                yield "vectors.npy: a vector is longer than the manifest says"
            if progress:
                progress("chunks", len(table))
    if roots.content_root != commit.content_root:
        yield f"documents.parquet, chunks.parquet: their rows do not give the content root {commit.content_root[:12]}"
    if roots.vector_root != commit.vector_root:
        yield f"chunks.parquet, vectors.npy: their rows do not give the vector root {commit.vector_root[:12]}"


def _read_blocks(rows: Segment, folder: Path) -> Iterator[tuple[pa.Table, Vectors, pa.Table]]:
    """(chunk rows, their vectors, what their columns must be by documents.parquet), by blocks."""
    start, owners = 0, pc.list_parent_indices(rows.documents.column("chunks").combine_chunks())
    file = pq.ParquetFile(folder / "chunks.parquet")
    described = rows.documents.select(
        [name for name in file.schema_arrow.names if name in rows.documents.column_names]
    ).combine_chunks()
    shown = chunk_columns(rows.documents, [name for name, _ in _position_fields(rows.documents.column_names)])
    for batch in file.iter_batches(BLOCK_ROWS):
        block = slice(start, start + len(batch))
        expected = described.take(owners.slice(start, len(batch)))
        for name, column in shown(block).items():
            expected = expected.append_column(name, column)
        yield pa.Table.from_batches([batch]), rows.vectors[block], expected
        start += len(batch)


def _document_roots(table: pa.Table) -> Roots:
    return Roots(document_lanes(table, np.arange(len(table))), Roots.empty().vector)


def _chunk_roots(table: pa.Table, vectors: Vectors) -> Roots:
    keys = schema.keys_array(table.column("key"))
    return Roots(chunk_lanes(table, np.arange(len(table))), lanes_of_matrix(schema.vector_bytes(keys, vectors)))


# -- both ---------------------------------------------------------------------------------------


def _other_rows(commit: Commit) -> IntegrityError:
    return IntegrityError(
        f"the rows that lie here are not those of commit {commit.id[:12]}",
        code="roots_differ",
        hint=check_first("restore what it names from a copy of the repository"),
        commit=commit.id,
    )
