"""Runs verbs on a small file system that fills up; a program, for it is mounted where only this process sees it.

    unshare -rm python small_disk.py FOLDER ROOMS VERB...

Mounts a file system of 16 MB at FOLDER/disk. A verb is run with so many free pages: at every of ROOMS (as `1,5,12`),
or from none on until it has got through three times (`all`). Prints a line of JSON for each try.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]

from verbs import VERBS, Seen, Verb, assert_gets_through, assert_sound, contents, seen  # noqa: E402

from vecver.errors import VecverError  # noqa: E402


def main(folder: Path, rooms: str, names: Iterable[str]) -> None:
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], check=True)
    for name in names:
        made, place = folder / "made" / name, disk / "place"
        made.mkdir(parents=True)
        VERBS[name].before(made)
        ended = 0
        for room in itertools.count() if rooms == "all" else map(int, rooms.split(",")):
            outcome, failure = one_try(VERBS[name], made, place, room)
            print(json.dumps({"verb": name, "room": room, "outcome": outcome, "failure": failure}), flush=True)
            ended += outcome == "done"
            if rooms == "all" and (ended == 3 or failure):
                break


def one_try(verb: Verb, made: Path, place: Path, room: int) -> tuple[str, str]:
    """How a verb ended with so many pages left, and what was wrong then, or when there was room again."""
    shutil.rmtree(place, ignore_errors=True)
    gc.collect()  # what the last try has mapped takes room
    shutil.copytree(made, place)
    before, ballast, outcome = seen(place), place.parent / "ballast", "done"
    fill(ballast, room)
    try:
        try:
            verb.act(place)
        except VecverError as error:
            outcome = error.code
            assert error.hint, "it does not say what to do"
        now = seen(place)
        assert_sound(place)
        verb.whole(place)
        ballast.unlink()
        assert_old_or_new(verb, made, before, now, done=outcome == "done")
        assert_gets_through(place, verb, after_of(verb, made), done=outcome == "done")
    except Exception as error:
        return outcome, f"{type(error).__name__}: {error}"
    finally:
        ballast.unlink(missing_ok=True)
    return outcome, ""


def fill(ballast: Path, room: int) -> None:
    """Leave so many pages free."""
    free = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, (free.f_bavail - room) * free.f_frsize)


def assert_old_or_new(verb: Verb, made: Path, before: Seen, now: Seen, *, done: bool) -> None:
    after = contents(after_of(verb, made))
    assert not done or contents(now) == after, "it got through, and is not there"
    for ref in {*before, *after, *now}:
        old = now.get(ref) == before.get(ref)
        assert old or contents(now).get(ref) == after.get(ref), f"{ref} stands between"


AFTER: dict[str, Seen] = {}


def after_of(verb: Verb, made: Path) -> Seen:
    """What is seen when the verb had all the room that it needs."""
    if made.name not in AFTER:
        shutil.copytree(made, made.with_name("after"))
        verb.act(made.with_name("after"))
        AFTER[made.name] = seen(made.with_name("after"))
        shutil.rmtree(made.with_name("after"))
    return AFTER[made.name]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
