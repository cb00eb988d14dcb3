"""Derived files beside a segment (an index): rebuilt at will, trusted only after their digest was checked.

segments/<id>/<spec>         the bytes
             /<spec>.json    their sha256 and length, and what built them; written last
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from vecver.digest import canonical_json
from vecver.errors import IntegrityError
from vecver.model import Json
from vecver.repo.segment import path_of
from vecver.store import Store


def has_derived(store: Store, segment: str, spec: str) -> bool:
    """Is there such a file, whole?"""
    return store.size(path_of(segment, spec + ".json")) is not None


def put_derived(store: Store, segment: str, spec: str, file: Path, built_with: Json) -> None:
    """Move a finished file beside its segment."""
    with open(file, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    facts = {**built_with, "sha256": found, "bytes": file.stat().st_size}
    store.put(path_of(segment, spec), file)
    store.put(path_of(segment, spec + ".json"), canonical_json(facts))


def derived(store: Store, segment: str, spec: str) -> Path | memoryview | None:
    """The file as a path, or as bytes where the store has no files; None if it was never built.

    Raises IntegrityError if its bytes are not those that were built.
    """
    if not has_derived(store, segment, spec):
        return None
    name = path_of(segment, spec)
    facts = json.loads(store.get(name + ".json"))
    content = memoryview(store.map(name))
    if len(content) != facts["bytes"] or hashlib.sha256(content).hexdigest() != facts["sha256"]:
        raise IntegrityError(
            f"the index {name} does not match its digest",
            code="index_damaged",
            hint=f"delete {store.path(name) or name}.json; the next ingest builds the index again, searches scan until then",
            name=name,
        )
    return store.path(name) or content
