"""The line to a service: requests, attempts, jobs, errors. Knows one URL and one key, and nothing of datasets.

Decisions
- 2026-11-21 Every request may be sent again: what only reads changes nothing, and each write carries an
  `Idempotency-Key` made once a call, under which the service does it once. So an attempt that got no answer, or
  429, 502 or 503, is followed by another, unless the service says that it would not help, or the time is spent.
- 2026-11-21 The key goes to the URL that was given and nowhere else: redirects are not followed, errors are not
  chained to the library's own (which may quote the header), and what is quoted of an answer has the key struck out.
- 2026-11-21 Who waits for a job waits out a service that does not answer, as long as a call may take: one that
  is restarted takes its jobs up again, and their caller has no other way to them.
- 2026-11-21 `timeout` is httpx2's for each step, so a body that came drop by drop was waited for as long as it came: it
  must be whole within that time after its head. An upload may take longer: each piece of it must go in that time.
- 2026-11-21 A process that was forked makes connections of its own: on those that it shared with its parent, of 1200
  searches by four children two were given another child's answer, and nobody noticed.
- 2026-11-21 Over plain http the key can be read on the way. That is neither refused nor warned of: behind a proxy
  or in a cluster it is usual, and the URL is the caller's.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit
from uuid import uuid4

from vecver.errors import (
    AccessError,
    BackendError,
    ConflictError,
    InvalidInputError,
    VecverError,
)
from vecver.flows import Progress
from vecver.model import Json

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")
BACK_OFF = 0.25  # seconds before the second attempt; doubles
RETRYABLE = {429, 502, 503}
POLL = (0.05, 1.0)  # seconds between two looks at a job: at first, and at most

_CATEGORIES = {kind.__name__: kind for kind in VecverError.__subclasses__()}  # the whole tree of vecver/errors.py


class Wire:
    """Connections to one service. Threads may share it, and a process that is forked."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 2,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """`timeout`: seconds for a call, all attempts together; `retries`: attempts after the first."""
        self.url = _checked(url)
        self._key = api_key or ""
        self._timeout = _seconds(timeout)
        self._retries = retries
        self._transport = transport
        self._client, self._process = _client(self._key, transport), os.getpid()

    def close(self) -> None:
        """Let go of every connection."""
        self._client.close()

    def get(self, path: str, **params: Any) -> Json:
        """What lies there. A parameter that is None is left out."""
        return self._call("GET", path, params=params)

    def ask(self, path: str, body: Json) -> Json:
        """The answer to a question that changes nothing."""
        return self._call("POST", path, content=_encoded(body))

    def lines(self, path: str, body: Json) -> list[Json]:
        """The answer to a question that changes nothing, where that is a JSON object a line."""
        return self._call("POST", path, content=_encoded(body), decode=_decoded_lines)["lines"]

    def write(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Json:
        """What a change came to. However often it is sent, it is done once."""
        content = b"" if body is None else _encoded(body)
        return self._call(method, path, params=params, content=content, headers={**(headers or {}), **_once()})

    def upload(self, path: str, file: IO[bytes], headers: Mapping[str, str], **params: Any) -> Json:
        """As `write`, with the bytes of a file from its beginning. None of `params` is sent that is None."""
        return self._call("POST", path, params=params, content=file, headers={**headers, **_once()})

    def result_of(self, job: Json, progress: Progress | None = None) -> Json:
        """What a job came to, once it has ended; whoever interrupts this cancels it. Raises its error."""
        told: dict[str, int] = {}
        pause, longest = POLL
        silent = 0.0  # seconds that nothing was heard
        id = read(job, lambda it: str(it["id"]))
        try:
            while True:
                state = _tell(job, told, progress)
                if state in ("succeeded", "failed", "cancelled"):
                    return _result(id, state, job)
                time.sleep(pause)
                pause = min(pause * 1.5, longest)
                try:
                    job, silent = self.get(path_of("jobs", id)), 0.0
                except BackendError as error:
                    silent += pause
                    if not error.retryable or silent > self._timeout:
                        raise
        except VecverError as error:
            error.add_note(f"job {id}")
            raise
        except BaseException:  # nobody waits for it any more
            with suppress(VecverError):
                self.write("POST", path_of("jobs", id, "cancel"))
            raise

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        content: bytes | IO[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        decode: Callable[[bytes], Json | None] | None = None,
    ) -> Json:
        """The first answer that is a success, as `decode` reads it (a JSON object, where that is left out).

        Raises the error that the service reports, or BackendError.
        """
        until = time.monotonic() + self._timeout
        request = {
            "params": {name: value for name, value in (params or {}).items() if value is not None},
            "headers": {**({"content-type": "application/json"} if content else {}), **(headers or {})},
        }
        attempt = 0
        while True:
            left = max(until - time.monotonic(), 0.001)
            answer = self._attempt(method, path, content, request, left, decode or _decoded)
            if not isinstance(answer, _Failure):
                return answer
            wait = max(BACK_OFF * 2**attempt, answer.wait)
            if not answer.again or attempt >= self._retries or time.monotonic() + wait >= until:
                raise answer.error  # unchained: the library's errors may quote the header that holds the key
            time.sleep(wait)
            attempt += 1

    def _attempt(
        self,
        method: str,
        path: str,
        content: bytes | IO[bytes],
        request: Json,
        timeout: float,
        decode: Callable[[bytes], Json | None],
    ) -> Json | _Failure:
        import httpx2

        if not isinstance(content, bytes):
            content.seek(0)
        how = {"content": content or None, "timeout": timeout, **request}
        try:
            with self._connections().stream(method, self.url + path, **how) as answer:
                data = _whole(answer, timeout)
        except (httpx2.RequestError, TimeoutError) as error:
            again = isinstance(error, httpx2.TransportError | TimeoutError)
            return _Failure(self._unreachable(type(error).__name__), again=again)
        if answer.is_success and (body := decode(data)) is not None:
            return body
        return self._refused(answer, data, _decoded(data))

    def _connections(self) -> httpx2.Client:
        """Those of this process. Raises InvalidInputError once they were let go of."""
        if self._client.is_closed:
            raise InvalidInputError("this handle was closed", code="closed", hint="vecver.connect makes another")
        if self._process != os.getpid():  # the parent's are not closed here: it uses them
            self._client, self._process = _client(self._key, self._transport), os.getpid()
        return self._client

    def _refused(self, answer: httpx2.Response, data: bytes, body: Json | None) -> _Failure:
        if body is None or not isinstance(body.get("code"), str):
            error, again = self._strange(answer, data), answer.status_code in RETRYABLE
            return _Failure(error, again=again, wait=_retry_after(answer))
        error = error_of(_struck(body, self._key))
        again = answer.status_code in RETRYABLE and error.context.get("retryable", True)
        again = again or error.code == "in_progress"  # our own attempt before this one is still being done
        return _Failure(error, again=again, wait=_retry_after(answer))

    def _strange(self, answer: httpx2.Response, data: bytes) -> VecverError:
        """What somebody on the way says, or a service of another kind."""
        text = " ".join(_struck(data.decode("utf-8", "replace"), self._key).split())[:300]
        said = f"{self.url} answered {answer.status_code}: {text}"
        if answer.status_code in (401, 403):
            return AccessError(said, code="access_refused", hint="check the API key, and who asks for it on the way")
        return BackendError(
            said,
            code="service_bad_answer",
            hint="check the URL: it is what stands before /v1, and a vecver service must answer there",
            retryable=answer.status_code in RETRYABLE,
            status=answer.status_code,
        )

    def _unreachable(self, reason: str) -> BackendError:
        return BackendError(
            f"{self.url} did not answer: {reason}",
            code="service_unreachable",
            hint="check that the service is up and the URL is right, then run it again",
            retryable=True,
        )


@dataclass(frozen=True)
class _Failure:
    """Why an attempt failed."""

    error: VecverError
    again: bool  # may another do better?
    wait: float = 0.0  # seconds that the service asks to wait before it


def path_of(*parts: str) -> str:
    """The path below the URL whose parts these are."""
    return "/".join(["/v1", *(quote(part, safe="") for part in parts)])


def error_of(problem: Json) -> VecverError:
    """The error that a problem (RFC 9457) tells of: the one that the library raised there."""
    kind = _CATEGORIES.get(str(problem.get("category")), VecverError)
    message = str(problem.get("detail") or problem.get("title") or problem["code"])
    error = kind(message, code=problem["code"], hint=str(problem.get("hint_python") or problem.get("hint") or ""))
    context = problem.get("context")
    error.context |= context if isinstance(context, dict) else {}
    if problem.get("instance"):
        error.add_note(f"request {problem['instance']}")
    return error


def read(answer: Json, of: Callable[[Json], T]) -> T:
    """What is sought in an answer. Raises BackendError if it is not there, or is something else."""
    try:
        return of(answer)
    except VecverError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BackendError(
            f"what answers there is no vecver service, or one of another version: {type(error).__name__} {error}",
            code="service_bad_answer",
            hint="check the URL: it is what stands before /v1; and that both have the same version of vecver",
        ) from error


def _tell(job: Json, told: dict[str, int], progress: Progress | None) -> str:
    """Tell `progress` how far a job has come since it was last told; its state."""
    state, units = read(job, _standing)
    for unit, done, total in units:
        more, told[unit] = done - told.get(unit, 0), done
        if progress and more > 0:
            progress(unit, more, total)
    return state


def _standing(job: Json) -> tuple[str, list[tuple[str, int, int | None]]]:
    """(state, [(unit, done, of how many)])."""
    units = [(unit, int(at["done"]), at["total"]) for unit, at in (job["progress"] or {}).items()]
    return str(job["state"]), units


def _result(id: str, state: str, job: Json) -> Json:
    """What a job that has ended came to. Raises its error."""
    if state == "succeeded":
        return read(job, lambda it: dict(it["result"]))
    if job.get("error"):
        raise error_of(job["error"])
    raise ConflictError(
        f"the job {id} was cancelled", code="job_cancelled", hint="nothing was moved; run it again", job=id
    )


def _once() -> dict[str, str]:
    return {"idempotency-key": uuid4().hex}


def _encoded(body: Json) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"this cannot be said in JSON: {error}", code="not_json", hint="check the filter: plain values only"
        ) from error


def _whole(answer: httpx2.Response, seconds: float) -> bytes:
    """The body of an answer. Raises TimeoutError: it comes drop by drop, each in time, and does not end."""
    until, data = time.monotonic() + seconds, bytearray()
    for part in answer.iter_bytes():
        data += part
        if time.monotonic() > until:
            raise TimeoutError
    return bytes(data)


def _decoded(data: bytes) -> Json | None:
    """The answer's JSON object; None for anything else."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _decoded_lines(data: bytes) -> Json | None:
    """The JSON objects of an answer, one a line; None for anything else."""
    lines = [_decoded(line) for line in data.split(b"\n") if line]
    return None if None in lines else {"lines": lines}


def _struck(value: Any, key: str) -> Any:
    """A text, or a value of JSON with all its texts, in which the key cannot be read."""
    if isinstance(value, str):
        return value.replace(key, "***") if key else value
    if isinstance(value, dict):
        return {name: _struck(item, key) for name, item in value.items()}
    return [_struck(item, key) for item in value] if isinstance(value, list) else value


def _retry_after(answer: httpx2.Response) -> float:
    """Seconds that the service asks to wait for. (Its date form is rare, and our own back-off serves.)"""
    try:
        return max(0.0, float(answer.headers["retry-after"]))
    except (KeyError, ValueError):
        return 0.0


def _checked(url: str) -> str:
    """`url` without its last slash."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        sound = sound and url.isprintable() and bool((parts.hostname or "").encode("idna"))
    except (ValueError, AttributeError):
        sound = False
    if not sound or parts.username is not None or parts.query or parts.fragment:
        raise InvalidInputError(
            "a service's URL has http or https, a host and perhaps a path, and neither user, password nor query",
            code="invalid_url",
            hint="write https://host or http://localhost:8000, and give the key as api_key",
        )
    return url.rstrip("/")


def _seconds(timeout: float) -> float:
    if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not (isfinite(timeout) and timeout > 0):
        raise InvalidInputError(
            f"{timeout!r} is no time to wait", code="invalid_timeout", hint="give seconds, such as timeout=60"
        )
    return timeout


def _client(key: str, transport: httpx2.BaseTransport | None) -> httpx2.Client:
    try:
        import httpx2
    except ImportError as missing:
        raise InvalidInputError(
            "to ask a service vecver needs the package httpx2",
            code="missing_package",
            hint="pip install 'vecver[client]'",
            package="httpx2",
        ) from missing
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidInputError(
            "an API key is ASCII without spaces", code="invalid_api_key", hint="pass it as `vecver key add` printed it"
        )
    headers = {"accept": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    try:
        return httpx2.Client(headers=headers, transport=transport)
    except (ImportError, OSError, ValueError) as error:
        raise InvalidInputError(
            f"a proxy or certificates that the environment names cannot be used: {error}",
            code="invalid_environment",
            hint="look at HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE; NO_PROXY names hosts without proxy",
        ) from error
