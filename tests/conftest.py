"""Fixtures that tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import Ticking, open_on

import vecver
from vecver.store import LocalStore, MemoryStore, Store


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    return LocalStore(tmp_path / "kb") if request.param == "local" else MemoryStore()


@pytest.fixture
def repository() -> vecver.Repository:
    """An empty repository in memory, with a clock that ticks a second at every look."""
    return open_on(MemoryStore(), clock=Ticking())
