"""Stores that fail: one dies at any operation, one is read-only; and what must hold of the bytes that they leave."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vecver.repo.objects import commit_ids, load_commit
from vecver.repo.refs.refs import load_move
from vecver.repo.rows.layout import load_layout
from vecver.repo.rows.segment import segment_ids
from vecver.repo.rows.segment_files import FILES
from vecver.store import MemoryStore, Store
from vecver.store.api import writing

OPERATIONS = (
    *(
        "put",
        "put_all",
        "get",
        "get_all",
        "map",
        "stream",
        "path",
        "size",
        "has_all",
        "list",
        "delete",
        "swap",
        "scratch",
    ),
)


class PowerFailure(BaseException):
    """Derived from BaseException, so that no `except Exception` catches it."""


class ReadOnly(MemoryStore):
    """A store that answers as a file system which is mounted read-only once `closed` is set."""

    closed = False

    def put(self, name: str, data: bytes | Path) -> None:
        if self.closed:
            with writing(name):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        super().put(name, data)


class Failing:
    """A store that does `after` operations and then, before or just after the next one, is dead for good."""

    def __init__(self, inner: Store, after: int, *, done: bool, die: Callable[[], None]) -> None:
        self.inner, self.left, self.done, self.die, self.count = inner, after, done, die, 0
        self.url = inner.url

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        return self._counted(method) if name in OPERATIONS else method

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **how: Any) -> Any:
            self.count += 1
            if self.count <= self.left:
                return method(*arguments, **how)
            if self.done and self.count == self.left + 1:
                method(*arguments, **how)
            return self.die()

        return call


def power_failure() -> None:
    raise PowerFailure


def assert_nothing_is_half_there(store: Store) -> None:
    """Children were written before their parents: what is there, even if no ref leads to it, is whole."""
    for id in segment_ids(store):
        assert all(store.size(f"segments/{id}/{file}") is not None for file in FILES)
    for id in commit_ids(store):
        layout = load_layout(store, id)
        assert {live.segment for live in layout.segments} <= set(segment_ids(store))
    for name in store.list("moves/"):
        after = load_move(store, name.removeprefix("moves/")).after
        assert after is None or load_commit(store, after).id == after
