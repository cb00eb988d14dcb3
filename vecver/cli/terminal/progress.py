"""Shows progress on stderr: one moving line on a terminal, a line every few seconds elsewhere.

    with progress("handbook", doing="looking at docs/") as meter:
        docs.ingest(sources, progress=meter)

A terminal is drawn on at once, and the line is gone when the work ends. A pipe or a log gets its first line after half
a second and then one every five, so short work prints nothing. With --json only a terminal gets progress.

Decisions
1. rich draws, not tqdm: it restores the cursor when a process is interrupted, and its one line can name the current
   step. It is imported only for a terminal.
2. The rate is that of the last 20 seconds. While documents are still being read, the number of chunks to come is
   estimated from those so far and marked with "~".
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from time import monotonic
from typing import TYPE_CHECKING

import click

from vecver.cli.terminal import console
from vecver.progress import following

if TYPE_CHECKING:
    from rich.console import RenderableType

FIRST, PAUSE = 0.5, 5.0  # seconds until the first plain line, and between two
WINDOW = 20.0  # seconds over which a rate is taken
DOING = {  # command -> what it does
    **{"snapshot": "exporting", "publish": "publishing", "optimize": "tidying up", "recall": "measuring"},
    **{"eval": "measuring", "compare": "comparing"},
    **{"push": "sending", "fetch": "fetching", "pull": "fetching", "clone": "cloning", "sync": "fetching"},
    **{"check": "checking", "replay": "computing it again"},
}
WORDS = {  # unit of progress -> what is being done, where it is not what the command does
    **{"documents read": "reading", "index rows": "indexing", "rows copied": "copying", "versions proved": "proving"},
}
EMBEDDING = {**WORDS, "chunks": "embedding"}  # of commands that bring documents in
UNITS = {
    "documents read": "files",
    "index rows": "chunks",
    "rows copied": "rows",
    "rows tokenised": "chunks",
    "versions proved": "versions",
}


class Meter:
    """The counts and steps that a long call reported as its `progress`; other threads may read them."""

    def __init__(self, doing: str, words: Mapping[str, str]) -> None:
        self.doing = doing
        self._words = words
        self.unit = ""  # of the last count
        self._step = ""
        self._counts: dict[str, tuple[int, int | None]] = {}
        self._recent: deque[tuple[float, str, int]] = deque(maxlen=1000)

    def __call__(self, unit: str, count: int = 0, total: int | None = None, /) -> None:
        """More of a unit was done, of how many."""
        if unit != "documents":  # reported when a group is written; its chunks were counted before
            self.unit = unit
        self._counts[unit] = self.done(unit) + count, total
        self._recent.append((monotonic(), unit, count))

    def step(self, name: str) -> None:
        """Something that cannot be counted begins; "": it ends."""
        self._step = name

    def done(self, unit: str) -> int:
        """How many were done."""
        return self._counts.get(unit, (0, None))[0]

    def total(self) -> tuple[int | None, bool]:
        """(of how many the last unit is, whether that is estimated)."""
        total = self._counts.get(self.unit, (0, None))[1]
        read, documents = self._counts.get("documents read", (0, None))
        if self.unit == "chunks" and total and read and documents and read < documents:
            return round(total * documents / read), True
        return total, False

    def rate(self) -> float:
        """Of the last unit, how many a second; 0 while that is not known."""
        recent = [(when, count) for when, unit, count in self._recent if unit == self.unit]
        recent = [(when, count) for when, count in recent if when >= recent[-1][0] - WINDOW]
        seconds = recent[-1][0] - recent[0][0] if recent else 0.0
        return sum(count for _, count in recent[1:]) / seconds if seconds > 0.5 else 0.0

    def share(self) -> float | None:
        """How much of the last unit is done, 0 to 1; None where that is not known."""
        total, _ = self.total()
        return min(1.0, self.done(self.unit) / total) if total and not self._step else None

    def words(self) -> str:
        """What is being done."""
        return self._step or (self._words.get(self.unit, self.doing))

    def facts(self) -> list[str]:
        """How much is done, how fast, and how long it will take: what of it is known."""
        if self._step or not self.unit:
            return []
        (total, guessed), done, rate = self.total(), self.done(self.unit), self.rate()
        facts = [self._amount(done, total, guessed)] if done or total else []
        if rate:
            facts.append(_megabytes(rate) + "/s" if self.unit == "bytes" else _rate(rate))
            if total and total > done:
                facts.append(f"{_clock((total - done) / rate)} left")
        return facts

    def _amount(self, done: int, total: int | None, guessed: bool) -> str:
        """How much is done, of how much: `1,200/2,400 chunks`, `12.5 of 80.0 MB`."""
        if self.unit == "bytes":
            return f"{done / 1e6:,.1f} of {_megabytes(total)}" if total else _megabytes(done)
        of = f"/{'~' if guessed else ''}{total:,}" if total else ""
        return f"{done:,}{of} {UNITS.get(self.unit, self.unit)}"


@contextmanager
def progress(title: str, doing: str = "") -> Iterator[Meter]:
    """A meter for long work on `title`, which is shown for as long as it runs. `doing`: what documents wait for."""
    command = click.get_current_context(silent=True)
    usual = DOING.get(str(command.info_name) if command else "", "working")
    meter, screen = Meter(doing or usual, EMBEDDING if doing else WORDS), console.err()
    silent = bool(command and command.params.get("as_json"))
    shown = _drawn(title, meter, screen) if screen.terminal else nullcontext() if silent else _told(title, meter)
    with following(meter.step), shown:
        yield meter


@contextmanager
def _drawn(title: str, meter: Meter, screen: console.Screen) -> Iterator[None]:
    """One line on a terminal, ten times a second."""
    from rich.live import Live

    line = _Line(title, meter, screen.width)
    live = Live(
        get_renderable=line.render,
        console=screen.rich(),
        transient=True,
        refresh_per_second=10,
        redirect_stdout=False,
        vertical_overflow="crop",
    )
    with live:
        yield


class _Line:
    """The line of a terminal: what, a bar, how much, how fast, how long; on a narrow one less of these."""

    def __init__(self, title: str, meter: Meter, width: int) -> None:
        from rich.spinner import Spinner

        self._title, self._meter, self._width = title, meter, width
        self._spinner = Spinner("dots", style="cyan")

    def render(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        words, facts, share = self._meter.words(), "  ".join(self._meter.facts()), self._meter.share()
        grid = Table.grid(padding=(0, 1))
        cells: list[RenderableType] = [self._spinner, console.text((self._title, "bold"), " ", words, wrap=False)]
        room = self._width - len(self._title) - len(words) - len(facts) - 8
        if share is not None and room >= 10:
            cells.append(ProgressBar(total=1.0, completed=share, width=min(room, 30)))
        cells.append(Text(facts, no_wrap=True, overflow="ellipsis", style=console.FAINT))
        for _ in cells:
            grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row(*cells)
        return grid


@contextmanager
def _told(title: str, meter: Meter) -> Iterator[None]:
    """A plain line now and then, written by a thread of its own: the work may say nothing for long."""
    ended = threading.Event()

    def tell() -> None:
        wait, last = FIRST, ""
        while not ended.wait(wait):
            line = ", ".join([f"{title}: {meter.words()}", *meter.facts()])
            if line != last:
                sys.stderr.write(line + "\n")
                sys.stderr.flush()
            wait, last = PAUSE, line

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(5.0)  # a thread that still writes when the interpreter ends aborts it


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"


def _megabytes(number: float) -> str:
    return f"{number / 1e6:,.1f} MB"


def _clock(seconds: float) -> str:
    """`0:11`, `12:05`, `3:00:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
