"""A small service for the tests of routes, keys and operations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from small_service import small_service

if TYPE_CHECKING:
    from fastapi.testclient import TestClient


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with small_service(tmp_path) as client:
        yield client
