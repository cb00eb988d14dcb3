"""A disk that fills up in every verb: an error of ours, old or new state, and verbs work once there is room."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tallies import Begin
from verbs import VERBS

SHALLOW = ("ingest", "promote", "gc with a retention")


def mounting() -> list[str] | None:
    """The command under which a file system can be mounted for one process; None where that is not permitted."""
    for command in (["unshare", "-m"], ["unshare", "-rm"]):
        test = [*command, "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt && umount /mnt"]
        try:
            if subprocess.run(test, capture_output=True).returncode == 0:
                return command
        except FileNotFoundError:
            return None
    return None


def tried(folder: Path, rooms: str, *names: str) -> list[dict[str, Any]]:
    """What `small_disk.py` tells of these verbs."""
    command = mounting()
    if command is None:
        pytest.skip("no file system can be mounted here (Linux: as root, or with user namespaces)")
    program = [*command, sys.executable, str(Path(__file__).with_name("small_disk.py"))]
    run = subprocess.run([*program, str(folder), rooms, *names], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return [json.loads(line) for line in run.stdout.splitlines()]


def assert_tried(found: list[dict[str, Any]], tally: Begin) -> None:
    for name in dict.fromkeys(one["verb"] for one in found):
        mine = [one for one in found if one["verb"] == name]
        ends = Counter(one["outcome"] for one in mine)
        line = tally(f"{name}, on a full disk ({', '.join(f'{end} {count}' for end, count in sorted(ends.items()))})")
        line.tried = len(mine)
        line.failures += [f"{name} with {one['room']} pages: {one['failure']}" for one in mine if one["failure"]]


def test_some_small_disks(place: Path, tally: Begin) -> None:
    found = tried(place, "0,9", *SHALLOW)
    assert_tried(found, tally)
    assert len(found) == 2 * len(SHALLOW) and any(one["outcome"] == "store_full" for one in found)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", VERBS)
def test_every_small_disk(name: str, place: Path, tally: Begin) -> None:
    assert_tried(tried(place, "all", name), tally)
