"""Roots: one digest for a multiset of rows, updated at the cost of what changed. Knows bytes, not files.

LtHash (Bellare & Micciancio 1997; parameters of Lewi, Kim, Maykov & Weis, "Securing Update Propagation with
Homomorphic Hashing", 2019): each row is expanded to 1024 lanes of 16 bits, lanes are added modulo 2^16, and the root
is the sha256 of the sum. Order does not matter, removal is subtraction, and finding another multiset with the same
sum is believed to be as hard as a lattice problem of 200 bits.

Decisions
1. SHAKE128 expands the rows (the paper has BLAKE2Xb): it is in the standard library.
2. Where the wheel has compiled sums (`kernel/lanes.c`), several rows are hashed at once: 0.6 us a chunk and 1.0 us a
   vector of 384 numbers with AVX-512, 1.3 and 2.2 with AVX2; hashlib takes 5.1 and 6.9. The bits are the same, so no
   format changes. The road not taken, BLAKE3 (1.8 and 3.1 us), needs a second format of roots beside the first one.
3. The *source label* of a document is not in the content root: it says where the document came from, not what it
   says. So two machines that ingest `docs/` and `copy-of-docs/` agree.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vecver.repo.rows.kernel.loading import LANES, Lanes, hashed, joined, load

if TYPE_CHECKING:
    import pyarrow as pa

    from vecver.model import Json

_BLOCK = 2048  # rows expanded at once: 4 MiB with hashlib


def lanes_of(rows: Iterable[bytes]) -> Lanes:
    """The sum of the rows' expansions, `(1024,)` uint16."""
    total = np.zeros(LANES, dtype="<u2")
    stream, add = iter(rows), load()
    while block := list(islice(stream, _BLOCK)):
        total += add(*joined(block)) if add else hashed(block)
    return total


def lanes_of_rows(rows: pa.Array) -> Lanes:
    """As `lanes_of`, of an array of byte strings without nulls."""
    from vecver.json_columns import content_of

    content, ends = content_of(rows)
    if add := load():
        return add(content, ends)
    return lanes_of(bytes(content[start:end]) for start, end in pairwise([0, *ends.tolist()]))


def lanes_of_matrix(rows: npt.NDArray[np.uint8]) -> Lanes:
    """As `lanes_of`, of rows of one length, `(n, bytes)`."""
    if add := load():
        ends = np.arange(1, len(rows) + 1, dtype=np.int64) * rows.shape[1]
        return add(np.ascontiguousarray(rows).data.cast("B"), ends)
    return lanes_of(row.tobytes() for row in rows)


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
