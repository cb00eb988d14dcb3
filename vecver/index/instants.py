"""Timestamps in strings: which strings name an instant, and which. Pure; knows no filter.

An instant is a date, a clock time and an offset from UTC: `2026-10-25T02:30:00+02:00`, with `T` or a blank between,
seconds and up to 18 digits of a fraction where wanted, `Z` or an offset of hours, minutes and seconds, and a zone's
name in brackets after it, which the offset makes needless. A date, or a time without an offset, is no instant.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Rows = npt.NDArray[np.int64]

_HEAD = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d"
_HEAD_LENGTH = 16
_TAIL = (
    r"(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,18}))?)?"  # 18 digits fit an int64
    r"(?:[Zz]|(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d)(?::?(?P<seconds>\d\d))?)?)(?:\[[^\[\]]*\])?$"
)
_INSTANT = re.compile(_HEAD + _TAIL, re.ASCII)
_LOCAL = r"^\d{4}-\d\d(-\d\d([Tt ]\d\d(:\d\d(:\d\d([.,]\d+)?)?)?)?)?$"
_LOCAL_TIME = re.compile(_LOCAL, re.ASCII)


class Instants(NamedTuple):
    """The instants among some strings. `(n,)` each."""

    places: Rows  # of the strings that are instants
    seconds: Rows  # since 1970 in UTC
    fractions: Rows  # of a second, in units of 10^-18


def instants_in(texts: pa.Array | pa.ChunkedArray) -> Instants:
    """The instants among strings, some of which may be null."""
    import pyarrow.compute as pc

    places = np.flatnonzero(_matches(texts, _HEAD))
    if not len(places):
        return Instants(*np.zeros((3, 0), np.int64))
    candidates = texts.take(pa.array(places))
    minutes, is_date = _minutes(candidates)
    parts = _tails(candidates)
    second, hour, minute, odd = (_integers(parts, name) for name in ("second", "hours", "minutes", "seconds"))
    in_range = is_date & (second <= 60) & (hour <= 23) & (minute <= 59) & (odd <= 59) & np.asarray(parts.is_valid())
    offset = hour * 3600 + minute * 60 + odd
    is_behind = np.asarray(pc.equal(pc.fill_null(pc.struct_field(parts, "sign"), ""), "-"))
    total = minutes * 60 + second + np.where(is_behind, offset, -offset)
    return Instants(places[in_range], total[in_range], _integers(parts, "fraction", 18)[in_range])


@lru_cache(maxsize=4096)
def instant_of(text: str) -> tuple[int, int] | None:
    """(seconds, fraction) of the instant that a string names; None for any other string."""
    if not _INSTANT.fullmatch(text):
        return None
    found = instants_in(pa.array([text]))
    return (int(found.seconds[0]), int(found.fractions[0])) if len(found.places) else None


def _tails(texts: Any) -> pa.StructArray:
    """The groups of `_TAIL` in what follows the head of each string; null where it is something else."""
    import pyarrow.compute as pc

    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    encoded = pc.dictionary_encode(pc.utf8_slice_codeunits(texts, _HEAD_LENGTH))  # most strings share a few tails
    return pc.extract_regex(encoded.dictionary, "^" + _TAIL).take(encoded.indices)


def _minutes(texts: Any) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """The minutes from 1970 to the date and time at the head of each string, and whether there is such a date."""
    import pyarrow.compute as pc

    heads = np.asarray(pc.utf8_slice_codeunits(texts, 0, _HEAD_LENGTH)).astype(f"S{_HEAD_LENGTH}")
    digits = heads.view(np.uint8).reshape(-1, _HEAD_LENGTH).astype(np.int64) - ord("0")
    pairs = digits[:, :-1] * 10 + digits[:, 1:]
    year, month, day, hour, minute = pairs[:, 0] * 100 + pairs[:, 2], *(pairs[:, start] for start in (5, 8, 11, 14))
    months = (year - 1970) * 12 + month - 1
    first, next_first = (m.astype("M8[M]").astype("M8[D]").astype(np.int64) for m in (months, months + 1))
    is_date = (month >= 1) & (month <= 12) & (day >= 1) & (day <= next_first - first) & (hour <= 23) & (minute <= 59)
    return (first + day - 1) * 1440 + hour * 60 + minute, is_date


def is_local_time(text: str) -> bool:
    """Whether a string is a date, or a time without an offset: as `local_times_in`."""
    return _LOCAL_TIME.fullmatch(text) is not None


def local_times_in(texts: pa.Array | pa.ChunkedArray) -> Rows:
    """The places of strings that are dates, or times without an offset: no instants until somebody says where."""
    return np.flatnonzero(_matches(texts, _LOCAL))


def _matches(texts: Any, form: str) -> npt.NDArray[np.bool_]:
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(pc.match_substring_regex(texts, form), False), dtype=bool)


def _integers(parts: pa.StructArray, name: str, width: int = 1) -> Rows:
    """A group of digits as int64, filled up with zeros on the right; 0 where the group took no part."""
    import pyarrow.compute as pc

    digits = pc.utf8_rpad(pc.fill_null(pc.struct_field(parts, name), ""), width, "0")
    return np.asarray(digits.cast(pa.int64()))
