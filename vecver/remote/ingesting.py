"""Ingest over HTTP: the source is read here, uploaded, and ingested by a job of the service."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

from vecver import flows, pipeline
from vecver.arguments import embedder_name, sources_of
from vecver.errors import ConflictError, InvalidInputError
from vecver.flows import Progress
from vecver.model import Json, Metric, Report
from vecver.remote.handle import RemoteHandle
from vecver.remote.upload import (
    git_options,
    nothing_to_send,
    origin_here,
    packed,
    place_header,
    source_options,
    with_failures,
)
from vecver.wire import read


class RemoteIngesting(RemoteHandle):
    """The call that makes a source the truth for its documents, as `Dataset` has it."""

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
        origin: Json | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """As `Dataset.ingest`: the source is read here, uploaded, and parsed and embedded by a job of the service.

        Returns when the job has ended; an interrupt cancels the job. One call takes one source. `passwords`, `workers`
        and `on` are refused. Files that cannot be read here are in `Report.failures`; their documents keep their
        versions, and so nothing is removed as missing in that commit (`notes` says so).

        Raises InvalidInputError (options that cannot be sent, several sources, nothing to send), AccessError,
        ConflictError, BackendError, and what the job raises.
        """
        if passwords or workers is not None or on is not None:
            raise InvalidInputError(
                "passwords, workers and on do not travel to a service",
                code="not_over_http",
                hint="leave them out; a locked document is ingested where the repository lies, or unlocked first",
            )
        options = {
            "message": message,
            "branch": branch,
            "embedder": embedder_name(embedder),
            "space": space,
            "metric": metric,
            "chunker": chunker,
            "chunk_tokens": chunk_tokens,
            "language": language,
            "allow_removals": True if allow_removals else None,
            "keep_missing": keep_missing,
            "strict": strict,
            "dry_run": dry_run,
            **git_options(origin_here(source) if origin is None else origin),
        }
        named = sources_of(source, label, prefix, records)
        sources = flows.recognised(named, {})
        enclosing = list(dict.fromkeys(place for item in named for place in flows.surroundings(item)))
        place = place_header(sources, enclosing, default=label is None)
        try:
            return self._ingested(sources, place, options, progress)
        except ConflictError as error:
            if error.code != "source_elsewhere":
                raise
        commit = self.show(branch)
        sources = flows.recognised(named, flows.places_of(commit, self.show))
        return self._ingested(sources, place_header(sources, [], default=False), options, progress)

    def _ingested(
        self, sources: Sequence[flows.Source], place: dict[str, str], options: Json, progress: Progress | None
    ) -> Report:
        """Upload sources and wait for their job. `place`: the header that says where they lie."""
        with packed(sources) as upload:
            if not upload.media_type or (options["strict"] and upload.failures):
                raise nothing_to_send(sources[0].label, upload.failures)
            params = {**options, **source_options(sources)}
            params["keep_missing"] = options["keep_missing"] or params["keep_missing"] or bool(upload.failures)
            headers = {"content-type": upload.media_type, **place}
            job = self._wire.upload(self._path("ingest"), upload.file, headers, **params)
        report = read(self._wire.result_of(job, progress), Report.from_json)
        return with_failures(report, upload.failures) if upload.failures else report
