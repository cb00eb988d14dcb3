"""Filters: the JSON form of Pinecone and Chroma, on metadata and on where a chunk stands.

Checked once, then evaluated over Arrow columns.

    {"lang": "en"}                               equal
    {"year": {"$gte": 2024, "$lt": 2026}}        $eq $ne $gt $gte $lt $lte
    {"groups": {"$in": [7, 8]}}                  $in $nin
    {"groups": {"$all": [7, 8]}}                 each of these
    {"lang": {"$contains": "de"}}                a string has this piece, or a list this item
    {"draft": {"$exists": false}}                is there a value at all
    {"year": {"$not": {"$gte": 2024}}}           the exact opposite
    {"$or": [{...}, {...}]}, {"$and": [...]}     and several fields in one object are joined by and
    {"$nor": [{...}, {...}]}, {"$not": {...}}    none of these, not this
    {"$document": "guides/pump.md"}              of every document: $document $source $media_type $title
    {"$path": "guides/"}                         a document whose id begins so: all of a folder
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

 6. `$contains` finds a piece of a string, and an item of a list as `$eq` does, not a piece of an item. No number or
    boolean that stands alone contains anything. Chroma, LlamaIndex and Haystack mean one or the other by such a
    condition, and a field says by its values which. `$all` is `$eq` of each of its values.
 7. `$not` and `$nor` are exact opposites, so documents without the field match `{"year": {"$not": {"$gte": 2024}}}`.
 8. `$document`, `$source`, `$media_type` and `$title` compare by their characters, never as instants; an empty one is
    no value. `$path` is the document's id, and a string equals it if it begins so: a folder ends in "/".

10. A chunk of a document whose metadata has a field `page`, `sheet`, `line` or `headings` has that value, for every
    chunk of the document; only chunks of other documents have the one that says where they stand. So a filter that
    was written for metadata goes on meaning what it meant.

Decisions: what is refused, naming the field and its types
11. A value of a type that no value of the field has in this version: nothing could ever match it, and `$nin` would let
    everybody through. Strings and instants count as one type here for `$eq`, `$ne`, `$in`, `$nin`. A field of empty
    lists only has no type, and takes all.
12. An instant for a field that holds dates or local times, and a date or local time for a field that holds
    instants: which comes first depends on a zone that nobody named.
13. A float for which a decimal of the field was rounded: JSON readers make one float of 12345678901234567.8 and .9.
14. NaN and infinities, which no JSON has; null (`$exists` asks for it).
15. On a built-in field what is no string; on `$path` an order, for it is a beginning and no whole.
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

from vecver.decimals import decimal_of, tagged, tagged_decimal
from vecver.errors import InvalidInputError
from vecver.index.field_values import FieldTypes, FieldValues, Items, Mask, SharedValues
from vecver.index.instants import instant_of
from vecver.near import near

# of a field; a mapping: its columns by type, empty where the table lacks it
Columns = Callable[[str], FieldValues | SharedValues | Mapping[str, pa.ChunkedArray]]
Types = Callable[[str], FieldTypes]

_COMPARE = {"$eq": "equal", "$gt": "greater", "$gte": "greater_equal", "$lt": "less", "$lte": "less_equal"}  # of Arrow
_EXACTLY = {"$eq": python.eq, "$gt": python.gt, "$gte": python.ge, "$lt": python.lt, "$lte": python.le}
_NEGATED = {"$ne": "$eq", "$nin": "$in"}
ORDERING = ("$gt", "$gte", "$lt", "$lte")
OPERATORS = (*_COMPARE, "$ne", "$in", "$nin", "$all", "$contains", "$not", "$exists")
JOINING = ("$and", "$or", "$nor", "$not")  # where a field may stand; $not takes one filter, the others several
BUILT_IN = ("$document", "$path", "$source", "$media_type", "$title")  # fields that documents have beside metadata
STRINGS = frozenset(("text", "local", "instant"))
NUMBERS = frozenset(("int", "float", "decimal"))
_LARGEST = float(np.finfo(np.float64).max)

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


def fields_of(filter: Any) -> set[str]:
    """The fields that a checked filter names."""
    return {field for field, _, _ in conditions(filter)}


def resolved(filter: Any, types: Types) -> Any:
    """A checked filter in which every string that writes a decimal, of a field without strings, is that decimal."""
    if not isinstance(filter, dict):
        return filter
    found: dict[str, Any] = {}
    for field, condition in filter.items():
        if field == "$not":
            found[field] = resolved(condition, types)
        elif field in JOINING:
            found[field] = [resolved(part, types) for part in condition]
        elif takes_decimal_strings(types(field)):
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
    if isinstance(value, dict) and tagged_decimal(value) is None:  # of $not
        return {operator: _resolved(item) for operator, item in value.items()}
    decimal = decimal_of(value) if isinstance(value, str) else None
    return value if decimal is None else tagged(decimal)


def takes_decimal_strings(types: FieldTypes) -> bool:
    return bool(types.decimals) and not types.all & STRINGS


# -- which documents match ----------------------------------------------------------------------


def evaluate(filter: Any, columns: Columns, count: int) -> Mask:
    """Which of `count` rows, documents or chunks, match, `(count,)` bool. The filter was checked."""
    mask = np.ones(count, bool)
    for field, condition in filter.items():
        if field in JOINING:
            inner = condition if isinstance(condition, list) else [condition]
            parts = [evaluate(part, columns, count) for part in inner]
            joined = np.logical_and.reduce(parts) if field == "$and" else np.logical_or.reduce(parts)
            mask &= ~joined if field in ("$nor", "$not") else joined
            continue
        values = columns(field)
        values = FieldValues(values) if isinstance(values, Mapping) else values
        for operator, value in operators_of(condition):
            mask &= _matches(values, operator, value, count)
    return mask


def _matches(values: FieldValues | SharedValues, operator: str, value: Any, count: int) -> Mask:
    if operator in _NEGATED:
        return ~_matches(values, _NEGATED[operator], value, count)
    if operator == "$not":
        return ~np.logical_and.reduce([_matches(values, *one, count) for one in operators_of(value)])
    if operator == "$all":
        return np.logical_and.reduce([_matches(values, "$eq", item, count) for item in value])
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
    if operator == "$contains":
        _mark_containing(values, value, mask)
    elif isinstance(value, bool):
        for items in values.of_type("bool"):
            items.mark(_flags(_comparing(operator)(items.values, value)), mask)
    elif isinstance(value, str):
        for items in values.of_type("str"):
            items.mark(_compared_strings(items, operator, value), mask)
    else:
        for name in ("int", "float"):
            for items in values.of_type(name):
                items.mark(_compared_numbers(items.values, name, operator, value), mask)
        for items in values.of_type("decimal"):
            items.mark(_compared_decimals(items.values, operator, value), mask)


def _mark_containing(values: FieldValues, value: Any, mask: Mask) -> None:
    """Set `mask` for the documents with a string that has this piece, or a list that has this item."""
    import pyarrow.compute as pc

    if isinstance(value, str):
        for items in values.of_type("str"):
            if items.rows is None:
                items.mark(_flags(pc.match_substring(items.values, value)), mask)
    _mark(values.items_of_lists, "$eq", value, mask)


def _compared_strings(items: Items, operator: str, value: str) -> Mask:
    import pyarrow.compute as pc

    if items.instants is None:
        compare = pc.starts_with if items.are_paths and operator == "$eq" else _comparing(operator)
        return _flags(compare(items.values, value))
    instant = instant_of(value)
    places, seconds, fractions = items.instants
    if instant is None:
        flags = _flags(_comparing(operator)(items.values, value))
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
    return _flags(_comparing(operator)(values, pa.scalar(nearest)))


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
    import pyarrow.compute as pc

    values = pc.fill_null(values, False) if values.null_count else values
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    return np.concatenate([np.zeros(0, bool), *map(_flags_of_chunk, chunks)])


def _flags_of_chunk(values: pa.BooleanArray) -> Mask:
    """An array without nulls as numpy's, from its bits: `np.asarray` takes ten times as long."""
    bits, before = values.buffers()[1], values.offset
    if bits is None:  # an empty array
        return np.zeros(0, bool)
    flags = np.unpackbits(np.frombuffer(bits, np.uint8), count=before + len(values), bitorder="little")
    return flags[before:].view(bool)


# -- the form of a filter -----------------------------------------------------------------------


def conditions(filter: Any) -> Iterable[tuple[str, str, Any]]:
    """Every (field, operator, value) in a filter, also under negations. Raises InvalidInputError for another form."""
    if not isinstance(filter, dict):
        raise invalid(f"a filter is an object, not {filter!r}", 'write {"field": value}')
    for field, condition in filter.items():
        if not isinstance(field, str):
            raise invalid(f"a field has a name, not {field!r}", 'write {"field": value}')
        if field == "$not":
            yield from conditions(condition)
        elif field in JOINING:
            if not isinstance(condition, list) or not condition:
                raise invalid(
                    f"{field} takes a list of filters, not {condition!r}", f'write {{"{field}": [{{…}}, {{…}}]}}'
                )
            for part in condition:
                yield from conditions(part)
        elif field.startswith("$") and field not in BUILT_IN:
            raise invalid(
                f"no filter operator is called {field!r} here",
                f"at the top stand fields, {', '.join(JOINING)}, and of every document {', '.join(BUILT_IN)}",
                did_you_mean=near(field, (*JOINING, *BUILT_IN)),
            )
        else:
            yield from _field_conditions(field, condition)


def _field_conditions(field: str, condition: Any) -> Iterable[tuple[str, str, Any]]:
    for operator, value in operators_of(condition):
        if operator not in OPERATORS:
            raise invalid(
                f"no filter operator is called {operator!r}",
                f"use one of {' '.join(OPERATORS)}",
                did_you_mean=near(operator, OPERATORS),
            )
        if operator != "$not":
            yield field, operator, value
        elif isinstance(value, dict) and tagged_decimal(value) is None:
            yield from _field_conditions(field, value)
        else:
            raise invalid(
                f"$not of {field!r} takes conditions, not {value!r}", f'write {{"{field}": {{"$ne": {value!r}}}}}'
            )


def operators_of(condition: Any) -> list[tuple[str, Any]]:
    """(operator, value) of a field's condition; a value alone is `$eq`."""
    if isinstance(condition, dict) and tagged_decimal(condition) is None:
        if not condition:
            raise invalid("a condition is empty", 'write {"field": {"$gte": 1}}')
        return list(condition.items())
    return [("$eq", condition)]


def invalid(message: str, hint: str, code: str = "invalid_filter", **context: Any) -> InvalidInputError:
    """The error for a filter that cannot be asked."""
    return InvalidInputError(message, code=code, hint=hint, **context)


def _comparing(operator: str) -> Callable[..., Any]:
    """Arrow's function for an operator. `pyarrow.compute` takes 0.03 s to import, and few searches have a filter."""
    import pyarrow.compute as pc

    return getattr(pc, _COMPARE[operator])
