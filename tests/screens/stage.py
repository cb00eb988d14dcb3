"""A play of commands on a terminal: a repository with a past, a fixed clock, and a process that runs the commands.

    python stage.py FOLDER '[["log", "handbook"], ...]'     # runs them in FOLDER, each behind a mark

The commands run one after the other in one process, so that the three forms of all screens take seconds, not minutes.
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from fcntl import ioctl
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
MARK = "\x02"  # before each command
ROWS = 500  # lines of the terminal: nothing is paged

HEATING = """# Heating

## Bleeding radiators

Before the season look at every radiator of the house, on every floor. Turn the brass radiator key a quarter turn to the
left until air hisses out, and close it as soon as water comes. Keep a cloth ready, since the first water is dirty.

## Pressure

Check the pressure afterwards: it should stand between {pressure} bar. Refill the system where it stands lower, slowly
and with the pump off, and bleed the highest radiator once more. Note the date in the book that lies on the boiler.

## Summer

Close the valves of the cellar and leave those of the rooms open.
"""
BOILER = """Boiler maintenance

Before the heating season let air out of every radiator, the highest one last, and refill to 1.5 bar.
Let nobody but the fitter open the burner.
"""


def build(folder: Path) -> None:
    """A folder of documents and the repository of its past: June, a branch, a release, and last night's import."""
    import vecver
    from vecver import repo
    from vecver.store import LocalStore

    times = iter([timedelta(days=6), timedelta(days=5), timedelta(days=3, hours=2), timedelta(minutes=12)])
    clock = Clock(NOW)
    store = LocalStore(folder / ".vecver")
    repo.create(store)
    docs = vecver.Repository(repo.Versions(store, author="Ada", clock=clock.as_clock())).dataset("handbook")
    source = folder / "docs"
    source.mkdir()

    def ingest(message: str, **files: str | None) -> None:
        for name, text in files.items():
            file = source / name.replace("_", ".")
            file.unlink() if text is None else file.write_text(text)
        clock.time = NOW - next(times)
        branch = "wide-chunks" if "chunks" in message else "main"
        tokens = 96 if branch == "main" else 256
        docs.ingest(
            str(source), message=message, branch=branch, embedder="hashing", chunk_tokens=tokens, allow_removals=True
        )

    first = HEATING.format(pressure="1.2 and 1.8")
    ingest("Fix tables in the price list", heating_md=first, keys_md="# Keys\n\nHang them by the door.\n")
    docs.branch("wide-chunks")
    ingest("Try larger chunks", boiler_txt=BOILER)
    ingest("Release notes for 2026-11", boiler_txt=BOILER)
    docs.tag("2026-11")
    docs.promote("prod")
    second = HEATING.format(pressure="1.5 and 2.0")
    bicycles = "# Bicycles\n\nThey stand in the yard, locked.\n"
    ingest("Nightly import", heating_md=second, bicycles_md=bicycles, keys_md=None, empty_txt="")
    (source / "new.md").write_text("# New\n\nNot ingested yet.\n")


class Clock:
    """A clock that stands where it was set."""

    def __init__(self, time: datetime) -> None:
        self.time = time

    def as_clock(self):  # type: ignore[no-untyped-def]  # the class is known only where vecver is imported
        from vecver import repo

        own = self

        class Standing(repo.Clock):
            def now(self) -> datetime:
                own.time += timedelta(milliseconds=1)
                return own.time

        return Standing()


def played(folder: Path, commands: list[list[str]], columns: int | None) -> list[str]:
    """What each command writes on a terminal of so many columns; None: into a pipe."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("VECVER_", "CLICOLOR"))},
        **{"HOME": str(folder), "VECVER_AUTHOR": "Ada", "TERM": "xterm", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"},
        **{"PYTHONPATH": str(Path(__file__).parents[2]), "PAGER": "cat", "COLUMNS": "", "LINES": ""},
    }
    environment.pop("NO_COLOR", None)
    command = [sys.executable, __file__, str(folder), json.dumps(commands)]
    if columns is None:
        done = subprocess.run(command, env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return _split(done.stdout.decode())
    master, slave = pty.openpty()
    ioctl(slave, TIOCSWINSZ, pack("HHHH", ROWS, columns, 0, 0))
    errors = folder / "stderr"  # progress, which moves the cursor, is no part of a screen
    with errors.open("wb") as stderr, subprocess.Popen(command, env=environment, stdout=slave, stderr=stderr) as child:
        os.close(slave)
        read = b""
        with suppress(OSError):  # what Linux says at the end
            while some := os.read(master, 65536):
                read += some
    os.close(master)
    assert child.returncode == 0, errors.read_text()
    return _split(read.decode().replace("\r\n", "\n"))


def _split(transcript: str) -> list[str]:
    head, *found = transcript.split(MARK)
    assert not head.strip(), head
    return found


def steady(shown: str, commits: list[str]) -> str:
    """A transcript without what differs from run to run: colours, ids, digests, sizes, durations, versions."""
    shown = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "\x1b" not in shown, repr(shown)
    for number, commit in enumerate(commits, 1):
        for length in (64, 12, 7):
            shown = shown.replace(commit[:length], (f"c{number}" * 32)[:length])
    for pattern, instead in (
        (r"\b(?!(?:c\d)+c?\b)[0-9a-f]{64}\b", "d" * 64),
        (r"\b(segments|layouts|vectors)/[0-9a-f]{12}", r"\1/" + "d" * 12),
        (r" *\b[\d.,]+ (kB|MB|bytes)\b", " 9.9 kB"),
        (r"\b[\d.]+ m?s\b(?! ago)", "8 ms"),
        (r"^(recipe|operation):\n(?:  .*\n)+", r"\1:\n  …\n"),
        (r" · most of it: \w+", ""),
        (r"\b\d+ wait for", "99 wait for"),
        (r"\bRead \d+ objects|\bclean: \d+ objects", "Read 40 objects"),
        (r"vecver \S+, Python \S+", "vecver 1.0, Python 3.13"),
        (r"[ \t]+$", ""),
    ):
        shown = re.sub(pattern, instead, shown, flags=re.MULTILINE)
    return shown


def main(folder: str, commands: list[list[str]]) -> None:
    """Run the commands in this process as `vecver` would, with the clock standing."""
    import shlex

    from click import Command

    from vecver import repo
    from vecver.cli import main as program
    from vecver.cli.terminal import console

    assert isinstance(program, Command)
    os.chdir(folder)
    time = NOW

    def now(*_: object) -> datetime:
        nonlocal time
        time += timedelta(milliseconds=1)
        return time

    repo.Clock.now = now  # type: ignore[assignment, method-assign]
    console.now = lambda: NOW + timedelta(seconds=1)
    for command in commands:
        sys.stdout.write(f"{MARK}$ vecver {shlex.join(command)}\n")
        sys.stdout.flush()
        with suppress(SystemExit):
            program(command)
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
