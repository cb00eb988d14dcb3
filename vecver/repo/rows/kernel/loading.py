"""Loads the compiled sums of roots. Where there are none, or they give other bits than hashlib, roots use hashlib.

_lanes.so    compiled from lanes.c when the wheel was built, or by `python hatch_build.py` in a source tree
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import ctypes

    from vecver.model import KernelUse

LIBRARY = Path(__file__).with_name("_lanes.so")
VERSION = 1  # of lanes.c
LANES = 1024
_INSTRUCTIONS = {8: "AVX-512", 4: "AVX2", 2: "the compiler's default instructions"}  # by rows at once
_TRIED = tuple(bytes(range(size % 251)) * 2 for size in (0, 1, 83, 84, 85, 167, 168, 169, 3, 240, 250))

Lanes = npt.NDArray[np.uint16]
Add = Callable[[bytes | memoryview, npt.NDArray[np.int64]], Lanes]  # rows in a line, where each ends -> their sum


@cache
def load(library: Path = LIBRARY) -> Add | None:
    """The compiled sum of rows' SHAKE128 expansions; None if it is missing, of another version, or wrong."""
    return _add_or_problem(library)[0]


def use(library: Path = LIBRARY) -> KernelUse:
    """Whether roots are summed by compiled code, with which instructions, and why not."""
    from vecver.model import KernelUse

    add, width, problem = _add_or_problem(library)
    return KernelUse("roots", _INSTRUCTIONS[width] if add else None, problem)


def _add_or_problem(library: Path) -> tuple[Add | None, int, str]:
    """The compiled sum and its rows at once, or None and why it is not used."""
    if not library.exists():
        return None, 0, "it was not built"
    import ctypes

    try:
        opened = ctypes.CDLL(str(library))
        if (version := opened.vecver_lanes_version()) != VERSION:
            return None, 0, f"it is of version {version}, this vecver needs {VERSION}"
        width = opened.vecver_lanes_width()
        add = _bound(opened, width)
    except (OSError, AttributeError) as error:
        return None, 0, f"it cannot be loaded: {error}"
    if not np.array_equal(add(*joined(_TRIED)), hashed(_TRIED)):
        return None, 0, "it computes other sums than hashlib"
    return add, width, ""


def joined(rows: Sequence[bytes]) -> tuple[bytes, npt.NDArray[np.int64]]:
    """Rows one after the other, and where each ends, `(n,)`."""
    return b"".join(rows), np.cumsum([len(row) for row in rows], dtype=np.int64)


def hashed(rows: Sequence[bytes]) -> Lanes:
    """The sum of the rows' expansions, `(1024,)`, by hashlib."""
    expanded = b"".join([hashlib.shake_128(row).digest(2 * LANES) for row in rows])
    return np.frombuffer(expanded, dtype="<u2").reshape(-1, LANES).sum(axis=0, dtype="<u2")


def _bound(library: ctypes.CDLL, width: int) -> Add:
    """`vecver_add_lanes` for arrays, `width` rows at a time."""
    import ctypes

    function: Any = library.vecver_add_lanes
    function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_void_p)
    function.restype = None

    def add(content: bytes | memoryview, ends: npt.NDArray[np.int64]) -> Lanes:
        total = np.zeros(LANES, "<u2")
        start = np.frombuffer(content or b"\0", np.uint8).ctypes.data
        function(start, np.ascontiguousarray(ends, np.int64).ctypes.data, len(ends), width, total.ctypes.data)
        return total

    return add
