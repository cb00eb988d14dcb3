"""How long work tells what it has done so far: the one callback contract."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Hears what an ingest has done: so many more "documents" (seen), "chunks" (written), "index rows"."""

    def __call__(self, unit: str, count: int, total: int | None = None, /) -> None:
        """`total`: how many there will be, where that is known."""
