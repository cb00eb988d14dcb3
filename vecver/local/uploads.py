"""Keeps what was uploaded for the jobs of a service in the repository's store, so that each replica can take the job.

    uploads/<name>.tar    the files of one upload; gc, check and transfers leave them alone

A service without replicas does not use this: its uploads lie in its state folder.

Decisions
1. One object an upload, however many files it has: a request a file would take longer than most jobs.
2. The digest of the object is kept by the caller, who stored it where the job is, and is checked before anything is
   unpacked. An upload is fetched into a file: it may be larger than the memory.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

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
        with self._scratch_file() as part:
            with tarfile.open(part, "w") as tar:
                tar.add(folder, "")
            with part.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            self._store.put(_path(name), part)
        return digest

    def get(self, name: str, digest: str, into: Path) -> None:
        """Unpack an upload into a folder, which is made. Raises NotFoundError, IntegrityError, OSError (no room)."""
        with self._scratch_file() as part:
            stored = hashlib.sha256()
            with part.open("wb") as file:
                for piece in self._store.stream(_path(name)):
                    stored.update(piece)
                    file.write(piece)
            if stored.hexdigest() != digest:
                raise _damaged(name)
            into.mkdir(parents=True)
            try:
                with tarfile.open(part) as tar:
                    tar.extractall(into, filter="data")  # nothing outside the folder, no links out of it, no devices
            except tarfile.TarError as error:
                raise _damaged(name) from error

    @contextmanager
    def _scratch_file(self) -> Iterator[Path]:
        """Where a file may be written that vanishes afterwards."""
        scratch = self._store.scratch()
        try:
            yield scratch / "upload"
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def delete(self, *names: str) -> None:
        """Delete uploads; missing ones are no error."""
        self._store.delete(*map(_path, names))

    def names(self) -> Iterator[str]:
        """The uploads that there are, sorted."""
        for path in self._store.list(f"{FOLDER}/"):
            yield path.removeprefix(f"{FOLDER}/").removesuffix(".tar")


def _path(name: str) -> str:
    return f"{FOLDER}/{name}.tar"


def _damaged(name: str) -> IntegrityError:
    return IntegrityError(
        f"the upload {name} is not as it was stored", code="upload_damaged", hint="send it again", name=_path(name)
    )
