"""What a command may write: terminal or not, width, colour, marks, pages."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ
from types import SimpleNamespace

import pytest

from vecver.cli.terminal import console
from vecver.cli.terminal.paging import Pages

PLAIN = ("NO_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "LC_ALL", "LC_CTYPE", "LANG", "PAGER", "VECVER_PAGER")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in PLAIN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    yield
    console.choose_color("auto")


class Terminal:
    """A pseudo-terminal as standard output."""

    def __init__(self, columns: int) -> None:
        self.master, slave = pty.openpty()
        ioctl(slave, TIOCSWINSZ, pack("HHHH", 24, columns, 0, 0))
        self.stream = io.TextIOWrapper(io.FileIO(slave, "w"), "utf-8")

    def read(self) -> str:
        self.stream.flush()
        self.stream.close()
        read = b""
        with suppress(OSError):  # what Linux says at the end
            while some := os.read(self.master, 4096):
                read += some
        return read.decode().replace("\r\n", "\n")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return attached(monkeypatch, Terminal(40))


def attached(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> Terminal:
    """The console's standard output; pytest's own stays, which it sets anew in each phase of a test."""
    monkeypatch.setattr(console, "sys", SimpleNamespace(stdout=terminal.stream))
    return terminal


def test_a_pipe_gets_the_whole_line_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr(console, "sys", SimpleNamespace(stdout=stream))
    screen = console.out()
    screen.say(("b32161e", console.ID), " ", "word " * 40)
    assert not screen.terminal and not screen.styled
    assert stream.buffer.getvalue().decode() == "b32161e " + "word " * 40 + "\n"


def test_a_terminal_gets_colour_and_wrapped_lines(terminal: Terminal) -> None:
    screen = console.out()
    assert (screen.terminal, screen.width, screen.height, screen.colour) == (True, 40, 24, True)
    screen.say(("b32161e", console.ID), " ", "word " * 12)
    lines = terminal.read().splitlines()
    assert lines[0].startswith("\x1b[33mb32161e\x1b[0m word") and len(lines) == 2


def test_the_rest_of_a_wrapped_note_or_indented_line_stands_two_columns_further_in(terminal: Terminal) -> None:
    screen = console.out()
    screen.say(("note: ", console.WARNING), "word " * 12)
    screen.say("  % ", "word " * 12)
    screen.say("  short")
    margins = [
        len(line) - len(line.lstrip(" ")) for line in re.sub(r"\x1b\[[0-9;]*m", "", terminal.read()).splitlines()
    ]
    assert margins == [0, 2, 2, 4, 2]


@pytest.mark.parametrize(
    ("variables", "choice", "styled", "colour"),
    [
        ({"NO_COLOR": "1"}, "auto", True, False),
        ({"NO_COLOR": ""}, "auto", True, True),
        ({"TERM": "dumb"}, "auto", False, False),
        ({}, "never", False, False),
        ({"NO_COLOR": "1"}, "always", True, True),
    ],
)
def test_when_a_terminal_is_coloured(
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    choice: console.Choice,
    styled: bool,
    colour: bool,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    console.choose_color(choice)
    screen = console.out()
    assert (screen.terminal, screen.styled, screen.colour) == (True, styled, colour)
    screen.say(("red", "bold red"))
    shown = terminal.read()
    assert ("\x1b[" in shown) is styled and ("31m" in shown) is colour


def test_a_pipe_gets_a_drawing_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "sys", SimpleNamespace(stdout=io.StringIO()))
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not console.out().terminal
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    assert console.out().terminal and console.out().colour and console.out().width == console.WIDTH
    console.choose_color("never")
    assert not console.out().terminal


def test_what_cannot_show_our_marks_gets_ascii(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    console.out().say("Heating › Pressure · 3 → 4 …")
    assert terminal.read() == "Heating > Pressure - 3 -> 4 ...\n"


def test_no_character_ends_the_program() -> None:
    script = (
        "import sys; from vecver.cli.terminal import console; console.prepare_streams();"
        "console.out().say('Straße 漢字 … \\udcff'); print('\\u6f22')"
    )
    for encoding in ("latin-1", "ascii", "utf-8"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert b"\\udcff" in done.stdout


def test_a_document_cannot_move_the_cursor(terminal: Terminal) -> None:
    console.out().say("a\x1b[2Jb\x07c\rd")
    assert terminal.read() == "a�[2Jb�c�d\n"


@pytest.mark.parametrize("columns", [1, 5, 20])
def test_a_very_narrow_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = attached(monkeypatch, Terminal(columns))
    console.out().say("a sentence with an extraordinarily-long-word-in-it, 漢字漢字漢字漢字漢字")
    assert made.read().replace("\n", "").startswith("a sentence")


def test_importing_the_console_imports_no_rich() -> None:
    script = (
        "import sys; from vecver.cli.terminal import console; console.out().say('plain');"
        "print([name for name in sys.modules if name.startswith('rich')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "plain\n[]\n"


def test_short_texts_are_not_paged(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "no-such-program")
    with console.pages() as screen:
        screen.say("one line")
    assert terminal.read() == "one line\n"


def test_long_texts_go_to_the_pager(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PAGER", f"{sys.executable} -c \"import sys; open('paged', 'w').write(sys.stdin.read())\"")
    monkeypatch.chdir(tmp_path)
    with console.pages() as screen:
        for number in range(30):
            screen.say(f"line {number}")
    assert (tmp_path / "paged").read_text().splitlines() == [f"line {number}" for number in range(30)]


@pytest.mark.parametrize("pager", ["", "cat", "no-such-program", "un'matched"])
def test_without_a_pager_long_texts_are_shown_whole(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, pager: str
) -> None:
    monkeypatch.setenv("PAGER", pager)
    with console.pages() as screen:
        for number in range(30):
            screen.say(f"line {number}")
    assert terminal.read().count("\n") == 30


def test_leaving_the_pager_ends_the_writing_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "true")
    written = 0
    with Pages(io.TextIOWrapper(io.BytesIO(), "utf-8"), 5) as stream:
        for _ in range(1_000_000):
            stream.write("a line of text that nobody reads any more\n")
            stream.flush()
            written += 1
    assert written < 1_000_000
