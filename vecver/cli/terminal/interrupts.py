"""Handles Ctrl-C from the start of the process to its end. It imports almost nothing, to be in force early.

Decisions
1. A second Ctrl-C within two seconds is ignored: people press it twice, and it would interrupt the saving that the
   first one began. A later one counts again, since Python loses an interrupt that arrives in a library's callback.
"""

from __future__ import annotations

import os
import signal
from time import monotonic
from types import FrameType

INTERRUPTED = 130  # as a shell says it: 128 + SIGINT
AGAIN = 2.0  # seconds after which another Ctrl-C counts

_last = 0.0


def guard_start() -> None:
    """Let Ctrl-C end the process at once until `guard` is called: no work has begun."""
    if _is_ours():
        signal.signal(signal.SIGINT, _leave)


def guard() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, _interrupt)


def guard_server() -> None:
    """From now on Ctrl-C ends the process at once and says nothing: it waits for requests, and writes nothing."""
    if signal.getsignal(signal.SIGINT) is _interrupt:
        signal.signal(signal.SIGINT, _stop)


def guard_end() -> None:
    """Ignore Ctrl-C from now on: the process is ending."""
    if signal.getsignal(signal.SIGINT) is _interrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _is_ours() -> bool:
    """False where a shell started the process in the background with Ctrl-C ignored: that stays."""
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"stopped: nothing was begun\n")
    os._exit(INTERRUPTED)


def _stop(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _last
    before, _last = _last, monotonic()
    if _last - before > AGAIN:
        raise KeyboardInterrupt
