"""Filters on metadata: the JSON form of Pinecone and Chroma, checked once and evaluated over Arrow columns.

    {"lang": "en"}                               equal
    {"year": {"$gte": 2024, "$lt": 2026}}        $eq $ne $gt $gte $lt $lte
    {"lang": {"$in": ["en", "de"]}}              $in $nin
    {"draft": {"$exists": false}}                is there a value at all
    {"$or": [{...}, {...}]}, {"$and": [...]}     and several fields in one object are joined by and

A field that is a list of strings matches if any of its items does. A document without the field
matches only `$ne`, `$nin` and `$exists: false`. Numbers compare with numbers by their exact values,
strings with strings (so ISO dates in order), booleans with booleans; another type never matches.
"""

from __future__ import annotations

import math
import operator as python
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecver.errors import InvalidInputError

Mask = npt.NDArray[np.bool_]
Columns = Callable[[str], dict[str, pa.ChunkedArray]]  # field -> {type: column}; {} where the table lacks it

_COMPARE = {"$eq": pc.equal, "$gt": pc.greater, "$gte": pc.greater_equal, "$lt": pc.less, "$lte": pc.less_equal}
_EXACTLY = {"$eq": python.eq, "$gt": python.gt, "$gte": python.ge, "$lt": python.lt, "$lte": python.le}
_EXACT_BELOW = 2**53  # from here on float64, in which an int column is compared with a float, skips whole numbers
_NEGATED = {"$ne": "$eq", "$nin": "$in"}
_OPERATORS = (*_COMPARE, "$ne", "$in", "$nin", "$exists")
_TYPES: dict[type, tuple[str, ...]] = {
    bool: ("bool",),
    int: ("int", "float"),
    float: ("int", "float"),
    str: ("str", "strs"),
}


def check_filter(filter: Any, fields: Iterable[str]) -> None:
    """Raises InvalidInputError for an unknown field or operator, or a value that cannot be compared."""
    known = set(fields)
    for field, operator, value in _conditions(filter):
        if field not in known:
            raise _invalid(
                f"no document of this version has the field {field!r}",
                f"the fields are: {', '.join(sorted(known)) or 'none'}",
                code="unknown_field",
            )
        values = value if operator in ("$in", "$nin") else [value]
        if not isinstance(values, list) or (operator == "$exists" and not isinstance(value, bool)):
            raise _invalid(
                f"{operator} of {field!r} cannot take {value!r}", "$in and $nin take a list, $exists true or false"
            )
        for bad in [v for v in values if not _is_comparable(v)]:
            raise _invalid(f"{field!r} cannot be compared with {bad!r}", "use a string, a finite number, true or false")


def evaluate(filter: Any, columns: Columns, count: int) -> Mask:
    """Which of `count` documents match, `(count,)` bool. The filter was checked."""
    mask = np.ones(count, bool)
    for field, condition in filter.items():
        if field in ("$and", "$or"):
            parts = [evaluate(part, columns, count) for part in condition]
            mask &= np.logical_and.reduce(parts) if field == "$and" else np.logical_or.reduce(parts)
            continue
        for operator, value in _operators(condition):
            mask &= _matches(columns(field), operator, value, count)
    return mask


def _matches(typed: dict[str, pa.ChunkedArray], operator: str, value: Any, count: int) -> Mask:
    if operator in _NEGATED:
        return ~_matches(typed, _NEGATED[operator], value, count)
    mask = np.zeros(count, bool)
    if operator == "$exists":
        for column in typed.values():
            mask |= _flags(column.is_valid())
        return mask if value else ~mask
    for item in value if operator == "$in" else [value]:
        for kind in _TYPES[type(item)]:
            if kind in typed:
                mask |= _compared(typed[kind], kind, "$eq" if operator == "$in" else operator, item)
    return mask


def _compared(column: pa.ChunkedArray, kind: str, operator: str, value: Any) -> Mask:
    if kind == "strs":
        lists = column.combine_chunks()
        owners = np.asarray(pc.list_parent_indices(lists))
        mask = np.zeros(len(column), bool)
        mask[owners[_flags(_COMPARE[operator](pc.list_flatten(lists), value))]] = True
        return mask
    if kind in ("int", "float") and abs(value) >= _EXACT_BELOW:
        compare = _EXACTLY[operator]
        return np.array([own is not None and compare(own, value) for own in column.to_pylist()], bool)
    if kind == "int" and isinstance(value, float):
        column = column.cast(pa.float64(), safe=False)  # Arrow itself refuses columns with numbers from 2^53 on
    return _flags(_COMPARE[operator](column, value))


def _flags(values: Any) -> Mask:
    return np.asarray(pc.fill_null(values, False), dtype=bool)


def _is_comparable(value: Any) -> bool:
    if type(value) is str:
        return not any("\ud800" <= character <= "\udfff" for character in value)  # half a pair: no UTF-8 has it
    return type(value) in _TYPES and abs(value) < math.inf


def _conditions(filter: Any) -> Iterable[tuple[str, str, Any]]:
    """Every (field, operator, value) in a filter."""
    if not isinstance(filter, dict):
        raise _invalid(f"a filter is an object, not {filter!r}", 'write {"field": value}')
    for field, condition in filter.items():
        if not isinstance(field, str):
            raise _invalid(f"a field has a name, not {field!r}", 'write {"field": value}')
        if field in ("$and", "$or"):
            if not isinstance(condition, list) or not condition:
                raise _invalid(
                    f"{field} takes a list of filters, not {condition!r}", f'write {{"{field}": [{{…}}, {{…}}]}}'
                )
            for part in condition:
                yield from _conditions(part)
        elif field.startswith("$"):
            raise _invalid(f"no filter operator is called {field!r} here", "at the top stand fields, $and and $or")
        else:
            for operator, value in _operators(condition):
                if operator not in _OPERATORS:
                    raise _invalid(f"no filter operator is called {operator!r}", f"use one of {' '.join(_OPERATORS)}")
                yield field, operator, value


def _operators(condition: Any) -> list[tuple[str, Any]]:
    if isinstance(condition, dict):
        if not condition:
            raise _invalid("a condition is empty", 'write {"field": {"$gte": 1}}')
        return list(condition.items())
    return [("$eq", condition)]


def _invalid(message: str, hint: str, code: str = "invalid_filter") -> InvalidInputError:
    return InvalidInputError(message, code=code, hint=hint)
