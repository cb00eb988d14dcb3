"""The compiled keyword scores and lists, where there are any; `ranking` and `postings` use numpy otherwise: same bits.

`hatch_build.py` compiles keywords.c beside this file when a wheel or an editable install is made. A file that is
missing, that this machine cannot load, that is of another version or that computes other scores is not used.

Decisions
1. A library of its own, not a part of `index/kernel`: the two share no function, and a change of one makes only its own
   compiled file old.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vecver.model import KernelUse

VERSION: Final = 3  # of keywords.c
FILE: Final = Path(__file__).with_name("_keywords.so")
FIELDS: Final = 10  # of a part
# what numpy gives for the rows of `_tried`
_COUNTS: Final = [2, 1]
_ROWS: Final = [1, 0]
_SCORES: Final = [97507365639, 48103633715]
_LISTS: Final = [0, 1, 1, 4]

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]


class Kernel:
    """The compiled functions. Parts are `(parts, FIELDS)` int64 rows of addresses and counts, as `Part` in keywords.c.

    Every array is C-contiguous and of its type, and lives as long as the call: the caller sees to it.
    """

    def __init__(self, file: Path) -> None:
        library: Any = ctypes.CDLL(str(file))
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._count, self._best = library.vecver_keywords_count, library.vecver_keywords_best
        self._scores = library.vecver_keywords_scores
        self._count.argtypes = [pointer, number, pointer, number, pointer]
        self._best.argtypes = [pointer, number, *[pointer] * 2, number, *[pointer] * 4, number, *[pointer] * 6]
        self._scores.argtypes = [*[pointer] * 2, number, *[pointer] * 5, number, pointer]
        self._lists, self._move = library.vecver_keywords_lists, library.vecver_keywords_move
        self._lists.argtypes = [*[pointer] * 2, number, *[pointer] * 2, number, *[pointer] * 7]
        self._move.argtypes = [*[pointer] * 2, number, *[pointer] * 4]
        for function in (self._count, self._best, self._scores, self._lists, self._move):
            function.restype = number
        self.version: int = library.vecver_keywords_version()

    def count(self, parts: Integers, hashes: Hashes) -> Integers:
        """In how many live rows each term is, `(t,)`."""
        counts = np.empty(len(hashes), np.int64)
        self._count(_address(parts), len(parts), _address(hashes), len(hashes), _address(counts))
        return counts

    def best(
        self,
        parts: Integers,
        selected: Integers,
        hashes: Hashes,
        weights: Floats,
        in_query: Integers,
        by_length: tuple[Floats, Floats],
        n: int,
        wanted: tuple[Integers, Integers] | None = None,
    ) -> tuple[Integers, Integers]:
        """The parts, rows and scores (in units of 2^-36) of the best `n` > 0 rows, `(3, <= n)`, and of wanted rows.

        `selected`: where each mask lies. `wanted`: rows, those of part i ascending from starts[i] to starts[i + 1];
        their scores come from the same pass, `(rows,)`.
        """
        found = np.empty((3, n), np.int64)
        starts, rows = wanted or (None, None)
        scores = np.zeros(0 if rows is None else len(rows), np.int64)
        damping, single = by_length
        terms = (_address(hashes), len(hashes), _address(weights), _address(in_query))
        places = [_address(row) for row in found]
        arguments = (_address(parts), len(parts), _address(selected), *terms, _address(damping), _address(single))
        count = _check(self._best(*arguments, n, *places, address_of(starts), address_of(rows), _address(scores)))
        return found[:, :count], scores

    def scores(
        self,
        part: Integers,
        hashes: Hashes,
        weights: Floats,
        in_query: Integers,
        by_length: tuple[Floats, Floats],
        rows: Integers,
    ) -> Integers:
        """The scores of ascending rows of one part, in units of 2^-36."""
        scores = np.zeros(len(rows), np.int64)
        terms = (_address(hashes), len(hashes), _address(weights), _address(in_query))
        lengths = (_address(by_length[0]), _address(by_length[1]))
        _check(self._scores(_address(part), *terms, *lengths, _address(rows), len(rows), _address(scores)))
        return scores

    def lists(self, ids: Numbers, sizes: Integers, ranks: Numbers, counted: npt.NDArray[np.bool_]) -> Lists:
        """The lists of terms from the terms of each row: `ids`, all rows joined; `sizes`: how many each row has.

        `ranks`: the place of each id's term among the terms in order; `counted`: has it a share in a row's length?
        """
        terms = int(ranks.max(initial=-1)) + 1
        counts, firsts, lasts, sized = (np.zeros(terms, np.int64) for _ in range(4))
        starts, lengths = np.zeros(terms + 1, np.uint64), np.empty(len(sizes), np.int64)
        rows = (_address(ids), _address(sizes), len(sizes), _address(ranks), _address(counted), terms)
        facts = [_address(array) for array in (counts, firsts, lasts, sized, lengths)]
        _check(self._lists(*rows, *facts, None, None))
        starts[1:] = np.cumsum(sized)
        lists = np.empty(int(starts[-1]), np.uint8)
        _check(self._lists(*rows, *[None] * 5, _address(starts), _address(lists)))
        return Lists(counts, firsts, lasts, starts, lengths, lists)

    def move(
        self,
        lists: npt.NDArray[np.uint8],
        starts: Hashes,
        firsts: Integers,
        gaps: Integers,
        places: Integers,
        moved: npt.NDArray[np.uint8],
    ) -> None:
        """Copy lists to these places of `moved`, with so many more rows before the first row of each."""
        arrays = [_address(array) for array in (firsts, gaps, places, moved)]
        self._move(_address(lists), _address(starts), len(firsts), *arrays)


class Lists(NamedTuple):
    """Lists of terms in order, and what is known of each term and row."""

    counts: Integers  # (terms,): rows that have it
    firsts: Integers  # (terms,): the first of these
    lasts: Integers
    starts: Hashes  # (terms + 1,): where each list begins
    lengths: Integers  # (rows,)
    lists: npt.NDArray[np.uint8]


@cache
def kernel() -> Kernel | None:
    """The kernel beside this file; None where there is none that computes the same scores as numpy."""
    return load(FILE)


def load(file: Path) -> Kernel | None:
    """The kernel in a file; None if it is missing, cannot be loaded, has another version or computes other scores."""
    return _kernel_or_problem(file)[0]


def use(file: Path = FILE) -> KernelUse:
    """Whether the kernel in a file is used, and why not."""
    from vecver.model import KernelUse

    opened, problem = _kernel_or_problem(file)
    return KernelUse("keywords", "the compiler's default instructions" if opened else None, problem)


def _kernel_or_problem(file: Path) -> tuple[Kernel | None, str]:
    """The kernel in a file, or None and why it is not used."""
    if not file.exists():
        return None, "it was not built"
    try:
        opened = Kernel(file)
    except (OSError, AttributeError) as error:
        return None, f"it cannot be loaded: {error}"
    if opened.version != VERSION:
        return None, f"it is of version {opened.version}, this vecver needs {VERSION}"
    if not (_computes_the_scores(opened) and _writes_the_lists(opened)):
        return None, "it computes other scores or lists than numpy"
    return opened, ""


def part_row(
    hashes: Hashes,
    starts: npt.NDArray[np.uint64],
    counts: npt.NDArray[np.uint32],
    lengths: npt.NDArray[Any],
    lists: npt.NDArray[np.uint8],
    live: npt.NDArray[np.uint8] | None,
    keys: npt.NDArray[np.uint8],
) -> Integers:
    """A part as the kernel takes it, `(FIELDS,)`; the arrays must live as long as it is used."""
    facts = [_address(hashes), len(hashes), _address(starts), _address(counts), _address(lengths), lengths.itemsize]
    masks = 0 if live is None else _address(live)
    return np.array([*facts, len(lengths), _address(lists), masks, _address(keys)], np.int64)


def address_of(array: npt.NDArray[Any] | None) -> int:
    """Where an array lies; 0 for None."""
    return 0 if array is None else _address(array)


def _computes_the_scores(opened: Kernel) -> bool:
    """True if a few scores are those of numpy: fused or reordered operations would change them."""
    hashes, keys = np.array([3, 7], np.uint64), np.zeros((3, 16), np.uint8)
    lists = np.array([0, 1, 1, 4], np.uint8)  # of the first: row 0 once, row 1 three times; of the second: row 2 once
    arrays = (hashes, np.array([0, 3, 4], np.uint64), np.array([2, 1], np.uint32), np.array([1, 2, 0], np.uint16))
    part = part_row(*arrays, lists, None, keys)[None, :]
    damping = np.array([0.375, 1.5, 0.7])
    weights, in_query = np.array([1.0, 0.0]), np.array([1, 1])
    by_length = damping, 1 / (1 + damping)
    wanted = np.array([0, 2]), np.array([0, 1])
    found, given = opened.best(part, np.zeros(1, np.int64), hashes, 1.75 * weights, 1 * in_query, by_length, 3, wanted)
    counts = opened.count(part, hashes).tolist()
    return (counts, found[1].tolist(), found[2].tolist(), given.tolist()) == (_COUNTS, _ROWS, _SCORES, _SCORES[::-1])


def _writes_the_lists(opened: Kernel) -> bool:
    """True if a few lists are those of numpy: row 0 has a term once and row 1 three times; row 2 has another once."""
    ids, sizes = np.array([1, 1, 1, 1, 0], np.int32), np.array([1, 3, 1])
    made = opened.lists(ids, sizes, np.array([1, 0], np.int32), np.array([True, True]))
    return (made.lists.tolist(), made.starts.tolist()) == (_LISTS, [0, 3, 4])


def _address(array: npt.NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _check(result: int) -> int:
    if result < 0:
        raise MemoryError("keyword search got no memory")
    return result
