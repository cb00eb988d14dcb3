"""The pictures of the terminal in docs/images, made of real runs of the commands.

    python docs/screens.py [--embedder hashing] [--out docs/images]

Works in a temporary folder with examples/handbook. Each picture is an SVG by rich; nothing is drawn by hand. Only the
clock is set, so that the versions have ages that a reader would see.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from vecver import repo
from vecver.cli import main
from vecver.cli.terminal import console

ROOT = Path(__file__).parent.parent
WIDTH = 84
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
QUESTION = "How do I let air out of a radiator?"
THEME = TerminalTheme(  # dark, with enough contrast for small pictures
    (27, 30, 40),
    (222, 226, 235),
    [
        *((27, 30, 40), (240, 113, 120), (150, 210, 120), (240, 200, 110)),
        *((110, 170, 250), (205, 150, 240), (100, 210, 220), (222, 226, 235)),
    ],
)
# The page that shows a picture loads no font for it: take the reader's own.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "Fira Code, monospace", "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
)

PICTURES = {
    "ingest": ["ingest", "handbook", "docs", "-m", "Nightly import"],
    "search": ["search", "handbook@prod", QUESTION, "-k", "2"],
    "log": ["log", "handbook", "--oneline", "--graph"],
    "show": ["show", "handbook"],
    "diff": ["diff", "handbook", "prod", "main"],
    "diff-document": ["diff", "handbook", "prod", "main", "heating.md"],
    "status": ["status", "handbook", "docs"],
    "promote": ["promote", "handbook", "prod", "main"],
}
TOUR = ["ingest", "search", "log", "diff-document", "promote"]  # together in tour.svg


class Play:
    """Commands one after the other, at the times that the story needs."""

    def __init__(self, embedder: str) -> None:
        self.embedder = embedder
        self.time = NOW
        self.nightly = ""  # what last night's import showed

    def now(self, *_: object) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def run(self, *command: str, ago: timedelta = timedelta()) -> str:
        """What a command shows on a terminal, with its colours."""
        self.time = NOW - ago
        shown = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        with redirect_stdout(shown), redirect_stderr(io.StringIO()) as errors:
            try:
                main(["--color", "always", *command])
            except SystemExit as end:
                if end.code:
                    raise RuntimeError(f"vecver {shlex.join(command)}: {errors.getvalue()}") from None
        return shown.buffer.getvalue().decode()  # type: ignore[attr-defined]

    def ingest(self, message: str, *options: str, ago: timedelta) -> None:
        self.run("ingest", "handbook", "docs", "-m", message, "--embedder", self.embedder, *options, ago=ago)

    def past(self) -> None:
        """A price list, a branch, a release, and last night's import."""
        heating = Path("docs/heating.md")
        self.run("init")
        (Path("docs/keys.md")).rename("keys.md")
        self.ingest("Fix tables in the price list", ago=timedelta(days=6))
        self.run("branch", "handbook", "wide-chunks", ago=timedelta(days=5))
        Path("docs/frost.md").write_text("# Frost\n\nLeave the thermostat at the snowflake mark.\n")
        self.ingest("Try 256-token chunks", "--branch", "wide-chunks", ago=timedelta(days=5))
        Path("docs/frost.md").unlink()
        Path("keys.md").rename("docs/keys.md")
        self.ingest("Release notes for 2026-11", ago=timedelta(days=3))
        self.run("tag", "handbook", "2026-11", ago=timedelta(days=3))
        self.run("promote", "handbook", "prod", ago=timedelta(days=3))
        heating.write_text(heating.read_text().replace("1.2 and 1.8 bar", "1.5 and 2.0 bar"))
        Path("docs/bicycles.md").write_text("# Bicycles\n\nThey stand in the yard, locked.\n")
        Path("docs/keys.md").unlink()
        Path("docs/invoice-17.txt").touch()
        self.nightly = self.run(*PICTURES["ingest"], ago=timedelta(minutes=12))
        Path("docs/visitors.md").write_text("# Visitors\n\nThey wear a yellow badge.\n")


def draw(commands: Sequence[Sequence[str]], outputs: Sequence[str], name: str) -> str:
    """Commands and what they showed, as an SVG."""
    drawing = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="standard")
    for number, (command, output) in enumerate(zip(commands, outputs, strict=True)):
        if number:
            drawing.print()
        drawing.print(Text.assemble(("$ ", "dim"), (f"vecver {shlex.join(command)}", "bold")))
        drawing.print(Text.from_ansi(output.rstrip("\n")))
    return drawing.export_svg(title="vecver", theme=THEME, code_format=FORMAT, unique_id=f"vecver-{name}")


@contextmanager
def stage(clock: Play) -> Iterator[None]:
    """A temporary folder with the documents, and a clock that can be set."""
    settings = [name for name in os.environ if name.startswith("VECVER_")]
    for name in settings:
        del os.environ[name]
    os.environ |= {"VECVER_AUTHOR": "Ada", "COLUMNS": str(WIDTH), "TERM": "xterm"}
    repo.Clock.now = clock.now  # type: ignore[method-assign]
    console.now = lambda: NOW + timedelta(seconds=30)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "examples/handbook", Path(folder, "docs"))
        os.chdir(folder)
        yield
        os.chdir(ROOT)


def make(embedder: str, out: Path) -> None:
    """All pictures."""
    play = Play(embedder)
    with stage(play):
        play.past()
        play.run(*PICTURES["search"])  # loads the model, whose time would stand in the picture
        later = {name: command for name, command in PICTURES.items() if name != "ingest"}
        shown = {"ingest": play.nightly, **{name: play.run(*command) for name, command in later.items()}}
    for name, names in {**{name: [name] for name in PICTURES}, "tour": TOUR}.items():
        drawn = draw([PICTURES[one] for one in names], [shown[one] for one in names], name)
        (out / f"{name}.svg").write_text(drawn, "utf-8")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--embedder", default="minilm")
    arguments.add_argument("--out", type=Path, default=ROOT / "docs/images")
    given = arguments.parse_args()
    make(given.embedder, given.out.resolve())
