"""The commit that a write makes, and the report of a write that changes nothing."""

from __future__ import annotations

from vecver.model import Commit, Json, Recipe, Report
from vecver.repo import Place, Versions

LISTED = 1000  # failures, and documents read in part, that a commit names; the report has all


def commit_at(
    versions: Versions, dataset: str, place: Place, *, message: str, recipe: Recipe, environment: Json, operation: Json
) -> Commit:
    """The commit of the rows at `place`, after the version that they follow, by this author and now."""
    layout = place.layout
    return Commit(
        dataset=versions.key(dataset),
        parents=(place.parent.commit.id,) if place.parent else (),
        author=versions.author,
        message=message,
        time=versions.time()[:19] + "+00:00",
        content_root=layout.roots.content_root,
        vector_root=layout.roots.vector_root,
        counts={"documents": layout.document_count, "chunks": layout.chunk_count},
        recipe=recipe,
        environment=environment,
        operation=operation,
    )


def coverage_facts(report: Report) -> Json:
    """How much of the documents was read, and which were read in part; nothing where none was measured."""
    partial = [{"document": document, **coverage.to_json()} for document, coverage in report.partial.items()]
    return {"coverage": report.coverage_json(), "partial": partial[:LISTED]} if report.coverage else {}


def untouched(dataset: str, head: Commit | None, *, dry_run: bool) -> Report:
    """The report of a write that found nothing to do."""
    return Report(
        dataset=dataset,
        commit=head.id if head else None,
        changed=False,
        documents=dict.fromkeys(("added", "changed", "removed", "unchanged", "failed"), 0),
        chunks={"live": head.counts["chunks"] if head else 0, "embedded": 0, "reused": 0, "removed": 0},
        failures=(),
        seconds=dict.fromkeys(("parse", "chunk", "embed", "write"), 0.0),
        dry_run=dry_run,
        names={"added": (), "changed": (), "removed": ()},
    )
