"""Progress: an ingest reports what is done and of how much; a terminal shows a rate and the time left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vecver
from vecver.cli.terminal.progress import EMBEDDING, WORDS, Meter
from vecver.pipeline import how_many
from vecver.progress import following

ROWS = [{"id": f"d{n}", "text": f"this is text {n}"} for n in range(1300)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three documents, one that is ignored, and a file of records in three forms beside them."""
    for name in ("a.md", "b/c.md", "b/d.md", "b/e.tmp"):
        (tmp_path / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "docs" / name).write_text(f"text of {name}")
    (tmp_path / "docs/.gitignore").write_text("*.tmp\n")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "rows.csv").write_text('id,text\na,"one\nor two lines"\n')
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    return tmp_path


def test_documents_are_counted_where_that_costs_no_reading(folder: Path) -> None:
    assert how_many(folder / "docs") == 3
    assert how_many(str(folder / "docs/b/*.md")) == 2
    assert how_many(folder / "docs/a.md") == how_many(folder / "rows.jsonl", records=False) == 1
    assert how_many(folder / "rows.jsonl") == how_many(folder / "rows.parquet") == 1300
    assert how_many(ROWS) == how_many(pa.Table.from_pylist(ROWS)) == 1300


def test_what_does_not_tell_its_number_is_not_counted(folder: Path) -> None:
    assert how_many(row for row in ROWS) is how_many("-") is how_many(folder / "rows.csv") is None
    (folder / "rows.parquet").write_bytes(b"no parquet")
    assert how_many(folder / "rows.parquet") is None


def test_an_ingest_tells_all_that_it_sees_and_writes(repository: vecver.Repository) -> None:
    events: list[tuple[str, int, int | None]] = []

    def listen(unit: str, count: int, total: int | None = None) -> None:
        events.append((unit, count, total))

    docs = repository.dataset("d")
    for _ in range(2):
        docs.ingest(ROWS, embedder="hashing", progress=listen)
    documents = [(count, total) for unit, count, total in events if unit == "documents"]
    assert documents == [(512, 1300), (512, 1300), (276, 1300), (0, 1300), (1300, 1300)]
    chunks = [(count, total) for unit, count, total in events if unit == "chunks"]
    assert sum(count for count, _ in chunks) == 1300 and chunks[0] == (0, 512) and chunks[-1][1] == 1300
    assert max(count for count, _ in chunks) == 64
    read = [(count, total) for unit, count, total in events if unit == "documents read"]
    assert sum(count for count, _ in read) == 2 * 1300 and {total for _, total in read} == {1300}
    docs.ingest(iter(ROWS), progress=listen)
    assert events[-1] == ("documents", 1300, None)


def test_a_step_without_a_count_is_shown_when_it_begins_and_ends(repository: vecver.Repository) -> None:
    heard: list[str] = []
    with following(heard.append):
        repository.dataset("d").ingest(ROWS[:1], embedder="hashing")
    assert heard == ["loading the model hashing", ""]


class TestMeter:
    """What of the counts is shown."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [0.0]
        monkeypatch.setattr("vecver.cli.terminal.progress.monotonic", lambda: now[0])
        return now

    def test_says_what_is_done_before_anything_is_counted(self) -> None:
        meter = Meter("looking at docs", EMBEDDING)
        assert (meter.words(), meter.facts(), meter.share()) == ("looking at docs", [], None)

    def test_a_rate_and_the_time_left_of_what_is_known(self, clock: list[float]) -> None:
        meter = Meter("looking", EMBEDDING)
        meter("chunks", 0, 2347)
        for clock[0] in (1.0, 2.0, 3.0, 4.0):
            meter("chunks", 46, 2347)
        assert meter.words() == "embedding" and meter.share() == pytest.approx(184 / 2347)
        assert meter.facts() == ["184/2,347 chunks", "46/s", "0:47 left"]

    def test_bytes_are_shown_as_megabytes_with_the_time_left(self, clock: list[float]) -> None:
        meter = Meter("sending", WORDS)
        meter("bytes", 0, 80_000_000)
        clock[0] += 2
        meter("bytes", 20_000_000, 80_000_000)
        assert (meter.words(), meter.facts()) == ("sending", ["20.0 of 80.0 MB", "10.0 MB/s", "0:06 left"])

    def test_chunks_to_come_are_estimated_while_documents_are_read(self, clock: list[float]) -> None:
        meter = Meter("looking", EMBEDDING)
        meter("documents read", 100, 400)
        assert meter.words() == "reading" and meter.facts() == ["100/400 files"]
        meter("chunks", 0, 250)
        assert meter.facts() == ["0/~1,000 chunks"]
        meter("documents read", 300, 400)
        meter("chunks", 250, 900)
        assert meter.facts()[0] == "250/900 chunks" and meter.total() == (900, False)

    def test_a_step_takes_the_place_of_the_counts_while_it_lasts(self) -> None:
        meter = Meter("looking", EMBEDDING)
        meter("documents read", 1, 2)
        meter.step("loading the model minilm")
        assert (meter.words(), meter.facts(), meter.share()) == ("loading the model minilm", [], None)
        meter.step("")
        assert meter.words() == "reading"

    def test_other_commands_have_their_own_words(self) -> None:
        meter = Meter("exporting", WORDS)
        meter("chunks", 5)
        assert (meter.words(), meter.facts()) == ("exporting", ["5 chunks"])


# -- a process ----------------------------------------------------------------------------------

PROGRAM = [sys.executable, "-c", "from vecver.cli import program; program()"]


def heed_ctrl_c() -> None:
    """A process that a script began with `&` ignores Ctrl-C, and so would all that it starts: the tests' own too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*arguments: str, **how: Any) -> subprocess.Popen[bytes]:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*PROGRAM, *arguments], preexec_fn=heed_ctrl_c, **pipes | how)


@pytest.fixture
def made(folder: Path) -> list[str]:
    """The options of a repository."""
    vecver.create(folder / "kb")
    return ["--repo", str(folder / "kb")]


def test_a_terminal_gets_a_line_that_is_gone_in_the_end_and_a_whole_summary(folder: Path, made: list[str]) -> None:
    termios = pytest.importorskip("termios", reason="needs a pseudo terminal")
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = start(*made, "ingest", "d", str(folder / "docs"), "--embedder", "hashing", stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = read_to_end(ours)
    assert process.wait() == 0
    assert "looking at" in shown and shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1
    last = shown.rpartition("\x1b[2K")[2]
    assert "d@main" in last and "3 added" in last and "Next: " in last and last.endswith("\n")


def test_a_pipe_gets_lines_only_of_long_work_and_none_with_json(folder: Path, made: list[str]) -> None:
    arguments = [*made, "ingest", "d", "-", "--embedder", "hashing"]
    for options, said in ((["--json"], False), ([], True)):
        process = start(*arguments, *options)
        assert process.stdin and process.stdout and process.stderr
        line = b""
        if said:
            line = process.stderr.readline()  # it waits for its input
        else:
            time.sleep(1.5)
        out, err = process.communicate(b'{"id": "a", "text": "x"}\n')
        assert process.returncode == 0 and out and b"\x1b" not in out + err + line
        assert line.startswith(b"d: ") if said else err == b""


def test_ctrl_c_says_what_is_kept_and_the_next_attempt_finds_it(folder: Path, made: list[str]) -> None:
    arguments = [*made, "ingest", "d", "-", "--embedder", "hashing"]
    process = start(*arguments)
    assert process.stdin and process.stderr
    process.stdin.write("".join(json.dumps(row) + "\n" for row in ROWS[:700]).encode())
    process.stdin.flush()
    while b"512/512" not in process.stderr.readline():  # so many are embedded; it waits for more
        assert process.poll() is None
    for _ in range(2):
        process.send_signal(signal.SIGINT)
    err = process.stderr.read().decode()
    assert process.wait() == 130 and "Traceback" not in err
    assert "stopped: d@main was not made; the vectors of 512 chunks are kept" in err
    assert "run the same command again: it goes on" in err
    report = vecver.open(folder / "kb").dataset("d").ingest(ROWS[:700], embedder="hashing")
    assert report.chunks["embedded"] == 188 and report.chunks["reused"] == 512


GUARDED = """
import os, signal
from vecver.cli.terminal import interrupts
interrupts.guard_start()
interrupts.{guard}()
def interrupt(): os.kill(os.getpid(), signal.SIGINT)
try:
    interrupt()
except KeyboardInterrupt:
    interrupt()  # the second of two, which come soon after each other
    print("once")
interrupts.guard_end()
interrupt()
print("end")
"""


@pytest.mark.parametrize(
    ("guard", "code", "out", "err"),
    [("guard_start", 130, "", "stopped: nothing was begun\n"), ("guard", 0, "once\nend\n", "")],
)
def test_ctrl_c_from_the_first_moment_to_the_last(guard: str, code: int, out: str, err: str) -> None:
    script = GUARDED.format(guard=guard)
    command = [sys.executable, "-c", script]
    process = subprocess.run(command, capture_output=True, text=True, preexec_fn=heed_ctrl_c)
    assert (process.returncode, process.stdout, process.stderr) == (code, out, err)


def read_to_end(terminal: int) -> str:
    parts = []
    with suppress(OSError):  # the other end is closed
        while part := os.read(terminal, 65536):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()
