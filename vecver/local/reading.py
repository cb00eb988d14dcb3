"""The calls of `Dataset` that read what a version holds: documents, chunks, counts, fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, overload

from vecver import flows, repo
from vecver.arguments import Revision, text_of
from vecver.local.handle import Handle

if TYPE_CHECKING:
    from vecver.model import Chunks, Count, Document, Fields, Json, StoredChunk


class Reading(Handle):
    """Reading a version. Each call reads one version, even if refs move meanwhile."""

    def documents(
        self,
        at: Revision = "main",
        *,
        where: Json | None = None,
        prefix: str = "",
        limit: int | None = None,
        after: str | None = None,
    ) -> list[str]:
        """The ids of the documents of a version, sorted.

        `where`: only those with a chunk that matches, as `filter` of `search`. `prefix`: only ids that begin so.
        `limit`: at most so many, of those that come after the id `after`, which need not be one of them; so the last
        id of a page begins the next one, also in another version.

        Raises NotFoundError (revision), InvalidInputError.
        """
        return flows.document_ids(self._opened(at), where=where, prefix=prefix, limit=limit, after=after)

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
        """The documents of a version with these ids, in their order: text, metadata, source and chunks.

        One id gives one document, several give a list. `missing="skip"` leaves out ids that the version does not
        have (for one id: None). The text is put together from the chunks; see `Document`.

        Raises NotFoundError (it names the unknown ids, and similar ones), InvalidInputError.
        """
        return one_or_all(ids, flows.get_documents(self._opened(at), ids, missing=missing))

    def chunks(
        self,
        at: Revision = "main",
        *,
        where: Json | None = None,
        vectors: bool = False,
        limit: int | None = None,
        after: str | None = None,
    ) -> Chunks:
        """The chunks of a version, by document id and then as the text is read: an iterator that reads in batches.

        `where`: only chunks that match, as `filter` of `search`. `vectors`: with their vectors. `limit`: at most so
        many, of those behind the chunk with the key `after`; so the last key of a page begins the next one of the same
        version. A key that the version does not hold is refused. `.to_arrow()` and `.to_pandas()` make a table.

        Raises NotFoundError (revision), InvalidInputError.
        """
        return chunks_of(self._opened(at), self._name(at), where=where, vectors=vectors, limit=limit, after=after)

    def chunk(self, key: str, at: Revision = "main", context: int = 1) -> StoredChunk:
        """The chunk of a version with this key, and as its `context` the text with so many neighbours on either side.

        Raises NotFoundError (revision, key), InvalidInputError.
        """
        return flows.one_chunk(self._opened(at), key, context)

    def count(self, at: Revision = "main", where: Json | None = None) -> Count:
        """How many documents and chunks a version holds; with `where`, how many match.

        Raises NotFoundError (revision), InvalidInputError.
        """
        return flows.count_matching(self._opened(at), where)

    def fields(self, at: Revision = "main") -> Fields:
        """What filters may name in a version: types, how many documents have it, and examples.

        Raises NotFoundError (revision).
        """
        return flows.fields_of(self._opened(at))

    def _opened(self, at: Revision) -> repo.Snapshot:
        return self._versions.snapshot(self.resolve(at))

    def _name(self, at: Revision) -> str:
        return f"{self.name}@{text_of(at)}"


def one_or_all(ids: Any, documents: list[Document]) -> Document | list[Document] | None:
    """What `get` returns: for one id its document or None, for several a list."""
    return next(iter(documents), None) if isinstance(ids, str) else documents


def chunks_of(
    snapshot: repo.Snapshot, version: str, *, where: Json | None, vectors: bool, limit: int | None, after: str | None
) -> Chunks:
    """The chunks of an opened version that match. Raises InvalidInputError."""
    from vecver.model import Chunks

    page = flows.chunk_page(snapshot, where, limit, after)

    def read() -> Iterator[StoredChunk]:
        return chain.from_iterable(flows.read_chunks(snapshot, page, vectors=vectors))

    return Chunks(read, version, snapshot.commit.id)
