"""Removals: which documents an ingest removes because their source no longer has them, and when it stops instead.

Decisions
1. A document that failed is not missing, nor is anything below it (a link to a folder that is not mounted). A source
   with a failure that has no name loses nothing; nor does, unless removals are allowed, one that could not be read at
   all.
2. Removing all of a source, or more than a fifth of it and more than ten documents, must be allowed: it is more often
   a wrong path, another folder under an old label or half a download. Where only a part of a source is ingested, that
   part is counted. Renaming the only document of a source must be allowed too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vecver.digest import KEY_BYTES
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
    """The documents that a source no longer has."""

    source: str  # its label
    documents: Sequence[str]  # to be removed
    total: int  # documents that the parent version has of it, or of the part that was ingested
    kept: int  # documents that the source did not give either, and that stay
    whole: bool  # True: all documents of the label were checked, not a part of them

    @property
    def large(self) -> bool:
        """True if it must be allowed explicitly."""
        count = len(self.documents)
        return count > 0 and (count == self.total or (count > _FEW and count * _SHARE > self.total))

    def __str__(self) -> str:
        rest = len(self.documents) - _NAMED
        names = ", ".join(self.documents[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
        return f"{len(self.documents)} of the {self.total} documents of the source {self.source!r}: {names}"


def missing(
    parent: Snapshot | None, sources: Sequence[Source], tally: Tally, *, allowed: bool = False
) -> list[Removal]:
    """What each source no longer has; with `allowed` also of sources of which nothing could be read. Reads only."""
    speaking: dict[str, list[Source]] = {}
    for source in sources:
        if source.scope:
            speaking.setdefault(source.label, []).append(source)
    absent: dict[str, list[str]] = {label: [] for label in speaking}
    for document, label in find_absent(parent, _arrived(tally), list(speaking)):
        if any(source.speaks_for(document) for source in speaking[label]):
            absent[label].append(document)
    failed = {failure.document for failure in tally.failures}
    plan = []
    for label, documents in absent.items():
        is_unsure = label in tally.unsure or (tally.sound[label] <= 0 and not allowed)
        gone = [] if is_unsure else [document for document in documents if not _below(document, failed)]
        total = len(documents) + tally.met[label]
        whole = not is_unsure and any(source.scope == ALL for source in speaking[label])
        plan.append(Removal(label, gone, total, len(documents) - len(gone), whole))
    return plan


def _arrived(tally: Tally) -> npt.NDArray[np.uint8]:
    """The keys of the documents that arrived, or may be hidden behind what could not be read, `(n, 16)`."""
    hiding = np.frombuffer(b"".join(tally.hiding), np.uint8).reshape(-1, KEY_BYTES)
    return np.concatenate([tally.arrived.keys(), hiding])


def check_allowed(plan: Sequence[Removal]) -> None:
    """Raises ConflictError if a removal must be allowed explicitly."""
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
                {
                    "source": removal.source,
                    "remove": len(removal.documents),
                    "of": removal.total,
                    "first": removal.documents[:_LISTED],
                }
                for removal in large
            ],
        )


def notes(plan: Sequence[Removal], *, stops: bool) -> tuple[str, ...]:
    """The notes of a report on a plan. `stops`: large removals would stop the ingest."""
    kept = [
        f"{removal.kept} documents of the source {removal.source!r} did not arrive and were kept: "
        "something of it could not be read, and they may lie behind that"
        for removal in plan
        if removal.kept
    ]
    large = [
        f"unless removals are allowed the run would stop: it would remove {removal}"
        for removal in plan
        if stops and removal.large
    ]
    return (*kept, *large)


def _below(document: str, failed: set[str]) -> bool:
    """True if the document lies below one that failed, such as a link to a folder that is not mounted."""
    parts = document.split("/")
    return any("/".join(parts[:count]) in failed for count in range(1, len(parts))) if failed else False
