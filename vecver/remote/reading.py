"""Reads what a version behind a service holds, a page at a time; all pages are of the same version."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, overload

from vecver import flows, index
from vecver.arguments import Revision
from vecver.errors import InvalidInputError
from vecver.remote.handle import RemoteHandle, revision_text
from vecver.wire import read

if TYPE_CHECKING:
    from vecver.model import Chunks, Count, Document, Fields, Json, StoredChunk

PAGE = 1000  # documents or chunks in a request


class RemoteReading(RemoteHandle):
    """The calls of `Dataset` that read what a version holds."""

    def documents(
        self,
        at: Revision = "main",
        *,
        where: Json | None = None,
        prefix: str = "",
        limit: int | None = None,
        after: str | None = None,
    ) -> list[str]:
        """The ids of the documents of a version, sorted; as `Dataset.documents`."""
        flows.check_page(limit=limit, prefix=prefix, after=after)
        ids: list[str] = []
        ref = revision_text(at)
        if (where is None or where == {}) and not after and limit is None:
            return self._all_documents(ref, prefix)
        while limit is None or len(ids) < limit:
            size = PAGE if limit is None else min(PAGE, int(limit) - len(ids))
            body = {"ref": ref, "where": index.json_filter(where), "prefix": prefix, "limit": size, "after": after}
            page = self._wire.ask(self._path("documents", "list"), body)
            ref, batch, more = read(page, lambda it: (str(it["commit"]), list(it["documents"]), it["next"] is not None))
            ids += batch
            if not more or not batch:
                break
            after = batch[-1]
        return ids

    def _all_documents(self, ref: str, prefix: str) -> list[str]:
        ids: list[str] = []
        cursor = None
        while True:
            page = self._wire.get(self._path("documents"), ref=ref, prefix=prefix or None, cursor=cursor)
            ref, batch, cursor = read(page, lambda it: (it["commit"], list(it["documents"]), it["next"]))
            ids += batch
            if cursor is None:
                return ids

    @overload
    def get(self, ids: str, *, at: Revision = "main", missing: Literal["error"] = "error") -> Document: ...  # type: ignore[overload-overlap]
    @overload
    def get(self, ids: str, *, at: Revision = "main", missing: Literal["skip"]) -> Document | None: ...  # type: ignore[overload-overlap]
    @overload
    def get(
        self, ids: Iterable[str], *, at: Revision = "main", missing: Literal["error", "skip"] = "error"
    ) -> list[Document]: ...
    def get(
        self, ids: str | Iterable[str], *, at: Revision = "main", missing: Literal["error", "skip"] = "error"
    ) -> Document | list[Document] | None:
        """The documents of a version with these ids, in the order of `ids`; as `Dataset.get`."""
        from vecver.model import Document

        checked_ids, ref, documents = flows.checked_ids(ids, missing), revision_text(at), list[Document]()
        for start in range(0, max(len(checked_ids), 1), PAGE):
            for page in self._documents(checked_ids[start : start + PAGE], ref, missing):
                ref, batch = read(
                    page, lambda it: (str(it["commit"]), [Document.from_json(value) for value in it["documents"]])
                )
                documents += batch
        return next(iter(documents), None) if isinstance(ids, str) else documents

    def _documents(self, ids: list[str], ref: str, missing: str) -> Iterator[Json]:
        """Pages with these documents. A page that is too long for one answer is fetched in halves."""
        try:
            yield self._wire.ask(self._path("documents", "get"), {"ref": ref, "ids": ids, "missing": missing})
        except InvalidInputError as error:
            if error.code != "limit" or len(ids) < 2:
                raise
            middle = len(ids) // 2
            commit = self.resolve(ref)
            yield from self._documents(ids[:middle], commit, missing)
            yield from self._documents(ids[middle:], commit, missing)

    def chunks(
        self,
        at: Revision = "main",
        *,
        where: Json | None = None,
        vectors: bool = False,
        limit: int | None = None,
        after: str | None = None,
    ) -> Chunks:
        """The chunks of a version; as `Dataset.chunks`. Pages are fetched as they are read.

        The first page is fetched here, so that errors are raised by this call.
        """
        from vecver.model import Chunks

        flows.check_page(limit=limit)
        text, where = revision_text(at), index.json_filter(where)
        commit = self.resolve(at)
        size = PAGE if limit is None else min(PAGE, int(limit))
        first = self._chunks(commit, where, size, after, vectors=vectors)

        def pages() -> Iterator[StoredChunk]:
            page, left = first, limit
            while page:
                yield from page
                left = None if left is None else left - len(page)
                wanted = PAGE if left is None else min(PAGE, left)
                page = self._chunks(commit, where, wanted, page[-1].key, vectors=vectors) if wanted else []

        return Chunks(pages, f"{self.name}@{text}", commit)

    def _chunks(
        self, commit: str, where: Json | None, limit: int, after: str | None, *, vectors: bool
    ) -> list[StoredChunk]:
        """A page of chunks. Only an empty page ends the list, so a page that was cut short loses nothing."""
        body = {"ref": commit, "where": where, "vectors": vectors, "limit": limit, "after": after}
        lines = self._wire.lines(self._path("chunks", "list"), body)
        return read({"lines": lines}, lambda it: [_chunk(line) for line in it["lines"]])

    def chunk(self, key: str, at: Revision = "main", context: int = 1) -> StoredChunk:
        """The chunk of a version with this key; as `Dataset.chunk`."""
        flows.check_chunk(key, context)
        return read(self._wire.get(self._path("chunks", key), ref=revision_text(at), context=context), _chunk)

    def count(self, at: Revision = "main", where: Json | None = None) -> Count:
        """How many documents and chunks a version holds, or of those that match; as `Dataset.count`."""
        from vecver.model import Count

        body = {"ref": revision_text(at), "where": index.json_filter(where)}
        return read(self._wire.ask(self._path("count"), body), Count.from_json)

    def fields(self, at: Revision = "main") -> Fields:
        """The fields of a version that filters may name; as `Dataset.fields`."""
        from vecver.model import Fields

        return read(self._wire.get(self._path("fields"), ref=revision_text(at)), Fields.from_json)


def _chunk(value: Json) -> StoredChunk:
    """The chunk in an answer, whose vector is base64 of little-endian float32 bytes."""
    from vecver.model import StoredChunk

    bits = value.get("vector")
    return StoredChunk.from_json(value if bits is None else {**value, "vector": base64.b64decode(bits)})
