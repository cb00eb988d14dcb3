"""Derived files beside a segment (an index): rebuilt at will, trusted only after their digest was checked.

segments/<id>/<spec>         the bytes
             /<spec>.json    their sha256 and length, whose they are, and what built them, sealed; written last
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from vecver.errors import IntegrityError, index_again
from vecver.model import Json
from vecver.repo import objects
from vecver.repo.rows.segment_files import path_of
from vecver.store import Store


def has_derived(store: Store, segment: str, spec: str) -> bool:
    """Is there such a file, whole?"""
    return store.size(path_of(segment, spec + ".json")) is not None


def put_derived(store: Store, segment: str, spec: str, file: Path, built_with: Json) -> None:
    """Move a finished file beside its segment; `built_with` is what its reader must know."""
    with open(file, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    told = {**built_with, "segment": segment, "sha256": found, "bytes": file.stat().st_size}
    store.put(path_of(segment, spec), file)
    store.put(path_of(segment, spec + ".json"), objects.sealed(told))


def put_facts(store: Store, segment: str, spec: str, built_with: Json) -> None:
    """Say something else of the bytes that are there: `facts`, with new values for what their reader must know."""
    told = facts(store, segment, spec)
    store.put(path_of(segment, spec + ".json"), objects.sealed({**told, **built_with}))


def facts(store: Store, segment: str, spec: str) -> Json:
    """What is known of a derived file. Raises NotFoundError, IntegrityError."""
    name = path_of(segment, spec)
    told = objects.load_sealed(store, name + ".json")
    if told.get("segment", segment) != segment:  # those of before do not say it
        raise _damaged(name, "is that of another segment")
    return told


def derived(store: Store, segment: str, spec: str) -> tuple[memoryview, Json] | None:
    """The file's bytes and what is known of it; None if it was never built.

    Raises IntegrityError if its bytes are not those that were built.
    """
    if not has_derived(store, segment, spec):
        return None
    name = path_of(segment, spec)
    told = facts(store, segment, spec)
    content = memoryview(store.map(name))
    if len(content) != told["bytes"] or hashlib.sha256(content).hexdigest() != told["sha256"]:
        raise _damaged(name, "does not match its digest")
    return content, told


def specs(store: Store, segment: str) -> Iterator[str]:
    """What was derived from a segment."""
    for name in store.list(path_of(segment, "")):
        file = name.rsplit("/", 1)[1]
        if file.endswith(".json") and file != "segment.json":
            yield file.removesuffix(".json")


def _damaged(name: str, what: str) -> IntegrityError:
    return IntegrityError(
        f"the index {name} {what}",
        code="index_damaged",
        hint=index_again(),
        name=name,
    )
