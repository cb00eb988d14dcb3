"""The records of jobs: order, taking, cancelling, damaged records, and what a full disk leaves."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from vecver.errors import ConflictError, IntegrityError, NotFoundError

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from vecver_service.state import jobs as room
from vecver_service.state import sqlite
from vecver_service.state.database import Database
from vecver_service.state.jobs import Job, Jobs


@pytest.fixture
def jobs(open_database: Callable[[], Database]) -> Jobs:
    """Jobs in a database of each kind."""
    return Jobs(open_database(), kept=5)


@pytest.fixture
def jobs_on_disk(tmp_path: Path) -> Jobs:
    return Jobs(Database(tmp_path / "state"), kept=5)


def added(jobs: Jobs, dataset: str = "d", kind: str = "ingest") -> Job:
    return jobs.add(jobs.scratch(), dataset, kind, "alice", "k1", {"branch": "main"})


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
    if "\x00" in record and jobs.shared:
        pytest.skip("PostgreSQL stores no such text")
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


def test_a_job_is_on_the_disk_before_its_caller_is_answered(
    jobs_on_disk: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its upload first; what a power cut may undo is progress alone."""
    jobs = jobs_on_disk
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


def test_a_job_that_cannot_be_written_is_not_there(jobs_on_disk: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = jobs_on_disk

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


def test_uploads_that_were_never_finished_go_after_a_day(jobs: Jobs) -> None:
    left, fresh = jobs.scratch(), jobs.scratch()
    os.utime(left, (0, 0))
    added(jobs)
    assert not left.exists() and fresh.exists()
