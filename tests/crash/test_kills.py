"""Processes that are killed at random moments of real work: each ref is as last reported, or one step on."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers import ingest, open_on, texts_of
from paths import SUPPORT
from tallies import Begin, Tally
from verbs import NOW, assert_nothing_left, assert_sound, docs, exported, opened, small_indexes, texts_only

import vecver
from vecver.errors import ConflictError
from vecver.store import LocalStore

SHALLOW = 6
SIZE = 300  # documents, enough for an index where `small_indexes` are


def contents_of(number: int) -> dict[str, str]:
    """What the version of this number holds."""
    return {f"d{i}": f"text {i} of {number if i % 50 == 0 else number // 5}" for i in range(SIZE)}


# -- what the process does --------------------------------------------------------------------------


# Forks a life for every line that it is sent: with everything imported, and no thread of anybody.
PARENT = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import test_kills
for line in sys.stdin:
    child = os.fork()
    if not child:
        test_kills.life(Path(sys.argv[1]), *map(int, line.split()))
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def life(place: Path, number: int, seed: int) -> None:
    """Run verbs until killed. Prints the process id, each verb as it begins, and the refs after it."""
    chance = random.Random(seed)
    say(f"pid {os.getpid()}")
    for turn in range(10**6):
        name = chance.choice(list(DEEDS))
        say(f"doing {name}")
        DEEDS[name](place, number + turn)
        say(f"heads {json.dumps(heads(place))}")


def say(line: str) -> None:
    """In one piece, as it is short, or not at all."""
    os.write(1, f"{line}\n".encode())


def heads(place: Path) -> dict[str, str]:
    """Every ref, and the commit on which it stands."""
    here = docs(place)
    return {**here.branches(), **here.tags(), **here.aliases()}


def deleted(place: Path, number: int) -> None:
    here = docs(place)
    if len(here.branches()) > 1:
        here.delete_branch(max(set(here.branches()) - {"main"}))


def rolled_back(place: Path, number: int) -> None:
    here = docs(place)
    here.rollback("main", to="prod") if number % 2 else here.rollback("prod", to="main")


def named(place: Path, number: int) -> None:
    """A tag or a branch, while there are few."""
    here = docs(place)
    if len(heads(place)) < 12:
        here.tag(f"t{time.time_ns()}") if number % 2 else here.branch(f"b{time.time_ns()}")


def snapshot(place: Path, number: int) -> None:
    shutil.rmtree(place / "out", ignore_errors=True)
    exported(place)


def optimized(place: Path, number: int) -> None:
    with small_indexes():
        docs(place).optimize()


def kept_up_beside(place: Path, number: int) -> None:
    """An ingest whose upkeep may still run while the next verbs do."""
    with small_indexes():
        ingest(open_on(LocalStore(place / "kb"), background=True).dataset("d"), contents_of(number))


def embedded(place: Path, number: int) -> None:
    records = texts_only({f"r{i}": f"record {i} of {number}" for i in range(600)})
    docs(place, "embedded").ingest(records, embedder="hashing", chunker="whole")


DEEDS: dict[str, Callable[[Path, int], Any]] = {
    "ingest": lambda place, number: ingest(docs(place), contents_of(number)),
    "ingest that embeds": embedded,
    "ingest, kept up in a thread": kept_up_beside,
    "ingest that keeps": lambda place, number: ingest(docs(place), {"kept": str(number)}, keep_missing=True),
    "branch or tag": named,
    "promote": lambda place, number: docs(place).promote("prod", "main"),
    "rollback": rolled_back,
    "delete": deleted,
    "optimize": optimized,
    "gc": lambda place, number: opened(place).gc(grace=NOW, apply=True),
    "recall": lambda place, number: docs(place).recall("main", sample=2, k=[1]),
    "snapshot": snapshot,
}


# -- killing it -------------------------------------------------------------------------------------


@contextmanager
def parent_of_lives(place: Path) -> Iterator[subprocess.Popen[str]]:
    here = Path(__file__).parent
    command = [sys.executable, "-c", PARENT, str(place), str(here), str(SUPPORT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        yield process
        process.stdin.close()


def kill_one(parent: subprocess.Popen[str], place: Path, number: int) -> str:
    """Let one begin and kill it; what it was doing. Everything must be as it said, or one step on."""
    assert parent.stdin and parent.stdout
    said, doing = [heads(place)], ""
    print(number, number, file=parent.stdin, flush=True)
    pid = int(parent.stdout.readline().removeprefix("pid "))
    time.sleep(random.Random(number).uniform(0.0, 0.6))
    os.kill(pid, signal.SIGKILL)
    for line in parent.stdout:
        what, _, rest = line.rstrip("\n").partition(" ")
        if what == "ended":
            assert rest == "-9", f"it ended by itself in {doing}"
            break
        doing = rest if what == "doing" else doing
        said += [json.loads(rest)] if what == "heads" else []
    assert_as_said(place, said[-1], doing)
    return doing


def assert_as_said(place: Path, said: dict[str, str], doing: str) -> None:
    now = heads(place)
    moved = {ref for ref in {*now, *said} if now.get(ref) != said.get(ref)}
    assert len(moved) <= 1, f"{doing} moved {moved}"
    assert_sound(place)
    for ref in now:
        texts = texts_of(docs(place), ref)
        texts.pop("kept", None)
        number = int(texts["d0"].split()[-1])
        assert texts == contents_of(number), f"{ref} stands between"


def kill_often(place: Path, times: int, line: Tally) -> Counter[str]:
    """How often each verb was cut off."""
    ingest(docs(place), contents_of(0))
    docs(place).promote("prod", "main")
    killed: Counter[str] = Counter()
    with parent_of_lives(place) as parent:
        for number in range(1, times + 1):
            line.attempt(f"kill {number}", lambda number=number: killed.update([kill_one(parent, place, number)]))  # type: ignore[misc]
    line.attempt("what was left goes", partial(assert_nothing_left, place))
    return killed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here")
def test_some_killed_processes(place: Path, tally: Begin) -> None:
    assert kill_often(place, SHALLOW, tally("processes killed at work")).total() == SHALLOW


@pytest.mark.deep
@pytest.mark.timeout(3600)
def test_many_killed_processes(place: Path, tally: Begin, kills: int) -> None:
    line = tally("processes killed at work")
    killed = kill_often(place, kills, line)
    line.what += f" ({', '.join(f'{name} {count}' for name, count in killed.most_common())})"


def test_a_life_is_one(place: Path) -> None:
    """Every deed can be done, whatever was done before."""
    ingest(docs(place), contents_of(0))
    docs(place).promote("prod", "main")
    for number, deed in enumerate(DEEDS.values()):
        deed(place, number)
    with pytest.raises(ConflictError):
        vecver.create(str(place / "kb"))
    assert_sound(place)
