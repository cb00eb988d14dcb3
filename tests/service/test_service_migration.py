"""State folders that this vecver did not write: of an older one, of a newer one, damaged, in use, or incomplete."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Any

import older_state
import pytest
from click.testing import CliRunner
from filelock import FileLock
from older_state import EXPECTED, id_of

import vecver
from vecver.cli import main
from vecver.errors import ConflictError, IntegrityError, VecverError

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from fastapi.testclient import TestClient
from serving import ended
from vecver_service.app import create_app
from vecver_service.settings import ServiceSettings
from vecver_service.state import migration, older_files
from vecver_service.state.audit import Audit
from vecver_service.state.database import Database
from vecver_service.state.idempotency import Once
from vecver_service.state.jobs import Jobs
from vecver_service.state.key_file import KeyFile
from vecver_service.state.keys import Caller, Keys

Json = dict[str, Any]
OWNER = {"authorization": f"Bearer {EXPECTED['token']}"}


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A folder with the golden repository `kb`, and `state` as an older vecver left it."""
    older_state.copy(tmp_path)
    return tmp_path


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The same for a state folder with a database, and keys in it."""
    older_state.copy(tmp_path)
    Database(tmp_path / "state").prepare()
    return tmp_path


def app_of(place: Path, **settings: Any) -> Any:
    return create_app(vecver.open(place / "kb"), ServiceSettings(state=str(place / "state"), **settings))


def contents(folder: Path) -> dict[str, bytes]:
    """Path -> bytes of every file but locks."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "lock" not in path.as_posix())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def opened(place: Path) -> list[Callable[[], Any]]:
    """The ways in which a state folder is opened."""
    run = lambda *words: CliRunner().invoke(main, words, catch_exceptions=False)  # noqa: E731
    named = {"VECVER_REPO": str(place / "kb"), "VECVER_STATE": str(place / "state")}

    def command(*words: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in named.items():
                patch.setenv(name, value)
            outcome = run(*words)
        assert outcome.exit_code in (4, 5) and "error: " in outcome.output, outcome.output
        kind = ConflictError if outcome.exit_code == 4 else IntegrityError
        raise kind(" ".join(outcome.output.split()), code="", hint="")

    return [
        lambda: app_of(place),
        lambda: Keys(place / "state/service.sqlite").add("new", ["*:read"]),
        lambda: command("serve", "--port", "1"),
        lambda: command("key", "add", "new", "--scope", "*:read"),
    ]


# -- an older one -----------------------------------------------------------------------------------


def test_all_that_an_older_service_kept_works(older: Path) -> None:
    with TestClient(app_of(older)) as client:
        assert client.get("/v1").status_code == 401, "it is as closed as before"
        reader = {"authorization": f"Bearer {EXPECTED['reader_token']}"}
        assert client.get("/v1/datasets/d", headers=reader).status_code == 200
        assert client.get("/v1/audit", headers=reader).status_code == 403
        client.headers.update(OWNER)
        assert client.get(f"/v1/jobs/{id_of('finished')}").json() == EXPECTED["finished"]
        assert client.get(f"/v1/jobs/{id_of('cancelled')}").json()["state"] == "cancelled"
        waited, interrupted = (ended(client, id_of(name)) for name in ("waiting", "running"))
        assert (waited["state"], waited["attempts"], waited["result"]["documents"]["added"]) == ("succeeded", 1, 2)
        assert (interrupted["state"], interrupted["attempts"]) == ("succeeded", 2) and interrupted["notes"]
        old = client.get("/v1/audit").json()["entries"][-len(EXPECTED["audit"]) - 1 :]
        assert (old[0]["outcome"], old[1:]) == ("unreadable", EXPECTED["audit"])


def test_a_request_that_an_older_service_answered_is_answered_again(older: Path) -> None:
    with TestClient(app_of(older), headers=OWNER) as client:
        moves = client.get("/v1/datasets/d/aliases/prod/moves").json()
        named = {"idempotency-key": "promote"}
        again = client.post("/v1/datasets/d/promote", json={"alias": "prod"}, headers=named)
        assert (again.status_code, again.json()) == (201, EXPECTED["promoted"])
        assert client.get("/v1/datasets/d/aliases/prod/moves").json() == moves
        query, typed = {"label": "texts", "embedder": "hashing"}, {"content-type": "application/x-ndjson"}
        for body, answer in ((older_state.RECORDS, EXPECTED["first"]), (b'{"id": "c", "text": "three"}', None)):
            sent = {**typed, "idempotency-key": "first"}
            told = client.post("/v1/datasets/d/ingest", params=query, content=body, headers=sent)
            assert told.json() == answer or (answer is None and told.json()["code"] == "key_reused")
    once = Once(Database(older / "state"))
    with pytest.raises(ConflictError) as caught:
        once.do(EXPECTED["key"], "unknown", '["POST"]', lambda: pytest.fail("its outcome is unknown"))
    assert caught.value.code == "outcome_unknown"


def test_the_files_of_an_older_service_are_kept(older: Path) -> None:
    app_of(older)
    older_state.assert_whole(older)
    names = {path.name for path in (older / "state").iterdir()}
    assert not names & {"audit.jsonl", "once", "waiting", "taken", "given-up"}
    assert (older / "state/service.sqlite").stat().st_mode & 0o077 == 0


def test_records_that_an_older_service_left_damaged_are_kept_as_they_are(older: Path) -> None:
    (older / "state/jobs" / id_of("finished") / "job.json").write_bytes(b'{"id": "\xff')
    for answer in (older / "state/once").glob("?" * 64):
        answer.write_bytes(b"{")
    jobs = Jobs(Database(older / "state"), kept=100)
    with pytest.raises(IntegrityError, match=id_of("finished")):
        jobs.get(id_of("finished"))
    assert len(list(jobs.all())) == 3
    with pytest.raises(ConflictError) as caught:
        Once(Database(older / "state")).do(EXPECTED["key"], "promote", "x", lambda: pytest.fail("it may have happened"))
    assert caught.value.code == "outcome_unknown"
    assert (older / "state/before-sqlite/jobs" / id_of("finished") / "job.json").read_bytes() == b'{"id": "\xff'


def test_keys_are_listed_without_a_move_and_a_new_one_moves_them(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older service may still run, and would refuse its callers once the keys have moved."""
    monkeypatch.setenv("VECVER_REPO", str(older / "kb"))
    monkeypatch.setenv("VECVER_STATE", str(older / "state"))
    before = contents(older / "state")
    listed = json.loads(CliRunner().invoke(main, ["key", "list", "--json"]).stdout)
    assert [key["id"] for key in listed] == [EXPECTED["key"], EXPECTED["reader"]]
    assert contents(older / "state") == before
    made = CliRunner().invoke(main, ["key", "add", "new", "--scope", "d:read"])
    assert made.exit_code == 0 and Keys(older / "state/service.sqlite").find(made.stdout.strip())
    older_state.assert_kept(older)


def test_an_older_vecver_finds_no_keys_that_it_can_read_and_so_opens_nothing(newer: Path) -> None:
    moved = json.loads((newer / "state/keys.json").read_text())
    assert "keys" not in moved, "it would read that nobody needs a key"
    assert moved["moved_to"] == "service.sqlite"


@pytest.mark.parametrize("lock", ["locks/d", "once", "keys.json.lock"])
def test_an_older_vecver_that_is_at_work_is_not_disturbed(older: Path, lock: str) -> None:
    if lock == "once":
        lock = next((older / "state/once").glob("*.lock")).relative_to(older / "state").as_posix()
    before = contents(older / "state")
    with FileLock(older / "state" / lock):
        for act in opened(older):
            with pytest.raises(ConflictError, match="an older vecver is at work"):
                act()
    assert contents(older / "state") == before
    app_of(older)
    older_state.assert_whole(older)


def work_as_an_older_vecver(state: Path) -> str:
    """Revoke the reader's key, make one, end a job, queue one, answer, and log; return the new key's token."""
    path = state / "keys.json"
    if KeyFile(path).get(EXPECTED["reader"]):
        KeyFile(path).remove(EXPECTED["reader"])
    token = Keys(path).add("late", ["*:read"])[1]
    for id, change in ((id_of("waiting"), {"state": "failed"}), (LATE, {"id": LATE, "state": "queued"})):
        kept = next(path for path in state.rglob(f"{id_of('waiting')}/job.json"))
        (state / "jobs" / id / "input").mkdir(parents=True, exist_ok=True)
        (state / "jobs" / id / "job.json").write_text(json.dumps(json.loads(kept.read_text()) | change))
    (state / "once").mkdir(exist_ok=True)
    (state / "once" / ("0" * 64)).write_text(json.dumps({"asked": "x", "status": 201, "body": {}}))
    with (state / "audit.jsonl").open("a") as file:
        file.write('{"action": "late"}\n')
    return token


LATE = "20261126T000000000000-0123456789ab"


def assert_late_work_is_kept(place: Path, token: str) -> None:
    """What the older vecver did is in the database, once."""
    database = Database(place / "state")
    jobs, keys = Jobs(database, kept=100), Keys(database)
    assert keys.find(token) and keys.needed()
    assert jobs.get(LATE).state == "queued"
    assert [entry["action"] for entry in Audit(database).newest(1)] == ["late"]
    with database.reading() as connection:
        assert connection.execute("SELECT status FROM answers WHERE id = ?", ("0" * 64,)).fetchone() == (201,)
        (entries,) = connection.execute("SELECT count(*) FROM audit").fetchone()
    assert entries == len(EXPECTED["audit"]) + 2
    older = [name for name in ("audit.jsonl", "once", "waiting") if (place / "state" / name).exists()]
    assert not older and KeyFile(place / "state/keys.json").moved_to()


def test_what_an_older_vecver_does_after_a_move_that_was_killed_is_read(
    older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The move is killed when the database is in place, the operator goes back, works, and upgrades again."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(migration, "_set_aside", stopped)
        Database(older / "state").prepare()
    token = work_as_an_older_vecver(older / "state")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(migration, "_set_aside", stopped)
        Database(older / "state").prepare()
    assert_late_work_is_kept(older, token)
    keys = Keys(older / "state/service.sqlite")
    assert keys.find(EXPECTED["reader_token"]) is None, "it was revoked"
    assert keys.find(EXPECTED["token"])
    assert Jobs(Database(older / "state"), kept=100).get(id_of("waiting")).state == "failed"


def test_what_an_older_vecver_does_while_its_files_are_read_is_read(
    older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is idle when the move begins, so that it holds no lock."""
    read, tokens = older_files.read, list[str]()

    def read_then_work(*arguments: Any, **options: Any) -> None:
        read(*arguments, **options)
        if not tokens:
            tokens.append(work_as_an_older_vecver_that_holds_no_lock(older / "state"))

    monkeypatch.setattr(older_files, "read", read_then_work)
    Database(older / "state").prepare()
    assert_late_work_is_kept(older, tokens[0])


def work_as_an_older_vecver_that_holds_no_lock(state: Path) -> str:
    """The same while the move holds the lock of the keys."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vecver_service.state.key_file.FileLock", lambda path: nullcontext())
        return work_as_an_older_vecver(state)


def test_what_an_older_vecver_does_after_the_move_is_read_at_the_next_start(newer: Path) -> None:
    """With --no-auth it goes on; keys revoked since stay revoked, and no job that has ended runs again."""
    Keys(newer / "state/service.sqlite").revoke(EXPECTED["key"])
    jobs = Jobs(Database(newer / "state"), kept=100)
    jobs.cancel(id_of("waiting"))
    kept = (newer / "state/before-sqlite/keys.json").read_text()
    (newer / "state/keys.json").write_text(kept)  # an operator copied it back
    token = work_as_an_older_vecver(newer / "state")
    assert_late_work_is_kept(newer, token)
    assert Keys(newer / "state/service.sqlite").find(EXPECTED["token"]) is None
    assert jobs.get(id_of("waiting")).state == "cancelled"
    assert (newer / "state/before-sqlite/audit.jsonl+").read_text() == '{"action": "late"}\n'


def stopped(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_a_file_of_keys_that_vecver_keys_names_stays_json(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its operator's tool writes it again; a key that is missing then is revoked, also after a restart."""
    path = older / "state/keys.json"
    before, named = path.read_bytes(), {"keys": str(path)}
    with TestClient(app_of(older, **named), headers=OWNER) as client:
        assert client.get("/v1").status_code == 200
    assert path.read_bytes() == before and not (older / "state/before-sqlite/keys.json").exists()
    KeyFile(path).remove(EXPECTED["key"])
    for _ in range(2):
        with TestClient(app_of(older, **named), headers=OWNER) as client:
            assert client.get("/v1").status_code == 401
    assert "moved_to" not in json.loads(path.read_text())


def test_keys_that_an_older_vecver_left_damaged_stop_the_move(older: Path) -> None:
    (older / "state/keys.json").write_text('{"keys": ')
    before = contents(older / "state")
    for act in opened(older):
        with pytest.raises(IntegrityError, match=r"keys\.json"):
            act()
    assert contents(older / "state") == before


def test_a_service_that_shares_the_keys_of_another_follows_them(older: Path) -> None:
    shared = Keys(older / "state/keys.json")
    assert shared.find(EXPECTED["token"])
    app_of(older)
    assert shared.find(EXPECTED["token"]) and shared.needed()
    Keys(older / "state/service.sqlite").revoke(EXPECTED["key"])
    assert shared.find(EXPECTED["token"]) is None
    assert shared.add("new", ["*:read"])[0] in Keys(older / "state/service.sqlite").all()


# -- a newer one, a damaged one ---------------------------------------------------------------------


def test_a_folder_of_a_newer_vecver_stays_as_it_is(newer: Path) -> None:
    with closing(sqlite3.connect(newer / "state/service.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 2")
    (newer / "state/keys.json").unlink()  # it may keep its files differently
    (newer / "state/audit.jsonl").touch()
    before = contents(newer / "state")
    for act in opened(newer):
        with pytest.raises(ConflictError, match="newer vecver") as caught:
            act()
        assert "service.sqlite" in str(caught.value) and contents(newer / "state") == before


def test_a_database_whose_checkpoint_was_cut_off_is_read_with_its_log(newer: Path, tmp_path: Path) -> None:
    """After kill -9 in a checkpoint the first page is new and later ones, that it counts, are only in the log."""
    service, left = Database(newer / "state"), tmp_path / "left"
    for _ in range(50):
        Audit(service).append(Caller("k", "alice", ()), "r", {"action": "tag", "name": "n" * 3000})
    shutil.copytree(newer / "state", left)
    log, first = (left / "service.sqlite-wal").read_bytes(), b""
    for start in range(32, len(log), 24 + 4096):
        if int.from_bytes(log[start : start + 4], "big") == 1:
            first = log[start + 24 : start + 24 + 4096]
    with (left / "service.sqlite").open("r+b") as file:
        file.write(first)
    entries = Audit(Database(left)).newest(100)
    assert len(entries) == 50 + len(EXPECTED["audit"]) + 1 and entries[0]["by"] == "alice"


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 5000], ids=len)
def test_a_database_that_is_none_is_named_and_stays(newer: Path, content: bytes) -> None:
    (newer / "state/service.sqlite").write_bytes(content)
    before = contents(newer / "state")
    for act in opened(newer):
        with pytest.raises(IntegrityError, match=r"service\.sqlite is damaged"):
            act()
    assert contents(newer / "state") == before


def test_a_database_of_something_else_is_none_of_ours(newer: Path) -> None:
    (newer / "state/service.sqlite").unlink()
    with closing(sqlite3.connect(newer / "state/service.sqlite")) as connection:
        connection.execute("CREATE TABLE keys (id)")
    with pytest.raises(IntegrityError, match="is not a database that vecver made"):
        app_of(newer)


def test_damaged_pages_are_told_by_every_request_that_needs_them(newer: Path) -> None:
    path = newer / "state/service.sqlite"
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    with TestClient(app_of(newer), headers=OWNER) as client:
        told = client.get("/v1/jobs")
        assert (told.status_code, told.json()["code"], told.json()["category"]) == (
            500,
            "state_damaged",
            "IntegrityError",
        )
        assert str(newer) not in told.text and "restore" in told.json()["hint"]
    assert path.read_bytes()[4096:] == b"\xff" * (len(data) - 4096)


def test_a_database_that_is_lost_does_not_open_the_service(newer: Path) -> None:
    """Without it there would be no keys, and whoever asks on this machine could do everything."""
    (newer / "state/service.sqlite").unlink()
    for act in [*opened(newer), lambda: Keys(newer / "state/service.sqlite").needed()]:
        with pytest.raises(IntegrityError, match=r"service\.sqlite is missing"):
            act()
    assert not (newer / "state/service.sqlite").exists()


def test_a_database_that_another_program_locks_is_told_and_then_used(
    newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecver_service.state.sqlite.WAIT_SECONDS", 0.1)
    audit = Audit(Database(newer / "state"))
    with closing(sqlite3.connect(newer / "state/service.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(VecverError) as caught:
            audit.append(Caller("k", "alice", ()), "r", {"action": "tag"})
        assert caught.value.code == "audit_failed" and "state_busy" in repr(caught.value.__cause__.code)  # type: ignore[union-attr]
        jobs = Jobs(Database(newer / "state"), kept=10)
        with pytest.raises(VecverError) as caught, suppress(OSError):
            jobs.cancel(id_of("waiting"))
        assert caught.value.code == "state_busy" and caught.value.context["retryable"]
        assert jobs.get(id_of("waiting")).state == "queued", "reading does not wait"
        other.execute("ROLLBACK")
    assert jobs.cancel(id_of("waiting")).state == "cancelled"
