"""The document store of Haystack on a dataset. Every call makes a few calls of the dataset's handle.

Decisions
1. Who makes the vectors is said once: with `embedding_dim` they come with the documents, without it vecver makes them
   of the contents, and refuses documents that bring their own. With it, a document is one chunk; without it a long
   document is cut, and a hit is the passage that answers.
2. A document without an embedding, in a store that has `embedding_dim`, is kept for filters and keywords: its vector
   is zero, it is marked by the field `_no_embedding`, and no search by a vector returns it.
3. `DuplicatePolicy.NONE` is FAIL. What SKIP and FAIL saw holds when they write: if another writer came between, they
   look again.
4. Embeddings are kept as float32.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

from haystack import Document, default_to_dict
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.utils import Secret

import vecver
from vecver.integrations.haystack.filters import where_of
from vecver.integrations.metadata import packed, unpacked
from vecver.integrations.pinned import Dataset, Pinned

Json = dict[str, Any]
Similarity = Literal["dot_product", "cosine"]

_MARK = "_no_embedding"
_METRICS = {"dot_product": "ip", "cosine": "cosine"}
_TRIES = 5  # of a write that other writers come between


class VecverDocumentStore:
    """A dataset as a document store: reads the version `ref`, writes on `branch`."""

    def __init__(
        self,
        dataset: Dataset,
        ref: str = "main",
        branch: str = "main",
        *,
        embedding_dim: int | None = None,
        similarity: Similarity = "dot_product",
        space: str = "haystack",
        embedder: str | None = None,
        api_key: Secret | None = None,
    ) -> None:
        """`dataset`: of `vecver.open(folder)` or `vecver.connect(url, key)`.

        `embedding_dim`: dimension of the embeddings that documents bring, compared by `similarity`; `space` is the
        name of what made them, and a version refuses those of another. None: vecver embeds, with `embedder` for the
        first version (default: minilm) and the dataset's own from then on. `api_key`: where a pipeline that is loaded
        from a file finds the key of the service; None: the environment variable VECVER_KEY.

        Raises InvalidInputError (a similarity that is not known; an embedder beside `embedding_dim`).
        """
        if similarity not in _METRICS or (embedder is not None and embedding_dim is not None):
            raise vecver.InvalidInputError(
                f"similarity is dot_product or cosine, not {similarity!r:.40}"
                if similarity not in _METRICS
                else "documents that bring embeddings need no embedder",
                code="conflicting_options",
                hint="name embedding_dim with similarity, or an embedder alone",
            )
        self._pinned = Pinned(dataset, ref, branch)
        self._dim, self._similarity, self._space, self._embedder = embedding_dim, similarity, space, embedder
        self._api_key = api_key or Secret.from_env_var("VECVER_KEY", strict=False)

    # -- as a part of pipelines -----------------------------------------------------------------------

    def to_dict(self) -> Json:
        """The store as pipelines save it: where its dataset is, never a key. Raises InvalidInputError (in memory)."""
        dataset = self._pinned.dataset
        url = str(dataset.repository.url)
        if url.startswith("memory://"):
            raise vecver.InvalidInputError(
                "a repository in memory cannot be named in a saved pipeline",
                code="not_saved",
                hint="open one in a folder, or connect to a service",
            )
        return default_to_dict(
            self,
            repository=url,
            dataset=dataset.name,
            ref=self._pinned.ref,
            branch=self._pinned.branch,
            embedding_dim=self._dim,
            similarity=self._similarity,
            space=self._space,
            embedder=self._embedder,
            api_key=self._api_key.to_dict(),
        )

    @classmethod
    def from_dict(cls, data: Json) -> VecverDocumentStore:
        """The store that was saved, on the repository where it was. Raises NotFoundError, BackendError, AccessError."""
        values = dict(data["init_parameters"])
        url, name = values.pop("repository"), values.pop("dataset")
        key = Secret.from_dict(values.pop("api_key"))
        served = url.startswith(("http://", "https://"))
        repository = vecver.connect(url, key.resolve_value()) if served else vecver.open(url)
        return cls(repository.dataset(name), api_key=key, **values)

    # -- reading --------------------------------------------------------------------------------------

    def count_documents(self) -> int:
        """The number of documents of the version."""
        commit = self._pinned.read()
        return int(commit.counts["documents"]) if commit else 0

    def count_documents_by_filter(self, filters: Json) -> int:
        """The number of documents of the version that match. Raises FilterError."""
        return len(self._ids(filters))

    def filter_documents(self, filters: Json | None = None) -> list[Document]:
        """The documents of the version that match, with their embeddings, by id. Raises FilterError."""
        commit = self._pinned.read()
        if commit is None:
            return []
        where = self._where(filters, commit.id)
        dataset = self._pinned.dataset
        if self._dim is None:
            documents = _asked(lambda: dataset.get(dataset.documents(commit.id, where=where), at=commit.id))
            return [_document(each.id, each.text, each.metadata) for each in documents]
        chunks = _asked(lambda: list(dataset.chunks(commit.id, where=where, vectors=True)))
        return [_document(each.document, each.text, each.metadata, each.vector) for each in chunks]

    def search(self, query: Any, *, top_k: int = 10, filters: Json | None = None, **how: Any) -> list[Document]:
        """The best passages of the version for a text or an embedding, with scores. `how`: as `Dataset.search`.

        A passage has the id and metadata of its document, and in its metadata under "vecver" what a citation needs:
        `commit`, `key`, and the characters `start` to `end`. Raises FilterError, and as `Dataset.search`.
        """
        commit = self._pinned.read()
        if commit is None or top_k < 1:
            return []
        where = self._where(filters, commit.id)
        if how.get("mode", "dense") != "keyword" and self._dim is not None and self._has(_MARK, commit.id):
            unmarked: Json = {_MARK: {"$exists": False}}
            where = {"$and": [where, unmarked]} if where else unmarked
        search = replace(self._pinned, ref=commit.id).search
        answer = _asked(lambda: search(query, k=top_k, filter=where, **how))
        return [_passage(hit, commit.id) for hit in answer]

    # -- writing --------------------------------------------------------------------------------------

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Write documents as one commit; returns how many. Of an id that comes twice, `policy` decides as well.

        Raises ValueError (no list of documents), DuplicateDocumentError, InvalidInputError (a document that cannot be
        kept), ConflictError (the store is pinned). After any failure nothing was written.
        """
        if not isinstance(documents, list) or not all(isinstance(each, Document) for each in documents):
            raise ValueError("write_documents takes a list of haystack Documents")
        for attempt in range(_TRIES):
            head = self._head()
            chosen = self._chosen(documents, policy, head)
            try:
                self._write(chosen, expected=None if policy == DuplicatePolicy.OVERWRITE else head or "absent")
                return len(documents) if policy == DuplicatePolicy.OVERWRITE else len(chosen)
            except vecver.ConflictError as error:
                if error.code == "pinned_store" or attempt == _TRIES - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def delete_documents(self, document_ids: list[str]) -> None:
        """Remove documents of the branch as one commit; ids that are not there are none to remove."""
        self._pinned.delete(document_ids)

    def delete_all_documents(self) -> None:
        """Remove every document of the branch as one commit; earlier versions keep them."""
        self._pinned.delete()

    def delete_by_filter(self, filters: Json) -> int:
        """Remove the documents that match as one commit; returns how many. Raises FilterError."""
        ids = self._ids(filters)
        self._pinned.delete(ids)
        return len(ids)

    def update_by_filter(self, filters: Json, meta: Json) -> int:
        """Set fields of metadata of the documents that match, as one commit; returns how many. Raises FilterError."""
        documents = self.filter_documents(filters)
        self._write([replace(each, meta={**each.meta, **meta}) for each in documents])
        return len(documents)

    # -- the same off the event loop --------------------------------------------------------------------

    async def count_documents_async(self) -> int:
        """As `count_documents`."""
        return await asyncio.to_thread(self.count_documents)

    async def count_documents_by_filter_async(self, filters: Json) -> int:
        """As `count_documents_by_filter`."""
        return await asyncio.to_thread(self.count_documents_by_filter, filters)

    async def filter_documents_async(self, filters: Json | None = None) -> list[Document]:
        """As `filter_documents`."""
        return await asyncio.to_thread(self.filter_documents, filters)

    async def search_async(self, query: Any, **how: Any) -> list[Document]:
        """As `search`."""
        return await asyncio.to_thread(self.search, query, **how)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """As `write_documents`."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """As `delete_documents`."""
        await asyncio.to_thread(self.delete_documents, document_ids)

    async def delete_all_documents_async(self) -> None:
        """As `delete_all_documents`."""
        await asyncio.to_thread(self.delete_all_documents)

    async def delete_by_filter_async(self, filters: Json) -> int:
        """As `delete_by_filter`."""
        return await asyncio.to_thread(self.delete_by_filter, filters)

    async def update_by_filter_async(self, filters: Json, meta: Json) -> int:
        """As `update_by_filter`."""
        return await asyncio.to_thread(self.update_by_filter, filters, meta)

    # -- below ------------------------------------------------------------------------------------------

    def _head(self) -> str | None:
        """The commit of the branch; None where the dataset has no version yet. Raises NotFoundError."""
        commit = replace(self._pinned, ref=self._pinned.branch).read()
        return commit.id if commit else None

    def _chosen(self, documents: Sequence[Document], policy: DuplicatePolicy, head: str | None) -> list[Document]:
        """The documents that `policy` lets be written. Raises DuplicateDocumentError."""
        chosen = dict[str, Document]()
        known = set[str]()
        if head and documents and policy != DuplicatePolicy.OVERWRITE:
            ids = {"$document": {"$in": [each.id for each in documents]}}
            known = set(self._pinned.dataset.documents(head, where=ids))
        for each in documents:
            if policy == DuplicatePolicy.OVERWRITE or not (each.id in known or each.id in chosen):
                chosen[each.id] = each
            elif policy != DuplicatePolicy.SKIP:
                raise DuplicateDocumentError(f"there is a document with the id {each.id!r} already")
        return list(chosen.values())

    def _write(self, documents: Iterable[Document], **how: Any) -> None:
        chosen = list(documents)
        rows = [self._row(each) for each in chosen]
        if self._dim is None:
            self._pinned.upsert(rows, embedder=self._embedder, **how)
            return
        vectors = [[0.0] * self._dim if each.embedding is None else each.embedding for each in chosen]
        self._pinned.upsert(rows, vectors=vectors, space=self._space, metric=_METRICS[self._similarity], **how)

    def _row(self, document: Document) -> Json:
        """Raises InvalidInputError for a document that the version could not give back."""
        problem = None
        if document.blob is not None or document.sparse_embedding is not None:
            problem = "has a blob or a sparse embedding, which a version does not keep"
        elif self._dim is None and document.embedding is not None:
            problem = "brings an embedding, and in this store vecver embeds"
        elif self._dim is not None and document.embedding is not None and len(document.embedding) != self._dim:
            problem = f"has an embedding of {len(document.embedding)} dimensions, not {self._dim}"
        if problem:
            raise vecver.InvalidInputError(
                f"the document {document.id!r} {problem}",
                code="invalid_document",
                hint="VecverDocumentStore(dataset, embedding_dim=N) takes documents with embeddings",
            )
        marked = self._dim is not None and document.embedding is None
        metadata = {**packed(document.meta), **({_MARK: True} if marked else {})}
        return {"id": document.id, "text": document.content or "", "title": "", "metadata": metadata}

    def _ids(self, filters: Json | None) -> list[str]:
        commit = self._pinned.read()
        if commit is None:
            return []
        where = self._where(filters, commit.id)
        return _asked(lambda: self._pinned.dataset.documents(commit.id, where=where))

    def _where(self, filters: Json | None, commit: str) -> Json | None:
        return where_of(filters, self._fields(commit)) if filters else None

    def _has(self, field: str, commit: str) -> bool:
        return field in self._fields(commit)

    def _fields(self, commit: str) -> set[str]:
        return {field.name for field in self._pinned.dataset.fields(commit) if field.kind == "metadata"}


def _asked(ask: Callable[[], Any]) -> Any:
    """Raises FilterError where vecver refuses a comparison: of a value of another type than the field has."""
    try:
        return ask()
    except vecver.InvalidInputError as error:
        if "filter" not in error.code:
            raise
        raise FilterError(f"{error.message}: {error.hint}") from error


def _document(id: str, text: str, metadata: Any, vector: Any = None) -> Document:
    fields = dict(metadata)
    marked = fields.pop(_MARK, False)
    embedding = None if vector is None or marked else vector.tolist()
    return Document(id=id, content=text, meta=unpacked(fields), embedding=embedding)


def _passage(hit: vecver.Hit, commit: str) -> Document:
    document = _document(hit.document, hit.text, hit.metadata)
    place = {"commit": commit, "key": hit.key, "start": hit.span[0], "end": hit.span[1]}
    return replace(document, score=hit.score, meta={**document.meta, "vecver": place})
