"""The compiled kernel of scores, window, order, masks and codes, where there is one; other rooms use numpy otherwise.

`hatch_build.py` compiles kernel.c beside this file when a wheel or an editable install is made. A file that is missing,
that this machine cannot load, that is of another version or that computes other bits than the rule is not used.

Decisions
1. C through ctypes. Numba took 0.3 s to import, 0.5 s for its first call and 208 MB; an extension module would need a
   wheel for each version of Python.
2. Nothing is compiled when vecver is imported or used, so that a first search never waits for a compiler.
3. The kernel runs on every CPU; on Linux x86-64 the loader picks code for AVX2 or AVX-512 where the CPU has it. Ranking
   190 candidates takes 34 us, 42 without that, and 60 with numpy.
4. The choice of lists (`faiss/proposing.py`) stays in numpy. In C it gained nothing that could be measured: reading the
   lists takes most of the time.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vecver.model import KernelUse

VERSION = 4  # of kernel.c
FILE = Path(__file__).with_name("_kernel.so")
_LONG = 1 << 20  # floats; a longer call lets other threads run Python meanwhile
# Score bits by numpy, for `_computes_the_rule`.
_PRODUCTS = [-4639067904183107584, 3936596434391924736, 0]
_DISTANCES = [-4441528271841871463, -4441528271842028749, -4441528271842028749]
_CODES = [[4, 8, 0, -30, 127], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]  # of its rows

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint8]
Bits = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Codes:
    """8-bit codes of rows: row i lies no farther than `errors[i]` from a centre + `scales[i] * codes[i]`."""

    codes: npt.NDArray[np.int8]  # (n, dim)
    scales: Floats  # (n,), 0 or a normal number
    errors: Floats  # (n,)
    squares: Floats | None  # (n,): the squared length of each row; None: not for l2
    longest: float  # no row, and no row as coded, from the centre, is longer

    @property
    def nbytes(self) -> int:
        """Memory that these hold."""
        arrays = (self.codes, self.scales, self.errors, self.squares)
        return sum(array.nbytes for array in arrays if array is not None)


class Query(NamedTuple):
    """A query in integers, and how far from its score a row's code can lead: `norm` times the row's error + `slack`."""

    integers: npt.NDArray[np.int16]  # (dim,), nearly the query when multiplied by `unit`
    unit: float
    norm: float
    slack: float


class Kernel:
    """The compiled functions. Every array is checked to be C-contiguous and of its type (`fits`) by the caller."""

    def __init__(self, file: Path) -> None:
        self._short, self._long = ctypes.PyDLL(str(file)), ctypes.CDLL(str(file))
        pointer, number, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
        types = {
            "vecver_scores": [pointer, number, number, pointer, number, pointer, number, pointer],
            "vecver_normalised": [pointer, number, number, pointer],
            "vecver_selected": [pointer, number, pointer, number, pointer, number, pointer, pointer],
            "vecver_list_sizes": [pointer, number, pointer, number, pointer],
            "vecver_best": [pointer, number, pointer, number, *[pointer] * 2, number, number, real, *[pointer] * 2],
            "vecver_encode": [pointer, number, number, *[pointer] * 6],
            "vecver_scan": [pointer, number, *[pointer] * 5, number, number, *[real] * 3, pointer, number],
        }
        for library in (self._short, self._long):
            for name, arguments in types.items():
                function = getattr(library, name)
                function.argtypes, function.restype = arguments, number
        self.version: int = self._short.vecver_kernel_version()

    @property
    def instructions(self) -> str:
        """The instruction set that the loader chose."""
        register_bits = getattr(self._short, "vecver_kernel_register_bits", lambda: 0)()
        return {512: "AVX-512", 256: "AVX2", 128: "SSE2"}.get(register_bits, "the compiler's default instructions")

    def scores(self, query: Floats, vectors: Floats, rows: Rows | None, *, is_l2: bool) -> Doubles:
        """The scores of `vectors[rows]`, or of all `vectors`, `(n,)`. Raises IndexError for a row that is not there."""
        count, dim = len(vectors) if rows is None else len(rows), vectors.shape[1]
        scores = np.empty(count)
        places = None if rows is None else _address(rows)
        function = self._for(count * dim).vecver_scores
        _check(function(_address(query), dim, is_l2, _address(vectors), len(vectors), places, count, _address(scores)))
        return scores

    def normalised(self, vectors: Floats) -> Floats:
        """Each row with unit length, `(n, dim)`; a zero row stays zero."""
        result = np.empty_like(vectors)
        count, dim = vectors.shape
        _check(self._for(count * dim).vecver_normalised(_address(vectors), count, dim, _address(result)))
        return result

    def best(
        self, query: Floats, vectors: Floats, keys: Keys, rows: Rows, k: int, slack: float
    ) -> tuple[list[int], list[float]]:
        """The best `k` of `vectors[rows]` by inner product, best first, and their scores; fewer if `rows` are fewer.

        `slack`: how far a float32 product can lie from the score. Raises IndexError for a row that is not there.
        """
        count, dim = len(rows), vectors.shape[1]
        best, scores = np.empty(min(k, count), np.int64), np.empty(min(k, count))
        arrays = (_address(vectors), len(vectors), _address(keys), _address(rows), count, min(k, count), slack)
        function = self._for(count * dim).vecver_best
        found = _check(function(_address(query), dim, *arrays, _address(best), _address(scores)))
        return best[:found].tolist(), scores[:found].tolist()

    def selected(
        self, documents: npt.NDArray[np.bool_], numbers: Numbers, codes: Numbers, live: Bits
    ) -> tuple[Bits, int]:
        """What `masks.selected` gives. Raises IndexError for a document or code that is not there."""
        bits = np.empty_like(live)
        arrays = (_address(documents), len(documents), _address(numbers), len(numbers), _address(codes), len(codes))
        return bits, _check(self._for(len(codes)).vecver_selected(*arrays, _address(live), _address(bits)))

    def list_sizes(self, lists: npt.NDArray[np.uint16], live: Bits, count: int) -> Rows:
        """What `masks.list_sizes` gives. Raises IndexError for a list that is not there."""
        sizes = np.zeros(count, np.int64)
        function = self._for(len(lists)).vecver_list_sizes
        _check(function(_address(lists), len(lists), _address(live), count, _address(sizes)))
        return sizes

    def encode(self, vectors: Floats, centre: Floats, *, is_l2: bool) -> Codes:
        """8-bit codes of rows, as seen from `centre`, `(dim,)`. No copy of the vectors is made."""
        count, dim = vectors.shape
        codes, longest = np.empty((count, dim), np.int8), np.zeros(1)
        scales, errors, squares = (np.empty(size, np.float32) for size in (count, count, count if is_l2 else 0))
        arrays = (centre, codes, scales, errors, squares, longest)
        places = [_address(array) if array.size else None for array in arrays]
        _check(self._for(count * dim).vecver_encode(_address(vectors), count, dim, *places))
        return Codes(codes, scales, errors, squares if is_l2 else None, float(longest[0]))

    def scan(self, query: Query, codes: Codes, live: npt.NDArray[np.uint8] | None, live_count: int, k: int) -> Rows:
        """The live rows, ascending, that can be among the `k` with the highest scores. `k`: below `live_count`.

        `live`: little-endian bits, row i is bit i; None: all rows. Raises IndexError if more live than `live_count`.
        """
        count, dim = codes.codes.shape
        if len(query.integers) != dim or not (live is None or 8 * len(live) >= count) or not 0 < k < live_count:
            raise IndexError("the query or the mask does not fit the codes")
        arrays = (codes.codes, codes.scales, codes.errors, codes.squares, live)
        places = [None if array is None else _address(array) for array in arrays]
        rows = np.empty(live_count, np.int64)  # pages that no row is written to take no memory
        bounds = (query.unit, query.norm, query.slack)
        scan = self._for(live_count * dim).vecver_scan
        kept = _check(scan(_address(query.integers), dim, *places, count, k, *bounds, _address(rows), live_count))
        return rows[:kept].copy()

    def _for(self, floats: int) -> Any:
        return self._short if floats < _LONG else self._long


@cache
def kernel() -> Kernel | None:
    """The kernel beside this file; None where there is none that computes the rule's bits here."""
    return load(FILE)


def load(file: Path) -> Kernel | None:
    """The kernel in a file; None if it is missing, cannot be loaded, has another version or computes other bits."""
    return _kernel_or_problem(file)[0]


def use(file: Path = FILE) -> KernelUse:
    """Whether scores are computed by the kernel in a file, with which instructions, and why not."""
    from vecver.model import KernelUse

    opened, problem = _kernel_or_problem(file)
    return KernelUse("scores", opened.instructions if opened else None, problem)


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
    return (opened, "") if _computes_the_rule(opened) else (None, "it computes other score bits than numpy")


def fits(array: npt.NDArray[Any], dtype: np.dtype[Any], columns: int | None = None) -> bool:
    """True if an array can be given to the kernel as it lies: of this type, C-contiguous, with so many columns."""
    shape_fits = columns is None or (array.ndim == 2 and array.shape[1] == columns)
    return array.dtype == dtype and array.flags.c_contiguous and shape_fits


def _computes_the_rule(opened: Kernel) -> bool:
    """True if a few scores have the bits that `scoring` gives: compiled with -ffast-math they would not."""
    query = np.array([1.1, -3e-39, 7e5, 0.3, -0.0], np.float32)
    rows = np.array([[0.1, 0.2, 1e-7, -0.7, 3], [1e-45, 0, 0, 0, 0], [0, 0, 0, 0, 0]], np.float32)
    products = opened.scores(query, rows, None, is_l2=False).view(np.int64).tolist()
    distances = opened.scores(query, rows, None, is_l2=True).view(np.int64).tolist()
    codes = opened.encode(rows, np.zeros(5, np.float32), is_l2=True)
    first = Query(np.array([1, 0, 0, 0, 0], np.int16), 1.0, 0.0, 0.0)
    row = opened.scan(first, codes, None, len(rows), 1).tolist()
    return (products, distances, codes.codes.tolist(), row) == (_PRODUCTS, _DISTANCES, _CODES, [1, 2])


def _address(array: npt.NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _check(result: int) -> int:
    if result == -1:
        raise MemoryError("the search kernel got no memory")
    if result == -2:
        raise IndexError("a row number lies outside of the vectors")
    return result
