"""Packs the documents of an ingest into one file for upload. It sends nothing.

Documents are read as a local ingest reads them (same ids, ignore files, failures). Files are packed as
`multipart/form-data`, records as JSON lines.

Decisions
1. The body is in a temporary file before the first byte is sent: many sources can be read only once, and a repeated
   attempt must send the same bytes.
2. The parts are written here one by one: the HTTP library would open all files at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from tempfile import TemporaryFile
from typing import IO, Any
from uuid import uuid4

from vecver import pipeline
from vecver.errors import InvalidInputError
from vecver.flows import ALL, Source
from vecver.model import Failure, Json, Original, Report, singly


@dataclass
class Upload:
    """A request body, and the documents that could not be read into it."""

    file: IO[bytes]
    media_type: str = ""  # "" while it holds no document
    failures: list[Failure] = field(default_factory=list)


@contextmanager
def packed(sources: Sequence[Source], *, adds: bool = False) -> Iterator[Upload]:
    """All documents of `sources`, their ids without the prefix, in a file that is deleted at the end.

    `adds`: they are to be added one by one. Raises InvalidInputError where one
    request cannot hold them: sources under several names, or files and records.
    """
    boundary = uuid4().hex
    with TemporaryFile() as file:
        upload = Upload(file)
        for source in sources:
            for item in singly(source.read()):
                _pack(upload, item, source.prefix, boundary, adds=adds)
        if len({(source.label, source.prefix) for source in sources}) > 1:
            raise InvalidInputError(
                f"these are several sources: {', '.join(repr(source.label) for source in sources)}",
                code="several_sources",
                hint="ingest them one by one: over HTTP each is a request of its own",
            )
        if upload.media_type.startswith("multipart"):
            file.write(f"--{boundary}--\r\n".encode())
        file.flush()
        yield upload


def _pack(upload: Upload, item: Original | Failure, prefix: str, boundary: str, *, adds: bool) -> None:
    if isinstance(item, Failure):
        upload.failures.append(item)
        return
    name = item.document.removeprefix(prefix)
    if item.data is None:
        media_type, parts = "application/x-ndjson", [_line(item, name, adds=adds)]
    else:
        media_type, parts = f"multipart/form-data; boundary={boundary}", [_head(name, boundary), item.data, b"\r\n"]
    if upload.media_type not in ("", media_type):
        raise InvalidInputError(
            "files and records cannot be ingested in one request",
            code="several_sources",
            hint="ingest them one by one",
        )
    upload.media_type = media_type
    upload.file.writelines(parts)


def _head(name: str, boundary: str) -> bytes:
    """The head of a file's part. Only these two characters are special in its name."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{escaped}"\r\n'
    return f"{head}Content-Type: application/octet-stream\r\n\r\n".encode()


def _line(record: Original, id: str, *, adds: bool) -> bytes:
    """A record as a line of JSON that digests to the same value when read. `adds`: metadata goes under `metadata`."""
    metadata = {"metadata": dict(record.metadata)} if adds else record.metadata
    value = {**metadata, "id": id, "text": record.text, "title": record.title}
    if record.vector is not None:
        value["vector"] = record.vector.tolist()
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def source_options(sources: Sequence[Source]) -> Json:
    """The options of an ingest that describe its sources: label, prefix, and the scope whose gaps are removals."""
    scopes = dict.fromkeys(line for source in sources for line in source.scope.split("\n") if line)
    return {
        "label": sources[0].label,
        "prefix": sources[0].prefix or None,
        "scope": "\n".join(scopes) if scopes and ALL not in scopes else None,
        "keep_missing": not scopes,
    }


def place_header(sources: Sequence[Source], enclosing: Sequence[str], *, default: bool) -> dict[str, str]:
    """Where the sources lie, as a header: by it the service tells sources with the same name apart.

    `enclosing`: digests of the places around them. `default`: the label was not given by the caller.
    """
    place = next((source.place for source in sources if source.place), None) or {}
    place_text = "-".join(place[kind] for kind in ("path", "git") if kind in place)
    words = [*(["default"] if default else []), place_text or "-", *([",".join(enclosing)] if enclosing else [])]
    return {"vecver-place": " ".join(words)} if place_text or enclosing else {}


def with_failures(report: Report, failures: Sequence[Failure], *, adds: bool = False) -> Report:
    """The service's report with the documents added that could not be read on this machine."""
    count = len(failures)
    note = f"{count} documents could not be read here"
    if not adds:
        note += "; so that they keep their versions, nothing was removed as missing"
    return replace(
        report,
        documents={**report.documents, "failed": report.documents["failed"] + count},
        failures=(*failures, *report.failures),
        notes=(*report.notes, note),
    )


def nothing_to_send(label: str, failures: Sequence[Failure]) -> InvalidInputError:
    """The error for an ingest without a document that could be sent."""
    if not failures:
        return InvalidInputError(
            f"the source {label!r} holds no documents",
            code="empty_source",
            hint="check the path and its ignore files; nothing was changed, and no document was removed",
            source=label,
        )
    return InvalidInputError(
        f"{len(failures)} documents cannot be read; the first is {failures[0].document!r}: {failures[0].reason}",
        code="documents_failed",
        hint="mend or ignore them; nothing was sent",
        failures=[failure.to_json() for failure in failures],
    )


def origin_here(source: Any) -> Json | None:
    """The Git commit of the work tree that a source lies in; of several paths, the first one's."""
    first = source[0] if isinstance(source, list | tuple) and source else source
    return pipeline.origin_of(first) if isinstance(first, str | PathLike) else None


def git_options(origin: Json | None) -> Json:
    """The options of an ingest that name the source's Git commit."""
    is_git = origin and origin.get("kind") == "git"
    return {f"git_{name}": origin[name] for name in ("commit", "branch", "dirty")} if origin and is_git else {}
