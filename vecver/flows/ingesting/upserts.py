"""Upsert: documents are added or replaced one by one, and none is removed.

    read      rows as documents, the last of each id; files as an ingest would name them
    settle    a document that there is stays with its source; a new one belongs to the source `added`
    ingest    the same steps, speaking for no source; see `ingest`

Decisions
- 2026-11-26 New documents get a source of their own, which lies nowhere, so that no ingest of something else takes
  them for its own and removes them. A folder of that name gets another label. Whoever wants them swept gives a label.
- 2026-11-26 A document that belongs to a source stays with it: that source's next ingest says again what it holds.
  The road not taken moves it to `added`; then the folder's next ingest would stop with a conflict.
- 2026-11-26 An upsert does not depend on what the document was before. So of two at once the later one wins, as if one
  had waited for the other: what lost is done again, under the branch's turn, with the vectors that are there by now.
  Who read a version and writes what follows from it gives `expected`, and gets a ConflictError instead.
- 2026-11-26 A file outside known sources is named by its path as seen from the current folder; from outside that
  folder by its whole path, since two files of one name must not replace each other.
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
from vecver.model import Commit, Failure, Json, Original, Recipe, Report
from vecver.progress import Progress
from vecver.repo import Snapshot, Versions, turn_at

ADDED = "added"  # the source of documents that no other source brought


@dataclass(frozen=True)
class Rows(Source):
    """Documents that are in memory already."""

    items: tuple[Original | Failure, ...] = ()

    def read(self) -> Iterator[Original | Failure]:
        return (item if isinstance(item, Failure) else replace(item, source=self.label) for item in self.items)

    @property
    def is_parsed(self) -> bool:
        return False

    def how_many(self) -> int | None:
        return len(self.items)


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
    """Add or replace the documents of these rows. Nothing given, no commit; the report says so.

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
        return [_file(one, rows, places, parent) for one, rows in read]

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
    """The version with these documents; where others changed the same ones meanwhile, after theirs."""

    def attempt(before: int) -> Report:  # the second has the branch's turn: only who takes none can be in its way
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
    """The label of new documents: `added`, unless that lies somewhere."""
    names = (ADDED, *(f"{ADDED}-{number}" for number in range(2, len(places) + 3)))
    return next(name for name in names if not places.get(name))


def check_space(recipe: Recipe | None) -> None:
    """Raises InvalidInputError where vectors are given, and nothing says in which space they lie."""
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
    """The rows of a source that is a file of records; None for documents."""
    path = pipeline.path_of(source.value)
    is_folder = path is not None and os.path.isdir(path)
    if is_folder or pipeline.is_document(source.value, source.records) or not (path is None or os.path.exists(path)):
        return None  # a path that is not there is an error when it is read
    return read_rows(source.value, source.label if source.named else ADDED, source.prefix)


def additions(sources: Sequence[Source], places: Places) -> tuple[list[Source], int]:
    """(these sources under the names that they have in a version with these places, rows that were left out)."""
    read = _read_once(sources)
    return [_file(one, rows, places, None) for one, rows in read], sum(rows.repeated for _, rows in read if rows)


def _read_once(sources: Sequence[Source]) -> list[tuple[Source, pipeline.Additions | None]]:
    """Each source once, with its rows if it is a file of records."""
    distinct = {(_path(one), one.records): one for one in sources}
    return [(one, _of_records(one)) for one in distinct.values()]


def _settled(source: Source, places: Places, parent: Snapshot | None = None) -> Source:
    """The source as a known one, or a part of it, names its documents; else by its path."""
    path = pipeline.path_of(source.value)
    if source.place is None and path is not None and os.path.lexists(path):
        same = recognised([source], places, parent)[0]
        if places.get(same.label):
            return replace(same, scope="", place=None)
    label = source.label if source.named else _free(places)
    own = replace(source, label=label, scope="", place=None if label in places else {})
    read_here = source.place is None and source.is_parsed
    return replace(own, under=_folder(path or "")) if read_here else own


def _file(source: Source, rows: pipeline.Additions | None, places: Places, parent: Snapshot | None) -> Source:
    own = _settled(source, places, parent)
    if rows and own.records == source.records:
        return Rows((), own.label, scope="", place=own.place, items=rows.items)
    return own


def _folder(path: str) -> str:
    """What stands before the ids of a file, folder or glob: the path to it from here, with a slash."""
    below = os.path.relpath(path)
    where = PurePath(path.lstrip("/") if below.startswith("..") else below)
    folder = (where if os.path.isdir(path) else where.parent).as_posix()
    return "" if folder == "." else f"{folder}/"


# -- reports ------------------------------------------------------------------------------------


def nothing(dataset: str, head: Commit | None, *, dry_run: bool, why: str = "no rows were given") -> Report:
    """The report where there is nothing to add."""
    return replace(untouched(dataset, head, dry_run=dry_run), notes=(f"{why}: nothing to do, no commit was made",))


def with_repeated(report: Report, repeated: int) -> Report:
    """A report that says of how many rows the id came again."""
    if not repeated:
        return report
    rows = "one row was" if repeated == 1 else f"{repeated} rows were"
    return replace(
        report, notes=(*report.notes, f"{rows} left out: the same id comes again further down, and that wins")
    )
