"""Uploads in the store of a repository, which replicas share: they are whole, and never whole in memory."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bucket_sources import Bucket, bucket_with, folder_of

import vecver
from vecver.errors import IntegrityError, NotFoundError
from vecver.local.uploads import Uploads
from vecver.store import requests

FILES = {"files/a.md": "# A", "files/deep/ü b.md": "# B" * 5000, ".git": "a border", f"files/{'x' * 230}.md": "# long"}


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with bucket_with({}) as made:
        yield made


@pytest.fixture(params=["a cache", "no cache", "a folder"])
def uploads(request: pytest.FixtureRequest, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Uploads:
    """Those of a repository in each kind of store, which sends large objects in pieces of 4,000 bytes."""
    monkeypatch.setattr(requests, "STREAMED_BYTES", 4000)
    url = str(tmp_path / "kb") if request.param == "a folder" else bucket.url("kb")
    size = 0 if request.param == "no cache" else 1 << 20
    return Uploads(vecver.open(url, create=True, background=False, cache=tmp_path / "cache", cache_bytes=size))


def test_what_was_put_comes_back(uploads: Uploads, tmp_path: Path) -> None:
    digest = uploads.put("one", folder_of(FILES, tmp_path / "sent"))
    assert [*uploads.names()] == ["one"]
    uploads.get("one", digest, tmp_path / "new" / "come")
    found = {str(path.relative_to(tmp_path / "new" / "come")): path for path in (tmp_path / "new").rglob("*")}
    assert {name: path.read_text("utf-8") for name, path in found.items() if path.is_file()} == FILES
    uploads.delete("one", "two")
    with pytest.raises(NotFoundError):
        uploads.get("one", digest, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_an_upload_is_not_mapped(uploads: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket without a cache maps an object by reading it whole."""
    digest = uploads.put("one", folder_of(FILES, tmp_path / "sent"))
    for read in ("map", "get"):
        monkeypatch.setattr(type(uploads._store), read, lambda *_: pytest.fail("it was read whole"))
    uploads.get("one", digest, tmp_path / "come")
    assert (tmp_path / "come" / "files" / "a.md").read_text() == "# A"


def test_an_upload_that_is_not_as_it_was_stored_is_refused(uploads: Uploads, tmp_path: Path) -> None:
    digest = uploads.put("one", folder_of(FILES, tmp_path / "sent"))
    uploads._store.put("uploads/one.tar", b"something else")
    with pytest.raises(IntegrityError) as error:
        uploads.get("one", digest, tmp_path / "come")
    assert error.value.code == "upload_damaged" and not (tmp_path / "come").exists()


@pytest.mark.parametrize("name", ["../out.md", "/out.md", "link"])
def test_nothing_is_written_outside_of_the_folder(uploads: Uploads, tmp_path: Path, name: str) -> None:
    """Not even by who may write to the bucket and to the database."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        if name == "link":
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
            tar.addfile(link)
            name = "link/out.md"
        tar.addfile(tarfile.TarInfo(name))
    uploads._store.put("uploads/one.tar", content.getvalue())
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    if name == "/out.md":  # is taken as out.md
        uploads.get("one", digest, tmp_path / "come")
    else:
        with pytest.raises(IntegrityError):
            uploads.get("one", digest, tmp_path / "come")
    assert not Path("/out.md").exists() and not (tmp_path / "out.md").exists()
