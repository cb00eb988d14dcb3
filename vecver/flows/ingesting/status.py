"""Status: what an ingest would find at the sources, without parsing or embedding anything."""

from __future__ import annotations

from collections.abc import Sequence

from vecver.flows.ingesting import removals, shortfalls
from vecver.flows.ingesting.changes import Tally, arrivals, memo_of
from vecver.flows.ingesting.sources import Source, places_of, recognised
from vecver.model import Failure
from vecver.repo import Versions


def status(versions: Versions, dataset: str, sources: Sequence[Source], *, at: str) -> dict[str, list[str]]:
    """Document ids by what would happen to them: added, changed, removed, failed; each in source order.

    What the last ingest could not read, and is as it was then, has failed too: it is neither new nor changed. Nor is
    a file changed that the next ingest reads once more for its metadata alone, which earlier ones did not take.
    """
    snapshot = versions.snapshot(versions.resolve(dataset, at))
    recipe = snapshot.commit.recipe
    sources = recognised(sources, places_of(snapshot.commit, versions.commit), snapshot)
    tally, before = Tally(), shortfalls.load(versions, snapshot.commit.id).unreadable
    streams = [(source, source.read()) for source in sources]
    for original in arrivals(snapshot, recipe, streams, tally, refresh=False):
        if before.get(original.document) == memo_of(original, recipe):
            tally.fail(original, Failure(original.document, "unreadable", "it could not be read before"), recipe)
    return {
        "added": list(tally.added),
        "changed": list(tally.changed),
        "removed": [
            document for removal in removals.missing(snapshot, sources, tally) for document in removal.documents
        ],
        "failed": [failure.document for failure in tally.failures],
    }
