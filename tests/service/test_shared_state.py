"""State in a PostgreSQL that replicas share: its locks, its transactions, and what happens while it is away.

What both kinds of database promise is held by `test_job_store.py` and others over each of them.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PASSWORD, PostgresServer, postgres_running

from vecver.errors import BackendError, ConflictError, InvalidInputError, VecverError

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from vecver_service.state import postgres as postgres_room
from vecver_service.state.audit import Audit
from vecver_service.state.database import Database
from vecver_service.state.idempotency import Once
from vecver_service.state.jobs import Job, Jobs
from vecver_service.state.keys import Caller, Keys
from vecver_service.state.postgres import PostgresConnection
from vecver_service.state.postgres_address import parse
from vecver_service.state.postgres_engine import PostgresEngine


@pytest.fixture
def replica(postgres: PostgresServer, tmp_path: Path) -> Iterator[Callable[[], Database]]:
    """Opens the one database of this test as a further replica."""
    url, opened = postgres.new_database(), list[Database]()

    def open_again() -> Database:
        opened.append(Database(PostgresEngine(parse(url), tmp_path / f"replica{len(opened)}")))
        return opened[-1]

    yield open_again
    for database in opened:
        database.close()


def added(jobs: Jobs, dataset: str = "d", kind: str = "ingest") -> Job:
    return jobs.add(jobs.scratch(), dataset, kind, "alice", "k1", {"branch": "main"})


def soon(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What `holds` gives, once that is true."""
    until = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < until, "it did not come to hold"
        time.sleep(0.05)
    return value


# -- locks --------------------------------------------------------------------------------------


def test_replicas_run_one_job_of_a_dataset_at_a_time(replica: Callable[[], Database]) -> None:
    one, other = Jobs(replica(), kept=100), Jobs(replica(), kept=100)
    first, second = added(one), added(other)
    with one.next() as taken, other.next() as none, one.next() as beside:
        assert taken and taken.id == first.id and none is None and beside is None
        one.keep(Job(**{**vars(taken), "state": "succeeded"}))
    with other.next() as taken:
        assert taken and taken.id == second.id


def test_locks_of_a_killed_process_are_released(replica: Callable[[], Database], postgres: PostgresServer) -> None:
    database = replica()
    database.prepare()
    (name,) = _row(database, "SELECT current_database()")
    program = (
        "import sys, time; from pathlib import Path\n"
        "from vecver_service.state.postgres_address import parse\n"
        "from vecver_service.state.postgres_engine import PostgresEngine\n"
        f"lock = PostgresEngine(parse({postgres.url(name)!r}), Path('x')).lock('locks', 'd')\n"
        "print(lock.acquire(), flush=True); time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert process.stdout and process.stdout.readline() == b"True\n"
        lock = database.lock("locks", "d")
        assert not lock.acquire() and database.lock("locks", "e").acquire()
    finally:
        process.kill()
        process.wait()
    assert soon(lock.acquire)


def test_a_job_that_another_replica_took_is_left_to_it(replica: Callable[[], Database]) -> None:
    """The server may have dropped the connection of a process that lives, and with it the lock."""
    slow, quick = Jobs(replica(), kept=100), Jobs(replica(), kept=100)
    added(slow)
    with slow.next() as ours:
        assert ours
        slow._database.engine.close()  # releases its locks
        with quick.next() as theirs:
            assert theirs and theirs.id == ours.id
            assert slow.lost(ours) and not quick.lost(theirs)
            for write in (slow.keep, slow.requeue):
                with pytest.raises(ConflictError, match="another process has taken"):
                    write(Job(**{**vars(ours), "state": "succeeded"}))
            quick.keep(Job(**{**vars(theirs), "state": "failed"}))
    assert quick.get(ours.id).state == "failed"


# -- transactions -------------------------------------------------------------------------------


def test_transactions_of_replicas_come_one_after_the_other(replica: Callable[[], Database]) -> None:
    """Else two that read a number and write the next would write the same."""
    databases = [replica() for _ in range(3)]
    with databases[0].transaction() as connection:
        connection.execute("INSERT INTO facts VALUES ('number', '0')")

    def count(database: Database) -> None:
        for _ in range(10):
            with database.transaction(durable=False) as connection:
                (value,) = connection.execute("SELECT value FROM facts WHERE name = 'number'").fetchone()
                connection.execute("UPDATE facts SET value = ? WHERE name = 'number'", (str(int(value) + 1),))

    threads = [threading.Thread(target=count, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _row(databases[0], "SELECT value FROM facts WHERE name = 'number'") == ["30"]


def test_what_raises_inside_a_transaction_undoes_it(replica: Callable[[], Database]) -> None:
    database = replica()
    for error in (ValueError("ours"), None):
        with pytest.raises((ValueError, VecverError)), database.transaction() as connection:
            connection.execute("INSERT INTO facts VALUES ('a', 'b')")
            if error:
                raise error
            connection.execute("SELECT nothing FROM nowhere")
    assert _row(database, "SELECT count(*) FROM facts WHERE name = 'a'") == [0]


@pytest.mark.parametrize("arrives", [True, False])
def test_a_commit_whose_reply_is_lost_is_looked_up(
    arrives: bool, replica: Callable[[], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, real = replica(), PostgresConnection.execute

    def cut_off(connection: PostgresConnection, sql: str, parameters: Any = ()) -> Any:
        if sql != "COMMIT":
            return real(connection, sql, parameters)
        if arrives:
            real(connection, sql)
        connection.broken = True
        connection.close()
        raise BackendError("the network", code="state_unreachable", hint="", retryable=True)

    database.prepare()
    monkeypatch.setattr(PostgresConnection, "execute", cut_off)
    expected = contextlib.nullcontext() if arrives else pytest.raises(BackendError, match="the network")
    with expected, database.transaction() as connection:
        connection.execute("INSERT INTO facts VALUES ('a', 'b')")
    assert _row(database, "SELECT count(*) FROM facts WHERE name = 'a'") == [int(arrives)]


def test_a_parameter_that_cannot_be_sent_leaves_no_half_message(replica: Callable[[], Database]) -> None:
    """Else the next statement would get the answer of this one."""
    database = replica()
    with pytest.raises(UnicodeEncodeError), database.transaction() as connection:
        connection.execute("INSERT INTO facts VALUES ('a', ?)", ("half of a pair: \ud800",))
    assert _row(database, "SELECT count(*) FROM facts WHERE name = 'a'") == [0]


# -- a server that answers otherwise ------------------------------------------------------------


def test_a_server_that_became_read_only_is_away_and_not_damaged(replica: Callable[[], Database]) -> None:
    """After a failover the old address may lead to a server that follows the new one."""
    before = replica()
    keys = Keys(before)
    key, token = keys.add("app", ["d:read"])
    assert soon(lambda: keys.find(token)) == key
    (name,) = _row(before, "SELECT current_database()")
    _alter(before, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    database = replica()
    try:
        for act in (lambda: added(Jobs(database, kept=9)), lambda: Keys(database).add("b", ["d:read"])):
            with pytest.raises(BackendError, match="read-only") as caught:
                act()
            assert caught.value.code == "state_unreachable" and caught.value.retryable
    finally:
        _alter(before, f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    assert added(Jobs(database, kept=9)).state == "queued", "no connection of before is used again"


def test_a_session_that_an_administrator_ends_changes_nothing(replica: Callable[[], Database]) -> None:
    database, other = replica(), replica()
    with pytest.raises(BackendError) as caught, database.transaction() as connection:
        connection.execute("INSERT INTO facts VALUES ('a', 'b')")
        (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()
        _alter(other, f"SELECT pg_terminate_backend({pid})")
        soon(lambda: _row(other, f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == [0])
    assert caught.value.code == "state_unreachable" and caught.value.retryable
    assert _row(database, "SELECT count(*) FROM facts WHERE name = 'a'") == [0]


def test_a_database_that_vanished_leaves_the_keys_known(
    replica: Callable[[], Database], postgres: PostgresServer
) -> None:
    database = replica()
    keys = Keys(database)
    key, token = keys.add("app", ["d:read"])
    assert soon(lambda: keys.find(token)) == key and soon(database.engine.keys_version)
    keys.find(token)
    (name,) = _row(database, "SELECT current_database()")
    other = Database(PostgresEngine(parse(postgres.new_database()), database.folder))
    _alter(other, f'DROP DATABASE "{name}" WITH (FORCE)')
    assert soon(lambda: not database.reachable()) and keys.find(token) == key
    with pytest.raises(BackendError) as caught:
        keys.add("b", ["d:read"])
    assert caught.value.code in ("state_refused", "state_unreachable")
    other.close()


def test_a_user_that_owns_the_schema_alone_is_enough(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.new_database()
    owner = Database(PostgresEngine(parse(url), tmp_path))
    name = url.rpartition("/")[2]
    for statement in (
        f"CREATE ROLE {name}_app LOGIN PASSWORD 'pw'",
        f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC',
        f'GRANT CONNECT ON DATABASE "{name}" TO {name}_app',
        f"CREATE SCHEMA vecver AUTHORIZATION {name}_app",
    ):
        with contextlib.closing(owner.engine.connect()) as connection:
            connection.execute(statement)
    mine = Database(PostgresEngine(parse(f"postgresql://{name}_app:pw@127.0.0.1:{postgres.port}/{name}"), tmp_path))
    assert added(Jobs(mine, kept=9)).state == "queued"
    mine.close()


def test_a_connection_brings_no_settings_that_a_pooler_refuses(replica: Callable[[], Database]) -> None:
    """PgBouncer takes none but a few when a connection begins, in every mode."""
    import pg8000.dbapi

    begun: list[dict[str, Any]] = []
    real = pg8000.dbapi.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pg8000.dbapi, "connect", lambda *a, **k: begun.append(k) or real(*a, **k))
        connection = replica().engine.connect()
    assert connection.execute("SHOW search_path").fetchone() == ["vecver"]
    assert connection.execute("SHOW lock_timeout").fetchone() == ["10s"]
    assert "startup_params" not in begun[0]
    connection.close()


# -- an absent server ---------------------------------------------------------------------------


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that this test may stop."""
    with postgres_running() as server:
        yield server


def test_a_server_that_goes_and_comes(own_server: PostgresServer, tmp_path: Path, caplog: Any) -> None:
    url = own_server.new_database()
    one, other = (Database(PostgresEngine(parse(url), tmp_path / name)) for name in "ab")
    jobs, keys, audit, once = Jobs(one, kept=9), Keys(one), Audit(one), Once(one)
    key, token = keys.add("app", ["d:read"])
    assert soon(lambda: keys.find(token)) == key
    added(jobs)
    with jobs.next() as ours:
        assert ours
        own_server.stop()
        done: list[str] = []
        for act in (
            lambda: once.do("me", "key", "asked", lambda: (200, done.append("x"))),
            lambda: audit.entry(Caller("", "me", ()), "r", "promote", "d").__enter__(),
            lambda: jobs.keep(ours),
            lambda: jobs.get(ours.id),
        ):
            with pytest.raises(BackendError) as caught:
                act()
            assert caught.value.code == "state_unreachable" and caught.value.retryable
            assert PASSWORD not in str(caught.value) and "not%3A" not in str(caught.value)
        assert not done, "nothing is written of which there would be no record"
        assert soon(lambda: not one.reachable()) and keys.find(token) == key, "callers are known meanwhile"
        own_server.start()
        soon(one.reachable)
        with Jobs(other, kept=9).next() as none:
            assert none is None, "the job is still ours"
        jobs.keep(Job(**{**vars(ours), "state": "succeeded"}))
    assert Jobs(other, kept=9).get(ours.id).state == "succeeded"
    assert once.do("me", "key", "asked", lambda: (200, done.append("y"))) == (200, None) and done == ["y"]
    Keys(other).revoke(key.id)
    assert soon(lambda: keys.find(token) is None)
    assert PASSWORD not in caplog.text
    for database in (one, other):
        database.close()


class DarkNetwork:
    """Hands bytes on to a port and back; in the dark it takes what is sent, and answers nothing."""

    def __init__(self, port: int) -> None:
        self.dark = False
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one = self._listening.accept()[0]
                other = socket.create_connection(("127.0.0.1", self._to))
                for pair in ((one, other), (other, one)):
                    threading.Thread(target=self._hand_on, args=pair, daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if not self.dark:
                    target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


def test_nobody_waits_for_a_server_that_says_nothing_but_who_looks_for_it(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a few requests would hold all threads of a replica, and its searches would wait for them."""
    monkeypatch.setattr(postgres_room, "_ANSWER_SECONDS", 0.5)
    network = DarkNetwork(postgres.port)
    url = postgres.new_database().replace(f":{postgres.port}/", f":{network.port}/")
    database = Database(PostgresEngine(parse(url), tmp_path))
    keys = Keys(database)
    key, token = keys.add("app", ["d:read"])
    assert soon(lambda: keys.find(token)) == key and soon(database.engine.keys_version)
    network.dark = True
    soon(lambda: not database.reachable())
    begun = time.monotonic()
    for _ in range(20):
        with pytest.raises(BackendError) as caught:
            keys.all()
        assert caught.value.code == "state_unreachable" and keys.find(token) == key
    assert time.monotonic() - begun < 0.5
    network.dark = False
    soon(database.reachable)
    assert keys.all() == [key]
    database.close()
    network.close()


def test_a_database_that_refuses_is_named_without_its_password(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.new_database()
    for wrong, code in (
        (url.replace("vecver:not", "vecver:isnt"), "state_refused"),
        (url.replace("vecver:", "mallory:"), "state_refused"),
        (f"{url}nowhere", "state_refused"),
        (url.replace(str(postgres.port), "1"), "state_unreachable"),
        (f"{url}?sslmode=verify-full", "state_unreachable"),
    ):
        with pytest.raises(VecverError) as caught:
            Database(PostgresEngine(parse(wrong), tmp_path)).prepare()
        assert caught.value.code == code
        assert not any(part in f"{caught.value} {caught.value.hint}" for part in (PASSWORD, "isnt%3A", "not%3A"))


def test_tables_of_a_newer_vecver_stay_as_they_are(replica: Callable[[], Database]) -> None:
    database = replica()
    with database.transaction() as connection:
        connection.execute("UPDATE facts SET value = '2' WHERE name = 'version'")
    with pytest.raises(ConflictError, match="newer vecver"):
        replica().prepare()


# -- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:secret@h/d",
        "postgresql://h/d",
        "postgresql://u:secret@h:port/d",
        "postgresql://u:secret@h/d?sslmode=prefer",
        "postgresql://u:secret@h/d?sslrootcrt=/x",
        "postgresql://u:secret@h/d?sslmode",
        "postgresql://u:secret@h/d?connect_timeout=soon",
        "secret",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(url)
    assert "secret" not in str(caught.value) + str(caught.value.context)


def test_what_an_address_says() -> None:
    address = parse("postgresql://us%40er:p%2Fw@db.example:6432/name?sslmode=require&connect_timeout=2")
    assert (address.user, address.password, address.host, address.port) == ("us@er", "p/w", "db.example", 6432)
    assert (address.database, address.mode, address.connect_timeout_s) == ("name", "require", 2.0)
    assert "p/w" not in f"{address} {address!r}"
    context = parse("postgres://u@db.example/d").ssl_context()
    assert context and context.check_hostname, "another machine proves its name"
    assert parse("postgresql://u:p@127.0.0.1/d").ssl_context() is None
    assert parse("postgresql://u@/d?host=/run/postgresql").socket == "/run/postgresql/.s.PGSQL.5432"


def _row(database: Database, sql: str) -> Any:
    with database.reading() as connection:
        return connection.execute(sql).fetchone()


def _alter(database: Database, sql: str) -> None:
    with contextlib.closing(database.engine.connect()) as connection:
        connection.execute("SET default_transaction_read_only TO off")
        connection.execute(sql)
