"""Comparing: compares the sources with a version, and lists what an ingest would change; parses and embeds nothing."""

from __future__ import annotations

from collections.abc import Sequence

from vecver.flows.ingesting import removals, shortfalls
from vecver.flows.ingesting.changes import KnownObjects, Tally, arrivals, memo_of
from vecver.flows.ingesting.sources import Source, places_of, recognised
from vecver.model import Failure, Unread, singly
from vecver.repo import Versions


def status(versions: Versions, dataset: str, sources: Sequence[Source], *, at: str) -> dict[str, list[str]]:
    """The ids of documents by what an ingest would do: added, changed, removed, failed; each in source order.

    No object of a bucket is fetched: one whose bytes are not known counts as changed. A document that the last ingest
    could not read, and that is still the same, counts as failed. A file that the next ingest would read again only for
    its metadata, which older versions did not take, counts as unchanged.
    """
    snapshot = versions.snapshot(versions.resolve(dataset, at))
    recipe = snapshot.commit.recipe
    sources = recognised(sources, places_of(snapshot.commit, versions.commit), snapshot)
    tally, before = Tally(), shortfalls.load(versions, snapshot.commit.id).unreadable
    streams = [(source, source.stream()) for source in sources]
    objects = KnownObjects(versions)
    for item in arrivals(snapshot, recipe, streams, tally, refresh=False, objects=objects, fetch=False):
        for original in [item] if isinstance(item, Unread) else singly([item]):
            memo = memo_of(original, recipe)
            if before.get(original.document) == memo:
                failure = Failure(original.document, "unreadable", "it could not be read before")
                tally.fail(original.source, failure, memo)
    return {
        "added": list(tally.added),
        "changed": list(tally.changed),
        "removed": [
            document for removal in removals.missing(snapshot, sources, tally) for document in removal.documents
        ],
        "failed": [failure.document for failure in tally.failures],
    }
