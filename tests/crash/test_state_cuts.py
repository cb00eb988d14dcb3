"""The service's state, every write step cut off, torn and reordered: what was answered lasts, and nothing is half.

SQLite syncs its log outside of Python, where a recording does not see it: so each commit is recorded as two steps,
before and after which the log is synced. Connections stay open until a recording ends, as in a service that runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import older_state
import pytest
from disk import Recording, cuts, laid_out, recorded, unsynced
from tallies import Begin
from verbs import copied

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from vecver_service.http import uploads
from vecver_service.state import database, sqlite
from vecver_service.state.audit import Audit
from vecver_service.state.database import Database
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
    return Keys(place / "state/service.sqlite")


def keys_in_a_file(place: Path) -> Keys:
    """As VECVER_KEYS names one."""
    return Keys(place / "state/named.json")


def one_key(place: Path, keys: Callable[[Path], Keys] = keys) -> None:
    keys(place).add("first", ["*:read"])


def add_a_key(place: Path, keys: Callable[[Path], Keys] = keys) -> str:
    return keys(place).add("second", ["*:read"])[0].id


def the_key_is_there(place: Path, id: str, returned: bool, keys: Callable[[Path], Keys] = keys) -> None:
    names = [key.name for key in keys(place).all()]
    assert names == ["first", "second"] or (names == ["first"] and not returned)
    keys(place).add("third", ["*:read"])
    assert [key.name for key in keys(place).all()] == [*names, "third"]


def the_first_key_is_there(place: Path, id: str, returned: bool) -> None:
    """Its database was made with it."""
    names = [key.name for key in keys(place).all()]
    assert names == ["second"] or (not names and not returned)
    assert keys(place).needed() == bool(names)
    keys(place).add("third", ["*:read"])


def revoke_a_key(place: Path, keys: Callable[[Path], Keys] = keys) -> None:
    keys(place).revoke(keys(place).all()[0].id)


def the_key_is_gone(place: Path, _: Any, returned: bool, keys: Callable[[Path], Keys] = keys) -> None:
    assert len(keys(place).all()) <= (0 if returned else 1) and keys(place).needed()


# -- jobs -------------------------------------------------------------------------------------------


def jobs(place: Path) -> Jobs:
    return Jobs(Database(place / "state"), kept=5)


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

    return Once(Database(place / "state")).do("k1", "key", "POST /x", write)


def it_happened_once(place: Path, answer: Any, returned: bool) -> None:
    before = set((place / "marks").glob("*"))
    with suppress(ConflictError):  # whether it happened is not known
        again = once(place)
        assert not before or again == answer
        assert not returned or set((place / "marks").glob("*")) == before, "it was done twice"


def note(place: Path) -> None:
    Audit(Database(place / "state")).append(CALLER, "r1", {"action": "promote", "outcome": "done"})


def outcomes(place: Path) -> list[str]:
    return [entry["outcome"] for entry in Audit(Database(place / "state")).newest(10)]


def the_entry_is_there(place: Path, _: Any, returned: bool) -> None:
    before = outcomes(place)
    assert before == ["done"] * 2 or (before == ["done"] and not returned)
    note(place)
    assert outcomes(place) == ["done", *before]


# -- the state folder of an older vecver ------------------------------------------------------------


def move(place: Path) -> None:
    Database(place / "state").prepare()


def nothing_is_lost(place: Path, _: Any, returned: bool) -> None:
    older_state.assert_whole(place)


def _in_a_file(*steps: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    return (partial(step, keys=keys_in_a_file) for step in steps)


CASES = {
    "key add": Case(add_a_key, the_key_is_there, one_key),
    "first key add": Case(add_a_key, the_first_key_is_there),
    "key revoke": Case(revoke_a_key, the_key_is_gone, one_key),
    "key add, in a file": Case(*_in_a_file(add_a_key, the_key_is_there, one_key)),
    "key revoke, in a file": Case(*_in_a_file(revoke_a_key, the_key_is_gone, one_key)),
    "queue a job": Case(queue, the_job_is_whole),
    "queue a job beside another": Case(queue, the_job_is_whole, lambda place: [queue(place), finish(place)]),
    "end a job": Case(finish, the_job_ended_or_is_done, queue),
    "cancel a job": Case(cancel, the_job_is_cancelled_or_waits, queue),
    "a write that happens once": Case(once, it_happened_once),
    "audit": Case(note, the_entry_is_there, note),
    "move an older state folder": Case(move, nothing_is_lost, older_state.copy),
}


@contextmanager
def recorded_commits(root: Path) -> Iterator[Recording]:
    """Record what happens to a folder, with the commits of its database."""
    commit, open_pools = sqlite.commit, list[Any]()

    def committed(connection: Any) -> None:
        durable = connection.execute("PRAGMA synchronous").fetchone()[0] == 2
        log = Path(connection.execute("PRAGMA database_list").fetchone()[2] + "-wal").relative_to(root.resolve())
        recording.look(f"commit {log}")
        commit(connection)
        if durable:
            recording.look(f"fsync {log}", log.as_posix())
            recording.look(f"fsync {log.parent}", log.parent.as_posix())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "commit", committed)
        patch.setattr(database, "_close", open_pools.append)
        with recorded(root) as recording:
            yield recording
    for pool in open_pools:
        database._close(pool)


@pytest.mark.parametrize("name", CASES)
def test_every_cut_of_the_state(name: str, place: Path, tally: Begin) -> None:
    case, line = CASES[name], tally(f"{name}, cut off")
    (place / "made").mkdir()
    case.before(place / "made")
    work = copied(place / "made", place / "work")
    with recorded_commits(work) as recording:
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
