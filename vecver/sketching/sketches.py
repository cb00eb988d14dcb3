"""Sketches: counts of what a version's rows are like, which add and subtract exactly, and their stored form.

A sketch is a function of the live rows alone: that of a version is its parent's, plus the sketch of the rows that came,
minus that of the rows that went. So it costs what changed, and equals one that is made from all rows.

Decisions
1. A sketch lies in its version's layout (`repo.rows.layout`), beside the lanes of the roots: it is derived as they are,
   written in the same file, so without a write of its own, and gone when the rows are. No commit id depends on it, and
   a vecver that does not know it ignores it; a version that such a vecver laid out has none until `drift` counts its
   rows. The road not taken, a file in `measures/`, costs two fsyncs a commit.
2. Every part has a fixed size, so a sketch has at most 250 kB, whatever the corpus: 0.5 kB for 5 chunks, 13 kB for
   4,096, 34 kB for 1,000,000.
3. `RULES` numbers the rules by which rows are counted. A sketch of other rules counts as none.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from vecver.sketching import bins
from vecver.sketching.languages import NAMES as LANGUAGES

RULES = 1
SLOTS, TABLES = 2048, 5
PARTS = {  # name -> number of bins
    "lengths": bins.LENGTHS,
    "endings": len(bins.ENDINGS),
    "languages": len(LANGUAGES),
    "texts": SLOTS * TABLES,
    "norms": bins.NORMS,
    "cells": bins.CELLS,
    "document_lengths": bins.SIZES,
    "document_chunks": bins.SIZES,
}
DOCUMENT_PARTS = ("document_lengths", "document_chunks")  # count document rows; the others count chunk rows
_FULL = 0.8  # share of slots in use above which a table counts too roughly
_NOTHING = {name: np.zeros(size, np.int64) for name, size in PARTS.items()}
_PLACE = 2  # bytes of a bin's number where only some bins are stored


@dataclass(frozen=True, eq=False)
class Sketch:
    """Counts by part, `(PARTS[name],)` int64 each."""

    parts: Mapping[str, bins.Bins]

    @classmethod
    def empty(cls) -> Self:
        """That of no rows."""
        return cls.of({})

    @classmethod
    def of(cls, parts: Mapping[str, bins.Bins]) -> Self:
        """With these parts, and no counts in the others."""
        return cls({**_NOTHING, **parts})

    @property
    def chunks(self) -> int:
        """The chunk rows that were counted."""
        return int(self.parts["lengths"].sum())

    @property
    def documents(self) -> int:
        """The document rows that were counted."""
        return int(self.parts["document_lengths"].sum())

    @property
    def table(self) -> int:
        """The first table of texts that is not too full to count by."""
        (fit,) = np.nonzero(self._tables.astype(bool).mean(axis=1) <= _FULL)
        return int(fit[0]) if len(fit) else TABLES - 1

    def duplicates(self, table: int) -> float:
        """The share of chunks whose text another one has already, 0 to 1, from this table of texts.

        Linear counting: slots that stay empty tell how many texts there are (Whang, Vander-Zanden, Taylor, 1990).
        """
        counts = self._tables[table]
        if not counts.sum():
            return 0.0
        empty = max(int((counts == 0).sum()), 1)
        texts = SLOTS * np.log(SLOTS / empty)
        return float(np.clip(1 - texts / counts.sum(), 0, 1))

    def counting_error(self, table: int) -> float:
        """The standard deviation of `duplicates` that comes from texts that share a slot by chance."""
        load = np.log(SLOTS / max(int((self._tables[table] == 0).sum()), 1))
        return float(np.sqrt((np.expm1(load) - load) / SLOTS) / load) if load else 0.0

    @property
    def _tables(self) -> bins.Bins:
        return self.parts["texts"].reshape(TABLES, SLOTS)

    def is_of(self, chunks: int, documents: int) -> bool:
        """Can it be that of so many rows? False where rows were subtracted that were never added."""
        sound = all((counts >= 0).all() for counts in self.parts.values())
        return sound and (self.chunks, self.documents) == (chunks, documents)

    def __add__(self, other: Sketch) -> Self:
        return type(self)({name: counts + other.parts[name] for name, counts in self.parts.items()})

    def __sub__(self, other: Sketch) -> Self:
        return type(self)({name: counts - other.parts[name] for name, counts in self.parts.items()})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and all(
            np.array_equal(counts, other.parts[name]) for name, counts in self.parts.items()
        )

    def to_json(self) -> dict[str, Any]:
        """As it is stored: each part as little-endian whole numbers in base64."""
        return {"rules": RULES, **{name: _part_json(counts) for name, counts in self.parts.items()}}

    @classmethod
    def from_json(cls, value: Any) -> Self | None:
        """The sketch whose `to_json` this is; None for one of other rules, or none."""
        if not isinstance(value, dict) or value.get("rules") != RULES:
            return None
        return cls({name: _part_of(value[name], size) for name, size in PARTS.items()})


def _part_json(counts: bins.Bins) -> dict[str, Any]:
    """The counts, or where that is shorter the numbers of the bins that have any, with theirs."""
    (places,) = np.nonzero(counts)
    width = next(width for width in (1, 2, 4, 8) if width == 8 or counts.max(initial=0) < 1 << 8 * width)
    if len(places) * (_PLACE + width) < len(counts) * width:
        return {"at": _text(places, _PLACE), "width": width, "counts": _text(counts[places], width)}
    return {"width": width, "counts": _text(counts, width)}


def _part_of(value: dict[str, Any], size: int) -> bins.Bins:
    counts = _numbers(value["counts"], value["width"])
    if "at" not in value:
        return counts
    part = np.zeros(size, np.int64)
    part[_numbers(value["at"], _PLACE)] = counts
    return part


def _text(numbers: bins.Bins, width: int) -> str:
    return base64.b64encode(numbers.astype(f"<u{width}").tobytes()).decode()


def _numbers(text: str, width: int) -> bins.Bins:
    return np.frombuffer(base64.b64decode(text), f"<u{width}").astype(np.int64)
