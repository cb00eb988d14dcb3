"""Removals: which documents an ingest removes because their sources have them no more, and when it must ask first.

Decisions
- 2026-11-26 A document that failed is not missing, nor is what lies below it (a link to a folder that is away). Of a
  source in which something has no name, nothing is missing; nor, unless removals are allowed, of one of which nothing
  could be read.
- 2026-11-26 All of a source, or more than a fifth of it and more than ten: that is more often a wrong path, another
  folder under an old label or half a download than what was meant. What is counted is what the source speaks for: of
  a part of a source that part. One document that was renamed is all of a source of one: it asks too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vecver.errors import ConflictError, say
from vecver.flows.ingesting.changes import Tally
from vecver.flows.ingesting.sources import ALL, Source
from vecver.repo import Snapshot, find_absent

_FEW = 10  # documents that may go
_SHARE = 5  # and one of so many
_NAMED = 5  # in a message
_LISTED = 100  # in an error's context


@dataclass(frozen=True)
class Removal:
    """What a source no longer has."""

    source: str  # its label
    documents: Sequence[str]  # to be removed
    total: int  # documents that the version before has of it, or of the part that was ingested
    kept: int  # that did not arrive either, and stay
    whole: bool  # it speaks for all documents of its label

    @property
    def large(self) -> bool:
        """Is it so much that it must be allowed?"""
        count = len(self.documents)
        return count > 0 and (count == self.total or (count > _FEW and count * _SHARE > self.total))

    def __str__(self) -> str:
        rest = len(self.documents) - _NAMED
        names = ", ".join(self.documents[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
        return f"{len(self.documents)} of the {self.total} documents of the source {self.source!r}: {names}"


def missing(
    parent: Snapshot | None, sources: Sequence[Source], tally: Tally, *, allowed: bool = False
) -> list[Removal]:
    """What each source no longer has; `allowed`: also where nothing of it could be read. Changes nothing."""
    speaking: dict[str, list[Source]] = {}
    for source in sources:
        if source.scope:
            speaking.setdefault(source.label, []).append(source)
    absent: dict[str, list[str]] = {label: [] for label in speaking}
    for document, label in find_absent(parent, tally.arrived | tally.hiding, list(speaking)):
        if any(source.speaks_for(document) for source in speaking[label]):
            absent[label].append(document)
    failed = {failure.document for failure in tally.failures}
    plan = []
    for label, documents in absent.items():
        blind = label in tally.unsure or (tally.sound[label] <= 0 and not allowed)
        gone = [] if blind else [document for document in documents if not _below(document, failed)]
        total = len(documents) + tally.met[label]
        whole = not blind and any(source.scope == ALL for source in speaking[label])
        plan.append(Removal(label, gone, total, len(documents) - len(gone), whole))
    return plan


def check_allowed(plan: Sequence[Removal]) -> None:
    """Raises ConflictError where an ingest would remove more than it may unasked."""
    large = [removal for removal in plan if removal.large]
    if large:
        raise ConflictError(
            f"this would remove {'; '.join(map(str, large))}",
            code="removals_not_allowed",
            hint=say(
                "nothing was changed; dry_run=True lists them, keep_missing=True keeps them; to update only these "
                "files, docs.add(PATH); if the path and the label are right and they are to go, allow_removals=True",
                cli="nothing was changed; --dry-run lists them, --keep-missing keeps them; to update only these files, "
                "`vecver add DATASET FILE...`; if the path and --source are right and they are to go, --allow-removals",
                http="nothing was changed; ?dry_run=true lists them, ?keep_missing=true keeps them; "
                "if the label is right and they are to go, ?allow_removals=true",
            ),
            removals=[
                {"source": one.source, "remove": len(one.documents), "of": one.total, "first": one.documents[:_LISTED]}
                for one in large
            ],
        )


def notes(plan: Sequence[Removal], *, stops: bool) -> tuple[str, ...]:
    """What a report says of a plan. `stops`: whether large removals would stop it."""
    kept = [
        f"{one.kept} documents of the source {one.source!r} did not arrive and were kept: "
        "something of it could not be read, and they may lie behind that"
        for one in plan
        if one.kept
    ]
    large = [
        f"unless removals are allowed the run would stop: it would remove {one}" for one in plan if stops and one.large
    ]
    return (*kept, *large)


def _below(document: str, failed: set[str]) -> bool:
    """Does it lie below a document that failed: a link to a folder that is away?"""
    parts = document.split("/")
    return any("/".join(parts[:count]) in failed for count in range(1, len(parts))) if failed else False
