"""The compiled search for words, where there is one; `many_texts` uses Python otherwise, for the same terms.

`hatch_build.py` compiles words.c beside this file when a wheel or an editable install is made. A file that is missing,
that this machine cannot load, that is of another version or that finds other words is not used.

Calls let other threads run: they hold no lock of the interpreter.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from secrets import randbits
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vecver.model import KernelUse

VERSION: Final = 3  # of words.c
FILE: Final = Path(__file__).with_name("_words.so")
_SEED: Final = randbits(64)  # of the table's hashes, so that no text can be written to make it slow; changes no number
_TRIED: Final = ["a.b 1,2 a,b it's", "\x1cna\u00efve\u2028os.path", "", "1.a a"]
_WORDS: Final = ["a.b", "1,2", "a", "b", "it's", "na\u00efve", "os.path", "1"]
_UNITS: Final = [0, 1, 2, 3, 4, 5, 6, 7, 2, 2]
_FOLDED: Final = ["httpserver2", "http", "server2", "a.bc", "bc", "usern", "user"]
_NUMBERS: Final = [0, 1, 2, 3, 4, 5, 6]
_COUNTS: Final = [3, 2, 2, 0, -1, -1]  # of these units:
_FOLDING: Final = ["HTTPServer2", "a.Bc", "_userN", "__", "it's", "na\u00efve"]

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]


class Kernel:
    """The compiled functions."""

    def __init__(self, file: Path) -> None:
        library: Any = ctypes.CDLL(str(file))
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._units, self._terms = library.vecver_words_units, library.vecver_words_terms
        self._folded = library.vecver_words_folded
        self._units.argtypes = [ctypes.c_char_p, pointer, number, ctypes.c_uint64, *[pointer] * 5]
        self._terms.argtypes = [*[pointer] * 2, number, *[pointer] * 4]
        self._folded.argtypes = [ctypes.c_char_p, number, ctypes.c_uint64, *[pointer] * 6]
        for function in (self._units, self._folded, self._terms):
            function.restype = number
        self.version: int = library.vecver_words_version()

    def units(self, content: bytes, ends: Integers) -> tuple[list[str], Numbers, Integers]:
        """The distinct units of texts, the number of each unit of each text, and how many each text has, `(texts,)`.

        `content`: the texts as NFKC and UTF-8, one after the other; `ends`: where each ends.
        """
        room = (len(content) + len(ends) + 1) // 2 + 1
        places = np.empty((2, room), np.int64)
        units, counts = np.empty(room, np.int32), np.empty(len(ends), np.int64)
        words = np.empty(len(content) + room, np.uint8)
        outputs = [_address(array) for array in (*places, units, counts, words)]
        written = self._units(content, _address(ends), len(ends), _SEED, *outputs)
        if written < 0:
            raise MemoryError("the words of texts got no memory")
        names = str(words[:written].data, "utf-8").split("\n")[:-1]
        return names, units[: int(counts.sum())].copy(), counts

    def folded(self, units: Sequence[str]) -> tuple[list[str], Numbers, Integers]:
        """The distinct folded words of units; the numbers of each unit's words, all joined; how many each unit has.

        -1 of a unit that Python takes apart. `units`: without line feeds.
        """
        content = ("\n".join(units) + "\n").encode() if units else b""
        room = len(units) + len(content) // 2 + 1  # itself, and parts of two characters or more
        places, lowered = np.empty((2, room), np.int64), np.empty(len(content), np.uint8)
        numbers, counts = np.empty(room, np.int32), np.empty(len(units), np.int64)
        words = np.empty(2 * len(content) + room, np.uint8)
        outputs = [_address(array) for array in (*places, lowered, numbers, counts, words)]
        written = self._folded(content, len(content), _SEED, *outputs)
        if written < 0:
            raise MemoryError("the words of texts got no memory")
        names = str(words[:written].data, "ascii").split("\n")[:-1]
        return names, numbers[: int(np.maximum(counts, 0).sum())].copy(), counts

    def terms(self, units: Numbers, counts: Integers, starts: Integers, numbers: Numbers) -> tuple[Numbers, Integers]:
        """The terms of each text's units, all joined, and how many each text has, `(texts,)`.

        `starts`: where the terms of each unit lie in `numbers`, `(distinct + 1,)`.
        """
        sizes = np.empty(len(counts), np.int64)
        facts = (_address(units), _address(counts), len(counts), _address(starts), _address(numbers))
        terms = np.empty(self._terms(*facts, None, _address(sizes)), np.int32)
        self._terms(*facts, _address(terms), _address(sizes))
        return terms, sizes


@cache
def kernel() -> Kernel | None:
    """The kernel beside this file; None where there is none that finds the words that Python finds."""
    return load(FILE)


def load(file: Path) -> Kernel | None:
    """The kernel in a file; None if it is missing, cannot be loaded, has another version or finds other words."""
    return _kernel_or_problem(file)[0]


def use(file: Path = FILE) -> KernelUse:
    """Whether the kernel in a file is used, and why not."""
    from vecver.model import KernelUse

    opened, problem = _kernel_or_problem(file)
    return KernelUse("words", "the compiler's default instructions" if opened else None, problem)


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
    if not _finds_the_words(opened):
        return None, "it finds other words than Python"
    return opened, ""


def _finds_the_words(opened: Kernel) -> bool:
    """True if the words of a few texts are those of Python."""
    encoded = [text.encode() for text in _TRIED]
    words, units, _ = opened.units(b"".join(encoded), np.cumsum([len(text) for text in encoded], dtype=np.int64))
    folded, numbers, counts = opened.folded(_FOLDING)
    parts = (folded, numbers.tolist(), counts.tolist())
    return (words, units.tolist()) == (_WORDS, _UNITS) and parts == (_FOLDED, _NUMBERS, _COUNTS)


def _address(array: npt.NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])
