"""A state folder of an older vecver whose move is killed at every step, or tried by several processes at once."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import older_state
import pytest
from tallies import Begin

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from vecver_service.state import sqlite
from vecver_service.state.database import Database
from vecver_service.state.jobs import Jobs

_STEPS = ("fsync", "replace", "rename", "unlink", "mkdir", "open")


def forked(*acts: Callable[[], None]) -> list[int]:
    """Run each in a process of its own, at once; how they ended, as `os.waitpid` says it."""
    return [os.waitpid(child, 0)[1] for child in [_forked(act) for act in acts]]


def _forked(act: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    with suppress(BaseException):
        act()
        os._exit(0)
    os._exit(1)


def move(place: Path) -> None:
    Database(place / "state").prepare()


def move_until(place: Path, step: int) -> None:
    """Move the folder, and be killed before so many steps: calls of the operating system, and statements of SQL."""
    left, connect = iter(range(step)), sqlite.connect

    def count(*_: Any) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments, **options: (count(), real(*arguments, **options))[1]

    def traced(*arguments: Any) -> Any:
        connection = connect(*arguments)
        connection.set_trace_callback(count)
        return connection

    for name in _STEPS:
        setattr(os, name, counted(getattr(os, name)))
    sqlite.connect = traced  # type: ignore[assignment]
    move(place)


def kill_at(place: Path, *steps: int) -> bool:
    """Move a copy of the golden, killed before each of these steps in turn; was the last of them reached?"""
    shutil.rmtree(place, ignore_errors=True)
    older_state.copy(place)
    ends = [forked(partial(move_until, place, step))[0] for step in steps]
    assert set(ends) <= {0, signal.SIGKILL}, ends
    return ends[-1] != 0


def test_a_move_is_killed_before_every_step(place: Path, tally: Begin) -> None:
    line, step, reached = tally("move an older state folder, killed"), 0, True
    while reached:
        reached = kill_at(place / "left", step)
        line.attempt(f"before step {step}", partial(older_state.assert_whole, place / "left"))
        step += 1
    assert step > 80, "the move takes more steps than were counted"


def test_a_move_is_killed_again_while_it_goes_on(place: Path, tally: Begin) -> None:
    line, chance = tally("move an older state folder, killed three times"), random.Random(1)
    for _ in range(40):
        steps = [chance.randrange(100) for _ in range(3)]
        kill_at(place / "left", *steps)
        line.attempt(f"before steps {steps}", partial(older_state.assert_whole, place / "left"))


def test_several_processes_move_a_folder_once(place: Path) -> None:
    for turn in range(5):
        here = place / str(turn)
        older_state.copy(here)
        assert forked(*[partial(move, here)] * 4) == [0] * 4
        older_state.assert_whole(here)
        assert not list((here / "state/before-sqlite").rglob("*+")), "it was moved twice"


def test_a_new_folder_is_made_once_by_several_processes(place: Path) -> None:
    """The jobs that each of them queues are all there."""

    def queue() -> None:
        jobs = Jobs(Database(place / "state"), kept=100)
        for _ in range(5):
            jobs.add(jobs.scratch(), "d", "publish", "alice", "k1", {})

    assert forked(*[queue] * 4) == [0] * 4
    assert len(list(Jobs(Database(place / "state"), kept=100).all())) == 20
