"""A service that is killed in an ingest: its repository is sound, and the next process finishes the job, once."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from serving import ended, large, served

import vecver

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

Json = dict[str, Any]


def killed_in_an_ingest(place: Path, body: bytes, delay: float) -> str:
    """Begin an ingest in a service and kill its process so many seconds after the job was taken; the job's id."""
    with served(place) as (client, process):
        query = {"label": "large", "embedder": "hashing"}
        headers = {"content-type": "application/x-ndjson"}
        id = str(client.post("/v1/datasets/d/ingest", params=query, content=body, headers=headers).json()["id"])
        until = time.monotonic() + 60
        while client.get(f"/v1/jobs/{id}").json()["state"] == "queued" and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    return id


def proved(place: Path, id: str, documents: int) -> Json:
    """After a kill: the repository is clean, and a new process tells the truth about the job."""
    repository = vecver.open(place / "kb")
    assert repository.check().clean
    with served(place) as (client, _):
        job = ended(client, id)
        assert job["state"] == "succeeded", job
        commits = client.get("/v1/datasets/d/commits", params={"limit": 1000}).json()["commits"]
        mine = [commit for commit in commits if commit["operation"].get("job") == id]
        assert [commit["commit"] for commit in mine] == [job["result"]["commit"]]
        assert mine[0]["counts"]["documents"] == documents
    assert vecver.open(place / "kb").check().clean
    return job


def test_a_service_that_is_killed_in_an_ingest_finishes_it_when_it_is_back(tmp_path: Path) -> None:
    vecver.open(tmp_path / "kb", create=True)
    id = killed_in_an_ingest(tmp_path, large(20_000, "first"), 0.5)
    job = proved(tmp_path, id, 20_000)
    assert job["attempts"] == 2 and job["notes"]


@pytest.mark.deep
def test_a_service_may_be_killed_at_any_moment(tmp_path: Path) -> None:
    vecver.open(tmp_path / "kb", create=True)
    for turn in range(15):
        id = killed_in_an_ingest(tmp_path, large(5000, f"turn {turn}"), 0.15 * turn)
        proved(tmp_path, id, 5000)
