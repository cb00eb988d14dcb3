"""Every screen on a terminal of 80 and 120 columns and in a pipe, against its transcript; README.md: how to renew."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from stage import build, played, steady

import vecver
from vecver.cli.commands.histories import history_of

HERE = Path(__file__).parent
FORMS = {"80 columns": 80, "120 columns": 120, "piped": None}
QUESTION = "How do I let air out of a radiator?"

SCREENS: dict[str, list[list[str]]] = {
    "search": [
        ["search", "handbook@prod", QUESTION, "-k", "3"],
        ["search", "handbook", QUESTION, "-k", "1", "-C", "1"],
        ["search", "handbook", QUESTION, "-k", "1", "--full"],
        ["search", "handbook", QUESTION, "--filter", '{"headings": "Cooling"}'],
    ],
    "log": [
        ["log", "handbook"],
        ["log", "handbook", "--oneline", "--graph"],
        ["log", "handbook@wide-chunks", "--graph", "-n", "1", "--date", "iso"],
    ],
    "show": [["show", "handbook"], ["show", "handbook@2026-11"]],
    "diff": [
        ["diff", "handbook", "prod", "main"],
        ["diff", "handbook", "prod", "main", "--stat"],
        ["diff", "handbook", "prod", "main", "heating.md"],
        ["diff", "handbook", "prod", "main", "keys.md"],
        ["diff", "handbook", "prod", "prod"],
    ],
    "status": [["status", "handbook", "docs"], ["status", "handbook@prod", "docs/heating.md"]],
    "refs": [
        ["branch", "handbook"],
        ["branch", "handbook", "next", "prod"],
        ["branch", "handbook", "next", "--delete"],
        ["tag", "handbook"],
        ["tag", "handbook", "2026-12"],
        ["alias", "handbook"],
    ],
    "promote": [
        ["promote", "handbook", "prod", "main"],
        ["rollback", "handbook@prod"],
        ["promote", "handbook", "beta"],
        ["alias", "handbook", "prod"],
        ["rollback", "handbook@main"],
        ["log", "handbook", "--oneline", "--graph"],
    ],
    "upkeep": [
        ["check"],
        ["optimize", "handbook"],
        ["optimize", "handbook"],
        ["gc"],
        ["gc", "--apply"],
    ],
    "replay": [
        ["search", "handbook@2026-11", QUESTION, "-k", "1", "--receipt", "answer.json"],
        ["replay", "answer.json"],
    ],
}


@pytest.fixture(scope="module")
def transcripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """screen -> what its commands show in each form."""
    folder = tmp_path_factory.mktemp("screens") / "kb"  # always this one: a source is known by its place
    built = folder.with_name("built")
    folder.mkdir()
    build(folder)
    folder.rename(built)
    commands = [command for commands in SCREENS.values() for command in commands]
    found = dict.fromkeys(SCREENS, "")
    for form, columns in FORMS.items():
        shutil.copytree(built, folder)
        shown = iter(played(folder, commands, columns))
        docs = vecver.open(str(folder / ".vecver")).dataset("handbook")
        commits = [commit.id for commit in sorted(history_of(docs, None), key=lambda commit: commit.time)]
        shutil.rmtree(folder)
        for screen, own in SCREENS.items():
            found[screen] += f"== {form} ==\n" + "".join(steady(next(shown), commits) for _ in own) + "\n"
    return found


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_is_as_its_transcript_says(transcripts: dict[str, str], screen: str) -> None:
    file = HERE / f"{screen}.txt"
    if os.environ.get("VECVER_RENEW_SCREENS"):
        file.write_text(transcripts[screen], "utf-8")
    assert transcripts[screen] == file.read_text("utf-8"), "see README.md here: how to renew the transcripts"


def test_a_terminal_of_20_columns_shows_all(tmp_path: Path) -> None:
    build(tmp_path)
    commands = [SCREENS[screen][0] for screen in ("search", "log", "show", "diff", "status", "refs")]
    for shown in played(tmp_path, [*commands, SCREENS["log"][1], SCREENS["diff"][2]], 20):
        lines = steady(shown, []).splitlines()[1:]
        assert lines and max(map(len, lines)) <= 20


def test_a_reader_who_leaves_early_ends_the_program_quietly(tmp_path: Path) -> None:
    build(tmp_path)
    script = "from vecver.cli import program; program()"
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(script)} show handbook | head -n 1"
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_keeps_to_the_width(transcripts: dict[str, str], screen: str) -> None:
    narrow, wide, _ = transcripts[screen].split("== ")[1:]
    for text, columns in ((narrow, 80), (wide, 120)):
        shown = [line for line in text.splitlines() if not line.startswith("$ ")]
        assert max(len(line) for line in shown) <= columns


def test_the_pictures_of_the_docs_are_made_by_their_script(tmp_path: Path) -> None:
    root = HERE.parents[1]
    command = [sys.executable, str(root / "docs/screens.py"), "--embedder", "hashing", "--out", str(tmp_path)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(root)})
    kept = {file.name: file for file in (root / "docs/images").glob("*.svg")}
    assert {file.name for file in tmp_path.iterdir()} <= kept.keys()
    for name, file in kept.items():
        assert ElementTree.parse(file).getroot().tag.endswith("svg") and file.stat().st_size < 40_000, name
        assert "url(http" not in file.read_text() and 'url("http' not in file.read_text()  # loads nothing
