"""What the tools of the MCP server answer: typed models, whose schemas clients see, with every text bounded.

Fields that are None are left out. A text that is longer than its bound is cut, and `cut` says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer

from vecver import Commit, Diff, DocumentDiff, Hit, StoredChunk

TEXT = 8_000  # characters of a chunk, and of it with its neighbours
SHORT = 500  # of a message or a change
METADATA = 4_000  # of the JSON of a document's metadata
NAMES = 100  # documents, refs or field names in a list


class _Answer(BaseModel):
    @model_serializer(mode="wrap")
    def _without_none(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if value is not None}


class DatasetList(_Answer):
    """The datasets of the repository."""

    datasets: list[str] = Field(description="names, sorted; at most 1,000")
    total: int
    default_dataset: str | None = Field(default=None, description="the one that tools use where none is named")
    default_at: str = Field(description="the revision that tools use where none is named")


class Passage(_Answer):
    """A chunk of a document, and where it stands."""

    document: str
    key: str = Field(description="of the chunk, for get_chunk")
    start: int = Field(description="first character in the document's text")
    end: int = Field(description="behind its last character")
    text: str
    cut: bool | None = Field(default=None, description="true: text or context is longer than what is shown")
    context: str | None = Field(default=None, description="the chunk with its neighbours, where context was asked for")
    title: str | None = None
    headings: list[str] | None = None
    page: int | None = None
    sheet: str | None = None
    line: int | None = None
    metadata: dict[str, Any] | None = None
    metadata_left_out: list[str] | None = Field(default=None, description="fields that are too long to be shown")


class RankedPassage(Passage):
    """A passage that answers a query."""

    rank: int
    score: float = Field(description="higher is better")


class _Pinned(_Answer):
    """Which version answered."""

    dataset: str
    at: str = Field(description="the revision as it was named")
    commit: str = Field(description="full id of the version that answered; name it as `at` to ask the same again")


class SearchAnswer(_Pinned):
    """The best passages of one version, best first."""

    hits: list[RankedPassage]


class ChunkText(_Pinned):
    """One chunk of a version."""

    chunk: Passage


class DocumentText(_Pinned):
    """A piece of a document's text."""

    document: str
    title: str | None = None
    media_type: str | None = None
    metadata: dict[str, Any] | None = None
    metadata_left_out: list[str] | None = None
    text: str = Field(description="characters start to end of the document's text")
    start: int
    end: int
    length: int = Field(description="characters of the whole text")
    next_start: int | None = Field(default=None, description="the `start` that reads on; absent at the end")


class Version(_Answer):
    """A version in the history."""

    commit: str
    time: str
    author: str | None = None
    message: str | None = None
    documents: int
    chunks: int


class VersionList(_Pinned):
    """The names of versions, and the newest versions that led to `at`."""

    branches: dict[str, str] = Field(description="name -> commit; at most 100 of each kind, by name")
    tags: dict[str, str]
    aliases: dict[str, str]
    refs_left_out: int | None = None
    versions: list[Version] = Field(description="newest first")
    next: str | None = Field(default=None, description="name it as `at` to read on; absent at the end")


class ChunkChange(_Answer):
    """A chunk that only one of the two versions has."""

    change: Literal["added", "removed"]
    key: str
    text: str
    cut: bool | None = None


class Difference(_Answer):
    """What one version changes against another; each list may be cut, the counts are whole."""

    dataset: str
    before: str = Field(description="commit id")
    after: str = Field(description="commit id")
    counts: dict[str, int]
    added: list[str] | None = Field(default=None, description="ids of documents")
    changed: list[str] | None = None
    removed: list[str] | None = None
    document: str | None = None
    change: str | None = Field(default=None, description="what happened to the document that was asked for")
    chunks: list[ChunkChange] | None = Field(default=None, description="of that document, in reading order")


class _Shown(NamedTuple):
    text: str
    cut: bool


def passage(chunk: Hit | StoredChunk) -> dict[str, Any]:
    """The fields of a `Passage`."""
    text, context = _shown(chunk.text, TEXT), _shown(chunk.context or "", TEXT)
    return {
        "document": chunk.document,
        "key": chunk.key,
        "start": chunk.span[0],
        "end": chunk.span[1],
        "text": text.text,
        "cut": True if text.cut or context.cut else None,
        "context": context.text or None,
        "title": _shown(chunk.title, SHORT).text or None,
        "headings": list(chunk.headings) or None,
        "page": chunk.page,
        "sheet": chunk.sheet,
        "line": chunk.line,
        **metadata_fields(chunk.metadata),
    }


def metadata_fields(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """`metadata`: the shortest fields, 4,000 characters of JSON together; `metadata_left_out`: names of the others."""
    kept, left_out, room = dict[str, Any](), list[str](), METADATA
    sizes = {name: len(json.dumps({name: value}, default=str)) for name, value in metadata.items()}
    for name in sorted(sizes, key=lambda name: (sizes[name], name)):
        room -= sizes[name]
        if room < 0:
            left_out.append(_shown(name, SHORT).text)
        else:
            kept[name] = metadata[name]
    shown = {name: kept[name] for name in metadata if name in kept}
    return {"metadata": shown or None, "metadata_left_out": sorted(left_out)[:NAMES] or None}


def version(commit: Commit) -> Version:
    """A commit as a line of the history."""
    return Version(
        commit=commit.id,
        time=commit.time,
        author=commit.author or None,
        message=_shown(commit.message, SHORT).text or None,
        documents=commit.counts["documents"],
        chunks=commit.counts["chunks"],
    )


def first_names(refs: Mapping[str, str]) -> dict[str, str]:
    """The first refs by name."""
    return dict(sorted(refs.items())[:NAMES])


def difference(dataset: str, diff: Diff, limit: int) -> Difference:
    """The difference of two versions, `limit` documents of each kind."""
    lists: dict[str, Sequence[str]] = {"added": diff.added, "changed": diff.changed, "removed": diff.removed}
    counts = {name: len(ids) for name, ids in lists.items()}
    counts |= {"chunks_added": diff.chunks_added, "chunks_removed": diff.chunks_removed}
    return Difference(
        dataset=dataset,
        before=diff.before,
        after=diff.after,
        counts=counts,
        added=list(diff.added[:limit]),
        changed=list(diff.changed[:limit]),
        removed=list(diff.removed[:limit]),
    )


def document_difference(dataset: str, diff: DocumentDiff, limit: int) -> Difference:
    """The difference of one document, `limit` chunks."""
    changes = list[ChunkChange]()
    for chunk in diff.chunks:
        if chunk.change != "kept" and len(changes) < limit:
            text = _shown(chunk.text, TEXT)
            changes.append(ChunkChange(change=chunk.change, key=chunk.key, text=text.text, cut=text.cut or None))
    counts = {"chunks_added": len(diff.added), "chunks_removed": len(diff.removed), "chunks_kept": len(diff.kept)}
    return Difference(
        dataset=dataset,
        before=diff.before,
        after=diff.after,
        counts=counts,
        document=diff.document,
        change=diff.change,
        chunks=changes,
    )


def _shown(text: str, limit: int) -> _Shown:
    return _Shown(text[:limit], len(text) > limit)
