"""The middleware around the whole service: what happens before and after every route.

    before   a request id; the key; its rate; each option at most once; a limit for the body; a deadline
    after    the id as a header, one log line, one measurement

Bodies are read only behind these checks, so a caller without a key cannot make the service read anything.

Decisions
1. Search threads cannot be cancelled. At the deadline the caller is answered, and the slot is freed when the thread
   ends: before, eight slow searches of one key held all eight threads while their callers had been answered, and
   every other key waited.
2. Bodies are limited here, not by FastAPI's `max_body_size`. That stands in front of this middleware and answers a
   body with a large Content-Length in plain text, without a request id, whether the caller has a key or not.
3. A request whose answer takes no thread, so far a short search, is answered in the task in which it arrived, without
   a task, a slot and a timer of its own. Its body must be small (`_AT_ONCE_BYTES`, as much as uvicorn reads ahead
   anyway), since it is read before there is a slot.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from time import monotonic, perf_counter
from typing import Any, Protocol

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vecver.errors import BackendError, InvalidInputError
from vecver_service.http import problems
from vecver_service.http.bodies import LimitedBody, messages_of, replayed
from vecver_service.http.callers import Callers
from vecver_service.metrics import Metrics
from vecver_service.settings import ServiceSettings
from vecver_service.state.keys import Caller

_OPEN = ("/healthz", "/readyz")
_PAGES = ("/docs", "/openapi.json")  # the same for every vecver: no key is needed to read them
_UPLOADS, STREAMS = "/ingest", "/events"  # the ends of their paths
_OBJECT = re.compile("/v1/datasets/[^/]+/object")  # sent in pieces, as fast as the caller takes them
_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)
_BODY_REFUSED = (408, 413)
_AT_ONCE_BYTES = 64 << 10  # a longer body is read only with a slot
_log = logging.getLogger("vecver.service")


class AtOnce(Protocol):
    """Answers some requests without a thread."""

    def takes(self, scope: Scope) -> bool:
        """Whether it may answer this request, once its body is there."""

    async def answer(self, scope: Scope, messages: Sequence[Message]) -> Response | None:
        """The answer to the request with this body; None: the application answers. Raises what a route raises."""


class Pages(Protocol):
    """The pages for people, whose visitors come with a cookie."""

    def is_page(self, path: str) -> bool:
        """Is this path a page?"""

    def enter(self, scope: Scope) -> Caller | None:
        """Who looks at it; None for a page that everybody may see. Raises AccessError."""


def _is_open(path: str) -> bool:
    """Whether this path is answered without a key."""
    return path in (*_OPEN, *_PAGES) or path.startswith("/docs/")


def _mounted(scope: Scope, root: str) -> Scope:
    """The scope with its path as routes know it: without what a proxy, or an application around, puts before it."""
    root = root or scope.get("root_path", "").rstrip("/")
    path = scope["path"]
    inner = path.removeprefix(root) if path.startswith(f"{root}/") else path
    return {**scope, "root_path": root, "path": inner} if root else scope


class RequestMiddleware:
    """Authenticates, limits, times, logs and measures every request.

    `route_of`: the path of the route that a request is for, as metrics name it; None without one.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: ServiceSettings,
        callers: Callers,
        answer_to: problems.ErrorAnswer,
        metrics: Metrics,
        route_of: Callable[[Scope], str | None],
        at_once: AtOnce,
        pages: Pages,
    ) -> None:
        self._app, self._settings, self._callers, self._metrics = app, settings, callers, metrics
        self._answer_to, self._route_of, self._at_once, self._pages = answer_to, route_of, at_once, pages
        self._working: dict[str, asyncio.Semaphore] = {}
        self._late: set[asyncio.Future[None]] = set()  # requests that are still running after their deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _mounted(scope, self._settings.root_path)
        headers = dict(reversed(scope["headers"]))  # of a repeated name the first
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        scope["vecver.request"] = request_id if _ID.fullmatch(request_id) else secrets.token_hex(8)
        sender = _ResponseSender(scope, send)
        since = perf_counter()
        try:
            caller = self._caller(scope, headers)
            if caller is not None:
                scope["vecver.caller"] = caller
                self._callers.check_rate(caller)
                _check_unrepeated(scope)
            await self._answer(scope, _length_of(headers), receive, sender)
        except Exception as error:
            if sender.begun:  # the status has been sent, so the error can only be logged
                _log.error("broken off", exc_info=error, extra={"request": scope["vecver.request"]})
                return
            await self._answer_to(Request(scope), error)(scope, receive, sender.send)
        finally:
            self._record(scope, sender, perf_counter() - since)

    # -- before ---------------------------------------------------------------------------------

    def _caller(self, scope: Scope, headers: dict[bytes, bytes]) -> Caller | None:
        """Who makes a request; None where everybody may. Raises AccessError."""
        if self._pages.is_page(scope["path"]):
            return self._pages.enter(scope)
        if _is_open(scope["path"]):
            return None
        return self._callers.caller_of(scope, headers.get(b"authorization", b"").decode("latin-1"))

    async def _answer(self, scope: Scope, length: int | None, receive: Receive, sender: _ResponseSender) -> None:
        """Answer at once where that is possible, else by the application. Raises BackendError at the deadline."""
        settings, upload = self._settings, scope["method"] == "POST" and scope["path"].endswith(_UPLOADS)
        deadline = _Deadline(settings.upload_timeout if upload else settings.timeout)
        body = LimitedBody(receive, settings.max_upload if upload else settings.max_body, length)
        if length is None or length > _AT_ONCE_BYTES or not self._at_once.takes(scope) or self._slots(scope).locked():
            await self._run_with_deadline(scope, body, body, sender, deadline)
            return
        messages = await _messages_in_time(body, deadline)
        response = await self._at_once.answer(scope, messages)
        if response is None:
            await self._run_with_deadline(scope, replayed(messages, body), body, sender, deadline)
        else:
            await response(scope, body, sender.send)

    def _slots(self, scope: Scope) -> asyncio.Semaphore:
        """The slots of a caller: the requests of one key, late ones included, leave two threads to other keys."""
        key = scope["vecver.caller"].id
        slots = self._working.get(key)
        if slots is None:
            slots = self._working[key] = asyncio.Semaphore(max(1, self._settings.threads - 2))
        return slots

    def _thread_slot(self, scope: Scope) -> AbstractAsyncContextManager[Any]:
        """A slot for one of the threads. Uploads, streams and stored objects wait most of their time and take none."""
        path = scope["path"]
        if "vecver.caller" not in scope or path.endswith((_UPLOADS, STREAMS)) or _OBJECT.fullmatch(path):
            return nullcontext()
        return self._slots(scope)

    async def _run_with_deadline(
        self, scope: Scope, receive: Receive, body: LimitedBody, sender: _ResponseSender, deadline: _Deadline
    ) -> None:
        """Run the application. Raises BackendError if it has sent nothing by the deadline."""
        waiting = True

        async def work() -> None:
            nonlocal waiting
            async with self._thread_slot(scope):
                waiting = False
                await self._app(scope, receive, sender.send_while_open)

        task = asyncio.ensure_future(work())
        try:
            await asyncio.wait({task}, timeout=deadline.left_s)
            if not task.done() and not sender.begun:
                sender.closed = True
                if waiting:
                    task.cancel()
                self._late.add(task)
                task.add_done_callback(self._forget)
                raise _busy(deadline.timeout_s) if waiting else _late(deadline.timeout_s, body.complete)
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
        route = getattr(scope.get("route"), "path", None) or self._unreached_route(scope, sender.status) or "other"
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

    def _unreached_route(self, scope: Scope, status: int) -> str | None:
        """The route of a request that was refused for its body, before it reached its route."""
        return self._route_of(scope) if status in _BODY_REFUSED else None


class _Deadline:
    """When a request must be answered: `timeout_s` from now."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s, self._at = timeout_s, monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        """Seconds until then."""
        return self._at - monotonic()


class _ResponseSender:
    """Sends the answer with the request's id as a header, and knows whether it has begun."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._id, self._send = scope["vecver.request"].encode(), send
        self._state = scope["app"].state
        self.status = 0
        self.begun = self.closed = False

    async def send(self, message: Message) -> None:
        """Send one ASGI message."""
        if message["type"] == "http.response.start":
            self.begun, self.status = True, message["status"]
            closing = [(b"connection", b"close")] if self._state.draining else []  # so that callers go elsewhere
            message["headers"] = [*message["headers"], (b"x-request-id", self._id), *closing]
        await self._send(message)

    async def send_while_open(self, message: Message) -> None:
        """Send one ASGI message of the application; nothing once the middleware has answered for it."""
        if not self.closed:
            await self.send(message)


async def _messages_in_time(body: LimitedBody, deadline: _Deadline) -> list[Message]:
    """The messages of a whole body. Raises BackendError (`slow_request`) at the deadline."""
    try:
        async with asyncio.timeout(deadline.left_s):
            return await messages_of(body)
    except TimeoutError:
        raise _late(deadline.timeout_s, body.complete) from None


def _length_of(headers: dict[bytes, bytes]) -> int | None:
    """The length that a request gives its body; None where it gives none."""
    text = headers.get(b"content-length", b"").decode("latin-1")
    return int(text[:20]) if text.isdecimal() else None


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
