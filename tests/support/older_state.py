"""The golden state folder of a service that kept its state in files, and that nothing of it is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from paths import GOLDEN

Json = dict[str, Any]
STATE_V1 = GOLDEN / "state_v1"
EXPECTED: Json = json.loads((STATE_V1 / "expected.json").read_text("utf-8"))
RECORDS = b'{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n'  # the upload of each job
JOBS = {"finished": "succeeded", "running": "running", "waiting": "queued", "cancelled": "cancelled"}


def copy(place: Path) -> None:
    """Lay the golden below a folder: `kb`, and `state` as a service left it that was killed."""
    shutil.copytree(STATE_V1, place, dirs_exist_ok=True)
    for folder in (place / "state/jobs").glob("*/input"):
        (folder / ".git").write_text("left out of the golden: Git does not take it")


def id_of(name: str) -> str:
    """The id of a job of the golden."""
    job = EXPECTED[name]
    return str(job["id"] if isinstance(job, dict) else job)


def assert_whole(place: Path) -> None:
    """Open the state folder: all that the golden had is there, and the files that it had are kept."""
    from vecver_service.state.audit import Audit
    from vecver_service.state.database import Database
    from vecver_service.state.jobs import Jobs
    from vecver_service.state.keys import Keys

    database = Database(place / "state")
    jobs = Jobs(database, kept=1000)
    assert {name: jobs.get(id_of(name)).state for name in JOBS} == JOBS
    assert len(list(jobs.all())) == len(JOBS)
    assert jobs.get(id_of("finished")).to_json() == EXPECTED["finished"]
    for name in ("running", "waiting"):
        assert (jobs.input(jobs.get(id_of(name))) / "records.jsonl").read_bytes() == RECORDS
    assert Audit(database).newest(100)[1:] == EXPECTED["audit"]
    _assert_keys(Keys(database))
    _assert_answers(database)
    assert_kept(place)


def _assert_keys(keys: Any) -> None:
    assert [key.id for key in keys.all()] == [EXPECTED["key"], EXPECTED["reader"]] and keys.needed()
    assert keys.find(EXPECTED["token"]).id == EXPECTED["key"]
    assert keys.find(EXPECTED["reader_token"]).scopes == ("d:read",)


def _assert_answers(database: Any) -> None:
    with database.reading() as connection:
        rows = connection.execute("SELECT status, body FROM answers ORDER BY status").fetchall()
    assert [status for status, _ in rows] == [None, 201, 202, 202, 202, 202]
    assert json.loads(rows[1][1]) == EXPECTED["promoted"]


def assert_kept(place: Path) -> None:
    """Every file of the old form is in `before-sqlite`, byte for byte."""
    golden, kept = STATE_V1 / "state", place / "state/before-sqlite"
    for path in golden.rglob("*"):
        name = path.relative_to(golden)
        if (
            path.is_file()
            and name.parts[0] not in ("locks", "repository", "keys.json.lock")
            and "input" not in name.parts
        ):
            assert (kept / name).read_bytes() == path.read_bytes(), name
            moved = place / "state" / name
            assert not moved.exists() or name == Path("keys.json"), name
