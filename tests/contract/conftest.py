"""Fixtures that contract tests share: the two handles, a service that is played, a folder to make mistakes in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING

import pytest
from handles import Repo, served

import vecver

if TYPE_CHECKING:
    from played import Played


@pytest.fixture
def both(tmp_path: Path) -> Iterator[dict[str, Repo]]:
    """A handle of each kind on one repository."""
    local = vecver.open(tmp_path / "kb", create=True, author="alice")
    with served(tmp_path) as (url, key), vecver.connect(url, key) as remote:
        yield {"local": local, "remote": remote}


@pytest.fixture(params=["local", "remote"])
def handle(request: pytest.FixtureRequest, both: dict[str, Repo]) -> Repo:
    """Each of them in turn."""
    return both[request.param]


@pytest.fixture
def played() -> Played:
    """A service whose replies the test writes."""
    from played import Played

    return Played()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client would have slept between attempts; it does not sleep."""
    seconds: list[float] = []
    mine, real = get_ident(), time.sleep

    def sleep(wanted: float) -> None:
        if get_ident() == mine:
            seconds.append(wanted)
        else:
            real(wanted)  # the threads that mind the workers of an earlier test

    monkeypatch.setattr("vecver.wire.time.sleep", sleep)
    return seconds


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: documents, other files, and a repository with a dataset `handbook`."""
    here = tmp_path_factory.mktemp("work")
    (here / "docs").mkdir()
    (here / "docs" / "heating.md").write_text("---\nyear: 2024\n---\n# Heating\n\nBleed the radiator.\n")
    (here / "docs" / "keys.md").write_text("---\nyear: 2025\n---\n# Keys\n\nWhere the keys are.\n")
    for name in ("empty", "full", "elsewhere", "binary"):
        (here / name).mkdir()
    (here / "full" / "x").write_text("x")
    for n in range(7):
        (here / "binary" / f"{n}.bin").write_bytes(bytes(range(256)) * 3)
    (here / "bad.jsonl").write_text("not json\n")
    (here / "noid.jsonl").write_text('{"text": "x"}\n')
    (here / "twice.jsonl").write_text('{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}\n')
    (here / "broken.json").write_text("{}")
    docs = vecver.open(here / ".vecver", create=True).dataset("handbook")
    docs.ingest(str(here / "docs"), label="docs", embedder="hashing")
    docs.tag("2026-11")
    docs.promote("prod")
    return here
