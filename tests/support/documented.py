"""Runs the commands and snippets of a Markdown page, and compares what they print with what the page says.

    python tests/support/documented.py README.md docs/tutorial.md   # run them and write what was printed into them

A page is one story: its blocks run in order, in one folder, with one shell and one Python, on a terminal of 80 columns.

    ```console          lines after "$ " are run by bash; the lines below each are what it prints
    ```python           run by one Python for the whole page; a ```text block right below is what it prints
    ```bash             run by bash; it prints what it likes
    ```sh               not run here (the README's two set-up commands are run by `.ci/run`)

Ids, times and ages differ from run to run: `stable` blanks them before the comparison. A line "..." in a page stands
for any lines.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_UNITS = "ms|s|sec|seconds?|min|minutes?|kB|MB|GB|bytes|B|objects|chunks/s|queries/s"  # of what differs from run to run
_END = "\x1e"  # what the shell and Python print when a block has ended
_WORKER = f"""
import sys, traceback
names = {{"__name__": "__main__"}}
for line in sys.stdin:
    try:
        exec(compile(open(line.strip()).read(), "page", "exec"), names)
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        code = 1
    print("{_END}" + str(code), flush=True)
"""


class PageError(AssertionError):
    """A command failed, or printed something else than the page says."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    kind: str
    text: str
    span: tuple[int, int]  # of the text, in characters of the page


def blocks_of(page: str) -> list[Block]:
    """The blocks of a page that are run or compared, in order."""
    blocks = [Block(match[1], match[2], match.span(2)) for match in _BLOCK.finditer(page)]
    before = [None, *blocks]
    return [
        block
        for block, last in zip(blocks, before, strict=False)
        if block.kind in ("console", "python", "bash")
        or (
            block.kind == "text"
            and last
            and last.kind == "python"
            and not page[last.span[1] + 4 : block.span[0] - 8].strip()
        )
    ]


def stable(printed: str) -> list[str]:
    """What was printed without what differs from run to run: ids, times, ages, trailing space."""
    text = re.sub(r"(?<![^\W_])[0-9a-f]{7,64}\b", "ID", printed)
    text = re.sub(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|\+00:00)?)?", "DATE", text)
    text = re.sub(rf"\b\d+(?:[.,]\d+)*\s?(?:{_UNITS})\b", "N", text)
    text = re.sub(r"\b(?:just now|just made|now|N (?:ago|old))\b", "AGE", text)
    text = re.sub(r"/tmp/[\w./-]+", "PATH", text)
    return [re.sub(r"\s+", " ", line).rstrip() for line in text.strip("\n").splitlines()]


def same(said: str, printed: str) -> bool:
    """Does a page say what was printed? "..." stands for any lines."""
    before, *parts = _split(stable(said))
    lines = stable(printed)
    if not parts:
        return before == lines
    if lines[: len(before)] != before:
        return False
    at = len(before)
    for part in parts[:-1]:
        at = next((i + len(part) for i in range(at, len(lines)) if lines[i : i + len(part)] == part), len(lines) + 1)
    last = parts[-1]
    return at + len(last) <= len(lines) and lines[len(lines) - len(last) :] == last


def _split(lines: list[str]) -> list[list[str]]:
    """The lines between the lines "..."."""
    parts: list[list[str]] = [[]]
    for line in lines:
        if line == "...":
            parts.append([])
        else:
            parts[-1].append(line)
    return parts


class Page:
    """The folder, shell and Python of one page. Their output is a terminal of 80 columns, without colour."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(ROOT / "examples", folder / "examples", dirs_exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VECVER_")}
        environment |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "service"))),
            "VECVER_SETTINGS": os.devnull,
            "VECVER_AUTHOR": "Eva",
            "HOME": str(folder),
            "COLUMNS": "80",
            "NO_COLOR": "1",
            "TERM": "xterm",
            "PAGER": "cat",
            "LC_ALL": "C.UTF-8",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        self._folder = folder
        self._said = open(folder / ".stderr", "w+", encoding="utf-8")  # noqa: SIM115 (closed by `close`)
        self._bash = _Process(["bash"], folder, environment, self._said)
        self._python = _Process([sys.executable, "-u", "-c", _WORKER], folder, environment, self._said)

    def shell(self, command: str) -> str:
        """What a command prints. Raises PageError if it fails."""
        return self._printed(self._bash, f'{command}\nprintf "\\n{_END}%s\\n" $?\n', command)

    def python(self, source: str) -> str:
        """What a block of Python prints. Raises PageError if it raises."""
        file = self._folder / ".block.py"
        file.write_text(source, "utf-8")
        return self._printed(self._python, f"{file}\n", source)

    def _printed(self, process: _Process, sent: str, what: str) -> str:
        printed, code = process.answer(sent)
        if code != "0":
            self._said.seek(0)
            raise PageError(f"this ended with {code}:\n{what}\n\nit printed:\n{printed}\n{self._said.read()[-3000:]}")
        return printed

    def close(self) -> None:
        """End the shell, what it started, and Python."""
        self._bash.send("kill $(jobs -p) 2>/dev/null; wait; exit\n")
        for process in (self._bash, self._python):
            process.close()
        self._said.close()


class _Process:
    """A process that reads commands from a pipe and prints to a terminal."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str], stderr: IO[str]) -> None:
        self._terminal, its_end = pty.openpty()
        fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
        attributes = termios.tcgetattr(its_end)
        attributes[1] &= ~termios.OPOST  # "\n" stays "\n"
        termios.tcsetattr(its_end, termios.TCSANOW, attributes)
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=its_end, stderr=stderr, text=True
        )
        os.close(its_end)
        self._read = b""

    def send(self, text: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def answer(self, text: str) -> tuple[str, str]:
        """What it prints for `text`, and the exit code."""
        self.send(text)
        pattern = re.compile(f"{_END}(\\d+)\n".encode())
        while not (end := pattern.search(self._read)):
            try:
                new = os.read(self._terminal, 65536)
            except OSError:  # it ended
                new = b""
            if not new:
                return self._read.decode("utf-8", "replace"), "the end of its process"
            self._read += new
        printed, self._read = self._read[: end.start()], self._read[end.end() :]
        return printed.decode("utf-8", "replace"), end[1].decode()

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=60)
        os.close(self._terminal)


def run(page: str) -> str:
    """Run the page; the page with what was printed in its place, or as it is where that says the same.

    All of it is replaced or nothing, so that the ids on a page belong together; only a block with a line "..." stays
    where it says the same. Raises PageError where a block fails.
    """
    with tempfile.TemporaryDirectory(prefix="vecver-") as folder:  # of one length, since lines wrap
        printed = _printed(blocks_of(page), Path(folder))
    if all(same(block.text, new) for block, new in printed):
        return page
    out, last = [], 0
    for block, new in printed:
        start, end = block.span
        kept = "..." in block.text.splitlines() and same(block.text, new)
        out += [page[last:start], block.text if kept else new]
        last = end
    return "".join([*out, page[last:]])


def _printed(blocks: list[Block], folder: Path) -> list[tuple[Block, str]]:
    """Each block, and what it would be with what is printed now."""
    story, printed, made = Page(folder), "", []
    try:
        for block in blocks:
            new = block.text
            if block.kind == "console":
                commands = [command for command, _ in commands_of(block.text)]
                new = "".join(f"$ {command}\n{_told(story.shell(command))}" for command in commands)
            elif block.kind == "python":
                printed = story.python(block.text)
            elif block.kind == "bash":
                story.shell(block.text)
            else:
                new = _told(printed)
            made.append((block, new))
    finally:
        story.close()
    return made


def changed_blocks(before: str, after: str) -> list[str]:
    """What was printed by those blocks of a page that say something else."""
    pairs = zip(blocks_of(before), blocks_of(after), strict=True)
    return [new.text for old, new in pairs if not same(old.text, new.text)]


def _told(printed: str) -> str:
    text = "\n".join(line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", printed).strip("\n").splitlines())
    return f"{text}\n" if text else ""


def commands_of(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with what the page says that it prints. A line ending in \\ goes on."""
    command, said = "", ""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            if command:
                yield command, said
            command, said = line[2:], ""
            while command.endswith("\\"):
                command += "\n" + next(lines)
        else:
            said += line + "\n"
    if command:
        yield command, said


def main() -> None:
    for name in sys.argv[1:]:
        file = Path(name)
        before = file.read_text("utf-8")
        after = run(before)
        file.write_text(after, "utf-8")
        print(f"{name}: {'renewed' if after != before else 'as it was'}")


if __name__ == "__main__":
    main()
