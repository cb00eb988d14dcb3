"""The middleware around the whole service: what happens before and after every route.

    before   a request id; the key; its rate; each option at most once; a limit for the body; a deadline
    after    the id as a header, one log line, one measurement

Bodies are read only behind these checks, so a caller without a key cannot make the service read anything.

Decisions
1. Search threads cannot be cancelled. At the deadline the caller is answered, and the slot is freed when the thread
   ends: before, eight slow searches of one key held all eight threads while their callers had been answered, and
   every other key waited.
2. Without keys, any web page could make a browser on this machine call the service. So a request must name this
   machine as its Host and come from no other Origin.
3. Bodies are limited here, not by FastAPI's `max_body_size`. That stands in front of this middleware and answers a
   body with a large Content-Length in plain text, without a request id, whether the caller has a key or not.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections import Counter
from contextlib import AbstractAsyncContextManager, nullcontext
from ipaddress import ip_address
from math import ceil
from time import monotonic, perf_counter
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vecver.errors import AccessError, BackendError, InvalidInputError, say
from vecver_service.http import problems
from vecver_service.metrics import Metrics
from vecver_service.settings import ServiceSettings
from vecver_service.state.keys import ALL, Caller, Keys

_OPEN = ("/healthz", "/readyz")
_PAGES = ("/", "/docs", "/openapi.json")  # the same for every vecver: no key is needed to read them
_UPLOADS, STREAMS = "/ingest", "/events"  # the ends of their paths
_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)
_log = logging.getLogger("vecver.service")


def _is_open(path: str) -> bool:
    """Whether this path is answered without a key."""
    return path in (*_OPEN, *_PAGES) or path.startswith("/docs/")


class RequestMiddleware:
    """Authenticates, limits, times, logs and measures every request."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: ServiceSettings,
        keys: Keys,
        author: str,
        mask: problems.PathMask,
        metrics: Metrics,
    ) -> None:
        self._app, self._settings, self._keys, self._mask, self._metrics = app, settings, keys, mask, metrics
        self._anonymous = Caller("", author, (f"{ALL}:admin",))
        self._rates: dict[str, _TokenBucket] = {}
        self._working: dict[str, asyncio.Semaphore] = {}
        self._late: set[asyncio.Future[None]] = set()  # requests that are still running after their deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        scope["vecver.request"] = request_id if _ID.fullmatch(request_id) else secrets.token_hex(8)
        sender = _ResponseSender(scope, send)
        since = perf_counter()
        try:
            if not _is_open(scope["path"]):
                scope["vecver.caller"] = self._caller(scope, headers)
                self._check_rate(scope["vecver.caller"])
                _check_unrepeated(scope)
            await self._run_with_deadline(scope, receive, sender)
        except Exception as error:
            if sender.begun:  # the status has been sent, so the error can only be logged
                _log.error("broken off", exc_info=error, extra={"request": scope["vecver.request"]})
                return
            await problems.problem(Request(scope), error, self._mask)(scope, receive, sender.send)
        finally:
            self._record(scope, sender, perf_counter() - since)

    # -- before ---------------------------------------------------------------------------------

    def _caller(self, scope: Scope, headers: Headers) -> Caller:
        """The caller that a request's key belongs to. Raises AccessError."""
        token = headers.get("authorization", "")
        if self._settings.no_auth:
            return self._anonymous
        if not self._keys.needed():
            _check_local(scope, headers)
            return self._anonymous
        kind, _, token = token.partition(" ")
        key = self._keys.find(token.strip()) if kind.lower() == "bearer" else None
        if key is None:
            raise _denied("the API key is unknown" if token else "an API key is needed")
        return Caller(key.id, key.name, key.scopes)

    def _check_rate(self, caller: Caller) -> None:
        """Raises BackendError (`rate_limited`) if this caller sends requests too fast."""
        if not self._settings.rate:
            return
        bucket = self._rates.setdefault(caller.id, _TokenBucket(self._settings.burst))
        wait = bucket.take(self._settings.rate, self._settings.burst)
        if wait:
            raise BackendError(
                f"more than {self._settings.rate:g} requests a second",
                code="rate_limited",
                hint=f"wait {wait:.1f} s, or ask several queries in one request",
                retryable=True,
                retry_after=max(1, ceil(wait)),
            )

    def _thread_slot(self, scope: Scope) -> AbstractAsyncContextManager[Any]:
        """A slot for one of the threads: the requests of one key, late ones included, leave two threads to other keys.

        Uploads and streams wait most of their time and take no slot.
        """
        caller = scope.get("vecver.caller")
        if caller is None or scope["path"].endswith((_UPLOADS, STREAMS)):
            return nullcontext()
        return self._working.setdefault(caller.id, asyncio.Semaphore(max(1, self._settings.threads - 2)))

    async def _run_with_deadline(self, scope: Scope, receive: Receive, sender: _ResponseSender) -> None:
        """Run the application. Raises BackendError if it has sent nothing by the deadline."""
        settings, upload = self._settings, scope["method"] == "POST" and scope["path"].endswith(_UPLOADS)
        timeout_s = settings.upload_timeout if upload else settings.timeout
        max_bytes = settings.max_upload if upload else settings.max_body
        body = _LimitedBody(receive, max_bytes, Headers(scope=scope).get("content-length", ""))
        waiting = True

        async def work() -> None:
            nonlocal waiting
            async with self._thread_slot(scope):
                waiting = False
                await self._app(scope, body, sender.send_while_open)

        task = asyncio.ensure_future(work())
        try:
            await asyncio.wait({task}, timeout=timeout_s)
            if not task.done() and not sender.begun:
                sender.closed = True
                if waiting:
                    task.cancel()
                self._late.add(task)
                task.add_done_callback(self._forget)
                raise _busy(timeout_s) if waiting else _late(timeout_s, body.complete)
            await task
        except asyncio.CancelledError:
            task.cancel()
            raise

    def _forget(self, task: asyncio.Future[None]) -> None:
        self._late.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("failed after its deadline", exc_info=error)

    # -- after ----------------------------------------------------------------------------------

    def _record(self, scope: Scope, sender: _ResponseSender, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.request(route, scope["method"], sender.status, seconds)
        if route in (*_OPEN, "/metrics") and sender.status < 400:
            return
        caller = scope.get("vecver.caller")
        _log.info(
            "request",
            extra={
                "request": scope["vecver.request"],
                "method": scope["method"],
                "path": scope["path"],
                "status": sender.status,
                "ms": round(seconds * 1000, 2),
                "by": caller.name if caller else None,
                "key": caller.id if caller else None,
                "client": (scope.get("client") or ("",))[0],
                **scope.get("vecver.log_fields", {}),
                **({"code": scope["vecver.code"]} if "vecver.code" in scope else {}),
            },
        )


class _ResponseSender:
    """Sends the answer with the request's id as a header, and knows whether it has begun."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._id, self._send = scope["vecver.request"].encode(), send
        self.status = 0
        self.begun = self.closed = False

    async def send(self, message: Message) -> None:
        """Send one ASGI message."""
        if message["type"] == "http.response.start":
            self.begun, self.status = True, message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self._id)]
        await self._send(message)

    async def send_while_open(self, message: Message) -> None:
        """Send one ASGI message of the application; nothing once the middleware has answered for it."""
        if not self.closed:
            await self.send(message)


class _LimitedBody:
    """Receives a request's body of at most `max_bytes`. Raises HTTPException (413) for a longer one."""

    def __init__(self, receive: Receive, max_bytes: int, content_length: str) -> None:
        self._receive, self._left = receive, max_bytes
        self.complete = False  # whether all of it has arrived
        if content_length.isdecimal() and int(content_length[:20]) > max_bytes:
            raise HTTPException(413)

    async def __call__(self) -> Message:
        message = await self._receive()
        self.complete = self.complete or not message.get("more_body", False)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413)
        return message


class _TokenBucket:
    """A token bucket: `burst` requests at once, then `rate` a second."""

    def __init__(self, burst: int) -> None:
        self._left, self._at = float(burst), monotonic()

    def take(self, rate: float, burst: int) -> float:
        """Take a token: 0, or the seconds until there is one."""
        now = monotonic()
        self._left = min(float(burst), self._left + (now - self._at) * rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / rate
        self._left -= 1
        return 0.0


def _check_unrepeated(scope: Scope) -> None:
    """Raises InvalidInputError for an option that is given twice: the routes would silently take the last."""
    if not scope["query_string"]:
        return
    counts = Counter(name for name, _ in QueryParams(scope["query_string"]).multi_items())
    for name, count in counts.items():
        if count > 1:
            raise InvalidInputError(
                f"the option {name[:100]!r} is given twice", code="repeated_option", hint="give each option once"
            )


def _check_local(scope: Scope, headers: Headers) -> None:
    """Raises AccessError unless the request comes from this machine and its Host and Origin name this machine."""
    addresses = [(scope.get(end) or ("",))[0] for end in ("client", "server")]
    urls = [f"//{headers.get('host', '')}", *headers.getlist("origin")]
    if (
        not all(_is_loopback(address) for address in addresses)
        or "x-forwarded-for" in headers
        or "forwarded" in headers
    ):
        raise _denied("this service has no API keys, and serves nobody but this machine without")
    if not all(_is_this_machine(_host_of(url)) for url in urls):
        raise _denied("without API keys this service must be asked as localhost, and by no other site's page")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_this_machine(host: str) -> bool:
    return host in ("localhost", "testserver") or (host != "" and _is_loopback(host))


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address in ("", "testclient", "testserver")  # a unix socket; starlette's test client


def _denied(message: str) -> AccessError:
    return AccessError(
        message,
        code="unauthenticated",
        hint=say(
            "give a key as api_key; the operator of the service makes one with `vecver key add`",
            http="send Authorization: Bearer KEY; the operator of the service makes one with `vecver key add`",
        ),
    )


def _busy(timeout_s: float) -> BackendError:
    return BackendError(
        f"as many requests of this key as are worked on at once took more than {timeout_s:g} s",
        code="busy",
        hint="ask fewer at once; nothing was done for this one",
        retryable=True,
    )


def _late(timeout_s: float, complete: bool) -> BackendError:
    if complete:
        return BackendError(
            f"the answer took more than {timeout_s:g} s",
            code="timeout",
            hint="ask less at once; a write may still happen: look before repeating it, or send an Idempotency-Key",
        )
    return BackendError(
        f"the request's body did not come within {timeout_s:g} s",
        code="slow_request",
        hint="send it faster",
        retryable=True,
    )
