"""Reads a bucket that holds documents: lists its objects, and fetches some of them. It writes nothing there.

Decisions
1. All objects below a prefix are listed flat, 1,000 a request, since a request for each folder takes minutes where
   there are many. A name that obstore cannot hold (`a//b`, `a/../b`, control characters) fails such a list as a whole.
   Then the folders are listed one by one, and only the folder that has such a name stays unread.
2. An object is fetched as it was at one moment. A large one comes in ranges, each on condition that its ETag is still
   the same (`Requests.fetch`). If it changed meanwhile it is fetched again from the start, three times at most.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vecver.errors import BackendError
from vecver.store.clouds import open_bucket
from vecver.store.requests import PIECE_BYTES, Entry, Requests, Tag, UnreadableName

ATTEMPTS: Final = 3


@dataclass(frozen=True)
class Unlisted:
    """A folder that could not be listed because of a name in it. `folder` is "" for the whole bucket."""

    folder: str
    name: str


class SourceBucket:
    """A bucket to read. Methods raise BackendError (no such bucket, no rights, no answer)."""

    def __init__(self, scheme: str, bucket: str) -> None:
        """Asks nothing yet. Raises InvalidInputError (settings), BackendError (obstore is not installed)."""
        opened = open_bucket(f"{scheme}://{bucket}")
        self.endpoint = opened.endpoint
        self._requests = Requests(opened.objects, opened.url)

    def entry(self, name: str) -> Entry | None:
        """The object of this name; None if there is none."""
        try:
            return self._requests.entry(name)
        except UnreadableName:
            return None

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Every object below a folder (without its last slash; "": all), in a stream and in no order.

        Raises UnreadableName: then `entries_by_folder` lists what can be listed.
        """
        return self._requests.entries(prefix)

    def entries_by_folder(self, prefix: str, unreadable: str) -> Iterator[Entry | Unlisted]:
        """As `entries`, but for folders that hold a name which cannot be listed; `unreadable`: the one that was met."""
        try:
            objects, folders = self._requests.folder(prefix)
        except UnreadableName as error:
            yield Unlisted(prefix, unreadable if unreadable.startswith(error.name) else error.name)
            return
        yield from objects
        for folder in folders:
            name = self._unreadable_name(folder)
            yield from self.entries(folder) if name is None else self.entries_by_folder(folder, name)

    def _unreadable_name(self, prefix: str) -> str | None:
        """The first name below the folder that cannot be listed. Lists them all."""
        try:
            for _ in self._requests.entries(prefix):
                pass
        except UnreadableName as error:
            return error.name
        return None

    def read(self, name: str, size: int) -> tuple[bytes, Tag]:
        """An object's bytes at one moment, and their tag; `size`: as it was listed.

        Raises NotFoundError, BackendError (object_changed: it was replaced each time while it was fetched).
        """
        if size <= 2 * PIECE_BYTES:
            found = self._requests.get(name)
            assert found, "an unconditional read gives bytes"
            return found.body, found.tag
        with tempfile.TemporaryDirectory(prefix="vecver-") as folder:
            tag = self.fetch(name, Path(folder, "object"))
            return Path(folder, "object").read_bytes(), tag

    def fetch(self, name: str, path: Path) -> Tag:
        """Write an object as it was at one moment into a new file. Raises as `read`."""
        for attempt in range(ATTEMPTS):
            path.unlink(missing_ok=True)
            try:
                tag = self._requests.fetch(name, path)
            except BackendError as error:
                if error.code != "object_changed" or attempt + 1 == ATTEMPTS:
                    raise
            else:
                assert tag, "an unconditional read gives a tag"
                return tag
        raise AssertionError("the last attempt returns or raises")
