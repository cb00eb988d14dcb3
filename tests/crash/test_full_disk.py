"""A disk that is full or cannot be written: the error names the place, and gc still makes room.

On file systems of their own, a few megabytes in memory; skipped where none can be mounted.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from helpers import ingest, open_on, records, texts_of, vector_of
from inside import versions_of

import vecver
from vecver import pipeline
from vecver.cli.app import main
from vecver.errors import BackendError, VecverError
from vecver.repo.maintain import trash
from vecver.repo.maintain.rewrite import Rewrite
from vecver.store import LocalStore

NOW = timedelta(0)
LARGE = {str(i): f"text {i} " * 40 for i in range(1500)}  # 0.6 MB
SMALL = {"a": "one", "b": "two"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Use every byte that is left."""
    with open(disk / "filler", "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return disk / "filler"


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


def two_versions(disk: Path) -> vecver.Repository:
    """The older version is large, and `keep_last=1` drops it."""
    docs = open_on(LocalStore(disk / "kb")).dataset("d")
    ingest(docs, LARGE)
    ingest(docs, SMALL)
    return open_on(LocalStore(disk / "kb"))  # which maps nothing yet: what is mapped keeps its room


def size_of(disk: Path) -> int:
    return sum(path.stat().st_size for path in (disk / "kb/segments").rglob("*") if path.is_file())


# -- gc makes room ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [0, 1, 2], ids=["never seen", "waiting", "condemned"])
def test_gc_frees_a_full_disk(disk: Path, seen: int) -> None:
    repository = two_versions(disk)
    before = size_of(disk)
    if seen:
        repository.gc(keep_last=1, grace=NOW, apply=True)
    if seen == 2:
        going = trash.read(versions_of(repository).store).waiting
        trash.condemn(versions_of(repository).store, going)
    fill(disk)
    for _ in range(2):
        vecver.open(disk / "kb").gc(keep_last=1, grace=NOW, apply=True)
    assert size_of(disk) < before / 20
    assert repository.check().clean and texts_of(repository.dataset("d")) == SMALL
    ingest(repository.dataset("d"), {**SMALL, "c": "three"})
    assert texts_of(vecver.open(disk / "kb").dataset("d")) == {**SMALL, "c": "three"}
    assert (disk / "kb/local/spare").stat().st_size >= 1 << 16, "there is room to spare for the next time"


@pytest.mark.parametrize("left", ["index", "parts"])
def test_gc_frees_a_full_disk_of_a_repository_without_spare_room(disk: Path, left: str) -> None:
    """Older repositories have no reserved file, so gc deletes derived files first."""
    repository = two_versions(disk)
    docs = repository.dataset("d")
    store = versions_of(repository).store
    segment = versions_of(repository).layout(docs.resolve("main~1")).segments[0].segment
    for name in [f"segments/{segment}/flat.json", f"segments/{segment}/flat"] if left == "index" else ["parts/x/y"]:
        store.put(name, b"?" * 20000)
    (disk / "kb/local/spare").unlink()
    fill(disk)
    for _ in range(2):
        repository.gc(keep_last=1, grace=NOW, apply=True)
    assert repository.check().clean and texts_of(docs) == SMALL
    ingest(docs, {**SMALL, "c": "three"})


def test_where_nothing_can_go_gc_says_so_and_changes_nothing(disk: Path) -> None:
    repository = two_versions(disk)
    (disk / "kb/local/spare").unlink()
    fill(disk)
    with pytest.raises(BackendError) as caught:
        repository.gc(keep_last=1, grace=NOW, apply=True)
    assert caught.value.code == "store_full" and str(disk) in caught.value.message
    assert repository.check().clean and len(texts_of(repository.dataset("d"), "main~1")) == len(LARGE)


VERBS: dict[str, Callable[[vecver.Dataset], object]] = {
    "ingest": lambda docs: ingest(docs, LARGE),
    "tag": lambda docs: docs.tag("t"),
    "promote": lambda docs: docs.promote("prod", "main"),
    "rollback": lambda docs: docs.rollback("main"),
    "optimize": lambda docs: docs.optimize(),
    "recall": lambda docs: docs.recall(sample=2),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_disk_that_fills_up_in_a_verb_costs_nothing_but_the_verb(disk: Path, verb: str) -> None:
    docs = two_versions(disk).dataset("d")
    filler = fill(disk)
    for room in (0, 4096, 8192, 16384, 65536, 262144):  # the disk fills up a little later each time
        with open(filler, "r+b") as file:
            file.truncate(max(filler.stat().st_size - room, 0))
        try:
            VERBS[verb](docs)
        except VecverError as error:  # not the disk's where an earlier turn got through
            assert error.code in ("store_full", "name_taken", "nothing_before")
        assert docs.repository.check().clean
        assert docs.search(vector_of("one")).hits
    filler.unlink()
    if verb not in ("tag", "rollback"):
        VERBS[verb](docs)
    assert docs.repository.check().clean


def test_a_disk_that_fills_up_during_upkeep_fails_no_commit(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = open_on(LocalStore(disk / "kb"), background=True).dataset("d")
    texts = dict(SMALL)
    for turn in range(8):
        texts[f"n{turn}"] = "x"
        ingest(docs, texts)
    write, texts = Rewrite.write, {**texts, "last": "x"}
    with monkeypatch.context() as patch:
        patch.setattr(Rewrite, "write", lambda rewrite, progress: (fill(disk), write(rewrite, progress)))
        assert ingest(docs, texts).changed
        with pytest.raises(BackendError) as caught:
            docs.repository.settle()
    assert caught.value.code == "store_full" and str(disk) in caught.value.message
    assert docs.repository.check().clean and texts_of(docs) == texts
    (disk / "filler").unlink()
    texts["after"] = "x"
    report = ingest(docs, texts)
    docs.repository.settle()
    assert "No space" in report.notes[0] and len(versions_of(docs).layout(docs.resolve()).segments) == 1
    assert docs.repository.check().clean and texts_of(docs) == texts


# -- what cannot be written is named ----------------------------------------------------------------


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=True)


def refused(outcome: Result, place: Path | str) -> None:
    """A house error, and no traceback, that names the place."""
    assert isinstance(outcome.exception, SystemExit | None), outcome.exception
    assert outcome.exit_code in (2, 7), outcome.output
    assert "error: " in outcome.output and str(place) in outcome.output, outcome.output


def no_model(*_: object, **__: object) -> None:
    raise AssertionError("a model is loaded although nothing could be kept")


@pytest.fixture
def prepared(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    two_versions(disk)
    (disk / "notes").mkdir()
    (disk / "notes/a.md").write_text("# Title\n\nA text.\n")
    (disk / "vectors.jsonl").write_text("".join(json.dumps({**r, "vector": r["vector"].tolist()}) + "\n"
                                                for r in records({"x": "new"})))  # fmt: skip
    monkeypatch.setattr(pipeline, "open_embedder", no_model)
    monkeypatch.setenv("VECVER_STATE", str(disk / "state"))
    monkeypatch.setenv("HOME", str(disk))
    return disk


WRITING = [
    ("init", "{disk}/new"),
    ("ingest", "new", "{disk}/notes"),
    ("ingest", "d", "{disk}/vectors.jsonl"),
    ("tag", "d", "fresh"),
    ("branch", "d", "fresh"),
    ("promote", "d", "prod", "main"),
    ("rollback", "d@main"),
    ("gc", "--apply", "--keep-last", "1", "--grace", "0"),
    ("optimize", "d"),
    ("recall", "d"),
    ("snapshot", "d", "{disk}/out"),
    ("key", "add", "ci", "--scope", "*:read"),
    ("serve", "--port", "1"),
]


@pytest.mark.parametrize("command", WRITING, ids=lambda command: " ".join(command))
def test_a_command_that_writes_names_the_place_it_cannot_write(prepared: Path, command: tuple[str, ...]) -> None:
    arguments = [part.format(disk=prepared) for part in command]
    with read_only(prepared):
        outcome = run("--repo", str(prepared / "kb"), *arguments)
        if command[0] == "recall" and outcome.exit_code == 0:
            return
        refused(outcome, prepared)
    assert vecver.open(prepared / "kb").check().clean


@pytest.mark.parametrize("command", [c for c in WRITING if c[0] in ("ingest", "tag", "key", "snapshot", "init")],
                         ids=lambda command: " ".join(command))  # fmt: skip
def test_a_command_on_a_full_disk_names_it(prepared: Path, command: tuple[str, ...]) -> None:
    fill(prepared)
    refused(run("--repo", str(prepared / "kb"), *[part.format(disk=prepared) for part in command]), prepared)
    (prepared / "filler").unlink()
    assert vecver.open(prepared / "kb").check().clean
    assert not list(prepared.glob("state/*.part"))


def test_a_key_is_revoked_whole_or_not_at_all(prepared: Path) -> None:
    made = json.loads(run("--repo", str(prepared / "kb"), "key", "add", "ci", "--scope", "*:read", "--json").output)
    with read_only(prepared):
        refused(run("--repo", str(prepared / "kb"), "key", "revoke", made["id"]), prepared / "state")
        assert made["id"] in run("--repo", str(prepared / "kb"), "key", "list").output


READING = [
    ("datasets",),
    ("log", "d"),
    ("show", "d"),
    ("diff", "d", "main~1", "main"),
    ("status", "d", "{disk}/vectors.jsonl"),
    ("check",),
    ("gc",),
    ("search", "d", "--queries", "{disk}/queries.jsonl"),
    ("tag", "d"),
]


@pytest.mark.parametrize("command", READING, ids=lambda command: " ".join(command))
def test_a_command_that_reads_needs_no_writable_repository(prepared: Path, command: tuple[str, ...]) -> None:
    (prepared / "queries.jsonl").write_text(json.dumps({"vector": vector_of("one").tolist()}) + "\n")
    with read_only(prepared):
        outcome = run("--repo", str(prepared / "kb"), *[part.format(disk=prepared) for part in command])
    assert outcome.exit_code == (2 if "No such command" in outcome.output else 0), outcome.output


def test_a_receipt_that_could_not_be_written_stops_the_search_before(prepared: Path) -> None:
    with read_only(prepared):
        refused(run("--repo", str(prepared / "kb"), "search", "d", "q", "--receipt", f"{prepared}/r.json"), prepared)


def test_replay_needs_no_writable_repository(prepared: Path) -> None:
    docs = vecver.open(prepared / "kb").dataset("d")
    receipt = docs.search(vector_of("one")).receipt
    with read_only(prepared):
        assert vecver.replay(vecver.open(prepared / "kb"), receipt).identical


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user")
@pytest.mark.parametrize("folder", ["", "refs", "moves", "segments", "commits", "tmp"])
def test_a_folder_that_may_not_be_read_or_written_is_named(prepared: Path, folder: str) -> None:
    """As another user than root, whom no right holds back."""
    for above in list(prepared.parents)[:-1]:
        above.chmod(above.stat().st_mode | 0o111)
    (prepared / "kb" / folder).chmod(0)
    repo = ("--repo", str(prepared / "kb"))
    os.seteuid(65534)
    try:
        for command in (("log", "d"), ("show", "d"), ("search", "d", "q"), ("tag", "d", "fresh"), ("check",)):
            outcome = run(*repo, *command)
            assert isinstance(outcome.exception, SystemExit | None), outcome.exception
            if folder in ("", "refs") or command[0] == "tag":
                assert outcome.exit_code and str(prepared) in outcome.output
    finally:
        os.seteuid(0)


def test_the_place_is_in_the_error_of_every_store(disk: Path) -> None:
    store = LocalStore(disk / "kb")
    with read_only(disk):
        for verb in (lambda: store.put("a/b", b"x"), lambda: store.swap("a", None, b"x"), store.scratch):
            with pytest.raises(VecverError) as caught:
                verb()
            assert str(disk / "kb") in caught.value.message
