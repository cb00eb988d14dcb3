"""Sources in buckets of S3, Azure and Google Cloud as they are emulated on this machine."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from bucket_sources import DOCUMENTS, HANDBOOK, folder_of
from emulators import SERVICES, Service, reachable

import vecver
from vecver.store import SourceBucket, open_store


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """Each service in turn, with its settings in the environment."""
    with reachable(request.param) as service:
        yield service


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The objects that are read as documents, by the last part of their keys."""
    keys: list[str] = []
    original = SourceBucket.read

    def counted(self: SourceBucket, name: str, size: int) -> object:
        if "ignore" not in name:
            keys.append(name.rpartition("/")[2])
        return original(self, name, size)

    monkeypatch.setattr(SourceBucket, "read", counted)
    return keys


def test_a_bucket_is_ingested_as_a_folder_and_only_what_changed_is_read(
    service: Service, read: list[str], tmp_path: Path
) -> None:
    prefix = f"sources/{secrets.token_hex(8)}/handbook"
    store = open_store(service.url(prefix), cache_bytes=0)
    for name, text in HANDBOOK.items():
        store.put(name, text.encode())
    local, docs = (
        vecver.open(tmp_path / name, create=True, background=False).dataset("d") for name in ("local", "there")
    )
    local.ingest(folder_of(HANDBOOK, tmp_path / "handbook"), embedder="hashing")
    docs.ingest(service.url(prefix), embedder="hashing")
    assert docs.documents() == DOCUMENTS and docs.show().content_root == local.show().content_root
    assert {"bucket", "key", "e_tag"} <= docs.get("a.md").origin.keys()
    read.clear()
    assert not docs.ingest(service.url(prefix)).changed and read == []
    store.put("a.md", b"# Changed")
    store.put("deep/new.md", b"# New")
    store.delete("deep/b.md")
    status = docs.status(service.url(prefix))
    assert (status["added"], status["changed"], status["removed"], read) == (
        ["deep/new.md"],
        ["a.md"],
        ["deep/b.md"],
        [],
    )
    report = docs.ingest(service.url(f"{prefix}/**/*.md"))
    assert report.names == {"added": ("deep/new.md",), "changed": ("a.md",), "removed": ("deep/b.md",)}
    assert sorted(read) == ["a.md", "new.md"]


def test_what_cannot_be_read_says_what_to_do(service: Service, tmp_path: Path) -> None:
    docs = vecver.open(tmp_path, create=True).dataset("d")
    with pytest.raises(vecver.NotFoundError) as missing:
        docs.ingest(service.url("nothing"))
    with pytest.raises(vecver.BackendError) as no_bucket:
        docs.ingest(f"{service.scheme}://no-such-bucket/x")
    assert (missing.value.code, no_bucket.value.code) == ("source_not_found", "bucket_missing")
    if service.scheme == "az":
        wrong = service.environment["AZURE_STORAGE_CONNECTION_STRING"].replace("Eby8", "Eby9")
        with pytest.MonkeyPatch.context() as patch, pytest.raises(vecver.BackendError) as refused:
            patch.setenv("AZURE_STORAGE_CONNECTION_STRING", wrong)
            docs.ingest(service.url("handbook"))
        assert refused.value.code == "store_refused" and "Eby9" not in str(refused.value.__notes__)
