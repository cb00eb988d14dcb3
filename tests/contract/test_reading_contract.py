"""What a version holds, read through both handles: the same values from the repository here and behind a service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import SPACE, records
from serving import running

import vecver
from vecver.errors import BackendError, VecverError
from vecver.remote.repository import RemoteRepository
from vecver.wire import Wire

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

LONG = "\n\n".join(f"## Part {n}\n\n{' '.join(f'wörd{n}x{i}' for i in range(60))}.\u2028" for n in range(30))
TEXTS = {"guide/long.md": LONG, "guide/<b>&?#.md": "# A & B\n\nShort.", "plain": "one\n\ntwo\n", "ä/ö": "\n\ntext\n\n"}


class Both:
    """Handles on one dataset."""

    def __init__(self, local: vecver.Dataset, remote: vecver.RemoteDataset, url: str) -> None:
        self.local, self.remote, self.url = local, remote, url


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    from vecver_service.app import create_app
    from vecver_service.settings import ServiceSettings

    place = tmp_path_factory.mktemp("reading")
    local = vecver.open(place / "kb", create=True, author="alice")
    docs = local.dataset("d")
    rows = [{"id": id, "text": text, "n": n, "tags": ["a", f"t{n}"]} for n, (id, text) in enumerate(TEXTS.items())]
    docs.ingest(rows[:3], label="pages", embedder="hashing")
    docs.ingest(rows, label="pages")
    given = local.dataset("given")
    given.ingest(records({f"doc-{i:04}": f"text {i}" for i in range(2500)}), space=SPACE, metric="ip")
    settings = ServiceSettings(state=str(place / "state"), no_auth=True)
    with running(create_app(local, settings)) as url, vecver.connect(url) as remote:
        yield Both(docs, remote.dataset("d"), url)


ASKED: dict[str, Callable[[Any], Any]] = {
    "documents": lambda docs: docs.documents(),
    "a version before": lambda docs: docs.documents("main~1"),
    "a prefix": lambda docs: docs.documents(prefix="guide/"),
    "a page": lambda docs: docs.documents(limit=2, after="guide/<b>&?#.md"),
    "after what is not there": lambda docs: docs.documents(after="p"),
    "matching": lambda docs: docs.documents(where={"n": {"$gte": 1}, "tags": "a"}, prefix="g"),
    "one": lambda docs: docs.get("guide/<b>&?#.md"),
    "some": lambda docs: docs.get(["ä/ö", "plain", "ä/ö"]),
    "all": lambda docs: docs.get(docs.documents()),
    "none": lambda docs: docs.get([]),
    "skipped": lambda docs: [docs.get("x", missing="skip"), docs.get(["x", "plain"], missing="skip")],
    "chunks": lambda docs: list(docs.chunks()),
    "chunks of a page": lambda docs: list(docs.chunks(limit=3, after=next(docs.chunks(limit=1)).key)),
    "chunks that match": lambda docs: list(docs.chunks(where={"n": 0})),
    "no chunks": lambda docs: list(docs.chunks(where={"n": 99})),
    "vectors": lambda docs: list(docs.chunks(vectors=True, limit=2)),
    "a chunk": lambda docs: docs.chunk(next(docs.chunks()).key, context=2),
    "count": lambda docs: [docs.count(), docs.count("main~1"), docs.count(where={"tags": "t1"})],
    "matching what every document has": lambda docs: docs.documents(
        where={"$path": "guide", "$title": {"$exists": True}}
    ),
    "fields": lambda docs: list(docs.fields()),
    "shown": lambda docs: [repr(docs.chunks()), repr(docs.fields()), docs.chunks().commit],
    "a table": lambda docs: docs.chunks().to_arrow().to_pydict(),
}


@pytest.mark.parametrize("name", ASKED)
def test_both_give_the_same(both: Both, name: str) -> None:
    here, remote_value = ASKED[name](both.local), ASKED[name](both.remote)
    assert here == remote_value and type(here) is type(remote_value)


def test_documents_are_read_back_unchanged(both: Both) -> None:
    assert {document.id: document.text for document in both.remote.get(sorted(TEXTS))} == TEXTS


WRONG: dict[str, Callable[[Any], Any]] = {
    "an id": lambda docs: docs.get("guide/lang.md"),
    "ids": lambda docs: docs.get(["plain", "x", "y"]),
    "no ids": lambda docs: docs.get(None),
    "missing": lambda docs: docs.get("plain", missing="?"),
    "a revision": lambda docs: docs.get("plain", at="mian"),
    "no revision": lambda docs: docs.chunks(None),
    "a limit": lambda docs: docs.documents(limit=0),
    "a prefix": lambda docs: docs.documents(prefix=1),
    "a field": lambda docs: docs.documents(where={"year": 1}),
    "a value": lambda docs: docs.count(where={"n": "many"}),
    "chunks of a field": lambda docs: docs.chunks(where={"year": 1}),
    "a key": lambda docs: docs.chunk("plain"),
    "a key that is gone": lambda docs: docs.chunk("0" * 32),
    "a cursor": lambda docs: docs.chunks(after="0" * 32),
    "a context": lambda docs: docs.chunk("0" * 32, context=-1),
}


@pytest.mark.parametrize("name", WRONG)
def test_both_refuse_the_same(both: Both, name: str) -> None:
    errors = []
    for docs in (both.local, both.remote):
        with pytest.raises(VecverError) as caught:
            WRONG[name](docs)
        errors.append((type(caught.value), caught.value.code, caught.value.message))
    assert errors[0] == errors[1]


def test_long_lists_travel_in_pages(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = both.remote.repository.dataset("given")
    local = both.local.repository.dataset("given")
    ids = [f"doc-{i:04}" for i in range(2500)]
    assert remote.documents() == remote.documents(limit=5000) == ids
    assert remote.documents(limit=1500, after="doc-0099") == ids[100:1600]
    assert [chunk.document for chunk in remote.chunks()] == ids
    assert [chunk.document for chunk in remote.chunks(limit=2001)] == ids[:2001]
    assert list(remote.chunks(vectors=True)) == list(local.chunks(vectors=True))
    assert [document.id for document in remote.get(ids)] == ids


def test_all_pages_are_of_the_version_that_was_named(both: Both) -> None:
    docs = both.local.repository.dataset("moving")
    docs.ingest(records({f"doc-{i:04}": f"text {i}" for i in range(1200)}), space=SPACE, metric="ip")
    before = docs.resolve()
    chunks = both.remote.repository.dataset("moving").chunks()
    next(chunks)
    docs.ingest(records({"new": "one"}), space=SPACE, metric="ip", allow_removals=True)
    assert len(list(chunks)) == 1199 and chunks.commit == before


def test_chunks_are_lines_of_json(both: Both) -> None:
    answer = httpx.post(f"{both.url}/v1/datasets/d/chunks/list", json={"limit": 3})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["vecver-commit"] == both.local.resolve()
    lines = [json.loads(line) for line in answer.content.decode().split("\n") if line]
    assert [vecver.StoredChunk.from_json(line) for line in lines] == list(both.local.chunks(limit=3))


def test_pages_of_ids_by_get_go_on_with_the_cursor(both: Both) -> None:
    url = f"{both.url}/v1/datasets/d/documents"
    first = httpx.get(url, params={"limit": 3, "prefix": "guide/"}).json()
    assert first["documents"] == both.local.documents(prefix="guide/") and first["next"] is None
    first = httpx.get(url, params={"limit": 3}).json()
    second = httpx.get(url, params={"limit": 3, "cursor": first["next"]}).json()
    assert first["documents"] + second["documents"] == both.local.documents() and second["next"] is None


def test_a_snapshot_gives_the_same_but_the_source(both: Both, tmp_path: Path) -> None:
    both.local.snapshot("main", tmp_path / "export")
    opened = vecver.open_snapshot(tmp_path / "export")
    assert list(opened.chunks(vectors=True)) == list(both.local.chunks(vectors=True))
    assert opened.documents(where={"n": 1}) == both.local.documents(where={"n": 1})
    assert [field for field in both.local.fields() if field.name != "$source"] == list(opened.fields())
    assert opened.count() == both.local.count()
    for field, other in zip(opened.get(sorted(TEXTS)), both.local.get(sorted(TEXTS)), strict=True):
        assert {**field.to_json(), "source": "pages"} == other.to_json()


def test_a_page_that_was_cut_short_on_the_way_loses_nothing(both: Both) -> None:
    """Where an answer ends early between two lines, the client requests the rest."""
    chunks = list(both.local.chunks())

    def cut(request: Any) -> Any:
        if request.url.path == "/v1":
            return httpx.Response(200, json={"repository": "f" * 32})
        if request.url.path.endswith("/commits"):
            commit = both.local.show()
            return httpx.Response(200, json={"commits": [{"commit": commit.id, **commit.to_json()}], "next": None})
        after = json.loads(request.content)["after"]
        first = 0 if after is None else [chunk.key for chunk in chunks].index(after) + 1
        lines = [json.dumps(chunk.to_json()) + "\n" for chunk in chunks[first : first + 7]]
        return httpx.Response(200, text="".join(lines), headers={"content-type": "application/x-ndjson"})

    repository = RemoteRepository(Wire("http://kb.test", transport=httpx.MockTransport(cut)))
    assert list(repository.dataset("d").chunks()) == chunks


@pytest.mark.parametrize("body", ['{"document": "a"', "[1]\n", '{"document": "a"}\n', "<html>"])
def test_what_is_no_page_of_chunks_is_an_error(both: Both, body: str) -> None:
    def odd(request: Any) -> Any:
        if request.url.path.endswith("/commits"):
            commit = both.local.show()
            return httpx.Response(200, json={"commits": [{"commit": commit.id, **commit.to_json()}], "next": None})
        known = request.url.path == "/v1"
        return httpx.Response(200, json={"repository": "f" * 32}) if known else httpx.Response(200, text=body)

    repository = RemoteRepository(Wire("http://kb.test", transport=httpx.MockTransport(odd)))
    with pytest.raises(BackendError) as caught:
        repository.dataset("d").chunks()
    assert caught.value.code == "service_bad_answer"


def test_pages_of_a_filter_go_on_with_the_cursor(both: Both) -> None:
    """`next` begins the next page of the same version, even where `main` has moved."""
    url, body = f"{both.url}/v1/datasets/d/documents/list", {"where": {"tags": "a"}, "limit": 3, "ref": "main~1"}
    first = httpx.post(url, json=body).json()
    assert first["next"] is None and len(first["documents"]) == 3
    first = httpx.post(url, json={**body, "limit": 2}).json()
    second = httpx.post(url, json={"where": {"tags": "a"}, "limit": 2, "cursor": first["next"]}).json()
    assert second["commit"] == first["commit"] != both.local.resolve()
    assert [*first["documents"], *second["documents"]] == both.local.documents("main~1") and second["next"] is None
    assert httpx.post(url, json={**body, "cursor": "main:a"}).json()["code"] == "invalid_cursor"
    assert httpx.post(url, json={**body, "cursor": first["next"], "after": "a"}).status_code == 422


def test_documents_that_are_too_long_for_one_answer(both: Both, tmp_path: Path) -> None:
    """A service limits the text of one answer; its client makes several calls."""
    from vecver_service.app import create_app
    from vecver_service.settings import ServiceSettings

    settings = ServiceSettings(state=str(tmp_path / "state"), no_auth=True, max_text=2 * len(LONG))
    with running(create_app(both.local.repository, settings)) as url, vecver.connect(url) as remote:
        body = {"ids": ["guide/long.md"] * 3}
        refused = httpx.post(f"{url}/v1/datasets/d/documents/get", json=body).json()
        assert refused["code"] == "limit" and "VECVER_MAX_TEXT" in refused["hint"]
        ids = ["plain", *["guide/long.md"] * 5, "ä/ö"]
        assert remote.dataset("d").get(ids) == both.local.get(ids)
        assert remote.dataset("d").get([*ids, "x"], missing="skip") == both.local.get(ids)
