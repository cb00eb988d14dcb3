"""Tells a listener how far an ingest is: documents read, documents that are settled, chunks that have their vectors.

    documents read   of all files that there are; those that did not change count as read
    documents        read, and written where they differ
    chunks           of those that what was read so far needs: the total grows until all is read

Nobody listens: nothing is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from time import monotonic
from typing import TypeVar

from vecver.flows.ingesting.changes import Tally
from vecver.flows.ingesting.sources import Source
from vecver.progress import Progress

T = TypeVar("T")
PAUSE = 0.1  # seconds between two tellings of what is read


class Teller:
    """What one ingest has told of itself so far."""

    def __init__(self, progress: Progress | None, sources: Sequence[Source], tally: Tally) -> None:
        self._progress = progress
        self._sources = sources
        self._tally = tally
        self._parsed = self._read = self._settled = self._staged = self._embedded = 0

    def reading(self, parsed: Iterable[T]) -> Iterator[T]:
        """The documents that come out of the parsers, counted on their way."""
        if self._progress is None:
            yield from parsed
            return
        self._progress("documents read", 0, self._documents)
        last = monotonic()
        for item in parsed:
            self._parsed += 1
            if monotonic() - last >= PAUSE:
                last = monotonic()
                self._tell_read()
            yield item
        self._tell_read()

    def staged(self, chunks: int) -> None:
        """So many chunk rows must get a vector now."""
        if self._progress:
            self._staged += chunks
            self._progress("chunks", 0, self._staged)

    def embedded(self, chunks: int) -> None:
        """So many more have one."""
        if self._progress and chunks:
            self._embedded += chunks
            self._progress("chunks", chunks, self._staged)

    def settled(self) -> None:
        """A group of documents was written."""
        if self._progress:
            before, self._settled = self._settled, self._tally.seen()
            self._progress("documents", self._settled - before, self._documents)

    def _tell_read(self) -> None:
        assert self._progress
        before, self._read = self._read, self._parsed + self._tally.unchanged
        self._progress("documents read", self._read - before, self._documents)

    @cached_property
    def _documents(self) -> int | None:
        """Documents of all sources; None where one does not tell."""
        counts = [source.how_many() for source in self._sources]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None


def slices(texts: Sequence[str], rows: int) -> Iterator[list[int]]:
    """The positions of texts in runs of `rows`, of similar length: such batches waste little on padding."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), rows):
        yield order[start : start + rows]
