"""Filters evaluated in plain Python, over metadata as they were given: what `vecver.index.filters` promises."""

from __future__ import annotations

import operator as python
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

Fields = Mapping[str, Any]
_COMPARE = {"$eq": python.eq, "$gt": python.gt, "$gte": python.ge, "$lt": python.lt, "$lte": python.le}
BUILT_IN = ("$document", "$path", "$source", "$media_type", "$title")  # fields of names, "" where there is none
_JOINING = ("$and", "$or", "$nor", "$not")
_NEGATED = {"$ne": "$eq", "$nin": "$in"}
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d(:\d\d)?)?)")
_LOCAL = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d+)?)?)?)?)?")


class Refused(Exception):
    """The filter has a value that cannot be compared with those of its field."""


def matches(filter: Any, documents: Sequence[Fields]) -> list[bool]:
    """Which documents match. Raises Refused."""
    items = {name: [item for fields in documents for item in _items(fields.get(name))] for name in names_in(filter)}
    has_list = {name: any(isinstance(fields.get(name), list) for fields in documents) for name in items}
    for name, operator, value in _conditions(filter):
        if operator == "$all" and not value:
            raise Refused
        for one in [] if operator == "$exists" else value if operator in ("$in", "$nin", "$all") else [value]:
            if name in BUILT_IN:
                _check_name(name, operator, one)
            elif operator == "$contains":
                _check_within(one, [fields.get(name) for fields in documents])
            else:
                _check(operator, one, items[name], has_list[name])
    return [_holds(filter, fields, items) for fields in documents]


def _check_name(name: str, operator: str, value: Any) -> None:
    if not isinstance(value, str) or (name == "$path" and operator in ("$gt", "$gte", "$lt", "$lte", "$all")):
        raise Refused


def _check_within(value: Any, all: list[Any]) -> None:
    """Strings contain pieces, lists contain items; a decimal that stands alone passes here, and contains nothing."""
    lists = [own for own in all if isinstance(own, list)]
    alone = [own for own in all if own is not None and not isinstance(own, list)]
    strings = [own for own in alone if isinstance(own, str | date)]
    items = [item for own in lists for item in _items(own)]
    wide = [own for own in alone if _is_wide(own)]
    if strings and isinstance(value, str | date):
        return
    empty = any(not [item for item in own if item is not None] for own in lists)
    objects = any(isinstance(item, dict | list) for item in [*alone, *items])
    found = [item for item in [*items, *wide, *strings] if _kind(item) != "none"]
    if not found and not objects and empty:
        return
    if not found:
        raise Refused
    _check("$eq", value, found, False)


def _check(operator: str, value: Any, items: list[Any], has_list: bool) -> None:
    kinds = {_kind(item) for item in items}
    if not kinds and has_list:
        return
    kind = _kind(_as_decimal(value, items))
    if kind in ("bool", "number") and kind not in kinds:
        raise Refused
    if isinstance(value, float) and any(_is_wide(item) and float(item) == value for item in items):
        raise Refused
    if kind in ("bool", "number"):
        return
    strings = kinds & {"text", "local", "instant"}
    if (kind == "instant" and "local" in strings) or (kind == "local" and "instant" in strings):
        raise Refused
    if operator in ("$gt", "$gte", "$lt", "$lte"):
        strings &= {"instant"} if kind == "instant" else {"text", "local"}
    if not strings:
        raise Refused


def _holds(filter: Any, fields: Fields, items: Mapping[str, list[Any]]) -> bool:
    for name, condition in filter.items():
        if name in _JOINING:
            inner = condition if isinstance(condition, list) else [condition]
            holds = (all if name == "$and" else any)(_holds(part, fields, items) for part in inner)
            if holds == (name in ("$nor", "$not")):
                return False
        elif name in BUILT_IN:
            if not all(_name_holds(name, *pair, fields.get(name) or None) for pair in _pairs(condition)):
                return False
        elif not all(_one(operator, value, fields.get(name), items[name]) for operator, value in _pairs(condition)):
            return False
    return True


def _name_holds(name: str, operator: str, value: Any, own: str | None) -> bool:
    """A condition on a built-in field."""
    if operator == "$not":
        return not all(_name_holds(name, *pair, own) for pair in _pairs(value))
    if operator in _NEGATED:
        return not _name_holds(name, _NEGATED[operator], value, own)
    if operator in ("$in", "$all"):
        return (any if operator == "$in" else all)(_name_holds(name, "$eq", one, own) for one in value)
    if operator == "$exists":
        return (own is not None) is value
    if own is None:
        return False
    if operator == "$contains":
        return value in own
    return own.startswith(value) if name == "$path" else bool(_COMPARE.get(operator, python.eq)(own, value))


def _one(operator: str, value: Any, own: Any, items: list[Any]) -> bool:
    if operator == "$not":
        return not all(_one(*pair, own, items) for pair in _pairs(value))
    if operator == "$all":
        return all(_one("$eq", one, own, items) for one in value)
    if operator == "$contains":
        if isinstance(own, list):
            return _one("$eq", value, own, items)
        return isinstance(own, str | date) and isinstance(value, str | date) and _text(value) in _text(own)
    if operator == "$exists":
        return (own is not None) is value
    if operator in _NEGATED:
        return not _one(_NEGATED[operator], value, own, items)
    if operator == "$in":
        return any(_one("$eq", one, own, items) for one in value)
    value = _as_decimal(value, items)
    return any(_kinds_meet(item, value) and _compares(operator, item, value) for item in _items(own))


def _kinds_meet(item: Any, value: Any) -> bool:
    one, other = ("text" if kind == "local" else kind for kind in (_kind(item), _kind(value)))
    return one == other != "none"


def _compares(operator: str, item: Any, value: Any) -> bool:
    if _kind(item) == "number":
        decimal = any(isinstance(_number(one), Decimal) for one in (item, value))
        item, value = (Decimal(repr(n)) if decimal and isinstance(n, float) else n for n in map(_number, (item, value)))
    elif _kind(item) == "instant":
        item, value = _instant(item), _instant(value)
    elif not isinstance(item, bool):
        item, value = _text(item), _text(value)
    return bool(_COMPARE[operator](item, value))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float | Decimal):
        return "number"
    if not isinstance(value, str | date):
        return "none"
    return "instant" if _instant(value) else "local" if _LOCAL.fullmatch(_text(value)) else "text"


def _instant(value: str | date) -> datetime | None:
    try:
        return datetime.fromisoformat(_text(value)) if _INSTANT.fullmatch(_text(value)) else None
    except ValueError:
        return None


def _text(value: str | date) -> str:
    return value if isinstance(value, str) else value.isoformat()


def _number(value: Any) -> Any:
    """Decimals that are integers of 64 bits are taken as such."""
    is_integer = isinstance(value, Decimal) and value == value.to_integral_value() and -(2**63) <= value < 2**63
    return int(value) if is_integer else value


def _is_wide(value: Any) -> bool:
    """Is this a decimal that neither an integer nor a float can hold?"""
    if not isinstance(_number(value), Decimal):
        return False
    nearest = float(value)
    return Decimal(repr(nearest)) != value or (abs(value) >= 2**53 and Decimal(nearest) != value)


def _as_decimal(value: Any, items: list[Any]) -> Any:
    """A string that writes a decimal is one, for a field with decimals and no strings."""
    only_numbers = any(map(_is_wide, items)) and not any(isinstance(item, str | date) for item in items)
    numeric = isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d+)?", value)
    return Decimal(value) if only_numbers and numeric else value


def _items(own: Any) -> list[Any]:
    """What a field's value is compared by: null, objects and lists in lists are left out."""
    return [item for item in (own if isinstance(own, list) else [own]) if item is not None]


def _conditions(filter: Any) -> Iterator[tuple[str, str, Any]]:
    for name, condition in filter.items():
        if name in _JOINING:
            for part in condition if isinstance(condition, list) else [condition]:
                yield from _conditions(part)
        else:
            yield from _leaves(name, condition)


def _leaves(name: str, condition: Any) -> Iterator[tuple[str, str, Any]]:
    for operator, value in _pairs(condition):
        if operator == "$not":
            yield from _leaves(name, value)
        else:
            yield name, operator, value


def names_in(filter: Any) -> set[str]:
    """The fields that a filter names."""
    return {name for name, _, _ in _conditions(filter)}


def _pairs(condition: Any) -> list[tuple[str, Any]]:
    return list(condition.items()) if isinstance(condition, dict) else [("$eq", condition)]
