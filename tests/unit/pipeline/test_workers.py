"""Documents that crash, hang or exhaust their worker fail alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from paths import SHARED

from vecver.errors import BackendError
from vecver.model import Failure, Original, Parsed
from vecver.pipeline import chunker_recipe
from vecver.pipeline.parsers.parse import READERS, Unreadable, parse, parser_of
from vecver.pipeline.workers import pool as workers
from vecver.pipeline.workers import processes
from vecver.pipeline.workers.pool import parse_all
from vecver.pipeline.workers.reading import Item, Reading, read

MESSY = SHARED / "data/messy/dev"
posix = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and memory limits")


SUFFIXES = "md txt rst adoc org tex csv tsv json jsonl ipynb vtt html xml eml mbox msg pdf docx xlsx py toml png zip"


class Panic(BaseException):
    """What a panic in a Rust parser looks like: no Exception, and it cannot be pickled."""

    def __init__(self, told: str, unpicklable: object) -> None:
        super().__init__(told)
        self.unpicklable = unpicklable


def accident(data: bytes, name: str, passwords: Sequence[str] = ()) -> Parsed:
    """A parser that does what the document says."""
    texts = data.decode().rstrip()
    if texts == "die":
        os._exit(3)
    if texts == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if texts == "hang":
        time.sleep(600)
    if texts == "hang on":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    if texts == "hoard":
        bytearray(2_000_000_000)
    if texts == "spin":
        while True:
            pass
    if texts == "panic":
        raise Panic("at the disco", lambda: None)
    if texts == "refuse":
        raise Unreadable("malformed", "Not today.")
    if texts == "print":
        print("noise", flush=True)
        os.write(2, b"more noise")
    return Parsed(f"{texts} {os.getpid()} {','.join(passwords)}", "", "application/pdf", "accident 1")


def original(name: str, data: bytes | str = b"") -> Original:
    return Original(name, "source", "digest", data=data.encode() if isinstance(data, str) else data)


def codes(outcomes: Iterator[tuple[Original, Parsed | Failure]]) -> list[str]:
    return [outcome.code if isinstance(outcome, Failure) else "ok" for _, outcome in outcomes]


def pids(outcomes: list[tuple[Original, Parsed | Failure]]) -> set[str]:
    return {outcome.text.split()[1] for _, outcome in outcomes if isinstance(outcome, Parsed)}


@pytest.fixture
def no_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr(processes, "borrow", refuse)


@pytest.mark.usefixtures("no_pool")
def test_short_records_start_no_worker() -> None:
    documents = [Original("r1", "s", "d", text="  as it is ", title="Given"), Original("r2", "s", "d", text=" \n")]
    assert dict((o.document, outcome) for o, outcome in parse_all(documents)) == {
        "r1": Parsed("  as it is ", "Given", "text/plain", "record"),
        "r2": Failure("r2", "empty", "The record has no text."),
    }


def test_documents_and_records_come_in_order() -> None:
    record = Original("r1", "s", "d", text="  as it is ", title="Given")
    long = Original("r2", "s", "d", text="word " * workers.LONG_RECORD)
    documents = [original("a.md", "# A\r\n"), record, original("b.png", b"\x89PNG\r\n\x1a\n"), long, original("c.txt")]
    outcomes = dict((o.document, outcome) for o, outcome in parse_all(documents))
    assert list(outcomes) == ["a.md", "r1", "b.png", "r2", "c.txt"]
    assert outcomes["a.md"] == Parsed("# A\n", "A", "text/markdown", parser_of(b"# A", "a.md"))
    assert outcomes["r1"] == Parsed("  as it is ", "Given", "text/plain", "record")
    assert outcomes["r2"] == Parsed(long.text or "", "", "text/plain", "record")
    assert [outcomes[name].code for name in ("b.png", "c.txt")] == ["unsupported", "empty"]  # type: ignore[union-attr]


def test_every_format_is_read_in_a_worker() -> None:
    names = ["a", *(f"a.{name}" for name in SUFFIXES.split())]
    assert len(READERS) > 30
    outcomes = list(parse_all([original(name, "fine") for name in names], parse=accident))
    assert codes(iter(outcomes)) == ["ok"] * len(names)
    assert str(os.getpid()) not in pids(outcomes)


@linux
def test_a_failing_batch_costs_only_the_guilty_documents() -> None:
    texts = ["fine"] * 3 + ["die", "fine", "hoard", "fine", "spin", "fine", "refuse"] + ["fine"] * 40
    documents = [original(f"{n}.md", what) for n, what in enumerate(texts)]
    record = Original("long", "s", "d", text="word " * workers.LONG_RECORD)
    outcomes = list(parse_all([*documents, record], cpu=1, memory=500_000_000, parse=accident))
    expected = {"die": "crashed", "hoard": "out_of_memory", "spin": "timeout", "refuse": "malformed", "fine": "ok"}
    assert codes(iter(outcomes)) == [*(expected[what] for what in texts), "ok"]
    spun = next(outcome for _, outcome in outcomes if isinstance(outcome, Failure) and outcome.code == "timeout")
    assert spun == Failure("7.md", "timeout", "Reading it took more than 1 seconds of CPU time.")


@linux
def test_a_text_that_exceeds_a_limit_while_it_is_cut_fails() -> None:
    text = "a\n\n" * 1_000_000
    documents = [original("a.md", "# fine"), original("b.txt", text), Original("r", "s", "d", text=text)]
    outcomes: Any = parse_all(documents, chunker=chunker_recipe(max_tokens=100), memory=60_000_000)
    assert codes(outcomes) == ["ok", "out_of_memory", "out_of_memory"]


@linux
def test_a_large_document_may_take_longer() -> None:
    text = "spin" + " " * workers.PACE
    [(_, outcome)] = parse_all([original("a.md", text)], cpu=1, parse=accident)
    assert outcome == Failure("a.md", "timeout", "Reading it took more than 2 seconds of CPU time.")


def test_workers_serve_the_next_stream_and_then_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "KEPT", 0.5)
    seen = [pids(list(parse_all([original("a.md", "fine")], workers=1, parse=accident))) for _ in range(3)]
    assert seen[0] == seen[1] == seen[2]
    pid = int(next(iter(seen[0])))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and Path(f"/proc/{pid}").exists():
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_concurrent_streams_use_separate_workers() -> None:
    first, second = (parse_all([original("a.md", "fine")] * 2, workers=1, parse=accident) for _ in range(2))
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda outcomes: pids(list(outcomes)), (first, second)))
    assert all(len(workers_) == 1 for workers_ in found)


@linux
def test_each_crash_or_timeout_costs_one_document() -> None:
    texts = ["fine", "die", "segfault", "hang", "fine", "hoard", "panic", "refuse", "print", "fine", "hang on", "fine"]
    documents = [original(f"{n}.pdf", what) for n, what in enumerate(texts)]
    outcomes = list(parse_all(documents, passwords=["p", "q"], timeout=1.5, memory=500_000_000, parse=accident))
    assert [o for o, _ in outcomes] == documents
    assert " ".join(codes(iter(outcomes))) == (
        "ok crashed crashed timeout ok out_of_memory crashed malformed ok ok timeout ok"
    )
    assert all(outcome.text.endswith(" p,q") for _, outcome in outcomes if isinstance(outcome, Parsed))
    assert str(os.getpid()) not in pids(outcomes)
    failed = [outcome for _, outcome in outcomes if isinstance(outcome, Failure)]
    assert [failure.document for failure in failed] == ["1.pdf", "2.pdf", "3.pdf", "5.pdf", "6.pdf", "7.pdf", "10.pdf"]
    assert failed[2].reason == "Its parser did nothing for 1.5 seconds."


@posix
def test_many_crashes_lose_no_good_document() -> None:
    documents = [original(f"{n}.pdf", "die" if n % 5 == 2 else f"fine{n}") for n in range(60)]
    outcomes = list(parse_all(documents, parse=accident))
    assert codes(iter(outcomes)) == ["crashed" if n % 5 == 2 else "ok" for n in range(60)]
    texts = [outcome.text.split()[0] for _, outcome in outcomes if isinstance(outcome, Parsed)]
    assert texts == [f"fine{n}" for n in range(60) if n % 5 != 2]


@linux
def test_a_worker_killed_while_idle_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def given() -> Iterator[Original]:
        yield original("0.pdf", "fine")
        deadline = time.monotonic() + 30
        while not (children := _children()) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)  # it has read the first document and waits
        seen.extend(children)
        for pid in children:
            os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.5)
        for n in range(1, 4):
            yield original(f"{n}.pdf", "fine")

    started: list[str] = []
    start = processes._started

    def noted(count: int) -> object:
        started.append("pool")
        return start(count)

    processes._spare.stop()
    monkeypatch.setattr(processes, "_started", noted)
    assert codes(parse_all(given(), workers=1, parse=accident)) == ["ok"] * 4
    assert seen and len(started) > 1


def _children() -> list[str]:
    """Processes that run a document's worker: children of the fork server."""
    from multiprocessing import forkserver

    server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    tasks = Path(f"/proc/{server}/task/{server}/children")
    return tasks.read_text().split() if server and tasks.exists() else []


def test_reading_ahead_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    def given(size: int) -> Iterator[Original]:
        for n in range(100):
            taken.append(f"{n}.pdf")
            yield original(f"{n}.pdf", b"hang" if n == 0 else b"x" * size)

    outcomes: Any = parse_all(given(1), timeout=1, workers=2, parse=accident)
    assert isinstance(next(outcomes)[1], Failure)
    assert len(taken) == workers.AHEAD * 2
    outcomes.close()

    taken.clear()
    monkeypatch.setattr(workers, "IN_FLIGHT", 2_500)
    outcomes = parse_all(given(1_000), timeout=1, workers=2, parse=accident)
    assert isinstance(next(outcomes)[1], Failure)
    assert len(taken) == 4  # 4 + 3 x 1,000 bytes are beyond 2,500
    outcomes.close()


@linux
def test_closing_early_stops_the_workers() -> None:
    outcomes: Any = parse_all((original(f"{n}.pdf", "fine" if n < 1 else "hang on") for n in range(20)), parse=accident)
    pid = int(next(iter(pids([next(outcomes)]))))
    outcomes.close()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and Path(f"/proc/{pid}").exists():
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_document_too_large_for_a_worker_is_not_sent() -> None:
    documents = [original("a.pdf", b"x" * 1_001), original("b.md", b"x" * 1_001)]
    assert codes(parse_all(documents, memory=4_000)) == ["too_large", "too_large"]


def test_real_documents_pass_through_workers() -> None:
    page = b"<h1>Valves</h1><p>Open it.</p>"
    documents = [original(f"{n}.html", page) for n in range(20)] + [original("n.pdf", b"nothing")]
    outcomes = list(parse_all(documents))
    assert {outcome.text for _, outcome in outcomes[:-1] if isinstance(outcome, Parsed)} == {"# Valves\n\nOpen it."}
    assert codes(iter(outcomes)) == ["ok"] * 20 + ["malformed"]


@pytest.mark.skipif(not MESSY.is_dir(), reason=f"the messy documents are not at {MESSY}")
def test_messy_documents_are_read_alike_in_workers_and_here() -> None:
    passwords = ("needless", "openpassword", "asdfzxcv", "tika")
    documents = [original(path.name, path.read_bytes()) for path in sorted(MESSY.iterdir())]
    how = Reading(parse, passwords, None, 20, 60, 0)
    for original_, outcome in parse_all(documents, passwords=passwords):
        assert outcome == read(how, Item(original_.document, original_.data, None, ""))


SCRIPT = """
print("the script runs as", __name__, flush=True)
from vecver.model import Original
from vecver.pipeline.workers.pool import parse_all
for original, outcome in parse_all([Original("a.html", "s", "d", data=b"<h1>Valves</h1>")]):
    print(outcome.text)
assert __spec__ is None
"""


def test_a_script_without_main_guard_runs_once(tmp_path: Path) -> None:
    script = tmp_path / "ingest.py"
    script.write_text(SCRIPT)
    root = Path(workers.__file__).absolute().parents[3]
    run = subprocess.run([sys.executable, script], env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True,
                         text=True, timeout=120, check=False)  # fmt: skip
    assert (run.stdout, run.stderr) == ("the script runs as __main__\n# Valves\n", "")


@posix
def test_documents_are_parsed_where_the_temporary_folder_has_a_long_path(tmp_path: Path) -> None:
    """Its sockets are named in a folder of /tmp then, which goes when the program ends."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    script = tmp_path / "ingest.py"
    script.write_text(SCRIPT + "import multiprocessing\nprint(multiprocessing.current_process()._config['tempdir'])\n")
    root = Path(workers.__file__).absolute().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(folder)}
    run = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
    start, text, short = run.stdout.splitlines()
    assert (start, text, run.stderr) == ("the script runs as __main__", "# Valves", "")
    assert short.startswith("/tmp/pymp-") and not Path(short).exists() and list(folder.iterdir()) == []


def test_where_no_folder_is_short_enough_the_error_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_LONGEST_FOLDER", 1)
    monkeypatch.setattr(processes, "_SHORT_FOLDER", tmp_path / "missing")
    monkeypatch.setattr("multiprocessing.process.current_process", lambda: SimpleNamespace(_config={}))
    with pytest.raises(BackendError, match="too long for a socket") as caught:
        processes._use_short_folder()
    assert caught.value.hint == "set TMPDIR to a folder with a path of at most 1 bytes"


# -- nothing depends on what a worker read before, or on how busy the machine is ----------------


def moody(data: bytes, name: str, passwords: Sequence[str] = ()) -> Parsed:
    """A parser that does what the document says, and remembers what it did in this process."""
    what, _, value = data.decode().partition(" ")
    if what == "keep":
        _held.append(bytearray(int(value)))
    elif what == "take":
        bytearray(int(value))
    elif what == "once":
        with Path(value).open("a") as log:
            log.write(f"{os.getpid()}\n")
        if len(Path(value).read_text().splitlines()) == 1:
            os._exit(3)
    elif what == "work":
        until = time.process_time() + float(value)
        while time.process_time() < until:
            pass
    elif what == "poisoned" and _held:
        raise Unreadable("malformed", "Something that was read before is in the way.")
    return Parsed(f"{what} {os.getpid()}", "", "application/pdf", "moody 1")


_held: list[bytearray] = []


@linux
@pytest.mark.parametrize("borderline", ["take 300000000", "poisoned"])
def test_earlier_documents_of_a_worker_change_no_outcome(borderline: str) -> None:
    texts = ["keep 250000000", borderline, "take 600000000"]
    documents = [original(f"{n}.pdf", what) for n, what in enumerate(texts)]
    outcomes = list(parse_all(documents, workers=1, memory=500_000_000, parse=moody))
    assert codes(iter(outcomes)) == ["ok", "ok", "out_of_memory"]


@linux
def test_a_document_that_crashes_once_is_read_in_a_new_worker(tmp_path: Path) -> None:
    [(_, outcome)] = parse_all([original("a.pdf", f"once {tmp_path / 'log'}")], workers=1, parse=moody)
    first, second = (tmp_path / "log").read_text().split()
    assert isinstance(outcome, Parsed) and outcome.text == f"once {second}" and first != second


@pytest.mark.parametrize("beside", [[], ["hang"]], ids=["alone", "beside another"])
def test_a_crash_is_reported_though_its_acknowledgement_is_read_late(
    monkeypatch: pytest.MonkeyPatch, beside: list[str]
) -> None:
    from pebble.pool.process import TaskManager

    start = TaskManager.task_start

    def late(self: Any, task: int, worker: int | None) -> None:
        if worker is not None:
            time.sleep(0.7)
        start(self, task, worker)

    monkeypatch.setattr(TaskManager, "task_start", late)
    texts = [*beside, "die"]
    outcomes = list(parse_all([original(f"{text}.pdf", text) for text in texts], timeout=3.0, parse=accident))
    assert outcomes[-1][1] == Failure("die.pdf", "crashed", "The parser crashed on it (exit code 3).")


@linux
def test_a_document_that_always_crashes_is_read_twice(tmp_path: Path) -> None:
    documents = [original("a.pdf", f"crash {tmp_path / 'log'}"), original("b.pdf", "fine")]
    outcomes = list(parse_all(documents, parse=crash_and_log))
    assert codes(iter(outcomes)) == ["crashed", "ok"]
    assert outcomes[0][1] == Failure("a.pdf", "crashed", "The parser crashed on it (exit code 7).")
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def crash_and_log(data: bytes, name: str, passwords: Sequence[str] = ()) -> Parsed:
    what, _, value = data.decode().partition(" ")
    if what == "crash":
        with Path(value).open("a") as log:
            log.write("read\n")
        os._exit(7)
    return Parsed(what, "", "application/pdf", "log 1")


@linux
def test_a_busy_machine_fails_no_document() -> None:
    """It works for longer by the clock than it may wait, and all the time gets a share of a processor only."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3 * (os.cpu_count() or 1))]
    try:
        assert codes(parse_all([original("a.pdf", "work 0.6")], cpu=10, timeout=1, parse=moody)) == ["ok"]
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
