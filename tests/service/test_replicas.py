"""Replicas of the service: processes on one bucket and one PostgreSQL, each with a folder of its own."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from emulators import Service, running
from helpers import ingest
from postgres_server import PASSWORD, PostgresServer
from serving import ended, large, served
from small_service import QUERY, TEXTS

import vecver

pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")
pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from vecver_service.state.database import Database
from vecver_service.state.postgres_address import parse
from vecver_service.state.postgres_engine import PostgresEngine

JSONL = {"content-type": "application/x-ndjson"}
INTO_E = {"label": "t", "embedder": "hashing"}


class Shared:
    """A bucket with a repository, and a database, which replicas share."""

    def __init__(self, folder: Path, bucket: Service, database: str) -> None:
        self.folder, self.bucket, self.database = folder, bucket, database
        self.url = bucket.url("kb")

    @contextlib.contextmanager
    def replica(self, name: str, **settings: str) -> Iterator[tuple[Any, Any]]:
        """A further replica: a client of it, and its process."""
        place = self.folder / name
        place.mkdir()
        own = {"repo": self.url, "state": str(place / "state"), "cache": str(place / "cache"), "no_auth": "true"}
        with served(place, **{**own, "database": self.database, **settings}) as (client, process):
            yield client, process
        assert PASSWORD not in (place / "serve.log").read_text()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Shared]:
    with running("gcs") as bucket, pytest.MonkeyPatch.context() as patch:
        for name, value in bucket.environment.items():
            patch.setenv(name, value)
        folder = tmp_path_factory.mktemp("shared")
        patch.setenv("VECVER_CACHE", str(folder / "cache"))
        one = Shared(folder, bucket, postgres.new_database())
        docs = vecver.open(one.url, create=True, author="tester").dataset("d")
        ingest(docs, TEXTS)
        docs.tag("v1")
        ingest(docs, {**TEXTS, "doc-3": "another text"})
        docs.promote("prod", "v1")
        yield one


@pytest.fixture(scope="module")
def processes(shared: Shared) -> Iterator[list[tuple[Any, Any]]]:
    """Two replicas: a client of each, and its process."""
    with shared.replica("one") as one, shared.replica("two") as two:
        yield [one, two]


@pytest.fixture
def pair(processes: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Clients of two replicas."""
    return processes[0][0], processes[1][0]


@contextlib.contextmanager
def dataset_locked(shared: Shared, name: str, folder: Path) -> Iterator[None]:
    """No replica runs a job of this dataset meanwhile."""
    database = Database(PostgresEngine(parse(shared.database), folder))
    lock = database.lock("locks", name)
    assert lock.acquire()
    try:
        yield
    finally:
        lock.release()
        database.close()


def test_a_key_that_is_sent_to_both_at_once_is_done_once(pair: tuple[Any, Any]) -> None:
    moves = lambda: len(pair[0].get("/v1/datasets/d/aliases/prod/moves").json()["moves"])  # noqa: E731
    for client, ref in zip(pair * 2, ("main", "v1", "main", "v1"), strict=True):
        assert client.post("/v1/datasets/d/promote", json={"alias": "prod", "ref": ref}).status_code == 200
    before = moves()

    def go_back(client: Any) -> Any:
        while True:
            answer = client.post("/v1/datasets/d/rollback", json={"ref": "prod"}, headers={"Idempotency-Key": "back"})
            if answer.json().get("code") != "in_progress":
                return answer.json()

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(go_back, pair * 2))
    assert len({json.dumps(answer, sort_keys=True) for answer in answers}) == 1 and answers[0]["after"]
    assert moves() == before + 1


def test_a_job_of_one_replica_is_seen_and_cancelled_by_the_other(
    pair: tuple[Any, Any], shared: Shared, tmp_path: Path
) -> None:
    one, two = pair
    with dataset_locked(shared, "e", tmp_path):
        post = {"params": INTO_E, "content": large(5, "x"), "headers": JSONL}
        id = one.post("/v1/datasets/e/ingest", **post).json()["id"]
        assert uploads(shared) == [id]
        assert two.get(f"/v1/jobs/{id}").json()["state"] == "queued"
        assert two.post(f"/v1/jobs/{id}/cancel").json()["state"] == "cancelled"
        assert one.get(f"/v1/jobs/{id}").json()["state"] == "cancelled" and uploads(shared) == []
    audit = [entry for entry in two.get("/v1/audit").json()["entries"] if entry.get("job") == id]
    assert [entry["action"] for entry in audit] == ["cancel", "ingest"]


def test_an_alias_that_moves_is_seen_by_every_replica_within_two_seconds(pair: tuple[Any, Any]) -> None:
    one, two = pair
    for ref in ("main", "v1", "main"):
        move = one.post("/v1/datasets/d/promote", json={"alias": "prod", "ref": ref})
        moved, commit = time.monotonic(), move.json()["after"]
        begun = moved
        assert searched(one) == commit, "the replica that moved it sees it at once"
        while searched(two) != commit:
            assert begun - moved < 2, "a search that began two seconds after the move did not see it"
            time.sleep(0.02)
            begun = time.monotonic()


def test_a_job_of_a_killed_replica_is_done_by_another_one(processes: list[tuple[Any, Any]], shared: Shared) -> None:
    one = processes[0][0]
    for _, process in processes:  # so that the third one takes the job
        process.send_signal(signal.SIGSTOP)
    try:
        with shared.replica("three") as (third, killed):
            post = {"params": INTO_E, "content": large(4000, "y"), "headers": JSONL}
            id = third.post("/v1/datasets/f/ingest", **post).json()["id"]
            while third.get(f"/v1/jobs/{id}").json()["state"] != "running":
                time.sleep(0.01)
            killed.kill()
            killed.wait()
    finally:
        for _, process in processes:
            process.send_signal(signal.SIGCONT)
    job = ended(one, id)
    assert (job["state"], job["attempts"], job["result"]["names"]["added"][:1]) == ("succeeded", 2, ["doc-0"])
    commits = one.get("/v1/datasets/f/commits").json()["commits"]
    assert [(commit["operation"]["job"], commit["counts"]["documents"]) for commit in commits] == [(id, 4000)]
    assert uploads(shared) == []


def searched(client: Any) -> str:
    answer = client.post("/v1/datasets/d/search", json={"vector": QUERY, "ref": "prod", "k": 1})
    return str(answer.json()["commit"])


def uploads(shared: Shared) -> list[str]:
    from vecver.local.uploads import Uploads

    return list(Uploads(vecver.open(shared.url)).names())
