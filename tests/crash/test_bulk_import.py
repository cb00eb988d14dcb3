"""Bulk imports that break off: the next publish finishes, no row is there twice, no file is left in the storage."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import milvus_server
import pytest
from buckets import bucket_in_memory
from bulk_server import BulkServer, staged
from paths import SUPPORT
from published import (
    QUERIES,
    Doc,
    assert_clean,
    assert_right,
    connection_of,
    copied,
    ingest,
    ledger_of,
    let_go,
    no_pauses,
    opened,
)
from test_publish_crash import Fuse, FusedStore, FusedStub, PowerFailure

import vecver
from vecver import index
from vecver.errors import BackendError, InvalidInputError
from vecver.flows.publishing import importing
from vecver.index.milvus.connection import DONE, RUNNING
from vecver.repo import Ledger
from vecver.repo.published import rows as rows_room
from vecver.store import LocalStore

pytestmark = pytest.mark.milvus
pytest.importorskip("milvus_lite", reason="no milvus-lite: install vecver[milvus]")

CONTENT = {f"d{i}": Doc(f"text {i}", f"seed {i}", 2020 + i) for i in range(11)}
FILES = 4  # of three rows


class FusedFolder(LocalStore):
    """A folder whose writes go through a fuse."""

    fuse: Fuse

    def put(self, name: str, data: bytes | Path) -> None:
        self.fuse(partial(super().put, name, data))

    def delete(self, *names: str) -> None:
        self.fuse(partial(super().delete, *names))


@pytest.fixture(autouse=True)
def small_and_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several files for a few rows."""
    no_pauses(monkeypatch)
    monkeypatch.setattr(rows_room, "BLOCK_ROWS", 3)
    monkeypatch.setattr(importing, "FILE_BYTES", 1)
    monkeypatch.setattr(importing, "AT_ONCE", 2)
    monkeypatch.setattr(importing, "_PAUSE", 0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> BulkServer:
    return BulkServer(monkeypatch)


@pytest.fixture
def docs(tmp_path: Path, server: BulkServer) -> Any:
    docs = opened(LocalStore(tmp_path / "kb"))
    ingest(docs, CONTENT)
    yield docs
    connection_of(docs).close()
    let_go(tmp_path / "kb")


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "storage"


def assert_finished(docs: vecver.Dataset, server: BulkServer, storage: Path) -> None:
    assert_right(docs, "main", CONTENT)
    assert_clean(docs)
    ledger = ledger_of(docs)
    assert ledger.importing is None and staged(storage) == []
    assert [server.twice(collection.name) for collection in ledger.collections] == [[]]


def broken_off(docs: vecver.Dataset, server: BulkServer, storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publisher that was killed while it waited: two files are imported or being so."""

    def killed(*what: Any) -> Any:
        raise PowerFailure

    with monkeypatch.context() as during, pytest.raises(PowerFailure):
        during.setattr(index.milvus.Connection, "imports", killed)
        docs.publish(bulk=str(storage))


# -- at any moment -------------------------------------------------------------------------------


def cut_off(template: Path, folder: Path, fuse: Fuse, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bulk publish until the fuse blows, and the files of the repository as they are at that moment."""
    work = copied(template, folder / "work")
    docs = opened(FusedStore(LocalStore(work), fuse))
    handler = connection_of(docs)._client._handler
    handler._stub = FusedStub(handler._stub, fuse)
    FusedFolder.fuse = fuse
    ask = index.milvus.Connection.import_file
    with monkeypatch.context() as during:
        during.setattr(importing, "open_store", lambda address, cache_bytes: FusedFolder(Path(address)))
        during.setattr(index.milvus.Connection, "import_file", lambda *what: fuse(partial(ask, *what)))
        try:
            if fuse.left >= 10**9:
                docs.publish(bulk=str(folder / "storage"))
            else:
                with pytest.raises(PowerFailure):
                    docs.publish(bulk=str(folder / "storage"))
            return copied(work, folder / "left")
        finally:
            connection_of(docs).close()
            let_go(work)


def assert_finished_from_anywhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, writes: Callable[[int], range], *, done: bool
) -> None:
    """After each of these writes (`done`), or before it, the power fails; the next publish finishes."""
    template = folder / "template"
    docs = opened(LocalStore(template))
    ingest(docs, CONTENT)
    connection_of(docs).close()
    let_go(template)
    counting = Fuse(10**9)
    BulkServer(monkeypatch)
    cut_off(template, folder, counting, monkeypatch)
    assert counting.count > 4 * FILES
    for n in writes(counting.count):
        server = BulkServer(monkeypatch)
        left = cut_off(template, folder, Fuse(n, done=done), monkeypatch)
        docs, asked = opened(LocalStore(left)), server.asked
        parts = importing.parts_of(ledger_of(docs))
        docs.publish(bulk=str(folder / "storage"))
        assert_finished(docs, server, folder / "storage")
        if len(parts) <= asked:  # else it was about to ask, and nobody knows whether it did
            assert server.asked == FILES, f"after write {n} what was imported was imported again"
        connection_of(docs).close()
        let_go(left)


@pytest.mark.parametrize("done", [False, True])
def test_a_power_failure_around_every_fifth_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: bool) -> None:
    assert_finished_from_anywhere(tmp_path, monkeypatch, lambda count: range(done, count, 5), done=done)


@pytest.mark.deep
@pytest.mark.parametrize("done", [False, True])
def test_a_power_failure_around_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: bool) -> None:
    assert_finished_from_anywhere(tmp_path, monkeypatch, range, done=done)


# -- in states that a server seldom has ------------------------------------------------------------


def test_a_request_that_may_still_be_on_its_way_is_not_repeated(
    docs: vecver.Dataset, server: BulkServer, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*what: Any) -> int:
        raise PowerFailure

    with monkeypatch.context() as during, pytest.raises(PowerFailure):
        during.setattr(index.milvus.Connection, "import_file", killed)
        docs.publish(bulk=str(storage))
    begun = ledger_of(docs).intent
    assert begun and server.asked == 0
    assert docs.publish(bulk=str(storage)).collection != begun.collection
    assert_finished(docs, server, storage)


def test_an_import_that_nobody_recorded_is_not_gone_on_with(
    docs: vecver.Dataset, server: BulkServer, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as during, pytest.raises(PowerFailure):
        during.setattr(index.milvus.Connection, "load", Fuse(0))
        docs.publish(bulk=str(storage))
    begun = ledger_of(docs).intent
    assert begun and server.asked == FILES
    server.import_file(connection_of(docs), begun.collection, "of somebody else")
    server.stuck = True
    with monkeypatch.context() as during:
        real = BulkServer.import_file

        def freed(*what: Any) -> int:
            server.stuck = False
            return real(*what)

        during.setattr(index.milvus.Connection, "import_file", lambda *what: freed(server, *what))
        assert docs.publish(bulk=str(storage)).collection != begun.collection
    assert_finished(docs, server, storage)


def test_what_was_imported_is_not_imported_again(
    docs: vecver.Dataset, server: BulkServer, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(docs, server, storage, monkeypatch)
    begun = ledger_of(docs).intent
    assert server.asked == 2 and begun
    server.imports(connection_of(docs), begun.collection)
    server.imports(connection_of(docs), begun.collection)
    assert len(server.inserted) == 2
    assert docs.publish(bulk=str(storage)).collection == begun.collection
    assert server.asked == FILES
    assert_finished(docs, server, storage)


def test_imports_that_ended_long_ago_are_not_asked_for(
    docs: vecver.Dataset, server: BulkServer, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.looks = 0
    with monkeypatch.context() as during, pytest.raises(PowerFailure):
        during.setattr(index.milvus.Connection, "load", Fuse(0))
        docs.publish(bulk=str(storage))
    server.forget(DONE)
    docs.publish(bulk=str(storage))
    assert server.asked == FILES
    assert_finished(docs, server, storage)


@pytest.mark.parametrize("how", ["forgotten", "failed", "other rows in a file", "other storage", "by upserts"])
def test_a_state_that_cannot_be_gone_on_from_is_left(
    docs: vecver.Dataset,
    server: BulkServer,
    storage: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    broken_off(docs, server, storage, monkeypatch)
    begun = ledger_of(docs).intent
    assert begun and len(staged(storage)) == 2
    assert Ledger.from_json(ledger_of(docs).to_json()) == ledger_of(docs)
    if how == "forgotten":
        server.forget(RUNNING)
    elif how == "failed":
        server.broken = "out of memory"
        server.imports(connection_of(docs), begun.collection)
        server.imports(connection_of(docs), begun.collection)
        server.broken = ""
    elif how == "other rows in a file":
        monkeypatch.setattr(rows_room, "BLOCK_ROWS", 4)
    bulk = None if how == "by upserts" else str(tmp_path / "other" if how == "other storage" else storage)
    assert docs.publish(bulk=bulk).collection != begun.collection
    if how in ("other storage", "by upserts"):
        assert len(staged(storage)) == 2  # nobody looks there
        storage = tmp_path / "other"
    assert_finished(docs, server, storage)


def test_a_file_that_the_server_took_twice_is_noticed(docs: vecver.Dataset, server: BulkServer, storage: Path) -> None:
    server.repeats = 2
    with pytest.raises(BackendError, match="took a file twice") as raised:
        docs.publish(bulk=str(storage))
    assert raised.value.code == "import_failed"
    docs.publish(bulk=str(storage))
    assert_finished(docs, server, storage)


def test_rows_that_are_there_twice_are_noticed(
    docs: vecver.Dataset, server: BulkServer, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the server says: they are counted."""
    with monkeypatch.context() as during:
        real = index.milvus.Connection.count
        during.setattr(index.milvus.Connection, "count", lambda *what, **how: real(*what, **how) + 3)
        with pytest.raises(vecver.IntegrityError, match="does not give version"):
            docs.publish(bulk=str(storage))
    begun = ledger_of(docs).intent
    assert begun
    # all is there, and is right this time
    assert docs.publish(bulk=str(storage)).collection == begun.collection
    assert_finished(docs, server, storage)


def test_a_failed_import_says_why_and_publishes_nothing(
    docs: vecver.Dataset, server: BulkServer, storage: Path
) -> None:
    server.broken = "stat: no such file or directory"
    with pytest.raises(BackendError, match="no such file") as raised:
        docs.publish(bulk=str(storage))
    assert "bulk" in raised.value.hint and ledger_of(docs).collections == ()
    server.broken = ""
    docs.publish(bulk=str(storage))
    assert_finished(docs, server, storage)


def test_later_versions_are_upserted(docs: vecver.Dataset, server: BulkServer, storage: Path) -> None:
    told: list[int] = []
    first = docs.publish(bulk=str(storage), progress=lambda _, count, total=None: told.append(count))
    assert sum(told) == len(CONTENT) and first.written == len(CONTENT)
    ingest(docs, {**CONTENT, "new": Doc("new", "new", 1)})
    second = docs.publish(bulk=str(storage))
    assert (second.collection, second.ordinal, second.written) == (first.collection, 2, 1)
    assert server.asked == FILES
    assert_clean(docs)


def test_a_bucket_is_named_to_the_server_by_its_keys(
    docs: vecver.Dataset, server: BulkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = bucket_in_memory(None)  # s3://in/memory
    monkeypatch.setattr(importing, "open_store", lambda address, cache_bytes: bucket)
    server.opened = lambda key: io.BytesIO(bucket.get(key.removeprefix("memory/")))
    docs.publish(bulk="s3://in/memory")
    assert {file.split("/")[0] for _, file in server.inserted} == {"memory"}
    assert_right(docs, "main", CONTENT)
    assert list(bucket.list("")) == []


def test_a_ledger_without_imports_is_as_it_always_was(docs: vecver.Dataset) -> None:
    ingest(docs, CONTENT)
    docs.publish()
    assert set(ledger_of(docs).to_json()) == {
        "uri", "database", "collections", "aliases", "dropped", "pending", "intent"
    }  # fmt: skip


def test_where_there_is_no_bulk_import_it_is_refused(tmp_path: Path, storage: Path) -> None:
    docs = opened(LocalStore(tmp_path / "kb"))
    ingest(docs, CONTENT)
    with pytest.raises(InvalidInputError, match="no bulk import"):
        docs.publish(bulk=str(storage))
    assert ledger_of(docs).intent is None and not storage.exists()
    docs.publish()
    connection_of(docs).close()
    let_go(tmp_path / "kb")


@pytest.mark.parametrize("storage", ["memory://", "http://somewhere/x"])
def test_a_storage_that_no_server_can_read_is_refused(docs: vecver.Dataset, storage: str) -> None:
    with pytest.raises(InvalidInputError, match="reads no files from"):
        docs.publish(bulk=storage)


# -- on a real server ------------------------------------------------------------------------------

# Arguments: the folder of the tests, the repository, the Milvus, the storage.
PUBLISHER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from published import connection_of, opened
from vecver.flows.publishing import importing
from vecver.repo import Ledger
from vecver.repo.published import rows
from vecver.store import LocalStore

rows.BLOCK_ROWS, importing.FILE_BYTES = 3, 1
docs = opened(LocalStore(Path(sys.argv[2])), sys.argv[3])
connection_of(docs, sys.argv[3])
print("ready", flush=True)
docs.publish(bulk=sys.argv[4])
"""


def test_a_server_answers_as_after_upserts(
    milvus_server_uri: str, tmp_path: Path, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "FILE_BYTES", 1 << 20)  # one file: a server takes seconds for each
    milvus_server.empty(milvus_server_uri)
    docs = opened(LocalStore(tmp_path / "kb"), milvus_server_uri)
    ingest(docs, CONTENT)
    imported = docs.publish(bulk=str(storage))
    assert_right(docs, "main", CONTENT)
    assert_clean(docs, milvus_server_uri)
    assert staged(storage) == []
    answers = docs.search(list(QUERIES), k=5, engine="milvus")
    docs.unpublish("main")
    upserted = docs.publish()
    assert upserted.collection != imported.collection
    assert [one.hits for one in docs.search(list(QUERIES), k=5, engine="milvus")] == [one.hits for one in answers]


def kill_in_bulk(uri: str, folder: Path, pauses: list[float]) -> None:
    """Publishers that are killed so many seconds after they began, one after the other, and one that is not."""
    docs, storage = opened(LocalStore(folder / "kb"), uri), folder / "storage"
    ingest(docs, CONTENT)
    command = [sys.executable, "-c", PUBLISHER, str(SUPPORT), str(folder / "kb"), uri, str(storage)]
    for pause in pauses:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout and process.stdout.readline() == "ready\n"
            time.sleep(pause)
            process.kill()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert_right(docs, "main", CONTENT)
    assert_clean(docs, uri)
    assert staged(storage) == []


@pytest.mark.deep
@pytest.mark.timeout(1200)
def test_many_killed_publishers_of_a_server(milvus_server_uri: str, tmp_path: Path) -> None:
    chance = random.Random(0)
    for round in range(6):
        milvus_server.empty(milvus_server_uri)
        kill_in_bulk(milvus_server_uri, tmp_path / str(round), [chance.uniform(0.0, 6.0) for _ in range(3)])
