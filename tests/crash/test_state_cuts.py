"""The service's state, every write step cut off, torn and reordered: what was answered lasts, and nothing is half."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from disk import cuts, laid_out, recorded, unsynced
from tallies import Begin
from verbs import copied

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from vecver_service.http import uploads
from vecver_service.state.audit import Audit
from vecver_service.state.idempotency import Once
from vecver_service.state.jobs import Jobs
from vecver_service.state.keys import Caller, Keys

from vecver.errors import ConflictError, NotFoundError

CALLER = Caller("k1", "alice", ("*:admin",))
DOCUMENTS = [{"id": f"d{i}", "text": f"text {i}"} for i in range(50)]


@dataclass(frozen=True)
class Case:
    """Something that the service writes below a folder."""

    act: Callable[[Path], Any]
    holds: Callable[[Path, Any, bool], None]  # what must hold after a cut, with what `act` gave, and whether it had
    before: Callable[[Path], Any] = lambda place: None


# -- keys -------------------------------------------------------------------------------------------


def keys(place: Path) -> Keys:
    return Keys(place / "state/keys.json")


def one_key(place: Path) -> None:
    keys(place).add("first", ["*:read"])


def add_a_key(place: Path) -> str:
    return keys(place).add("second", ["*:read"])[0].id


def the_key_is_there(place: Path, id: str, returned: bool) -> None:
    found = [key.name for key in keys(place).all()]
    assert found == ["first", "second"] or (found == ["first"] and not returned)
    keys(place).add("third", ["*:read"])
    assert [key.name for key in keys(place).all()] == [*found, "third"]


def revoke_a_key(place: Path) -> None:
    keys(place).revoke(keys(place).all()[0].id)


def the_key_is_gone(place: Path, _: Any, returned: bool) -> None:
    assert len(keys(place).all()) <= (0 if returned else 1) and keys(place).needed()


# -- jobs -------------------------------------------------------------------------------------------


def jobs(place: Path) -> Jobs:
    return Jobs(place / "state", kept=5)


def queue(place: Path) -> str:
    """As a request does that brings documents."""
    here = jobs(place)
    folder = here.scratch()
    uploads.records(DOCUMENTS, folder / "input")
    (folder / "input/files/deep").mkdir(parents=True)
    (folder / "input/files/deep/a.md").write_text("# A\n")
    return here.add(folder, "d", "ingest", "alice", "k1", {}).id


def the_job_is_whole(place: Path, id: str, returned: bool) -> None:
    """It is not there, or with all that was uploaded for it."""
    here = jobs(place)
    with here.next() as job:
        assert job or not returned, "a job that was promised is lost"
        if job:
            assert job.id == id and job.state == "queued"
            lines = (here.input(job) / uploads.RECORDS).read_text().splitlines()
            assert len(lines) == len(DOCUMENTS), "a part of the upload is lost"
            assert (here.input(job) / "files/deep/a.md").read_text() == "# A\n"
            here.keep(replace(job, state="succeeded"))
    with jobs(place).next() as then:
        assert then is None


def finish(place: Path) -> str:
    here = jobs(place)
    with here.next() as job:
        assert job
        here.keep(replace(job, state="running", attempts=1))
        here.keep(replace(job, state="succeeded", attempts=1))
        return job.id


def the_job_ended_or_is_done(place: Path, id: str, returned: bool) -> None:
    """One that has not ended is taken again, with its upload."""
    here = jobs(place)
    with here.next() as job:
        ended = here.get(id).state == "succeeded"
        assert ended or not returned
        assert ended == (job is None)
        assert job is None or len((here.input(job) / uploads.RECORDS).read_text().splitlines()) == len(DOCUMENTS)


def cancel(place: Path) -> str:
    (id,) = (job.id for job in jobs(place).all())
    return jobs(place).cancel(id).id


def the_job_is_cancelled_or_waits(place: Path, id: str, returned: bool) -> None:
    """Whoever takes it sees that it is cancelled, or has all that was uploaded for it."""
    here = jobs(place)
    with here.next() as job:
        assert job or here.get(id).state == "cancelled"
        wanted = job is not None and not here.cancelled(job)
        assert not wanted or not returned, "it is not cancelled any more"
        assert not job or not wanted or (here.input(job) / uploads.RECORDS).read_bytes()


# -- writes that happen once, and the audit log -----------------------------------------------------


def once(place: Path) -> Any:
    """A write that leaves a mark of its own each time."""

    def write() -> tuple[int, Any]:
        marks = place / "marks"
        marks.mkdir(exist_ok=True)
        (marks / str(len(list(marks.iterdir())))).touch()
        return 200, {"mark": len(list(marks.iterdir()))}

    return Once(place / "state/once").do("k1", "key", "POST /x", write)


def it_happened_once(place: Path, answer: Any, returned: bool) -> None:
    before = set((place / "marks").glob("*"))
    with suppress(ConflictError):  # whether it happened is not known
        again = once(place)
        assert not before or again == answer
        assert not returned or set((place / "marks").glob("*")) == before, "it was done twice"


def note(place: Path) -> None:
    Audit(place / "state/audit.jsonl").append(CALLER, "r1", {"action": "promote", "outcome": "done"})


def noted_before(place: Path) -> None:
    (place / "state").mkdir()
    note(place)


def the_entry_is_there(place: Path, _: Any, returned: bool) -> None:
    """All lines but one that broke off can be read, and the next begins a line of its own."""
    found = [one["outcome"] for one in Audit(place / "state/audit.jsonl").newest(10)]
    assert found.count("done") >= (2 if returned else 1)
    note(place)
    assert [one["outcome"] for one in Audit(place / "state/audit.jsonl").newest(10)] == ["done", *found]


CASES = {
    "key add": Case(add_a_key, the_key_is_there, one_key),
    "key revoke": Case(revoke_a_key, the_key_is_gone, one_key),
    "queue a job": Case(queue, the_job_is_whole),
    "queue a job beside another": Case(queue, the_job_is_whole, lambda place: [queue(place), finish(place)]),
    "end a job": Case(finish, the_job_ended_or_is_done, queue),
    "cancel a job": Case(cancel, the_job_is_cancelled_or_waits, queue),
    "a write that happens once": Case(once, it_happened_once),
    "audit": Case(note, the_entry_is_there, noted_before),
}


@pytest.mark.parametrize("name", CASES)
def test_every_cut_of_the_state(name: str, place: Path, tally: Begin) -> None:
    case, line = CASES[name], tally(f"{name}, cut off")
    (place / "made").mkdir()
    case.before(place / "made")
    work = copied(place / "made", place / "work")
    with recorded(work) as recording:
        given = case.act(work)
    with unsynced():
        for cut in cuts(recording):
            left = laid_out(cut.disk, place / "left")
            (left / "state").mkdir(exist_ok=True)
            line.attempt(f"{name}: {cut}", partial(case.holds, left, given, cut.returned))
            shutil.rmtree(left)


def test_a_job_that_was_never_promised_is_none(place: Path) -> None:
    with pytest.raises(NotFoundError):
        jobs(place).get("20260101T000000000000-000000000000")
