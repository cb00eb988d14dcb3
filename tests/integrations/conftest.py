"""A dataset in a folder, and one behind a live service, for the adapters of every framework."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import iscoroutinefunction
from pathlib import Path
from uuid import uuid4

import pytest
from handles import served

import vecver


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[vecver.RemoteRepository]:
    """A repository behind a live service, for all tests; each has a dataset of its own."""
    pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
    pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")
    place = tmp_path_factory.mktemp("served")
    vecver.open(place / "kb", create=True).close()
    with served(place) as (url, key), vecver.connect(url, key) as remote:
        yield remote


@pytest.fixture(params=["folder", "service"])
def docs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[vecver.Dataset | vecver.RemoteDataset]:
    """A dataset without versions, of each kind."""
    if request.param == "folder":
        with vecver.open(tmp_path / "kb", create=True) as local:
            yield local.dataset("notes")
    else:
        yield request.getfixturevalue("service").dataset(f"notes-{uuid4().hex}")


@pytest.fixture
def modes() -> None:
    """Skips where a search knows no modes yet; to be removed with them on the main branch."""
    docs = vecver.open("memory://", create=True).dataset("d")
    docs.upsert(["a text"], embedder="hashing")
    try:
        docs.search("text", mode="keyword")  # type: ignore[call-overload, unused-ignore]
    except (vecver.InvalidInputError, TypeError) as error:
        pytest.skip(f"no keyword search here: {error}")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    """Coroutines here are run by pytest-asyncio; those of the frameworks' own tests carry no mark."""
    if iscoroutinefunction(obj) and name.startswith("test_"):
        pytest.mark.asyncio(obj)
