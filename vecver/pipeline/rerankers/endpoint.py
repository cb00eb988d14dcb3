"""Scores texts through an HTTP endpoint of the common `/rerank` shape.

    cohere, jina, vllm   {model, query, documents, top_n} -> {"results": [{"index", "relevance_score"}, ...]}
    tei                  {query, texts, truncate}         -> [{"index", "score"}, ...]

Decisions
1. A request is sent once. Whoever asks waits for the answer, and the caller has said what to do without it.
2. The whole of a query's requests has one deadline, also where a server sends a byte a second.
3. No redirect is followed: the URL is the one that was named, and the key goes nowhere else.
4. Text Embeddings Inference takes 32 texts a request unless its operator raised that; its scores do not depend on the
   other texts, so they are sent in groups of 32.
5. Texts are cut at 32,768 characters, which is more than such models read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from vecver.digest import digest_json
from vecver.errors import BackendError, InvalidInputError, missing_package
from vecver.http_rules import checked_key, is_base_url, masked

if TYPE_CHECKING:
    import httpx2

APIS = {  # name -> the URL where none is given
    "cohere": "https://api.cohere.com/v2/rerank",
    "jina": "https://api.jina.ai/v1/rerank",
    "vllm": "",
    "tei": "",
}
LONGEST = 32_768  # characters of a text
_GROUP = {"tei": 32}  # texts in a request; else all
_MOST_BYTES = 16 << 20  # of an answer
_RETRYABLE = {408, 429, 500, 502, 503, 504}
_HINTS = {
    401: "give the endpoint's API key",
    403: "check what the API key may do",
    404: "check the URL (it usually ends in /rerank) and the model's name",
    413: "ask for a smaller rerank_top",
    422: "check that the endpoint has the API that was named, and what it takes at once",
}


class Endpoint:
    """A reranking model behind an HTTP endpoint."""

    def __init__(self, api: str, model: str, url: str, api_key: str = "") -> None:
        """Makes no request. Raises InvalidInputError (URL, key, no model's name, a missing package)."""
        self._api, self._model, self._url = api, model, _checked(url, api)
        self._key = checked_key(api_key, "reranker", "api_key or what VECVER_RERANKERS names")
        if api != "tei" and not model:
            raise InvalidInputError(
                f"{api} has several models, and none was named",
                code="unknown_reranker",
                hint=f"write {api}:MODEL@{self._url}",
            )
        self._client = _client(self._key)
        self.name = f"{api}:{model}@{self._url}" if model else f"{api}:{self._url}"
        self.fingerprint = digest_json({"name": "endpoint", "api": api, "model": model, "url": self._url})[:32]

    def scores(self, query: str, texts: Sequence[str], timeout: float) -> list[float]:
        """A score for each text, in their order. Raises BackendError (no answer in time, or a bad one)."""
        deadline, size = monotonic() + timeout, _GROUP.get(self._api, len(texts))
        groups = [texts[start : start + size] for start in range(0, len(texts), size or 1)]
        return [score for group in groups for score in self._scores(query, group, deadline)]

    def _scores(self, query: str, texts: Sequence[str], deadline: float) -> list[float]:
        content = self._answer(self._body(query[:LONGEST], [text[:LONGEST] for text in texts]), deadline)
        try:
            return scores_in(json.loads(content), len(texts))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as failure:
            raise BackendError(
                f"the answer of {self._url} cannot be used: {masked(str(failure), self._key)[:200]}",
                code="reranker_bad_answer",
                hint=f"check that the endpoint has the API of {self._api!r} and serves a reranking model",
            ) from None

    def _body(self, query: str, texts: list[str]) -> dict[str, Any]:
        if self._api == "tei":
            return {"query": query, "texts": texts, "truncate": True}
        cut = {"truncate_prompt_tokens": -1} if self._api == "vllm" else {}
        return {"model": self._model, "query": query, "documents": texts, "top_n": len(texts), **cut}

    def _answer(self, body: dict[str, Any], deadline: float) -> bytes:
        """The bytes of a successful answer."""
        import httpx2

        left = deadline - monotonic()
        if left <= 0:
            raise self._late()
        try:
            with self._client.stream("POST", self._url, json=body, timeout=left) as answer:
                content = self._read(answer, deadline)
        except httpx2.TimeoutException:
            raise self._late() from None  # unchained, as below: httpx2's errors may quote the header with the key
        except httpx2.HTTPError as error:
            raise BackendError(
                f"{self._url} did not answer: {type(error).__name__}",
                code="reranker_unreachable",
                hint="check that the endpoint is up and the URL is right",
                retryable=True,
            ) from None
        if not answer.is_success:
            raise self._refused(answer.status_code, content)
        return content

    def _read(self, answer: httpx2.Response, deadline: float) -> bytes:
        content = bytearray()
        for piece in answer.iter_bytes():
            content += piece
            if monotonic() > deadline:
                raise self._late()
            if len(content) > _MOST_BYTES:
                raise BackendError(
                    f"the answer of {self._url} is larger than {_MOST_BYTES >> 20} MB",
                    code="reranker_bad_answer",
                    hint="check that the URL is that of a reranking endpoint",
                )
        return bytes(content)

    def _late(self) -> BackendError:
        return BackendError(
            f"{self._url} did not answer in time",
            code="reranker_timeout",
            hint="give the reranker a longer timeout, rank fewer hits with rerank_top, or keep the order without it "
            'with on_failure="keep"',
            retryable=True,
        )

    def _refused(self, status: int, content: bytes) -> BackendError:
        said = " ".join(content[:2000].decode("utf-8", "replace").split())[:300]
        return BackendError(
            f"{self._url} answered {status}: {masked(said, self._key)}",
            code="reranker_refused",
            hint=_HINTS.get(status, "try again later"),
            retryable=status in _RETRYABLE,
            status=status,
        )


def scores_in(answer: Any, count: int) -> list[float]:
    """The score of each of `count` texts that an answer holds. Raises ValueError, KeyError, TypeError otherwise."""
    results = answer["results"] if isinstance(answer, dict) else answer
    if not isinstance(results, list) or len(results) != count:
        raise ValueError(f"it has {len(results)} scores for {count} texts")
    found: dict[int, float] = {}
    for result in results:
        index, score = result["index"], result["relevance_score" if "relevance_score" in result else "score"]
        if type(index) is not int or not 0 <= index < count or index in found:
            raise ValueError(f"{index!r} is no text of {count}, or comes twice")
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise ValueError(f"the score {score!r} of text {index} is no finite number")
        found[index] = float(score)
    return [found[index] for index in range(count)]


def _checked(url: str, api: str) -> str:
    if not is_base_url(url):
        raise InvalidInputError(
            "a reranker's URL has a host and a path, and neither user, password nor query",
            code="bad_reranker_url",
            hint=f"write {'tei:' if api == 'tei' else api + ':MODEL@'}https://host/rerank, and give the key as api_key",
        )
    return url


def _client(api_key: str) -> httpx2.Client:
    try:
        import httpx2
    except ImportError as missing:
        raise missing_package("a reranker behind an endpoint needs", "httpx2", "vecver[rerank]") from missing
    return httpx2.Client(headers={"Authorization": f"Bearer {api_key}"} if api_key else {}, follow_redirects=False)
