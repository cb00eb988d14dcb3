"""uvicorn's HTTP protocol with an end to its patience: for callers that are slow to say what they want, or talk on.

A connection is closed where its headers do not come in time or do not end, where nothing of a request is asked or
answered on it, and where its caller takes no more of an answer.

Decisions
- 2026-11-21 uvicorn's own timer for idle connections is stopped by any byte, a line end say, and not started again:
  so where it does not run, ours does.
- 2026-11-21 an answer that nobody reads stays in memory until its connection ends, and closing one waits for that: so
  it is broken off where nothing was taken for as long as a request may take.
- 2026-11-21 an idle connection is kept for longer than its callers keep it (httpx and openai 5 s, nginx 60), so that
  they are the ones who end it. Both ended it after 5 s: of 240 requests that came then 6 met a closed connection.
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
IDLE_SECONDS = 75  # that a connection is kept for its caller's next request; see Decisions


class TimeoutProtocol(HttpToolsProtocol):
    """Ends connections whose caller does not do its part."""

    _timer: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None
    _headers_open = False
    _header_bytes = 0

    def __init__(self, *given: Any, **how: Any) -> None:
        super().__init__(*given, **how)
        self.timeout_keep_alive = IDLE_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        if self._taking:
            self._taking.cancel()
        super().connection_lost(exc)

    # -- what is asked --------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._headers_open:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES:
                self.send_400_response("The headers are too large.")
        elif self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._wait()

    def on_message_begin(self) -> None:
        self._headers_open, self._header_bytes = True, 0
        self._wait()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._headers_open = False
        self._rest()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, as a problem like all others, and end."""
        error = InvalidInputError(msg.rstrip("."), code="invalid_http", hint="send HTTP/1.1, its headers within 64 KiB")
        id = secrets.token_hex(8)
        body = json_bytes({**problems.to_json(error, problems.PathMask(())), "instance": id})
        head = ["HTTP/1.1 400 Bad Request", f"content-length: {len(body)}", f"x-request-id: {id}", "connection: close"]
        head.append("content-type: application/problem+json")
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)
        self.transport.close()

    def _wait(self) -> None:
        self._rest()
        self._timer = self.loop.call_later(_settings().header_timeout, self.transport.close)

    def _rest(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    # -- what is answered -----------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def shutdown(self) -> None:
        """No new requests. A stream of events ends now: the process, and the job that it runs, would wait for it."""
        super().shutdown()
        if self.cycle and not self.cycle.response_complete and self.scope["path"].endswith(STREAMS):
            self.transport.close()

    def _watch(self) -> None:
        """Break the connection off if nothing of what waits for its caller is taken for a while."""
        waiting = self.transport.get_write_buffer_size()
        if waiting and self._taking is None:
            self._taking = self.loop.call_later(_settings().timeout, self._look, waiting)

    def _look(self, before: int) -> None:
        self._taking = None
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self._watch()


@cache
def _settings() -> ServiceSettings:
    return load_settings()
