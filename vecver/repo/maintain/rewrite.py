"""Rewriting segments: copies live rows into fewer segments and points commits at the copies. No commit id changes.

    write     copy the rows that any of the commits lists; nothing names the copies yet
    prove     check that every commit's new layout gives the commit's roots (or `compare`: each row with its copy)
    switch    swap each commit's layout, and let the old segments go where no other commit names them

If it stops anywhere, each commit has its old layout or its new one, and both are right.

Decisions
1. Sources are named by id and opened one after the other: 10,000 open segments would be 40,000 mapped files.
2. Equal rows are copied once. A fold leaves rows where earlier commits name them, so `optimize` meets each row once
   for every size class that it passed through. Rows whose key or document id comes up once cannot be equal to others;
   the rest are told apart by a digest of all that they hold, in some 150 bytes a row of memory. Computing the digest of
   every row took most of a fold: 100 us a document.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vecver.digest import digest, key
from vecver.errors import ConflictError, IntegrityError, NotFoundError, check_first
from vecver.progress import Progress
from vecver.repo.maintain import trash
from vecver.repo.maintain.naming import confirm, naming
from vecver.repo.objects import load_commit
from vecver.repo.rows.layout import Layout, Live, encoded_layout, layout_path, mask_of, parse_layout, rows_of
from vecver.repo.rows.proof import Proof
from vecver.repo.rows.schema import document_bytes, taken
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.segment_files import TABLES, unit_of
from vecver.repo.rows.segment_writer import MAX_ROWS, SegmentWriter
from vecver.repo.rows.sorted_keys import prefixes
from vecver.repo.write.vector_tables import remember
from vecver.store import Store

if TYPE_CHECKING:
    import pyarrow as pa
    from pyroaring import BitMap

_BLOCK_ROWS = 16384  # copied at once
_GONE = -1
_NO_PREFIXES = np.zeros(0, np.uint64)

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Prefixes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Moved:
    """The new row of each row of an old segment; -1 where it was not copied."""

    target: int  # number among the new segments
    chunks: Rows
    documents: Rows


@dataclass
class _Copies:
    """The rows that were copied into the segment being written."""

    count: int = 0
    rows: dict[bytes, int] = field(default_factory=dict)  # of rows that may come again: digest -> new row

    def place(self, may_repeat: Flags, digests: Iterable[bytes]) -> tuple[Rows, Rows]:
        """(numbers of the rows to copy, new row of each row). `digests`: of the rows that `may_repeat`, in order."""
        fresh, first, repeated = np.ones(len(may_repeat), bool), dict[bytes, int](), list[tuple[int, bytes]]()
        for number, row_digest in zip(np.flatnonzero(may_repeat).tolist(), digests, strict=True):
            if row_digest in self.rows or row_digest in first:
                fresh[number] = False
                repeated.append((number, row_digest))
            else:
                first[row_digest] = number
        places = self.count + np.cumsum(fresh) - 1
        self.rows.update((row_digest, int(places[number])) for row_digest, number in first.items())
        for number, row_digest in repeated:
            places[number] = self.rows[row_digest]
        self.count += int(fresh.sum())
        return np.flatnonzero(fresh), places


class Rewrite:
    """One rewrite: the live rows of the segments `sources` move into new segments, for `commits`.

    `exhaustive`: no other commit names the sources, so gc may delete them afterwards.
    """

    def __init__(
        self, store: Store, commits: Sequence[str], sources: Sequence[str], *, exhaustive: bool = False
    ) -> None:
        self.commits = tuple(commits)
        self._exhaustive = exhaustive
        self.sources = tuple(sources)
        self.segments: list[Segment] = []  # the new ones, after `write`
        self._store = store
        self._moved: dict[str, Moved] = {}
        self._layout_digests: dict[str, str] = {}  # commit -> digest of the layout whose rows were copied

    def write(self, progress: Progress | None = None) -> None:
        """Copy the rows that are live in any of the commits, in the order of the sources.

        Raises IntegrityError for a damaged source, whose rows would otherwise be sealed under a fresh digest.
        """
        listed = self._listed_rows()
        repeated = self._repeated_prefixes(listed)
        writer: SegmentWriter | None = None
        copies = _Copies(), _Copies()
        try:
            for id in self.sources:
                source = Segment(self._store, id)
                source.verify()
                if writer and writer.chunk_count + source.chunk_count > MAX_ROWS:
                    self.segments.append(writer.seal())
                    writer, copies = None, (_Copies(), _Copies())
                writer = writer or SegmentWriter(self._store, source.space)
                self._copy(source, listed[id], repeated, writer, copies, progress)
            if writer:
                self.segments.append(writer.seal())
        finally:
            if writer:
                writer.discard()
        trash.claim(self._store, [unit_of(segment.id) for segment in self.segments])
        if self.segments:
            remember(self._store, self.segments[0].space, self.segments)

    def prove(self, progress: Progress | None = None) -> None:
        """Check that every new layout gives its commit's roots. Raises IntegrityError; then nothing was changed."""
        opened = {segment.id: segment for segment in self.segments}
        proof = Proof(lambda id: opened.get(id) or opened.setdefault(id, Segment(self._store, id)))
        for id, _, layout in self._unchanged_layouts():
            roots, commit = proof.roots(self._rewritten(layout)), load_commit(self._store, id)
            if (roots.content_root, roots.vector_root) != (commit.content_root, commit.vector_root):
                raise _not_same(f"the rows of commit {id[:12]}")
            if progress:
                progress("versions proved", 1)

    def compare(self) -> None:
        """Check that every copy equals its row. Raises IntegrityError; then nothing was changed."""
        for id in self.sources:
            source, moved = Segment(self._store, id), self._moved[id]
            target = self.segments[moved.target]
            for old, places, new, vectors in (
                (source.chunks, moved.chunks, target.chunks, (source.vectors, target.vectors)),
                (source.documents, moved.documents, target.documents, None),
            ):
                (rows,) = np.nonzero(places != _GONE)
                for start in range(0, len(rows), _BLOCK_ROWS):
                    block = rows[start : start + _BLOCK_ROWS]
                    same = _equal(old, block, new, places[block])
                    if not same or (vectors and vectors[0][block].tobytes() != vectors[1][places[block]].tobytes()):
                        raise _not_same(f"the rows of segment {source.id[:12]}")

    def copied_first(self, segment: Segment) -> Segment | None:
        """The source all of whose rows are the first rows of this new segment, if there is one."""
        for id in self.sources:
            moved = self._moved[id]
            if self.segments[moved.target] is segment:
                in_order = np.array_equal(moved.chunks, np.arange(len(moved.chunks)))
                return Segment(self._store, id) if in_order else None
        return None

    def follow(self, commits: Iterable[str]) -> None:
        """Also switch these commits, made after the rows were copied, if they list only rows that were copied."""
        for id in commits:
            with contextlib.suppress(NotFoundError):
                body = self._store.get(layout_path(id))
                if all(self._covers(live) for live in parse_layout(id, body).segments):
                    self._layout_digests[id] = digest(body)
                    self.commits = (*self.commits, id)

    def switch(self, time: str) -> int:
        """Give each commit its new layout and let the old segments go; how many commits were switched.

        A commit whose layout another process changed since its rows were copied keeps that layout. Raises
        ConflictError if gc deleted the new segments meanwhile; each commit then has its old layout or its new one.
        """
        trash.hold(self._store, [unit_of(segment.id) for segment in self.segments])
        switched = 0
        for id, body, old in self._unchanged_layouts():
            new = self._rewritten(old)
            if new.segments != old.segments:
                switched += self._switch_one(id, body, new)
        new_ids = {segment.id for segment in self.segments}
        old_units = [unit_of(id) for id in self.sources if id not in new_ids]
        (trash.retire if self._exhaustive else trash.renew)(self._store, old_units, time)
        return switched

    # -- within ---------------------------------------------------------------------------------

    def _switch_one(self, id: str, body: bytes, new: Layout) -> bool:
        """Give a commit its new layout; False if another process changed it. Raises ConflictError (gc)."""
        path, encoded = layout_path(id), encoded_layout(id, new)
        hold = partial(trash.hold, self._store, [unit_of(live.segment) for live in new.segments])
        with naming(self._store) as still:
            hold()
            try:
                self._store.swap(path, body, encoded)
            except ConflictError:
                return False
            confirm(self._store, still, hold, partial(self._store.swap, path, encoded, body))
        return True

    def _covers(self, live: Live) -> bool:
        """Were all of these rows copied, or do they lie in no source?"""
        moved = self._moved.get(live.segment)
        if moved is None:
            return True
        chunks, documents = moved.chunks[rows_of(live.chunks)], moved.documents[rows_of(live.documents)]
        return bool((chunks != _GONE).all() and (documents != _GONE).all())

    def _layouts(self) -> Iterator[tuple[str, bytes, Layout]]:
        """(commit, stored bytes, layout) as they are now; a commit that gc forgot meanwhile is left out."""
        for id in self.commits:
            with contextlib.suppress(NotFoundError):
                body = self._store.get(layout_path(id))
                yield id, body, parse_layout(id, body)

    def _unchanged_layouts(self) -> Iterator[tuple[str, bytes, Layout]]:
        """Those whose layout is the one whose rows were copied."""
        return (
            (id, body, layout) for id, body, layout in self._layouts() if self._layout_digests.get(id) == digest(body)
        )

    def _listed_rows(self) -> dict[str, tuple[Rows, Rows]]:
        """Source -> its (chunk rows, document rows) that any commit lists."""
        chunks, documents = ({id: mask_of([]) for id in self.sources} for _ in range(2))
        for id, body, layout in self._layouts():
            self._layout_digests[id] = digest(body)
            for live in layout.segments:
                if live.segment in chunks:
                    chunks[live.segment] |= live.chunks
                    documents[live.segment] |= live.documents
        return {id: (rows_of(chunks[id]), rows_of(documents[id])) for id in chunks}

    def _repeated_prefixes(self, listed: dict[str, tuple[Rows, Rows]]) -> tuple[Prefixes, Prefixes]:
        """The prefixes of chunk keys and of document ids that come up more than once among the listed rows."""
        keys, ids = [_NO_PREFIXES], [_NO_PREFIXES]
        for id in self.sources:
            source, (chunks, documents) = Segment(self._store, id), listed[id]
            source.verify(TABLES)  # decoding a damaged table may end the process
            keys.append(prefixes(source.keys[chunks]))
            ids.append(prefixes(source.document_ids[documents]))
        return _repeated(np.concatenate(keys)), _repeated(np.concatenate(ids))

    def _copy(
        self,
        source: Segment,
        rows: tuple[Rows, Rows],
        repeated: tuple[Prefixes, Prefixes],
        writer: SegmentWriter,
        copies: tuple[_Copies, _Copies],
        progress: Progress | None,
    ) -> None:
        """Add the rows that were not copied yet; of equal rows, which folds leave, one is enough."""
        chunks, documents = rows
        may_repeat = np.isin(prefixes(source.document_ids[documents]), repeated[1])
        fresh, document_places = copies[1].place(may_repeat, _document_digests(source, documents[may_repeat]))
        writer.add(taken(source.documents, documents[fresh]), source.chunks.slice(0, 0), source.vectors[:0])
        chunk_places = [np.zeros(0, np.int64)]
        for start in range(0, len(chunks), _BLOCK_ROWS):
            block = chunks[start : start + _BLOCK_ROWS]
            may_repeat = np.isin(prefixes(source.keys[block]), repeated[0])
            fresh, places = copies[0].place(may_repeat, _chunk_digests(source, block[may_repeat]))
            chunk_places.append(places)
            writer.add(None, taken(source.chunks, block[fresh]), source.vectors[block[fresh]])
            if progress:
                progress("rows copied", len(block))
        self._moved[source.id] = Moved(
            len(self.segments),
            _places(chunks, source.chunk_count, np.concatenate(chunk_places)),
            _places(documents, source.document_count, document_places),
        )

    def _rewritten(self, layout: Layout) -> Layout:
        """The same rows in their new places."""
        lives: dict[str, Live] = {}
        for live in layout.segments:
            moved = self._moved.get(live.segment)
            if moved is None:
                lives[live.segment] = live
                continue
            target = self.segments[moved.target]
            chunks, documents = _moved(moved.chunks, live.chunks), _moved(moved.documents, live.documents)
            if before := lives.get(target.id):
                chunks, documents = chunks | before.chunks, documents | before.documents
            lives[target.id] = Live(target.id, chunks, documents, target.chunk_count, target.document_count)
        return Layout(tuple(lives.values()), layout.roots, layout.sketch)


def _repeated(values: Prefixes) -> Prefixes:
    """The values that come up more than once, sorted."""
    distinct, counts = np.unique(values, return_counts=True)
    return distinct[counts > 1]


def _places(rows: Rows, count: int, targets: Rows) -> Rows:
    places = np.full(count, _GONE, np.int64)
    places[rows] = targets
    return places


def _chunk_digests(source: Segment, rows: Rows) -> Iterator[bytes]:
    """A digest of each chunk row: its key (of document and text), what was embedded, and the bits of the vector."""
    vectors = np.ascontiguousarray(source.vectors[rows], "<f4")
    columns = zip(source.keys[rows], source.embedded[rows], vectors, strict=True)
    return (key(row_key.tobytes(), embedded.tobytes(), vector.tobytes()) for row_key, embedded, vector in columns)


def _document_digests(source: Segment, rows: Rows) -> Iterator[bytes]:
    """A digest of all columns of each document row. Rows of a segment without chunks never count as equal."""
    if not source.chunk_count:
        yield from (key(source.id.encode(), str(row).encode()) for row in rows)
        return
    picked = taken(source.documents.select(["source", "recipe"]), rows)
    columns = (picked.column(name).to_pylist() for name in ("source", "recipe"))
    for label, recipe, content in zip(*columns, document_bytes(source.documents, rows.tolist()), strict=True):
        yield key(label.encode("utf-8", "surrogatepass"), recipe, content)


def _moved(places: Rows, mask: BitMap) -> BitMap:
    """A mask of old rows as a mask of their new rows."""
    rows = places[rows_of(mask)]
    if (rows == _GONE).any():
        raise _not_same("a row that a version lists was not copied: rows")
    return mask_of(rows)


def _equal(old: pa.Table, rows: Rows, new: pa.Table, places: Rows) -> bool:
    """Are these rows equal? A column that only the new table has must be empty in them."""
    copies = taken(new, places)
    extra = [name for name in new.column_names if name not in old.column_names]
    return taken(old, rows).equals(copies.select(old.column_names)) and all(
        copies.column(name).null_count == len(copies) for name in extra
    )


def _not_same(what: str) -> IntegrityError:
    return IntegrityError(
        f"{what} did not come out as they were; nothing was changed",
        code="relay_failed",
        hint=check_first("restore what it names from a copy of the repository: a segment may be damaged"),
    )
