"""A service with short timeouts on a repository of three documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

from raw_connections import service

import vecver


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository of three documents."""
    place = tmp_path_factory.mktemp("wire")
    docs = vecver.open(place / "kb", create=True, author="tester").dataset("d")
    for year in (2024, 2025):
        docs.ingest([{"id": f"d{i}", "text": f"text {i} of {year}"} for i in range(3)], embedder="hashing")
    docs.promote("prod")
    return place


@pytest.fixture(scope="module")
def client(place: Path) -> Iterator[Any]:
    with service(place, timeout=4.0) as client:
        yield client
