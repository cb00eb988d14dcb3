"""Datasets, their versions, and the difference between two versions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

import vecver
from vecver.errors import IntegrityError, NotFoundError
from vecver_service.deps import CurrentCaller, Dependencies, Deps, Name, Readable, all_readable
from vecver_service.http import problems
from vecver_service.http.replies import Reply, problem_responses
from vecver_service.schemas import answers, content, evaluating

router = APIRouter(prefix="/v1/datasets", tags=["versions"], responses=problem_responses(403, 404))
Json = dict[str, Any]
DAMAGED = (IntegrityError, NotFoundError)  # raised when a ref, or the commit that it names, cannot be read
Ref = Annotated[str, Query(max_length=300, description="A branch, tag, alias or commit: any revision.")]
Cursor = Annotated[str | None, Query(max_length=2000, description="`next` of the page before.")]


@router.get("", response_model=answers.Datasets, response_model_exclude_unset=True)
def datasets(deps: Deps, caller: CurrentCaller) -> Json:
    """Every dataset that the caller may read."""
    return {"datasets": [_listed(docs, deps) for docs in all_readable(deps, caller)]}


@router.get("/{dataset}", response_model=answers.DatasetRefs, response_model_exclude_unset=True)
def dataset(docs: Readable) -> Json:
    """A dataset, with all its refs."""
    existing(docs)
    return {**_entry(docs), "branches": docs.branches(), "tags": docs.tags(), "aliases": docs.aliases()}


@router.get("/{dataset}/commits", response_model=answers.Commits)
def commits(
    docs: Readable,
    ref: Ref = "main",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Cursor = None,
    document: Annotated[str | None, Query(description="Only those that changed the document with this id.")] = None,
    since: Annotated[str | None, Query(max_length=300, description="Only those after this version.")] = None,
) -> Json:
    """The commits that led to a version, newest first, along first parents."""
    page = list(islice(docs.log(cursor or ref, document=document, since=since), limit + 1))
    return {"commits": [_commit(commit) for commit in page[:limit]], "next": _following(page, limit)}


def _following(page: Sequence[vecver.Commit], limit: int) -> str | None:
    """Where to go on: at the version that comes next."""
    return page[limit].id if len(page) > limit else None


@router.get("/{dataset}/commits/{revision}", response_model=answers.OneCommit)
def commit(docs: Readable, revision: Name) -> Json:
    """All that is recorded of a version, which documents were read in part, and what recall to expect of its index."""
    commit = docs.show(revision)
    coverages = docs.partial_reads(commit.id)
    partial = [{"document": document, **coverage.to_json()} for document, coverage in coverages.items()]
    return {**_commit(commit), "partial": partial, "expected_recall": docs.expected_recall(commit.id).to_json()}


@router.get("/{dataset}/diff", response_model=content.Diff | content.DocumentDiff)
def diff(
    docs: Readable,
    before: Annotated[str, Query(alias="from", max_length=300)],
    to: Ref,
    document: Annotated[str | None, Query(description="Tell of this document alone, chunk by chunk.")] = None,
) -> Response:
    """What `to` adds, changes and removes against `from`: documents, or the chunks of one."""
    diff = docs.diff(before, to) if document is None else docs.diff(before, to, document=document)
    return Reply(diff.to_json())


@router.get("/{dataset}/drift", response_model=evaluating.Drift)
def drift(
    docs: Readable,
    before: Annotated[str, Query(alias="from", max_length=300)] = "prod",
    to: Ref = "main",
) -> Response:
    """What moved from one version to another beyond chance, with example chunks."""
    return Reply(docs.drift(before, to).to_json())


@router.get("/{dataset}/sketch", response_model=evaluating.VersionSketch)
def sketch(docs: Readable, ref: Ref = "main") -> Response:
    """What a version's chunks are like: lengths, languages, repeated texts; null where that was not counted."""
    summary = docs.sketch(ref)
    return Reply({"commit": docs.resolve(ref), "sketch": summary.to_json() if summary else None})


@router.get("/{dataset}/publication", response_model=answers.Publication, responses=problem_responses(409))
def publication(docs: Readable, deps: Deps, ref: Ref = "main") -> Json:
    """What any Milvus client needs to search a version. The embedded one, a file here, has no address."""
    return deps.mask(docs.publication(ref).to_json())


def existing(docs: vecver.Dataset) -> None:
    """Raises NotFoundError unless the dataset exists."""
    docs.resolve(next(iter(docs.branches()), "main"))


def _commit(commit: vecver.Commit) -> Json:
    return {"commit": commit.id, **commit.to_json()}


def _listed(docs: vecver.Dataset, deps: Dependencies) -> Json:
    """A dataset's entry in the list; for a damaged one its problem, so that the others are still listed."""
    try:
        return _entry(docs)
    except DAMAGED as error:
        problem = problems.to_json(error, deps.mask)
        return {"name": docs.name, "head": None, "documents": 0, "chunks": 0, "error": problem}


def _entry(docs: vecver.Dataset) -> Json:
    head = docs.branches().get("main")
    counts = docs.show(head).counts if head else {"documents": 0, "chunks": 0}
    return {"name": docs.name, "head": head, "documents": counts["documents"], "chunks": counts["chunks"]}
