"""Selections: the chunk rows of a version that a search may answer with, as masks, and the cache of those of filters.

Decisions
1. A selection is a mask over live rows (an eighth of a byte a row), not the names of the documents that match: 10 ms
   of a search that took 1 ms went into finding 50,000 names among 100,000 rows.
2. Cached for each open version by the filter's canonical JSON. All cached selections together hold at most
   CACHED_BYTES; the one that was not used for longest goes first. So 10,000 distinct filters stay within that.
3. A filter that holds other values than JSON's is never cached: two of them may look alike and not be equal.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, ref

import numpy as np
import numpy.typing as npt

from vecver import index
from vecver.digest import canonical_json

if TYPE_CHECKING:
    from vecver.model import Json
    from vecver.repo import SearchPart, Snapshot

CACHED_BYTES: Final = 32 << 20  # of all cached selections
_ENTRY_BYTES: Final = 2048  # of one beside its masks, about: names, objects, sizes of an index's lists

Bits = npt.NDArray[np.uint8]  # little-endian
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint8]  # (n, 16)


@dataclass(frozen=True)
class Selection:
    """Live chunk rows of a version.

    `bits`: by segment number, `(ceil(chunks / 8),)`. `parts`: the same rows by part, in the order of `Snapshot.parts`,
    with how many there are. `views`: how the segments' indexes are seen under these masks, filled by searches.
    """

    bits: Mapping[int, Bits]
    parts: tuple[tuple[Bits, int], ...]
    views: dict[int, index.faiss.View] = field(default_factory=dict, compare=False, repr=False)

    def holds(self, numbers: Rows, rows: Rows) -> Mask:
        """Which of these chunk rows, by segment number and row, are selected, `(n,)`."""
        selected = np.zeros(len(rows), bool)
        for number in np.unique(numbers).tolist():
            if number in self.bits:
                mine = numbers == number
                selected[mine] = _flags(self.bits[number], rows[mine])
        return selected

    @property
    def nbytes(self) -> int:
        """Memory that it holds, about. (The mask of a part that is one segment is that segment's.)"""
        masks = {id(bits): bits.nbytes for bits in (*self.bits.values(), *(bits for bits, _ in self.parts))}
        return _ENTRY_BYTES + sum(masks.values())


def of_documents(snapshot: Snapshot, documents: Mask) -> Selection:
    """The chunks of these documents, which are live; `(document rows of all segments,)`, by document number."""
    columns = snapshot.row_documents.columns
    selected = {
        number: index.selected(documents, *columns(number), snapshot.live_bits(number))
        for number in _chunk_segments(snapshot)
    }
    bits = {number: bits for number, (bits, _) in selected.items()}
    return _selection(snapshot, bits, {number: count for number, (_, count) in selected.items()})


def of_keys(snapshot: Snapshot, keys: Keys) -> Selection:
    """The live chunks with these keys."""
    bits = {number: np.zeros_like(snapshot.live_bits(number)) for number in _chunk_segments(snapshot)}
    for number, rows in _places(snapshot, keys):
        bits[number] = _packed(_mask(snapshot.segments[number].chunk_count, rows))
    return _selection(snapshot, bits)


def leaving_out(snapshot: Snapshot, selection: Selection | None, keys: Keys) -> Selection | None:
    """A selection (None: all live chunks) without the chunks that have these keys."""
    if not len(keys):
        return selection
    if selection is None:
        bits = {number: snapshot.live_bits(number) for number in _chunk_segments(snapshot)}
    else:
        bits = dict(selection.bits)
    for number, rows in _places(snapshot, keys):
        bits[number] = bits[number] & ~_packed(_mask(snapshot.segments[number].chunk_count, rows))
    return _selection(snapshot, bits)


def without_documents(snapshot: Snapshot, selection: Selection | None, documents: Sequence[str]) -> Selection | None:
    """A selection (None: all live chunks) without the chunks of these documents."""
    if not documents:
        return selection
    order = snapshot.ordered(documents)
    lists = [
        np.concatenate(snapshot.segments[number].chunk_keys(row))
        for number, row in zip(order.numbers.tolist(), order.rows.tolist(), strict=True)
    ]
    return leaving_out(snapshot, selection, np.concatenate([np.zeros((0, 16), np.uint8), *lists]))


# -- masks ---------------------------------------------------------------------------------------


def _selection(snapshot: Snapshot, bits: Mapping[int, Bits], counts: Mapping[int, int] | None = None) -> Selection:
    """`counts`: how many rows of each segment are selected, if that is known."""
    parts = []
    for part in snapshot.parts:
        mask = _bits_of_part(part, bits)
        parts.append((mask, counts[part.segment] if counts and part.segment in counts else _count(mask)))
    return Selection(bits, tuple(parts))


def _count(mask: Bits) -> int:
    return int(np.bitwise_count(mask).sum())


def _bits_of_part(part: SearchPart, bits: Mapping[int, Bits]) -> Bits:
    """The mask over a part's rows; of gathered rows those of their segments, one after the other."""
    if part.segments is None or part.rows is None:
        return bits[part.segment]
    edges = np.flatnonzero(np.diff(part.segments, prepend=-1))
    runs = zip(part.segments[edges].tolist(), np.split(part.rows, edges[1:]), strict=True)
    return _packed(np.concatenate([_flags(bits[number], rows) for number, rows in runs]))


def _chunk_segments(snapshot: Snapshot) -> list[int]:
    return [number for number, live in enumerate(snapshot.layout.segments) if live.chunks]


def _places(snapshot: Snapshot, keys: Keys) -> list[tuple[int, Rows]]:
    """(segment number, rows) of the live chunks with these keys."""
    numbers, rows = snapshot.find_chunks(keys)
    return [(number, rows[numbers == number]) for number in np.unique(numbers[numbers >= 0]).tolist()]


def _mask(size: int, rows: Rows) -> Mask:
    mask = np.zeros(size, bool)
    mask[rows] = True
    return mask


def _packed(mask: Mask) -> Bits:
    return np.packbits(mask, bitorder="little")


def _flags(bits: Bits, rows: Rows) -> Mask:
    """The bits of these rows."""
    return (bits[rows >> 3] >> (rows & 7).astype(np.uint8) & 1).astype(bool)


# -- cache ---------------------------------------------------------------------------------------


class SelectionCache:
    """Selections by version and filter, within a budget of bytes. Safe to use from several threads."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.nbytes = 0
        self._numbers = count()
        self._by_version: WeakKeyDictionary[Snapshot, tuple[int, dict[str, Selection]]] = WeakKeyDictionary()
        self._used: OrderedDict[tuple[int, str], tuple[ref[Snapshot], int]] = OrderedDict()  # least recently used first
        self._lock = Lock()

    def get(self, snapshot: Snapshot, name: str) -> Selection | None:
        """The selection that was kept under this name."""
        with self._lock:
            number, selections = self._by_version.get(snapshot, (-1, {}))
            selection = selections.get(name)
            if selection is not None:
                self._used.move_to_end((number, name))
            return selection

    def put(self, snapshot: Snapshot, name: str, selection: Selection) -> None:
        """Keep a selection; one that is larger than the budget is not kept."""
        with self._lock:
            number, selections = self._by_version.setdefault(snapshot, (next(self._numbers), {}))
            if name in selections or selection.nbytes > self.budget:
                return
            selections[name] = selection
            self._used[number, name] = ref(snapshot), selection.nbytes
            self.nbytes += selection.nbytes
            while self.nbytes > self.budget:
                self._drop_oldest()

    def __len__(self) -> int:
        return len(self._used)

    def _drop_oldest(self) -> None:
        (_, name), (version, nbytes) = self._used.popitem(last=False)
        self.nbytes -= nbytes
        snapshot = version()
        if snapshot is not None:
            self._by_version[snapshot][1].pop(name, None)


CACHE: Final = SelectionCache(CACHED_BYTES)


def name_of(filter: Json, *flags: bool) -> str | None:
    """What a filter and the flags with which it was evaluated are cached under; None: they are not."""
    try:
        return f"{flags}{canonical_json(filter).decode()}" if _is_json(filter) else None
    except ValueError:  # NaN, infinities
        return None


_SCALARS: Final = frozenset((str, int, float, bool, type(None)))


def _is_json(value: Any) -> bool:
    """Is this of exactly the types that JSON has? A tuple, for example, is none, and is refused as a list."""
    if type(value) is dict:
        return all(type(name) is str for name in value) and all(_is_json(item) for item in value.values())
    if type(value) is list:
        return set(map(type, value)) <= _SCALARS or all(_is_json(item) for item in value)
    return type(value) in _SCALARS
