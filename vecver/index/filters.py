"""Filters: the JSON form of Pinecone and Chroma, on metadata and on where a chunk stands.

Checked once, then evaluated over Arrow columns.

    {"lang": "en"}                               equal
    {"year": {"$gte": 2024, "$lt": 2026}}        $eq $ne $gt $gte $lt $lte
    {"groups": {"$in": [7, 8]}}                  $in $nin
    {"draft": {"$exists": false}}                is there a value at all
    {"$or": [{...}, {...}]}, {"$and": [...]}     and several fields in one object are joined by and
    {"page": {"$gte": 3}}, {"sheet": "Prices"}   page and line are numbers, sheet is a string; of each chunk by itself
    {"headings": "Installation"}                 a list of strings: any heading above the chunk

Decisions: what matches
 1. `$eq`, `$gt`, `$gte`, `$lt`, `$lte` and `$in` match a document if they hold for its value, or for any item of it
    if it is a list. `$in` is `$eq` of any of its values. `$ne` and `$nin` are the exact opposites of `$eq` and `$in`.
 2. A document without the field matches none but `$ne`, `$nin` and `$exists: false`. An empty list is a value that
    equals nothing, as are objects, and in lists null, objects and lists.
 3. There are four types: booleans, numbers, strings and instants. Values of two types are never equal, and neither
    comes before the other: `true` is not 1, and "2024" is not 2024.
 4. Integers and floats compare by their exact values. With a decimal, a float counts as the decimal that it prints as:
    0.1 is 0.1. A decimal is written `{"$decimal": "0.1"}` in JSON, and in a field without strings also "0.1".
 5. A string with a date, a time and an offset from UTC is an instant (`instants.py`), and compares as such:
    `02:30+02:00` is `00:30Z`. All other strings compare by their characters, dates and local times among them.

10. A chunk of a document whose metadata has a field `page`, `sheet`, `line` or `headings` has that value, for every
    chunk of the document; only chunks of other documents have the one that says where they stand. So a filter that
    was written for metadata goes on meaning what it meant.

Decisions: what is refused, naming the field and its types
 6. A value of a type that no value of the field has in this version: nothing could ever match it, and `$nin` would let
    everybody through. Strings and instants count as one type here for `$eq`, `$ne`, `$in`, `$nin`. A field of empty
    lists only has no type, and takes all.
 7. An instant for a field that holds dates or local times, and a date or local time for a field that holds
    instants: which comes first depends on a zone that nobody named.
 8. A float for which a decimal of the field was rounded: JSON readers make one float of 12345678901234567.8 and .9.
 9. NaN and infinities, which no JSON has; null (`$exists` asks for it).
"""

from __future__ import annotations

import datetime
import math
import operator as python
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecver.decimals import decimal_of, tagged, tagged_decimal
from vecver.errors import InvalidInputError
from vecver.index.field_values import FieldTypes, FieldValues, Items, Mask, SharedValues
from vecver.index.instants import instant_of, is_local_time

# of a field; a mapping: its columns by type, empty where the table lacks it
Columns = Callable[[str], FieldValues | SharedValues | Mapping[str, pa.ChunkedArray]]
Types = Callable[[str], FieldTypes]

_COMPARE = {"$eq": pc.equal, "$gt": pc.greater, "$gte": pc.greater_equal, "$lt": pc.less, "$lte": pc.less_equal}
_EXACTLY = {"$eq": python.eq, "$gt": python.gt, "$gte": python.ge, "$lt": python.lt, "$lte": python.le}
_NEGATED = {"$ne": "$eq", "$nin": "$in"}
_ORDERING = ("$gt", "$gte", "$lt", "$lte")
_OPERATORS = (*_COMPARE, "$ne", "$in", "$nin", "$exists")
_STRINGS = frozenset(("text", "local", "instant"))
_NUMBERS = frozenset(("int", "float", "decimal"))
_LARGEST = float(np.finfo(np.float64).max)
_AN_INSTANT = "a time with an offset from UTC"
_WORDS = {
    "bool": "booleans",
    "int": "integers",
    "float": "floats",
    "decimal": "decimals",
    "text": "strings",
    "local": "dates or times without an offset from UTC",
    "instant": "times with an offset from UTC",
}


# -- before a filter is used --------------------------------------------------------------------


def json_filter(filter: Any) -> Any:
    """A filter as JSON can say it: dates and times become ISO 8601 strings, decimals integers or tagged objects."""
    if isinstance(filter, dict):
        return {name: json_filter(value) for name, value in filter.items()}
    if isinstance(filter, list):
        return [json_filter(value) for value in filter]
    if isinstance(filter, datetime.date):
        return filter.isoformat()
    if isinstance(filter, Decimal) and filter.is_finite():
        return tagged(filter)
    return filter


def check_filter(filter: Any, fields: Iterable[str], types: Types | None = None) -> None:
    """Raises InvalidInputError for an unknown field or operator, or a value that cannot be compared.

    `types`: those that a field's values have; where they are given, a value of another type is refused too.
    """
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
        if types and operator != "$exists":
            own = types(field)
            for item in values:
                _check_type(field, operator, operand(item), own)


def fields_of(filter: Any) -> set[str]:
    """The fields that a checked filter names."""
    return {field for field, _, _ in _conditions(filter)}


def resolved(filter: Any, types: Types) -> Any:
    """A checked filter in which every string that writes a decimal, of a field without strings, is that decimal."""
    if not isinstance(filter, dict):
        return filter
    found: dict[str, Any] = {}
    for field, condition in filter.items():
        if field in ("$and", "$or"):
            found[field] = [resolved(part, types) for part in condition]
        elif _takes_decimal_strings(types(field)):
            found[field] = {operator: _resolved(value) for operator, value in operators_of(condition)}
        else:
            found[field] = condition
    return found


def operand(value: Any) -> Any:
    """What a filter's value is compared as: a tagged decimal is a number."""
    decimal = tagged_decimal(value)
    return value if decimal is None else decimal


def _resolved(value: Any) -> Any:
    if isinstance(value, list):
        return [_resolved(item) for item in value]
    decimal = decimal_of(value) if isinstance(value, str) else None
    return value if decimal is None else tagged(decimal)


def _takes_decimal_strings(types: FieldTypes) -> bool:
    return bool(types.decimals) and not types.all & _STRINGS


def _check_type(field: str, operator: str, value: Any, types: FieldTypes) -> None:
    """Raises InvalidInputError where a value cannot be compared with those of a field."""
    if not types.all and types.has_empty_lists and not types.has_objects:
        return
    if isinstance(value, str):
        _check_string(field, operator, value, types)
    elif isinstance(value, bool):
        if "bool" not in types.all:
            raise _other_type(field, value, "a boolean", types, "true and false are no numbers and no strings")
    elif not types.all & _NUMBERS:
        raise _other_type(field, value, "a number", types, f'a string stands in quotes: "{value}"')
    elif isinstance(value, float) and any(float(own) == value for own in types.decimals):
        raise _invalid(
            f"{field!r} holds decimals, for one of which {value!r} may be a rounded value",
            'write every digit, in quotes: {"$decimal": "12345678901234567.89"}',
        )


def _check_string(field: str, operator: str, value: str, types: FieldTypes) -> None:
    is_instant, strings = instant_of(value) is not None, types.all & _STRINGS
    if _takes_decimal_strings(types) and decimal_of(value) is not None:
        return
    if is_instant and "local" in strings:
        raise _other_type(field, value, _AN_INSTANT, types, "write it as the field does, without the offset")
    if "instant" in strings and is_local_time(value):
        hint = f"say where: {value[:10] if len(value) >= 10 else '2026-11-21'}T00:00:00+01:00, or Z for UTC"
        raise _other_type(field, value, "a date or time without an offset from UTC", types, hint)
    if operator in _ORDERING:
        strings = strings & {"instant"} if is_instant else strings - {"instant"}
    if not strings:
        kind = _AN_INSTANT if is_instant else "a string"
        raise _other_type(field, value, kind, types, "write the value as the field holds it: numbers without quotes")


def _other_type(field: str, value: Any, kind: str, types: FieldTypes, hint: str) -> InvalidInputError:
    scalars = [word for name, word in _WORDS.items() if name in types.scalars]
    items = [f"lists of {word}" for name, word in _WORDS.items() if name in types.items]
    words = [*scalars, *items, *(["objects"] if types.has_objects else [])]
    return _invalid(f"{field!r} holds {', '.join(words)}: {value!r} is {kind}, and cannot be compared with them", hint)


# -- which documents match ----------------------------------------------------------------------


def evaluate(filter: Any, columns: Columns, count: int) -> Mask:
    """Which of `count` rows, documents or chunks, match, `(count,)` bool. The filter was checked."""
    mask = np.ones(count, bool)
    for field, condition in filter.items():
        if field in ("$and", "$or"):
            parts = [evaluate(part, columns, count) for part in condition]
            mask &= np.logical_and.reduce(parts) if field == "$and" else np.logical_or.reduce(parts)
            continue
        values = columns(field)
        values = FieldValues(values) if isinstance(values, Mapping) else values
        for operator, value in operators_of(condition):
            mask &= _matches(values, operator, value, count)
    return mask


def _matches(values: FieldValues | SharedValues, operator: str, value: Any, count: int) -> Mask:
    if operator in _NEGATED:
        return ~_matches(values, _NEGATED[operator], value, count)
    if operator == "$exists" and not value:
        return ~_matches(values, "$exists", True, count)
    if isinstance(values, SharedValues):
        masks = [held.rows(_matches(held.values, operator, value, held.size)) for held in values.held]
        return np.logical_or.reduce(masks) if masks else np.zeros(count, bool)
    if operator == "$exists":
        return values.exists(count)
    mask = np.zeros(count, bool)
    for item in value if operator == "$in" else [value]:
        _mark(values, "$eq" if operator == "$in" else operator, operand(item), mask)
    return mask


def _mark(values: FieldValues, operator: str, value: Any, mask: Mask) -> None:
    """Set `mask` for the documents that have a value for which the comparison holds."""
    if isinstance(value, bool):
        for items in values.of_type("bool"):
            items.mark(_flags(_COMPARE[operator](items.values, value)), mask)
    elif isinstance(value, str):
        for items in values.of_type("str"):
            items.mark(_compared_strings(items, operator, value), mask)
    else:
        for name in ("int", "float"):
            for items in values.of_type(name):
                items.mark(_compared_numbers(items.values, name, operator, value), mask)
        for items in values.of_type("decimal"):
            items.mark(_compared_decimals(items.values, operator, value), mask)


def _compared_strings(items: Items, operator: str, value: str) -> Mask:
    instant = instant_of(value)
    assert items.instants is not None
    places, seconds, fractions = items.instants
    if instant is None:
        flags = _flags(_COMPARE[operator](items.values, value))
        flags[places] = False
        return flags
    flags = np.zeros(len(items.values), bool)
    compare = _EXACTLY[operator]
    flags[places] = np.where(seconds == instant[0], compare(fractions, instant[1]), compare(seconds, instant[0]))
    return flags


def _compared_numbers(values: Any, name: str, operator: str, value: Any) -> Mask:
    """Exactly, by the number of the column's type that is nearest to the value, and on which side of it that lies."""
    nearest, side = _nearest_int(value) if name == "int" else _nearest_float(value)
    if side and operator == "$eq":
        return np.zeros(len(values), bool)
    if side > 0:
        operator = "$gte" if operator in ("$gt", "$gte") else "$lt"
    elif side < 0:
        operator = "$gt" if operator in ("$gt", "$gte") else "$lte"
    return _flags(_COMPARE[operator](values, pa.scalar(nearest)))


def _nearest_int(value: Any) -> tuple[int, int]:
    """An int64, and its sign against the value: no int64 lies between."""
    if value >= 2**63:
        return 2**63 - 1, -1
    if value < -(2**63):
        return -(2**63), 1
    whole = math.floor(value)
    return whole, 0 if whole == value else -1


def _nearest_float(value: Any) -> tuple[float, int]:
    """A float64, and its sign against the value: no float64 lies between."""
    if isinstance(value, float):
        return value, 0
    try:
        nearest = min(max(float(value), -_LARGEST), _LARGEST)
    except OverflowError:
        nearest = _LARGEST if value > 0 else -_LARGEST
    exact = Decimal(repr(nearest)) if isinstance(value, Decimal) else nearest
    return nearest, int(exact > value) - int(exact < value)


def _compared_decimals(values: list[Decimal], operator: str, value: Any) -> Mask:
    other = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return np.fromiter((_EXACTLY[operator](own, other) for own in values), bool, len(values))


def _flags(values: Any) -> Mask:
    return np.array(pc.fill_null(values, False), dtype=bool)


# -- the form of a filter -----------------------------------------------------------------------


def _is_comparable(value: Any) -> bool:
    if type(value) is str:
        return not any("\ud800" <= character <= "\udfff" for character in value)  # half a pair: no UTF-8 has it
    if tagged_decimal(value) is not None:
        return True
    return type(value) in (bool, int, float) and abs(value) < math.inf


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
            for operator, value in operators_of(condition):
                if operator not in _OPERATORS:
                    raise _invalid(f"no filter operator is called {operator!r}", f"use one of {' '.join(_OPERATORS)}")
                yield field, operator, value


def operators_of(condition: Any) -> list[tuple[str, Any]]:
    """(operator, value) of a field's condition; a value alone is `$eq`."""
    if isinstance(condition, dict) and tagged_decimal(condition) is None:
        if not condition:
            raise _invalid("a condition is empty", 'write {"field": {"$gte": 1}}')
        return list(condition.items())
    return [("$eq", condition)]


def _invalid(message: str, hint: str, code: str = "invalid_filter") -> InvalidInputError:
    return InvalidInputError(message, code=code, hint=hint)
