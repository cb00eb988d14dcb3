"""The calls of `Dataset` that ingest sources, say what an ingest would change, and optimize."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from vecver import flows, pipeline
from vecver.arguments import Revision, sources_of, text_of
from vecver.errors import InvalidInputError, VecverError
from vecver.local.publishing import Publishing

if TYPE_CHECKING:
    from vecver.flows import Progress, Source
    from vecver.model import Json, Metric, Optimized, Report


class Writing(Publishing):
    """Ingesting sources."""

    def ingest(
        self,
        source: pipeline.SourceLike | Sequence[str | PathLike[str]],
        *,
        message: str = "",
        branch: str = "main",
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
        keep_missing: bool = False,
        allow_removals: bool = False,
        strict: bool = False,
        dry_run: bool = False,
        workers: int | None = None,
        on: str | None = None,
        job: str = "",
        origin: Json | None = None,
        place: Json | None = None,
        scope: str | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Make a source the truth for the documents that came from it, as a new commit on `branch`.

        `source`: a folder, a glob, a file, a list of these, `-` (JSONL on stdin), a `pyarrow.Table`,
        record batches, or an iterable of dicts with `id`, `text` and metadata; or an address in a bucket
        (`s3://BUCKET/PREFIX`, `gs://`, `az://`), of which only objects with a new ETag are fetched. What is already
        embedded in the same space, anywhere in the repository, is not embedded again. A document
        missing from its source is removed (`keep_missing` keeps it); one that cannot be read is in
        `Report.failures` and keeps its previous version (`strict` makes it an error). An ingest that
        would remove all documents of a source, or more than a fifth of them and more than ten, is an
        error unless `allow_removals`. An ingest that changes nothing makes no commit.

        The metadata of a file are its `path` and `folder` below the source, and what it says of itself: front matter,
        headers of mail, properties of office files, PDF and HTML (`author`, `subject`, `keywords`, `created` ...). A
        date's field holds the day, FIELD_time the moment where one is written. What is left out is in the notes.

        `label` names the source (default: the name of the folder or file, with the folders above it
        if another source has that name), `prefix` is put before every id. A file or folder inside
        a known source, and the matches of a glob, are a part of it: nothing else is removed.
        `embedder` is the name of one, or an object of your own: see `vecver.embedder`.
        `space` names the space of vectors that the records bring, `metric` theirs (cosine).
        `language` is what keyword search takes the texts for (default: as the version before, else English): its
        stems and stop words; "none" takes words as they are. Nothing is embedded anew for it.
        `on`: where documents are parsed and embedded; by default in processes here. "ray": the session on Ray that this
        process has, else the cluster that RAY_ADDRESS names or that this machine belongs to, else one that is started
        here; "ray:local": one that is started here; "ray://HOST:10001": that cluster. The version is the same
        wherever it is made. Rows are written by the workers, so all of them must reach the repository.
        `workers`: processes that parse (default: 2); on Ray, embedders side by side (default: one a GPU, else one a
        node).
        `job`: your id of this run, kept in the commit's operation. `origin`: where the source comes from, instead
        of the Git commit of the work tree that it lies in: {"kind": "git", "commit", "branch", "dirty"}; {}: from none.
        Of a source that was read elsewhere: `place`, where it lies there ({}: nowhere), and `scope`, of which documents
        it says that they are missing (globs below the prefix, a line each; default: of all of its label).

        Where other writers moved the branch meanwhile, the commit is made after theirs.

        Raises InvalidInputError, NotFoundError, SpaceMismatchError, BackendError, and ConflictError if
        another writer changed the same documents or source (`context["documents"]` names them), or if
        removals must be allowed. After any failure this ingest has changed nothing, and what was
        embedded is kept for the next attempt.
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
            dry_run=dry_run,
            keep_missing=keep_missing,
            allow_removals=allow_removals,
            strict=strict,
            workers=workers,
            on=on,
            job=job,
            origin=origin,
        )
        sources = sources_of(source, label, prefix, records)
        if place is not None or scope is not None:
            scope = flows.ALL if scope is None else scope
            sources = [_read_elsewhere(source, place or {}, scope) for source in sources]
        report = flows.ingest(self._versions, self.name, sources, options, self._session.embedders.open, progress)
        return self._committed(report, branch, progress)

    def _committed(self, report: Report, branch: str, progress: Progress | None) -> Report:
        """The report of a write, with notes on what followed its commit."""
        if not (report.changed and report.commit):
            return report
        return replace(report, notes=(*report.notes, *self._followed(report.commit, branch, progress)))

    def _followed(self, commit: str, branch: str, progress: Progress | None) -> list[str]:
        """What follows a commit: upkeep, and publishing where the repository was opened for it. Failures are notes."""
        notes = [*self._session.upkeep.after_commit(self.name, branch, commit, progress)]
        if branch in self._session.publish:
            try:
                self.publish(commit, progress=progress)
            except VecverError as error:
                again = f"publish {self.name}@{branch} to try again"
                notes.append(f"the version was not published: {error.message}; {again}")
        return notes

    def status(
        self,
        source: pipeline.SourceLike | Sequence[str | PathLike[str]],
        *,
        at: Revision = "main",
        label: str | None = None,
        prefix: str = "",
        records: bool | None = None,
    ) -> dict[str, list[str]]:
        """What an ingest of `source` would change, without parsing it; of a bucket, without fetching an object.

        Document ids, under `added`, `changed`, `removed` and `failed` (unreadable now, or unchanged since it could not
        be read). Raises NotFoundError, InvalidInputError.
        """
        return flows.status(self._versions, self.name, sources_of(source, label, prefix, records), at=text_of(at))

    def optimize(self, *, progress: Progress | None = None) -> Optimized:
        """Rewrite the rows of all versions into the fewest segments and mend indexes; no commit or answer changes.

        `gc` deletes the old segments. It may be interrupted at any point and run again. Raises NotFoundError,
        IntegrityError (a version would not have the same roots; nothing was changed), BackendError.
        """
        self._session.upkeep.wait(self.name)
        return flows.optimize(self._versions, self.name, progress)


def _read_elsewhere(source: Source, place: Json, scope: str) -> Source:
    if not source.named:
        raise InvalidInputError(
            "a source that was read elsewhere has no name here", code="no_label", hint="name it: label=NAME"
        )
    return replace(source, place=place, scope=scope)
