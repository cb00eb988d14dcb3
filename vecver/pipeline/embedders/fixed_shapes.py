"""Runs texts through a model in batches of few shapes, so that a text always gets the same vector, bit for bit.

A matrix product of another shape may add in another order: the same text alone and among 31 others, padded to the
longest, had equal bits for 1 row in 40. Here all texts of one padded length go through the network in batches of one
shape, so neighbours, order and batch do not change a vector.

Decisions
1. A batch has at least 256 tokens. MKL splits the sum over the feed-forward layer between threads if a product has few
   rows (measured with AVX-512: 8x16, 4x48, 2x80, 1x160 differ between 1 and 2 threads; everything from 208 tokens on is
   equal for 1, 2, 3, 4 and 8).
2. A single query is one row up to 48 tokens (equal for 1 to 4 threads; 6 ms, where 256 tokens take 27) and part of a
   batch of 256 tokens beyond. A query always has the same bits, but not necessarily those of a chunk with the same
   text.
3. Many queries are batched in few shapes, which the runtime chooses by what they gain. Beyond 48 tokens torch's shape
   is that of a single query, with other queries in the spare rows. Up to 48 it is another shape: with AVX-512 and with
   OpenVINO both had the same bits (40 rows a shape), and with torch on a CPU with AVX2 they never had (32 of 32 rows
   differ from 4 rows on; in 2x16 tokens one of 32, so no batch is that small). So the first 32 queries in each shape
   are also computed alone, and a shape with any differing bit is not used again. This is not checked when the model
   opens, since it would add half a second to every command that embeds one question.
4. The padded length is the next multiple of 16 *above* the text's: transformers drops the attention mask, and may use
   another kernel, if a batch has no masked token. Texts that fill the model have batches of their own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from typing import TYPE_CHECKING, Final

import numpy as np

from vecver.model import Vectors
from vecver.pipeline.embedders.runtimes import LEAST_TOKENS, Runtime

if TYPE_CHECKING:
    from tokenizers import Tokenizer

STEP: Final = 16  # padded lengths are multiples of this
MOST_TOKENS: Final = 16_384  # in a batch, unless one text is longer: bounds memory
SAME_BITS: Final = 32  # queries that must have equal bits alone and together before a batch shape is trusted
PROBE: Final = ["A probe, once by each path.", "valve", "one two three four five six seven eight " * 40]
PROBE_ERROR: Final = {"float32": 1e-3, "bfloat16": 3e-2}  # of a vector's largest number

_Size = Callable[[int, int], int]  # padded length and texts of that length left -> rows of the next batch
_Shape = tuple[int, int, bool]  # rows, padded length, no token is padding


class FixedShapes:
    """Tokenises, pads and runs the model itself, in batches whose shape depends on the texts' length alone."""

    name = "fixed shapes"

    def __init__(
        self, runtime: Runtime, tokenizer: Tokenizer, prompts: dict[str, str], limit: int, *, pad: int, left: bool
    ) -> None:
        """`tokenizer`: a private copy, since truncation is enabled on it. `limit`: tokens with specials. `pad`: the id
        of the padding token, which is added on the `left` or the right.
        """
        self.runtime, self._runtime, self._prompts, self._limit = runtime.name, runtime, prompts, limit
        self._tokenizer = tokenizer
        tokenizer.enable_truncation(limit)
        self._pad, self._left = pad, left
        self._compared = Counter[_Shape]()  # queries that had equal bits alone and in a batch of this shape
        self._unequal = set[_Shape]()  # shapes in which one differed

    @property
    def at_once(self) -> int:
        return max(
            2, self._runtime.at_once
        )  # 2 even if one fills the cores, since it also waits for threads and for Python

    def documents(self, texts: Sequence[str]) -> Vectors:
        encodings = self._tokenizer.encode_batch_fast([self._prompts["document"] + text for text in texts])
        return self._in_batches([encoding.ids for encoding in encodings], self._document_rows, self._forward)

    def queries(self, texts: Sequence[str]) -> Vectors:
        ids = [self._tokenizer.encode(self._prompts["query"] + text).ids for text in texts]
        return self._in_batches(ids, self._runtime.query_rows, self._queries)

    def _document_rows(self, width: int, _: int) -> int:
        return max(min(self._runtime.rows, MOST_TOKENS // width), _rows_for(LEAST_TOKENS, width))

    def _in_batches(self, ids: list[list[int]], size: _Size, run: Callable[..., Vectors]) -> Vectors:
        """Vectors in the order of `ids`; `run` computes one batch and must be thread-safe."""
        batches = list(_batches([len(row) for row in ids], self._limit, size))
        work = [([ids[row] for row in rows], *shape) for rows, shape in batches]
        if len(work) == 1:
            parts = [run(*work[0])]
        else:
            with ThreadPoolExecutor(self._runtime.at_once) as workers:
                parts = list(workers.map(lambda batch: run(*batch), work))
        return np.concatenate(parts)[np.argsort([row for rows, _ in batches for row in rows])]

    def _queries(self, ids: list[list[int]], size: int, width: int) -> Vectors:
        """Vectors of up to `size` queries, each with the bits it has alone in a batch."""
        alone, shape = self._runtime.query_rows(width, 1), (size, width, len(ids[0]) == width)
        if size == alone or (self._compared[shape] >= SAME_BITS and shape not in self._unequal):
            return self._forward(ids, size, width)
        vectors = np.concatenate([self._forward([query_ids], alone, width) for query_ids in ids])
        if shape not in self._unequal:
            if np.array_equal(self._forward(ids, size, width), vectors):
                self._compared[shape] += len(ids)
            else:
                self._unequal.add(shape)
        return vectors

    def _forward(self, ids: list[list[int]], size: int, width: int) -> Vectors:
        """Vectors of up to `size` texts in a batch of shape `(size, width)`; the spare rows repeat them."""
        tokens = np.full((size, width), self._pad, dtype=np.int64)
        mask = np.zeros((size, width), dtype=np.int64)
        for row, content in enumerate(islice(cycle(ids), size)):
            filled = slice(width - len(content), width) if self._left else slice(len(content))
            tokens[row, filled], mask[row, filled] = content, 1
        return self._runtime.run(tokens, mask)[: len(ids)]

    def probes(self, *, alone: bool = False) -> list[Vectors]:
        """Vectors of the probes: each as a document, then the first as a query; `alone`: in batches of one row."""
        if not alone:
            return [*self.documents(PROBE), *self.queries(PROBE[:1])]
        texts = [*(self._prompts["document"] + text for text in PROBE), self._prompts["query"] + PROBE[0]]
        rows = [self._tokenizer.encode(text).ids for text in texts]
        return [self._forward([row], 1, _width(len(row), self._limit))[0] for row in rows]

    def check(self, truth: Sequence[Vectors], precision: str) -> None:
        """Raises ValueError unless the probes have these vectors, which `encode` computed in float32."""
        check_probes(self.probes(), truth, precision)


def check_probes(probes: Sequence[Vectors], truth: Sequence[Vectors], precision: str) -> None:
    """Raises ValueError if vectors differ; only as many numbers of each are compared as `truth` has."""
    ours = [vector[: len(true)] for vector, true in zip(probes, truth, strict=True)]
    if not np.allclose(ours, truth, rtol=0, atol=PROBE_ERROR[precision] * float(np.abs(truth).max())):
        raise ValueError("its vectors are not those of the model's own encode")


def _batches(lengths: Sequence[int], limit: int, size: _Size) -> Iterator[tuple[list[int], tuple[int, int]]]:
    """Row numbers and shape (rows, padded length) of each batch, longest first."""
    groups = defaultdict(list)
    for row, length in enumerate(lengths):
        width = _width(length, limit)
        groups[width, length == width].append(row)
    for (width, _), rows in sorted(groups.items(), reverse=True):
        while rows:
            count = size(width, len(rows))
            yield rows[:count], (count, width)
            rows = rows[count:]


def _width(length: int, limit: int) -> int:
    return min((length // STEP + 1) * STEP, limit)


def _rows_for(tokens: int, width: int) -> int:
    return -(-tokens // width)
