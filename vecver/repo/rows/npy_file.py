"""Files of numpy arrays (.npy): their header, and the array in the bytes of one.

Decisions
1. A header is read here and not by numpy, which asks `ast`: in Python 3.11 that fails now and then while another thread
   does the same ("AST constructor recursion depth mismatch"). A header that numpy would not write is left to numpy.
"""

from __future__ import annotations

import io
import re
from typing import Any, Final

import numpy as np
import numpy.typing as npt

HEADER_BYTES: Final = 128  # room for every shape we write
_LONGEST: Final = 4096
_HEADER: Final = re.compile(
    rb"\x93NUMPY\x01\x00(..)\{'descr': '(<[fiu]\d)', 'fortran_order': False, 'shape': \((\d+),(?: (\d+))?\), \} *\n",
    re.DOTALL,
)


def header(shape: tuple[int, ...], kind: str) -> bytes:
    """The header of an array in C order; `kind`: of its numbers, such as "<f4"."""
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": kind, "fortran_order": False, "shape": shape})
    assert written.tell() == HEADER_BYTES, "an npy header of another length"
    return written.getvalue()


def array_of(buffer: memoryview) -> npt.NDArray[Any]:
    """The array in the bytes of a file, mapped. Raises ValueError."""
    read = _HEADER.match(buffer[:_LONGEST])
    if read and read.end() == 10 + int.from_bytes(read[1], "little"):
        shape = tuple(int(side) for side in (read[3], read[4]) if side)
        return np.frombuffer(buffer, read[2].decode(), offset=read.end()).reshape(shape)
    stream = io.BytesIO(buffer[:_LONGEST])
    np.lib.format.read_magic(stream)
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    return np.frombuffer(buffer, dtype, offset=stream.tell()).reshape(shape)
