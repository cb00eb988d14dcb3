"""Derived files beside a segment (an index): built again at will, trusted only after their digest was checked.

segments/<id>/<spec>         the bytes
             /<spec>.json    sha256, length, segment and what built them, sealed; written last
             /<spec>.measured  what was measured of these bytes later, sealed, with their sha256

Decisions
1. A measure is a file of its own: written into `<spec>.json` it could bring back the digest of an index that another
   process just replaced. Its name does not end with .json, so a vecver that does not know it sees no derived file in
   it; that vecver's gc deletes it, since it can be measured again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vecver.errors import IntegrityError, NotFoundError, index_again
from vecver.repo import objects
from vecver.repo.rows.segment_files import path_of
from vecver.repo.rows.stamps import Stamps, file_states
from vecver.store.api import get_or_none

if TYPE_CHECKING:
    from vecver.model import Json
    from vecver.store import Store

LOCK_SECONDS = 60.0


def has_derived(store: Store, segment: str, spec: str) -> bool:
    """Does a complete file of this kind exist?"""
    return store.size(path_of(segment, spec + ".json")) is not None


def put_derived(store: Store, segment: str, spec: str, file: Path, built_with: Json, *, replace: bool = False) -> None:
    """Move a finished file beside its segment, unless there is one that need not be replaced.

    `built_with`: the facts that its reader needs. Two processes may build the same index at once: the lock keeps the
    bytes of one from getting the facts of the other.
    """
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    stored = {**built_with, "segment": segment, "sha256": digest, "bytes": file.stat().st_size}
    with store.lock("index-files", LOCK_SECONDS) as still:
        if replace or not has_derived(store, segment, spec):
            store.put(path_of(segment, spec), file)
            still()
            store.put(path_of(segment, spec + ".json"), objects.sealed(stored))


def put_facts(store: Store, segment: str, spec: str, built_with: Json) -> None:
    """Replace some facts of a derived file; its bytes stay. The lock keeps the facts those of the bytes."""
    with store.lock("index-files", LOCK_SECONDS):
        stored = facts(store, segment, spec)
        store.put(path_of(segment, spec + ".json"), objects.sealed({**stored, **built_with}))


def facts(store: Store, segment: str, spec: str) -> Json:
    """The facts of a derived file. Raises NotFoundError, IntegrityError."""
    name = path_of(segment, spec)
    stored = objects.load_sealed(store, name + ".json")
    if stored.get("segment", segment) != segment:  # older files do not name it
        raise _damaged(name, "is that of another segment")
    return stored


def derived(store: Store, segment: str, spec: str, stamps: Stamps | None = None) -> tuple[memoryview, Json] | None:
    """(bytes, facts) of a derived file; None if it was never built. With `stamps` a stamped file is not hashed.

    Raises IntegrityError if its bytes do not match their digest, or are missing.
    """
    name = path_of(segment, spec)
    try:
        stored = facts(store, segment, spec)
    except NotFoundError:
        return None
    path = store.path(name)
    files = file_states([path]) if path else None
    try:
        content = memoryview(store.map(name))
    except NotFoundError as error:  # a vecver that does not know its kind deletes the bytes before their facts
        raise _damaged(name, "is missing") from error
    is_same = bool(path and files and file_states([path]) == files)  # so these files are the mapped ones
    stamp = f"{segment}/{spec}/{stored['sha256']}"
    if len(content) != stored["bytes"]:
        raise _damaged(name, "does not match its digest")
    if stamps and files and is_same and stamps.has("indexes", stamp, files):
        return content, stored
    if hashlib.sha256(content).hexdigest() != stored["sha256"]:
        raise _damaged(name, "does not match its digest")
    if stamps and files and is_same:
        stamps.add("indexes", stamp, files)
    return content, stored


def put_measured(store: Store, segment: str, spec: str, measured: Json) -> None:
    """Keep what was measured of a derived file, in place of the last measure. Raises NotFoundError (there is none)."""
    digest = facts(store, segment, spec)["sha256"]
    store.put(measured_path(segment, spec), objects.sealed({**measured, "segment": segment, "sha256": digest}))


def measured(store: Store, segment: str, spec: str) -> Json | None:
    """What was measured of a derived file; None if nothing was, or of other bytes. Raises IntegrityError (damaged)."""
    name = measured_path(segment, spec)
    body = get_or_none(store, name)
    if body is None:
        return None
    stored, now = objects.parse_sealed(name, body), facts(store, segment, spec)
    return stored if (stored.get("segment"), stored.get("sha256")) == (segment, now["sha256"]) else None


def measured_path(segment: str, spec: str) -> str:
    """The store's name of what was measured of a derived file."""
    return path_of(segment, spec + ".measured")


def specs(store: Store, segment: str) -> Iterator[str]:
    """The kinds of derived files that a segment has."""
    for name in store.list(path_of(segment, "")):
        file = name.rsplit("/", 1)[1]
        if file.endswith(".json") and file != "segment.json":
            yield file.removesuffix(".json")


def _damaged(name: str, problem: str) -> IntegrityError:
    return IntegrityError(
        f"the index {name} {problem}",
        code="index_damaged",
        hint=index_again(),
        name=name,
    )
