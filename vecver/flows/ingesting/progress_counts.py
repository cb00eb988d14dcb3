"""Counts how far an ingest is and reports it to its `progress`; without one nothing is counted.

documents read   files parsed, of all files of the sources; unchanged files count as read
documents        documents whose rows are written, or that did not change
chunks           chunk rows that have their vector, of those needed so far: the total grows until all is read
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from time import monotonic
from typing import TypeVar

from vecver.flows.ingesting.changes import Tally
from vecver.flows.ingesting.sources import Source
from vecver.model import Records
from vecver.progress import Progress

T = TypeVar("T")
PAUSE = 0.1  # seconds between two reports of what is read


class IngestProgress:
    """What one ingest has reported so far."""

    def __init__(self, progress: Progress | None, sources: Sequence[Source], tally: Tally) -> None:
        self._progress = progress
        self._sources = sources
        self._tally = tally
        self._reported = 0.0
        self._parsed = self._read = self._settled = self._staged = self._embedded = 0

    def reading(self, parsed: Iterable[T]) -> Iterator[T]:
        """Pass on the documents that come out of the parsers, and count them."""
        self.begin_reading()
        for item in parsed:
            self.read(len(item) if isinstance(item, Records) else 1)
            yield item
        self.end_reading()

    def begin_reading(self) -> None:
        """Report how many documents there are."""
        if self._progress:
            self._progress("documents read", 0, self._documents)
            self._reported = monotonic()

    def read(self, documents: int) -> None:
        """Count documents that were parsed, and report them now and then."""
        self._parsed += documents
        if self._progress and monotonic() - self._reported >= PAUSE:
            self._reported = monotonic()
            self.end_reading()

    def end_reading(self) -> None:
        """Report all that was parsed."""
        if self._progress:
            before, self._read = self._read, self._parsed + self._tally.unchanged
            self._progress("documents read", self._read - before, self._documents)

    def staged(self, chunks: int) -> None:
        """Count chunk rows that need a vector."""
        if self._progress:
            self._staged += chunks
            self._progress("chunks", 0, self._staged)

    def embedded(self, chunks: int) -> None:
        """Count chunk rows that got their vector."""
        if self._progress and chunks:
            self._embedded += chunks
            self._progress("chunks", chunks, self._staged)

    def settled(self) -> None:
        """Report that a group of documents was written."""
        if self._progress:
            before, self._settled = self._settled, self._tally.seen()
            self._progress("documents", self._settled - before, self._documents)

    @cached_property
    def _documents(self) -> int | None:
        """The number of documents of all sources; None if one of them cannot be counted without reading it."""
        counts = [source.how_many() for source in self._sources]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None
