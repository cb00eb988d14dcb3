"""Stores in buckets for tests: one in obstore's memory, and a layer that counts, delays and loses replies."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vecver.store.cache import Cache
from vecver.store.object_store import ObjectStore


def bucket_in_memory(cache: Path | None, objects: Any = None) -> ObjectStore:
    """A store in the memory of this process; `objects`: a bucket that another one made."""
    memory = pytest.importorskip("obstore.store", reason="obstore is not installed").MemoryStore
    from vecver.store.clouds import Bucket

    bucket = Bucket(memory() if objects is None else objects, "s3://in/memory", "")
    return ObjectStore(bucket, Cache(cache, "in memory") if cache else None)


class Watched:
    """A bucket that counts requests by kind, and may delay each, lose its reply, or do as a test says before it.

    `losing`: of so many writes, one after the other, the reply is lost after the bucket has written. `spans`: when each
    request began and ended, without those that let a lock go, which nobody waits for.
    """

    def __init__(self, objects: Any, *, delay_s: float = 0.0) -> None:
        self._objects = objects
        self.delay_s = delay_s
        self.count: Counter[str] = Counter()
        self.asked: list[tuple[str, str]] = []  # (kind, name)
        self.spans: list[tuple[float, float]] = []
        self.losing = 0
        self.before: Callable[[str, str], None] = lambda kind, name: None

    def get(self, name: str, *, options: Any = None) -> Any:
        return self._ask("get", name, options=options)

    def head(self, name: str) -> Any:
        return self._ask("head", name)

    def put(self, name: str, data: Any, **how: Any) -> Any:
        result = self._ask("put", name, data, **how)
        if self.losing:
            self.losing -= 1
            raise lost(how.get("mode"))
        return result

    def delete(self, name: str) -> Any:
        return self._ask("delete", name)

    def list(self, prefix: str | None, **how: Any) -> Any:
        return self._ask("list", prefix, **how)

    def _ask(self, kind: str, name: str | None, *arguments: Any, **how: Any) -> Any:
        began = time.perf_counter()
        self.before(kind, name or "")
        if self.delay_s:
            time.sleep(self.delay_s)
        self.count[kind] += 1
        self.asked.append((kind, name or ""))
        try:
            return getattr(self._objects, kind)(name, *arguments, **how)
        finally:
            if not (kind == "delete" and str(name).startswith("locks/")):
                self.spans.append((began, time.perf_counter()))

    def round_trips(self) -> int:
        """The longest chain of requests that followed each other."""
        count, end = 0, 0.0
        for began, ended in sorted(self.spans, key=lambda span: span[1]):
            if began >= end:
                count, end = count + 1, ended
        return count


def lost(mode: Any) -> Exception:
    """What obstore says when it has repeated a write whose reply was lost; an unconditional one fails as a whole."""
    from obstore import exceptions

    if mode is None:
        return exceptions.GenericError("error sending request")
    return exceptions.AlreadyExistsError("there") if mode == "create" else exceptions.PreconditionError("another")
