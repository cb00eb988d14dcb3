"""Fixtures that tests share."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import milvus_server
import pytest
import yaml
from browser import browser
from helpers import Ticking, open_on
from hypothesis import HealthCheck, settings

import vecver
from vecver.store import LocalStore, MemoryStore, Store

# Where others want the cores too, torch's threads spin while they wait for each other: with three busy processes
# beside them two tests of test_runtimes took 37 and 25 s, and 33 and 8 s so (medians of three, which vary much).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A slow machine is no failure: without this an example may take 200 ms, and making ten of them a second.
settings.register_profile("vecver", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vecver")


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    return LocalStore(tmp_path / "kb") if request.param == "local" else MemoryStore()


@pytest.fixture
def repository() -> vecver.Repository:
    """An empty repository in memory, with a clock that ticks a second at every look."""
    return open_on(MemoryStore(), clock=Ticking())


@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.milvus) for kind in ("lite", "server", "container")])
def milvus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URI of an empty Milvus of each kind, for `milvus_server.client_of`; skips the kinds not at hand.

    lite: a folder of its own. server, container: one for all tests of a session, so not for tests in parallel.
    """
    pytest.importorskip("pymilvus", reason="no pymilvus: install vecver[milvus]")
    if request.param == "lite":
        manager = pytest.importorskip("milvus_lite.server_manager", reason="no milvus-lite: install vecver[milvus]")
        uri = str(tmp_path / "milvus.db")
        yield uri
        manager.server_manager_instance.release_server(uri)
        return
    uri = request.getfixturevalue(f"milvus_{request.param}_uri")
    milvus_server.empty(uri)
    yield uri


@pytest.fixture(scope="session")
def milvus_server_uri() -> str:
    """The URI of a real Milvus server, as it was left."""
    if "VECVER_TEST_MILVUS" not in os.environ:
        pytest.skip("no real Milvus: run with `python tests/support/milvus_server.py ...`")
    return os.environ["VECVER_TEST_MILVUS"]


@pytest.fixture(scope="session")
def milvus_container_uri() -> Iterator[str]:
    """The URI of a Milvus in a container, of the version in docker/compose.yaml, as it was left."""
    if milvus_server.entered():
        pytest.skip("no container can be reached from this network: run without tests/support/milvus_server.py")
    milvus = pytest.importorskip("testcontainers.community.milvus", reason="no testcontainers: install vecver[test]")
    docker = pytest.importorskip("docker", reason="no docker: install vecver[test]")

    try:
        docker.from_env(timeout=5).close()  # asks the engine for its version
    except docker.errors.DockerException:
        pytest.skip("no Docker engine answers")
    compose = yaml.safe_load((Path(__file__).parent.parent / "docker/compose.yaml").read_text("utf-8"))
    with milvus.MilvusContainer(compose["services"]["milvus"]["image"]) as container:
        yield container.get_connection_url()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A real browser: one for all tests, since a process can drive only one at a time."""
    with browser() as running:
        yield running


# -- the end of the session -----------------------------------------------------------------------

_STATUS = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End at once where milvus-lite's gRPC servers still serve: their threads can abort an interpreter that ends.

    They wait in C++ code that may not be unwound, and Python ends them where they wake up ("terminate called without
    an active exception").
    """
    if any(thread.name.endswith("(_serve)") for thread in threading.enumerate()) and _STATUS in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[_STATUS])
