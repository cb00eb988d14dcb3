"""Metadata of a framework's documents as fields of a version, so that it comes back exactly as it was given.

Decisions
1. A version stores no field without a value, and a filter cannot find an empty list. Both are kept under one field,
   `_empty`, as they were given: `{"author": None, "tags": []}`. So `{"author": {"$exists": false}}` matches them.
2. What JSON cannot hold is changed or refused by vecver, which says so: a tuple becomes a list, a date its ISO text;
   NaN is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

EMPTY: Final = "_empty"  # the field that holds the metadata without a value


def packed(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata as fields that a version stores."""
    empty = {name: value for name, value in metadata.items() if value is None or value == []}
    fields = {name: value for name, value in metadata.items() if name not in empty}
    return {**fields, EMPTY: empty} if empty else fields


def unpacked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that `packed` made these fields of. Fields that did not come from there stay as they are."""
    empty = fields.get(EMPTY)
    if not isinstance(empty, Mapping):
        return dict(fields)
    return {**{name: value for name, value in fields.items() if name != EMPTY}, **empty}
