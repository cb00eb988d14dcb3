"""Parses the changed documents of an ingest and hands them on in groups; records that stay in columns pass through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import cast

from vecver import pipeline
from vecver.flows.embedding import is_given
from vecver.flows.ingesting.changes import grouped
from vecver.flows.ingesting.progress_counts import IngestProgress
from vecver.flows.ingesting.recipe import Options, Preparation
from vecver.model import Failure, Original, Parsed, Records

WORKERS = 2
Outcome = tuple[Original, Parsed | Failure]


def parsed_groups(
    changed: Iterable[Original | Records], means: Preparation, options: Options, counts: IngestProgress
) -> Iterator[list[Outcome] | Records]:
    """Neighbouring documents with their text, or why they have none, bounded in bytes; and records as they come."""
    for are_records, run in groupby(counts.reading(_outcomes(changed, means, options)), _is_records):
        if are_records:
            yield from cast(Iterator[Records], run)
        else:
            yield from grouped(cast(Iterator[Outcome], run), _size)


def _outcomes(
    changed: Iterable[Original | Records], means: Preparation, options: Options
) -> Iterator[Outcome | Records]:
    for are_records, run in groupby(changed, _is_records):
        if are_records:
            yield from cast(Iterator[Records], run)
            continue
        yield from pipeline.parse_all(
            cast(Iterator[Original], run),
            chunker=None if is_given(means.recipe) else means.recipe.chunker,
            passwords=options.passwords,
            workers=options.workers or WORKERS,
            meanwhile=means.load,
        )


def _is_records(item: object) -> bool:
    return isinstance(item, Records)


def _size(item: Outcome) -> int:
    original, parsed = item
    return (0 if original.vector is None else original.vector.nbytes) + len(getattr(parsed, "text", ""))
