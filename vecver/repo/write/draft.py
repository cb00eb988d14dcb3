"""A draft: the next version of a dataset while it is being made; invisible until its commit.

Rows that stay keep lying where they lie, rows that go lose their bit, new rows stream into one new
segment. Vectors that had to be computed are kept as `parts` until that segment is durable, so that the
ingest after an interrupted one finds them.

Where another version landed first, the same draft is laid `onto` that one; see `repo.landing`.

Decisions
- 2026-11-21 a vector was computed, and so is worth a part, if it was looked for with `vectors_of` in
  vain; vectors that came with their records are brought again by the next attempt.
- 2026-11-21 a row is the same row if its key *and* what was embedded are equal; so an edit that was
  taken back revives the old row by its bit, and a chunk whose surroundings changed what is embedded
  is written anew under the same key.
- 2026-11-26 on another parent every row is found again by its key: that one may lie on other segments (a fold,
  an optimize), where a row that was to be revived is not; such a row is copied from where this draft found it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyroaring import BitMap

from vecver.errors import IntegrityError, InvalidInputError
from vecver.model import Json, Position, Space, Vectors
from vecver.repo.read.documents import KnownDocument, known_documents
from vecver.repo.read.snapshot import Snapshot
from vecver.repo.rows import schema as columns
from vecver.repo.rows.layout import Layout, Live, mask_of, rows_of
from vecver.repo.rows.positions import position_columns
from vecver.repo.rows.roots import Roots
from vecver.repo.rows.segment import Segment, SegmentWriter
from vecver.repo.rows.sorted_keys import Keys, as_keys
from vecver.repo.write import vector_cache, vector_tables
from vecver.repo.write.vector_cache import Part
from vecver.repo.write.vector_tables import Table
from vecver.store import Store

PART_ROWS = 2048  # a part has this size: so much embedding can be lost
MAX_ROWS = 1 << 20  # chunk rows after which a new segment begins


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
    positions: Sequence[Position] = ()  # one a chunk; or none at all, where nothing is known of any


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
    """See the module. `parent` is the version it starts from, None for the first one; a `dry` one writes nothing."""

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
        self._verify = verify  # a segment that vectors are taken from
        self._dry = dry
        self._parent = parent
        self.space = space
        self._part_rows = part_rows
        same = parent is not None and parent.commit.recipe.space.id == space.id
        self._reusable = parent.segments if parent and same else ()
        self._changes = [_Change() for _ in (parent.segments if parent else ())]
        self._writer: SegmentWriter | None = None
        self._written: list[Segment] = []
        self._roots: dict[str, Roots] = {}  # of the segments written
        self.removed: list[str] = []  # documents
        self.whole: set[str] = set()  # the sources whose missing documents it removes
        self._has_tables = True  # of where vectors lie; not in a space that an older vecver wrote
        self._sought: set[bytes] = set()  # looked for in vain: the caller computes them
        self._computed: dict[bytes, Vectors] = {}  # and these it has, not yet in a part

    # -- what is already there ------------------------------------------------------------------

    def known(self, documents: Sequence[str]) -> list[KnownDocument | None]:
        """What the parent has of each document; each is counted as seen, so that it is not `unseen`."""
        if not self._parent or not documents:
            return [None] * len(documents)
        numbers, rows = self._parent.find_documents(_ids(documents))
        found: list[KnownDocument | None] = [None] * len(documents)
        for number in np.unique(numbers[numbers >= 0]):
            (which,) = np.nonzero(numbers == number)
            self._changes[number].seen_documents |= mask_of(rows[which])
            known = known_documents(self._parent.segments[number], rows[which])
            for i, (_, document) in zip(which, known, strict=True):
                found[i] = document
        return found

    def vectors_of(self, embedded: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors already known in this space, `(dim,)` each, by the digest of what was embedded."""
        found = {name: self._computed[name] for name in embedded if name in self._computed}
        wanted = [name for name in dict.fromkeys(embedded) if name not in found]
        holders: Iterable[Part | Segment] = chain(self._parts, self._reusable) if wanted else ()
        for holder in holders:
            found.update(self._vectors_in(holder, wanted))
            wanted = [name for name in wanted if name not in found]
            if not wanted:
                break
        if wanted:
            for id, which in vector_tables.find(self._tables, as_keys(wanted)).items():
                names = [wanted[i] for i in which if wanted[i] not in found]
                if names and (segment := vector_tables.open_segment(self._store, id)):
                    found.update(self._vectors_in(segment, names))
            wanted = [name for name in wanted if name not in found]
        self._sought.update(wanted)
        return found

    def _vectors_in(self, holder: Part | Segment, wanted: Sequence[bytes]) -> dict[bytes, Vectors]:
        """Copies of the vectors that a sound part or segment has of these, `(dim,)` each."""
        which, rows = holder.find_embedded(as_keys(list(wanted)))
        if not len(which) or not self._is_sound(holder):
            return {}
        return {wanted[i]: np.array(holder.vectors[row]) for i, row in zip(which, rows, strict=True)}

    def _is_sound(self, holder: Part | Segment) -> bool:
        """May vectors be taken from here? Else damage would be sealed under a fresh digest. Parts were verified."""
        if isinstance(holder, Segment):
            try:
                self._verify(holder)
            except IntegrityError:
                return False
        return True

    # -- changing -------------------------------------------------------------------------------

    def stage(self, documents: Sequence[NewDocument]) -> NewChunks:
        """Replace these documents by new versions; returns the chunk rows that must be `add`ed."""
        keys, names, texts, embedded = _flat_chunks(documents)
        self._retire(_ids([document.document for document in documents]))
        there = self._keep(as_keys(keys), as_keys(embedded))
        if not self._dry:
            self._write(_document_table(documents, keys), columns.CHUNKS.empty_table(), self._no_vectors())
        origin = np.flatnonzero(~there)
        picked = [[values[i] for i in origin] for values in (keys, names, texts, embedded)]
        arrays = [pa.array(v, f.type) for v, f in zip(picked, columns.CHUNKS, strict=True)]
        return NewChunks(pa.Table.from_arrays(arrays, schema=columns.CHUNKS), origin)

    def add(self, chunks: NewChunks, vectors: Vectors) -> None:
        """Write staged rows with their vectors, `(len(chunks), dim)` float32. Raises InvalidInputError for others."""
        if vectors.shape != (len(chunks), self.space.dim) or not np.isfinite(vectors).all():
            raise InvalidInputError(
                f"vectors {vectors.shape} cannot be those of {len(chunks)} chunks in {self.space.dim} dimensions",
                code="invalid_vectors",
                hint="look for NaN, infinity or another dimension in what the embedder gives",
            )
        writer = self._write(None, chunks.table, vectors)
        self.keep(dict(zip(chunks.table.column("embedded").to_pylist(), vectors, strict=True)))
        if writer.chunk_count >= MAX_ROWS:
            self._end_segment()

    def keep(self, vectors: Mapping[bytes, Vectors]) -> None:
        """Know vectors, `(dim,)` each, by the digest of what was embedded; those that nobody had can be sealed."""
        new = {name: vector for name, vector in vectors.items() if name in self._sought}
        self._sought.difference_update(new)
        self._computed.update(new)
        if len(self._computed) >= self._part_rows:
            self.seal()

    def unseen(self, sources: Sequence[str]) -> list[tuple[str, str]]:
        """(document, source) of each of the parent's documents of these sources that nobody asked `known` of."""
        gone: list[tuple[str, str]] = []
        for number, rows in self._parent.document_rows() if self._parent else ():
            table = self._parent.segments[number].documents.select(["document", "source"])  # type: ignore[union-attr]
            unseen = rows_of(mask_of(rows) - self._changes[number].seen_documents)
            if not sources or not len(unseen):
                continue
            rest = _of_sources(table.take(columns.row_numbers(unseen)), sources)
            gone += zip(rest.column("document").to_pylist(), rest.column("source").to_pylist(), strict=True)
        return gone

    def remove(self, documents: Sequence[str], whole: Iterable[str]) -> None:
        """Remove these documents of the parent, the missing ones of the sources `whole`, which it speaks for."""
        self._retire(_ids(documents))
        self.removed += documents
        self.whole.update(whole)

    def seal(self) -> None:
        """Make the vectors computed so far durable."""
        if self._computed:
            self._parts.append(vector_cache.save(self._store, self.space, self._computed))
            self._computed = {}

    def discard(self) -> None:
        """Give the draft up. Sealed vectors stay for the next one to find."""
        if self._writer:
            self._writer.discard()
            self._writer = None

    # -- finishing ------------------------------------------------------------------------------

    def kept(self) -> tuple[int, int]:
        """(chunk rows of the parent that are live in the new version, those that are live no more), so far."""
        live = gone = 0
        for old, change in zip(self._parent.layout.segments if self._parent else (), self._changes, strict=True):
            chunks = (old.chunks - change.died) | change.kept
            live, gone = live + len(chunks), gone + len(old.chunks - chunks)
        return live, gone

    def finish(self) -> tuple[Layout, int]:
        """The layout of the new version, and how many chunk rows of the parent are live no more."""
        self.close()
        return self.layout()

    def close(self) -> None:
        """Make all new rows durable; from now on the draft can only be laid out."""
        self._end_segment()
        self._remember()
        self._drop_parts()

    def layout(self) -> tuple[Layout, int]:
        """As `finish`, of a draft that is closed."""
        lives, roots, removed = self._kept()
        for segment in self._written:
            lives.append(Live.whole(segment.id, segment.chunk_count, segment.document_count))
            roots = roots + self._roots[segment.id]
        return Layout(tuple(live for live in lives if live.chunks or live.documents), roots), removed

    def onto(self, head: Snapshot) -> Draft:
        """The change of this draft, which is closed, as one of `head`. Whether it may be is asked in `repo.landing`."""
        other = Draft(self._store, head, self.space)
        other._written, other._roots = list(self._written), self._roots
        other._retire(_ids(self.removed))
        for segment in self._written:
            other._retire(segment.document_ids)
        try:
            for old, change in zip(self._reusable, self._changes, strict=False):
                rows = rows_of(change.kept)
                lost = rows[~other._keep(old.keys[rows], old.embedded[rows])]
                if len(lost):
                    other._write(None, columns.taken(old.chunks, lost), old.vectors[lost])
            other._end_segment()
        finally:
            other.discard()
        return other

    # -- what it says, for who asks whether it may still land -------------------------------------

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments that it wrote."""
        return tuple(self._written)

    def written(self, documents: Sequence[str]) -> dict[str, KnownDocument]:
        """Those of these documents of which it has a new version."""
        ids = _ids(documents)
        return {n: d for segment in self._written for n, d in known_documents(segment, segment.find_documents(ids)[1])}

    def seen(self, documents: Sequence[str]) -> set[str]:
        """Those of these documents that its parent has, and that arrived again."""
        if not self._parent:
            return set()
        numbers, rows = self._parent.find_documents(_ids(documents))
        places = zip(documents, numbers.tolist(), rows.tolist(), strict=True)
        return {name for name, number, row in places if number >= 0 and row in self._changes[number].seen_documents}

    # -- within ---------------------------------------------------------------------------------

    def _kept(self) -> tuple[list[Live], Roots, int]:
        """The parent's segments as the new version sees them, the roots of their rows, and the chunk rows gone."""
        if not self._parent:
            return [], Roots.empty(), 0
        parent, lives, removed = self._parent, list[Live](), 0
        roots = parent.layout.roots
        for old, change, segment in zip(parent.layout.segments, self._changes, parent.segments, strict=True):
            chunks, documents = (old.chunks - change.died) | change.kept, old.documents - change.died_documents
            new = Live(old.segment, chunks, documents, old.chunk_count, old.document_count)
            lives.append(new)
            if new != old:
                gone, back = old.chunks - chunks, chunks - old.chunks
                roots = roots - segment.roots(rows_of(gone), rows_of(old.documents - documents))
                roots = roots + segment.roots(rows_of(back), rows_of(BitMap()))
                removed += len(gone)
        return lives, roots, removed

    def _remember(self) -> None:
        """Let later ingests find the vectors of the new segments, whatever versions then name them."""
        if self._written and "_tables" in self.__dict__:
            before = [] if self._has_tables else self._tables
            vector_tables.add(self._store, self.space, [*before, vector_tables.table_of(self._written)])

    def _drop_parts(self) -> None:
        """Delete the parts whose vectors all lie in the new segments, which are durable by now."""
        for part in self._parts if self._written else ():
            there = np.zeros(len(part.embedded), bool)
            for segment in self._written:
                there[segment.find_embedded(part.embedded)[0]] = True
            if there.all():
                self._store.delete(part.name)

    def _retire(self, documents: Keys) -> None:
        """The parent's versions of the documents with these ids, and their chunks, are live no more."""
        if not self._parent or not len(documents):
            return
        numbers, rows = self._parent.find_documents(documents)
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

    @cached_property
    def _parts(self) -> list[Part]:
        """What this and interrupted ingests have computed in this space."""
        return list(vector_cache.load(self._store, self.space))

    @cached_property
    def _tables(self) -> list[Table]:
        """Where every vector of this space lies, in whatever version."""
        tables = vector_tables.load(self._store, self.space)
        self._has_tables = tables is not None
        return [vector_tables.scanned(self._store, self.space)] if tables is None else tables

    def _write(self, documents: pa.Table | None, chunks: pa.Table, vectors: Vectors) -> SegmentWriter:
        self._writer = self._writer or SegmentWriter(self._store, self.space)
        self._writer.add(documents, chunks, vectors)
        return self._writer

    def _end_segment(self) -> None:
        writer, self._writer = self._writer, None
        if writer and (writer.chunk_count or writer.document_count):
            segment = writer.seal()
            self._written.append(segment)
            self._roots[segment.id] = segment.roots(np.arange(segment.chunk_count), np.arange(segment.document_count))
        elif writer:
            writer.discard()

    def _no_vectors(self) -> Vectors:
        return np.zeros((0, self.space.dim), np.float32)


def _ids(documents: Sequence[str]) -> Keys:
    return as_keys([columns.document_id(name) for name in documents])


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
    metadata = columns.metadata_columns([d.metadata for d in documents])
    return pa.table({**arrays, **metadata, **position_columns([d.positions for d in documents])})


def _of_sources(documents: pa.Table, sources: Sequence[str]) -> pa.Table:
    """Those of these sources, of which there is one at least."""
    import pyarrow.compute as pc

    column = documents.column("source")
    return documents.filter(reduce(pc.or_, (pc.equal(column, source) for source in sources)))
