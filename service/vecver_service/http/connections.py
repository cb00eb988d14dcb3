"""uvicorn's HTTP protocol with timeouts for callers that are slow to send a request or to read an answer.

A connection is closed when its headers do not arrive in time or are too large, when it is idle for too long, and when
its caller stops reading an answer.

Decisions
1. uvicorn's timer for idle connections is stopped by any byte, such as a line end, and not started again. Where it
   does not run, ours does.
2. An answer that is not read stays in memory until its connection ends, and a graceful close waits for it. So the
   connection is aborted when nothing was taken for as long as a request may take.
3. An idle connection is kept longer than its callers keep it (httpx and openai 5 s, nginx 60 s), so that the caller
   ends it. When both sides ended it after 5 s, 6 of 240 requests that came just then met a closed connection.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from vecver.errors import InvalidInputError
from vecver_service.http import problems
from vecver_service.http.middleware import STREAMS
from vecver_service.http.replies import json_bytes
from vecver_service.settings import ServiceSettings, load_settings

HEADER_BYTES = 64 << 10
IDLE_SECONDS = 75  # until an idle connection is closed; see Decisions


class TimeoutProtocol(HttpToolsProtocol):
    """Closes connections whose caller is too slow."""

    _timer: asyncio.TimerHandle | None = None  # until the headers must be complete, or the connection is idle
    _read_timer: asyncio.TimerHandle | None = None  # until the caller must have read some of the answer
    _headers_open = False
    _header_bytes = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.timeout_keep_alive = IDLE_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._read_timer:
            self._read_timer.cancel()
        super().connection_lost(exc)

    # -- the request ----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._headers_open:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES:
                self.send_400_response("The headers are too large.")
        elif self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_timer()

    def on_message_begin(self) -> None:
        self._headers_open, self._header_bytes = True, 0
        self._start_timer()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._headers_open = False
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP request with a problem, and close the connection."""
        error = InvalidInputError(msg.rstrip("."), code="invalid_http", hint="send HTTP/1.1, its headers within 64 KiB")
        request_id = secrets.token_hex(8)
        body = json_bytes({**problems.to_json(error, problems.PathMask(())), "instance": request_id})
        head = [
            "HTTP/1.1 400 Bad Request",
            f"content-length: {len(body)}",
            f"x-request-id: {request_id}",
            "connection: close",
        ]
        head.append("content-type: application/problem+json")
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)
        self.transport.close()

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(_settings().header_timeout, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    # -- the answer -----------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_read_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._start_read_timer()

    def shutdown(self) -> None:
        """Take no new requests, and end a stream of events: the process and its job would wait for it."""
        super().shutdown()
        if self.cycle and not self.cycle.response_complete and self.scope["path"].endswith(STREAMS):
            self.transport.close()

    def _start_read_timer(self) -> None:
        """Abort the connection unless its caller reads some of the answer within the timeout."""
        unread = self.transport.get_write_buffer_size()
        if unread and self._read_timer is None:
            self._read_timer = self.loop.call_later(_settings().timeout, self._check_read, unread)

    def _check_read(self, before: int) -> None:
        self._read_timer = None
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self._start_read_timer()


@cache
def _settings() -> ServiceSettings:
    return load_settings()
