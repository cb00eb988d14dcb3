"""The difference between two versions: documents, and inside a document the text side by side."""

from __future__ import annotations

import difflib
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

import vecver
from vecver.errors import NotFoundError
from vecver_service.deps import Readable
from vecver_service.ui.rendering import render

router = APIRouter(include_in_schema=False)
PAGE = 200  # documents, or chunks of one that changed
_DIFFS = 4  # long ones that are kept
_WORDS = 2000  # of a chunk, above which it is not compared word by word
T = TypeVar("T")
Text = Annotated[str, Query(max_length=1000)]
Words = tuple[tuple[bool, str], ...]  # (did it change?, text)


@dataclass(frozen=True)
class Pair:
    """A chunk before and after; None where one version lacks it."""

    before: Words | None
    after: Words | None
    change: str  # kept, changed, removed, added


@router.get("/datasets/{dataset}/diff")
def diff(
    request: Request,
    docs: Readable,
    to: Text = "main",
    from_: Annotated[str, Query(alias="from", max_length=1000)] = "",
    document: Text = "",
    page: Annotated[int, Query(ge=1)] = 1,
) -> Response:
    """What `to` adds, changes and removes against `from` (its parent, where none is named)."""
    after = docs.show(to)
    before = docs.show(from_ or (after.parents[0] if after.parents else after.id))
    shared: dict[str, Any] = {"docs": docs, "from_": from_ or before.id, "to": to, "before": before, "after": after}
    if document:
        changed = docs.diff(before.id, after.id, document=document)
        some, pages = _page_of(list(_sides(changed)), page)
        pairs = [_pair(*side) for side in some]
        return render(request, "document_diff.html", **shared, diff=changed, pairs=pairs, page=page, pages=pages)
    changes = _KEPT.diff(docs, before.id, after.id)
    listed = [
        *(("changed", id) for id in changes.changed),
        *(("added", id) for id in changes.added),
        *(("removed", id) for id in changes.removed),
    ]
    some_listed, pages = _page_of(listed, page)
    return render(request, "diff.html", **shared, diff=changes, listed=some_listed, page=page, pages=pages)


def _page_of(items: Sequence[T], page: int) -> tuple[Sequence[T], int]:
    """(the items of a page, how many pages there are). Raises NotFoundError for a page behind the last."""
    pages = max(1, -(-len(items) // PAGE))
    if page > pages:
        raise NotFoundError(
            f"there is no page {page}: the list ends on page {pages}",
            code="page_not_found",
            hint="open an earlier page",
        )
    return items[(page - 1) * PAGE : page * PAGE], pages


class _KeptDiffs:
    """The last differences that were shown: between two versions they never change, and a long list has many pages."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], vecver.Diff] = OrderedDict()

    def diff(self, docs: vecver.Dataset, before: str, after: str) -> vecver.Diff:
        """The difference between two commits. Raises as `Dataset.diff`."""
        with self._lock:
            kept = self._kept.pop((before, after), None)
        diff = kept or docs.diff(before, after)
        if len(diff.chunks_of) > PAGE:  # others are found as fast
            with self._lock:
                self._kept[before, after] = diff
                while len(self._kept) > _DIFFS:
                    self._kept.popitem(last=False)
        return diff


_KEPT = _KeptDiffs()


def _sides(diff: vecver.DocumentDiff) -> Iterator[tuple[str | None, str | None, bool]]:
    """(text before, text after, was it kept?), in reading order.

    Removed chunks stand beside the added ones that took their place between two that were kept.
    """
    removed: list[str] = []
    added: list[str] = []
    for chunk in diff.chunks:
        if chunk.change == "removed":
            removed.append(chunk.text)
        elif chunk.change == "added":
            added.append(chunk.text)
        else:
            yield from _zipped(removed, added)
            removed, added = [], []
            yield chunk.text, chunk.text, True
    yield from _zipped(removed, added)


def _zipped(removed: Sequence[str], added: Sequence[str]) -> Iterator[tuple[str | None, str | None, bool]]:
    return ((old, new, False) for old, new in zip_longest(removed, added))


def _pair(old: str | None, new: str | None, kept: bool) -> Pair:
    if kept:
        text = ((False, old or ""),)
        return Pair(text, text, "kept")
    if old is None:
        return Pair(None, ((True, new or ""),), "added")
    if new is None:
        return Pair(((True, old),), None, "removed")
    return Pair(*_words(old, new), "changed")


def _words(old: str, new: str) -> tuple[Words, Words]:
    """Two texts in runs of words that both have, and that only one has.

    difflib takes a word of a long text that is more than 1% of it for no landmark: else 2,000 words that repeat each
    other take two minutes.
    """
    before, after = re.findall(r"\s+|\w+|[^\w\s]", old), re.findall(r"\s+|\w+|[^\w\s]", new)
    if max(len(before), len(after)) > _WORDS:
        return ((True, old),), ((True, new),)
    left: list[tuple[bool, str]] = []
    right: list[tuple[bool, str]] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, before, after).get_opcodes():
        left.append((kind != "equal", "".join(before[a:b])))
        right.append((kind != "equal", "".join(after[c:d])))
    return tuple(run for run in left if run[1]), tuple(run for run in right if run[1])
