"""Known vectors: looks up vectors of one space that were computed before, and saves those an ingest computes.

Look-ups try, in this order: what this ingest has computed, the parts of it and of interrupted ingests, the
segments of the parent version, and last every other segment of the space, found through the vector tables.

Decisions
1. Only vectors that the caller computed become parts. Vectors that came with their records are brought again by the
   next attempt.
2. A segment is verified before vectors are copied from it; a damaged one is skipped. Otherwise its damage would be
   sealed under a fresh digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain

import numpy as np

from vecver.errors import IntegrityError, VecverError
from vecver.model import Space, Vectors
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.sorted_keys import as_keys
from vecver.repo.write import vector_cache, vector_tables
from vecver.repo.write.vector_cache import Part
from vecver.repo.write.vector_tables import Table
from vecver.store import Store

PART_ROWS = 2048  # vectors in a part: an interrupted ingest loses at most so many


class KnownVectors:
    """The vectors of `space` on a store. `segments`: those of the parent version; `verify` raises for a damaged one."""

    def __init__(
        self,
        store: Store,
        space: Space,
        segments: Sequence[Segment],
        verify: Callable[[Segment], None],
        part_rows: int = PART_ROWS,
    ) -> None:
        self._store = store
        self._space = space
        self._segments = segments
        self._verify = verify
        self._part_rows = part_rows
        self._unsealed: dict[bytes, Vectors] = {}
        self._listed: Sequence[Sequence[str]] | None = None
        self._parts: list[Part] | None = None
        self._tables: list[Table] | None = None
        self._tables_are_new = False  # the space had none; see `vector_tables`

    def find(self, embedded: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors that are known, `(dim,)` each, by the digest of what was embedded."""
        vectors = {name: self._unsealed[name] for name in embedded if name in self._unsealed}
        missing = [name for name in dict.fromkeys(embedded) if name not in vectors]
        holders: Iterable[Part | Segment] = chain(self._load_parts(), self._segments) if missing else ()
        for holder in holders:
            vectors.update(self._copied(holder, missing))
            missing = [name for name in missing if name not in vectors]
            if not missing:
                return vectors
        if missing:
            vectors.update(self._find_elsewhere(missing))
        return vectors

    def save(self, vectors: Mapping[bytes, Vectors]) -> None:
        """Keep vectors that were just computed, `(dim,)` each; enough of them are sealed as a part."""
        self._unsealed.update(vectors)
        if len(self._unsealed) >= self._part_rows:
            self.seal()

    def seal(self) -> None:
        """Make the vectors that were saved so far durable."""
        if self._unsealed:
            parts = self._load_parts()
            parts.append(vector_cache.save(self._store, self._space, self._unsealed))
            self._unsealed = {}

    def committed(self, segments: Sequence[Segment]) -> None:
        """List the rows of new segments, which are durable, in the tables; delete the parts that they contain.

        If no vector was looked up, none was computed, now or by an ingest that was interrupted.
        """
        if not segments or self._parts is None:
            return
        if self._parts or self._tables is not None:  # else all vectors came from the parent's segments
            tables, new = self._load_tables(), vector_tables.table_of(segments)
            added = [*tables, new] if self._tables_are_new else [new]
            self._store.aside(partial(_add, self._store, self._space, added))
            tables.append(new)
            self._tables_are_new = False
        self._parts = [part for part in self._parts if not self._deleted(part, segments)]

    def _deleted(self, part: Part, segments: Sequence[Segment]) -> bool:
        """Delete a part if the segments contain it; whether they do."""
        contained = np.zeros(len(part.embedded), bool)
        for segment in segments:
            contained[segment.find_embedded(part.embedded)[0]] = True
        if contained.all():
            self._store.delete(part.name)
        return bool(contained.all())

    def _find_elsewhere(self, missing: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors that other segments of the space hold."""
        vectors: dict[bytes, Vectors] = {}
        for id, numbers in vector_tables.find(self._load_tables(), as_keys(list(missing))).items():
            names = [missing[i] for i in numbers if missing[i] not in vectors]
            if names and (segment := vector_tables.open_segment(self._store, id)):
                vectors.update(self._copied(segment, names))
        return vectors

    def _copied(self, holder: Part | Segment, names: Sequence[bytes]) -> dict[bytes, Vectors]:
        """Copies of the vectors that a sound part or segment holds of these, `(dim,)` each."""
        which, rows = holder.find_embedded(as_keys(list(names)))
        if not len(which) or not self._is_sound(holder):
            return {}
        return {names[i]: np.array(holder.vectors[row]) for i, row in zip(which, rows, strict=True)}

    def _is_sound(self, holder: Part | Segment) -> bool:
        """Parts were verified when they were loaded."""
        if isinstance(holder, Segment):
            try:
                self._verify(holder)
            except IntegrityError:
                return False
        return True

    def _list(self) -> Sequence[Sequence[str]]:
        """The names of parts and of tables: a look-up that needs the ones mostly needs the others."""
        if self._listed is None:
            folders = [each.folder_of(self._space) for each in (vector_cache, vector_tables)]
            self._listed = self._store.list_all(folders)
        return self._listed

    def _load_parts(self) -> list[Part]:
        if self._parts is None:
            self._parts = list(vector_cache.load(self._store, self._space, self._list()[0]))
        return self._parts

    def _load_tables(self) -> list[Table]:
        if self._tables is None:
            tables = vector_tables.load(self._store, self._space, self._list()[1])
            self._tables_are_new = tables is None
            self._tables = [vector_tables.scanned(self._store, self._space)] if tables is None else tables
        return self._tables


def _add(store: Store, space: Space, tables: Sequence[Table]) -> None:
    with suppress(VecverError):  # a text that no table lists is embedded again
        vector_tables.add(store, space, tables)
