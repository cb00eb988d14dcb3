"""The contract of stores, kept by buckets of S3, Azure and Google Cloud as they are emulated on this machine."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulators import SERVICES, Service, running
from test_store import Contract

from vecver.store import Store, open_store


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """Each service in turn, with its settings in the environment."""
    with running(request.param) as service, pytest.MonkeyPatch.context() as patch:
        for name, value in service.environment.items():
            patch.setenv(name, value)
        yield service


@pytest.fixture
def store(service: Service, tmp_path: Path) -> Store:
    """An empty store there."""
    return open_store(service.url(f"tests/{secrets.token_hex(8)}"), cache=tmp_path / "cache")


class TestServices(Contract):
    rounds = 5  # SeaweedFS lets who loses a race wait for a second
