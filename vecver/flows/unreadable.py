"""What an ingest could not read, kept beside the version: `status` lists it as such while it stays the same.

It is no part of the commit: an ingest that finds nothing but unreadable documents makes none. Lost, it costs no more
than a document that is listed as new until the next ingest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from vecver import repo
from vecver.digest import text_key
from vecver.errors import VecverError
from vecver.flows.arrivals import Tally
from vecver.flows.sources import Source
from vecver.model import Json
from vecver.repo import Versions

KIND = "unreadable"


def load(versions: Versions, commit: str | None) -> Mapping[str, Json]:
    """Document -> `arrivals.memo_of` it, of all that could not be read when a version was made, or since."""
    with suppress(VecverError):
        if commit:
            documents: Mapping[str, Json] = repo.measures.load(versions.store, commit, KIND)["documents"]
            return documents
    return {}


def save(versions: Versions, before: str | None, commit: str, sources: Sequence[Source], tally: Tally) -> None:
    """Keep what this ingest could not read beside its version, with what is still so of other sources."""
    old = load(versions, before)
    speaking: dict[str, list[Source]] = {}
    for source in sources:
        speaking.setdefault(source.label, []).append(source)
    there = {
        document: memo
        for document, memo in old.items()
        if text_key(document) not in tally.arrived
        and not any(source.speaks_for(document) for source in speaking.get(memo["source"], ()))
    }
    new = {**there, **tally.unreadable}
    if new != (old if before == commit else {}):
        with suppress(VecverError, OSError):
            repo.measures.save(versions.store, commit, KIND, {"documents": new})
