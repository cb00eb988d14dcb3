"""Ctrl-C, from the first moment of the process to its last. Imports next to nothing: it is in force while others load.

Decisions
- 2026-11-26 A second Ctrl-C within two seconds does nothing: people press it twice, and the second one would fall into
  the saving of what the first one stopped. One after that counts again, since Python loses an interrupt that comes
  while a library's callback runs.
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
    """Until `guard` is called Ctrl-C ends the process at once: nothing was begun."""
    if _is_ours():
        signal.signal(signal.SIGINT, _leave)


def guard() -> None:
    """From now on Ctrl-C is a KeyboardInterrupt, once."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, _interrupt)


def guard_end() -> None:
    """The process ends anyway: Ctrl-C does nothing more."""
    if signal.getsignal(signal.SIGINT) is _interrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _is_ours() -> bool:
    """A shell lets what it starts in the background ignore Ctrl-C: that stays."""
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"stopped: nothing was begun\n")
    os._exit(INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _last
    before, _last = _last, monotonic()
    if _last - before > AGAIN:
        raise KeyboardInterrupt
