"""Wraps an embedder object that a caller passes, and checks everything it returns. It imports no framework.

Decisions
1. The caller passes the fingerprint, because vecver cannot see what an object computes. It alone says whether two
   vectors may be compared, so it has no default. The space is named `object:FINGERPRINT`.
2. An object cannot be opened from a recipe. A handle remembers the objects passed to it, by fingerprint.
3. Each query goes to the object alone, so that batching by vecver never changes its vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt

from vecver.errors import BackendError, InvalidInputError, SpaceMismatchError, VecverError, say
from vecver.model import Embedder, Json, Metric, TokenCounts, Vectors
from vecver.pipeline.embedders.token_estimates import estimated_tokens

NAME: Final = "object"  # `name` in the recipe of such an embedder
MAX_TOKENS: Final = 512  # for objects without `max_tokens`
_METHOD_PAIRS: Final = (  # methods for documents and for queries; the first pair that an object has is used
    ("embed", "embed_queries"),
    ("embed_documents", "embed_query"),  # LangChain
    ("get_text_embedding_batch", "get_query_embedding"),  # LlamaIndex
    ("encode_document", "encode_query"),  # sentence-transformers
)
_ONE_QUERY: Final = ("embed_query", "get_query_embedding")  # these take a text, not a list
_HINT: Final = "an embedder has embed(texts) -> (n, dim) float32, dim and fingerprint; others: vecver.embedder(...)"


class ObjectEmbedder:
    """Wraps an object and checks its vectors; for the metric cosine they are scaled to length 1."""

    at_once = 1

    def __init__(self, inner: Any, fingerprint: str, name: str) -> None:
        """`inner` has one of the pairs of methods, or is a function of texts. If it has no `dim`, one text is embedded.

        Raises InvalidInputError, and as `embed`.
        """
        self._documents, self._queries, self._one = _methods(inner)
        self._inner, self._caller_fingerprint = inner, fingerprint
        self.name = name
        self.metric: Metric = _metric(inner)
        self.max_tokens = _number(inner, "max_tokens", MAX_TOKENS)
        self.dim = _number(inner, "dim", 0)
        if not self.dim:
            self.dim = self._checked(self._call(self._documents, ["dimension"]), 1).shape[1]
        self.fingerprint = f"{NAME}:{fingerprint}"
        self.recipe: Json = {"name": NAME, "fingerprint": fingerprint, "dim": self.dim, "metric": self.metric}
        self.environment: Json = {"runtime": f"{type(inner).__module__}.{type(inner).__qualname__}"}

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """The object's token counts, `(n,)`, or estimates if it has none."""
        counter = getattr(self._inner, "count_tokens", None)
        if counter is None:
            return estimated_tokens(texts)
        counts = np.asarray(self._call(counter, list(texts)))
        if counts.shape != (len(texts),) or not (counts.dtype.kind in "iu" or not len(texts)) or (counts < 0).any():
            raise self._bad_embedder(f"counts tokens as {_described(counts)}, not as {len(texts)} integers")
        return counts.astype(np.int64)

    def token_counts(self, texts: Sequence[str]) -> TokenCounts:
        """As `count_tokens`; unknown tokens cannot be counted here."""
        tokens = self.count_tokens(texts)
        return TokenCounts(tokens, np.zeros_like(tokens), np.maximum(tokens - self.max_tokens, 0))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """`(n, dim)` float32, finite, in the order of `texts`.

        Raises BackendError (the object raised), InvalidInputError (what it gave is no such array) and
        SpaceMismatchError (vectors of another dimension).
        """
        if not texts:
            return np.empty((0, self.dim), np.float32)
        return self._checked(self._call(self._documents, list(texts)), len(texts))

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """As `embed`, one after the other."""
        if not texts:
            return np.empty((0, self.dim), np.float32)
        return np.concatenate([self._query(text) for text in texts])

    def _query(self, text: str) -> Vectors:
        answer = self._call(self._queries, text if self._one else [text])
        return self._checked([answer] if self._one else answer, 1)

    def _call(self, method: Callable[[Any], Any], argument: Any) -> Any:
        try:
            return method(argument)
        except VecverError:
            raise
        except Exception as failure:  # a caller's object may raise anything
            raise BackendError(
                f"the embedder {self._caller_fingerprint!r} failed: {type(failure).__name__}: {failure}",
                code="embedder_failed",
                hint="look at its own error above; what was embedded before is kept for the next attempt",
                retryable=True,
            ) from failure

    def _checked(self, answer: Any, count: int) -> Vectors:
        vectors = self._array(answer)
        if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]:
            raise self._bad_embedder(f"gave {_described(vectors)} for {count} texts, not ({count}, dim)")
        if self.dim and vectors.shape[1] != self.dim:
            raise SpaceMismatchError(
                f"the embedder {self._caller_fingerprint!r} gave vectors of {vectors.shape[1]} dimensions; "
                f"it said {self.dim}",
                code="embedder_changed",
                hint="a model with another dimension is another embedder: give it another fingerprint",
            )
        if not np.isfinite(vectors).all():
            raise self._bad_embedder("gave vectors with NaN or infinity")
        return self._normalised(vectors)

    def _array(self, answer: Any) -> Vectors:
        try:
            array = np.asarray(answer)
            if array.dtype.kind not in "fiu":
                raise TypeError(f"of type {array.dtype}")
            with np.errstate(over="ignore"):  # too large numbers become infinite, and are reported
                return np.ascontiguousarray(array, np.float32)
        except (TypeError, ValueError) as error:
            raise self._bad_embedder(f"gave no rows of numbers ({error})") from error

    def _normalised(self, vectors: Vectors) -> Vectors:
        if self.metric != "cosine":
            return vectors
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
        if not norms.all():
            raise self._bad_embedder("gave a vector of zeros, which has no direction")
        off = np.abs(norms - 1) > 1e-6
        vectors[off] = vectors[off] / norms[off, None] if off.any() else vectors[off]
        return vectors

    def _bad_embedder(self, problem: str) -> InvalidInputError:
        return InvalidInputError(
            f"the embedder {self._caller_fingerprint!r} {problem}",
            code="bad_embedder",
            hint="correct it; what was embedded before is kept for the next attempt",
        )


def embedder(inner: Any, *, fingerprint: str, name: str = "") -> ObjectEmbedder:
    """An embedder of your own, to be passed wherever an embedder is named: `docs.ingest(…, embedder=…)`, `vecver.open`.

    `inner`: an object with `embed(texts) -> (n, dim)`, a LangChain `Embeddings`, a LlamaIndex `BaseEmbedding`, a
    `SentenceTransformer`, or a function of texts. `fingerprint`: your name for exactly this model with its settings,
    such as "bge-small-v1.5 mean"; vectors under one fingerprint are compared, so change it when the model changes.
    `inner` may say more: `dim`, `metric` ("cosine", "ip", "l2"), `max_tokens`, `count_tokens(texts)`,
    `embed_queries(texts)`.

    Raises InvalidInputError, BackendError.
    """
    if isinstance(inner, ObjectEmbedder):
        inner = inner._inner
    if not isinstance(fingerprint, str) or not fingerprint.strip() or len(fingerprint) > 200:
        raise InvalidInputError(
            f"an embedder's fingerprint is a text of 1 to 200 characters, not {fingerprint!r}",
            code="bad_embedder",
            hint='name the model and its settings: vecver.embedder(model, fingerprint="bge-small-v1.5 mean")',
        )
    return ObjectEmbedder(inner, fingerprint, name or fingerprint)


def adapted(candidate: Any) -> ObjectEmbedder:
    """A caller's embedder, wrapped. Raises InvalidInputError (no fingerprint, no methods)."""
    if isinstance(candidate, ObjectEmbedder):
        return candidate
    _methods(candidate)
    fingerprint = getattr(candidate, "fingerprint", None)
    if not isinstance(fingerprint, str):
        raise InvalidInputError(
            f"the embedder {type(candidate).__name__} has no fingerprint, which tells whose vectors may be compared",
            code="bad_embedder",
            hint='name the model and its settings: vecver.embedder(model, fingerprint="bge-small-v1.5 mean")',
        )
    return embedder(candidate, fingerprint=fingerprint, name=str(getattr(candidate, "name", "") or ""))


def found_among(objects: Sequence[Embedder], recipe: str | Json) -> Embedder | None:
    """The object that a recipe names; None if `recipe` is a name, or belongs to an embedder that a name opens.

    Raises InvalidInputError (the object was not passed), SpaceMismatchError (it changed).
    """
    if isinstance(recipe, str) or recipe.get("name") != NAME:
        return None
    fingerprint = recipe.get("fingerprint")
    for candidate in objects:
        if candidate.recipe.get("fingerprint") == fingerprint:
            if candidate.recipe != recipe:
                raise SpaceMismatchError(
                    f"the embedder {fingerprint!r} here gives {candidate.dim} dimensions for {candidate.metric}, "
                    f"that of the version gave {recipe.get('dim')} for {recipe.get('metric')}",
                    code="embedder_changed",
                    hint="pass the model that the version was embedded with; another one has another fingerprint",
                )
            return candidate
    raise InvalidInputError(
        f"this version was embedded by an object with the fingerprint {fingerprint!r}, which is not here",
        code="embedder_not_given",
        hint=say(
            "pass it: vecver.open(URL, embedders=[vecver.embedder(MODEL, fingerprint=…)]); or ask with a vector",
            cli="ask with a vector (--queries FILE), or from Python: vecver.open(URL, embedders=[…]); "
            "or ingest all sources again with an --embedder that has a name",
            http="ask with a vector of that model; a service opens only embedders that have a name",
        ),
        fingerprint=fingerprint,
    )


def _methods(inner: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any], bool]:
    """The methods for documents and queries, and whether a query is passed as a text instead of a list."""
    if isinstance(inner, type):
        raise InvalidInputError(f"{inner.__name__} is a class, not an embedder", code="bad_embedder", hint=_HINT)
    for documents, queries in _METHOD_PAIRS:
        if callable(first := getattr(inner, documents, None)):
            second = getattr(inner, queries, None)
            return (first, second, queries in _ONE_QUERY) if callable(second) else (first, first, False)
    if callable(inner):
        return inner, inner, False
    raise InvalidInputError(f"{type(inner).__name__} is no embedder", code="bad_embedder", hint=_HINT)


def _metric(inner: Any) -> Metric:
    name = getattr(inner, "metric", None) or "cosine"
    for metric in get_args(Metric):
        if name == metric:
            return metric
    raise InvalidInputError(f"no metric is called {name!r}", code="bad_embedder", hint="use cosine, ip or l2")


def _number(inner: Any, name: str, default: int) -> int:
    value = getattr(inner, name, None)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InvalidInputError(f"an embedder's {name} is 1 or more, not {value!r}", code="bad_embedder", hint=_HINT)
    return int(value)


def _described(array: npt.NDArray[Any]) -> str:
    return f"an array {array.shape} of {array.dtype}"
