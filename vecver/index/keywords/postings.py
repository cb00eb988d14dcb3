"""Postings: which rows of a segment have a term, and how often. Built once from all rows, never changed.

    header     magic, version, rows, terms, bytes of a length, bytes of the lists, sum of lengths
    hashes     uint64, ascending: the number of each term
    starts     uint64: where each term's list begins, and where the last ends
    counts     uint32: how many rows have the term
    lengths    uint16, or uint32 where one is longer: how many terms of two characters or more a row has
    lists      for each row that has the term, ascending: 2 * (row - the one before - 1) + (1 if it has it several
               times), then, if so, the times - 2; both as LEB128 (7 bits a byte, lowest first)

All little-endian; each array begins at a multiple of 8 bytes.

Decisions
1. Most rows have a term once, so the times are folded into the gap: 1.3 bytes for a row in a list, where a gap and a
   count in bytes of their own take 2.2.
2. Single characters have lists ("vitamin C") but no share in a row's length: numbers of list items and sections made
   BM25 worse where nothing asked for them (adi: nDCG@10 0.4872, without them 0.4936).
3. Built from blocks of rows, each encoded before the next is read: a million rows of 80 terms would take 3 GB at once.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vecver.errors import IntegrityError, index_again
from vecver.index.keywords.kernel import kernel
from vecver.index.keywords.terms import Hashes, term_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAGIC: Final = b"vecverKW"
VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sIIQQQQ")
_SHORT: Final = 1 << 16

Rows = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Postings:
    """The postings of a segment, in memory or mapped."""

    hashes: Hashes  # (terms,) ascending
    starts: npt.NDArray[np.uint64]  # (terms + 1,)
    counts: npt.NDArray[np.uint32]  # (terms,)
    lengths: npt.NDArray[np.uint16] | npt.NDArray[np.uint32]  # (rows,): terms of each row
    lists: npt.NDArray[np.uint8]
    total_length: int
    nbytes: int  # of memory that it holds; 0 where it is mapped

    @property
    def arrays(self) -> tuple[Hashes, Any, Any, Any, npt.NDArray[np.uint8]]:
        """Its arrays, in the order of the file."""
        return self.hashes, self.starts, self.counts, self.lengths, self.lists

    @property
    def row_count(self) -> int:
        return len(self.lengths)

    def find(self, hashes: Hashes) -> Rows:
        """The place of each term; -1 where no row has it."""
        if not len(self.hashes):
            return np.full(len(hashes), -1)
        places = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[places] == hashes, places, -1)

    def rows(self, place: int) -> tuple[Rows, Rows]:
        """The rows that have the term at this place, ascending, and how often each has it. `(count,)` each."""
        values = _decoded(self.lists[int(self.starts[place]) : int(self.starts[place + 1])])
        return _unfolded(values, int(self.counts[place]))

    def to_bytes(self) -> bytes:
        """The postings as a file."""
        width = self.lengths.itemsize
        facts = (self.row_count, len(self.hashes), width, len(self.lists), self.total_length)
        header = _HEADER.pack(MAGIC, VERSION, *facts)
        return b"".join([_padded(header), *(_padded(array.tobytes()) for array in self.arrays)])


def load(content: memoryview) -> Postings:
    """The postings in the bytes of a file, which stay mapped. Raises IntegrityError (they are none)."""
    try:
        magic, version, rows, terms, width, size, total = _HEADER.unpack_from(content)
        if (magic, version) != (MAGIC, VERSION) or width not in (2, 4):
            raise ValueError("another format")
        arrays, place = list[Any](), _round_up(_HEADER.size)
        for dtype, count in (("<u8", terms), ("<u8", terms + 1), ("<u4", terms), (f"<u{width}", rows), ("u1", size)):
            arrays.append(np.frombuffer(content, dtype, count, place))
            place += _round_up(arrays[-1].nbytes)
        hashes, starts, counts, lengths, lists = arrays
    except (struct.error, ValueError) as error:
        raise IntegrityError("a file of postings cannot be read", code="index_damaged", hint=index_again()) from error
    return Postings(hashes, starts, counts, lengths, lists, total, nbytes=0)


def build(blocks: Iterable[tuple[Sequence[str], npt.ArrayLike, npt.ArrayLike]]) -> Postings:
    """Postings of rows that come in blocks, one after the other.

    A block is its distinct terms; which of these each row has, as numbers, all rows joined; and how many of these
    numbers each row has, `(rows,)`.
    """
    made = [
        _block(terms, np.ascontiguousarray(numbers, np.int32), np.ascontiguousarray(sizes, np.int64))
        for terms, numbers, sizes in blocks
    ]
    if len(made) == 1:
        return made[0].postings
    return _joined(made)


class _Block(NamedTuple):
    """Postings of some of the rows, and of each term the first and the last row that has it."""

    postings: Postings
    firsts: Rows
    lasts: Rows


def _block(terms: Sequence[str], ids: Numbers, sizes: Rows) -> _Block:
    hashes, rank = np.unique(term_numbers(terms), return_inverse=True)
    counted, compiled = np.array([len(term) > 1 for term in terms], bool), kernel()
    if compiled is not None:
        made = compiled.lists(ids, sizes, rank.astype(np.int32), counted)
        return _Block(_postings(hashes, made.starts, made.counts, made.lengths, made.lists), made.firsts, made.lasts)
    return _block_by_numpy(hashes, rank, counted, ids, sizes)


def _block_by_numpy(hashes: Hashes, rank: Rows, counted: npt.NDArray[np.bool_], ids: Numbers, sizes: Rows) -> _Block:
    rows = max(len(sizes), 1)
    pairs = rank[ids] * rows + np.repeat(np.arange(len(sizes)), sizes)  # a number for each term of each row
    pairs.sort()
    edges = np.flatnonzero(np.diff(pairs, prepend=-1))
    times = np.diff(edges, append=len(pairs))
    of_term, row = np.divmod(pairs[edges], rows)
    counts = np.bincount(of_term, minlength=len(hashes))
    lists, starts = _lists(row, times, counts)
    ends = np.cumsum(counts)
    made = _postings(hashes, starts, counts, _lengths(counted, ids, sizes), lists)
    return _Block(made, row[ends - counts], row[ends - 1])


def _joined(blocks: Sequence[_Block]) -> Postings:
    """The postings of all rows: of each list only the first gap depends on the blocks before."""
    hashes = np.unique(np.concatenate([np.zeros(0, np.uint64), *(block.postings.hashes for block in blocks)]))
    sizes, counts, lasts = (np.zeros(len(hashes), np.int64) for _ in range(3))
    lasts -= 1
    pieces, row = list[tuple[_Block, Rows, Rows, Rows]](), 0
    for block in blocks:
        terms = np.searchsorted(hashes, block.postings.hashes)
        gaps = row - 1 - lasts[terms]
        lengths = _lengths_moved(block, gaps)
        pieces.append((block, terms, gaps, lengths))
        sizes[terms] += lengths
        counts[terms] += block.postings.counts
        lasts[terms] = row + block.lasts
        row += block.postings.row_count
    starts = np.concatenate([[0], np.cumsum(sizes)])
    lists, filled = np.empty(starts[-1], np.uint8), starts[:-1].copy()
    for block, terms, gaps, lengths in pieces:
        _move(block, gaps, filled[terms], lists)
        filled[terms] += lengths
    rows = [block.postings.lengths.astype(np.int64) for block in blocks]
    return _postings(hashes, starts, counts, np.concatenate([np.zeros(0, np.int64), *rows]), lists)


def _lengths_moved(block: _Block, gaps: Rows) -> Rows:
    """The bytes of a block's lists with so many more rows before each."""
    first, rows = (2 * block.firsts).astype(np.uint64), (2 * (block.firsts + gaps)).astype(np.uint64)
    starts = block.postings.starts.astype(np.int64)
    return starts[1:] - starts[:-1] - _sizes(first) + _sizes(rows)


def _move(block: _Block, gaps: Rows, places: Rows, moved: npt.NDArray[np.uint8]) -> None:
    """Copy a block's lists to these places, with so many more rows before each."""
    lists, compiled = block.postings.lists, kernel()
    if compiled is not None:
        compiled.move(lists, block.postings.starts, block.firsts, gaps, places, moved)
        return
    starts = block.postings.starts.astype(np.int64)
    several = lists[starts[:-1]] & 1
    old = _sizes((2 * block.firsts).astype(np.uint64))
    first, new_places = _encoded((2 * (block.firsts + gaps) + several).astype(np.uint64))
    new, rest = np.diff(new_places), np.diff(starts) - old
    moved[_ranges(places, new)] = first
    moved[_ranges(places + new, rest)] = lists[_ranges(starts[:-1] + old, rest)]


def _ranges(starts: Rows, lengths: Rows) -> Rows:
    """start, start + 1 ... of each, joined."""
    return np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())


def _postings(
    hashes: Hashes, starts: Rows | Hashes, counts: Rows, lengths: Rows, lists: npt.NDArray[np.uint8]
) -> Postings:
    small = lengths.astype("<u2" if lengths.max(initial=0) < _SHORT else "<u4")
    arrays = (hashes, starts.astype("<u8"), counts.astype("<u4"), small, lists)
    return Postings(*arrays, total_length=int(lengths.sum()), nbytes=sum(array.nbytes for array in arrays))


def _lengths(counted: npt.NDArray[np.bool_], ids: Numbers, sizes: Rows) -> Rows:
    """How many terms of two characters or more each row has. `counted`: has an id so many?"""
    sums = np.concatenate([[0], np.cumsum(counted[ids])])
    edges = np.concatenate([[0], np.cumsum(sizes)])
    return np.diff(sums[edges])


# -- lists ----------------------------------------------------------------------------------------


def _lists(row: Rows, times: Rows, counts: Rows) -> tuple[npt.NDArray[np.uint8], Rows]:
    """The bytes of all lists, and where each begins. The rows of each term are ascending, the terms too."""
    firsts = np.concatenate([[0], np.cumsum(counts)])
    gaps = np.diff(row, prepend=-1) - 1
    gaps[firsts[:-1]] = row[firsts[:-1]]
    several = times > 1
    places = np.arange(len(row)) + np.concatenate([[0], np.cumsum(several)])[:-1]
    values = np.zeros(len(row) + int(several.sum()), np.uint64)
    values[places] = 2 * gaps + several
    values[places[several] + 1] = times[several] - 2
    content, offsets = _encoded(values)
    of_rows = np.append(places, len(values))
    return content, offsets[of_rows[firsts]]


def _encoded(values: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint8], Rows]:
    """Numbers as LEB128, and where each begins, `(n + 1,)`."""
    sizes = _sizes(values)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    content = np.zeros(offsets[-1], np.uint8)
    for byte in range(int(sizes.max(initial=0))):
        which = np.flatnonzero(sizes > byte)
        low = (values[which] >> np.uint64(7 * byte)).astype(np.uint8) & np.uint8(127)
        content[offsets[which] + byte] = low | np.where(sizes[which] > byte + 1, np.uint8(128), np.uint8(0))
    return content, offsets


def _sizes(values: npt.NDArray[np.uint64]) -> Rows:
    """The bytes of each number in LEB128."""
    sizes = np.ones(len(values), np.int64)
    for bits in range(7, 64, 7):
        longer = values >= np.uint64(1 << bits)
        if not longer.any():
            break
        sizes += longer
    return sizes


def _decoded(content: npt.NDArray[np.uint8]) -> Rows:
    """The numbers in LEB128."""
    ends = np.flatnonzero(content < 128)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    shifts = 7 * (np.arange(len(content)) - np.repeat(starts, ends - starts + 1))
    return np.add.reduceat((content & np.uint8(127)).astype(np.int64) << shifts, starts) if len(ends) else starts


def _unfolded(values: Rows, count: int) -> tuple[Rows, Rows]:
    """Rows and times from the numbers of a list."""
    if len(values) == count:  # the common case: each has it once
        return np.cumsum((values >> 1) + 1) - 1, np.ones(count, np.int64)
    gaps, times = list[int](), list[int]()
    numbers = iter(values.tolist())
    for value in numbers:
        gaps.append((value >> 1) + 1)
        times.append(2 + next(numbers) if value & 1 else 1)
    return np.cumsum(np.array(gaps)) - 1, np.array(times)


def _padded(content: bytes) -> bytes:
    return content + bytes(_round_up(len(content)) - len(content))


def _round_up(size: int) -> int:
    return -(-size // 8) * 8
