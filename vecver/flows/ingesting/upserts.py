"""Upserts: documents are added or replaced, and none is removed.

    read      rows become documents, the last of each id; files are named as an ingest would name them
    label     a document of the parent version stays with its source; a new one belongs to the source `added`
    ingest    as an ingest that removes nothing; see `ingestion`

Decisions
1. New documents get the source `added`, which lies nowhere, so that no ingest of a folder removes them. A folder of
   that name gets another label. With `label`, an ingest of that label may remove them.
2. A document that belongs to a source stays with it, and the next ingest of that source replaces it. Moving it to
   `added` instead would make that ingest stop with a conflict.
3. An upsert does not depend on the document's old content, so of two at once the later one wins: the loser is done
   again under the branch's turn, with the vectors it has made. A caller whose change depends on what it read passes
   `expected`, and gets a ConflictError instead.
4. A file outside known sources is named by its path from the current folder; outside of that folder by its whole path,
   since two files of the same name must not replace each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from vecver import pipeline
from vecver.errors import InvalidInputError
from vecver.flows.embedding import OpenEmbedder, is_given
from vecver.flows.ingesting.commits import untouched
from vecver.flows.ingesting.head import check_expected, head_of, id_of, places_at, retried
from vecver.flows.ingesting.ingestion import make_version
from vecver.flows.ingesting.recipe import Options
from vecver.flows.ingesting.sources import Places, Source, recognised
from vecver.model import Commit, Failure, Json, Original, Recipe, Records, Report
from vecver.progress import Progress
from vecver.repo import Snapshot, Versions, turn_at

ADDED = "added"  # the source of documents that came from no other source


@dataclass(frozen=True)
class Rows(Source):
    """A source whose documents are in memory."""

    items: tuple[Original | Failure | Records, ...] = ()

    def read(self) -> Iterator[Original | Failure | Records]:
        return (item if isinstance(item, Failure) else replace(item, source=self.label) for item in self.items)

    @property
    def is_parsed(self) -> bool:
        return False

    def how_many(self) -> int | None:
        return sum(len(item) if isinstance(item, Records) else 1 for item in self.items)


def upsert(
    versions: Versions,
    dataset: str,
    rows: Any,
    vectors: Any,
    label: str | None,
    options: Options,
    open_embedder: OpenEmbedder,
    progress: Progress | None = None,
) -> Report:
    """Add or replace the documents of these rows. Without rows there is no commit, and the report says so.

    Raises InvalidInputError (no rows; none of them can be used), and as `ingest`.
    """
    pipeline.check_rows(rows)
    found = read_rows(rows, label or ADDED, vectors=vectors)
    if not found.items:
        head = head_of(versions, dataset, options.branch)
        check_expected(options.expected, options.branch, id_of(head))
        return nothing(dataset, head.commit if head else None, dry_run=options.dry_run)
    if vectors is not None and options.space is None:
        head = head_of(versions, dataset, options.branch)
        check_space(head.commit.recipe if head else None)

    def settled(places: Places, parent: Snapshot | None) -> list[Source]:
        return [_rows(found, places, label)]

    report = _landed(versions, dataset, settled, options, open_embedder, progress)
    return with_repeated(report, found.repeated)


def add(
    versions: Versions,
    dataset: str,
    sources: Sequence[Source],
    options: Options,
    open_embedder: OpenEmbedder,
    progress: Progress | None = None,
) -> Report:
    """Add or replace the documents of these files, folders and files of records; as `upsert`."""
    read = _read_once(sources)

    def settled(places: Places, parent: Snapshot | None) -> list[Source]:
        return [_file(source, rows, places, parent) for source, rows in read]

    report = _landed(versions, dataset, settled, options, open_embedder, progress)
    if not any(report.documents.values()):
        return replace(report, notes=(*report.notes, "nothing was found there: nothing to do, no commit was made"))
    return with_repeated(report, sum(rows.repeated for _, rows in read if rows))


def _landed(
    versions: Versions,
    dataset: str,
    settled: Callable[[Places, Snapshot | None], list[Source]],
    options: Options,
    open_embedder: OpenEmbedder,
    progress: Progress | None,
) -> Report:
    """Commit these documents; if other writers changed the same ones meanwhile, after their commit."""

    def attempt(before: int) -> Report:  # from the second attempt on under the branch's turn
        with turn_at(versions, dataset, options.branch) if before else nullcontext():
            parent = head_of(versions, dataset, options.branch)
            sources = settled(places_at(versions, parent), parent)
            return make_version(versions, dataset, parent, sources, options, open_embedder, progress)

    return retried(attempt, options.expected)


# -- rows ---------------------------------------------------------------------------------------


def read_rows(rows: Any, label: str, prefix: str = "", vectors: Any = None) -> pipeline.Additions:
    """The rows as documents. Raises InvalidInputError (no row can be used), saying what a row is."""
    try:
        return pipeline.read_additions(rows, label=label, prefix=prefix, vectors=vectors)
    except InvalidInputError as error:
        if error.code != "not_records":
            raise
        raise InvalidInputError(
            error.message.replace("is no source of records", "brings no row that can be used"),
            code="invalid_rows",
            hint='a row is {"id": "...", "text": "..."} with any metadata, or a text',
        ) from error


def _rows(found: pipeline.Additions, places: Places, label: str | None) -> Source:
    label = _free(places) if label is None else pipeline.label_of((), label)
    place: Json | None = None if label in places else {}
    return Rows((), label, scope="", place=place, items=found.items)


def _free(places: Places) -> str:
    """The label of new documents: `added`, or `added-2` and so on if a folder has that label."""
    names = (ADDED, *(f"{ADDED}-{number}" for number in range(2, len(places) + 3)))
    return next(name for name in names if not places.get(name))


def check_space(recipe: Recipe | None) -> None:
    """Raises InvalidInputError for rows with vectors if neither `space` nor the version names their space."""
    if recipe is None or not is_given(recipe):
        embedded = "leave the vectors out, since this branch embeds its texts; or use another dataset, with space=NAME"
        raise InvalidInputError(
            "vectors were given, and not in which space they lie",
            code="no_space",
            hint='name the model that made them: space="NAME"' if recipe is None else embedded,
        )


# -- files --------------------------------------------------------------------------------------


def _path(source: Source) -> str:
    return pipeline.path_of(source.value) or "-"


def _of_records(source: Source) -> pipeline.Additions | None:
    """The rows of a source that is a file of records; None for a file or folder of documents."""
    if isinstance(source.value, pipeline.BucketSource):
        return _of_object(source, source.value)
    path = pipeline.path_of(source.value)
    is_folder = path is not None and os.path.isdir(path)
    if is_folder or pipeline.is_document(source.value, source.records) or not (path is None or os.path.exists(path)):
        return None  # a path that is not there is an error when it is read
    return read_rows(source.value, source.label if source.named else ADDED, source.prefix)


def _of_object(source: Source, value: pipeline.BucketSource) -> pipeline.Additions | None:
    if not value.holds_records(source.records):
        return None
    return read_rows(str(value.file), source.label if source.named else ADDED, source.prefix)


def additions(sources: Sequence[Source], places: Places) -> tuple[list[Source], int]:
    """(the sources under their labels in a version with these places, the number of repeated rows)."""
    read = _read_once(sources)
    return [_file(source, rows, places, None) for source, rows in read], sum(rows.repeated for _, rows in read if rows)


def _read_once(sources: Sequence[Source]) -> list[tuple[Source, pipeline.Additions | None]]:
    """Each source once, and its rows if it is a file of records."""
    distinct = {(_path(source), source.records): source for source in sources}
    return [(source, _of_records(source)) for source in distinct.values()]


def _settled(source: Source, places: Places, parent: Snapshot | None = None) -> Source:
    """The source as a part of a known one if it lies in one; else with ids made of its path."""
    path = pipeline.path_of(source.value)
    if source.place is None and path is not None and pipeline.exists(source.value):
        same = recognised([source], places, parent)[0]
        if places.get(same.label):
            return replace(same, scope="", place=None)
    label = source.label if source.named else _free(places)
    labelled = replace(source, label=label, scope="", place=None if label in places else {})
    read_here = source.place is None and source.is_parsed
    if not read_here:
        return labelled
    bucket = source.bucket
    return replace(labelled, under=bucket.folder if bucket else _folder(path or ""))


def _file(source: Source, rows: pipeline.Additions | None, places: Places, parent: Snapshot | None) -> Source:
    labelled = _settled(source, places, parent)
    if rows and labelled.records == source.records:
        return Rows((), labelled.label, scope="", place=labelled.place, items=rows.items)
    return labelled


def _folder(path: str) -> str:
    """The prefix of the ids of a file, folder or glob: the path of its folder from here, with a slash."""
    below = os.path.relpath(path)
    where = PurePath(path.lstrip("/") if below.startswith("..") else below)
    folder = (where if os.path.isdir(path) else where.parent).as_posix()
    return "" if folder == "." else f"{folder}/"


# -- reports ------------------------------------------------------------------------------------


def nothing(dataset: str, head: Commit | None, *, dry_run: bool, why: str = "no rows were given") -> Report:
    """The report of an upsert without rows."""
    return replace(untouched(dataset, head, dry_run=dry_run), notes=(f"{why}: nothing to do, no commit was made",))


def with_repeated(report: Report, repeated: int) -> Report:
    """The report with a note on rows that were left out because their id came again."""
    if not repeated:
        return report
    rows = "one row was" if repeated == 1 else f"{repeated} rows were"
    return replace(
        report, notes=(*report.notes, f"{rows} left out: the same id comes again further down, and that wins")
    )
