"""Upsert, add and delete: the same story on a repository here and on one behind a service ends in the same versions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers import vector_of
from serving import ended, running

import vecver
from vecver.errors import VecverError

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

Docs = vecver.Dataset | vecver.RemoteDataset
Json = dict[str, Any]
CANONICAL: Json = {"sort_keys": True, "separators": (",", ":")}


@contextmanager
def served(place: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The URL of a service on a new repository, and keys by what they may do."""
    from vecver_service.app import create_app
    from vecver_service.settings import ServiceSettings
    from vecver_service.state.keys import Keys

    settings = ServiceSettings(state=str(place / "state"))
    keys = Keys(settings.keys_file(""))
    given = {scope: keys.add(scope, [f"*:{scope}"])[1] for scope in ("read", "write", "admin")}
    with running(create_app(vecver.open(place / "kb", create=True), settings)) as url:
        yield url, given


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture
def client(service: tuple[str, dict[str, str]]) -> Iterator[Any]:
    url, keys = service
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {keys['write']}"}, timeout=60) as found:
        yield found


def story(docs: Docs, folder: Path) -> Iterator[Any]:
    """Writes in order, each with the report that is expected."""
    yield docs.upsert([], embedder="hashing")
    yield docs.upsert([{"id": "a", "text": "one", "metadata": {"year": 2024}}, "A text."], embedder="hashing")
    yield docs.upsert(pa.table({"id": ["b", "a", "b"], "text": ["two", "one", "three"], "year": [1, 2024, 7]}))
    yield docs.upsert([])
    yield docs.upsert([{"id": "c", "text": "four", "deep": {"x": [1, None]}}, {"id": "d", "text": ""}], message="More")
    yield docs.ingest(folder, message="The folder")
    (folder / "pump.md").write_text("# Pump\n\nIt is red.\n", "utf-8")
    yield docs.add(folder / "pump.md")
    yield docs.upsert([{"id": "keys.md", "text": "With the neighbour."}])
    (folder / "rows.jsonl").write_text('{"id": "r", "text": "a row"}\n{"id": "r", "text": "the row"}\n', "utf-8")
    yield docs.add(folder / "rows.jsonl", records=True)
    yield docs.add("loose/page.md", label="loose")
    yield docs.add("loose")
    yield docs.upsert(["dry"], dry_run=True)
    yield docs.delete(["a", "nope"], message="Old")
    yield docs.delete("nope")
    yield docs.delete(where={"year": {"$gte": 1}}, dry_run=True)
    yield docs.delete([])
    yield docs.delete(docs.documents())
    yield docs.upsert([{"id": "again", "text": "again"}])


def told(report: vecver.Report) -> Json:
    """What of a report does not depend on the clock or on how its ids came about."""
    kept = ("changed", "dry_run", "documents", "chunks", "failures", "notes", "names", "unknown")
    return {name: getattr(report, name) for name in kept}


def test_the_same_story_ends_alike(
    service: tuple[str, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, keys = service
    found: dict[str, list[Any]] = {}
    for kind in ("local", "remote"):
        place = tmp_path / kind
        (place / "loose").mkdir(parents=True)
        (place / "loose" / "page.md").write_text("A loose page.\n", "utf-8")
        monkeypatch.chdir(place)
        folder = place / "handbook"
        folder.mkdir()
        for name in ("pump", "keys"):
            (folder / f"{name}.md").write_text(f"# {name}\n\nWords.\n", "utf-8")
        with vecver.connect(url, keys["admin"]) as remote:
            repository = vecver.open(place / "kb", create=True, author="admin") if kind == "local" else remote
            docs: Docs = repository.dataset("d")
            found[kind] = []
            for report in story(docs, folder):
                roots = docs.show().content_root if report.commit else None
                found[kind].append((told(report), roots, docs.documents() if report.commit else []))
            operations = [(entry.message, entry.operation["kind"], entry.author) for entry in docs.log()]
            found[kind].append(operations)
    for number, (entry, other) in enumerate(zip(found["local"], found["remote"], strict=True)):
        assert entry == other, number
    assert found["local"][-2][2] == ["again"]


VECTORS = np.stack([vector_of("one"), vector_of("two")])


def test_vectors_keep_their_bits(service: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    url, keys = service
    local = vecver.open(tmp_path / "kb", create=True).dataset("v")
    with vecver.connect(url, keys["admin"]) as remote:
        roots = []
        for docs in (local, remote.dataset("v")):
            docs.upsert([{"id": "a", "text": "one"}, "two"], vectors=VECTORS / np.float32(3), space="s", metric="ip")
            roots.append((docs.show().content_root, docs.show().vector_root))
        assert roots[0] == roots[1]


BAD: list[Callable[[Docs], Any]] = [
    lambda docs: docs.delete(),
    lambda docs: docs.delete(where={}),
    lambda docs: docs.delete("tag", "v1"),
    lambda docs: docs.delete(["a"], where={"year": 1}),
    lambda docs: docs.delete([None]),  # type: ignore[list-item]
    lambda docs: docs.delete("a", branch="nowhere"),
    lambda docs: docs.delete("a", expected="a" * 64),
    lambda docs: docs.delete(where={"nothing": 1}),
    lambda docs: docs.delete(where=["a"]),  # type: ignore[arg-type]
    lambda docs: docs.repository.dataset("nowhere").delete("a"),
    lambda docs: docs.upsert("a text"),
    lambda docs: docs.upsert({"id": "a"}),
    lambda docs: docs.upsert([{"id": "a"}]),
    lambda docs: docs.upsert([5]),
    lambda docs: docs.upsert([{"id": "a", "text": ""}]),
    lambda docs: docs.upsert([{"id": "a", "text": None}]),
    lambda docs: docs.upsert(["fine", ""], strict=True),
    lambda docs: docs.upsert(["one"], branch="nowhere"),
    lambda docs: docs.upsert(["one"], branch="../x"),
    lambda docs: docs.upsert(["one"], expected="absent"),
    lambda docs: docs.upsert([], expected="a" * 64),
    lambda docs: docs.upsert(["one"], expected="a" * 64),
    lambda docs: docs.upsert(["one"], vectors=[[1.0]]),
    lambda docs: docs.upsert(["one"], vectors=[[1.0], [2.0]], space="s"),
    lambda docs: docs.upsert(["one"], label="\n"),
    lambda docs: docs.add("nowhere.md"),
]


def test_metadata_may_be_named_as_fields_are(service: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    """Where it stands under `metadata`; a title there is the row's title unless one stands beside it, as before."""
    url, keys = service
    metadata = {"id": 7, "text": "of the metadata", "vector": [1], "title": "U", "_id": "x", "year": 2024}
    rows: list[Any] = [
        {"id": "a", "text": "one", "title": "T", "metadata": metadata},
        {"id": "b", "text": "two", "title": "", "metadata": {"title": 5}},
        {"id": "c", "text": "three", "metadata": {"title": "T"}},
    ]
    digest = sha256(json.dumps({"id": "a", "metadata": metadata, "text": "one", "title": "T"}, **CANONICAL).encode())
    with vecver.connect(url, keys["admin"]) as remote:
        for repository in (vecver.open(tmp_path / "kb", create=True), remote):
            docs: Docs = repository.dataset("named")
            docs.upsert(rows, embedder="hashing", strict=True)
            a, b, c = docs.get(["a", "b", "c"])
            assert (a.title, a.metadata, a.digest) == ("T", metadata, digest.hexdigest())
            assert (b.title, b.metadata, c.title, c.metadata) == ("", {"title": 5}, "T", {})
            for where in ({"id": 7}, {"vector": 1}, {"title": "U"}, {"$title": "T", "text": {"$contains": "meta"}}):
                assert docs.documents(where=where) == ["a"], where
            assert not docs.upsert(rows).changed
            twice = {"id": "d", "text": "x", "year": 1, "metadata": {"year": 2}}
            assert [failure.code for failure in docs.upsert([twice, "sound"]).failures] == ["invalid_metadata"]


def test_errors_are_the_same(service: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    url, keys = service
    local = vecver.open(tmp_path / "kb", create=True).dataset("e")
    with vecver.connect(url, keys["admin"]) as remote:
        handles: list[Docs] = [local, remote.dataset("e")]
        before = [docs.upsert(["zero"], embedder="hashing").commit for docs in handles]
        for number, ask in enumerate(BAD):
            raised = []
            for docs in handles:
                with pytest.raises(VecverError) as error:
                    ask(docs)
                raised.append((type(error.value), error.value.code))
            assert raised[0] == raised[1], number
        assert [docs.resolve() for docs in handles] == before


# -- as others ask ----------------------------------------------------------------------------------


def upserted(client: Any, dataset: str, documents: list[Any], **how: Any) -> Json:
    answer = client.post(f"/v1/datasets/{dataset}/upsert", json={"documents": documents}, **how)
    assert answer.status_code == 202, answer.text
    job = ended(client, answer.json()["id"])
    assert job["kind"] == "upsert"
    return job


def test_rows_travel_as_json(client: Any) -> None:
    first = upserted(client, "h", [{"id": "a", "text": "one"}, "A text."], params={"embedder": "hashing"})["result"]
    assert first["documents"]["added"] == 2 and len(first["names"]["added"]) == 2
    nothing = upserted(client, "h", [])
    assert nothing["state"] == "succeeded" and "nothing to do" in nothing["result"]["notes"][0]
    headers = {"if-match": f'"{first["commit"]}"'}
    second = upserted(client, "h", [{"id": "b", "text": "two"}], headers=headers)["result"]
    assert second["documents"]["added"] == 1
    late = upserted(client, "h", [{"id": "c", "text": "three"}], headers=headers)
    assert (late["state"], late["error"]["code"]) == ("failed", "ref_moved")
    bad = client.post("/v1/datasets/h/upsert", json={"rows": ["a"]})
    assert bad.status_code == 422
    form = {"files": ("deep/page.md", b"# A page\n")}
    job = ended(client, client.post("/v1/datasets/h/upsert", files=form).json()["id"])
    assert job["result"]["names"]["added"] == ["deep/page.md"]


REFUSED = {
    "{}": "no_documents_named",
    '{"where": {}}': "empty_filter",
    '{"ids": [], "where": {"a": 1}}': "conflicting_options",
}


def test_a_delete_is_done_once_under_its_key(client: Any) -> None:
    upserted(client, "i", ["One.", "Two."], params={"embedder": "hashing"})
    ids = client.get("/v1/datasets/i/documents").json()["documents"]
    ids = [entry if isinstance(entry, str) else entry["id"] for entry in ids]
    key = {"idempotency-key": "once"}
    answers = [client.post("/v1/datasets/i/delete", json={"ids": [ids[0], "nope"]}, headers=key) for _ in range(2)]
    assert [entry.status_code for entry in answers] == [200, 200] and answers[0].json() == answers[1].json()
    assert (answers[0].json()["names"]["removed"], answers[0].json()["unknown"]) == ([ids[0]], ["nope"])
    for body, code in REFUSED.items():
        answer = client.post("/v1/datasets/i/delete", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (422, code) and "docs." not in answer.json()["hint"]
    assert client.post("/v1/datasets/i/delete", json={"ids": ["a"], "all": True}).status_code == 422
    assert client.post("/v1/datasets/nowhere/delete", json={"ids": ["a"]}).status_code == 404


def test_a_reading_key_changes_nothing(service: tuple[str, dict[str, str]], client: Any) -> None:
    url, keys = service
    upserted(client, "r", ["One."], params={"embedder": "hashing"})
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {keys['read']}"}, timeout=60) as reader:
        assert reader.post("/v1/datasets/r/delete", json={"ids": ["a"]}).status_code == 403
        assert reader.post("/v1/datasets/r/upsert", json={"documents": ["a"]}).status_code == 403
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {keys['admin']}"}, timeout=60) as admin:
        entries = admin.get("/v1/audit").json()["entries"]
    log = json.dumps([entry for entry in entries if entry.get("dataset") == "r"])
    assert '"upsert"' in log and '"forbidden"' in log


# -- whole datasets -----------------------------------------------------------------------------------


def whole(repository: vecver.Repository | vecver.RemoteRepository) -> Iterator[Any]:
    """A dataset that is renamed, and deleted; each with what is then seen."""
    docs = repository.dataset("whole")
    docs.upsert([{"id": "a", "text": "one"}], embedder="hashing")
    docs.tag("v1")
    receipt = docs.search("one").receipt
    renamed = repository.rename_dataset("whole", "total")
    yield renamed.name, renamed.documents(), renamed.search("one").dataset, "whole" in repository.datasets()
    yield repository.replay(receipt).identical
    plan = repository.delete_dataset("total")
    yield plan.versions, plan.branches, plan.tags, plan.documents, plan.bytes > 0, plan.applied
    for call in (
        lambda: repository.rename_dataset("nothing", "x"),
        lambda: repository.rename_dataset("total", "total"),
        lambda: repository.rename_dataset("total", "../x"),
        lambda: repository.rename_dataset("../x", "y"),
        lambda: repository.delete_dataset("nothing"),
        lambda: repository.delete_dataset("nothing", apply=True),
    ):
        with pytest.raises(VecverError) as raised:
            call()
        yield type(raised.value), raised.value.code
    yield repository.delete_dataset("total", apply=True).applied, "total" in repository.datasets()
    with pytest.raises(VecverError) as raised:
        repository.replay(receipt)
    yield type(raised.value)
    docs = repository.dataset("total")
    docs.upsert([{"id": "b", "text": "two"}], embedder="hashing")
    docs.tag("v1")
    yield docs.documents(), len(list(docs.log()))


def test_datasets_are_renamed_and_deleted_alike(service: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    url, keys = service
    here = list(whole(vecver.open(tmp_path / "kb", create=True)))
    with vecver.connect(url, keys["admin"]) as remote:
        there = list(whole(remote))
    for number, (entry, other) in enumerate(zip(here, there, strict=True)):
        if isinstance(entry, type):  # a deleted dataset's receipt: a service says no more than that it may not be read
            continue
        assert entry == other, number


def test_a_writing_key_deletes_no_dataset(service: tuple[str, dict[str, str]], client: Any) -> None:
    url, keys = service
    upserted(client, "kept", ["One."], params={"embedder": "hashing"})
    assert client.delete("/v1/datasets/kept").status_code == 403
    assert client.get("/v1/datasets/kept/removal").status_code == 403
    assert client.post("/v1/datasets/kept/rename", json={"to": "mine"}).status_code == 403
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {keys['admin']}"}, timeout=60) as admin:
        plan = admin.delete("/v1/datasets/kept?dry_run=true").json()
        assert plan == admin.get("/v1/datasets/kept/removal").json() and not plan["applied"]
        key = {"idempotency-key": "gone"}
        for unsure in ("/v1/datasets/kept", "/v1/datasets/kept?confirm=other", "/v1/datasets/kept/tags/.."):
            refused = admin.delete(unsure)  # the last is sent as the first: clients resolve ".."
            assert refused.status_code == 422 and "?confirm=kept" in refused.json()["hint"]
        answers = [admin.delete("/v1/datasets/kept?confirm=kept", headers=key) for _ in range(2)]
        assert [entry.json()["applied"] for entry in answers] == [True, True]
        assert admin.delete("/v1/datasets/kept?confirm=kept").status_code == 404
        log = json.dumps(admin.get("/v1/audit").json())
    assert '"delete dataset"' in log
