"""Status: what an ingest would find at the sources, without parsing or embedding anything."""

from __future__ import annotations

from collections.abc import Sequence

from vecver.flows.arrivals import Source, Tally, arrivals, remove_missing
from vecver.repo import Versions


def status(versions: Versions, dataset: str, sources: Sequence[Source], *, at: str) -> dict[str, list[str]]:
    """Document ids by what would happen to them: added, changed, removed, failed; each in source order."""
    snapshot = versions.snapshot(versions.resolve(dataset, at))
    draft = versions.draft(snapshot, snapshot.commit.recipe.space)
    tally = Tally()
    for _ in arrivals(draft, snapshot.commit.recipe, [(source, source.read()) for source in sources], tally):
        pass
    remove_missing(draft, sources, tally)
    return {
        "added": list(tally.added),
        "changed": list(tally.changed),
        "removed": tally.removed,
        "failed": [failure.document for failure in tally.failures],
    }
