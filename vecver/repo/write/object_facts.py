"""Object facts: which bytes an object of a source's bucket had, so that it is not fetched again while its ETag stays.

    facts/<bucket>/<digest>    MAGIC, n (uint64), length of the list (uint64); n names (16 bytes each, sorted by their
                               first 8), n sha256 of bytes, n numbers (uint32) of parsers; the list of these as JSON

A name stands for a bucket, a key, an ETag and a version of vecver (`BucketSource.fact_name`). A fact is a hint of no
version and no dataset: what bytes an object had is true on every branch, and whether they are those that a version
holds is compared with the version. If a table is lost or damaged, objects are fetched again.

Decisions
1. Facts are not in the rows of documents: bytes that stayed the same under another ETag write no row, and neither does
   a folder that moved into a bucket. Both would be fetched by every ingest.
2. An ingest adds a table, and tables of one size class become one when there are more than MANY, as with vectors.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from vecver.digest import digest
from vecver.errors import NotFoundError, VecverError
from vecver.repo.rows import sorted_keys
from vecver.repo.rows.sorted_keys import Keys
from vecver.repo.write.table_classes import crowded
from vecver.store import Store

_MAGIC = b"objfacts"
_HEADER = 24


@dataclass(frozen=True)
class _Table:
    names: Keys  # sorted by their prefixes
    digests: npt.NDArray[np.uint8]  # (n, 32)
    numbers: npt.NDArray[np.uint32]  # (n,) of parsers
    parsers: Sequence[str]

    @cached_property
    def prefixes(self) -> npt.NDArray[np.uint64]:
        return sorted_keys.prefixes(self.names)

    def find(self, name: bytes) -> tuple[str, str] | None:
        wanted = np.frombuffer(name, np.uint8)
        query = sorted_keys.prefixes(wanted.reshape(1, -1))[0]
        at = int(np.searchsorted(self.prefixes, query))
        while at < len(self.names) and self.prefixes[at] == query:
            if (self.names[at] == wanted).all() and self.numbers[at] < len(self.parsers):
                return self.digests[at].tobytes().hex(), self.parsers[self.numbers[at]]
            at += 1
        return None


class ObjectFacts:
    """What is known of the objects of one bucket, and what an ingest learns of them."""

    def __init__(self, store: Store, bucket: str) -> None:
        self._store = store
        self._folder = f"facts/{bucket}/"
        self._new: dict[bytes, tuple[bytes, str]] = {}

    def find(self, name: bytes) -> tuple[str, str] | None:
        """(sha256 of the bytes, the parser that reads them), or None if nothing is known."""
        return next((fact for table in self._tables if (fact := table.find(name))), None)

    def add(self, name: bytes, bytes_digest: str, parser: str) -> None:
        """Learn a fact; `save` keeps it."""
        self._new[name] = bytes.fromhex(bytes_digest), parser

    def save(self) -> None:
        """Keep what was learned. Without room for it, objects are fetched again."""
        if not self._new:
            return
        with suppress(VecverError, OSError):
            self._save(_sorted([_table_of(self._new)]))
            self._new = {}
            self._merge()

    @cached_property
    def _tables(self) -> list[_Table]:
        with suppress(VecverError):
            read = (self._read(name) for name in self._store.list(self._folder))
            return sorted((table for table in read if table), key=lambda table: -len(table.names))
        return []

    def _merge(self) -> None:
        for names in crowded(self._store, self._folder):
            tables = [table for name in names if (table := self._read(name)) and len(table.names)]
            merged = self._save(_sorted(tables))
            self._store.delete(*({*names} - {merged}))

    def _save(self, table: _Table) -> str:
        parsers = json.dumps(list(table.parsers)).encode()
        counts = np.array([len(table.names), len(parsers)], "<u8")
        arrays = (counts, table.names, table.digests, table.numbers.astype("<u4"))
        content = _MAGIC + b"".join(array.tobytes() for array in arrays) + parsers
        name = self._folder + digest(content)
        self._store.put(name, content)
        return name

    def _read(self, name: str) -> _Table | None:
        """A table, mapped; None where it is damaged or another writer merged it."""
        try:
            content = memoryview(self._store.map(name, fixed=True))
        except NotFoundError:
            return None
        if len(content) < _HEADER or content[:8] != _MAGIC:
            return None
        n, length = (int(count) for count in np.frombuffer(content, "<u8", 2, 8))
        if len(content) != _HEADER + 52 * n + length:
            return None
        names = np.frombuffer(content, np.uint8, 16 * n, _HEADER).reshape(n, 16)
        digests = np.frombuffer(content, np.uint8, 32 * n, _HEADER + 16 * n).reshape(n, 32)
        numbers = np.frombuffer(content, "<u4", n, _HEADER + 48 * n)
        try:
            parsers = json.loads(bytes(content[_HEADER + 52 * n :]))
        except ValueError:
            return None
        return _Table(names, digests, numbers, [str(parser) for parser in parsers])


def _table_of(facts: dict[bytes, tuple[bytes, str]]) -> _Table:
    parsers = sorted({parser for _, parser in facts.values()})
    number_of = {parser: number for number, parser in enumerate(parsers)}
    digests = np.frombuffer(b"".join(value for value, _ in facts.values()), np.uint8).reshape(-1, 32)
    numbers = np.array([number_of[parser] for _, parser in facts.values()], "<u4")
    return _Table(sorted_keys.as_keys(list(facts)), digests, numbers, parsers)


def _sorted(tables: Sequence[_Table]) -> _Table:
    """One table of all, each name once."""
    parsers = sorted({parser for table in tables for parser in table.parsers})
    number_of = {parser: number for number, parser in enumerate(parsers)}
    sound = [table for table in tables if (table.numbers < len(table.parsers)).all()]
    renumbered = [np.array([number_of[one] for one in table.parsers], "<u4")[table.numbers] for table in sound]
    names = np.concatenate([table.names for table in sound])
    _, first = np.unique(names, axis=0, return_index=True)
    order = first[np.argsort(sorted_keys.prefixes(names[first]), kind="stable")]
    digests = np.concatenate([table.digests for table in sound])
    return _Table(names[order], digests[order], np.concatenate(renumbered)[order], parsers)
