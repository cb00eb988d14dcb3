"""A draft: the next version of a dataset while it is being made. Nobody sees it before its commit.

    stage, add   new documents and chunk rows stream into a new segment; rows of the parent that they replace die
    remove       documents of the parent die
    close        the new segments become durable
    adopt        rows that other processes wrote join them: each has a draft of its own and `hand_over`s its segments
    layout       where the rows of the new version lie, and their roots

Rows that stay keep their place in the parent's segments. Vectors that the caller computes are saved with `keep`
until the new segment is durable, so that the ingest after an interrupted one need not compute them again
(`repo.write.known_vectors`). If another version lands first, `onto` applies the draft to that one (`repo.landing`).

Decisions
1. A chunk row is reused if its key and the digest of what was embedded are both equal. So an edit that was taken
   back revives the old row, and a chunk whose surroundings changed what is embedded is written again under its key.
2. `onto` looks up every reused row by its key, because the other parent may lie on other segments after a fold or
   an optimize. A revived row that it lacks is copied from the segment where this draft saw it.
3. The sketch of the new version is the parent's with the sketch of the rows that came and went. A parent that an older
   vecver wrote has none; then all rows are counted, once, if they are at most UNCOUNTED_ROWS, which takes 0.2 s. Later
   commits go on from there. Of a larger version `drift` counts them, when it is first asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyroaring import BitMap

from vecver.errors import InvalidInputError, NotFoundError
from vecver.model import Space, Vectors
from vecver.repo import objects
from vecver.repo.read.documents import KnownDocument, known_documents, rows_of_documents
from vecver.repo.read.snapshot import Snapshot
from vecver.repo.rows import schema
from vecver.repo.rows.layout import Layout, Live, mask_of, rows_of
from vecver.repo.rows.roots import Roots
from vecver.repo.rows.row_sums import RowSums, counted_sketch
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.segment_writer import MAX_ROWS, SegmentWriter
from vecver.repo.rows.sketched import SegmentRows
from vecver.repo.rows.sorted_keys import Keys
from vecver.repo.write.known_vectors import PART_ROWS, KnownVectors
from vecver.repo.write.new_rows import NewChunks, NewDocument, NewRows, document_ids
from vecver.sketching import Sketch
from vecver.store import Store


@dataclass
class _Change:
    """What happens to the rows of one segment of the parent."""

    died: BitMap = field(default_factory=BitMap)
    reused: BitMap = field(default_factory=BitMap)
    died_documents: BitMap = field(default_factory=BitMap)


@dataclass(frozen=True)
class WrittenRows:
    """A durable segment that no version names yet, and the sums of its rows."""

    segment: str  # its id
    sums: RowSums


class Draft:
    """See the module. `parent`: the version it starts from, None for the first one; a `dry` draft writes nothing."""

    def __init__(
        self,
        store: Store,
        parent: Snapshot | None,
        space: Space,
        *,
        part_rows: int = PART_ROWS,
        verify: Callable[[Segment], None] = Segment.verify,
        dry: bool = False,
    ) -> None:
        self._store = store
        self._dry = dry
        self._parent = parent
        self.space = space
        same_space = parent is not None and parent.commit.recipe.space.id == space.id
        self._reusable = parent.segments if parent and same_space else ()
        self._changes = [_Change() for _ in (parent.segments if parent else ())]
        self._vectors = KnownVectors(store, space, self._reusable, verify, part_rows)
        self._writer: SegmentWriter | None = None
        self._segments: list[Segment] = []  # new ones
        self._sums: dict[str, RowSums] = {}  # of the new segments
        self.removed: list[str] = []  # documents
        self.complete_sources: set[str] = set()  # sources whose missing documents it removes

    # -- changing -------------------------------------------------------------------------------

    def stage(self, documents: Sequence[NewDocument] | NewRows) -> NewChunks:
        """Replace these documents by new versions; returns the chunk rows that must be `add`ed."""
        rows = documents if isinstance(documents, NewRows) else NewRows.of(documents)
        ids, keys, embedded = (
            schema.keys_array(column)
            for column in (rows.documents.column("id"), rows.chunks.column("key"), rows.chunks.column("embedded"))
        )
        new = np.flatnonzero(self.replace(ids, keys, embedded))
        if not self._dry:
            self._write(rows.documents, schema.CHUNKS.empty_table(), self._no_vectors())
        return NewChunks(schema.taken(rows.chunks, new), new)

    def replace(self, ids: Keys, keys: Keys, embedded: Keys) -> npt.NDArray[np.bool_]:
        """Replace documents by versions whose rows are written elsewhere: `stage` without writing.

        `ids`: of the documents, `(m, 16)`; `keys` and `embedded`: of all their chunks, `(n, 16)`. Returns which of
        the chunks must be written, `(n,)`; the parent's segments hold the others. What is written is then `adopt`ed.
        """
        self._retire(ids)
        return ~self._reuse(keys, embedded)

    def add(self, chunks: NewChunks, vectors: Vectors) -> None:
        """Write staged rows with their vectors, `(len(chunks), dim)` float32. Raises InvalidInputError for others."""
        if vectors.shape != (len(chunks), self.space.dim) or not np.isfinite(vectors).all():
            raise InvalidInputError(
                f"vectors {vectors.shape} cannot be those of {len(chunks)} chunks in {self.space.dim} dimensions",
                code="invalid_vectors",
                hint="look for NaN, infinity or another dimension in what the embedder gives",
            )
        writer = self._write(None, chunks.table, vectors)
        if writer.chunk_count >= MAX_ROWS:
            self._end_segment()

    def remove(self, documents: Sequence[str], complete_sources: Iterable[str]) -> None:
        """Remove these documents of the parent: of each of the `complete_sources` all that it no longer has."""
        self._retire(document_ids(documents))
        self.removed += documents
        self.complete_sources.update(complete_sources)

    # -- vectors --------------------------------------------------------------------------------

    def vectors_of(self, embedded: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors already known in this space, `(dim,)` each, by the digest of what was embedded."""
        return self._vectors.find(embedded)

    def keep(self, vectors: Mapping[bytes, Vectors]) -> None:
        """Save vectors that were computed, `(dim,)` each, by the digest of what was embedded, for a later ingest."""
        self._vectors.save(vectors)

    def seal(self) -> None:
        """Make the vectors computed so far durable."""
        self._vectors.seal()

    def discard(self) -> None:
        """Give the draft up. Sealed vectors stay for the next ingest."""
        if self._writer:
            self._writer.discard()
            self._writer = None

    # -- several writers ------------------------------------------------------------------------

    def hand_over(self) -> list[WrittenRows]:
        """Make the rows written so far durable, for the draft of another process to `adopt`; this one goes on empty.

        Until they are committed nothing names them but the tables of vectors, so that none is computed again.
        """
        self._end_segment()
        self._vectors.committed(self._segments)
        segments, self._segments = self._segments, []
        return [WrittenRows(segment.id, self._sums.pop(segment.id)) for segment in segments]

    def adopt(self, written: Sequence[WrittenRows]) -> None:
        """Take over rows that the draft of another process wrote on the same store."""
        for rows in written:
            if rows.segment not in self._sums:  # equal rows, written twice, are one segment
                self._segments.append(Segment(self._store, rows.segment))
                self._sums[rows.segment] = rows.sums

    # -- finishing ------------------------------------------------------------------------------

    def kept(self) -> tuple[int, int]:
        """(chunk rows of the parent that stay live or are revived, chunk rows of it that die), so far."""
        live = dead = 0
        for old, change in zip(self._parent.layout.segments if self._parent else (), self._changes, strict=True):
            chunks = (old.chunks - change.died) | change.reused
            live, dead = live + len(chunks), dead + len(old.chunks - chunks)
        return live, dead

    def finish(self) -> tuple[Layout, int]:
        """Close the draft; the layout of the new version, and how many chunk rows of the parent died."""
        self.close()
        return self.layout()

    def close(self) -> None:
        """Make all new rows durable; from now on the draft can only be laid out."""
        self._end_segment()
        self._vectors.committed(self._segments)

    def layout(self) -> tuple[Layout, int]:
        """As `finish`, of a draft that is closed."""
        lives, gained, removed = self._parent_rows()
        for segment in self._segments:
            lives.append(Live.whole(segment.id, segment.chunk_count, segment.document_count))
            gained = gained + self._sums[segment.id]
        layout = Layout(tuple(live for live in lives if live.chunks or live.documents), gained.roots)
        return changed(layout, sketch=self._sketch(layout, gained.sketch)), removed

    def _sketch(self, layout: Layout, sketch: Sketch) -> Sketch | None:
        """The sketch of a layout, which is `sketch` if the parent has one; else it is counted, if the rows are few."""
        if self._parent is None or self._parent.layout.sketch:
            return sketch if sketch.is_of(layout.chunk_count, layout.document_count) else None
        return counted_sketch(layout, (*self._parent.segments, *self._segments))

    def onto(self, head: Snapshot) -> Draft:
        """The change of this closed draft as a change of `head`. `repo.landing` checks before whether it may be."""
        other = Draft(self._store, head, self.space)
        other._segments, other._sums = list(self._segments), self._sums
        other._retire(document_ids(self.removed))
        for segment in self._segments:
            other._retire(segment.document_ids)
        try:
            for old, change in zip(self._reusable, self._changes, strict=False):
                rows = rows_of(change.reused)
                lost = rows[~other._reuse(old.keys[rows], old.embedded[rows])]
                if len(lost):
                    other._write(None, schema.taken(old.chunks, lost), old.vectors[lost])
            other._end_segment()
        finally:
            other.discard()
        return other

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments that it wrote."""
        return tuple(self._segments)

    def written(self, documents: Sequence[str]) -> dict[str, KnownDocument]:
        """Those of these documents of which it wrote a new version."""
        ids = document_ids(documents)
        return {
            name: document
            for segment in self._segments
            for name, document in known_documents(segment, segment.find_documents(ids)[1])
        }

    # -- within ---------------------------------------------------------------------------------

    def _parent_rows(self) -> tuple[list[Live], RowSums, int]:
        """The parent's rows that are live in the new version, their sums, and how many of its chunk rows died."""
        if not self._parent:
            return [], RowSums(Roots.empty(), Sketch.empty()), 0
        parent, lives, removed = self._parent, list[Live](), 0
        gone, back = list[SegmentRows](), list[SegmentRows]()
        sums = RowSums(parent.layout.roots, parent.layout.sketch or Sketch.empty())
        for old, change, segment in zip(parent.layout.segments, self._changes, parent.segments, strict=True):
            chunks, documents = (old.chunks - change.died) | change.reused, old.documents - change.died_documents
            new = Live(old.segment, chunks, documents, old.chunk_count, old.document_count)
            lives.append(new)
            if new != old:
                dead, revived = old.chunks - chunks, chunks - old.chunks
                gone.append((segment, rows_of(dead), rows_of(old.documents - documents)))
                back.append((segment, rows_of(revived), rows_of(BitMap())))
                removed += len(dead)
        return lives, sums - RowSums.of(gone) + RowSums.of(back) if gone else sums, removed

    def _retire(self, ids: Keys) -> None:
        """The parent's documents with these ids, and their chunks, die."""
        if not self._parent or not len(ids):
            return
        documents, chunks = rows_of_documents(self._parent, ids)
        for number, mask in documents.items():
            self._changes[number].died_documents |= mask
        for number, mask in chunks.items():
            self._changes[number].died |= mask

    def _reuse(self, keys: Keys, embedded: Keys) -> npt.NDArray[np.bool_]:
        """Keep or revive the rows of the parent's segments that hold these chunks; which were there, `(n,)` bool."""
        reused = np.zeros(len(keys), bool)
        for number, segment in enumerate(self._reusable):
            (missing,) = np.nonzero(~reused)
            which, rows = segment.find_keys(keys[missing])
            same = (segment.embedded[rows] == embedded[missing[which]]).all(axis=1)
            which, first = np.unique(which[same], return_index=True)
            self._changes[number].reused |= mask_of(rows[same][first])
            reused[missing[which]] = True
        return reused

    def _write(self, documents: pa.Table | None, chunks: pa.Table, vectors: Vectors) -> SegmentWriter:
        self._writer = self._writer or SegmentWriter(self._store, self.space)
        self._writer.add(documents, chunks, vectors)
        return self._writer

    def _end_segment(self) -> None:
        writer, self._writer = self._writer, None
        if writer and (writer.chunk_count or writer.document_count):
            try:
                segment = writer.seal()
            except NotFoundError as error:  # gc deleted what a stopped writer had just written: nothing named it yet
                raise objects.collected([str(error.context.get("name"))]) from error
            self._segments.append(segment)
            rows = segment, np.arange(segment.chunk_count), np.arange(segment.document_count)
            self._sums[segment.id] = RowSums.of([rows])
        elif writer:
            writer.discard()

    def _no_vectors(self) -> Vectors:
        return np.zeros((0, self.space.dim), np.float32)
