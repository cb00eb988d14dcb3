"""Filters as Milvus says them: one boolean expression over the JSON field `metadata`, and over the fields `document`
and `title`; knows no connection.

What an expression selects contains every row that `evaluate` matches: the caller drops the rest. Where Milvus
cannot say a condition, the condition is left out, and "" is no condition at all. One text serves Milvus 2.3.5
and milvus-lite 3.2.2, whose grammars and meanings differ. Measured on both, by search, on 2026-11-21:

What Milvus cannot say
- true against 1: on lite they are equal and ordered, as Python's are. A field that has booleans and numbers
  selects too much, and its $ne of 0, 1, true or false is left out.
- null against no value: lite's `exists` has it for missing. $exists: true is left out where a field has JSON.
- an item of a list above or below a string: all lists that begin with a string are selected.
- which items of other lists (kind json) are in order: nothing is said of `$gt` and its like where a field has them.
- an item of a list against the string that writes the list: on lite '["a"]' contains "a", and '[7]' contains 7.
- an item that is an int against a float: the real server finds 7.0 only by 7.0, and 7 by 7.0 in float64, so numbers
  are looked for as floats. From 2^53 on lite compares them exactly, so there they are looked for as they stand too.
- instants, which are compared as text: the days before and after, in which every offset writes them, are selected.
- decimals: a field that has them has kind json, and a decimal is looked for as the float that is nearest.
- numbers from 2^53 on, where the real server compares an int with a float in float64: > is said as >=, and a
  $ne is left out, unless the field and the value are both ints or both floats.
- -2^63 and ints beyond 64 bits, which the real server cannot read: said as the nearest float64.
- the opposite of an order or of `$contains`, and a piece of a string: such conditions are left out, as are all on
  `$source` and `$media_type`, which published rows do not have.
- field names that are empty, hold `][`, or a control character other than tab and line ends: the real server
  refuses the first two, and of the third silently selects nothing. Nor those with a backslash before a u: newer
  servers decode that (read in their source; none newer was run).

Decisions
- 2026-11-21 no `in`: lite refuses it on a JSON path. Or-chains are balanced trees: a search on the real server
  takes 48 levels of `or` and fails at 64, and at a flat chain of 63. A deeper filter is not said at all.
- 2026-11-21 a $in of more than 64 values of a type is said by its bounds: 64 comparisons take 7 us a row on the real
  server and 260 on lite, 512 take 43 and 1,777; `json_contains_any` of 512 strings takes 0.8 and 117.
- 2026-11-21 `not (exists x) or` stands before every negation: on lite a comparison with a missing value is
  neither true nor false, nor is its negation. The parentheses are for the real server, which refuses
  `not exists x or y`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any, NamedTuple

from vecver.index.filters import BUILT_IN, JOINING, operand, operators_of
from vecver.index.instants import instant_of
from vecver.model import Json

# field -> types under which its values are stored: bool, int, float, str, strs, json (other lists, and decimals), or
# object, for JSON of which nothing can be compared; None: Milvus does not have all values of the field
Kinds = Callable[[str], Collection[str] | None]

_NUMBERS = frozenset(("int", "float"))
_OPPOSITES = {"$eq": "$ne", "$ne": "$eq", "$in": "$nin", "$nin": "$in"}
_SIGNS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_UNSAYABLE = re.compile(r"\A\Z|\]\[|\\u|[\x00-\x08\x0b\x0c\x0e-\x1f]")  # field names
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_DEEPEST = 40  # levels of parentheses; the caller's own conditions come on top
_MOST = 64  # comparisons for the values of one type
_EXACT_BELOW = 2**53  # from here on float64 skips whole numbers
_INT64 = 2**63
_LARGEST = sys.float_info.max


class _Test(NamedTuple):
    """`passes` selects at least the rows whose value is one of some, `fails` at least the others that have a value."""

    passes: str
    fails: str  # "" where it cannot be said


def expression(filter: Json, kinds: Kinds) -> str:
    """The Milvus expression that selects at least the rows that match; "" selects all. The filter was checked.

    What it returns can be joined to other conditions as it stands. `kinds(field)`: the types in which any row that
    may match has values of the field.
    """
    text = _filter(filter, kinds)
    depth = accumulate((c == "(") - (c == ")") for c in _STRING.sub("", text))
    return text if max(depth, default=0) <= _DEEPEST else ""


def _filter(filter: Json, kinds: Kinds, negated: bool = False) -> str:
    """`negated`: of the rows that do not match. Negations are carried down to the conditions, each of which then
    selects too much rather than too little; the opposite of a condition that does so would select too little.
    """
    parts = []
    for field, condition in filter.items():
        if field in JOINING:
            turned = negated != (field in ("$nor", "$not"))
            inner = condition if isinstance(condition, list) else [condition]
            texts = [_filter(part, kinds, turned) for part in inner]
            parts.append(_all(texts) if (field == "$and") != turned else _any(texts))
        elif field in BUILT_IN:
            parts += [_built_in(field, *operator_and_value, negated) for operator_and_value in operators_of(condition)]
        elif not _UNSAYABLE.search(field) and (stored := kinds(field)) is not None:
            path, own = f"metadata[{_literal(field)}]", frozenset(stored)
            parts += [
                _condition(path, *operator_and_value, own, negated) for operator_and_value in operators_of(condition)
            ]
        else:
            parts.append("")
    return _any(parts) if negated else _all(parts)


def _condition(path: str, operator: str, value: Any, kinds: frozenset[str], negated: bool = False) -> str:
    if operator == "$not":
        texts = [
            _condition(path, *operator_and_value, kinds, not negated) for operator_and_value in operators_of(value)
        ]
        return _all(texts) if negated else _any(texts)
    if operator == "$all":
        texts = [_condition(path, "$eq", item, kinds, negated) for item in value]
        return _any(texts) if negated else _all(texts)
    if negated:
        if operator not in _OPPOSITES and operator != "$exists":
            return ""
        operator, value = _OPPOSITES.get(operator, operator), not value if operator == "$exists" else value
    if operator == "$exists" and value:
        return f"(exists {path})" if not kinds & {"json", "object"} else ""
    if operator == "$exists":
        return f"not (exists {path})"
    if operator in _SIGNS:
        return _passed(path, _ordered(path, _SIGNS[operator], operand(value), kinds)) if "json" not in kinds else ""
    if operator == "$contains":
        within = kinds & {"strs", "json"}
        alone = isinstance(value, str) and "str" in kinds  # a piece of a string: not every Milvus looks for one
        return "" if alone else _passed(path, [test.passes for test in _equal(path, [operand(value)], within)])
    values = [operand(item) for item in (value if operator in ("$in", "$nin") else [value])]
    tests = _equal(path, values, kinds)
    if operator in ("$eq", "$in"):
        return _passed(path, [test.passes for test in tests])
    failed = _all([test.fails for test in tests])
    return f"(not (exists {path}) or {failed})" if failed else ""


def _built_in(field: str, operator: str, value: Any, negated: bool) -> str:
    """A condition on a string field of its own, which is empty where a document has no value."""
    if field not in ("$document", "$path", "$title"):
        return ""
    if operator == "$not":
        texts = [_built_in(field, *operator_and_value, not negated) for operator_and_value in operators_of(value)]
        return _all(texts) if negated else _any(texts)
    if operator == "$all":
        texts = [_built_in(field, "$eq", item, negated) for item in value]
        return _any(texts) if negated else _all(texts)
    name = "title" if field == "$title" else "document"
    if operator == "$exists":
        return f'{name} {"!=" if value != negated else "=="} ""'
    turned = negated != (operator in ("$ne", "$nin"))
    if operator in _SIGNS and not turned:
        return f"{name} {_SIGNS[operator]} {_literal(value)}"
    if operator not in ("$eq", "$ne", "$in", "$nin"):
        return ""
    values = value if operator in ("$in", "$nin") else [value]
    if field == "$path":
        tests = [_prefix(name, prefix) for prefix in values] if len(values) <= _MOST else [_Test("", "")]
    else:
        tests = _one_of(name, [own for own in values if own], lambda _: True)
    if turned:
        return _all([test.fails for test in tests])
    return _any([test.passes for test in tests]) if tests else f'{name} < ""'  # which no value is


def _prefix(name: str, prefix: str) -> _Test:
    """A test for strings that begin so: those from it on, and before the first that is behind all of them."""
    if not prefix:
        return _Test("", f'{name} < ""')
    last = ord(prefix[-1]) + 1
    if last in (0xD800, 0x110000):  # behind these stands no character
        return _Test(f"{name} >= {_literal(prefix)}", "")
    first, behind = _literal(prefix), _literal(prefix[:-1] + chr(last))
    return _Test(f"({name} >= {first} and {name} < {behind})", f"({name} < {first} or {name} >= {behind})")


def _passed(path: str, tests: list[str]) -> str:
    return _any(tests) if tests else f'{path} < ""'  # which no value is


def _ordered(path: str, sign: str, value: Any, kinds: frozenset[str]) -> list[str]:
    """Tests, of which a row that matches passes one."""
    if isinstance(value, str):
        items = [f'{path}[0] >= ""'] if "strs" in kinds else []
        return [_beyond(path, sign, value)] * ("str" in kinds) + items
    if isinstance(value, bool):
        return [f"{path} {sign} {_literal(value)}"] * ("bool" in kinds)
    if not _is_exact(value, kinds):
        sign = f"{sign[0]}="
    return [f"{path} {sign} {_literal(value)}"] * bool(kinds & _NUMBERS)


def _beyond(path: str, sign: str, value: str) -> str:
    """A string's test against a string; against an instant, that it may be so whatever its offset is."""
    if instant_of(value) is None:
        return f"{path} {sign} {_literal(value)}"
    first, last = _days(value)
    return f"{path} >= {first}" if sign[0] == ">" else f"{path} < {last}"


def _days(instant: str) -> tuple[str, str]:
    """Strings between which an instant is written, whatever its offset: the first of them, and the first behind."""
    moment = instant_of(instant)
    assert moment
    try:
        day = date(1970, 1, 1) + timedelta(days=moment[0] // 86400)
        first, last = day - timedelta(days=1), day + timedelta(days=2)
    except OverflowError:
        return '""', '"a"'  # the first and the last days of the calendar
    return f'"{first.isoformat()}"', f'"{last.isoformat()}"'


def _equal(path: str, values: list[Any], kinds: frozenset[str]) -> list[_Test]:
    """Tests, of which a row whose value is one of `values` passes one, and every other row with a value fails all."""
    strings = [value for value in values if isinstance(value, str)]
    texts = [value for value in strings if instant_of(value) is None]
    flags = [value for value in values if isinstance(value, bool)]
    numbers = [value for value in values if not isinstance(value, (str, bool))]
    tests = _instants(path, [value for value in strings if value not in texts], kinds)
    tests += [_contains(path, texts, kinds)] if texts and kinds & {"strs", "json"} else []
    tests += _contained(path, flags, numbers, kinds) if "json" in kinds else []
    if "str" in kinds:
        tests += _one_of(path, texts, lambda _: True)
    if "bool" in kinds:
        tests += _one_of(path, flags, lambda _: not kinds & _NUMBERS)
    if kinds & _NUMBERS:
        tests += _one_of(path, numbers, lambda n: _is_exact(n, kinds) and ("bool" not in kinds or n not in (0, 1)))
    return tests


def _instants(path: str, instants: list[str], kinds: frozenset[str]) -> list[_Test]:
    """Tests for strings that are instants, one for all of them."""
    if not instants or not kinds & {"str", "strs", "json"}:
        return []
    if "json" in kinds:
        return [_Test("", "")]
    days = [_days(instant) for instant in instants]
    tests = [f"({path} >= {min(first for first, _ in days)} and {path} < {max(last for _, last in days)})"]
    return [_Test(_any(tests * ("str" in kinds) + [f'{path}[0] >= ""'] * ("strs" in kinds)), "")]


def _contains(path: str, items: list[str], kinds: frozenset[str]) -> _Test:
    """A test for lists that hold one of some strings."""
    test = f"json_contains_any({path}, [{', '.join(map(_literal, items))}])"
    if "json" in kinds:
        return _Test(test, "")
    return _Test(test, f'({path} >= "" or not {test})' if "str" in kinds else f"not {test}")  # strings are >= ""


def _contained(path: str, flags: list[bool], numbers: list[Any], kinds: frozenset[str]) -> list[_Test]:
    """Tests for values of JSON: lists that hold one of these, and decimals."""
    if any(isinstance(number, Decimal) or abs(number) >= _INT64 for number in numbers):
        return [_Test("", "")]
    large = [number for number in numbers if abs(number) >= _EXACT_BELOW]
    lists: list[list[Any]] = [flags, [float(number) for number in numbers], large]
    tests = [f"json_contains_any({path}, [{', '.join(map(_literal, items))}])" for items in lists if items]
    if flags or large or not {0, 1}.isdisjoint(numbers):
        return [_Test(test, "") for test in tests]
    return [_Test(test, f'({path} >= "" or not {test})') for test in tests]


def _one_of(path: str, values: list[Any], is_exact: Callable[[Any], bool]) -> list[_Test]:
    """Tests for values of one type."""
    if len(values) > _MOST:
        return [_Test(f"({path} >= {_literal(min(values))} and {path} <= {_literal(max(values))})", "")]
    equal = {f"{path} == {_literal(value)}": is_exact(value) for value in values}
    return [_Test(test, f"not ({test})" if exact else "") for test, exact in equal.items()]


def _is_exact(number: Any, kinds: frozenset[str]) -> bool:
    """Does Milvus compare the field's values with this number by their exact values?"""
    if isinstance(number, Decimal):
        return False
    if abs(number) < _EXACT_BELOW:
        return True
    sayable = isinstance(number, float) or abs(number) < _INT64
    return sayable and kinds & {"int", "float", "json"} == {type(number).__name__}


def _all(parts: Sequence[str]) -> str:
    return _joined("and", [part for part in parts if part])


def _any(parts: Sequence[str]) -> str:
    return "" if "" in parts else _joined("or", parts)


def _joined(word: str, parts: Sequence[str]) -> str:
    """A balanced tree."""
    if len(parts) < 2:
        return "".join(parts)
    half = len(parts) // 2
    return f"({_joined(word, parts[:half])} {word} {_joined(word, parts[half:])})"


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) < _INT64:
        return str(value)
    return repr(float(min(max(value, -_LARGEST), _LARGEST)))
