"""108 real awkward files in one ingest: each is read or reported, nothing hangs, memory stays bounded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from paths import SHARED

import vecver

MESSY = SHARED / "data/messy/dev"
pytestmark = [
    pytest.mark.skipif(not MESSY.is_dir(), reason="the awkward files lie in ../shared/data/messy, which is not here"),
    pytest.mark.timeout(600),
]
CODES = {
    *("empty", "no_text", "needs_ocr", "malformed", "binary", "unsupported", "encrypted", "wrong_password"),
    *("timeout", "out_of_memory", "crashed", "too_large"),
}


@pytest.fixture(scope="module")
def entries() -> dict[str, dict[str, str]]:
    lines = (MESSY / "manifest.jsonl").read_text("utf-8").splitlines()
    return {entry["file"]: entry for entry in map(json.loads, lines)}


PEAK = Path("/proc/self/clear_refs")  # writing to it forgets the peak of memory, which earlier tests have made
grown_kb: list[int] = []  # by how much the ingest raised this process's memory at most


def memory_kb(field: str) -> int:
    """A field of /proc/self/status: VmRSS, or VmHWM, the peak since it was last forgotten."""
    line = next(line for line in Path("/proc/self/status").read_text("ascii").splitlines() if line.startswith(field))
    return int(line.split()[1])


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> tuple[vecver.Dataset, vecver.Report]:
    pytest.importorskip("liteparse", reason="vecver[documents] is not installed")
    docs = vecver.open(tmp_path_factory.mktemp("messy") / "kb", create=True).dataset("messy")
    if not PEAK.exists():
        return docs, docs.ingest(MESSY, embedder="hashing")
    PEAK.write_text("5", "ascii")
    before = memory_kb("VmRSS")
    report = docs.ingest(MESSY, embedder="hashing")
    grown_kb.append(memory_kb("VmHWM") - before)
    return docs, report


def test_every_file_is_read_or_reported(
    ingested: tuple[vecver.Dataset, vecver.Report], entries: dict[str, dict[str, str]]
) -> None:
    docs, report = ingested
    failed = {failure.document: failure for failure in report.failures}
    assert set(docs.documents()) | failed.keys() == {*entries, "manifest.jsonl"}
    assert not set(docs.documents()) & failed.keys()
    assert all(failure.code in CODES and len(failure.reason) > 10 for failure in report.failures)
    assert report.documents["added"] >= 85
    assert {name: failed[name].code for name in ("empty.txt", "random.bin", "fake-text-all-whitespace.txt")} == {
        "empty.txt": "empty",
        "random.bin": "binary",
        "fake-text-all-whitespace.txt": "no_text",
    }
    assert docs.repository.check().clean


def test_encrypted_documents_open_with_their_password(entries: dict[str, dict[str, str]], tmp_path: Path) -> None:
    pytest.importorskip("liteparse", reason="vecver[documents] is not installed")
    passwords = {name: re.search(r"password=(\S+)", entry["notes"]) for name, entry in entries.items()}
    locked = {name: match[1] for name, match in passwords.items() if match}
    assert len(locked) >= 3
    folder = tmp_path / "locked"
    folder.mkdir()
    for name in locked:
        (folder / name).write_bytes((MESSY / name).read_bytes())
    docs = vecver.open(tmp_path / "kb", create=True).dataset("locked")
    closed = docs.ingest(folder, embedder="hashing")
    assert {failure.code for failure in closed.failures} == {"encrypted"}
    wrong = docs.ingest(folder, embedder="hashing", passwords=["surely not"])
    assert {failure.code for failure in wrong.failures} == {"wrong_password"}
    opened = docs.ingest(folder, embedder="hashing", passwords=sorted(set(locked.values())))
    assert not opened.failures and {f.document for f in closed.failures} <= set(docs.documents())


@pytest.mark.skipif(not PEAK.exists(), reason="only Linux forgets the peak of memory")
def test_memory_stays_bounded(ingested: tuple[vecver.Dataset, vecver.Report]) -> None:
    """Of this process, which never holds a parsed file's pictures or pages; a worker may take 1.5 GB by its limit."""
    assert grown_kb[0] < 1_000_000
