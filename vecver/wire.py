"""The HTTP client of one service: requests, attempts, jobs, errors. It knows a URL and a key, and nothing of datasets.

Decisions
1. Every request may be sent again. Reads change nothing, and each write carries an `Idempotency-Key` made once per
   call, under which the service performs it once. After no answer, or 429, 502 or 503, the client tries again, unless
   the service says that it would not help or the time is spent.
2. The key is sent to the given URL only. Redirects are not followed, errors are not chained to the library's own
   (which may quote the header), and the key is masked in whatever is quoted from an answer.
3. While waiting for a job, a service that does not answer is tolerated as long as a call may take: a service that is
   restarted takes its jobs up again, and their caller has no other way to them.
4. httpx2 applies `timeout` to each read, so a body that trickled in was read for as long as it trickled. Now the whole
   body must arrive within `timeout` after its head. An upload may take longer; each piece must go in that time.
5. After a fork, reconnect: shared sockets silently returned another child's answer (2 of 1,200 searches).
6. Over plain http the key can be read on the way. That is neither refused nor warned about: behind a proxy or in a
   cluster it is usual, and the caller chose the URL.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

from vecver.errors import (
    AccessError,
    ApprovalError,
    BackendError,
    ConflictError,
    GateError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    NotPublishedError,
    SpaceMismatchError,
    VecverError,
    missing_package,
)
from vecver.http_rules import is_base_url, masked, retry_after
from vecver.progress import Progress

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")
Json = dict[str, Any]
BACK_OFF = 0.25  # seconds before the second attempt; doubles
RETRYABLE = {429, 502, 503}
BYTES = "application/octet-stream"  # the type of an object's bytes
AS_JOB = {"prefer": "respond-async"}  # the header that lets a service answer with a job; an older one ignores it
POLL = (0.05, 1.0)  # seconds between two polls of a job: at first, and at most

_CATEGORIES: dict[str, type[VecverError]] = {  # by the name that problems carry: all of vecver/errors.py
    kind.__name__: kind
    for kind in (
        *(NotFoundError, ConflictError, InvalidInputError, SpaceMismatchError),
        *(IntegrityError, NotPublishedError, BackendError, AccessError, GateError, ApprovalError),
    )
}


class Wire:
    """Connections to one service. Threads may share it; a forked process connects anew."""

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
        """Close every connection."""
        self._client.close()

    def get(self, path: str, **params: Any) -> Json:
        """The JSON object at a path. Parameters that are None are left out."""
        return self._call("GET", path, params=params)

    def ask(self, path: str, body: Json) -> Json:
        """The answer to a POST that changes nothing."""
        return self._call("POST", path, content=_encoded(body))

    def lines(self, path: str, body: Json) -> list[Json]:
        """The answer to a POST that changes nothing: one JSON object per line."""
        return self._call("POST", path, content=_encoded(body), decode=_decoded_lines)["lines"]

    def body(self, path: str, **params: Any) -> bytes:
        """The bytes at a path, all in memory. Parameters that are None are left out. Raises as `pieces`."""
        return b"".join(self.pieces(path, **params))

    def pieces(self, path: str, start: int = 0, **params: Any) -> Iterator[bytes]:
        """The bytes at a path from `start` on, a piece at a time. Parameters that are None are left out.

        Where the connection breaks it is asked for the rest. `timeout` holds for each piece. Raises as `get`.
        """
        wanted = {name: value for name, value in params.items() if value is not None}
        attempt = 0
        while True:
            failure, begun = None, start
            try:
                for piece in self._streamed(path, start, wanted):
                    start += len(piece)
                    yield piece
                return
            except _BrokenOffError as broken:
                failure = broken.failure
            attempt = 0 if start > begun else attempt + 1  # a long transfer may meet many breaks
            if not failure.retry or attempt > self._retries:
                raise failure.error
            time.sleep(max(BACK_OFF * 2**attempt, failure.wait))

    def _streamed(self, path: str, start: int, params: Mapping[str, Any]) -> Iterator[bytes]:
        """One attempt at the bytes at a path. Raises _BrokenOffError."""
        import httpx2

        headers = {"accept": BYTES, "accept-encoding": "identity", **({"range": f"bytes={start}-"} if start else {})}
        options: Json = {"params": params, "headers": headers, "timeout": self._timeout}
        try:
            with self._connections().stream("GET", self.url + path, **options) as answer:
                if answer.status_code == 416:  # there is nothing after `start`
                    return
                served = answer.is_success and answer.headers.get("content-type") == BYTES
                if not served or (start and answer.status_code != 206):
                    data = _read_body(answer, self._timeout)
                    raise _BrokenOffError(self._refused(answer, data, _decoded(data)))
                yield from answer.iter_bytes()
        except (httpx2.RequestError, TimeoutError) as error:
            retry = isinstance(error, httpx2.TransportError | TimeoutError)
            raise _BrokenOffError(_Failure(self._unreachable(type(error).__name__), retry=retry)) from None

    def write(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Json:
        """The outcome of a write. However many attempts it takes, the service performs it once."""
        content = b"" if body is None else _encoded(body)
        sent = {**(headers or {}), **_idempotency_key()}
        return self._call(method, path, params=params, content=content, headers=sent)

    def upload(self, path: str, file: IO[bytes], headers: Mapping[str, str], **params: Any) -> Json:
        """As `write`, with the bytes of a file from its beginning. Parameters that are None are left out."""
        return self._call("POST", path, params=params, content=file, headers={**headers, **_idempotency_key()})

    def outcome(self, answer: Json, progress: Progress | None = None) -> Json:
        """What a call that was sent with `AS_JOB` came to: its answer, or the result of the job that it is.

        Raises the error of a promotion that waits for an approval, and as `result_of`.
        """
        result = self.result_of(answer, progress) if "attempts" in answer else answer
        if result.get("code") == "approval_needed":
            raise read(result, error_of)
        return result

    def result_of(self, job: Json, progress: Progress | None = None) -> Json:
        """The result of a job, once it has ended. An interrupt cancels the job. Raises the job's error."""
        reported: dict[str, int] = {}  # unit -> count that `progress` has heard of
        pause, longest = POLL
        silent = 0.0  # seconds without an answer
        id = read(job, lambda body: str(body["id"]))
        try:
            while True:
                state = _report_progress(job, reported, progress)
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
        except BaseException:  # interrupted: nothing waits for the job now
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
            outcome = self._attempt(method, path, content, request, left, decode or _decoded)
            if not isinstance(outcome, _Failure):
                return outcome
            wait = max(BACK_OFF * 2**attempt, outcome.wait)
            if not outcome.retry or attempt >= self._retries or time.monotonic() + wait >= until:
                raise outcome.error  # unchained: the library's errors may quote the header that holds the key
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
        options = {"content": content or None, "timeout": timeout, **request}
        try:
            with self._connections().stream(method, self.url + path, **options) as answer:
                data = _read_body(answer, timeout)
        except (httpx2.RequestError, TimeoutError) as error:
            retry = isinstance(error, httpx2.TransportError | TimeoutError)
            return _Failure(self._unreachable(type(error).__name__), retry=retry)
        if answer.is_success and (body := decode(data)) is not None:
            return body
        return self._refused(answer, data, _decoded(data))

    def _connections(self) -> httpx2.Client:
        """This process's connections. Raises InvalidInputError once the handle was closed."""
        if self._client.is_closed:
            raise InvalidInputError("this handle was closed", code="closed", hint="vecver.connect makes another")
        if self._process != os.getpid():  # forked; the parent still uses its own
            self._client, self._process = _client(self._key, self._transport), os.getpid()
        return self._client

    def _refused(self, answer: httpx2.Response, data: bytes, body: Json | None) -> _Failure:
        if body is None or not isinstance(body.get("code"), str):
            error, retry = self._foreign(answer, data), answer.status_code in RETRYABLE
            return _Failure(error, retry=retry, wait=retry_after(answer.headers, 0.0))
        error = error_of(masked(body, self._key))
        retry = answer.status_code in RETRYABLE and error.context.get("retryable", True)
        retry = retry or error.code == "in_progress"  # the attempt before this one is still running
        return _Failure(error, retry=retry, wait=retry_after(answer.headers, 0.0))

    def _foreign(self, answer: httpx2.Response, data: bytes) -> VecverError:
        """The error for an answer that is not a vecver service's: a proxy's, or another service's."""
        text = " ".join(masked(data.decode("utf-8", "replace"), self._key).split())[:300]
        message = f"{self.url} answered {answer.status_code}: {text}"
        if answer.status_code in (401, 403):
            return AccessError(message, code="access_refused", hint="check the API key, and who asks for it on the way")
        return BackendError(
            message,
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
    retry: bool  # whether another attempt may succeed
    wait: float = 0.0  # seconds that the service asks to wait before it


class _BrokenOffError(Exception):
    """An attempt at bytes failed, perhaps after some of them."""

    def __init__(self, failure: _Failure) -> None:
        super().__init__()
        self.failure = failure


def path_of(*parts: str) -> str:
    """The path below the service's URL with these parts, each quoted."""
    return "/".join(["/v1", *(quote(part, safe="") for part in parts)])


def error_of(problem: Json) -> VecverError:
    """The error in a problem (RFC 9457): the same one that the library raised in the service."""
    kind = _CATEGORIES.get(str(problem.get("category")), VecverError)
    message = str(problem.get("detail") or problem.get("title") or problem["code"])
    error = kind(message, code=problem["code"], hint=str(problem.get("hint_python") or problem.get("hint") or ""))
    context = problem.get("context")
    error.context |= context if isinstance(context, dict) else {}
    error.context |= {"approval": problem["approval"]} if "approval" in problem else {}
    if problem.get("instance"):
        error.add_note(f"request {problem['instance']}")
    return error


def read(answer: Json, decode: Callable[[Json], T]) -> T:
    """`decode(answer)`. Raises BackendError where the answer lacks something or has another form."""
    try:
        return decode(answer)
    except VecverError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BackendError(
            f"what answers there is no vecver service, or one of another version: {type(error).__name__} {error}",
            code="service_bad_answer",
            hint="check the URL: it is what stands before /v1; and that both have the same version of vecver",
        ) from error


def _report_progress(job: Json, reported: dict[str, int], progress: Progress | None) -> str:
    """Call `progress` with what a job did since the last call, by unit. Returns the job's state."""
    state, units = read(job, _state_of)
    for unit, done, total in units:
        more, reported[unit] = done - reported.get(unit, 0), done
        if progress and more > 0:
            progress(unit, more, total)
    return state


def _state_of(job: Json) -> tuple[str, list[tuple[str, int, int | None]]]:
    """(state, [(unit, count done, total)])."""
    units = [(unit, int(counts["done"]), counts["total"]) for unit, counts in (job["progress"] or {}).items()]
    return str(job["state"]), units


def _result(id: str, state: str, job: Json) -> Json:
    """The result of a job that has ended. Raises its error."""
    if state == "succeeded":
        return read(job, lambda it: dict(it["result"]))
    if job.get("error"):
        raise error_of(job["error"])
    raise ConflictError(
        f"the job {id} was cancelled", code="job_cancelled", hint="nothing was moved; run it again", job=id
    )


def _idempotency_key() -> dict[str, str]:
    return {"idempotency-key": uuid4().hex}


def _encoded(body: Json) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"this cannot be said in JSON: {error}", code="not_json", hint="check the filter: plain values only"
        ) from error


def _read_body(answer: httpx2.Response, seconds: float) -> bytes:
    """The body of an answer. Raises TimeoutError if it has not ended in time, however often a piece arrives."""
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
    """The JSON objects of an answer, one per line; None for anything else."""
    lines = [_decoded(line) for line in data.split(b"\n") if line]
    return None if None in lines else {"lines": lines}


def _checked(url: str) -> str:
    """`url` without its last slash."""
    if not is_base_url(url):
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
        raise missing_package("to ask a service vecver needs", "httpx2", "vecver[client]") from missing
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
