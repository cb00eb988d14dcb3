"""Jobs of the service: what was asked for happens once, may be cancelled, and survives the process that did it."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from helpers import ingest
from serving import ended, large, served

import vecver
from vecver.errors import ConflictError

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

import httpx2
from job_clients import client_of, upload
from vecver_service.state.database import Database
from vecver_service.state.jobs import FINAL, Job, Jobs


def test_an_upload_becomes_a_version_signed_by_its_caller(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        job = ended(client, upload(client, {"a": "one", "b": "two"}, message="first")["id"])
        assert job["state"] == "succeeded" and job["attempts"] == 1 and job["error"] is None
        assert job["result"]["documents"]["added"] == 2 and job["progress"]["documents"]["done"] == 2
        commit = client.get("/v1/datasets/d/commits/main").json()
        assert (commit["commit"], commit["message"]) == (job["result"]["commit"], "first")
        assert commit["operation"]["job"] == job["id"]
        entries = client.get("/v1/audit").json()["entries"]
        assert [(one["action"], one["outcome"]) for one in entries] == [("ingest", "done"), ("ingest", "done")]
        assert (entries[0]["from"], entries[0]["to"]) == (None, commit["commit"])
    assert not (tmp_path / "state/jobs" / job["id"] / "input").exists(), "it goes after its job has ended"


def test_a_stream_tells_how_a_job_ends(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        id = upload(client, {"a": "one"})["id"]
        with client.stream("GET", f"/v1/jobs/{id}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            told = [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event: ")]
        assert told[-1] == "succeeded" and set(told) <= {"queued", "running", "succeeded"}
        assert client.get("/v1/jobs/20260101T000000000000-000000000000/events").status_code == 404


def test_a_job_that_cannot_be_done_says_why(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        ended(client, upload(client, {"a": "one"})["id"])
        job = ended(client, upload(client, {"a": "two"}, branch="nowhere")["id"])
        assert job["state"] == "failed" and job["error"]["code"] == "branch_not_found" and job["error"]["hint"]
        assert client.get("/v1/datasets/d/branches").json()["branches"].keys() == {"main"}


def test_a_running_job_is_cancelled_before_it_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecver_service.worker._PROGRESS_SECONDS", 0.0)
    begun, go = threading.Event(), threading.Event()

    def slow(docs: vecver.Dataset, source: Any, *, progress: Any, **how: Any) -> None:
        for _ in range(1000):
            begun.set()
            go.wait(10)
            progress("documents", 1)

    monkeypatch.setattr(vecver.Dataset, "ingest", slow)
    with client_of(tmp_path) as client:
        id = upload(client, {"a": "one"})["id"]
        assert begun.wait(60)
        assert client.post(f"/v1/jobs/{id}/cancel").status_code == 200
        go.set()
        assert ended(client, id)["state"] == "cancelled"
        assert client.get("/v1/datasets/d").status_code == 404
        refused = client.post(f"/v1/jobs/{id}/cancel").json()
        assert (refused["code"], refused["detail"]) == ("job_ended", f"the job {id} was cancelled")


def test_a_service_that_ends_puts_its_job_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecver_service.worker._PROGRESS_SECONDS", 0.0)
    begun, real = threading.Event(), vecver.Dataset.ingest

    def slow(docs: vecver.Dataset, source: Any, *, progress: Any, **how: Any) -> None:
        while True:
            begun.set()
            progress("documents", 1)
            time.sleep(0.01)

    monkeypatch.setattr(vecver.Dataset, "ingest", slow)
    with client_of(tmp_path) as client:
        id = upload(client, {"a": "one"})["id"]
        assert begun.wait(60)
    monkeypatch.setattr(vecver.Dataset, "ingest", real)
    with client_of(tmp_path) as client:
        job = ended(client, id)
        assert job["state"] == "succeeded" and job["attempts"] == 1


def test_a_job_lands_after_whoever_was_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, seen = vecver.repo.Versions.save, list[str]()

    def overtaken(versions: Any, *arguments: Any) -> Any:
        monkeypatch.setattr(vecver.repo.Versions, "save", save)
        ingest(vecver.open(tmp_path / "kb").dataset("d"), {"rival": "faster"}, label="rival")
        seen.extend(str(path.name) for path in (tmp_path / "state/jobs").glob("*/input/*.jsonl"))
        return save(versions, *arguments)

    with client_of(tmp_path) as client:
        monkeypatch.setattr(vecver.repo.Versions, "save", overtaken)
        job = ended(client, upload(client, {"a": "one"})["id"])
        assert (job["state"], job["attempts"], job["notes"]) == ("succeeded", 1, []) and seen == ["records.jsonl"]
        assert job["result"]["names"]["added"] == ["a"] and job["result"]["chunks"]["live"] == 2
        assert client.get("/v1/datasets/d/documents").json()["documents"] == ["a", "rival"]


def test_a_job_that_others_are_in_the_way_of_keeps_its_upload_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = vecver.Dataset.ingest, iter([{}, {}, {"documents": ["a"]}])

    def conflict(docs: vecver.Dataset, source: Any, **how: Any) -> Any:
        assert Path(source).is_file(), "the upload is there at every attempt"
        for context in failures:
            raise ConflictError("others were faster", code="ref_moved", hint="again", **context)
        return real(docs, source, **how)

    monkeypatch.setattr(vecver.Dataset, "ingest", conflict)
    with client_of(tmp_path) as client:
        job = ended(client, upload(client, {"a": "one"})["id"])
        assert (job["state"], job["attempts"], len(job["notes"])) == ("failed", 3, 2)
        assert (job["error"]["code"], job["error"]["context"]["documents"]) == ("ref_moved", ["a"])
        assert ended(client, upload(client, {"a": "one"})["id"])["state"] == "succeeded"


def interrupted(place: Path, id: str, *, cancelled: bool = False, **changed: Any) -> None:
    """Leave a job as a process leaves it that ended in the middle."""
    jobs = Jobs(Database(place / "state"), kept=1000)
    changed = {"state": "running", "finished": None, "result": None, **changed}
    jobs.keep(replace(jobs.get(id), **changed))
    with jobs._database.transaction() as connection:
        connection.execute("UPDATE jobs SET taken = 1, cancelled = ? WHERE id = ?", (cancelled, id))


def test_a_commit_that_was_made_before_the_end_is_told_and_not_made_again(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        job = ended(client, upload(client, {"a": "one"})["id"])
    interrupted(tmp_path, job["id"])
    with client_of(tmp_path) as client:
        again = ended(client, job["id"])
        assert again["state"] == "succeeded" and again["attempts"] == 2 and len(again["notes"]) == 2
        assert again["result"]["commit"] == job["result"]["commit"]
        assert again["result"]["documents"] == job["result"]["documents"]
        assert len(client.get("/v1/datasets/d/commits").json()["commits"]) == 1


def test_a_job_that_ends_its_process_again_and_again_has_failed(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        made = ended(client, upload(client, {"a": "one"})["id"])["id"]
        id = ended(client, upload(client, {"a": "one"}, branch="nowhere")["id"])["id"]
    interrupted(tmp_path, id, attempts=3)
    interrupted(tmp_path, made, attempts=3)
    with client_of(tmp_path) as client:
        job = ended(client, id)
        assert job["state"] == "failed" and job["error"]["code"] == "interrupted"
        assert ended(client, made)["state"] == "succeeded", "its commit is there"


def test_a_job_whose_commit_is_there_was_not_cancelled(tmp_path: Path) -> None:
    """Its process ended after the commit, while somebody cancelled it."""
    with client_of(tmp_path) as client:
        job = ended(client, upload(client, {"a": "one"})["id"])
    interrupted(tmp_path, job["id"], cancelled=True)
    with client_of(tmp_path) as client:
        again = ended(client, job["id"])
        assert (again["state"], again["result"]["commit"]) == ("succeeded", job["result"]["commit"])
        assert client.get("/v1/audit").json()["entries"][0]["to"] == job["result"]["commit"]


def test_a_damaged_dataset_holds_no_other_up(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        ended(client, upload(client, {"a": "one"})["id"])
        (tmp_path / "kb/refs/d/branches/main").write_bytes(b"{")
        query = {"label": "t", "embedder": "hashing"}
        body = {"documents": [{"id": "a", "text": "one"}]}
        ids = [client.post(f"/v1/datasets/{name}/ingest", params=query, json=body).json()["id"] for name in "de"]
        damaged, sound = (ended(client, id) for id in ids)
        assert (damaged["state"], damaged["error"]["category"]) == ("failed", "IntegrityError")
        assert sound["state"] == "succeeded"


class Panic(BaseException):
    """As pyo3's PanicException, which is no Exception."""


def test_a_job_that_panics_has_failed_and_the_next_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*_: Any, **how: Any) -> None:
        monkeypatch.undo()
        raise Panic

    with client_of(tmp_path) as client:
        monkeypatch.setattr(vecver.Dataset, "ingest", panic)
        assert ended(client, upload(client, {"a": "one"})["id"])["error"]["code"] == "internal"
        assert ended(client, upload(client, {"a": "one"})["id"])["state"] == "succeeded"


def test_progress_that_cannot_be_told_does_not_end_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecver_service.worker._PROGRESS_SECONDS", 0.0)
    real = Jobs.keep

    def full(jobs: Jobs, job: Job, *, durable: bool = True) -> Job:
        if not durable:
            raise OSError(28, "No space left on device")
        return real(jobs, job)

    monkeypatch.setattr(Jobs, "keep", full)
    with client_of(tmp_path) as client:
        assert ended(client, upload(client, {"a": "one"})["id"])["state"] == "succeeded"


def test_the_same_key_gives_the_same_job(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        query, body = {"label": "t", "embedder": "hashing"}, {"documents": [{"id": "a", "text": "one"}]}
        send = lambda **how: client.post(  # noqa: E731
            "/v1/datasets/d/ingest", params=query, json=body, headers={"Idempotency-Key": "k"}, **how
        )
        first, second = send().json(), send().json()
        assert first["id"] == second["id"] and ended(client, first["id"])["state"] == "succeeded"
        assert len(client.get("/v1/jobs").json()["jobs"]) == 1
        body["documents"][0]["text"] = "two"
        assert send().json()["code"] == "key_reused"
        assert len(client.get("/v1/jobs").json()["jobs"]) == 1
        assert set(os.listdir(tmp_path / "state/jobs")) <= {first["id"]}


def test_a_job_that_cannot_be_audited_is_not_queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full disk: the audit log takes no more."""

    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with client_of(tmp_path) as client:
        body, query = {"documents": [{"id": "a", "text": "one"}]}, {"label": "t", "embedder": "hashing"}
        with monkeypatch.context() as patch:
            patch.setattr("vecver_service.state.audit._insert", full)
            assert client.post("/v1/datasets/d/ingest", params=query, json=body).json()["code"] == "audit_failed"
        assert client.get("/v1/jobs").json()["jobs"] == [] and os.listdir(tmp_path / "state/jobs") == []
        job = client.post("/v1/datasets/d/ingest", params=query, json=body).json()
        assert ended(client, job["id"])["state"] == "succeeded"


def test_the_audit_log_has_a_job_queued_before_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker may end a job before the request that queued it goes on."""
    add, query = Jobs.add, {"label": "t", "embedder": "hashing"}

    def add_and_wait(jobs: Jobs, *args: Any) -> Job:
        job = add(jobs, *args)
        while jobs.get(job.id).state not in FINAL:
            time.sleep(0.01)
        return job

    with client_of(tmp_path) as client:
        monkeypatch.setattr(Jobs, "add", add_and_wait)
        body = {"documents": [{"id": "a", "text": "one"}]}
        job = client.post("/v1/datasets/d/ingest", params=query, json=body).json()
        newest, queued = client.get("/v1/audit").json()["entries"][:2]
        assert newest["request"] == newest["job"] == queued["job"] == job["id"]
        assert queued["request"] != job["id"] and queued["outcome"] == newest["outcome"] == "done"


def test_a_version_is_published_by_a_job(tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite", reason="no milvus-lite: install vecver[milvus]")
    with client_of(tmp_path) as client:
        commit = ended(client, upload(client, {"a": "one", "b": "two"})["id"])["result"]["commit"]
        job = ended(client, client.post("/v1/datasets/d/publish", json={}).json()["id"])
        assert job["state"] == "succeeded" and job["result"]["commit"] == commit and job["result"]["written"] == 2
        told = client.get("/v1/datasets/d/publication").json()
        assert (told["collection"], told["ordinal"]) == (job["result"]["collection"], job["result"]["ordinal"])
        client.app.state.deps.repository.close()  # type: ignore[attr-defined]


def test_a_stream_of_events_does_not_keep_a_service_from_ending(tmp_path: Path) -> None:
    vecver.open(tmp_path / "kb", create=True)
    waits = FileLock(tmp_path / "state/locks/d")  # a job whose dataset is busy
    with served(tmp_path, shutdown_timeout="600") as (client, process), waits:
        query, headers = {"label": "t", "embedder": "hashing"}, {"content-type": "application/x-ndjson"}
        id = client.post("/v1/datasets/d/ingest", params=query, content=large(5, "x"), headers=headers).json()["id"]
        with client.stream("GET", f"/v1/jobs/{id}/events") as stream:
            told = stream.iter_lines()
            assert next(told) == "event: queued"
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def test_several_workers_serve_one_repository(tmp_path: Path) -> None:
    """Their measurements are one sum, a job is done by one of them, and any tells how it stands."""
    vecver.open(tmp_path / "kb", create=True)
    with served(tmp_path, "--workers", "2") as (client, _):
        query, headers = {"label": "t", "embedder": "hashing"}, {"content-type": "application/x-ndjson"}
        ids = [
            client.post("/v1/datasets/d/ingest", params=query, content=large(50, word), headers=headers).json()["id"]
            for word in ("one", "two", "three")
        ]
        assert [ended(client, id)["state"] for id in ids] == ["succeeded"] * 3
        commits = client.get("/v1/datasets/d/commits").json()["commits"]
        assert [commit["operation"]["job"] for commit in commits] == ids[::-1]
        for _ in range(20):
            with httpx2.Client(base_url=client.base_url, timeout=60) as other:  # a connection to either of them
                assert other.post("/v1/datasets/d/search", json={"query": "text"}).status_code == 200
        assert 'vecver_queries_total{dataset="d",engine="faiss"} 20.0' in client.get("/metrics").text
    assert "VECVER_MILVUS" in (tmp_path / "serve.log").read_text(), "that the embedded one serves one worker"


def test_a_worker_that_is_silent_for_some_seconds_is_not_killed(tmp_path: Path) -> None:
    """A large value that is parsed holds the interpreter: uvicorn killed its process after 5 s, with all it did."""
    vecver.open(tmp_path / "kb", create=True)
    with served(tmp_path, "--workers", "2") as (client, _):
        begun = re.compile(r"Started server process \[(\d+)\]")
        until = time.monotonic() + 60
        while len(pids := begun.findall((tmp_path / "serve.log").read_text())) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        os.kill(int(pids[0]), signal.SIGSTOP)
        try:
            time.sleep(9)
        finally:
            os.kill(int(pids[0]), signal.SIGCONT)
        time.sleep(1)
        assert begun.findall((tmp_path / "serve.log").read_text()) == pids
        assert client.get("/healthz").status_code == 200


def test_a_key_holds_only_so_many_streams_open(tmp_path: Path) -> None:
    with client_of(tmp_path, max_streams=2) as client:
        id = upload(client, {"a": "one"})["id"]
        ended(client, id)
        streams = client.app.state.deps.streams  # type: ignore[attr-defined]
        streams[""] = 2
        refused = client.get(f"/v1/jobs/{id}/events")
        assert refused.status_code == 429 and refused.headers["retry-after"] == "5"
        streams[""] = 1
        assert client.get(f"/v1/jobs/{id}/events").status_code == 200 and streams[""] == 1
