"""Makes pebble wait for the task of a worker that exited, before it decides what the exit means.

A worker acknowledges a task through a pipe. One thread of pebble reads that pipe, another watches the workers. If a
worker exits right after its acknowledgement, the watching thread may come first.

Decisions
1. pebble 5.2 then finds no task for the exit. If no other task runs it declares all workers expired and the pool
   broken; otherwise it ignores the exit, and the task waits for its timeout, ten minutes for a document. On a busy
   machine both happened in one day of tests. Here an exit waits until its task is known, `PATIENCE` seconds at most.
"""

from __future__ import annotations

import time
from typing import Any, Final

from pebble.pool.process import PoolManager

PATIENCE: Final = 5.0  # seconds for an acknowledgement to be read


class AcknowledgedExits(PoolManager):
    """pebble's manager of tasks and workers; uses its overridable methods and its table of tasks."""

    def __init__(self, context: Any, mp_context: Any) -> None:
        super().__init__(context, mp_context)
        self._exits: list[tuple[tuple[int, int], float]] = []  # (worker's process id, exit code), deadline

    def handle_worker_expiration(self, expiration: tuple[int, int]) -> None:
        """Remember the exit of a worker; without any task it ended while idle, which breaks the pool at once."""
        if not self.task_manager.tasks:
            super().handle_worker_expiration(expiration)
        self._exits.append((expiration, time.monotonic() + PATIENCE))

    def update_workers(self) -> None:
        """Replace exited workers, and fail the tasks of those whose task is known or whose deadline has passed."""
        super().update_workers()  # type: ignore[no-untyped-call]
        busy = {task.worker_id for task in list(self.task_manager.tasks.values())}
        pending, self._exits = self._exits, []
        for expiration, deadline in pending:
            if expiration[0] in busy or time.monotonic() > deadline:
                super().handle_worker_expiration(expiration)
            else:
                self._exits.append((expiration, deadline))
