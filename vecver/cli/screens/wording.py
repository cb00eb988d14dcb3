"""Formats numbers, sizes, times and ids for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

_STEPS = ((60, "min"), (3600, "hour"), (86_400, "day"), (7 * 86_400, "week"), (365 * 86_400, "year"))
_SHORT, _LONG = 7, 12  # characters of a commit id: for a person, for a script


def short_id(commit: str, terminal: bool = True) -> str:
    """The first characters of a commit id, more of them for a script."""
    return commit[: _SHORT if terminal else _LONG]


def thousands(number: int) -> str:
    """`2,347`."""
    return f"{number:,}"


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 document`, `2,347 documents`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(number: int) -> str:
    """Bytes: `812 bytes`, `1.2 GB` (powers of 1000, as disks are sold)."""
    if number < 1000:
        return count(number, "byte")
    units = ("kB", "MB", "GB", "TB", "PB")
    power = next((power for power in range(1, 5) if number < 999.5 * 1000**power), 5)
    value, unit = number / 1000**power, units[power - 1]
    return f"{value:.1f} {unit}" if value < 99.95 else f"{value:,.0f} {unit}"


def duration(seconds: float) -> str:
    """`8 ms`, `2.3 s`, `3 min`, `1 h 5 min`."""
    if seconds < 0.0095:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.00095 else f"{seconds * 1000:.0f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def span(age: timedelta) -> str:
    """The size of an age in its largest unit: `12 min`, `3 days`, `2 years`."""
    seconds = max(int(age.total_seconds()), 0)
    if seconds < 60:
        return f"{seconds} s"
    unit, name = next((size, name) for size, name in reversed(_STEPS) if seconds >= size)
    number = seconds // unit
    return f"{number} {name}" if name == "min" or number == 1 else f"{number} {name}s"


def ago(time: str, now: datetime) -> str:
    """How long ago an ISO time was: `12 min ago`, `just now`; of the future, the day."""
    age = now - moment(time)
    if age < timedelta(minutes=-1):
        return day(time)
    return "just now" if age < timedelta(seconds=10) else f"{span(age)} ago"


def old(time: str, now: datetime) -> str:
    """`3 days old`, `just made`."""
    age = now - moment(time)
    return "just made" if age < timedelta(seconds=10) else f"{span(age)} old"


def moment(time: str) -> datetime:
    """An ISO time; without an offset it is UTC."""
    moment = datetime.fromisoformat(time)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def day(time: str) -> str:
    """`2026-11-23 14:57`, UTC."""
    return moment(time).astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def iso(time: str) -> str:
    """`2026-11-23T14:57:31`, UTC, for scripts."""
    return time[:19]


def when(time: str, style: str, now: datetime) -> str:
    """A time in the style "relative" or "iso"."""
    return iso(time) if style == "iso" else ago(time, now)


def counted(counts: Mapping[str, int], *names: str, join: str = " · ") -> str:
    """`2 added · 14 changed`, without the zeros; "" if all are."""
    return join.join(f"{counts[name]:,} {name}" for name in names if counts.get(name))


def folded(content: str) -> str:
    """A text on one line."""
    return " ".join(content.split())


def ranked_by(how: Mapping[str, Any]) -> str:
    """By what chunks were ranked: "hybrid, weight 0.6, reranked by X"; nothing for vectors alone.

    `how`: an engine's facts, or a policy's options.
    """
    parts = [str(how[name]) for name in ("mode", "fusion") if how.get(name) not in (None, "dense", "convex")]
    parts += [f"weight {how['weight']:g}"] if how.get("weight") is not None else []
    parts += [f"reranked by {how['rerank']['model']}"] if how.get("rerank") else []
    return ", ".join(parts)
