"""The command line: parses arguments, calls vecver, prints the result."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import TYPE_CHECKING, Any

from vecver.cli.terminal.interrupts import guard, guard_start

if TYPE_CHECKING:
    from vecver.cli.app import main as main

__all__ = ["main", "program"]

INDEXING = {"add", "ingest", "optimize", "publish", "recall", "serve", "snapshot"}  # commands that may build an index


def program() -> None:
    """Run the command line: the entry point `vecver`.

    torch gets one thread an operation, and batches run side by side instead: beside other busy processes a query takes
    53 ms, not 420 (two shared cores at load 7), and on CPUs without AVX-512 the thread count cannot change the last
    bits of a vector. numpy's threads take 0.03 s to start, so only commands that build an index get them.

    The cycle collector finds nothing to free in what is imported, and looks through all of it while it is imported and
    once more when the process ends: without that a search by a vector takes 20 to 30 ms of CPU less.
    """
    guard_start()
    atexit.register(gc.freeze)
    os.environ.setdefault("MKL_NUM_THREADS", "1")
    if not INDEXING & set(sys.argv):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        gc.set_threshold(100_000, 20, 20)  # new objects; 700 is Python's
    from vecver.cli.app import main
    from vecver.cli.terminal import console

    console.prepare_streams()
    guard()
    main()


def __getattr__(name: str) -> Any:
    """`main`, imported when it is first used: Ctrl-C is handled before."""
    if name == "main":
        from vecver.cli.app import main

        return main
    raise AttributeError(name)
