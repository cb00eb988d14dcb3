"""All verbs at once against a service for half an hour: right answers, no refusals, no growing memory or files."""

from __future__ import annotations

from pathlib import Path

import pytest
from serving import served
from soak import Soak
from tallies import Begin

import vecver

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")


def soaked(place: Path, minutes: float) -> Soak:
    """Few versions stay open, so that what is kept of others would show."""
    vecver.open(place / "kb", create=True)
    with served(place, open_bytes=str(1 << 20)) as (client, process):
        soak = Soak(str(client.base_url), process.pid, place)
        soak.run(minutes)
    assert vecver.open(place / "kb").check().problems == ()
    return soak


@pytest.mark.deep
@pytest.mark.timeout(4 * 3600)
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="what a process holds is read from /proc")
def test_a_long_soak(place: Path, tally: Begin, soak_minutes: float) -> None:
    line = tally(f"soak of {soak_minutes:g} minutes")
    soak = soaked(place, soak_minutes)
    line.tried, line.failures = soak.done.total() + len(soak.wrong), [*soak.wrong, *soak.grown()]
    line.what += f" ({soak.summary()})"


def test_a_short_soak(place: Path, tally: Begin) -> None:
    line = tally("soak of seconds")
    soak = soaked(place, 0.05)
    line.tried, line.failures = soak.done.total(), soak.wrong
    assert {"search", "write", "edit", "promote", "roll_back", "tidy", "look"} <= soak.done.keys()
