"""A draft: the next version of a dataset while it is being made; invisible until its commit.

Rows that stay keep lying where they lie, rows that go lose their bit, new rows are written in sealed
*parts* as they come and folded into one segment at the end. A part is an ordinary segment, so the
vectors of an interrupted ingest are found by the next one like all others.

Decisions
- 2026-11-21 a row is the same row if its key *and* what was embedded are equal; so an edit that was
  taken back revives the old row by its bit, and a chunk whose surroundings changed what is embedded
  is written anew under the same key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap

from vecver.errors import NotFoundError
from vecver.model import Json, Space, Vectors
from vecver.repo import rows as columns
from vecver.repo.fold import fold, roots_of
from vecver.repo.layout import Layout, Live, mask_of, rows_of
from vecver.repo.lookup import Keys, as_keys
from vecver.repo.roots import Roots
from vecver.repo.segment import FILES, Segment, SegmentWriter, path_of, segment_ids
from vecver.repo.snapshot import Snapshot
from vecver.store import Store

PART_ROWS = 2048  # a part is sealed at this size: so much embedding can be lost
MAX_ROWS = 1 << 20  # rows of a folded segment


@dataclass(frozen=True)
class NewDocument:
    """A document version to write; the four lists run in parallel, one entry a chunk, in reading order."""

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


@dataclass(frozen=True)
class KnownDocument:
    """What the parent version knows of a document."""

    source: str
    digest: str
    recipe: str


@dataclass(frozen=True)
class NewChunks:
    """Chunk rows that no segment of the parent holds: they need vectors, and are then written."""

    table: pa.Table  # columns CHUNKS
    origin: npt.NDArray[np.int64]  # where each row stands in the flat list of chunks that was staged

    def __len__(self) -> int:
        return len(self.table)

    def slice(self, start: int, count: int) -> NewChunks:
        return NewChunks(self.table.slice(start, count), self.origin[start : start + count])


@dataclass
class _Change:
    """What happens to the rows of one segment of the parent."""

    died: BitMap = field(default_factory=BitMap)
    kept: BitMap = field(default_factory=BitMap)
    died_documents: BitMap = field(default_factory=BitMap)
    seen_documents: BitMap = field(default_factory=BitMap)


class Draft:
    """See the module. `parent` is the version it starts from, None for the first one."""

    def __init__(self, store: Store, parent: Snapshot | None, space: Space, *, part_rows: int = PART_ROWS) -> None:
        self._store = store
        self._parent = parent
        self._space = space
        self._part_rows = part_rows
        same = parent is not None and parent.commit.recipe.space.id == space.id
        self._reusable = parent.segments if parent and same else ()
        self._changes = [_Change() for _ in (parent.segments if parent else ())]
        self._writer: SegmentWriter | None = None
        self._parts: list[Segment] = []
        self._others: list[Segment] | None = None
        self._written: dict[bytes, Vectors] = {}  # of the part being written

    # -- what is already there ------------------------------------------------------------------

    def known(self, documents: Sequence[str]) -> list[KnownDocument | None]:
        """What the parent has of each document; each is counted as seen, so that it will not be removed."""
        if not self._parent or not documents:
            return [None] * len(documents)
        ids = as_keys([columns.document_id(name) for name in documents])
        numbers, rows = self._parent.find_documents(ids)
        found: list[KnownDocument | None] = [None] * len(documents)
        for number in np.unique(numbers[numbers >= 0]):
            (which,) = np.nonzero(numbers == number)
            self._changes[number].seen_documents |= mask_of(rows[which])
            table = self._parent.segments[number].documents.select(["source", "digest", "recipe"])
            for i, row in zip(which, table.take(pa.array(rows[which])).to_pylist(), strict=True):
                found[i] = KnownDocument(row["source"], row["digest"].hex(), row["recipe"].hex())
        return found

    def vectors_of(self, embedded: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors already known in this space, `(dim,)` each, by the digest of what was embedded."""
        found = {name: self._written[name] for name in embedded if name in self._written}
        wanted = [name for name in dict.fromkeys(embedded) if name not in found]
        for segment in [*self._parts, *self._elsewhere()] if wanted else []:
            which, rows = segment.find_embedded(as_keys(wanted))
            found.update({wanted[i]: segment.vectors[row] for i, row in zip(which, rows, strict=True)})
            wanted = [name for name in wanted if name not in found]
            if not wanted:
                break
        return found

    # -- changing -------------------------------------------------------------------------------

    def stage(self, documents: Sequence[NewDocument]) -> NewChunks:
        """Replace these documents by new versions; returns the chunk rows that must be `add`ed."""
        keys, names, texts, embedded = _flat_chunks(documents)
        self._retire([document.document for document in documents])
        there = self._keep(as_keys(keys), as_keys(embedded))
        self._write(_document_table(documents, keys), columns.CHUNKS.empty_table(), self._no_vectors())
        origin = np.flatnonzero(~there)
        picked = [[values[i] for i in origin] for values in (keys, names, texts, embedded)]
        arrays = [pa.array(v, f.type) for v, f in zip(picked, columns.CHUNKS, strict=True)]
        return NewChunks(pa.Table.from_arrays(arrays, schema=columns.CHUNKS), origin)

    def add(self, chunks: NewChunks, vectors: Vectors) -> None:
        """Write staged rows with their vectors, `(len(chunks), dim)` float32."""
        self._write(None, chunks.table, vectors)
        self._written.update(zip(chunks.table.column("embedded").to_pylist(), vectors, strict=True))
        if self._writer and self._writer.chunk_count >= self._part_rows:
            self.seal()

    def remove_missing(self, sources: Sequence[str]) -> list[str]:
        """Remove the parent's documents of these sources that were not seen; their names."""
        gone: list[str] = []
        for number, rows in self._parent.document_rows() if self._parent else ():
            table = self._parent.segments[number].documents.select(["document", "source"])  # type: ignore[union-attr]
            unseen = rows_of(mask_of(rows) - self._changes[number].seen_documents)
            picked = table.take(pa.array(unseen))
            of_source = pc.is_in(picked.column("source"), pa.array(list(sources), pa.string()))
            gone += picked.filter(of_source).column("document").to_pylist()
        self._retire(gone)
        return gone

    def seal(self) -> None:
        """Make what was written so far durable as a part."""
        writer, self._writer, self._written = self._writer, None, {}
        if writer and (writer.chunk_count or writer.document_count):
            self._parts.append(writer.seal())
        elif writer:
            writer.discard()

    def discard(self) -> None:
        """Give the draft up; sealed parts stay for the next one to find."""
        if self._writer:
            self._writer.discard()
            self._writer = None

    # -- finishing ------------------------------------------------------------------------------

    @property
    def untouched(self) -> int:
        """Live documents of the parent that the draft neither saw nor removed."""
        if not self._parent:
            return 0
        pairs = zip(self._parent.layout.segments, self._changes, strict=True)
        return sum(len(live.documents - c.seen_documents - c.died_documents) for live, c in pairs)

    def finish(self) -> tuple[Layout, int]:
        """The layout of the new version, and how many chunk rows of the parent are live no more."""
        self.seal()
        lives, roots, removed = [], Roots.empty(), 0
        if self._parent:
            roots = self._parent.layout.roots
            for number, (live, change) in enumerate(zip(self._parent.layout.segments, self._changes, strict=True)):
                segment = self._parent.segments[number]
                chunks, documents = (live.chunks - change.died) | change.kept, live.documents - change.died_documents
                gone, back = live.chunks - chunks, chunks - live.chunks
                removed += len(gone)
                roots = roots - roots_of(segment, rows_of(gone), rows_of(live.documents - documents))
                roots = roots + roots_of(segment, rows_of(back), rows_of(BitMap()))
                lives.append(Live(live.segment, chunks, documents, live.chunk_count, live.document_count))
        for segment in self._folded():
            live = Live.whole(segment.id, segment.chunk_count, segment.document_count)
            roots = roots + roots_of(segment, rows_of(live.chunks), rows_of(live.documents))
            lives.append(live)
        return Layout(tuple(live for live in lives if live.chunks or live.documents), roots), removed

    def _folded(self) -> list[Segment]:
        """The parts as few segments. The parts are dropped once their fold is durable."""
        groups: list[list[Segment]] = []
        for part in self._parts:
            if not groups or sum(s.chunk_count for s in groups[-1]) + part.chunk_count > MAX_ROWS:
                groups.append([])
            groups[-1].append(part)
        folded = [fold(self._store, self._space, group) if len(group) > 1 else group[0] for group in groups]
        kept = {segment.id for segment in folded}
        for part in self._parts:
            if part.id not in kept:
                for file in ("segment.json", *FILES):  # the manifest first: never a segment without its files
                    self._store.delete(path_of(part.id, file))
        self._parts = folded
        return folded

    # -- within ---------------------------------------------------------------------------------

    def _retire(self, documents: Sequence[str]) -> None:
        """The parent's versions of these documents, and their chunks, are live no more."""
        if not self._parent or not documents:
            return
        numbers, rows = self._parent.find_documents(as_keys([columns.document_id(name) for name in documents]))
        keys: list[bytes] = []
        for number in np.unique(numbers[numbers >= 0]):
            mine = rows[numbers == number]
            self._changes[number].died_documents |= mask_of(mine)
            lists = self._parent.segments[number].documents.column("chunks").take(pa.array(mine)).to_pylist()
            keys += [key for chunks in lists for key in chunks]
        numbers, rows = self._parent.find_chunks(as_keys(keys))
        for number in np.unique(numbers[numbers >= 0]):
            self._changes[number].died |= mask_of(rows[numbers == number])

    def _keep(self, keys: Keys, embedded: Keys) -> npt.NDArray[np.bool_]:
        """Keep or revive the rows that hold these chunks; says which were found, `(n,)` bool."""
        there = np.zeros(len(keys), bool)
        for number, segment in enumerate(self._reusable):
            (open_,) = np.nonzero(~there)
            which, rows = segment.find_keys(keys[open_])
            same = (segment.embedded[rows] == embedded[open_[which]]).all(axis=1)
            which, first = np.unique(which[same], return_index=True)
            self._changes[number].kept |= mask_of(rows[same][first])
            there[open_[which]] = True
        return there

    def _elsewhere(self) -> list[Segment]:
        """Every other segment of the repository in this space, the parent's first."""
        if self._others is None:
            self._others = list(self._reusable)
            there = {segment.id for segment in self._others}
            for id in segment_ids(self._store):
                if id not in there and (segment := _opened(self._store, id)) and segment.space.id == self._space.id:
                    self._others.append(segment)
        return self._others

    def _write(self, documents: pa.Table | None, chunks: pa.Table, vectors: Vectors) -> None:
        if self._writer is None:
            self._writer = SegmentWriter(self._store, self._space)
        self._writer.add(documents, chunks, vectors)

    def _no_vectors(self) -> Vectors:
        return np.zeros((0, self._space.dim), np.float32)


def _opened(store: Store, id: str) -> Segment | None:
    try:
        return Segment(store, id)
    except NotFoundError:  # another ingest folded it away since it was listed
        return None


def _flat_chunks(documents: Sequence[NewDocument]) -> tuple[list[bytes], list[str], list[str], list[bytes]]:
    """Keys, document names, texts and embedded digests of all chunks, document after document."""
    keys: list[bytes] = []
    names: list[str] = []
    for document in documents:
        numbers: dict[str, int] = {}
        for text in document.texts:
            number = numbers.get(text, 0)
            numbers[text] = number + 1
            keys.append(columns.chunk_key(document.document, text, number))
            names.append(document.document)
    texts = [text for document in documents for text in document.texts]
    return keys, names, texts, [name for document in documents for name in document.embedded]


def _document_table(documents: Sequence[NewDocument], keys: list[bytes]) -> pa.Table:
    lists, taken = [], 0
    for document in documents:
        lists.append(keys[taken : taken + len(document.texts)])
        taken += len(document.texts)
    values = {
        "id": [columns.document_id(d.document) for d in documents],
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
    arrays = {name: pa.array(value, columns.DOCUMENTS.field(name).type) for name, value in values.items()}
    return pa.table({**arrays, **columns.metadata_columns([d.metadata for d in documents])})
