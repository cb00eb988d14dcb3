"""Single documents over HTTP: upsert, add, delete."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

from vecver import flows, index, pipeline, repo
from vecver.arguments import Row, check_no_ref, embedder_name, sources_of
from vecver.errors import NotFoundError
from vecver.flows import Progress
from vecver.model import Commit, Json, Metric, Report, Vectors
from vecver.near import near
from vecver.remote.handle import RemoteHandle, condition
from vecver.remote.upload import Upload, git_options, nothing_to_send, origin_here, packed, with_failures
from vecver.wire import read


class RemoteEditing(RemoteHandle):
    """The calls that change single documents, as `Dataset` has them."""

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
        expected: str | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """As `Dataset.upsert`: the rows are read here, uploaded, and embedded by a job that this call waits for."""
        pipeline.check_rows(rows)
        read_rows = flows.read_rows(rows, label or flows.ADDED, vectors=vectors)
        head = self._head(branch)
        flows.check_expected(expected, branch, head.id if head else None)
        if not read_rows.items:
            return flows.nothing(self.name, head, dry_run=dry_run)
        if vectors is not None and space is None:
            flows.check_space(head.recipe if head else None)
        options = {
            "message": message,
            "branch": branch,
            "label": None if label is None else pipeline.label_of((), label),
            "embedder": embedder_name(embedder),
            "space": space,
            "metric": metric,
            "chunker": chunker,
            "chunk_tokens": chunk_tokens,
            "language": language,
            "strict": strict,
            "dry_run": dry_run,
        }
        with packed([flows.Rows((), label or flows.ADDED, items=read_rows.items)], adds=True) as upload:
            report = self._added(upload, options, expected, progress)
        return flows.with_repeated(report, read_rows.repeated)

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
        strict: bool = False,
        dry_run: bool = False,
        origin: Json | None = None,
        expected: str | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """As `Dataset.add`: the files are read and named here, uploaded, and parsed and embedded by a job.

        A call takes files of one source, or records, not both.
        """
        head = self._head(branch)
        places = flows.places_of(head, self.show)
        named = sources_of(source, label, prefix, records, shared=True)
        options = {
            "message": message,
            "branch": branch,
            "embedder": embedder_name(embedder),
            "space": space,
            "metric": metric,
            "chunker": chunker,
            "chunk_tokens": chunk_tokens,
            "language": language,
            "strict": strict,
            "dry_run": dry_run,
            **git_options(origin_here(source) if origin is None else origin),
        }
        sources, repeated = flows.additions(named, places)
        options["prefix"] = sources[0].prefix or None
        options["label"] = sources[0].label if label is not None or places.get(sources[0].label) else None
        with packed(sources, adds=True) as upload:
            if not upload.media_type and not upload.failures:
                return flows.nothing(self.name, head, dry_run=dry_run, why="nothing was found there")
            report = self._added(upload, options, expected, progress)
        return flows.with_repeated(report, repeated)

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
        """As `Dataset.delete`."""
        check_no_ref(ids, refused)
        deletion = flows.deletion(self.name, ids, where, branch=branch, message=message, dry_run=dry_run)
        body = {
            "ids": None if deletion.documents is None else list(deletion.documents),
            "where": index.json_filter(deletion.where),
            "branch": branch,
            "message": message,
            "dry_run": dry_run,
        }
        return read(self._wire.write("POST", self._path("delete"), body, condition(expected)), Report.from_json)

    def _head(self, branch: str) -> Commit | None:
        """The head of a branch; None for a dataset without versions. Raises NotFoundError (other branches exist)."""
        repo.check_name("branch", branch)
        try:
            branches = read(self._wire.get(self._path("branches")), lambda body: dict(body["branches"]))
        except NotFoundError as error:
            if error.code != "dataset_not_found":
                raise
            return None
        if branches and branch not in branches:
            raise NotFoundError(
                f"{self.name} has no branch {branch!r}",
                code="branch_not_found",
                hint="docs.branches() lists them",
                did_you_mean=near(branch, branches),
            )
        return self.show(branches[branch]) if branches else None

    def _added(self, upload: Upload, options: Json, expected: str | None, progress: Progress | None) -> Report:
        """Upload documents and wait for the job that adds them."""
        if not upload.media_type or (options["strict"] and upload.failures):
            raise nothing_to_send(options["label"] or flows.ADDED, upload.failures)
        headers = {"content-type": upload.media_type, **condition(expected)}
        job = self._wire.upload(self._path("upsert"), upload.file, headers, **options)
        report = read(self._wire.result_of(job, progress), Report.from_json)
        return with_failures(report, upload.failures, adds=True) if upload.failures else report
