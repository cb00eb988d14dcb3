"""What of a version was not read, kept beside it: documents that could not be read, and those read in part.

It is no part of the commit: an ingest that finds nothing but unreadable documents makes none. Each ingest takes over
what its parent kept, less the documents that it read again or removed. If it is lost, an unreadable document is listed
as new, and one that was read in part is not listed, until the next ingest that reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from vecver import repo
from vecver.digest import text_key
from vecver.errors import VecverError
from vecver.flows.ingesting.changes import Tally
from vecver.flows.ingesting.sources import Source
from vecver.model import Coverage, Json
from vecver.repo import Versions

KIND = "unreadable"


@dataclass(frozen=True)
class Shortfalls:
    """What of a version was not read."""

    unreadable: Mapping[str, Json] = field(default_factory=dict)  # document -> `arrivals.memo_of` it
    partial: Mapping[str, Json] = field(default_factory=dict)  # live document -> its coverage's `to_json`

    def to_json(self) -> Json:
        partial = {"partial": dict(self.partial)} if self.partial else {}
        return {"documents": dict(self.unreadable), **partial}


def load(versions: Versions, commit: str | None) -> Shortfalls:
    """Of all documents that could not be read, or were read in part, when a version was made, or since."""
    with suppress(VecverError):
        while commit:
            if KIND in repo.measures.kinds(versions.store, commit):
                kept = repo.measures.load(versions.store, commit, KIND)
                return Shortfalls(kept["documents"], kept.get("partial", {}))
            operation = versions.commit(commit).operation
            commit = operation["to"] if operation.get("kind") == "rollback" else None  # the content of that version
    return Shortfalls()


def partial_reads(versions: Versions, commit: str) -> dict[str, Coverage]:
    """The documents of a version that were read in part, sorted, also those that earlier ingests read."""
    return {document: Coverage.from_json(one) for document, one in sorted(load(versions, commit).partial.items())}


def save(versions: Versions, before: str | None, commit: str, sources: Sequence[Source], tally: Tally) -> None:
    """Keep what this ingest could not read beside its version, with what is still so of other documents."""
    old = load(versions, before)
    new = Shortfalls({**_still_unreadable(old, sources, tally), **tally.unreadable}, _partial(old, tally))
    if new != (old if before == commit else Shortfalls()):
        with suppress(VecverError, OSError):
            repo.measures.save(versions.store, commit, KIND, new.to_json())


def _still_unreadable(old: Shortfalls, sources: Sequence[Source], tally: Tally) -> dict[str, Json]:
    speaking: dict[str, list[Source]] = {}
    for source in sources:
        speaking.setdefault(source.label, []).append(source)
    return {
        document: memo
        for document, memo in old.unreadable.items()
        if text_key(document) not in tally.arrived
        and not any(source.speaks_for(document) for source in speaking.get(memo["source"], ()))
    }


def _partial(old: Shortfalls, tally: Tally) -> dict[str, Json]:
    """A document that could not be read this time stays live as it was read before, so what it lacked is kept."""
    gone = {*tally.added, *tally.changed, *tally.removed}
    there = {document: one for document, one in old.partial.items() if document not in gone}
    return {**there, **{document: one.to_json() for document, one in tally.partial().items()}}
