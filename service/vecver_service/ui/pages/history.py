"""The history of a dataset: its versions newest first, the lines between them, refs, and what each changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

import vecver
from vecver.errors import InvalidInputError
from vecver_service.deps import Readable
from vecver_service.routes.datasets import existing
from vecver_service.ui import graph
from vecver_service.ui.rendering import render

router = APIRouter(include_in_schema=False)
Json = dict[str, Any]
PAGE = 100  # versions
Ref = Annotated[str, Query(max_length=300)]
After = Annotated[str, Query(max_length=6500)]  # up to a hundred commit ids


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
def history(request: Request, docs: Readable, ref: Ref = "", after: After = "", q: Ref = "") -> Response:
    """The versions of a branch, or of all; `q`: those whose message or author holds it; `after`: where to go on."""
    existing(docs)
    branches, aliases, tags = docs.branches(), docs.aliases(), docs.tags()
    heads = [docs.resolve(ref)] if ref else list(dict.fromkeys(branches.values()))
    commits = graph.NewestFirst(after.split(",") if after else heads, docs.show)
    wanted = (commit for commit in commits if q.casefold() in f"{commit.message}\n{commit.author}".casefold())
    page = list(islice(wanted, PAGE))
    measured = _measured(docs, page)
    names = _names(branches, tags, aliases)
    lines = graph.rows({commit.id: commit.parents for commit in page})
    return render(
        request,
        "history.html",
        docs=docs,
        ref=ref,
        q=q,
        branches=branches,
        aliases={name: docs.show(commit) for name, commit in aliases.items()},
        head=docs.show(ref or branches.get("main") or heads[0]),
        rows=[Row(commit, tuple(names[commit.id]), line) for commit, line in zip(page, lines, strict=True)],
        measured=measured,
        columns=list(dict.fromkeys(name for values in measured.values() for name in values)),
        after=",".join(commits.heads) if len(page) == PAGE else "",
    )


def _measured(docs: vecver.Dataset, page: Sequence[vecver.Commit]) -> dict[str, Mapping[str, Any]]:
    """commit -> what is stored of its measures, for the versions along the first parents of the page's first one."""
    if not page:
        return {}
    with suppress(InvalidInputError):  # several question sets: the page of measures asks which
        return {each.commit: each.measures for each in docs.measure_history(page[0].id, limit=PAGE) if each.measures}
    recall = docs.measure_history(page[0].id, measures="ann_recall@10", limit=PAGE)
    return {each.commit: each.measures for each in recall if each.measures}


def _names(branches: Json, tags: Json, aliases: Json) -> dict[str, list[tuple[str, str]]]:
    names: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for kind, refs in (("alias", aliases), ("branch", branches), ("tag", tags)):
        for name, commit in refs.items():
            names[commit].append((kind, name))
    return names
