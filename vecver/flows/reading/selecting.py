"""Selects the documents and chunks of a version that are read: those that match a filter, in order.

The order is that of the documents' ids, and within a document that of its text. A page begins after a document id,
which need not be in this version, or after a chunk key, which must be.

Decisions
1. The documents that the last two filters selected in an open version are kept, so that the next page with the same
   filter does not evaluate it again: that takes 90 ms for 100,000 documents, a page of 100 chunks 1 ms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa

from vecver.errors import InvalidInputError, NotFoundError
from vecver.flows.searching.filtering import match
from vecver.model import Json
from vecver.repo import DocumentOrder, Snapshot

_KEY = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True)
class Selected:
    """Documents of a version in order; of their chunks only those with these keys, None: all."""

    order: DocumentOrder
    keys: frozenset[bytes] | None = None


_KEPT = 2
_RECENT: WeakKeyDictionary[Snapshot, dict[str, Selected]] = WeakKeyDictionary()  # by filter, the last of each version


def selected(snapshot: Snapshot, where: Json | None) -> Selected:
    """The documents with a chunk that matches, and which chunks these are. Raises InvalidInputError."""
    if where is None or where == {}:
        return Selected(snapshot.order)
    recent, name = _RECENT.setdefault(snapshot, {}), repr(where)
    documents = recent.get(name)
    if documents is None:
        documents = _selected(snapshot, where)
        for old in list(recent)[: 1 - _KEPT]:
            recent.pop(old, None)
        recent[name] = documents
    return documents


def _selected(snapshot: Snapshot, where: Json) -> Selected:
    matched = match(snapshot, where)
    if matched is None:
        return Selected(snapshot.order)
    if matched.keys is None:
        return Selected(snapshot.ordered(matched.names(snapshot)))
    numbers, rows = snapshot.find_chunks(matched.keys)
    owners = set[str]()
    for number in np.unique(numbers).tolist():
        names = snapshot.segments[number].chunks.column("document").take(pa.array(rows[numbers == number]))
        owners |= set(names.unique().to_pylist())
    return Selected(snapshot.ordered(sorted(owners)), frozenset(key.tobytes() for key in matched.keys))


def place_of_chunk(snapshot: Snapshot, key: Any) -> tuple[int, int]:
    """(segment number, row) of the live chunk with this key, 32 hex characters. Raises NotFoundError."""
    check_chunk(key, 0)
    data = bytes.fromhex(key)
    (number,), (row,) = snapshot.find_chunks(np.frombuffer(data, np.uint8).reshape(1, -1))
    if number < 0:
        commit = snapshot.commit
        raise NotFoundError(
            f"{snapshot.dataset} at {commit.id[:12]} has no chunk {key}",
            code="chunk_not_found",
            hint="name the version that the key comes from: a changed text is another chunk",
            key=key,
            commit=commit.id,
        )
    return int(number), int(row)


def check_page(*, limit: Any = None, prefix: Any = "", after: Any = None) -> None:
    """Raises InvalidInputError unless `limit` is None or a number from 1 on, and the others are strings."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | np.integer) or limit < 1):
        raise InvalidInputError(
            f"limit is a number from 1 on, not {limit!r:.80}",
            code="invalid_limit",
            hint="use limit=100, or leave it out",
        )
    for name, value in (("prefix", prefix), ("after", "" if after is None else after)):
        if not isinstance(value, str):
            raise InvalidInputError(
                f"{name} is a string, not {value!r:.80}", code=f"invalid_{name}", hint=f"{name}='guide/', for example"
            )


def check_chunk(key: Any, context: Any) -> None:
    """Raises InvalidInputError unless `key` has the form of a chunk's key, and `context` is a number from 0 on."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise InvalidInputError(
            f"{key!r:.80} is no key of a chunk: 32 hex characters",
            code="invalid_key",
            hint="take `key` of a hit or chunk",
        )
    if isinstance(context, bool) or not isinstance(context, int) or context < 0:
        raise InvalidInputError(
            f"context is a number of neighbouring chunks, 0 or more, not {context!r:.80}",
            code="invalid_context",
            hint="use context=1",
        )
