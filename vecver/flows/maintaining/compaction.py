"""Compaction: keep a branch's newest version on few, indexed segments; optimize a whole dataset; collect garbage.

copy the rows -> prove that they are the same -> build their index -> switch the layouts -> gc, later

`upkeep` decides when and on which thread a branch is kept up.
"""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from datetime import timedelta

from vecver import index
from vecver.errors import ConflictError, IntegrityError
from vecver.flows import opened_postings
from vecver.flows.maintaining.indexing import build_index, index_segments, open_index, unindexed
from vecver.flows.maintaining.postings import build_postings, mend_postings, wants_postings, without_postings
from vecver.flows.opened_postings import tokenizer_recipe_of
from vecver.model import Garbage, Json, Optimized
from vecver.progress import Progress
from vecver.repo import Layout, Retention, Rewrite, Segment, Versions, turn_at

_FOLLOWED = 1000  # versions that may land while their tail is folded


@dataclass(frozen=True)
class Tail:
    """What a version has left to the scan. `is_due`: folding or indexing would change that."""

    small_segments: int
    scanned_rows: int  # in segments without an index
    is_due: bool


def tail_of(versions: Versions, commit: str, layout: Layout | None = None) -> Tail:
    """The tail of a version; `layout`: where its rows lie, if that is known. Raises NotFoundError, IntegrityError."""
    layout, limit = layout or versions.layout(commit), index.faiss.costs.INDEX_ROWS
    small = [live.chunk_count for live in layout.segments if live.chunk_count < limit]
    missing = [segment.chunk_count for segment in unindexed(versions, layout)]
    is_due = bool(missing) or versions.is_crowded(layout, limit)
    return Tail(len(small), sum(small) + sum(missing), is_due or bool(without_postings(versions, commit, layout)))


@dataclass(frozen=True)
class BranchUpkeep:
    """Folding and indexing the newest version of one branch. `one_thread`: FAISS uses the calling thread only."""

    versions: Versions
    dataset: str
    branch: str
    progress: Progress | None = None
    one_thread: bool = False

    def run(self) -> bool:
        """Fold and index until nothing is due, while others commit; False if another process does it already.

        Raises VecverError; the branch's layouts are as they were, or further on.
        """
        refs = self.versions.refs(self.dataset)
        with ExitStack() as stack:
            try:
                stack.enter_context(self.versions.folding(self.dataset))
            except ConflictError as error:
                if error.code != "locked":
                    raise
                return False
            while (head := refs.get("branch", self.branch)) and self._step(head):
                pass
        return True

    def _step(self, head: str) -> bool:
        """Do what is due next for a version; False if nothing is."""
        if rewrite := self.versions.fold(head, index.faiss.costs.INDEX_ROWS):
            self._fold(rewrite, head)
            return True
        layout = self.versions.layout(head)
        missing = unindexed(self.versions, layout)
        for segment in missing:
            segment.verify()
            self._build(segment)
        without = without_postings(self.versions, head, layout)
        for segment in without:
            segment.verify()
            build_postings(self.versions, segment, self._tokenizer(head), self.progress)
        return bool(missing or without)

    def _fold(self, rewrite: Rewrite, head: str) -> None:
        rewrite.write(self.progress)
        rewrite.compare()
        for segment in rewrite.segments:
            if index.faiss.wanted(segment.chunk_count, segment.max_norm):
                self._build(segment)
            if wants_postings(segment):
                build_postings(self.versions, segment, self._tokenizer(head), self.progress)
        with turn_at(self.versions, self.dataset, self.branch):  # so that no commit lands between these two
            rewrite.follow(self._since(head))
            self.versions.switch(rewrite)

    def _build(self, segment: Segment) -> None:
        with index.faiss.one_thread() if self.one_thread else nullcontext():
            build_index(self.versions, segment, self.progress)

    def _tokenizer(self, head: str) -> Json:
        return tokenizer_recipe_of(self.versions.commit(head).recipe)

    def _since(self, old: str) -> list[str]:
        """The versions that landed during a fold, newest first, back to `old` along first parents."""
        landed: list[str] = []
        head = self.versions.refs(self.dataset).get("branch", self.branch)
        while head and head != old and len(landed) < _FOLLOWED:
            landed.append(head)
            head = next(iter(self.versions.commit(head).parents), None)
        return landed


def optimize(versions: Versions, dataset: str, progress: Progress | None = None) -> Optimized:
    """Rewrite the rows of all versions of a dataset into the fewest segments, and mend its indexes. No version changes.

    It may be interrupted at any point and run again: the same rows give the same segments, so that the indexes and
    postings which were built for them are taken up. Raises NotFoundError, IntegrityError (a version would not have the
    same roots; nothing was changed), BackendError.
    """
    versions.resolve(dataset, next(iter(versions.refs(dataset).all("branch")), "main"))
    switched = rows = before = after = built = postings = 0
    for rewrite in versions.optimize(dataset):
        rewrite.write(progress)
        rewrite.prove(progress)
        for segment in rewrite.segments:
            built += _index(versions, rewrite, segment, progress)
            for tokenizer in _tokenizers(versions, rewrite) if wants_postings(segment) else ():
                if not versions.has_derived(segment, opened_postings.spec_of(tokenizer)):
                    build_postings(versions, segment, tokenizer, progress)
                    postings += 1
        switched += versions.switch(rewrite)
        before, after = before + len(rewrite.sources), after + len(rewrite.segments)
        rows += sum(segment.chunk_count for segment in rewrite.segments)
    built += index_segments(versions, versions.segments(dataset), progress, mend=True)
    postings += mend_postings(versions, dataset, progress)
    return Optimized(switched, rows, (before, after), built, postings)


def garbage(versions: Versions, retention: Retention, grace: timedelta, *, apply: bool) -> Garbage:
    """What gc would delete now and later; with `apply` it deletes the former."""
    plan = versions.garbage(retention, [index.faiss.SPEC, *opened_postings.specs()], grace)
    if apply:
        versions.collect(plan, retention)
    return plan


def _tokenizers(versions: Versions, rewrite: Rewrite) -> list[Json]:
    """Those of the versions of a rewrite, each once."""
    recipes = [tokenizer_recipe_of(versions.commit(id).recipe) for id in rewrite.commits]
    return list({opened_postings.spec_of(recipe): recipe for recipe in recipes}.values())


def _index(versions: Versions, rewrite: Rewrite, segment: Segment, progress: Progress | None) -> bool:
    """Build a new segment's index if it has none; from that of its first rows, if these are a whole old segment."""
    spec = index.faiss.SPEC
    if not index.faiss.wanted(segment.chunk_count, segment.max_norm) or versions.has_derived(segment, spec):
        return False
    build_index(versions, segment, progress, _grown(versions, rewrite, segment))
    return True


def _grown(versions: Versions, rewrite: Rewrite, segment: Segment) -> index.faiss.Index | None:
    first = rewrite.copied_first(segment)
    if first is None or not versions.has_derived(first, index.faiss.SPEC):
        return None
    try:
        found = open_index(versions, first)
    except IntegrityError:
        return None
    return found if found and index.faiss.grows(found, segment.chunk_count) else None
