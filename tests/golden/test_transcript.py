"""Every command's `--json` and every route's answer, byte for byte as they were recorded in `transcript/`.

`transcript.py` plays them again, in a process of its own. It was recorded before the packages were moved into the tree
that they have now (commit 33e795c). What changes on purpose is recorded anew; look at the difference and commit it with
the change:

    VECVER_RENEW_TRANSCRIPT=1 .venv/bin/python -m pytest tests/golden/test_transcript.py
    git diff tests/golden/transcript

New calls go to the end of a script: the clock moves at every call, and times are part of a commit's id.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import click
import pytest

for package in ("fastapi", "httpx2", "pymilvus", "milvus_lite"):
    pytest.importorskip(package, reason=f"no {package}: install vecver[all,test]")

import vecver_service  # noqa: E402

import vecver  # noqa: E402
from vecver.cli import main  # noqa: E402

HERE = Path(__file__).parent
FILES = ("cli.txt", "http.txt", "openapi.json")
MISTAKES = 10  # at least


def play(folder: Path, **environment: str) -> dict[str, str]:
    """The transcripts of a play in a new folder."""
    folder.mkdir()
    packages = [str(Path(str(package.__file__)).parents[1]) for package in (vecver, vecver_service)]
    python = {"PYTHONPATH": os.pathsep.join(packages), "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, str(HERE / "transcript.py"), str(folder)]
    done = subprocess.run(command, env={**os.environ, **python, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: _text(folder / "transcript" / name) for name in FILES}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return play(tmp_path_factory.mktemp("transcript") / "first")


@pytest.mark.parametrize("name", FILES)
def test_answers_are_byte_for_byte_as_they_were_recorded(played: dict[str, str], name: str) -> None:
    file = HERE / "transcript" / name
    if os.environ.get("VECVER_RENEW_TRANSCRIPT"):
        file.write_bytes(played[name].encode())
    changed = difference(_text(file), played[name])
    assert not changed, changed


@pytest.mark.deep
def test_a_play_is_the_same_at_another_place_and_time_zone(played: dict[str, str], tmp_path: Path) -> None:
    again = play(tmp_path / "another place", TZ="Asia/Kolkata", PYTHONHASHSEED="42")
    changed = [difference(played[name], again[name]) for name in FILES]
    assert not any(changed), changed


def test_every_command_with_json_is_played(played: dict[str, str]) -> None:
    succeeded = {_command(line) for line, code in _commands(played) if code == 0}
    assert set(_with_json(main, ())) <= succeeded


def test_mistakes_on_the_command_line_are_played(played: dict[str, str]) -> None:
    assert sum(code not in (0, 5) for _, code in _commands(played)) >= MISTAKES
    assert {code for _, code in _commands(played)} == {0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}


def test_every_route_is_played_as_it_succeeds_and_as_it_fails(played: dict[str, str]) -> None:
    paths = json.loads(played["openapi.json"])["paths"]
    routes = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    calls = re.findall(r"^> (\w+) ([^?\s]+)\S*\n(?:.*\n)*?< (\d)\d\d$", played["http.txt"], re.MULTILINE)
    answered = {(method, _route(path, paths), status < "4") for method, path, status in calls}
    assert {(*route, succeeds) for route in routes for succeeds in (True, False)} <= answered


def difference(kept: str, played: str) -> str:
    """The first line that differs, and the call that it belongs to."""
    call = ""
    for before, now in zip_longest(kept.split("\n"), played.split("\n")):
        if before != now:
            return f"in {call or 'the schema'}\nrecorded: {before}\nnow:      {now}"
        call = now if now.startswith(("$ ", "> ")) else call
    return ""


def _text(file: Path) -> str:
    return file.read_bytes().decode()


def _commands(played: dict[str, str]) -> list[tuple[str, int]]:
    """(command line, exit code) of all that was played."""
    calls = re.findall(r"^\$ vecver (.*) --json\n-- exit (\d+)$", played["cli.txt"], re.MULTILINE)
    return [(line, int(code)) for line, code in calls]


def _command(line: str) -> str:
    """`dataset rename` of a command line, without its arguments."""
    words = re.sub(r"^(--\w+ \S+ )+", "", line).split()
    return " ".join(words[: 2 if isinstance(main.get_command(click.Context(main), words[0]), click.Group) else 1])


def _with_json(group: click.Group, above: tuple[str, ...]) -> Iterator[str]:
    """Every command that has --json, as it is typed."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _with_json(command, (*above, name))
        elif any("--json" in param.opts for param in command.params):
            yield " ".join((*above, name))


def _route(path: str, templates: list[str]) -> str | None:
    """The route that answers a path: the one with the fewest parameters."""
    fitting = [route for route in templates if re.fullmatch(re.sub(r"{\w+}", "[^/]+", route), path)]
    return min(fitting, key=lambda route: route.count("{"), default=None)
