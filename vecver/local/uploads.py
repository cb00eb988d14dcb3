"""Keeps what was uploaded for the jobs of a service in the repository's store, so that each replica can take the job.

    uploads/<name>.tar    the files of one upload; gc, check and transfers leave them alone

A service without replicas does not use this: its uploads lie in its state folder.

Decisions
1. One object an upload, however many files it has: a request a file would take longer than most jobs.
2. The digest of the object is kept by the caller, who stored it where the job is, and is checked before anything is
   unpacked.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vecver.errors import IntegrityError

if TYPE_CHECKING:
    from vecver.local.repository import Repository

FOLDER = "uploads"


class Uploads:
    """The uploads in the store of a repository. Methods raise BackendError where the store does not answer."""

    def __init__(self, repository: Repository) -> None:
        self._store = repository._versions.store

    def put(self, name: str, folder: Path) -> str:
        """Store what lies in a folder; the sha256 of it, hex. It is durable when this returns."""
        scratch = self._store.scratch()
        try:
            part = scratch / "upload"
            with tarfile.open(part, "w") as tar:
                tar.add(folder, "")
            digest = _digest(part)
            self._store.put(_path(name), part)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return digest

    def get(self, name: str, digest: str, into: Path) -> None:
        """Unpack an upload into a folder, which is made. Raises NotFoundError, IntegrityError, OSError (no room)."""
        view = self._store.map(_path(name))
        if hashlib.sha256(view).hexdigest() != digest:
            raise IntegrityError(
                f"the upload {name} is not as it was stored",
                code="upload_damaged",
                hint="send it again",
                name=_path(name),
            )
        into.mkdir(parents=True)
        path = self._store.path(_path(name))
        with _opened(path, view) as file, tarfile.open(fileobj=file) as tar:
            tar.extractall(into, filter="data")  # nothing outside the folder, no links out of it, no devices

    def delete(self, *names: str) -> None:
        """Delete uploads; missing ones are no error."""
        self._store.delete(*map(_path, names))

    def names(self) -> Iterator[str]:
        """The uploads that there are, sorted."""
        for path in self._store.list(f"{FOLDER}/"):
            yield path.removeprefix(f"{FOLDER}/").removesuffix(".tar")


def _path(name: str) -> str:
    return f"{FOLDER}/{name}.tar"


def _opened(path: Path | None, view: memoryview) -> IO[bytes]:
    return path.open("rb") if path else io.BytesIO(view)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
