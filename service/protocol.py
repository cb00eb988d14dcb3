"""uvicorn's HTTP protocol with an end to its patience: for callers that are slow to say what they want, or talk on."""

from __future__ import annotations

import asyncio
from functools import cache

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.settings import load_settings

HEADER_BYTES = 64 << 10


class Patient(HttpToolsProtocol):
    """Closes connections whose request line and headers do not come in time, or do not end."""

    _timer: asyncio.TimerHandle | None = None
    _headers_open = False
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._headers_open:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES:
                self.send_400_response("The headers are too large.")

    def on_message_begin(self) -> None:
        self._headers_open, self._header_bytes = True, 0
        self._wait()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._headers_open = False
        self._rest()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._rest()
        self._timer = self.loop.call_later(_seconds(), self.transport.close)

    def _rest(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


@cache
def _seconds() -> float:
    return load_settings().header_timeout
