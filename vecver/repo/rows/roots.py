"""Roots: one digest for a multiset of rows, updated in O(change); knows bytes, not files.

LtHash (Bellare & Micciancio 1997; parameters of Lewi, Kim, Maykov & Weis, "Securing Update
Propagation with Homomorphic Hashing", 2019): each row is expanded to 1024 lanes of 16 bits, lanes
are added modulo 2^16, and the root is the sha256 of the sum. Order does not matter, removal is
subtraction, and finding another multiset with the same sum is believed to be as hard as a lattice
problem of 200 bits.

Decisions
- 2026-11-21 SHAKE128 expands the rows (the paper has BLAKE2Xb): it is in the standard library and
  takes 4 us a row here.
- 2026-11-21 a document's *source label* is not in the content root: it says where the document came
  from, not what it says, so two machines that ingest `docs/` and `copy-of-docs/` agree.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from vecver.model import Json

LANES = 1024
_BLOCK = 2048  # rows expanded at once: 4 MiB

Lanes = npt.NDArray[np.uint16]


def lanes_of(rows: Iterable[bytes]) -> Lanes:
    """The sum of the rows' expansions, `(1024,)` uint16."""
    total = np.zeros(LANES, dtype="<u2")
    stream = iter(rows)
    while block := list(islice(stream, _BLOCK)):
        expanded = b"".join([hashlib.shake_128(row).digest(2 * LANES) for row in block])
        total += np.frombuffer(expanded, dtype="<u2").reshape(-1, LANES).sum(axis=0, dtype="<u2")
    return total


@dataclass(frozen=True)
class Roots:
    """The two sums of a commit: `content` over documents and chunks, `vector` over keys and vector bits."""

    content: Lanes
    vector: Lanes

    @classmethod
    def empty(cls) -> Roots:
        return cls(np.zeros(LANES, dtype="<u2"), np.zeros(LANES, dtype="<u2"))

    def __add__(self, other: Roots) -> Roots:
        return Roots(self.content + other.content, self.vector + other.vector)

    def __sub__(self, other: Roots) -> Roots:
        return Roots(self.content - other.content, self.vector - other.vector)

    def to_json(self) -> Json:
        """Both sums, base64 of little-endian 16-bit lanes."""
        sums = {"content": self.content, "vector": self.vector}
        return {name: base64.b64encode(lanes.astype("<u2").tobytes()).decode() for name, lanes in sums.items()}

    @classmethod
    def from_json(cls, value: Json) -> Roots:
        return cls(*(np.frombuffer(base64.b64decode(value[name]), "<u2") for name in ("content", "vector")))

    @property
    def content_root(self) -> str:
        return hashlib.sha256(self.content.astype("<u2").tobytes()).hexdigest()

    @property
    def vector_root(self) -> str:
        return hashlib.sha256(self.vector.astype("<u2").tobytes()).hexdigest()
