"""The end of a process that load balancers send requests to."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from helpers import ingest
from serving import served
from small_service import QUERY, TEXTS

import vecver

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")


def test_a_process_is_unready_for_a_while_before_it_ends(tmp_path: Path) -> None:
    ingest(vecver.open(tmp_path / "kb", create=True).dataset("d"), TEXTS)
    search = {"json": {"vector": QUERY, "k": 1}}
    with served(tmp_path, drain="3") as (client, process):
        assert "connection" not in client.post("/v1/datasets/d/search", **search).headers
        process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        while client.get("/readyz").status_code == 200:
            assert time.monotonic() - told < 60
        assert client.get("/readyz").json()["code"] == "draining"
        answer = client.post("/v1/datasets/d/search", **search)
        assert answer.status_code == 200 and answer.headers["connection"] == "close"
        process.wait(60)
        assert time.monotonic() - told >= 3
