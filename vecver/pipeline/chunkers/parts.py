"""Finds which parts of a document (mails of a mailbox) each chunk holds, and merges their metadata.

Decisions
1. A chunk may hold several short mails. It then has all their values, in lists, so that a filter on any of them matches
   the chunk.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

from vecver.digest import canonical_json
from vecver.model import Chunk, Parsed


def parts_of(document: Parsed, chunks: Sequence[Chunk]) -> list[str]:
    """The metadata of the parts that each chunk holds, as JSON; "" where the document has no parts."""
    marks = [mark for mark in document.marks if mark.field == "part"]
    starts = [mark.start for mark in marks]
    metadata = []
    for chunk in chunks:
        begin = chunk.start + len(chunk.text) - len(chunk.text.lstrip())
        first = max(bisect_right(starts, begin) - 1, 0)
        held = marks[first : bisect_right(starts, max(begin, chunk.end - 1))] if chunk.end else []
        metadata.append(_merged([str(mark.value) for mark in held]))
    return metadata


def _merged(parts: Sequence[str]) -> str:
    """Metadata of several parts as one; a field in which they differ is the list of their values."""
    if len(set(parts)) < 2:
        return parts[0] if parts else ""
    values: dict[str, list[Any]] = {}
    for part in map(json.loads, parts):
        for field, value in part.items():
            values.setdefault(field, []).extend(value if isinstance(value, list) else [value])
    return canonical_json({field: _single(_distinct(field_values)) for field, field_values in values.items()}).decode()


def _distinct(values: Iterable[Any]) -> list[Any]:
    return [json.loads(value) for value in dict.fromkeys(canonical_json(value) for value in values)]


def _single(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 and isinstance(values[0], str) else values
