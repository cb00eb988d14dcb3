"""Bins: the classes into which a sketch sorts rows, and what each is called. The same on every machine.

Decisions
1. Edges are whole numbers, or constants compared with numbers that are computed without rounding differences. The
   order of a sum changes the last bits of a float, and a row at an edge would then be counted in one bin when it comes
   and subtracted from another when it goes.
2. Vectors of length 1, the usual ones, lie in the middle of a bin.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vecver.sketching.languages import NAMES as LANGUAGES

Bins = npt.NDArray[np.int64]

EXACT = 4096  # characters below which every length has a bin of its own
_STEPS = 8  # bins an octave above that, and of sizes and norms
_OCTAVES = 40
_SIZE_EDGES = np.unique(np.rint(np.exp2(np.arange(_OCTAVES * _STEPS + 1) / _STEPS)).astype(np.int64))
_LENGTH_EDGES = np.concatenate([np.arange(1, EXACT, dtype=np.int64), _SIZE_EDGES[_SIZE_EDGES >= EXACT]])
_MANTISSAS = np.array([0.5221, 0.5694, 0.6209, 0.6771, 0.7384, 0.8052, 0.8781, 0.9576])  # 2 ** ((i + 0.5) / 8 - 1)
_LEAST, _MOST = -31, 32  # binary exponents of norms that have bins
ENDINGS = ("a letter or digit", "the end of a sentence", "a bracket or quote", "another sign", "space", "nothing")

LENGTHS = len(_LENGTH_EDGES) + 1
SIZES = len(_SIZE_EDGES) + 1
NORMS = (_MOST - _LEAST + 1) * _STEPS + 2  # the first for zero, the last for infinity
CELLS = 64


def length_bins(characters: Bins) -> Bins:
    """The bin of each length."""
    return np.searchsorted(_LENGTH_EDGES, characters, side="right")


def size_bins(counts: Bins) -> Bins:
    """The bin of each count: eight an octave."""
    return np.searchsorted(_SIZE_EDGES, counts, side="right")


_STEPS_OF_LENGTHS = size_bins(np.concatenate([[0], _LENGTH_EDGES]))


def norm_bins(norms: npt.NDArray[np.float64]) -> Bins:
    """The bin of each vector's length: eight an octave."""
    mantissas, exponents = np.frexp(norms)
    steps = np.searchsorted(_MANTISSAS, mantissas, side="right")
    bins = 1 + np.clip((exponents.astype(np.int64) - _LEAST) * _STEPS + steps, 0, NORMS - 2)
    return np.where(norms > 0, bins, 0)


def octave_steps(lengths: Bins) -> Bins:
    """The counts of lengths, `(LENGTHS,)`, summed to the bins of sizes, `(SIZES,)`."""
    return np.bincount(_STEPS_OF_LENGTHS, lengths, SIZES).astype(np.int64)


def length_of(bin: int) -> int:
    """The smallest length in a bin of lengths, in characters."""
    return int(_LENGTH_EDGES[bin - 1]) if bin else 0


def step_of_length(lengths: Bins) -> Bins:
    """Bins of lengths as bins of sizes."""
    return _STEPS_OF_LENGTHS[lengths]


def ending_name(bin: int) -> str:
    """What stands at the end of the texts of a bin."""
    return ENDINGS[bin]


def language_name(bin: int) -> str:
    """The language class of a bin."""
    return LANGUAGES[bin]


def size_name(first: int, last: int) -> str:
    """The sizes in the bins from `first` to `last`, such as "91-107"."""
    least, most = (int(_SIZE_EDGES[first - 1]) if first else 0), int(_SIZE_EDGES[min(last, SIZES - 2)]) - 1
    return f"{least:,}" if most <= least else f"{least:,}-{most:,}"


def sizes_of_bins() -> npt.NDArray[np.float64]:
    """The smallest size in each bin, `(SIZES,)`."""
    return np.concatenate([[0.0], _SIZE_EDGES.astype(np.float64)])


def norm_name(bin: int) -> str:
    """The middle of a bin of norms."""
    if bin in (0, NORMS - 1):
        return "0" if bin == 0 else "beyond 2^32"
    return f"about {2 ** ((bin - 1) / _STEPS + _LEAST - 1):.3g}"


def cell_name(bin: int) -> str:
    """A cell of the vectors' space."""
    return f"cell {bin} of {CELLS}"
