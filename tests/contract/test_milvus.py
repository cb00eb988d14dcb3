"""Connecting to a Milvus: addresses, secrets, versions, and the errors where it cannot be reached or used."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import milvus_server
import numpy as np
import pytest
from helpers import ingest, open_on
from inside import session_of, versions_of
from serving import free_port

import vecver
from vecver import index, repo
from vecver.errors import BackendError, InvalidInputError, NotFoundError, VecverError
from vecver.index.milvus import connection as room
from vecver.index.milvus import errors
from vecver.model import Milvus, PublishedRows
from vecver.settings import load_settings
from vecver.store import LocalStore, MemoryStore

TEXTS = {f"doc-{i}": f"the text number {i}" for i in range(5)}
SECRET = "s3cret-of-ours"


# -- addresses and names -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "ftp://x",
        "localhost:19530",
        "http://",
        "/tmp/x",
        "http://a:b@host:1",
        "https://token@host",
        "https://h?apikey=s",
        "x.db/y",
    ],
)
def test_what_is_no_address(uri: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        room.address(Milvus(uri), None)
    assert (
        caught.value.hint
        and "apikey" not in str(caught.value)
        and "token@" not in str(caught.value)
        and "a:b" not in str(caught.value)
    )


def test_addresses() -> None:
    assert room.address(Milvus("http://host:19530/"), None) == "http://host:19530"
    assert room.address(Milvus("unix:///run/milvus.sock"), None) == "unix:///run/milvus.sock"
    assert room.address(Milvus("some.db"), None) == str(Path("some.db").absolute())
    assert room.address(Milvus(), Path("/kb/milvus.db")) == "/kb/milvus.db"


@pytest.mark.parametrize("dataset", ["größe.v-1", "1st", "-", "ä" * 100, "日本語", "a" * 100, "_x_"])
def test_every_dataset_has_names_that_milvus_takes(dataset: str) -> None:
    for name in (room.collection_name(dataset, "0a1b2c3d4e5f"), room.alias_name(dataset, "v1.0/ü~2" * 30, "0a1b2c3d")):
        assert len(name) <= 255 and name.isascii() and name.isidentifier()


def test_row_ids_are_keys_and_lives() -> None:
    key = bytes(range(16))
    assert room.row_id(key, 0) == "000102030405060708090a0b0c0d0e0f"
    assert room.row_id(key, 3) == "000102030405060708090a0b0c0d0e0f-3"


def test_numbers_that_no_json_field_holds() -> None:
    rows = PublishedRows(
        np.zeros((1, 16), np.uint8), np.zeros((1, 2), np.float32), ["d"], [""], ["t"], [{"deep": [{"n": 2**70}]}]
    )
    with pytest.raises(InvalidInputError) as caught:
        room.Connection(_Client("v2.3.5"), Milvus(), "http://x").upsert("c", rows, ["0" * 32], [1], room.LIVE)
    assert caught.value.code == "milvus_limit" and "'deep'" in caught.value.message


# -- entering ------------------------------------------------------------------------------------


class _Client:
    """A client of a server of some version."""

    def __init__(self, version: str) -> None:
        self.get_server_version = lambda timeout: version


@pytest.mark.parametrize("version", ["v2.2.16", "2.0.0", "v1.1"])
def test_a_server_too_old_for_upsert(version: str) -> None:
    with pytest.raises(BackendError) as caught:
        room._check_version(room.Connection(_Client(version), Milvus(), "http://x:1"))
    assert caught.value.code == "milvus_too_old" and version in caught.value.message


@pytest.mark.parametrize("version", ["v2.3.5-lite", "2.6.25", "v3.0.1", "whatever"])
def test_other_servers_are_tried(version: str) -> None:
    room._check_version(room.Connection(_Client(version), Milvus(), "http://x:1"))


def test_an_unreachable_milvus_is_an_error_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pymilvus", reason="no pymilvus: install vecver[milvus]")
    with socket.socket() as taken:  # a port on which nobody listens
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
        ingest(docs, TEXTS)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "kb").rglob("*") if path.is_file()}
        for attempt in (
            lambda: docs.publish(to=Milvus(uri, token=SECRET)),
            lambda: docs.republish(to=Milvus(uri, token=SECRET)),
        ):
            with pytest.raises(BackendError) as caught:
                attempt()
            assert caught.value.code == "milvus_unreachable" and caught.value.retryable and uri in caught.value.message
            assert SECRET not in repr(caught.value) + repr(caught.value.context)
        with pytest.raises(VecverError) as unknown:
            docs.repository.check(milvus=Milvus(uri, token=SECRET))
        assert unknown.value.code == "not_published", "nothing is clean where nothing is known to be"
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "kb").rglob("*") if path.is_file()}
    assert after == before and docs.repository.check().clean
    assert SECRET not in caplog.text + "".join(capfd.readouterr())


def test_a_failing_milvus_stops_no_commit_and_no_rollback() -> None:
    pytest.importorskip("pymilvus", reason="no pymilvus: install vecver[milvus]")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        repository = vecver.open(_repository(), milvus=uri, publish=("main", "prod"))
        docs = repository.dataset("d")
        report = ingest(docs, TEXTS)
        assert report.changed and docs.resolve() == report.commit
        (note,) = report.notes
        assert "was not published" in note and uri in note and "publish d@main to try again" in note
        with pytest.raises(BackendError):
            docs.promote("prod")
        assert docs.aliases() == {}, "an alias that is searched through Milvus goes nowhere it cannot be searched"
        docs.promote("test")
        ingest(docs, {"a": "b"})
        docs.promote("test")
        assert docs.rollback("test").after == report.commit


def test_a_repository_in_memory_has_no_milvus_of_its_own() -> None:
    docs = vecver.open(_repository()).dataset("d")
    ingest(docs, TEXTS)
    with pytest.raises(InvalidInputError) as caught:
        docs.publish()
    assert caught.value.code == "no_milvus" and "to=" in caught.value.hint


@pytest.mark.milvus
def test_a_token_is_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if not milvus_server.entered():
        pytest.skip("no network namespace: run with `python tests/support/milvus_server.py ...`")
    with milvus_server.MilvusServer(tmp_path / "milvus", authorized=True) as server:
        docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
        ingest(docs, TEXTS)
        for wrong in (Milvus(server.uri), Milvus(server.uri, token=f"root:{SECRET}"), Milvus(server.uri, user="root")):
            with pytest.raises(BackendError) as caught:
                docs.publish(to=wrong)
            assert caught.value.code == "milvus_refused" and not caught.value.retryable
            assert SECRET not in repr(caught.value) + str(caught.value.__cause__)
        assert docs.publish(to=Milvus(server.uri, token=milvus_server.ROOT)).written == 5
        user, password = milvus_server.ROOT.split(":")
        own = vecver.open(tmp_path / "kb", milvus=Milvus(server.uri, user=user, password=password)).dataset("d")
        assert own.publish().written == 0 and len(own.search([1.0] * 8, engine="milvus")) == 5
        with pytest.raises(NotFoundError) as missing:
            docs.publish(to=Milvus(server.uri, database="nowhere", token=milvus_server.ROOT))
        assert missing.value.code == "database_not_found"
    everything = b"".join(path.read_bytes() for path in (tmp_path / "kb").rglob("*") if path.is_file())
    assert password.encode() not in everything.replace(b"milvus.db", b"") and SECRET not in caplog.text


# -- secrets -------------------------------------------------------------------------------------


def test_no_secret_is_shown() -> None:
    at = Milvus("http://x:1", token=SECRET, password=SECRET, key=SECRET)
    settings = load_settings({"VECVER_MILVUS_TOKEN": SECRET, "VECVER_MILVUS_PASSWORD": SECRET, "HOME": "/nowhere"})
    assert SECRET not in repr(at) + repr(settings)


def test_settings_name_the_milvus(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('milvus = "http://file:1"\nmilvus_database = "d"\npublish = "main, prod"\n')
    environment = {"VECVER_SETTINGS": str(tmp_path / "s.toml"), "VECVER_MILVUS": "https://host:2"}
    environment |= {"VECVER_MILVUS_TOKEN": "t", "VECVER_MILVUS_CA": "/ca.pem", "VECVER_MILVUS_TIMEOUT": "5"}
    found = load_settings(environment)
    assert found.milvus == Milvus("https://host:2", "d", token="t", ca="/ca.pem", timeout=5.0)
    assert found.publish == ("main", "prod")
    with pytest.raises(InvalidInputError):
        load_settings({**environment, "VECVER_MILVUS_TIMEOUT": "soon"})


def test_secrets_are_sent_only_to_the_milvus_they_belong_to(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Milvus] = []

    def connect(at: Milvus, embedded: Path | None) -> Any:
        seen.append(at)
        raise BackendError("no", code="milvus_unreachable", hint="-")

    monkeypatch.setattr(index.milvus, "connect", connect)
    store = _repository()
    for own, to in (("http://ours:1", "http://ours:1"), ("http://ours:1", "http://theirs:1"), ("", "http://theirs:1")):
        docs = vecver.open(store, milvus=Milvus(own, token=SECRET)).dataset("d")
        if not docs.branches():
            ingest(docs, TEXTS)
        with pytest.raises(VecverError):
            docs.publish(to=to)
    assert [(at.uri, at.token) for at in seen] == [
        ("http://ours:1", SECRET),
        ("http://theirs:1", ""),
        ("http://theirs:1", SECRET),
    ]


# -- where it is ---------------------------------------------------------------------------------


@pytest.fixture
def moved(tmp_path: Path) -> Iterator[vecver.Dataset]:
    """A dataset that was published to the Milvus in its repository's folder, which was then moved."""
    manager = pytest.importorskip("milvus_lite.server_manager", reason="no milvus-lite: install vecver[milvus]")
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    ingest(docs, TEXTS)
    assert docs.publish().uri == str(tmp_path / "kb/milvus.db")
    manager.server_manager_instance.release_server(str(tmp_path / "kb/milvus.db"))
    (tmp_path / "kb").rename(tmp_path / "elsewhere")
    yield vecver.open(tmp_path / "elsewhere").dataset("d")
    manager.server_manager_instance.release_server(str(tmp_path / "elsewhere/milvus.db"))


@pytest.mark.milvus
def test_the_embedded_milvus_moves_with_its_repository(moved: vecver.Dataset) -> None:
    assert moved.publish().written == 0
    assert moved.search([1.0] * 8, k=3, engine="milvus").hits == moved.search([1.0] * 8, k=3).hits
    assert moved.repository.check(milvus="embedded").clean and moved.repository.check().clean


@pytest.mark.milvus
def test_a_milvus_at_the_port_of_an_older_one_is_entered_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grpc_server = pytest.importorskip("milvus_lite.adapter.grpc.server", reason="no milvus-lite")
    start, port = grpc_server.start_server_in_thread, free_port()
    monkeypatch.setattr(grpc_server, "start_server_in_thread", lambda **how: start(**how | {"port": port}))
    first = room.connect(Milvus(), tmp_path / "first.db")
    first._client._handler._stub = None  # whatever its channel has become
    first.close()
    second = room.connect(Milvus(), tmp_path / "second.db")
    assert not second.has("d")
    second.close()


@pytest.mark.milvus
def test_where_a_dataset_was_published_it_is_searched(tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite", reason="no milvus-lite: install vecver[milvus]")
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    ingest(docs, TEXTS)
    docs.publish(to=str(tmp_path / "other.db"))
    again = vecver.open(tmp_path / "kb").dataset("d")
    assert again.publication().uri == str(tmp_path / "other.db")
    assert len(again.search([1.0] * 8, k=3, engine="milvus")) == 3
    with pytest.raises(VecverError) as caught:
        again.publication(to="embedded")
    assert caught.value.code == "not_published" and str(tmp_path / "other.db") in caught.value.hint


def test_logging_of_pymilvus_is_not_ours() -> None:
    assert logging.getLogger("vecver").handlers == []


def _repository() -> Any:
    store = MemoryStore()
    open_on(store)
    return store


# -- what is said, and what is sent --------------------------------------------------------------


class _Failing(Exception):
    def __init__(self, code: Any, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@pytest.mark.parametrize(
    ("code", "message", "collection", "kind"),
    [
        (100, "collection not found", "authors_1", "missing"),
        (101, "failed to search: collection not loaded[collection=1]", "connectors_1", "collection_not_loaded"),
        (103, "collection authors_1 not fully loaded", "authors_1", "collection_not_loaded"),
        (1, "Collection 'authors_1' is in state 'released'", "authors_1", "collection_not_loaded"),
        (65535, "cannot parse expression: author == 1", "blocks_1", ""),
        (65535, "database:nowhere not found", "", "database"),
        (1, "Open local milvus failed", "", "locked"),
        (2, "Fail connecting to server on host:1", "", "unreachable"),
        (lambda: type("Status", (), {"name": "DEADLINE_EXCEEDED"}), "Deadline Exceeded", "", "unreachable"),
        (lambda: type("Status", (), {"name": "RESOURCE_EXHAUSTED"}), "message larger than max", "", "large"),
        (type("Status", (), {"name": "PERMISSION_DENIED"}), "no", "", "refused"),
    ],
)
def test_milvus_errors_are_classified_by_code_first(code: Any, message: str, collection: str, kind: str) -> None:
    assert errors._kind(_Failing(code, message), collection) == kind


def test_messages_are_cut_by_all_that_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_BATCH_BYTES", 10_000)
    client, sent = _Client("v2.3.5"), list[int]()
    client.upsert = lambda name, data, timeout: sent.append(len(data))  # type: ignore[attr-defined]
    rows = PublishedRows(
        np.zeros((9, 16), np.uint8),
        np.zeros((9, 2), np.float32),
        ["d"] * 9,
        ["t"] * 9,
        ["x"] * 9,
        [{"a": "x" * 6000}] * 9,
    )
    pytest.importorskip("pymilvus", reason="no pymilvus: install vecver[milvus]")
    room.Connection(client, Milvus(), "http://x").upsert("c", rows, ["0" * 32] * 9, [1] * 9, room.LIVE)
    assert sent == [2, 2, 2, 2, 1]


def test_no_secret_goes_where_only_a_repository_sends_it() -> None:
    store = _repository()
    docs = open_on(store).dataset("d")
    ingest(docs, TEXTS)
    state = repo.State(1, docs.resolve(), "c", "v", "r", 5, "2026-01-01")
    collection = repo.Collection("c_1", "s", 8, "IP", "HNSW", False, 5, 1, {}, (state,))
    book = versions_of(docs).publications("d", "http://elsewhere:1", "")
    book.read()
    book.write(repo.Ledger("http://elsewhere:1", "", (collection,)))
    connections = session_of(vecver.open(store, milvus=Milvus(token=SECRET))).milvus
    assert connections._chosen("d", None) == Milvus("http://elsewhere:1")
    book = versions_of(docs).publications("d", "http://another:1", "")
    book.read()
    book.write(repo.Ledger("http://another:1", "", (collection,)))
    with pytest.raises(InvalidInputError) as caught:
        connections._chosen("d", None)
    assert caught.value.code == "several_milvus" and "another:1" in caught.value.message
