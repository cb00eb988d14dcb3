"""Ends a process so that no request is lost: it is unready first, and ends when nobody sends it requests any more.

    SIGTERM     /readyz says no, workers put their jobs back, answers ask to close their connection
    drain       (VECVER_DRAIN) seconds, in which load balancers learn that; requests are answered as before
    then        uvicorn closes its socket, answers what is in flight (VECVER_SHUTDOWN_TIMEOUT), and ends

A second SIGTERM, or Ctrl-C, goes to uvicorn at once.

Decisions
1. uvicorn closes its socket at SIGTERM. Whoever has not heard by then that this replica is gone, a proxy that asks
   /readyz each second or kube-proxy, meets a closed port.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType

from starlette.datastructures import State


def drain_at_sigterm(state: State, seconds: float, begin: Callable[[], None]) -> None:
    """Let SIGTERM set `state.draining` and call `begin`, and end this process `seconds` later as it did before.

    To be called on the event loop, after its server has set its own handler. Does nothing outside of the main thread.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        return
    end, loop = signal.getsignal(signal.SIGTERM), asyncio.get_running_loop()
    if not callable(end):
        return

    def drain(number: int, frame: FrameType | None) -> None:
        if state.draining:
            end(number, frame)
            return
        state.draining = True
        loop.call_soon_threadsafe(begin)
        loop.call_soon_threadsafe(loop.call_later, seconds, end, number, frame)

    signal.signal(signal.SIGTERM, drain)
