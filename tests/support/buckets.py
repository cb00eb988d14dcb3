"""Stores in buckets for tests: one in obstore's memory, and a layer that counts, delays and loses replies."""

from __future__ import annotations

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
