"""The history of a dataset: its versions newest first, the lines between them, refs, and what each changed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

import vecver
from vecver.errors import NotFoundError
from vecver_service.deps import Deps, Readable
from vecver_service.routes.datasets import existing
from vecver_service.ui import graph
from vecver_service.ui.rendering import render

router = APIRouter(include_in_schema=False)
Json = dict[str, Any]
PAGE = 100  # versions
Ref = Annotated[str, Query(max_length=300)]


@dataclass(frozen=True)
class Row:
    """A version in the table."""

    commit: vecver.Commit
    refs: tuple[tuple[str, str], ...]  # (kind, name)
    lines: graph.GraphRow

    @property
    def changes(self) -> Json:
        """Documents added, changed and removed; empty where the version does not say."""
        counts = self.commit.operation.get("documents")
        return counts if isinstance(counts, dict) else {}

    @property
    def failures(self) -> int:
        """Documents that could not be read."""
        return len(self.commit.operation.get("failures", ()))


@router.get("/datasets/{dataset}")
def history(request: Request, docs: Readable, deps: Deps, ref: Ref = "", after: Ref = "", q: Ref = "") -> Response:
    """The versions of a branch, or of all; `q`: only those whose message or author holds it; `after`: the next page."""
    existing(docs)
    branches, aliases, tags = docs.branches(), docs.aliases(), docs.tags()
    heads = [docs.resolve(ref)] if ref else list(dict.fromkeys(branches.values()))
    commits = graph.newest_first(heads, docs.show)
    if after:
        _pass(commits, after)
    wanted = (commit for commit in commits if q.casefold() in f"{commit.message}\n{commit.author}".casefold())
    page = list(islice(wanted, PAGE + 1))
    names = _names(branches, tags, aliases)
    lines = graph.rows({commit.id: commit.parents for commit in page[:PAGE]})
    return render(
        request,
        "history.html",
        docs=docs,
        ref=ref,
        q=q,
        branches=branches,
        aliases={name: docs.show(commit) for name, commit in aliases.items()},
        head=docs.show(ref or branches.get("main") or heads[0]),
        rows=[Row(commit, tuple(names[commit.id]), line) for commit, line in zip(page, lines, strict=False)],
        after=page[PAGE - 1].id if len(page) > PAGE else None,
    )


def _pass(commits: Any, after: str) -> None:
    """Take the commits of earlier pages. Raises NotFoundError: `after` is not among them."""
    if not any(commit.id == after for commit in commits):
        raise NotFoundError(
            f"the history has no version {after[:12]}", code="revision_not_found", hint="begin at its first page"
        )


def _names(branches: Json, tags: Json, aliases: Json) -> dict[str, list[tuple[str, str]]]:
    names: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for kind, refs in (("alias", aliases), ("branch", branches), ("tag", tags)):
        for name, commit in refs.items():
            names[commit].append((kind, name))
    return names
