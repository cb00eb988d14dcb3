"""Maps files into memory, read-only: what `LocalStore.map` returns.

Decisions
1. By the system's `mmap` through ctypes, not by Python's: that one keeps a file descriptor a mapping until Python 3.13,
   and opened versions may map more files than a process may have descriptors. pyarrow's keeps none, but importing
   pyarrow takes 30 ms, a fifth of a cold search. Where there is no such call (Windows), Python's is used.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from functools import cache
from pathlib import Path
from typing import Any

_FAILED = ctypes.c_void_p(-1).value


def map_file(path: Path) -> memoryview:
    """The bytes of a file, which stay mapped while they are used, even if the file is deleted. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        size = os.fstat(descriptor).st_size
        if size == 0:
            return memoryview(b"")  # an empty file cannot be mapped
        return _mapped(descriptor, size)
    finally:
        os.close(descriptor)


def _mapped(descriptor: int, size: int) -> memoryview:
    library = _library()
    if library is None:
        return memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ))
    address = library.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address == _FAILED:
        raise OSError(number := ctypes.get_errno(), os.strerror(number))
    region = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(region, library.munmap, address, size).atexit = False  # arrays may be read until the very end
    return memoryview(region).cast("B").toreadonly()


@cache
def _library() -> Any:
    """The C library's `mmap` and `munmap`; None where there are none."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        library.mmap.restype = ctypes.c_void_p
    except (OSError, AttributeError, TypeError):
        return None
    place, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    library.mmap.argtypes = [place, size, number, number, number, ctypes.c_long]
    library.munmap.argtypes, library.munmap.restype = [place, size], number
    return library
