"""Killed publishers, a killed Milvus server, and publishers beside readers: every answer is right."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import milvus_server
import pytest
from inside import session_of
from paths import SUPPORT
from published import (
    Reader,
    assert_clean,
    assert_right,
    connection_of,
    ingest,
    ledger_of,
    let_go,
    opened,
    publish_chain,
    version,
)

import vecver
from vecver.errors import BackendError, ConflictError
from vecver.store import LocalStore

pytestmark = pytest.mark.milvus
pytest.importorskip("milvus_lite", reason="no milvus-lite: install vecver[milvus]")

# Arguments: the folder of the tests, the repository, the Milvus ("": the embedded one), the numbers of versions to
# publish, and "reading" where only this process can ask that Milvus. Ends itself with 3 when an answer is wrong.
PUBLISHER = """
import os, sys, threading, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from published import Reader, connection_of, opened, publish_chain
from vecver.store import LocalStore

def watch(reader):
    while not reader.wrong:
        time.sleep(0.01)
    print(*reader.wrong, sep="\\n", file=sys.stderr, flush=True)
    os._exit(3)

place, uri, numbers = LocalStore(Path(sys.argv[2])), sys.argv[3], eval(sys.argv[4])
docs = opened(place, uri)
connection_of(docs, uri)
if "reading" in sys.argv:
    reader = Reader(opened(place, uri))
    reader.start()
    threading.Thread(target=watch, args=[reader], daemon=True).start()
print("ready", flush=True)
publish_chain(docs, numbers, lambda number: print(number, flush=True))
"""


def started(folder: Path, uri: str, numbers: str, *how: str) -> subprocess.Popen[str]:
    """A process that publishes versions, and has entered Milvus."""
    command = [sys.executable, "-c", PUBLISHER, str(SUPPORT), str(folder), uri, numbers, *how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stderr
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process


def killed(process: subprocess.Popen[str], chance: random.Random) -> list[int]:
    """Kill it after a random time, every other time from its first publication on; the numbers that it printed."""
    assert process.stdout
    told = process.stdout.readline() if chance.random() < 0.5 else ""
    time.sleep(chance.uniform(0.05, 1.0))
    process.send_signal(signal.SIGKILL)
    rest, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said
    return [int(number) for number in (told + rest).split()]


def newest(docs: vecver.Dataset) -> int:
    """The number of the last version that was made; 0 if there is none."""
    return max((int(tag[1:]) for tag in docs.tags()), default=0)


def assert_chain(docs: vecver.Dataset, uri: str, last: int, sample: int = 10**9) -> None:
    """All versions, or the newest and a sample of the others, are published and right, and Milvus holds just them."""
    numbers = list(range(1, last + 1))
    for number in {last, *random.Random(last).sample(numbers, min(sample, last))}:
        assert_right(docs, f"v{number}", version(number))
    assert_clean(docs, uri)


# -- a publisher that is killed ----------------------------------------------------------------


def kill_lite(folder: Path, times: int) -> int:
    """How many versions a chain has, whose publisher was killed so often; it held the embedded Milvus."""
    chance, last = random.Random(1), 1
    for _ in range(times):
        told = killed(started(folder, "", f"range({last}, 10**6)", "reading"), chance)
        docs = opened(LocalStore(folder))
        for number in told[-1:]:
            assert_right(docs, f"v{number}", version(number))
        last = max(newest(docs), 1)
        publish_chain(docs, [last], lambda number: None)
        assert_chain(docs, "", last, sample=3)
        connection_of(docs).close()
        let_go(folder)
    return last


def kill_on_server(folder: Path, uri: str, times: int) -> tuple[int, int]:
    """The same on a server, beside which a reader asks all the time; how many versions, and how many questions."""
    chance, docs = random.Random(2), opened(LocalStore(folder), uri)
    reader = Reader(opened(LocalStore(folder), uri))
    reader.start()
    for _ in range(times):
        told = killed(started(folder, uri, f"range({max(newest(docs), 1)}, 10**6)"), chance)
        for number in told[-1:]:
            assert_right(docs, f"v{number}", version(number))
        last = max(newest(docs), 1)
        publish_chain(docs, [last], lambda number: None)
        assert_chain(docs, uri, last, sample=3)
        assert reader.wrong == []
    assert reader.stopped().wrong == []
    return last, reader.asked


def test_a_killed_publisher_of_the_embedded_milvus(tmp_path: Path) -> None:
    assert kill_lite(tmp_path, times=2) >= 1


def test_a_killed_publisher_of_a_server(milvus_server_uri: str, tmp_path: Path) -> None:
    milvus_server.empty(milvus_server_uri)
    versions, asked = kill_on_server(tmp_path, milvus_server_uri, times=3)
    assert versions >= 1 and asked > 0


@pytest.mark.deep
@pytest.mark.timeout(3600)
def test_many_killed_publishers_of_the_embedded_milvus(tmp_path: Path) -> None:
    versions = kill_lite(tmp_path, times=30)
    print(f"{versions} versions")
    assert versions > 3  # 7 were seen on a machine at load 13


@pytest.mark.deep
@pytest.mark.timeout(3600)
def test_many_killed_publishers_of_a_server(milvus_server_uri: str, tmp_path: Path) -> None:
    milvus_server.empty(milvus_server_uri)
    versions, asked = kill_on_server(tmp_path, milvus_server_uri, times=50)
    print(f"{versions} versions, {asked} answers")
    assert versions > 25 and asked > 500


# -- a server that is killed -------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[milvus_server.MilvusServer]:
    if not milvus_server.entered():
        pytest.skip("no network namespace: run with `python tests/support/milvus_server.py ...`")
    with milvus_server.MilvusServer(tmp_path / "server") as server:
        yield server


def kill_server(server: milvus_server.MilvusServer, folder: Path, times: int) -> list[str]:
    """What publishers met whose server was killed and started again."""
    chance, uri, met = random.Random(3), server.uri, list[str]()
    docs = opened(LocalStore(folder), uri)
    publish_chain(docs, range(1, 6), lambda number: None)
    reader = Reader(opened(LocalStore(folder), uri, timeout=60.0), patient=True)
    reader.start()
    for _ in range(times):
        first, ended = newest(docs) + 1, threading.Event()

        def publishing(first: int = first, ended: threading.Event = ended) -> None:
            try:
                publish_chain(opened(LocalStore(folder), uri, timeout=3.0), range(first, 10**6), lambda _: None)
            except BackendError as error:
                met.append(f"{error.code}: {error.message}")
            except BaseException as error:
                met.append(repr(error))
            ended.set()

        threading.Thread(target=publishing, daemon=True).start()
        time.sleep(chance.uniform(0.1, 1.5))
        server.kill()
        assert ended.wait(120)
        assert docs.repository.check().problems == ()
        server.start()
        docs = opened(LocalStore(folder), uri)  # with the patience of 60 s: it loads its collections first
        publish_chain(docs, [newest(docs)], lambda number: None)
        assert_chain(docs, uri, newest(docs), sample=3)
        assert reader.wrong == []
    assert reader.stopped().wrong == [] and reader.asked > 0
    print(met, reader.asked, reader.unanswered)
    return met


def test_a_killed_server(server: milvus_server.MilvusServer, tmp_path: Path) -> None:
    (met,) = kill_server(server, tmp_path / "kb", times=1)
    assert met.startswith("milvus_")


@pytest.mark.deep
@pytest.mark.timeout(3600)
def test_a_server_that_is_killed_often(server: milvus_server.MilvusServer, tmp_path: Path) -> None:
    met = kill_server(server, tmp_path / "kb", times=10)
    assert len(met) == 10 and all(one.startswith("milvus_") for one in met)


# -- several at once ---------------------------------------------------------------------------


def made(folder: Path, versions: int) -> None:
    """A repository with a chain of versions, none published."""
    docs = opened(LocalStore(folder))
    for number in range(1, versions + 1):
        ingest(docs, version(number))
        docs.tag(f"v{number}")


def assert_all_published(folder: Path, uri: str, versions: int) -> None:
    """Each once, and each as it is."""
    docs = opened(LocalStore(folder), uri)
    assert_chain(docs, uri, versions, sample=6)
    states = [(c.name, state.ordinal) for c in ledger_of(docs, uri).collections for state in c.states]
    assert len(set(states)) == len(states) == versions


def test_two_publishers_and_a_reader_at_once(milvus: str, tmp_path: Path) -> None:
    """Threads, each with a handle of its own; both publish the same versions in opposite order."""
    made(tmp_path / "kb", 6)
    told, failed = list[int](), list[BaseException]()

    def publishing(numbers: list[int]) -> None:
        try:
            publish_chain(opened(LocalStore(tmp_path / "kb"), milvus), numbers, told.append)
        except BaseException as error:
            failed.append(error)

    orders = [list(range(1, 7)), list(range(6, 0, -1))]
    reader = Reader(opened(LocalStore(tmp_path / "kb"), milvus))
    threads = [threading.Thread(target=publishing, args=[order]) for order in orders]
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failed == [] and sorted(told) == sorted([*orders[0], *orders[1]])
    assert reader.stopped().wrong == [] and reader.asked > 0
    assert_all_published(tmp_path / "kb", milvus, 6)


def test_two_publishing_processes_and_a_reader(milvus_server_uri: str, tmp_path: Path) -> None:
    milvus_server.empty(milvus_server_uri)
    made(tmp_path, 8)
    reader = Reader(opened(LocalStore(tmp_path), milvus_server_uri))
    reader.start()
    both = [started(tmp_path, milvus_server_uri, numbers) for numbers in ("range(1, 9)", "range(8, 0, -1)")]
    for process in both:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert reader.stopped().wrong == [] and reader.asked > 0
    assert_all_published(tmp_path, milvus_server_uri, 8)


def test_a_publisher_that_finds_another_at_work(milvus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits; and gives up without having written anything."""
    from vecver.repo.published import ledger

    made(tmp_path / "kb", 2)
    docs, other = (opened(LocalStore(tmp_path / "kb"), milvus) for _ in range(2))
    docs.publish("v1")
    before = ledger_of(docs)
    monkeypatch.setattr(ledger, "WAIT_SECONDS", 0.1)
    for verb in (lambda: other.publish("v2"), lambda: other.unpublish("v1"), other.republish):
        with session_of(docs).milvus.publisher("d").book.alone(), pytest.raises(ConflictError) as error:
            verb()
        assert error.value.code == "locked" and error.value.hint
    assert ledger_of(docs) == before
    assert_clean(docs, milvus)
    assert other.publish("v2").ordinal == 2
