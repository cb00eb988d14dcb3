"""Exports: no changed, missing or foreign byte of a snapshot's folder stays hidden."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from exported import ALL, QUERIES, code_of, given
from helpers import open_on

import vecver
from vecver.digest import canonical_json, digest, digest_json
from vecver.errors import IntegrityError, NotFoundError
from vecver.index import faiss
from vecver.store import LocalStore, MemoryStore

# -- what was changed is not opened -----------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    given(open_on(MemoryStore())).snapshot("main", tmp_path / "out")
    return tmp_path / "out"


def refused(folder: Path) -> IntegrityError:
    with pytest.raises(IntegrityError) as caught:
        vecver.open_snapshot(folder)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_changed_byte_in_any_file_is_detected(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "load", lambda *source: pytest.fail("nothing is loaded before all is verified"))
    whole = (folder / name).read_bytes()
    places = range(len(whole)) if name == "snapshot.json" else (0, len(whole) // 3, len(whole) - 1)
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1
        (folder / name).write_bytes(changed)
        error = refused(folder)
        assert error.context["name"] == name and name in error.message
    for content in (b"", whole[:-1], whole + b"\n"):
        (folder / name).write_bytes(content)
        assert refused(folder).context["name"] == name


def test_missing_and_foreign_files_are_reported(folder: Path) -> None:
    for name in sorted(ALL - {"snapshot.json"}):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        assert refused(folder).context["name"] == name
        (folder / name).mkdir()
        assert refused(folder).context["name"] == name
        (folder / name).rmdir()
        (folder / name).write_bytes(content)
    (folder / "more.txt").touch()
    assert refused(folder).context["name"] == "more.txt"
    (folder / "more.txt").unlink()
    assert len(vecver.open_snapshot(folder).search(QUERIES[0])) == 3


def resealed(folder: Path, **changes: Any) -> None:
    """Write the manifest anew with what lies there, as a forger would."""
    value = json.loads((folder / "snapshot.json").read_bytes())
    files = {
        path.name: {"sha256": digest(path.read_bytes()), "bytes": path.stat().st_size}
        for path in folder.iterdir()
        if path.name != "snapshot.json"
    }
    value = {name: told for name, told in {**value, "files": files, **changes}.items() if name != "digest"}
    (folder / "snapshot.json").write_bytes(canonical_json({**value, "digest": digest_json(value)}))


def test_unknown_formats_ask_for_another_vecver(folder: Path) -> None:
    resealed(folder, format=2)
    error = refused(folder)
    assert (error.code, error.hint) == ("unknown_format", "upgrade vecver")


def test_an_index_of_another_kind_is_not_searched_through(folder: Path) -> None:
    resealed(folder, index={"kind": "graph of 2031", "faiss": "9.0"})
    assert vecver.open_snapshot(folder).search(QUERIES[0]).receipt["engine"] == {"name": "exact"}


def test_an_index_that_faiss_cannot_read_is_reported(folder: Path) -> None:
    (folder / "index.faiss").write_bytes(b"written by another FAISS")
    resealed(folder, index={"kind": faiss.SPEC, "faiss": "9.0"})
    error = refused(folder)
    assert error.code == "index_version" and "9.0" in error.hint
    resealed(folder, index={"kind": faiss.SPEC, "faiss": faiss.version()})
    assert refused(folder).code == "index_damaged"


def test_a_forged_folder_is_detected_by_its_roots(folder: Path) -> None:
    """New checksums cannot give other rows the same roots, nor the commit the same id."""
    whole = {name: (folder / name).read_bytes() for name in ALL}

    def problems() -> set[str]:
        resealed(folder)
        found = {problem.object for problem in vecver.open_snapshot(folder).check().problems}
        for name in ALL:
            (folder / name).write_bytes(whole[name])
        return found

    vectors = bytearray(whole["vectors.npy"])
    vectors[-2] ^= 1
    (folder / "vectors.npy").write_bytes(vectors)
    assert "chunks.parquet, vectors.npy" in problems()
    for name, column, roots in (
        ("chunks.parquet", "text", {"documents.parquet, chunks.parquet"}),
        ("chunks.parquet", "title", {"chunks.parquet"}),
        ("documents.parquet", "title", {"chunks.parquet", "documents.parquet, chunks.parquet"}),
        ("documents.parquet", "media_type", {"documents.parquet, chunks.parquet"}),
    ):
        table = pq.read_table(folder / name)
        place = table.column_names.index(column)
        pq.write_table(table.set_column(place, column, [["x"] * len(table)]), folder / name)
        assert problems() == roots, column
    (folder / "commit.json").write_bytes(whole["commit.json"].replace(b"tester", b"nobody"))
    resealed(folder)
    assert refused(folder).context["name"] == "commit.json"


def test_what_is_no_snapshot(tmp_path: Path) -> None:
    open_on(LocalStore(tmp_path / "kb"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name in ("kb", "empty", "file", "nowhere"):
        assert code_of(lambda name=name: vecver.open_snapshot(tmp_path / name), NotFoundError) == "snapshot_not_found"  # type: ignore[misc]
