"""Decimals in metadata, which JSON numbers cannot hold exactly.

A decimal becomes the JSON value that keeps it whole: the float that prints as it, an integer of 64 bits, or
else a tagged object, `{"$decimal": "12345678901234567.89"}`.

Decisions
1. Only decimals that a float would change get the tagged form, so a record that was read before keeps its digest and
   its metadata keep their types.
2. A tagged object, not a typed column: a list can hold it, it passes unchanged through JSON lines, Milvus and receipts,
   and no string has the same canonical bytes. Hits show the digits as a string.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

TAG = "$decimal"
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def json_number(value: Decimal) -> Any:
    """A finite decimal as JSON: a float, an int, or a tagged object. Its value is never changed."""
    if is_float(value):
        return float(value)
    if -(2**63) <= value < 2**63 and value == int(value):
        return int(value)
    return {TAG: str(value)}


def is_float(value: Decimal) -> bool:
    """Whether a float prints as this decimal; from 2^53 on, where floats skip whole numbers, also equals it."""
    nearest = float(value)
    return Decimal(repr(nearest)) == value and (abs(value) < 2**53 or Decimal(nearest) == value)


def tagged(value: Decimal) -> Any:
    """A finite decimal as an integer or a tagged object, never as a float, which could be a rounded value."""
    number = json_number(value)
    return {TAG: str(value)} if isinstance(number, dict) or number != int(number) else int(number)


def tagged_decimal(value: Any) -> Decimal | None:
    """The finite decimal that a tagged object holds; None for any other value."""
    if not isinstance(value, dict) or value.keys() != {TAG} or not isinstance(value[TAG], str):
        return None
    return decimal_of(value[TAG])


def decimal_of(text: str) -> Decimal | None:
    """The decimal that a string writes; None for any other string."""
    try:
        return Decimal(text) if _DECIMAL.fullmatch(text) else None
    except InvalidOperation:  # its exponent is beyond what a decimal can have
        return None


def readable(value: Any) -> Any:
    """Metadata as a reader gets them: every tagged decimal is the string of its digits."""
    if isinstance(value, list):
        return [readable(item) for item in value]
    if not isinstance(value, dict):
        return value
    if tagged_decimal(value) is not None:
        return value[TAG]
    return {name: readable(item) for name, item in value.items()}
