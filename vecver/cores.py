"""The cores of this machine that the process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Their number: in a container or under taskset fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
