"""What an ingest sends to a service: the documents of its sources, packed into one file. Sends nothing itself.

They are read as an ingest here reads them (the same ids, ignore files, failures). Files travel as
`multipart/form-data`, records as JSON lines.

Decisions
- 2026-11-21 The body lies in a temporary file before the first byte is sent: a source can often be read only once,
  and an attempt that is repeated must send the same bytes.
- 2026-11-21 The parts are written here, one at a time: the HTTP library wants all files open at once.
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
from vecver.model import Failure, Json, Original, Report


@dataclass
class Upload:
    """A body, and what could not be put into it."""

    file: IO[bytes]
    media_type: str = ""  # "": it holds no document
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
            for item in source.read():
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
    """What stands before a file. In names only these two characters have a meaning there."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{escaped}"\r\n'
    return f"{head}Content-Type: application/octet-stream\r\n\r\n".encode()


def _line(record: Original, id: str, *, adds: bool) -> bytes:
    """A record as JSON, whose reader makes the same digest of it; of one that `adds`, under `metadata` what is that."""
    metadata = {"metadata": dict(record.metadata)} if adds else record.metadata
    value = {**metadata, "id": id, "text": record.text, "title": record.title}
    if record.vector is not None:
        value["vector"] = record.vector.tolist()
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def told(sources: Sequence[Source]) -> Json:
    """What a service is told of sources that were packed together: their names, and what they speak for."""
    scopes = dict.fromkeys(line for source in sources for line in source.scope.split("\n") if line)
    return {
        "label": sources[0].label,
        "prefix": sources[0].prefix or None,
        "scope": "\n".join(scopes) if scopes and ALL not in scopes else None,
        "keep_missing": not scopes,
    }


def place_header(sources: Sequence[Source], above: Sequence[str], *, default: bool) -> dict[str, str]:
    """Where they lie, as a service takes it: so that it tells sources of one name apart."""
    place = next((source.place for source in sources if source.place), None) or {}
    own = "-".join(place[kind] for kind in ("path", "git") if kind in place)
    value = " ".join([*(["default"] if default else []), own or "-", *([",".join(above)] if above else [])])
    return {"vecver-place": value} if own or above else {}


def with_failures(report: Report, failures: Sequence[Failure], *, adds: bool = False) -> Report:
    """A report of the service's, and what could not be read here."""
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
    """The error for an ingest that the service need not be asked for."""
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
    """The Git commit that a source lies in here; of several paths, the first's."""
    first = source[0] if isinstance(source, list | tuple) and source else source
    return pipeline.origin_of(first) if isinstance(first, str | PathLike) else None


def git_told(origin: Json | None) -> Json:
    """An origin as it travels."""
    return {f"git_{name}": origin[name] for name in ("commit", "branch", "dirty")} if origin else {}
