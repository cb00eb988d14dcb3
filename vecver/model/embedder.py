"""The interface of embedders, which turn texts into vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from vecver.model.spaces import Json, Metric, Vectors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from vecver.errors import BackendError


@dataclass(frozen=True)
class TokenCounts:
    """The tokens of each text, and which of them an embedder ignores; all `(n,)`."""

    tokens: npt.NDArray[np.int64]  # content tokens, not truncated
    unknown: npt.NDArray[np.int64]  # of these, not in its vocabulary; 0 if it does not report them
    cut: npt.NDArray[np.int64]  # of these, beyond what it reads

    @classmethod
    def of(cls, ids: Sequence[Sequence[int]], unknown_id: int | None, max_tokens: int) -> TokenCounts:
        """The counts of texts that are given as the ids of their tokens."""
        import numpy as np

        tokens = np.array([len(row) for row in ids], dtype=np.int64)
        unknown = np.array([0 if unknown_id is None else row.count(unknown_id) for row in ids], dtype=np.int64)
        return cls(tokens, unknown, np.maximum(tokens - max_tokens, 0))

    def to_json(self, row: int) -> Json:
        """The counts of one text: `row` is its place in the batch."""
        return {"tokens": int(self.tokens[row]), "unknown": int(self.unknown[row]), "cut": int(self.cut[row])}


class Embedder(Protocol):
    """Turns texts into vectors of one space. The same text gives the same bits on one machine."""

    name: str  # as given to `pipeline.open_embedder`
    dim: int
    metric: Metric
    max_tokens: int  # content tokens that it reads, without the specials it adds itself
    recipe: Json  # reopens it via `pipeline.open_embedder`
    fingerprint: str  # what makes its vectors comparable, hex: `Space.embedder`
    environment: Json  # what their last bits may depend on: runtime, device, library versions

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Content tokens of each text, without specials, not truncated; `(n,)`."""

    def token_counts(self, texts: Sequence[str]) -> TokenCounts:
        """As `count_tokens`, with the tokens of each text that are unknown or beyond what it reads."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """`(n, dim)` float32, C-contiguous, in the order of `texts`. Texts are documents' chunks."""

    @property
    def at_once(self) -> int:
        """Calls of `embed_queries` that run side by side; further queries are faster in one batch."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """`(n, dim)` float32, C-contiguous, in the order of `texts`. A query has the same bits alone and in a batch."""


@runtime_checkable
class PartEmbedder(Protocol):
    """An embedder that may refuse single texts, as endpoints do, and gives vectors as they are made."""

    def embed_parts(self, texts: Sequence[str]) -> Iterator[tuple[Sequence[int], Vectors | BackendError]]:
        """(positions, their vectors), or (one position, why this text was refused). Raises as `Embedder.embed`."""
