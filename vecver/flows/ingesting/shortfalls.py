"""Shortfalls: the documents of a version that could not be read, and those read in part, stored beside the version.

They are not in the commit, because an ingest whose only news are unreadable documents makes no commit. Each ingest
takes over its parent's shortfalls, without the documents that it read again or removed. If they are lost, `status`
lists unreadable documents as new, and documents read in part are not listed, until an ingest reads them again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from vecver import repo
from vecver.digest import text_key
from vecver.errors import NotFoundError, VecverError
from vecver.flows.ingesting.changes import Tally
from vecver.flows.ingesting.sources import Source
from vecver.model import Coverage, Json
from vecver.repo import Versions

KIND = "unreadable"


@dataclass(frozen=True)
class Shortfalls:
    """The documents of a version that were not read, or not completely."""

    unreadable: Mapping[str, Json] = field(default_factory=dict)  # document -> `arrivals.memo_of` it
    partial: Mapping[str, Json] = field(default_factory=dict)  # live document -> its coverage's `to_json`

    def to_json(self) -> Json:
        partial = {"partial": dict(self.partial)} if self.partial else {}
        return {"documents": dict(self.unreadable), **partial}


def load(versions: Versions, commit: str | None) -> Shortfalls:
    """The shortfalls of a version, from the ingest that made it or a later one that changed nothing else."""
    with suppress(VecverError):
        while commit:
            with suppress(NotFoundError):
                kept = repo.measures.load(versions.store, commit, KIND)
                return Shortfalls(kept["documents"], kept.get("partial", {}))
            operation = versions.commit(commit).operation
            commit = operation["to"] if operation.get("kind") == "rollback" else None  # the content of that version
    return Shortfalls()


def partial_reads(versions: Versions, commit: str) -> dict[str, Coverage]:
    """The documents of a version that were read in part, sorted; those that earlier ingests read among them."""
    return {document: Coverage.from_json(value) for document, value in sorted(load(versions, commit).partial.items())}


def path_of(commit: str) -> str:
    """The store's name of the shortfalls of a version."""
    return repo.measures.path_of(commit, KIND)


def save(
    versions: Versions, old: Shortfalls, commit: str, sources: Sequence[Source], tally: Tally, *, anew: bool
) -> None:
    """Store what this ingest could not read beside its version, with what still holds of the `old` shortfalls.

    `anew`: the version is new, and has none so far; else the old ones are its own.
    """
    new = Shortfalls({**_still_unreadable(old, sources, tally), **tally.unreadable}, _partial(old, tally))
    if new != (Shortfalls() if anew else old):
        with suppress(VecverError, OSError):
            repo.measures.save(versions.store, commit, KIND, new.to_json())


def save_merged(versions: Versions, ours: str, theirs: str, commit: str, changed: Collection[str]) -> None:
    """Store the shortfalls of a merge: those of `theirs` for the documents that it `changed`, else those of `ours`.

    A document that neither side could read has no row that could have changed: both sides' are kept.
    """
    mine, other = load(versions, ours), load(versions, theirs)
    unreadable = {document: memo for document, memo in mine.unreadable.items() if document not in changed}
    partial = {document: value for document, value in mine.partial.items() if document not in changed}
    partial |= {document: value for document, value in other.partial.items() if document in changed}
    _keep(versions, commit, Shortfalls({**other.unreadable, **unreadable}, partial))


def _keep(versions: Versions, commit: str, new: Shortfalls) -> None:
    if new != Shortfalls():
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
    """Documents read in part. One that failed this time stays live as it was read before, with its old shortfall."""
    replaced = {*tally.added, *tally.changed, *tally.removed}
    kept = {document: value for document, value in old.partial.items() if document not in replaced}
    return {**kept, **{document: coverage.to_json() for document, coverage in tally.partial().items()}}
