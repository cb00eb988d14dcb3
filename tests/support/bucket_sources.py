"""Sources in buckets for tests: a small Google Cloud Storage with documents, and folders copied into a bucket."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_gcs import BUCKET, FakeGcs, Stored

_generations = itertools.count(1)
HANDBOOK = {
    "a.md": "# A\n\nBoilers lose pressure.\n",
    "deep/b.md": "# B\n\nThe lift stops.\n",
    "deep/keep.log": "a log that is kept",
    "ü c.txt": "plain text",
    "drafts/x.md": "# Not this one",
    "l.log": "not this one",
    ".hidden.md": "not this one",
    "old/kb/vecver.json": "{}",
    "old/kb/y.md": "# Part of a repository",
    ".vecverignore": "drafts/\n*.log\n!deep/keep.log\n",
    "deep/.gitignore": "*.tmp\n",
    "deep/z.tmp": "not this one",
}
DOCUMENTS = ["a.md", "deep/b.md", "deep/keep.log", "ü c.txt"]


class Bucket:
    """A bucket on loopback; `objects`: what lies in it by key."""

    def __init__(self, server: FakeGcs) -> None:
        self.server = server

    def put(self, key: str, data: str | bytes) -> None:
        """Write an object, whatever its key."""
        body = data.encode() if isinstance(data, str) else data
        self.server.objects[key] = Stored(body, next(_generations), "Fri, 27 Nov 2026 10:00:00 GMT", {})

    def delete(self, key: str) -> None:
        del self.server.objects[key]

    def fetched(self) -> list[str]:
        """The keys of the documents that were read since the last call, without ignore files; sorted."""
        keys = [name for method, name in self.server.asked if method == "GET" and name]
        self.server.asked.clear()
        return sorted(key for key in keys if "ignore" not in key)

    def url(self, path: str = "") -> str:
        return f"gs://{BUCKET}/{path}"


@contextmanager
def bucket_with(files: dict[str, str], prefix: str = "handbook/") -> Iterator[Bucket]:
    """A bucket that has these files below a prefix, with its address in the environment."""
    pytest.importorskip("obstore", reason="obstore is not installed")
    with FakeGcs() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", server.url)
        bucket = Bucket(server)
        for key, text in files.items():
            bucket.put(prefix + key, text)
        yield bucket
        server.shutdown()


def folder_of(files: dict[str, str], folder: Path) -> Path:
    """These files in a folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder
