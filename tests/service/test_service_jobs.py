"""Jobs of the service: what was asked for happens once, may be cancelled, and survives the process that did it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from helpers import ingest, records
from serving import ended, large, served

import vecver
from vecver.errors import BackendError, ConflictError, IntegrityError, NotFoundError

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

import httpx2
from fastapi.testclient import TestClient
from vecver_service.app import create_app
from vecver_service.settings import ServiceSettings
from vecver_service.state import jobs as room
from vecver_service.state import sqlite
from vecver_service.state.database import Database
from vecver_service.state.jobs import Job, Jobs

Json = dict[str, Any]


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(Database(tmp_path / "state"), kept=5)


def added(jobs: Jobs, dataset: str = "d", kind: str = "ingest") -> Job:
    return jobs.add(jobs.scratch(), dataset, kind, "alice", "k1", {"branch": "main"})


# -- the record ----------------------------------------------------------------------------------


def test_the_oldest_job_of_a_free_dataset_is_next(jobs: Jobs) -> None:
    first = added(jobs)
    second, other = added(jobs), added(jobs, "e")
    with jobs.next() as taken, jobs.next() as beside, jobs.next() as none:
        assert taken and beside and none is None
        assert taken.id == first.id and beside.id == other.id
    with jobs.next() as again:
        assert again and again.id == first.id  # nobody said that it had ended
        jobs.keep(Job(**{**vars(again), "state": "succeeded"}))
    with jobs.next() as then:
        assert then and then.id in (second.id, other.id)


def test_no_job_overtakes_one_of_its_dataset_that_was_passed_over(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker found the dataset busy at the first, and free a moment later at the second."""
    first, second = added(jobs), added(jobs)
    acquired, busy = room._acquired, iter([True])
    monkeypatch.setattr(room, "_acquired", lambda lock: not next(busy, False) and acquired(lock))
    with jobs.next() as none:
        assert none is None
    for job in (first, second):
        with jobs.next() as taken:
            assert taken and taken.id == job.id
            jobs.keep(Job(**{**vars(taken), "state": "succeeded"}))


def test_a_clock_that_is_set_back_changes_no_order(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        minutes = 0

        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            cls.minutes -= 1
            return datetime.now(tz) + timedelta(minutes=cls.minutes)

    monkeypatch.setattr(room, "datetime", Clock)
    ids = [added(jobs).id for _ in range(3)]
    for id in ids:
        with jobs.next() as taken:
            assert taken and taken.id == id
            jobs.keep(Job(**{**vars(taken), "state": "succeeded"}))


def test_a_job_is_taken_by_one_of_many(jobs: Jobs) -> None:
    for _ in range(10):
        added(jobs)
    done: list[str] = []

    def work() -> None:
        while len(done) < 10:  # the thread that has a job may be long in writing that it has ended
            with jobs.next() as job:
                if job:
                    done.append(job.id)
                    jobs.keep(Job(**{**vars(job), "state": "succeeded"}))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 10 and len(set(done)) == 10


def test_a_waiting_job_is_cancelled_at_once(jobs: Jobs) -> None:
    job = added(jobs)
    (jobs.input(job) / "x").write_text("input")
    assert jobs.cancel(job.id).state == "cancelled" and jobs.get(job.id).finished
    assert not jobs.input(job).exists()
    with jobs.next() as none:
        assert none is None
    with pytest.raises(ConflictError):
        jobs.cancel(job.id)


def test_jobs_that_ended_are_forgotten_in_time_and_others_never(jobs: Jobs) -> None:
    waiting = added(jobs)
    for _ in range(8):
        job = added(jobs)
        with jobs.next():
            jobs.keep(Job(**{**vars(job), "state": "failed"}))
    left = {job.id for job in jobs.all()}
    assert waiting.id in left and len(left) <= 7


@pytest.mark.parametrize("record", ["", "{", "[]", "{}", '{"id": "x", "unknown": 1}', "\x00"])
def test_a_damaged_record_keeps_no_other_job_from_being_done(jobs: Jobs, record: str) -> None:
    damaged = [added(jobs) for _ in range(8)]
    for job in damaged:
        rewrite(jobs, job.id, record)
    sound = added(jobs, "e")
    assert [job.id for job in jobs.all()] == [sound.id]
    with pytest.raises(IntegrityError, match=damaged[0].id):
        jobs.get(damaged[0].id)
    with jobs.next() as taken:
        assert taken and taken.id == sound.id


def rewrite(jobs: Jobs, id: str, record: str) -> None:
    """Replace the record of a job, behind its back."""
    with jobs._database.transaction() as connection:
        connection.execute("UPDATE jobs SET record = ? WHERE id = ?", (record, id))


def test_a_job_is_on_the_disk_before_its_caller_is_answered(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its upload first; what a power cut may undo is progress alone."""
    steps, sync = list[str](), os.fsync
    commit = sqlite.commit

    def committed(connection: Any) -> None:
        level = connection.execute("PRAGMA synchronous").fetchone()[0]
        steps.append({2: "durable", 1: "not durable"}[level])
        commit(connection)

    monkeypatch.setattr(os, "fsync", lambda handle: (steps.append("sync"), sync(handle)))
    monkeypatch.setattr(sqlite, "commit", committed)
    job = added(jobs)
    assert steps[-1] == "durable" and set(steps[:-1]) == {"sync"}
    for durable in (True, False):
        jobs.keep(job, durable=durable)
    jobs.cancel(job.id)
    assert steps[-3:] == ["durable", "not durable", "durable"]


def test_a_job_that_cannot_be_written_is_not_there(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(connection: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "commit", full)
        with pytest.raises(OSError, match="space"):
            added(jobs)
    assert not list(jobs.all())
    with jobs.next() as none:
        assert none is None
    assert jobs.get(added(jobs).id).state == "queued", "the next is taken"


def test_old_jobs_that_cannot_be_forgotten_do_not_take_a_new_one_along(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker forgot them at the same time, say."""
    for _ in range(6):
        jobs.scratch()
    monkeypatch.setattr("vecver_service.state.jobs._old", lambda folder: folder.with_name("gone").stat())
    assert jobs.get(added(jobs).id).state == "queued"


@pytest.mark.parametrize(
    "id", ["", ".", "..", "../jobs", "x" * 300, "20260101T000000000000-00000000000g", "a\0b", "日"]
)
def test_what_is_no_id_names_no_job(jobs: Jobs, id: str) -> None:
    with pytest.raises(NotFoundError):
        jobs.get(id)


# -- the service ---------------------------------------------------------------------------------


@contextmanager
def client_of(place: Path, **settings: Any) -> Iterator[TestClient]:
    """A service on the repository `kb`, without keys."""
    repository = vecver.open(place / "kb", create=True, author="tester")
    app = create_app(repository, ServiceSettings(state=str(place / "state"), no_auth=True, **settings))
    with TestClient(app) as client:
        yield client


def upload(client: TestClient, texts: dict[str, str], **query: Any) -> Json:
    body = "".join(json.dumps({**one, "vector": one["vector"].tolist()}) + "\n" for one in records(texts))
    query = {"label": "texts", "space": "test", "metric": "ip", **query}
    headers = {"content-type": "application/x-ndjson"}
    response = client.post("/v1/datasets/d/ingest", params=query, content=body, headers=headers)
    assert response.status_code == 202, response.text
    return dict(response.json())


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
        assert client.post(f"/v1/jobs/{id}/cancel").json()["code"] == "job_ended"


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


def test_a_job_that_is_queued_stays_where_its_caller_cannot_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full disk: the audit log takes no more. A worker may have begun: nothing is taken from under it."""

    def full(*_: Any) -> None:
        raise BackendError("no space", code="audit_failed", hint="")

    with client_of(tmp_path) as client:
        with monkeypatch.context() as patch:
            patch.setattr("vecver_service.state.audit.Audit.append", full)
            body = {"documents": [{"id": "a", "text": "one"}]}
            query = {"label": "t", "embedder": "hashing"}
            assert client.post("/v1/datasets/d/ingest", params=query, json=body).json()["code"] == "audit_failed"
        (job,) = client.get("/v1/jobs").json()["jobs"]
        assert ended(client, job["id"])["state"] == "succeeded"


def test_a_version_is_published_by_a_job(tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite", reason="no milvus-lite: install vecver[milvus]")
    with client_of(tmp_path) as client:
        commit = ended(client, upload(client, {"a": "one", "b": "two"})["id"])["result"]["commit"]
        job = ended(client, client.post("/v1/datasets/d/publish", json={}).json()["id"])
        assert job["state"] == "succeeded" and job["result"]["commit"] == commit and job["result"]["written"] == 2
        told = client.get("/v1/datasets/d/publication").json()
        assert (told["collection"], told["ordinal"]) == (job["result"]["collection"], job["result"]["ordinal"])
        client.app.state.deps.repository.close()  # type: ignore[attr-defined]


# -- uploads -------------------------------------------------------------------------------------


def files(client: TestClient, named: dict[str, bytes], **query: Any) -> Any:
    parts = [("files", (name, data)) for name, data in named.items()]
    return client.post("/v1/datasets/d/ingest", params={"label": "up", "embedder": "hashing", **query}, files=parts)


def test_files_become_documents_under_their_paths(tmp_path: Path) -> None:
    names = ["a.md", "guide/heating.md", "guide/W\u00e4rme \u201c1\u201d.md", "Screenshot\u202f1.md", " blank .md"]
    with client_of(tmp_path) as client:
        job = ended(
            client, files(client, {name: f"# {name}\n\ntext of {name}".encode() for name in names}).json()["id"]
        )
        assert job["result"]["documents"]["added"] == 5 and job["result"]["names"]["added"] == sorted(names)
        assert client.get("/v1/datasets/d/documents").json()["documents"] == sorted(names)


def test_a_second_upload_under_one_label_does_not_replace_the_first(tmp_path: Path) -> None:
    """One whose removals are allowed does, and one that says of what it speaks removes nothing else."""
    with client_of(tmp_path) as client:
        ended(client, files(client, {"a/1.md": b"one", "a/2.md": b"two", "b/3.md": b"three"}).json()["id"])
        job = ended(client, files(client, {"c/4.md": b"four"}).json()["id"])
        assert (job["state"], job["error"]["code"], job["error"]["status"]) == ("failed", "removals_not_allowed", 409)
        assert job["error"]["context"]["removals"][0]["first"] == ["a/1.md", "a/2.md", "b/3.md"]
        job = ended(client, files(client, {"a/1.md": b"one"}, scope="a/**").json()["id"])
        assert job["result"]["names"] == {"added": [], "changed": [], "removed": ["a/2.md"]}
        job = ended(client, files(client, {"c/4.md": b"four"}, allow_removals="true").json()["id"])
        assert job["result"]["names"] == {"added": ["c/4.md"], "changed": [], "removed": ["a/1.md", "b/3.md"]}
        assert client.get("/v1/datasets/d/commits/main").json()["operation"]["places"] == {"up": {}}
        headers = {"vecver-place": "/etc"}
        assert client.post("/v1/datasets/d/ingest?label=up", headers=headers, content=b"x").status_code == 422


def test_an_upload_of_one_file_of_a_source_updates_that_document(tmp_path: Path) -> None:
    four = {f"{i}.md": f"number {i}".encode() for i in range(4)}
    with client_of(tmp_path) as client:
        ended(client, files(client, four).json()["id"])
        job = ended(client, files(client, {"2.md": b"other"}).json()["id"])
        assert job["result"]["names"] == {"added": [], "changed": ["2.md"], "removed": []}
        job = ended(client, files(client, {"2.md": b"another"}, allow_removals="true").json()["id"])
        assert job["result"]["documents"]["removed"] == 3


def test_the_work_tree_around_the_state_folder_has_no_say(tmp_path: Path) -> None:
    """Its ignore files would let uploaded documents go, and its Git commit is not theirs."""
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("*.md\nstate\n")
    with client_of(tmp_path) as client:
        job = ended(client, files(client, {"a.md": b"# One\n\ntext", "b.txt": b"two"}).json()["id"])
        assert job["result"]["names"]["added"] == ["a.md", "b.txt"]
        told = {"git_commit": "9c1e" * 10, "git_branch": "main", "git_dirty": "true"}
        ended(client, files(client, {"a.md": b"# Two\n\ntext"}, **told).json()["id"])
        commits = client.get("/v1/datasets/d/commits").json()["commits"]
        origins = [commit["operation"]["sources"][0]["origin"] for commit in commits]
        assert origins == [{"kind": "git", "commit": "9c1e" * 10, "branch": "main", "dirty": True}, None]
        assert client.get("/v1/datasets/d/commits/git:9c1e9c1e").json()["commit"] == commits[0]["commit"]


def test_git_is_not_asked_about_what_was_uploaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names files HEAD, config and info/attributes would choose the programs that it runs."""
    for name in ("origin_of", "checkouts_above"):
        monkeypatch.setattr(f"vecver.pipeline.{name}", lambda source: pytest.fail("git was asked"))
    with client_of(tmp_path) as client:
        job = ended(client, files(client, {"HEAD": b"ref: refs/heads/main", "config": b"[core]"}).json()["id"])
        assert job["state"] == "succeeded", job["error"]
        assert client.get("/v1/datasets/d/commits/main").json()["operation"]["sources"][0]["origin"] is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x\r\n",
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.md"\r\n\r\ncut off',
        b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\nno file\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="other"; filename="a.md"\r\n\r\ntext\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="\xff.md"\r\n\r\ntext\r\n--x--\r\n',
        b"--x\r\n" + b"A: " + b"b" * 20000 + b"\r\n\r\ntext\r\n--x--\r\n",
        b"--x--\r\n",
    ],
)
def test_a_form_that_is_broken_leaves_nothing(tmp_path: Path, body: bytes) -> None:
    with client_of(tmp_path) as client:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        response = client.post("/v1/datasets/d/ingest", params={"label": "l"}, content=body, headers=headers)
        assert response.status_code == 422 and response.json()["code"] == "invalid_upload", response.text
        assert not os.listdir(tmp_path / "state/jobs")


def test_a_large_file_comes_through_whole(tmp_path: Path) -> None:
    data = "".join(f"# Part {i}\n\ntext {i}\n\n" for i in range(60_000)).encode()
    with client_of(tmp_path) as client:
        job = ended(client, files(client, {"large.md": data}).json()["id"])
        assert job["state"] == "succeeded", job["error"]
        folder = tmp_path / "same"
        folder.mkdir()
        (folder / "large.md").write_bytes(data)
        docs = vecver.open(tmp_path / "kb").dataset("d")
        assert not docs.ingest(folder, label="up").changed


def test_json_is_no_way_to_send_an_upload(tmp_path: Path) -> None:
    """177 MB of it took 3.2 GB of memory, and nobody was answered for 10 s."""
    documents = [{"id": f"doc-{i}", "text": "some text"} for i in range(100)]
    with client_of(tmp_path, max_body=2000) as client:
        query = {"label": "l", "embedder": "hashing"}
        told = client.post("/v1/datasets/d/ingest", params=query, json={"documents": documents})
        assert (told.status_code, told.json()["code"]) == (413, "too_large") and "ndjson" in told.json()["hint"]
        lines = "".join(json.dumps(one) + "\n" for one in documents).encode()
        headers = {"content-type": "application/x-ndjson"}
        assert client.post("/v1/datasets/d/ingest", params=query, content=lines, headers=headers).status_code == 202


def test_a_line_of_an_upload_is_no_longer_than_a_body(tmp_path: Path) -> None:
    """One of 95 MB took 4 GB of memory, and nobody was answered for 20 s."""
    rows = [json.dumps({"id": f"doc-{i}", "text": "x" * 1000}).encode() for i in range(200)]
    with client_of(tmp_path, max_body=2000) as client:
        query, headers = {"label": "l", "embedder": "hashing"}, {"content-type": "application/x-ndjson"}
        long = json.dumps({"id": "long", "text": "y" * 2000}).encode()
        for lines, status in ((rows, 202), ([*rows, long], 413), ([long, *rows], 413), ([rows[0], long, rows[1]], 413)):
            body = b"\n".join(lines)
            for pieces in (body, (body[at : at + 700] for at in range(0, len(body), 700))):
                told = client.post("/v1/datasets/d/ingest", params=query, content=pieces, headers=headers)
                assert told.status_code == status, (status, told.text)
        assert told.json()["code"] == "too_large" and "VECVER_MAX_BODY" in told.json()["hint"]
        jobs = {job["id"] for job in client.get("/v1/jobs").json()["jobs"]}
        assert len(jobs) == 2 and set(os.listdir(tmp_path / "state/jobs")) <= jobs


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


def test_a_folder_is_allowed_when_its_job_runs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was replaced by a link meanwhile leads elsewhere."""
    allowed, secret = tmp_path / "allowed", tmp_path / "secret"
    for folder in (allowed / "docs", secret):
        folder.mkdir(parents=True)
        (folder / "a.md").write_text(f"# {folder.name}\n\ntext")
    body, query = {"folder": str(allowed / "docs")}, {"embedder": "hashing"}
    with client_of(tmp_path, folders=(str(allowed),)) as client:
        job = ended(client, client.post("/v1/datasets/d/ingest", json=body, params=query).json()["id"])
        assert job["state"] == "succeeded" and job["result"]["names"]["added"] == ["a.md"]
        real = Jobs.next

        def replaced(jobs: Jobs) -> Any:
            if (allowed / "docs").is_dir() and not (allowed / "docs").is_symlink():
                (allowed / "docs").rename(tmp_path / "old")
                (allowed / "docs").symlink_to(secret)
            return real(jobs)

        monkeypatch.setattr(Jobs, "next", replaced)
        job = ended(client, client.post("/v1/datasets/d/ingest", json=body, params=query).json()["id"])
        assert job["state"] == "failed" and job["error"]["code"] == "folder_not_allowed"


def test_uploads_that_were_never_finished_go_after_a_day(jobs: Jobs) -> None:
    left, fresh = jobs.scratch(), jobs.scratch()
    os.utime(left, (0, 0))
    added(jobs)
    assert not left.exists() and fresh.exists()
