"""The command line: parse, call the face, render."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from vecver.cli.terminal.interrupts import guard, guard_start

if TYPE_CHECKING:
    from vecver.cli.app import main as main

__all__ = ["main", "program"]

INDEXING = {"add", "ingest", "optimize", "publish", "recall", "serve", "snapshot"}  # commands that may build an index


def program() -> None:
    """What `vecver` runs. A process of our own gives torch one thread an operation; batches run side by side instead.

    Beside other busy processes a query then takes 53 ms, not 420 (two shared cores at load 7), since no
    thread waits at a barrier for one that lost its core; and on CPUs without AVX-512 the thread count
    can no longer touch the last bits of a vector. Threads of numpy's own take 0.03 s to start, and only building
    an index gains by them.
    """
    guard_start()
    os.environ.setdefault("MKL_NUM_THREADS", "1")
    if not INDEXING & set(sys.argv):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from vecver.cli.app import main
    from vecver.cli.terminal import console

    console.prepare_streams()
    guard()
    main()


def __getattr__(name: str) -> Any:
    """`main`, whose modules need not be there before Ctrl-C is heeded."""
    if name == "main":
        from vecver.cli.app import main

        return main
    raise AttributeError(name)
