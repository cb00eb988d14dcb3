"""What a version behind a service holds: its documents and chunks, a page at a time, all pages of one version."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, overload

from vecver import flows, index
from vecver.arguments import Revision
from vecver.errors import InvalidInputError
from vecver.remote.handle import RemoteHandle, revision_text
from vecver.remote.http import read

if TYPE_CHECKING:
    from vecver.model import Chunks, Count, Document, Fields, Json, StoredChunk

PAGE = 1000  # documents or chunks asked for at once


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
        found: list[str] = []
        ref = revision_text(at)
        if (where is None or where == {}) and not after and limit is None:
            return self._all_documents(ref, prefix)
        while limit is None or len(found) < limit:
            size = PAGE if limit is None else min(PAGE, int(limit) - len(found))
            asked = {"ref": ref, "where": index.json_filter(where), "prefix": prefix, "limit": size, "after": after}
            page = self._wire.ask(self._path("documents", "list"), asked)
            ref, some, more = read(page, lambda it: (str(it["commit"]), list(it["documents"]), it["next"] is not None))
            found += some
            if not more or not some:
                break
            after = some[-1]
        return found

    def _all_documents(self, ref: str, prefix: str) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            page = self._wire.get(self._path("documents"), ref=ref, prefix=prefix or None, cursor=cursor)
            ref, some, cursor = read(page, lambda it: (it["commit"], list(it["documents"]), it["next"]))
            found += some
            if cursor is None:
                return found

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
        """The documents of a version with these ids, in the order asked; as `Dataset.get`."""
        from vecver.model import Document

        wanted, ref, found = flows.checked_ids(ids, missing), revision_text(at), list[Document]()
        for start in range(0, max(len(wanted), 1), PAGE):
            for page in self._documents(wanted[start : start + PAGE], ref, missing):
                ref, some = read(
                    page, lambda it: (str(it["commit"]), [Document.from_json(one) for one in it["documents"]])
                )
                found += some
        return next(iter(found), None) if isinstance(ids, str) else found

    def _documents(self, ids: list[str], ref: str, missing: str) -> Iterator[Json]:
        """Pages with these documents; of those that are too long for one answer of the service, several."""
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
        """The chunks of a version; as `Dataset.chunks`. They are asked for a page at a time, as they are wanted.

        The first page is asked for at once, so that what cannot be read is said here.
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
        """A page. Only one without chunks is the last: a page that was cut short on the way loses nothing."""
        asked = {"ref": commit, "where": where, "vectors": vectors, "limit": limit, "after": after}
        lines = self._wire.lines(self._path("chunks", "list"), asked)
        return read({"lines": lines}, lambda it: [_chunk(line) for line in it["lines"]])

    def chunk(self, key: str, at: Revision = "main", context: int = 1) -> StoredChunk:
        """The chunk of a version with this key; as `Dataset.chunk`."""
        flows.check_chunk(key, context)
        found = self._wire.get(self._path("chunks", key), ref=revision_text(at), context=context)
        return read(found, _chunk)

    def count(self, at: Revision = "main", where: Json | None = None) -> Count:
        """How many documents and chunks a version holds, or of those that match; as `Dataset.count`."""
        from vecver.model import Count

        asked = {"ref": revision_text(at), "where": index.json_filter(where)}
        return read(self._wire.ask(self._path("count"), asked), Count.from_json)

    def fields(self, at: Revision = "main") -> Fields:
        """The fields of a version that filters may name; as `Dataset.fields`."""
        from vecver.model import Fields

        return read(self._wire.get(self._path("fields"), ref=revision_text(at)), Fields.from_json)

    def resolve(self, at: Revision = "main") -> str:
        """The full commit id that a revision names."""
        raise NotImplementedError


def _chunk(value: Json) -> StoredChunk:
    """A chunk that travelled."""
    from vecver.model import StoredChunk

    bits = value.get("vector")
    return StoredChunk.from_json(value if bits is None else {**value, "vector": base64.b64decode(bits)})
