"""The Milvus servers that tests run against: each kind of them works, and a killed one comes back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import milvus_server
import pytest

PROGRAM = [sys.executable, milvus_server.__file__]
ROWS = [{"id": n, "vector": [float(n), 1.0]} for n in range(10)]  # under IP with (1, 0) the score of a row is its id


def filled(uri: str, name: str = "ten", database: str = "default") -> Any:
    """A client of a Milvus that now holds the ten rows in a collection."""
    from pymilvus import DataType

    client = milvus_server.client_of(uri, database)
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="IP")
    client.create_collection(name, schema=schema, index_params=index)
    assert client.upsert(name, ROWS)["upsert_count"] == 10
    return client


def top(client: Any, name: str = "ten", limit: int = 3) -> list[tuple[int, float]]:
    """(id, score) of the best rows for (1, 0), as every acknowledged write left them."""
    hits = client.search(name, data=[[1.0, 0.0]], limit=limit, consistency_level="Strong")[0]
    return [(hit["id"], hit["distance"]) for hit in hits]


def test_rows_that_went_in_are_found(milvus: str) -> None:
    client = filled(milvus)
    assert top(client) == [(9, 9.0), (8, 8.0), (7, 7.0)]
    client.upsert("ten", [{"id": 0, "vector": [20.0, 1.0]}])
    assert top(client, limit=2) == [(0, 20.0), (9, 9.0)]
    client.close()


@pytest.mark.parametrize("turn", range(2))
def test_every_test_gets_an_empty_milvus(milvus: str, turn: int) -> None:
    empty = milvus_server.client_of(milvus)
    assert empty.list_collections() == []
    empty.close()
    client = filled(milvus, name="left_behind")
    client.create_alias("left_behind", alias="also_left")
    assert top(client, "also_left", limit=1) == [(9, 9.0)]
    client.close()


def test_other_databases_are_emptied_too(milvus: str) -> None:
    client = milvus_server.client_of(milvus)
    client.create_database("other")
    filled(milvus, database="other").close()
    milvus_server.empty(milvus)
    assert client.list_databases() == ["default"]
    client.close()


@pytest.fixture
def entered() -> None:
    if not milvus_server.entered():
        pytest.skip("no network namespace: run with `python tests/support/milvus_server.py ...`")


@pytest.fixture
def server(entered: None, tmp_path: Path) -> Iterator[milvus_server.MilvusServer]:
    with milvus_server.MilvusServer(tmp_path / "milvus") as server:
        yield server


@pytest.mark.milvus
def test_a_killed_server_comes_back_with_every_acknowledged_row(server: milvus_server.MilvusServer) -> None:
    uri = server.uri
    filled(uri).close()
    server.kill()
    assert not server.running and not listening(uri)
    assert server.start() == uri
    client = milvus_server.client_of(uri)
    client.load_collection("ten")
    assert top(client, limit=10) == [(n, float(n)) for n in range(9, -1, -1)]
    client.close()
    with pytest.raises(RuntimeError, match="runs already"):
        server.start()


@pytest.mark.milvus
def test_the_server_dies_with_its_runner(entered: None) -> None:
    script = ["sh", "-c", "echo $VECVER_TEST_MILVUS; exec sleep 100"]
    runner = subprocess.Popen([*PROGRAM, *script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert runner.stdout is not None
    uri = runner.stdout.readline().strip()
    assert uri and uri != os.environ["VECVER_TEST_MILVUS"] and listening(uri)
    os.killpg(runner.pid, signal.SIGKILL)  # the runner and the sleep; the server is in a session of its own
    runner.wait()
    end = time.monotonic() + 30
    while listening(uri):
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.milvus
def test_the_program_ends_as_its_command_did(entered: None) -> None:
    assert subprocess.run([*PROGRAM, "sh", "-c", "exit 7"]).returncode == 7


def test_where_it_cannot_run_it_says_why() -> None:
    environment = {**os.environ, "VECVER_MILVUS_PYTHON": "no-such-python"}
    environment.pop(milvus_server.ENTERED, None)
    refused = subprocess.run([*PROGRAM, "true"], env=environment, capture_output=True, text=True)
    assert refused.returncode == 1 and refused.stdout == ""
    assert refused.stderr.startswith("milvus_server: ") and refused.stderr.count("\n") == 1
    assert "Traceback" not in refused.stderr


def test_outside_of_a_namespace_no_server_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(milvus_server.ENTERED, raising=False)
    with pytest.raises(RuntimeError, match="listen on all interfaces"):
        milvus_server.MilvusServer(tmp_path / "milvus").start()
    assert not (tmp_path / "milvus").exists()


def listening(uri: str) -> bool:
    """Whether something takes connections at a URI."""
    at = urlsplit(uri)
    try:
        socket.create_connection((at.hostname or "", at.port or 0), timeout=1).close()
    except OSError:
        return False
    return True
