"""Push, fetch, pull and clone break off at every step, gc deletes what it may at both places, and nothing is lost.

    error     one operation of a store fails, and the verb ends as it does after any error
    unclear   the same, but the store has done it
    dead      from one write on both stores fail, so that the verb cleans up nothing
    killed    the process gets SIGKILL before one write

Afterwards gc without grace runs at both places, every ref of both is old or new, and the same command gets through.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import verbs
from disk import unsynced
from failing import OPERATIONS, PowerFailure
from helpers import open_on
from paths import SUPPORT
from tallies import Begin
from verbs import NOW, VERBS, Seen, Verb, assert_nothing_left, contents, copied, other_store, seen_in, store_of

from vecver import repo
from vecver.errors import BackendError
from vecver.store import LocalStore

SHARING = ("push", "push of an alias", "push to an empty place", "fetch", "pull", "clone")
WRITES = ("put", "put_all", "delete", "swap")
WAYS = ("error", "unclear", "dead", "killed")
SHALLOW = {  # in the ordinary suite, one step of each
    "push": ("error", "killed"),
    "push of an alias": ("unclear",),
    "push to an empty place": ("dead",),
    "pull": ("unclear", "killed"),
    "clone": ("error", "killed"),
}


# -- stores that break ------------------------------------------------------------------------------


@dataclass
class Break:
    """Counts the operations of all stores of a verb, in all its threads, and breaks one of them off."""

    way: str = ""  # nothing breaks
    at: int = 0  # the operation, or write, of this number
    counts: dict[str, int] = field(default_factory=lambda: {"operations": 0, "writes": 0})
    _lock: Any = field(default_factory=threading.Lock)

    def call(self, name: str, method: Callable[..., Any], *arguments: Any, **how: Any) -> Any:
        with self._lock:
            operation, write = self.counts["operations"], self.counts["writes"]
            self.counts["operations"] += 1
            self.counts["writes"] += name in WRITES
        if self.way in ("dead", "killed") and (write > self.at or (write == self.at and name in WRITES)):
            if self.way == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise PowerFailure
        if self.way in ("error", "unclear") and operation == self.at:
            if self.way == "unclear":
                method(*arguments, **how)
            raise BackendError("it broke off", code="store_failed", hint="again", retryable=True)
        return method(*arguments, **how)

    def steps(self, way: str) -> int:
        """How many steps a verb has that can be broken off in this way."""
        return self.counts["operations" if way in ("error", "unclear") else "writes"]


class Breaking:
    """A store whose operations may be broken off."""

    def __init__(self, inner: LocalStore, break_: Break) -> None:
        self.inner, self._break = inner, break_

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name not in OPERATIONS:
            return method
        return lambda *arguments, **how: self._break.call(name, method, *arguments, **how)


@contextmanager
def breaking(break_: Break) -> Iterator[Break]:
    """Every store that a verb opens breaks off so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verbs, "LocalStore", lambda path: Breaking(LocalStore(path), break_))
        yield break_


# -- one break --------------------------------------------------------------------------------------

# Forks for every line that it is sent a process that does a verb: with everything imported, and no thread of anybody.
PARENT = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:]
import test_sharing_cuts
for line in sys.stdin:
    place, step, name = line.rstrip("\\n").split("\\t")
    child = os.fork()
    if not child:
        test_sharing_cuts.killed_at(name, Path(place), int(step))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def killed_at(name: str, place: Path, step: int) -> None:
    with breaking(Break("killed", step)):
        VERBS[name].act(place)
    os._exit(0)


@pytest.fixture(scope="module")
def parent() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PARENT, str(Path(__file__).parent), str(SUPPORT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        yield process
        process.stdin.close()


@dataclass(frozen=True)
class Case:
    """A verb, and both places as they are before and after it."""

    name: str
    made: Path
    before: tuple[Seen, Seen]
    after: tuple[Seen, Seen]
    whole: Break  # what it counted where nothing broke

    @property
    def verb(self) -> Verb:
        return VERBS[self.name]

    def break_off(self, place: Path, way: str, step: int, parent: subprocess.Popen[str]) -> None:
        """Do the verb there until this step; then everything must be old or new, and the verb gets through."""
        copied(self.made, place)
        if way == "killed":
            assert parent.stdin and parent.stdout
            print(place, step, self.name, sep="\t", file=parent.stdin, flush=True)
            assert parent.stdout.readline() == "-9\n", "it was not killed"
        else:
            with breaking(Break(way, step)), suppress(BackendError, PowerFailure):
                self.verb.act(place)
        with unsynced():
            self.assert_goes_on(place)
        shutil.rmtree(place)

    def assert_goes_on(self, place: Path) -> None:
        assert_sound(place)
        for store in stores(place):
            collect(store)
        for now, before, after in zip(both(place), self.before, self.after, strict=True):
            for ref in {*now, *before, *after}:
                assert now.get(ref) in (before.get(ref), after.get(ref)), f"{ref} stands between"
        assert_sound(place)
        self.verb.act(place)
        for store in stores(place):
            collect(store)
        assert [contents(each) for each in both(place)] == [contents(each) for each in self.after]
        assert_sound(place)
        assert_nothing_left(place)


def stores(place: Path) -> list[LocalStore]:
    """Those of both places where there is a repository."""
    return [store for store in (store_of(place), other_store(place)) if repo.exists(store)]


def both(place: Path) -> tuple[Seen, Seen]:
    return seen_in(store_of(place)), seen_in(other_store(place))


def collect(store: LocalStore) -> None:
    for _ in range(2):
        open_on(store).gc(grace=NOW, apply=True)


def assert_sound(place: Path) -> None:
    for store in stores(place):
        assert open_on(store).check().problems == ()


def case_of(name: str, place: Path) -> Case:
    """Make the places, and do the verb once with nothing broken."""
    with unsynced():
        (place / "made").mkdir()
        VERBS[name].before(place / "made")
        done = copied(place / "made", place / "done")
        before = both(done)
        with breaking(Break()) as whole:
            VERBS[name].act(done)
        return Case(name, place / "made", before, both(done), whole)


def break_often(
    case: Case, way: str, place: Path, parent: subprocess.Popen[str], begin: Begin, how_many: int | None = None
) -> None:
    line, steps = begin(f"{case.name}, {way}"), range(case.whole.steps(way))
    for step in steps if how_many is None else sorted(random.Random(len(steps)).sample(steps, how_many)):
        attempt = f"{line.what} at {step} of {len(steps)}"
        line.attempt(attempt, lambda step=step: case.break_off(place / f"{way} {step}", way, step, parent))  # type: ignore[misc]


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here")


@pytest.mark.parametrize("name", SHALLOW)
def test_some_breaks(name: str, place: Path, parent: subprocess.Popen[str], tally: Begin) -> None:
    case = case_of(name, place)
    for way in SHALLOW[name]:
        break_often(case, way, place, parent, tally, 1)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SHARING)
def test_every_break(name: str, way: str, place: Path, parent: subprocess.Popen[str], tally: Begin) -> None:
    break_often(case_of(name, place), way, place, parent, tally)
