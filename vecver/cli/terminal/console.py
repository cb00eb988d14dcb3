"""Where a command writes: is it a terminal, how wide, which colours and marks can it show; and pages for long texts.

A command asks for a `Screen` (`out()`, `err()`, or `pages()` for what may be long) and writes on it. A screen that is a
terminal is drawn for a person by rich. Any other gets plain lines: nothing cut off, no colour, no rich imported.

    with console.pages() as screen:
        if screen.terminal:
            screen.draw(table)                      # anything that rich draws
        else:
            screen.say("b32161e", "  ", "2 added")  # one line, whole
    console.out().say(("prod", console.ALIAS), " stands at ", ("b32161e", console.ID))

Decisions
1. Importing this costs nothing; rich (45 ms) is imported by the first `say` or `draw` on a terminal.
2. The sixteen colours of the terminal's own theme, as git: fixed colours are unreadable on somebody's background.
3. `--color always` and CLICOLOR_FORCE draw into a pipe what a terminal would get (for `less -R`). FORCE_COLOR does
   not: build machines set it for everyone, and a script's lines must not change with it.
4. Screens write "…", "·", "→" as they are; what cannot show them gets ASCII in their place, in this room only.
5. On a terminal a document's control characters become "�", so that no text moves the cursor or sets the title.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from vecver.cli.terminal.paging import Pages

Part = str | tuple[str, str]  # a text, or a text and its style
Choice = Literal["auto", "always", "never"]

# Styles, in rich's words. Refs have the colours that git gives them.
ID, HEAD, BRANCH, TAG, ALIAS = "yellow", "bold cyan", "bold green", "bold yellow", "bold magenta"
ADDED, CHANGED, REMOVED = "green", "yellow", "red"
GOOD, WARNING, BAD = "green", "yellow", "bold red"
STRONG, FAINT, MATCH, COMMAND = "bold", "dim", "bold red", "cyan"

WIDTH, HEIGHT = 80, 24  # of what has none
_NARROWEST = 10  # columns that are drawn for, however few there are

_ASCII = str.maketrans(
    {
        **{"…": "...", "·": "-", "›": ">", "→": "->", "−": "-", "✓": "ok", "✗": "x", "×": "x", "≥": ">=", "≤": "<="},
        **{"━": "=", "╸": "-", "╺": "-", "─": "-", "│": "|", "●": "*", "�": "?", "\u00a0": " ", "“": '"', "”": '"'},
    }
)
_CONTROL = str.maketrans({code: "�" for code in (*range(9), *range(11, 32), *range(127, 160))})

_choice: Choice = "auto"


@dataclass(frozen=True)
class Screen:
    """One output of this process, as it is now."""

    stream: IO[str] | Pages
    terminal: bool  # draw for a person; False: plain lines
    width: int  # columns; of a plain screen it means nothing
    height: int  # lines
    styled: bool  # escape codes may be written
    colour: bool  # and may set colours
    unicode: bool  # "…" and "→" can be shown

    def say(self, *parts: Part) -> None:
        """One line of these parts; a terminal wraps it at words, notes and indented lines behind a margin."""
        if self.terminal:
            self.draw(self._hanging(text(*parts)))
        else:
            self.write("".join(part if isinstance(part, str) else part[0] for part in parts) + "\n")

    def draw(self, *renderables: RenderableType) -> None:
        """Show what rich draws: texts, tables, groups. Only on a terminal."""
        console = self.rich()
        for renderable in renderables:
            console.print(renderable)

    def indented(self, content: Text, margin: int, most: int = 1000) -> Text:
        """A text wrapped behind a margin, in lines of at most `most` columns; no blanks are added at their ends."""
        from rich.text import Text

        margin = min(margin, self.width // 3)
        lines = content.wrap(self.rich(), max(min(self.width - margin, most), 1))
        for line in lines:
            line.rstrip()
        return Text("\n").join(Text(" " * margin if line.plain else "") + line for line in lines)

    def _hanging(self, line: Text) -> Text:
        """A line that is too wide, wrapped behind its own margin and two columns; paragraphs as they are."""
        from rich.text import Text

        margin = len(line.plain) - len(line.plain.lstrip(" "))
        if not (margin or line.plain.startswith("note: ")):
            return line
        if line.cell_len <= self.width or "\n" in line.plain or margin + 2 > self.width // 3:
            return line
        wrapped = line[margin:].wrap(self.rich(), self.width - margin - 2)
        for part in wrapped:
            part.rstrip()
        first, *rest = (Text(" " * (margin if n == 0 else margin + 2)) + part for n, part in enumerate(wrapped))
        return Text("\n").join([first, *rest])

    def write(self, plain: str) -> None:
        """Text as it is, at once."""
        self.stream.write(plain if self.unicode else plain.translate(_ASCII))
        self.stream.flush()

    def rich(self) -> Console:
        """A rich console that writes here."""
        from rich.console import Console

        stream: Any = self.stream if self.unicode else _Plainer(self.stream)
        return Console(
            file=stream,
            force_terminal=True,
            color_system="standard" if self.styled else None,
            no_color=not self.colour,
            width=self.width,
            height=self.height,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
            safe_box=not self.unicode,
        )


def out() -> Screen:
    """Standard output."""
    return _screen(sys.stdout)


def err() -> Screen:
    """Standard error, for what is no part of the answer: progress, notes, warnings."""
    return _screen(sys.stderr)


@contextmanager
def pages() -> Iterator[Screen]:
    """Standard output, through a pager where it is a terminal and the text is longer than it.

    Whoever leaves the pager early stops what is written in the `with`, quietly; what follows it goes on.
    """
    screen = out()
    if not (screen.terminal and screen.styled and sys.stdout.isatty()):
        yield screen
        return
    from vecver.cli.terminal.paging import Pages

    with Pages(sys.stdout, screen.height) as stream:
        yield replace(screen, stream=stream)


def text(*parts: Part, wrap: bool = True) -> Text:
    """Parts as rich's text; without `wrap` what is too wide ends with "…"."""
    from rich.text import Text

    made = Text(no_wrap=not wrap, overflow=None if wrap else "ellipsis")
    for part in parts:
        content, style = (part, "") if isinstance(part, str) else part
        made.append(content.translate(_CONTROL), style)
    return made


def choose_color(choice: Choice) -> None:
    """What `--color` says, for the rest of this process."""
    global _choice
    _choice = choice


def now() -> datetime:
    """The time from which "3 days ago" is counted."""
    return datetime.now(UTC)


def prepare_streams() -> None:
    """Let no character that an output cannot show end the program: it becomes an escape such as \\u2026."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _screen(stream: IO[str]) -> Screen:
    forced = _choice == "always" or (_choice == "auto" and os.environ.get("CLICOLOR_FORCE", "0") not in ("", "0"))
    terminal = forced or _is_terminal(stream)
    styled = terminal and _choice != "never" and (forced or os.environ.get("TERM") != "dumb")
    colour = styled and (_choice == "always" or not os.environ.get("NO_COLOR"))
    width, height = _size(stream)
    return Screen(stream, terminal, width, height, styled, colour, _shows_unicode(stream, terminal))


def _is_terminal(stream: IO[str]) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def _size(stream: IO[str]) -> tuple[int, int]:
    """Columns and lines: what COLUMNS and LINES say, else the terminal itself."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        size = os.terminal_size((0, 0))
    width = _number("COLUMNS") or size.columns or WIDTH
    return max(width, _NARROWEST), _number("LINES") or size.lines or HEIGHT


def _number(variable: str) -> int:
    value = os.environ.get(variable, "")
    return int(value) if value.isascii() and value.isdigit() else 0


def _shows_unicode(stream: IO[str], terminal: bool) -> bool:
    """Whether "…" can be shown. Python writes UTF-8 in the locale C too, but a terminal set to that shows ASCII."""
    encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "").replace("_", "")
    locale = next((os.environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)), "")
    return encoding == "utf8" and not (terminal and locale in ("C", "POSIX"))


class _Plainer:
    """A stream that gets ASCII in place of our marks."""

    encoding = "ascii"

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, content: str) -> None:
        self._stream.write(content.translate(_ASCII))

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return True
