"""Asks one embedding endpoint once, checks its answer, and says what kind of failure it was. It repeats nothing.

Decisions
1. An answer that is no list of embeddings (a page of a proxy, an error under status 200, half of a body) says nothing
   about the texts: it may be repeated, elsewhere too. A vector that cannot be used is a refusal of its text.
2. The time-out counts to the last byte of the answer: a server that drips must not hold a search or an ingest for ever.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vecver.errors import BackendError, InvalidInputError, SpaceMismatchError, missing_package
from vecver.http_rules import checked_key, is_base_url, masked, retry_after
from vecver.model import Json
from vecver.pipeline.embedders.shapes import SHAPES, WrongCount

if TYPE_CHECKING:
    import httpx2

TIMEOUT = 60.0  # seconds for a request and its answer
CONNECT_TIMEOUT = 5.0  # seconds; a machine that vanished must not hold texts that others could take
RETRYABLE = {408, 409, 425, 429, 500, 502, 503, 504, 529}
REFUSED = {400, 413, 422}  # of these texts: others may be embedded

_MOVED = "name the address that it redirects to: texts and the API key go nowhere else by themselves"
_HINTS = {
    **dict.fromkeys((301, 302, 303, 307, 308), _MOVED),
    400: "a text may be longer than the model reads: chunk smaller, or check the model's name",
    401: "pass the endpoint's API key",
    403: "check what the API key may do",
    404: "check the model's name and the URL (it usually ends in /v1)",
}


_JSON = {"content-type": "application/json"}


class Failed(Exception):
    """A request that may succeed later. `wait`: seconds that the endpoint asks for, or None."""

    def __init__(self, error: BackendError, wait: float | None) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait = wait
        self.is_pace = error.context.get("status") == 429  # it asks to be asked less often


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
        self._shape, self._model = SHAPES[kind], model
        self._key = checked_key(api_key, "embedder", "VECVER_API_KEY or api_key")
        self._client = _client(self.url, self._key)
        self._answers_as: str | None = None  # the model's name in its answers

    def ask(self, texts: Sequence[str], *, query: bool = False) -> npt.NDArray[np.float64]:
        """`(n, dim)`, finite, no row zero, in the order of `texts`.

        Raises Failed, Refused, SpaceMismatchError (another dimension or model), BackendError (what no repetition
        helps: a wrong key, no such model).
        """
        content = self._sent(texts, query)
        try:
            body = json.loads(content)
            vectors = self._shape.rows(body, len(texts))
            dims = {len(_checked_vector(vector)) for vector in vectors}
        except WrongCount as failure:
            raise Refused(self._bad_answer(str(failure))) from failure
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as failure:
            raise Failed(self._bad_answer(f"no list of embeddings ({_short(failure)})"), None) from failure
        for dim in dims:
            self._check_same(dim, body.get("model") if isinstance(body, dict) else None)
        return self._numbers(vectors)

    def _numbers(self, vectors: list[Any]) -> npt.NDArray[np.float64]:
        """`(n, dim)`, each row of some length. Raises Failed (no numbers), Refused (a vector that has no direction)."""
        try:
            rows = np.array(vectors, dtype=np.float64)
        except (ValueError, TypeError, OverflowError) as failure:
            raise Failed(self._bad_answer(f"no list of numbers ({_short(failure)})"), None) from failure
        if rows.ndim != 2:
            raise Failed(self._bad_answer(f"vectors of shape {rows.shape}"), None)
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(rows, axis=1)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise Refused(self._bad_answer("a vector is zero or not finite"))
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

    def _sent(self, texts: Sequence[str], query: bool) -> bytes:
        """What it answers. Raises Failed, Refused, BackendError."""
        import httpx2

        failure: BackendError
        try:
            answer, content = self._posted(self._shape.body(self._model, texts, query))
        except httpx2.RequestError as error:
            failure = self._unreachable(type(error).__name__)
        else:
            if answer.is_success:
                return content
            failure = self._error(answer.status_code, content)
            if failure.retryable:
                wait = retry_after(answer.headers, 0.0)
                raise Failed(failure, wait if wait > 0 else None)
            raise Refused(failure) if answer.status_code in REFUSED else failure
        raise Failed(failure, None)  # unchained: httpx2's own errors may quote the header that holds the key

    def _posted(self, body: Json) -> tuple[httpx2.Response, bytes]:
        """The answer to a request, and its body. Raises httpx2.RequestError."""
        import httpx2

        until = time.monotonic() + TIMEOUT
        content = bytearray()
        sent = json.dumps(body).encode()  # ASCII: a question may hold half of a surrogate pair, which UTF-8 cannot
        with self._client.stream("POST", self._shape.path, content=sent, headers=_JSON) as answer:
            for piece in answer.iter_bytes():
                content += piece
                if time.monotonic() > until:
                    raise httpx2.ReadTimeout("it answers too slowly")
        return answer, bytes(content)

    def _error(self, status: int, content: bytes) -> BackendError:
        text = masked(" ".join(content.decode("utf-8", "replace").split()), self._key)[:500]
        no_credit = status == 429 and "insufficient_quota" in text  # OpenAI's; no waiting helps
        return BackendError(
            f"{self.url} answered {status}: {text}",
            code="embedder_refused",
            hint="check the account's credit" if no_credit else _HINTS.get(status, "try again later"),
            retryable=status in RETRYABLE and not no_credit,
            status=status,
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
    if not is_base_url(url) or re.search(r"[\s,;]", url):
        raise InvalidInputError(
            "an embedder's URL has a host and a path, and neither user, password nor query",
            code="bad_embedder_url",
            hint=f"write {kind}:MODEL@https://host/v1, with commas between several, and give the key as api_key",
        )
    return str(url).rstrip("/")


def _checked_vector(vector: Any) -> list[Any]:
    if not isinstance(vector, list):
        raise TypeError(f"{type(vector).__name__} in place of a vector")
    return vector


def _short(error: Exception) -> str:
    return str(error)[:100]  # numpy's errors quote what they could not read


def _client(url: str, api_key: str) -> httpx2.Client:
    try:
        import httpx2
    except ImportError as missing:
        raise missing_package("embedders behind an endpoint need", "httpx2", "vecver[openai]") from missing
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
    timeout = httpx2.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT)
    return httpx2.Client(base_url=url + "/", headers=headers, timeout=timeout, limits=limits)
