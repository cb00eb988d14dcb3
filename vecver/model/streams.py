"""Iterators over long lists, read as they are consumed: the chunks of a version, and the commits that led to one.

Each value is yielded once. `repr`, `to_pandas` and the like read the list again from the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from vecver.errors import VecverError
from vecver.model.display import ROWS, ROWS_HTML, described, listed
from vecver.model.frames import arrow_table
from vecver.model.spaces import Json
from vecver.model.stored import StoredChunk, chunk_line, chunks_frame, chunks_html
from vecver.model.versions import Commit, commit_line, commits_frame, commits_html

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

T = TypeVar("T")


class Stream(Iterator[T], Generic[T]):
    """An iterator over what `read` yields. Each call of `read` begins again."""

    def __init__(self, read: Callable[[], Iterator[T]]) -> None:
        self._read = read
        self._going: Iterator[T] | None = None

    def __next__(self) -> T:
        if self._going is None:
            self._going = self._read()
        return next(self._going)

    def first(self, count: int) -> list[T]:
        """The first `count` values."""
        return list(islice(self._read(), count))


class Log(Stream[Commit]):
    """The commits that led to a revision, newest first."""

    def __init__(self, read: Callable[[], Iterator[Commit]], version: str) -> None:
        super().__init__(read)
        self._version = version

    def to_pandas(self) -> pd.DataFrame:
        """A row for each commit. Raises InvalidInputError without pandas."""
        return commits_frame(list(self._read()))

    def to_dict(self) -> list[Json]:
        """Each commit's `to_dict`."""
        return [commit.to_dict() for commit in self._read()]

    def __repr__(self) -> str:
        try:
            newest = self.first(ROWS + 1)
        except VecverError as error:
            return described("Log", f"of {self._version}: {error.message}")
        head = described("Log", f"of {self._version}, newest first")
        return listed(head, [commit_line(commit) for commit in newest[:ROWS]], more=len(newest) > ROWS)

    def _repr_html_(self) -> str:
        newest = self.first(ROWS + 1)
        older = f", the newest {ROWS}" if len(newest) > ROWS else ""
        return commits_html(f"log of {self._version}{older}", newest[:ROWS])


class Chunks(Stream[StoredChunk]):
    """The chunks of a version, in the order of their documents' ids and of the text; at most a batch is in memory.

    `commit`: the full id of the version that is read.
    """

    def __init__(self, read: Callable[[], Iterator[StoredChunk]], version: str, commit: str) -> None:
        super().__init__(read)
        self.commit = commit
        self._version = version

    def to_arrow(self) -> pa.Table:
        """A table with a row a chunk, of all of them: `document`, `key`, `start`, `end`, `text`, `title`, `headings`,
        `header`, `page`, `sheet`, `line`, one column `metadata.NAME` for each field of metadata that one of them has,
        and `vector` (a list of float32 of fixed size) where vectors were asked for. See `frames.arrow_table`.
        """
        import pyarrow as pa

        texts = dict.fromkeys(("document", "key", "text", "title", "header", "sheet"), pa.string())
        numbers = dict.fromkeys(("start", "end", "page", "line"), pa.int32())
        types = {**texts, **numbers, "headings": pa.list_(pa.string())}
        rows = [chunk.to_row() for chunk in self._read()]
        order = [name for name in rows[0] if name in types] if rows else list(types)
        types = {name: types[name] for name in order}
        if rows and "vector" in rows[0]:
            types["vector"] = pa.list_(pa.float32(), len(rows[0]["vector"]))
        return arrow_table(rows, types)

    def to_pandas(self) -> pd.DataFrame:
        """The rows of `to_arrow` as a DataFrame; metadata as they are. Raises InvalidInputError without pandas."""
        return chunks_frame(list(self._read()))

    def to_dict(self) -> list[Json]:
        """Each chunk's `to_dict`."""
        return [chunk.to_dict() for chunk in self._read()]

    def __repr__(self) -> str:
        first = self.first(ROWS + 1)
        head = described("Chunks", f"of {self._version} {self.commit[:12]}")
        return listed(head, [chunk_line(chunk) for chunk in first[:ROWS]], more=len(first) > ROWS)

    def _repr_html_(self) -> str:
        first = self.first(ROWS_HTML + 1)
        return chunks_html(f"chunks of {self._version} {self.commit[:12]}", first, len(first))
