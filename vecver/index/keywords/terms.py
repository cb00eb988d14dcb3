"""Terms: a term is known by the first 64 bits of its BLAKE2b digest, so that a dictionary of terms is an array.

Decisions
1. Two terms of a million share a number with a probability of 3e-8; they would then count as one, in every version and
   on every machine alike. Sorted bytes take as much room and a search among them ten times as long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


def term_numbers(terms: Sequence[str]) -> Hashes:
    """The number of each term, `(n,)`."""
    digests = b"".join(blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest() for term in terms)
    return np.frombuffer(digests, "<u8")


@dataclass(frozen=True)
class Terms:
    """The terms of a query: each once, ascending, with how often the query has it. `(t,)` each."""

    hashes: Hashes
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, terms: Iterable[str]) -> Terms:
        """These terms, some perhaps several times."""
        counted = Counter(terms)
        hashes = term_numbers(list(counted))
        order = np.argsort(hashes)
        return cls(hashes[order], np.array(list(counted.values()), np.int64)[order])

    def __len__(self) -> int:
        return len(self.hashes)
