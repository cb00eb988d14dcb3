"""Which filters are refused on a version, naming the field and what it holds: see `filters`. Evaluates none."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from vecver.decimals import decimal_of, tagged_decimal
from vecver.errors import InvalidInputError
from vecver.index.field_values import FieldTypes
from vecver.index.filters import (
    BUILT_IN,
    NUMBERS,
    ORDERING,
    STRINGS,
    Types,
    conditions,
    invalid,
    operand,
    takes_decimal_strings,
)
from vecver.index.instants import instant_of, is_local_time
from vecver.near import near

_SEVERAL = ("$in", "$nin", "$all")  # operators that take a list
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


def check_filter(filter: Any, fields: Iterable[str], types: Types | None = None) -> None:
    """Raises InvalidInputError for an unknown field or operator, or a value that cannot be compared.

    `types`: those that a field's values have; where they are given, a value of another type is refused too.
    """
    known = set(fields)
    for field, operator, value in conditions(filter):
        if field not in known:
            raise _unknown(field, known)
        values = value if operator in _SEVERAL else [value]
        if not isinstance(values, list) or (operator == "$exists" and not isinstance(value, bool)):
            raise invalid(
                f"{operator} of {field!r} cannot take {value!r}",
                "$in, $nin and $all take a list, $exists true or false",
            )
        if operator == "$all" and not values:
            raise invalid(f"$all of {field!r} names no value", f'write {{"{field}": {{"$all": [value, value]}}}}')
        for bad in [v for v in values if not _is_comparable(v)]:
            hint = 'write {"$in": [...]} for any of several, {"$all": [...]} for each' if isinstance(bad, list) else ""
            raise invalid(
                f"{field!r} cannot be compared with {bad!r}", hint or "use a string, a finite number, true or false"
            )
        if operator == "$exists":
            continue
        if field in BUILT_IN:
            _check_built_in(field, operator, values)
        elif types:
            own = types(field) if operator != "$contains" else _within(field, types(field))
            for item in values:
                _check_type(field, operator, operand(item), own)


def _unknown(field: str, known: set[str]) -> InvalidInputError:
    own = sorted(known - set(BUILT_IN))
    return invalid(
        f"no document of this version has the field {field!r}",
        f"the fields are: {', '.join(own) or 'none'}; of every document: {', '.join(BUILT_IN)}",
        code="unknown_field",
        did_you_mean=near(field, [*own, *BUILT_IN]),
    )


def _check_built_in(field: str, operator: str, values: list[Any]) -> None:
    for value in values:
        if not isinstance(value, str):
            raise invalid(
                f"{field!r} holds strings: {value!r} cannot be compared with them",
                f'write the value in quotes: {{"{field}": "{value}"}}',
            )
    if field == "$path" and operator in (*ORDERING, "$all"):
        raise invalid(
            f"{operator} cannot be asked of '$path', which says how a document's id begins",
            'write {"$path": "guides/"}, or ask "$document" for whole ids',
        )


def _within(field: str, types: FieldTypes) -> FieldTypes:
    """The types that `$contains` looks into: strings, and the items of lists. Raises InvalidInputError for none."""
    inside = types._replace(scalars=types.scalars & (STRINGS | {"decimal"}))
    if types.all and not inside.all and not types.has_empty_lists:
        raise invalid(
            f"{field!r} holds {_told(types)}, which contain nothing",
            f'$contains looks into strings and lists; write {{"{field}": value}}',
        )
    if inside.scalars & STRINGS:  # a piece of an instant or a date is any text
        return inside._replace(
            scalars=inside.scalars & {"decimal"} | {"text"}, items=inside.items - {"local", "instant"}
        )
    return inside


def _check_type(field: str, operator: str, value: Any, types: FieldTypes) -> None:
    """Raises InvalidInputError where a value cannot be compared with those of a field."""
    if not types.all and types.has_empty_lists and not types.has_objects:
        return
    if isinstance(value, str):
        _check_string(field, operator, value, types)
    elif isinstance(value, bool):
        if "bool" not in types.all:
            raise _other_type(field, value, "a boolean", types, "true and false are no numbers and no strings")
    elif not types.all & NUMBERS:
        raise _other_type(field, value, "a number", types, f'a string stands in quotes: "{value}"')
    elif isinstance(value, float) and any(float(own) == value for own in types.decimals):
        raise invalid(
            f"{field!r} holds decimals, for one of which {value!r} may be a rounded value",
            'write every digit, in quotes: {"$decimal": "12345678901234567.89"}',
        )


def _check_string(field: str, operator: str, value: str, types: FieldTypes) -> None:
    is_instant, strings = instant_of(value) is not None, types.all & STRINGS
    if takes_decimal_strings(types) and decimal_of(value) is not None:
        return
    if is_instant and "local" in strings:
        raise _other_type(field, value, _AN_INSTANT, types, "write it as the field does, without the offset")
    if "instant" in strings and is_local_time(value):
        hint = f"say where: {value[:10] if len(value) >= 10 else '2026-11-21'}T00:00:00+01:00, or Z for UTC"
        raise _other_type(field, value, "a date or time without an offset from UTC", types, hint)
    if operator in ORDERING:
        strings = strings & {"instant"} if is_instant else strings - {"instant"}
    if not strings:
        kind = _AN_INSTANT if is_instant else "a string"
        raise _other_type(field, value, kind, types, "write the value as the field holds it: numbers without quotes")


def _other_type(field: str, value: Any, kind: str, types: FieldTypes, hint: str) -> InvalidInputError:
    return invalid(f"{field!r} holds {_told(types)}: {value!r} is {kind}, and cannot be compared with them", hint)


def _told(types: FieldTypes) -> str:
    scalars = [word for name, word in _WORDS.items() if name in types.scalars]
    items = [f"lists of {word}" for name, word in _WORDS.items() if name in types.items]
    return ", ".join([*scalars, *items, *(["objects"] if types.has_objects else [])])


def _is_comparable(value: Any) -> bool:
    if type(value) is str:
        return not any("\ud800" <= character <= "\udfff" for character in value)  # half a pair: no UTF-8 has it
    if tagged_decimal(value) is not None:
        return True
    return type(value) in (bool, int, float) and abs(value) < math.inf
