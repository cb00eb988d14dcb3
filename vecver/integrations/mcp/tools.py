"""The tools of the MCP server: each parses nothing, asks one dataset, and answers with a typed model.

They only read. Their docstrings are what a client's model is shown. The server checks arguments against the
annotations before it calls them, and runs them in threads beside its loop.
"""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import Field

from vecver import Dataset, RemoteDataset, RemoteRepository, Repository
from vecver.errors import InvalidInputError
from vecver.integrations.mcp import answers

_DATASETS = 1000

Name = Annotated[str | None, Field(description="the dataset; default: the server's", max_length=1000)]
At = Annotated[
    str | None,
    Field(
        description="the version: a branch, tag, alias or commit id, main~2, @{2026-11-01}; default: the server's",
        max_length=1000,
    ),
]
Query = Annotated[str, Field(description="what is looked for, in natural language", max_length=20_000)]
Count = Annotated[int, Field(description="number of passages", ge=1, le=50)]
Mode = Annotated[
    Literal["dense", "keyword", "hybrid"],
    Field(description="dense: by meaning; keyword: by words, for names and codes; hybrid: by both"),
]
Filter = Annotated[
    dict[str, Any] | None,
    Field(description='conditions on metadata: {"year": {"$gte": 2024}, "lang": "en"}; {"$document": "a.md"}'),
]
Neighbours = Annotated[int, Field(description="neighbouring chunks to add on either side", ge=0, le=5)]
Id = Annotated[str, Field(description="id of a document, as a hit names it", max_length=10_000)]


class Tools:
    """What the server offers, with the dataset and revision that are used where a call names none."""

    def __init__(self, repository: Repository | RemoteRepository, dataset: str | None, at: str) -> None:
        self._repository = repository
        self._dataset = dataset
        self._at = at

    def search(
        self,
        query: Query,
        k: Count = 5,
        dataset: Name = None,
        at: At = None,
        filter: Filter = None,
        context: Neighbours = 0,
        mode: Mode = "dense",
    ) -> answers.SearchAnswer:
        """Find the passages of one version that answer a query, best first.

        Cite a passage by its document, start, end and the commit: the same call with that commit as `at` gives the
        same passages for ever.
        """
        docs, at = self._docs(dataset), self._at if at is None else at
        answer = docs.search(query, at=at, k=k, filter=filter, context=context, mode=mode)
        hits = [answers.RankedPassage(rank=hit.rank, score=hit.score, **answers.passage(hit)) for hit in answer]
        return answers.SearchAnswer(dataset=docs.name, at=at, commit=answer.commit, hits=hits)

    def get_document(
        self,
        document: Id,
        dataset: Name = None,
        at: At = None,
        start: Annotated[int, Field(description="first character", ge=0)] = 0,
        length: Annotated[int, Field(description="number of characters", ge=1, le=100_000)] = 20_000,
    ) -> answers.DocumentText:
        """Read the text of a document as a version has it, a piece at a time."""
        docs, at = self._docs(dataset), self._at if at is None else at
        commit = docs.resolve(at)
        whole = docs.get(document, at=commit)
        piece = whole.text[start : start + length]
        end = min(start, len(whole.text)) + len(piece)
        return answers.DocumentText(
            dataset=docs.name,
            at=at,
            commit=commit,
            document=whole.id,
            title=whole.title[: answers.SHORT] or None,
            media_type=whole.media_type or None,
            text=piece,
            start=end - len(piece),
            end=end,
            length=len(whole.text),
            next_start=end if end < len(whole.text) else None,
            **answers.metadata_fields(whole.metadata),
        )

    def get_chunk(
        self,
        key: Annotated[str, Field(description="key of a chunk, as a hit names it", max_length=100)],
        dataset: Name = None,
        at: At = None,
        context: Neighbours = 1,
    ) -> answers.ChunkText:
        """Read one passage again, with its neighbours."""
        docs, at = self._docs(dataset), self._at if at is None else at
        commit = docs.resolve(at)
        chunk = docs.chunk(key, at=commit, context=context)
        shown = answers.Passage(**answers.passage(chunk))
        return answers.ChunkText(dataset=docs.name, at=at, commit=commit, chunk=shown)

    def list_datasets(self) -> answers.DatasetList:
        """List the datasets that can be searched."""
        names = self._repository.datasets()
        return answers.DatasetList(
            datasets=names[:_DATASETS], total=len(names), default_dataset=self._dataset, default_at=self._at
        )

    def list_versions(
        self,
        dataset: Name = None,
        at: At = None,
        limit: Annotated[int, Field(description="number of versions", ge=1, le=100)] = 20,
    ) -> answers.VersionList:
        """List the branches, tags and aliases of a dataset, and the newest versions that led to `at`."""
        docs, at = self._docs(dataset), self._at if at is None else at
        commits = list(islice(docs.log(at), limit + 1))
        refs = {"branches": docs.branches(), "tags": docs.tags(), "aliases": docs.aliases()}
        left_out = sum(max(0, len(kind) - answers.NAMES) for kind in refs.values())
        return answers.VersionList(
            dataset=docs.name,
            at=at,
            commit=commits[0].id,
            **{name: answers.first_names(kind) for name, kind in refs.items()},
            refs_left_out=left_out or None,
            versions=[answers.version(commit) for commit in commits[:limit]],
            next=commits[limit].id if len(commits) > limit else None,
        )

    def diff(
        self,
        before: Annotated[str, Field(description="a version, named as `at`", max_length=1000)],
        after: At = None,
        dataset: Name = None,
        document: Annotated[
            str | None, Field(description="show the changed chunks of this document alone", max_length=10_000)
        ] = None,
        limit: Annotated[int, Field(description="documents of each kind, or chunks", ge=1, le=1000)] = 100,
    ) -> answers.Difference:
        """Show which documents a version adds, changes and removes against another, or the chunks of one document."""
        docs, after = self._docs(dataset), self._at if after is None else after
        if document is None:
            return answers.difference(docs.name, docs.diff(before, after), limit)
        return answers.document_difference(docs.name, docs.diff(before, after, document=document), limit)

    def all(self) -> list[Any]:
        """The tools, in the order in which clients list them."""
        return [
            self.search,
            self.get_document,
            self.get_chunk,
            self.list_datasets,
            self.list_versions,
            self.diff,
        ]

    def _docs(self, name: str | None) -> Dataset | RemoteDataset:
        name = self._dataset if name is None else name
        if name is None:
            raise InvalidInputError(
                "no dataset is named", code="no_dataset", hint="list_datasets names those there are"
            )
        return self._repository.dataset(name)
