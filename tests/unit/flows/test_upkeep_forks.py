"""A process that forks while its upkeep works: the child holds no lock of the thread, and does its own upkeep."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import open_on
from inside import waiting_jobs
from version_histories import history, segments_of

from vecver.flows.maintaining import forking
from vecver.repo.maintain.rewrite import Rewrite
from vecver.store import LocalStore

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
SECONDS = 60


def in_child(act: Callable[[], object]) -> bool:
    """Did a forked process do this within its time?"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later: there are threads
        pid = os.fork()
    if pid == 0:
        signal.alarm(SECONDS)
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


def test_a_fork_waits_for_the_end_of_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = open_on(LocalStore(tmp_path / "kb"), background=True).dataset("d")
    write, lock, reached = Rewrite.write, threading.Lock(), threading.Event()

    def slow(rewrite: Rewrite, progress: Any = None) -> None:
        with lock:
            reached.set()
            time.sleep(0.3)
        write(rewrite, progress)

    monkeypatch.setattr(Rewrite, "write", slow)
    list(history(docs, 9))
    assert reached.wait(SECONDS) and in_child(lambda: lock.acquire(timeout=1) or 1 / 0)
    docs.repository.settle()
    assert len(segments_of(docs)) == 1 and docs.repository.check().clean


def test_a_child_has_no_job_of_its_parent_and_does_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "FORK_SECONDS", 0.1)
    docs = open_on(LocalStore(tmp_path / "kb"), background=True).dataset("d")
    write, opened, reached, parent = Rewrite.write, threading.Event(), threading.Event(), os.getpid()

    def held(rewrite: Rewrite, progress: Any = None) -> None:
        if os.getpid() == parent:
            reached.set()
            assert opened.wait(SECONDS)
        write(rewrite, progress)

    def child() -> None:
        assert waiting_jobs(docs) == []
        other = docs.repository.dataset("other")
        list(history(other, 9))
        assert ("d", "main") not in waiting_jobs(docs)
        docs.repository.settle()
        docs.repository.close()
        assert len(segments_of(other)) == 1

    monkeypatch.setattr(Rewrite, "write", held)
    list(history(docs, 9))
    assert reached.wait(SECONDS) and in_child(child)
    opened.set()
    docs.repository.settle()
    assert len(segments_of(docs)) == 1 and docs.repository.check().clean
