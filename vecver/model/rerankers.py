"""Rerankers: models that read hits beside the query. How a caller names one, and what it says of a hit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, get_args

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vecver.model.spaces import Json

RerankFailure = Literal["error", "keep"]
RERANK_FAILURES: tuple[str, ...] = get_args(RerankFailure)


@dataclass(frozen=True)
class Reranker:
    """A model that scores how well each hit answers the query. Its key is never printed or stored.

    `model`: a CrossEncoder of sentence-transformers by its folder or its name on the hub; or an endpoint:
    `cohere:MODEL[@URL]`, `jina:MODEL[@URL]`, `vllm:MODEL@URL`, `tei:URL`, where the URL ends in `/rerank`.
    """

    model: str
    api_key: str = field(default="", repr=False)  # for an endpoint
    timeout: float = 10.0  # seconds, for the hits of one query
    on_failure: RerankFailure = "error"  # "keep": the order before, with a note in the answer


class OpenedReranker(Protocol):
    """A reranker that is ready to score."""

    name: str  # as receipts show it, without secrets
    fingerprint: str  # 32 hex characters: of the model's files, or of the endpoint and the model's name there

    def scores(self, query: str, texts: Sequence[str], timeout: float) -> list[float]:
        """A finite score for each text, in their order; higher is better. Raises BackendError."""


@dataclass(frozen=True)
class Reranked:
    """What a reranker said of a hit."""

    score: float  # higher is better; of the reranker's own scale
    before: int  # the hit's rank without it, from 1

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return {"score": self.score, "before": self.before}

    @classmethod
    def from_json(cls, value: Json | None) -> Reranked | None:
        """The value whose `to_json` this is; None for None."""
        return None if value is None else cls(value["score"], value["before"])
