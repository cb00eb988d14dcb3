"""The calls of `Dataset` that add, replace and delete single documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from vecver import flows
from vecver.arguments import Row, check_no_ref, sources_of
from vecver.local.writing import Writing

if TYPE_CHECKING:
    from vecver.flows import Progress
    from vecver.model import Json, Metric, Report, Vectors


class Editing(Writing):
    """Editing single documents; unlike `ingest`, these calls remove nothing that is not named."""

    def upsert(
        self,
        rows: Iterable[Row],
        *,
        branch: str = "main",
        message: str = "",
        vectors: Vectors | Sequence[Sequence[float]] | None = None,
        label: str | None = None,
        embedder: str | Any | None = None,
        space: str | None = None,
        metric: Metric | None = None,
        chunker: str | None = None,
        chunk_tokens: int | None = None,
        language: str | None = None,
        strict: bool = False,
        dry_run: bool = False,
        job: str = "",
        expected: str | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Add documents, or replace those that are there, as a new commit on `branch`; nothing is removed.

        `rows`: dicts with `id`, `text`, perhaps `title`, and metadata (beside these, or as one dict under `metadata`,
        which may hold fields named `id`, `text`, `vector`, and beside a title `title`);
        plain texts, whose id is a digest of the text, so that adding one again changes nothing; a `pyarrow.Table` or
        a DataFrame. All are held in memory. The last row of a repeated id wins, and a note says how many did not.
        `vectors`, `(n, dim)` float32: one a row, in their order, in the space `space` (named once, at the first
        version); else the branch's embedder makes them. `embedder`, `chunker`, `language` and so on: as `ingest`. No
        rows: no commit, and a note. A row that cannot be used is in `Report.failures` (`strict` makes it an error).

        An existing document stays with its source, whose next ingest replaces it. New documents belong to the source
        `label`, by default "added", which no ingest of another source removes. Other writers' commits are kept; of two
        upserts of one document at once the later one wins. With `expected`, the commit id at which you saw the branch
        ("absent": a new dataset), the commit follows that one or is not made.

        Raises InvalidInputError (no rows, none of them usable, vectors that do not fit), NotFoundError (branch),
        SpaceMismatchError, ConflictError (`expected`), BackendError. After any failure nothing was changed.
        """
        options = flows.Options(
            message=message,
            branch=branch,
            embedder=self._session.embedders.recipe_of(embedder),
            space=space,
            metric=metric,
            chunker=chunker,
            chunk_tokens=chunk_tokens,
            language=language,
            strict=strict,
            dry_run=dry_run,
            job=job,
            origin={},
            adds=True,
            expected=expected,
        )
        report = flows.upsert(
            self._versions, self.name, rows, vectors, label, options, self._session.embedders.open, progress
        )
        return self._committed(report, branch, progress)

    def add(
        self,
        source: str | PathLike[str] | Sequence[str | PathLike[str]],
        *,
        branch: str = "main",
        message: str = "",
        label: str | None = None,
        prefix: str = "",
        records: bool | None = None,
        embedder: str | Any | None = None,
        space: str | None = None,
        metric: Metric | None = None,
        chunker: str | None = None,
        chunk_tokens: int | None = None,
        language: str | None = None,
        passwords: Sequence[str] = (),
        strict: bool = False,
        dry_run: bool = False,
        workers: int = 2,
        job: str = "",
        origin: Json | None = None,
        place: Json | None = None,
        expected: str | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Add or replace the documents of files and folders, as `upsert` does rows; nothing is removed.

        `source`: a file, a folder, a glob, a file of records, `-` (JSONL on stdin), or a list of these. What lies in a
        known source is named as there, and stays its; else a document's id is the path to it from the current folder
        (from outside of that, its whole path), and it belongs to the source `label`, by default "added".

        The options are those of `ingest`, `expected` is that of `upsert`. `place={}`: the files were read elsewhere;
        what lies below `source` is named by its path there. Raises as `ingest`.
        """
        options = flows.Options(
            message=message,
            branch=branch,
            embedder=self._session.embedders.recipe_of(embedder),
            space=space,
            metric=metric,
            chunker=chunker,
            chunk_tokens=chunk_tokens,
            language=language,
            passwords=tuple(passwords),
            strict=strict,
            dry_run=dry_run,
            workers=workers,
            job=job,
            origin=origin,
            adds=True,
            expected=expected,
        )
        sources = [replace(source, place=place) for source in sources_of(source, label, prefix, records, shared=True)]
        report = flows.add(self._versions, self.name, sources, options, self._session.embedders.open, progress)
        return self._committed(report, branch, progress)

    def delete(
        self,
        ids: str | Iterable[str] | None = None,
        *refused: Any,
        where: Json | None = None,
        branch: str = "main",
        message: str = "",
        dry_run: bool = False,
        expected: str | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Remove documents by their `ids` (one or several), or those whose metadata matches `where`, as a new commit.

        `where` is a filter as `search` takes it. Ids that name no document are in `Report.unknown` and in a note;
        where nothing is left to remove there is no commit. Earlier versions keep the documents. The version may be
        left empty; it keeps its recipe for the next `upsert`. (Refs go with `delete_branch`, `delete_tag`,
        `delete_alias`.)

        What a source on disk still holds comes back with that source's next ingest; a note says so.
        `expected`: as `upsert`. `dry_run`: the report of what would go, and no commit.

        Raises InvalidInputError (neither or both of ids and where, `where={}`, a filter that cannot be asked),
        NotFoundError (dataset, branch), ConflictError. After any failure nothing was changed.
        """
        check_no_ref(ids, refused)
        how = {"branch": branch, "message": message, "dry_run": dry_run, "expected": expected}
        report = flows.delete(self._versions, self.name, flows.deletion(self.name, ids, where, **how))
        return self._committed(report, branch, progress)
