"""Numbers, sizes and times as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vecver.cli.screens import wording

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        *((0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (99_949, "99.9 kB"), (99_950, "100 kB")),
        *((999_499, "999 kB"), (999_500, "1.0 MB"), (1_234_567_890, "1.2 GB"), (4 * 10**18, "4,000 PB")),
    ],
)
def test_sizes(number: int, said: str) -> None:
    assert wording.size(number) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0004, "0.4 ms"), (0.008, "8 ms"), (0.9996, "1.0 s"), (9.96, "10 s"), (170, "3 min"), (3900, "1 h 5 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert wording.duration(seconds) == said


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=12), "12 min ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(days=3, hours=9), "3 days ago"),
        (timedelta(days=8), "1 week ago"),
        (timedelta(days=800), "2 years ago"),
        (timedelta(seconds=-5), "just now"),
        (timedelta(days=-2), "2026-11-28 12:00"),
    ],
)
def test_ages(age: timedelta, said: str) -> None:
    assert wording.ago((NOW - age).isoformat(), NOW) == said


def test_a_time_without_an_offset_is_utc() -> None:
    assert wording.ago("2026-11-26T11:00:00", NOW) == "1 hour ago"


def test_counts() -> None:
    assert wording.count(1, "document") == "1 document" and wording.count(2347, "chunk") == "2,347 chunks"
    assert wording.counted({"added": 2, "changed": 0, "removed": 1400}, "added", "changed", "removed") == (
        "2 added · 1,400 removed"
    )
