"""A log of 16-byte keys, each with a number: many are added and looked up at once, in 32 bytes of memory a key.

Decisions
1. Keys lie in sorted runs, of which the last two become one when they are of similar length. So 1,000,000 keys in
   batches of 8,192 are looked up in some 7 runs; a set of Python's bytes takes 110 bytes a key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint8]  # (n, 16)
Numbers = npt.NDArray[np.int64]
ABSENT = -1
_BYTES = 16


class _Run(NamedTuple):
    """Keys sorted by their first 8 bytes."""

    prefixes: npt.NDArray[np.uint64]
    keys: Keys
    numbers: Numbers


class KeyLog(Collection[bytes]):
    """Keys that were added, each with the number of its first addition, which is not negative."""

    def __init__(self) -> None:
        self._single: dict[bytes, int] = {}
        self._runs: list[_Run] = []

    def __len__(self) -> int:
        return len(self._single) + sum(len(run.numbers) for run in self._runs)

    def __iter__(self) -> Iterator[bytes]:
        return (key.tobytes() for key in self.keys())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and self._number(key) != ABSENT

    def add(self, key: bytes, number: int = 0) -> int:
        """Add one key unless it is there; the number that it has."""
        present = self._number(key)
        return self._single.setdefault(key, number) if present == ABSENT else present

    def add_all(self, keys: Keys, numbers: Numbers | None = None) -> None:
        """Add distinct keys that are not there yet."""
        if len(keys):
            self._runs.append(_run(keys, np.zeros(len(keys), np.int64) if numbers is None else numbers))
        while len(self._runs) > 1 and len(self._runs[-2].numbers) <= 2 * len(self._runs[-1].numbers):
            last, before = self._runs.pop(), self._runs.pop()
            keys, numbers = np.concatenate([before.keys, last.keys]), np.concatenate([before.numbers, last.numbers])
            self._runs.append(_run(keys, numbers))

    def numbers_of(self, keys: Keys) -> Numbers:
        """The number of each key, ABSENT where it was not added."""
        numbers = np.full(len(keys), ABSENT)
        for run in self._runs:
            _look_up(run, keys, numbers)
        if self._single:
            for i, key in enumerate(keys):
                numbers[i] = self._single.get(key.tobytes(), numbers[i])
        return numbers

    def keys(self) -> Keys:
        """All keys, in no order."""
        single = np.frombuffer(b"".join(self._single), np.uint8).reshape(-1, _BYTES)
        return np.concatenate([single, *(run.keys for run in self._runs)])

    def _number(self, key: bytes) -> int:
        if key in self._single:
            return self._single[key]
        numbers = np.full(1, ABSENT)
        for run in self._runs:
            _look_up(run, np.frombuffer(key, np.uint8).reshape(1, _BYTES), numbers)
        return int(numbers[0])


def are_distinct(keys: Keys) -> bool:
    """True if no key comes twice."""
    prefixes = np.sort(_prefixes(keys))
    if not (prefixes[1:] == prefixes[:-1]).any():
        return True
    return len({key.tobytes() for key in keys}) == len(keys)


def _prefixes(keys: Keys) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(keys[:, :8]).view("<u8").reshape(-1)


def _run(keys: Keys, numbers: Numbers) -> _Run:
    prefixes = _prefixes(keys)
    order = np.argsort(prefixes, kind="stable")
    return _Run(prefixes[order], keys[order], numbers[order])


def _look_up(run: _Run, keys: Keys, numbers: Numbers) -> None:
    """Fill in the numbers of the keys that the run has."""
    prefixes = _prefixes(keys)
    first = np.searchsorted(run.prefixes, prefixes)
    near = np.minimum(first, len(run.prefixes) - 1)
    for i in np.flatnonzero(run.prefixes[near] == prefixes):
        place = first[i]
        while place < len(run.prefixes) and run.prefixes[place] == prefixes[i]:
            if (run.keys[place] == keys[i]).all():
                numbers[i] = run.numbers[place]
            place += 1
