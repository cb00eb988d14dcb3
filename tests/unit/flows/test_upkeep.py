"""Upkeep beside the writers: commits return before it, it is bounded, its errors are kept, and it can be stopped."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers import ingest, open_on, records, texts_of, vector_of
from inside import versions_of, waiting_jobs
from version_histories import NO_GRACE, assert_versions_hold, history, segments_of

import vecver
from vecver.errors import BackendError
from vecver.flows.maintaining import upkeep
from vecver.index import faiss
from vecver.repo.maintain import fold
from vecver.repo.maintain.rewrite import Rewrite
from vecver.store import LocalStore, Store

SECONDS = 30.0  # after which a test that waits for a thread fails


class Gate:
    """Holds every fold before its first row is copied. `reached`: one waits there."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def hold(self) -> None:
        self.reached.set()
        assert self.opened.wait(SECONDS)


@contextmanager
def held_folds() -> Iterator[Gate]:
    """Folds wait inside until the gate is opened; it is at the end."""
    gate, write = Gate(), Rewrite.write

    def held(rewrite: Rewrite, progress: Any = None) -> None:
        gate.hold()
        write(rewrite, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rewrite, "write", held)
        try:
            yield gate
        finally:
            gate.opened.set()


def beside(store: Store) -> vecver.Dataset:
    """A dataset of a repository that is kept up in a thread."""
    return open_on(store, background=True).dataset("d")


def bits(docs: vecver.Dataset) -> list[tuple[str, str]]:
    """The hits of a query, with the bits of their scores."""
    return [(hit.document, float(hit.score).hex()) for hit in docs.search(vector_of("text 3"), k=20)]


def test_a_commit_returns_before_its_fold_and_is_searched_at_once(store: Store) -> None:
    docs = beside(store)
    with held_folds() as gate:
        known = dict(history(docs, 9))
        assert gate.reached.wait(SECONDS) and len(segments_of(docs)) == 9
        before = bits(docs)
        assert {document for document, _ in before} == set(list(known.values())[-1])
    docs.repository.settle()
    assert len(segments_of(docs)) == 1 and bits(docs) == before and bits(beside(store)) == before
    assert_versions_hold(docs, known)


def test_commits_that_land_during_a_fold_follow_it(store: Store) -> None:
    docs = beside(store)
    with held_folds() as gate:
        known = dict(history(docs, 9))
        assert gate.reached.wait(SECONDS)
        texts = {**list(known.values())[-1], "late": "x"}
        known[str(ingest(docs, texts).commit)] = texts
    docs.repository.settle()
    assert len(segments_of(docs)) == 2
    assert_versions_hold(docs, known)


def test_a_commit_that_was_begun_before_a_fold_and_lands_after_it_does_not_undo_it(store: Store) -> None:
    docs = beside(store)
    with held_folds() as gate:
        known = dict(history(docs, 9))
        assert gate.reached.wait(SECONDS)

        def slowly() -> Iterator[Any]:
            yield from records({"late": "x"})
            gate.opened.set()
            docs.repository.settle()

        commit = docs.ingest(slowly(), space="test", metric="ip", keep_missing=True).commit
    assert len(segments_of(docs)) == 2
    assert_versions_hold(docs, {**known, str(commit): {**list(known.values())[-1], "late": "x"}})


def test_one_job_of_a_branch_waits_whatever_the_number_of_commits(store: Store) -> None:
    docs = beside(store)
    with held_folds() as gate:
        known = dict(history(docs, 9))
        assert gate.reached.wait(SECONDS)
        docs.branch("side")
        for turn in range(4):
            for branch in ("main", "side"):
                texts = {**texts_of(docs, branch), f"late {turn}": branch}
                known[str(ingest(docs, texts, branch=branch).commit)] = texts
        assert waiting_jobs(docs) == [("d", "main"), ("d", "main"), ("d", "side")]
        assert sum(thread.name == "vecver upkeep" for thread in threading.enumerate()) == 1
    docs.repository.settle()
    assert waiting_jobs(docs) == [] and max(len(segments_of(docs, at)) for at in ("main", "side")) <= fold.MANY_SMALL
    assert_versions_hold(docs, known)


@pytest.mark.parametrize(("limit", "value"), [("SMALL_SEGMENTS", 8), ("SCANNED", 0)])
def test_a_commit_waits_where_its_tail_is_too_long(
    store: Store, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(upkeep, limit, value)
    docs = beside(store)
    known = dict(history(docs, 8))
    texts = {**list(known.values())[-1], "a": "last"}
    with held_folds() as gate:
        writer = threading.Thread(target=lambda: ingest(docs, texts))
        writer.start()
        assert gate.reached.wait(SECONDS)
        writer.join(0.05)
        assert writer.is_alive() and texts_of(docs) == texts, "it has landed and waits"
        gate.opened.set()
        writer.join(SECONDS)
        assert len(segments_of(docs)) == 1
    assert_versions_hold(docs, {**known, docs.resolve(): texts})


def test_an_index_is_built_after_the_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss.costs, "INDEX_ROWS", 300)
    docs = beside(store)
    ingest(docs, {f"d{i}": f"text {i}" for i in range(320)})
    first = bits(docs)
    docs.repository.settle()
    (segment,) = versions_of(docs).snapshot(docs.resolve()).segments
    assert versions_of(docs).has_derived(segment, faiss.SPEC) and bits(docs) == first


def test_rows_that_are_too_many_to_scan_are_indexed_before_they_land(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faiss.costs, "INDEX_ROWS", 100)
    docs, units = beside(store), list[str]()
    ingest(docs, {f"d{i}": f"text {i}" for i in range(420)}, progress=lambda unit, *_: units.append(unit))
    (segment,) = versions_of(docs).snapshot(docs.resolve()).segments
    assert "index rows" in units and versions_of(docs).has_derived(segment, faiss.SPEC) and waiting_jobs(docs) == []


# -- errors -----------------------------------------------------------------------------------------


def full(*_: Any) -> None:
    raise BackendError("the disk is full", code="store_full", hint="free space", retryable=True)


def gone(*_: Any) -> None:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "somewhere")


@pytest.mark.parametrize(("failure", "text"), [(full, "the disk is full"), (gone, "FileNotFoundError")])
def test_an_error_is_kept_and_shown_until_a_later_commit_succeeds(
    store: Store, monkeypatch: pytest.MonkeyPatch, failure: Any, text: str
) -> None:
    docs = beside(store)
    with monkeypatch.context() as patch:
        patch.setattr(Rewrite, "write", failure)
        known = dict(history(docs, 9))
        with pytest.raises(BackendError, match=text):
            docs.repository.settle()
    (note,) = docs.repository.check().notes
    assert note.startswith("d@main: the small segments were not folded: ") and text in note
    texts = {**list(known.values())[-1], "a": "last"}
    report = ingest(docs, texts)
    known[str(report.commit)] = texts
    assert text in report.notes[0]
    docs.repository.settle()
    assert len(segments_of(docs)) == 1 and docs.repository.check().notes == ()
    assert ingest(docs, {**texts, "b": "more"}).notes == ()
    assert_versions_hold(docs, known)


def test_check_names_a_branch_that_another_process_left(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Rewrite, "write", gone)
        docs = beside(store)
        list(history(docs, 9))
        docs.repository.close()
    found = open_on(store).check()
    assert found.clean and found.notes[0].startswith("d@main is not folded and indexed yet: ")


def test_an_error_goes_with_its_branch(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = beside(store)
    with monkeypatch.context() as patch:
        patch.setattr(Rewrite, "write", full)
        ingest(docs, {"a": "x"})
        docs.branch("side")
        list(history(docs, 9, branch="side"))
        with pytest.raises(BackendError):
            docs.repository.settle()
    docs.delete_branch("side")
    docs.repository.settle()
    assert docs.repository.check().notes == ()


# -- waiting and stopping ---------------------------------------------------------------------------


def test_what_reads_or_rewrites_all_waits_for_it(store: Store) -> None:
    for turn, wait in enumerate(
        (
            lambda docs: docs.optimize(),
            lambda docs: docs.recall(sample=1, k=[1]),
            lambda docs: docs.repository.check(),
            lambda docs: docs.repository.gc(grace=NO_GRACE, apply=True),
            lambda docs: docs.repository.close(),
        )
    ):
        docs = open_on(store, background=True).dataset(f"d{turn}")
        with held_folds() as gate:
            list(history(docs, 9))
            threading.Timer(0.02, gate.opened.set).start()
            wait(docs)
            assert waiting_jobs(docs) == [] and len(segments_of(docs)) == 1
        assert docs.repository.check().clean


def test_close_stops_it_at_a_safe_point_and_the_next_commit_does_the_rest(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "CLOSE_SECONDS", 0.0)
    docs = beside(store)
    with held_folds() as gate, docs.repository:
        known = dict(history(docs, 9))
        threading.Timer(0.02, gate.opened.set).start()
    assert len(segments_of(docs)) == 9 and waiting_jobs(docs) == []
    texts = {**list(known.values())[-1], "a": "last"}
    known[str(ingest(docs, texts).commit)] = texts
    docs.repository.settle()
    assert len(segments_of(docs)) == 1
    assert_versions_hold(docs, known)


def test_the_first_of_two_closes_leaves_the_other_its_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_up = upkeep.Upkeep(versions_of(beside(store)))
    limits: list[float] = []

    def wait() -> None:
        limits.append(kept_up._stop_at)
        if len(limits) == 1:
            kept_up._stop_at += 1  # as a second `close` in another thread sets it

    monkeypatch.setattr(kept_up, "wait", wait)
    kept_up.close()
    assert kept_up._stop_at == limits[0] + 1
    kept_up.close()
    assert limits[1] < float("inf") == kept_up._stop_at


def test_of_two_repositories_one_folds_and_the_other_waits_for_it(store: Store) -> None:
    docs, other = beside(store), beside(store)
    known = dict(history(docs, 8))
    with versions_of(other).folding("d"):
        texts = {**list(known.values())[-1], "a": "last"}
        known[str(ingest(docs, texts).commit)] = texts
        assert len(segments_of(docs)) == 9 and waiting_jobs(docs) == [("d", "main")]
    docs.repository.settle()
    assert len(segments_of(docs)) == 1
    assert_versions_hold(docs, known)


def test_many_writers_on_several_repositories(store: Store) -> None:
    handles = [beside(store) for _ in range(3)]
    ingest(handles[0], {"first": "x"})

    def write(number: int) -> None:
        for turn in range(12):
            handles[number].upsert([{"id": f"{number} {turn}", "text": "x", "vector": vector_of(f"{number} {turn}")}])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for docs in handles:
        docs.repository.settle()
    docs = open_on(store).dataset("d")
    assert len(texts_of(docs)) == 37 and docs.repository.check().clean
    sizes = [live.chunk_count for live in versions_of(docs).layout(docs.resolve()).segments]
    assert sum(size < 8 for size in sizes) <= fold.MANY_SMALL


# -- the end of the process -------------------------------------------------------------------------

PROGRAM = """
import sys, time
from pathlib import Path
sys.path[:0] = sys.argv[3:]
import vecver
from helpers import open_on
from version_histories import history
from vecver.repo.maintain.rewrite import Rewrite
from vecver.store import LocalStore
compare = Rewrite.compare
def slow(rewrite):
    deadline = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < deadline:
        time.sleep(0.01)
    compare(rewrite)
Rewrite.compare = slow
docs = open_on(LocalStore(Path(sys.argv[1])), background=True).dataset("d")
list(history(docs, 9))
{end}
"""


@pytest.mark.parametrize(("end", "code"), [("", 0), ("sys.exit(3)", 3), ("raise ZeroDivisionError", 1)])
def test_a_program_that_ends_at_once_gets_it_done(tmp_path: Path, end: str, code: int) -> None:
    done = run_program(tmp_path / "kb", end, seconds=0.3)
    assert done.returncode == code and ("Traceback" in done.stderr) == (code == 1), done.stderr
    docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
    assert len(segments_of(docs)) == 1 and docs.repository.check().clean


def test_a_killed_process_leaves_a_sound_repository_and_the_next_commit_folds(tmp_path: Path) -> None:
    done = run_program(tmp_path / "kb", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", seconds=9)
    assert done.returncode == -9
    docs = beside(LocalStore(tmp_path / "kb"))
    assert len(segments_of(docs)) == 9 and docs.repository.check().clean
    known = {docs.resolve(): texts_of(docs)}
    texts = {**texts_of(docs), "a": "last"}
    known[str(ingest(docs, texts).commit)] = texts
    docs.repository.settle()
    assert len(segments_of(docs)) == 1
    assert_versions_hold(docs, known)


def run_program(place: Path, end: str, *, seconds: float) -> subprocess.CompletedProcess[str]:
    """Nine commits in a process of their own, whose fold takes at least so long, and its end."""
    support = [path for path in sys.path if path.endswith("support")]
    packages = [str(Path(vecver.__file__).parents[1])]
    command = [sys.executable, "-c", PROGRAM.format(end=end), str(place), str(seconds), *support, *packages]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
