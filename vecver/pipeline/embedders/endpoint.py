"""Asks one embedding endpoint once, checks its answer, and says what kind of failure it was. It repeats nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vecver.errors import BackendError, InvalidInputError, SpaceMismatchError, missing_package
from vecver.http_rules import is_base_url, masked, retry_after
from vecver.pipeline.embedders.shapes import SHAPES

if TYPE_CHECKING:
    import httpx2

TIMEOUT = 60.0  # seconds for a request
RETRYABLE = {408, 409, 425, 429, 500, 502, 503, 504, 529}
REFUSED = {400, 413, 422}  # of these texts: others may be embedded

_HINTS = {
    400: "a text may be longer than the model reads: chunk smaller, or check the model's name",
    401: "pass the endpoint's API key",
    403: "check what the API key may do",
    404: "check the model's name and the URL (it usually ends in /v1)",
}


class Failed(Exception):
    """A request that may succeed later. `wait`: seconds that the endpoint asks for, or None."""

    def __init__(self, error: BackendError, wait: float | None) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait = wait


class Refused(Exception):
    """The endpoint took none of these texts, or gave vectors for them that cannot be used."""

    def __init__(self, error: BackendError) -> None:
        super().__init__(error.message)
        self.error = error


class Endpoint:
    """One address of a model. `dim` 0: whatever it answers."""

    def __init__(self, kind: str, model: str, url: str, api_key: str | None, dim: int = 0) -> None:
        """Asks nothing. Raises InvalidInputError (a URL that carries a secret, a missing package)."""
        self.url = _checked(url, kind)
        self.dim = dim
        self._shape, self._model, self._key = SHAPES[kind], model, api_key
        self._client = _client(self.url, api_key)
        self._answers_as: str | None = None  # the model's name in its answers

    def ask(self, texts: Sequence[str], *, query: bool = False) -> npt.NDArray[np.float64]:
        """`(n, dim)`, finite, no row zero, in the order of `texts`.

        Raises Failed, Refused, SpaceMismatchError (another dimension or model), BackendError (what no repetition
        helps: a wrong key, no such model).
        """
        answer = self._sent(texts, query)
        try:
            body = answer.json()
            rows = np.array(self._shape.rows(body, len(texts)), dtype=np.float64)
        except (ValueError, KeyError, TypeError, OverflowError, AttributeError) as failure:
            raise Refused(self._bad_answer(f"not a list of embeddings ({failure})")) from failure
        if rows.ndim != 2:
            raise Refused(self._bad_answer(f"vectors of shape {rows.shape}"))
        if not np.isfinite(rows).all() or not rows.any(axis=1).all():
            raise Refused(self._bad_answer("a vector is zero or not finite"))
        self._check_same(rows.shape[1], body.get("model") if isinstance(body, dict) else None)
        return rows

    def _check_same(self, dim: int, model: object) -> None:
        if self.dim and dim != self.dim:
            raise SpaceMismatchError(
                f"{self._model} at {self.url} answered with {dim} dimensions; its recipe says {self.dim}",
                code="embedder_changed",
                hint="serve the model that the recipe names, or embed the dataset again with the new one; "
                "what was embedded is kept",
            )
        if isinstance(model, str) and model:
            self._answers_as = self._answers_as or model
            if model != self._answers_as:
                raise SpaceMismatchError(
                    f"{self.url} answered first as the model {self._answers_as!r}, and now as {model!r}",
                    code="embedder_changed",
                    hint="serve one model under one name; what was embedded is kept",
                )

    def _sent(self, texts: Sequence[str], query: bool) -> httpx2.Response:
        import httpx2

        failure: BackendError
        try:
            answer = self._client.post(self._shape.path, json=self._shape.body(self._model, texts, query))
        except httpx2.TransportError as error:
            failure = self._unreachable(type(error).__name__)
        else:
            if answer.is_success:
                return answer
            failure = self._error(answer)
            wait = retry_after(answer.headers, -1.0)
            if failure.retryable:
                raise Failed(failure, wait if wait >= 0 else None)
            raise Refused(failure) if answer.status_code in REFUSED else failure
        raise Failed(failure, None)  # unchained: httpx2's own errors may quote the header that holds the key

    def _error(self, answer: httpx2.Response) -> BackendError:
        body = " ".join(answer.text.split())[:500]
        return BackendError(
            f"{self.url} answered {answer.status_code}: {masked(body, self._key or '')}",
            code="embedder_refused",
            hint=_HINTS.get(answer.status_code, "try again later"),
            retryable=answer.status_code in RETRYABLE,
            status=answer.status_code,
        )

    def _unreachable(self, reason: str) -> BackendError:
        return BackendError(
            f"{self.url} did not answer: {reason}",
            code="embedder_unreachable",
            hint="check that the endpoint is up and the URL is right, then run it again",
            retryable=True,
        )

    def _bad_answer(self, reason: str) -> BackendError:
        return BackendError(
            f"the answer of {self.url} cannot be used: {reason}",
            code="embedder_bad_answer",
            hint="check that the URL is an API of the kind that the embedder names, and serves an embedding model",
        )


def _checked(url: Any, kind: str) -> str:
    """`url` without its last slash. One that carries a password or a query is refused: recipes are public."""
    if not is_base_url(url):
        raise InvalidInputError(
            "an embedder's URL has a host and a path, and neither user, password nor query",
            code="bad_embedder_url",
            hint=f"write {kind}:MODEL@https://host/v1 and give the key as api_key",
        )
    return str(url).rstrip("/")


def _client(url: str, api_key: str | None) -> httpx2.Client:
    try:
        import httpx2
    except ImportError as missing:
        raise missing_package("embedders behind an endpoint need", "httpx2", "vecver[openai]") from missing
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx2.Client(base_url=url + "/", headers=headers, timeout=TIMEOUT, limits=limits)
