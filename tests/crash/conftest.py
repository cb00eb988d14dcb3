"""What the crash tests share: how long the deep form takes, and a table of what was tried."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tallies import Begin, Tally

_ROWS = pytest.StashKey[list[Tally]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("crash", "how long `pytest -m deep tests/crash` takes")
    group.addoption("--kills", type=int, default=200, help="processes to kill (200)")
    group.addoption("--soak-minutes", type=float, default=30, help="minutes of the soak (30)")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = []


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = [row for row in config.stash[_ROWS] if row.tried]
    if rows and "deep" in config.option.markexpr and "not deep" not in config.option.markexpr:
        terminalreporter.write_sep("-", "what was tried")
        terminalreporter.write_line("| tried | how often | failed | test |\n| --- | ---: | ---: | --- |")
        for row in rows:
            terminalreporter.write_line(row.line())


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Begin]:
    """Begins a line of the table. The test fails at its end if anything failed."""
    rows: list[Tally] = []

    def begin(what: str) -> Tally:
        rows.append(Tally(what, request.node.nodeid.split("::")[-1]))
        return rows[-1]

    yield begin
    request.config.stash[_ROWS] += rows
    failures = [failure for row in rows for failure in row.failures]
    assert not failures, f"{len(failures)} failed:\n" + "\n".join(failures[:20])


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many processes to kill."""
    return int(request.config.getoption("--kills", 200))


@pytest.fixture
def soak_minutes(request: pytest.FixtureRequest) -> float:
    """How long the soak takes."""
    return float(request.config.getoption("--soak-minutes", 30))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """An empty folder in memory, where there is such a file system, so that nothing waits for a disk."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="vecver-crash-", dir=memory))
    yield folder
    shutil.rmtree(folder)
