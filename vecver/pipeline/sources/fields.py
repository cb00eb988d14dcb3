"""Reads the fields of one record: its metadata and its vector. A value that cannot be stored unchanged is an error.

Decisions
1. Metadata is limited to what JSON can hold: dates become ISO 8601 strings (nanoseconds cut to microseconds), durations
   become seconds, and decimals become floats, since a filter compares numbers. NaN is refused: it equals nothing, so no
   filter could match it. An empty CSV cell is an absent field.
2. A decimal that a float would change becomes an integer or `{"$decimal": "..."}`, which JSON lines may hold too.
   Before, two account numbers of 18 digits became the same float. Other numbers in JSON lines stay floats, as JSON
   readers make them.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from vecver.decimals import json_number, tagged_decimal
from vecver.digest import digest
from vecver.model import Vectors

FIELDS: Final = frozenset({"id", "text", "title", "vector"})
_ID_LENGTH: Final = 32  # hex characters of a text's digest: 128 bits


class Unusable(Exception):
    """This record cannot be used. `reason` completes a sentence that begins with "Line 3 "."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class AddedRow(dict[str, Any]):
    """The fields of a row with its metadata merged into them, but for metadata that is named as a field is."""

    apart: Mapping[str, Any]  # such as the metadata `title` of a row that has a title


def added_row(value: Any) -> Any:
    """A row that a program adds, as a record: a text's id is its digest, and `metadata` is merged into the fields.

    So the same text added again is the same document. A value that is no row is returned unchanged; it fails later.
    Metadata may be called `id`, `text` or `vector`, and `title` where a title stands beside it: these stay metadata.
    """
    if isinstance(value, str):
        return {"id": digest(value.encode("utf-8", "surrogatepass"))[:_ID_LENGTH], "text": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("metadata"), Mapping):
        return value
    inner = {name: value_of_field for name, value_of_field in value["metadata"].items() if value_of_field is not None}
    other_fields = {name: value_of_field for name, value_of_field in value.items() if name != "metadata"}
    named_as_fields = (FIELDS & {"id", "text", "vector", *other_fields}) & inner.keys()
    if both := (other_fields.keys() & inner.keys()) - named_as_fields:
        reason = f"has {min(both, key=str)!r} in its metadata, where a field beside the metadata has that name"
        raise Unusable("invalid_metadata", reason)
    row = AddedRow(other_fields)
    row.apart = {name: inner.pop(name) for name in sorted(named_as_fields)}
    row.update(inner)
    return row


def metadata_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata fields of a record, without null values. Raises Unusable."""
    used = FIELDS if "id" in fields else FIELDS | {"_id"}
    items = fields.items()
    metadata = {name_of(name): plain(name, value) for name, value in items if value is not None and name not in used}
    apart = fields.apart if isinstance(fields, AddedRow) else {}
    return {**metadata, **{name: plain(name, value) for name, value in apart.items()}}


def name_of(name: Any) -> str:
    """The name of a field."""
    if not isinstance(name, str):
        raise Unusable("invalid_metadata", f"has a field whose name is not a string, {name!r}")
    return name


def plain(field: str, value: Any) -> Any:
    """`value` as JSON can hold it. Raises Unusable."""
    match value:
        case str() | bool() | None:
            return value
        case int():
            if not -(2**63) <= value < 2**63:
                raise Unusable("invalid_metadata", f"has an integer beyond 64 bits in {field!r}")
            return int(value)
        case float():
            if not np.isfinite(value):
                raise Unusable("invalid_metadata", f"has {value} in {field!r}; leave the field out, or make it null")
            return float(value)
        case list() | tuple():
            return [plain(field, item) for item in value]
        case Mapping():
            if (exact := tagged_decimal(value)) is not None:
                return json_number(exact)
            return {name_of(name): plain(field, item) for name, item in value.items()}
        case datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            return value.total_seconds()
        case decimal.Decimal():
            if not value.is_finite():
                raise Unusable("invalid_metadata", f"has {value} in {field!r}; leave the field out, or make it null")
            return json_number(value)
        case np.generic() | np.ndarray():
            return plain(field, value.tolist())
    raise Unusable("invalid_metadata", f"has a value that JSON cannot say in {field!r}, a {type(value).__name__}")


def vector_of(value: Any) -> Vectors | None:
    """`(dim,)` float32, C-contiguous, finite; not copied if it already is. Raises Unusable."""
    if value is None:
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.ndim != 1 or array.dtype.kind not in "fiu" or not len(array):
        raise Unusable("invalid_vector", "has a vector that is no list of numbers")
    if array.dtype != np.float32:
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise Unusable("invalid_vector", "has a vector with NaN, infinity, or a number beyond float32")
    return np.ascontiguousarray(array)
