"""Embeds through the endpoints of one model: OpenAI's API and those like it, and what else `shapes` lists.

Decisions
1. No tokenizer is fetched for counting: tokens are estimated. So chunks are about as long as requested, far below the
   limit of 8191. A longer text is an error of the server; it is never cut here.
2. The dimension is part of a recipe, so an unknown one is found with one request when the embedder opens.
3. Each query is its own request, even if many are embedded together: a server's vectors may differ between batches, and
   a failed or slow request should affect only its own query.
4. One `url` is part of the fingerprint: nothing but the address says which weights are behind it. Several are not: they
   must agree on a probe, whose vector's first numbers are in the recipe, and so may be replaced by others. A space that
   began at one address keeps it as its name when others serve it too (`continued`).
5. The key is part of nothing: it is sent, and removed from the server's text before that becomes an error message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

import numpy as np
import numpy.typing as npt

from vecver.digest import digest_json
from vecver.errors import BackendError, SpaceMismatchError
from vecver.model import Endpoints, Json, Metric, TokenCounts, Vectors
from vecver.pipeline.embedders.endpoint import Endpoint, Refused
from vecver.pipeline.embedders.endpoint_recipes import UNSEEN
from vecver.pipeline.embedders.fleet import Fleet
from vecver.pipeline.embedders.shapes import SHAPES
from vecver.pipeline.embedders.token_estimates import estimated_tokens

AT_ONCE = 64  # requests with queries, a thread each
BATCH_TOKENS = 100_000  # estimated, in a request
LEAST_SHARE = 16  # texts of a request, if texts are shared among endpoints
_PROBED = 32  # numbers of the probe's vector that a recipe keeps, in ten thousandths
_LIKE = 0.98  # cosine of these numbers at which it is the same model
_FIELDS = ("name", "model", "url", "dim", "urls", "probe")


class OpenAIEmbedder:
    """A model behind HTTP endpoints; its vectors are made length 1. Texts too long are the servers' to refuse."""

    metric: Metric = "cosine"
    max_tokens = 8191
    at_once = AT_ONCE

    def __init__(self, recipe: Json, *, api_key: str | None = None, endpoints: Endpoints | None = None) -> None:
        """`recipe`: name, model, and url or urls; without `dim` one request is made here, to learn it.

        Raises InvalidInputError (a URL that cannot be asked), and as `embed`.
        """
        kind, urls = recipe["name"], recipe.get("urls") or [recipe["url"]]
        self._model, self._batch = recipe["model"], SHAPES[kind].batch
        self._rules = endpoints or Endpoints()
        self._count = len(urls)
        members = [Endpoint(kind, self._model, url, api_key, recipe.get("dim", 0)) for url in urls]
        self._fleet = Fleet(members, self._rules, proves="urls" in recipe)
        if "dim" not in recipe:
            row = self._fleet.probe()
            for member in members:
                member.dim = len(row)
            recipe = {**recipe, "dim": len(row), **({"probe": _shortened(row)} if "urls" in recipe else {})}
        self._probe = recipe.get("probe")
        self.dim: int = recipe["dim"]
        self.recipe: Json = {name: recipe[name] for name in _FIELDS if name in recipe}
        self.name = f"{kind}:{self._model}@{recipe.get('url') or ','.join(urls)}"
        self.fingerprint = digest_json({name: self.recipe[name] for name in self.recipe.keys() - UNSEEN})[:32]
        runtime = "OpenAI-compatible endpoint" if kind == "openai" else f"endpoint of the kind {kind}"
        self.environment: Json = {"runtime": runtime, "device": "remote"}

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """An estimate of each text's tokens, `(n,)`."""
        return estimated_tokens(texts)

    def token_counts(self, texts: Sequence[str]) -> TokenCounts:
        """The estimates. Unknown tokens cannot be counted here, and the server refuses texts that are too long."""
        none = np.zeros(len(texts), dtype=np.int64)
        return TokenCounts(self.count_tokens(texts), none, none)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """`(n, dim)` float32, each row of length 1, in the order of `texts`.

        Raises BackendError (`retryable` after time-outs, 429 and 5xx that outlasted every attempt; or a text is
        refused) and SpaceMismatchError (vectors of another dimension or model). Nothing is returned in part.
        """
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        for positions, made in self.embed_parts(texts):
            if isinstance(made, BackendError):
                raise made
            vectors[list(positions)] = made
        return vectors

    def embed_parts(self, texts: Sequence[str]) -> Iterator[tuple[Sequence[int], Vectors | BackendError]]:
        """(positions, their vectors) as they are made; or (one position, why this text was refused).

        Raises as `embed` what is no fault of a text, after all that was embedded by then was given.
        """
        self._check_probe()
        for part in self._fleet.each(texts, self._batches(texts)):
            if part.refusal:
                yield part.positions, part.refusal
            else:
                assert part.rows is not None
                yield part.positions, _unit(part.rows)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """`(n, dim)` float32, each row of length 1: a request a text, one after the other. Raises as `embed`."""
        self._check_probe()
        parts = [self._query(text) for text in texts]
        return np.concatenate(parts) if parts else np.empty((0, self.dim), dtype=np.float32)

    def _query(self, text: str) -> Vectors:
        try:
            return _unit(self._fleet.ask([text], int(estimated_tokens([text])[0]), query=True))
        except Refused as refused:
            raise refused.error from None

    def _batches(self, texts: Sequence[str]) -> list[tuple[Sequence[int], int]]:
        """(positions, estimated tokens) of each request."""
        most = self._batch
        if self._count > 1:
            most = min(most, max(LEAST_SHARE, ceil(len(texts) / self._count)))
        most_tokens = min(BATCH_TOKENS, self._rules.tokens_per_minute or BATCH_TOKENS)
        batches: list[tuple[Sequence[int], int]] = []
        batch, size = list[int](), 0
        for position, tokens in enumerate(estimated_tokens(texts).tolist()):
            if batch and (len(batch) == most or size + tokens > most_tokens):
                batches.append((batch, size))
                batch, size = [], 0
            batch.append(position)
            size += tokens
        return [*batches, (batch, size)] if batch else batches

    def _check_probe(self) -> None:
        """Raises SpaceMismatchError unless the endpoints give the probe about the vector that the recipe remembers."""
        if not self._probe:
            return
        before, now = np.array(self._probe, np.float64), np.array(_shortened(self._fleet.probe()), np.float64)
        size = float(np.linalg.norm(before)) * float(np.linalg.norm(now))
        likeness = float(before @ now) / max(size, 1e-9) if len(before) == len(now) else 0.0
        if likeness < _LIKE:
            raise SpaceMismatchError(
                f"the endpoints of {self._model} serve another model than before: likeness {likeness:.2f}",
                code="embedder_changed",
                hint="serve the model that the dataset was embedded with, or embed it again with the new one",
            )
        self._probe = None  # once is enough: the fleet sees to it that its members agree


def _unit(rows: npt.NDArray[np.float64]) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _shortened(row: npt.NDArray[np.float64]) -> list[int]:
    """The first numbers of a vector of length 1, in ten thousandths of the largest."""
    start = row[:_PROBED] / max(float(np.abs(row[:_PROBED]).max()), 1e-12)
    return [int(value) for value in (start * 10_000).round()]
