"""Bodies that become a source: what a file may be called, lines of records, folders of the server."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from vecver.errors import AccessError, InvalidInputError

FILES, RECORDS = "files", "records.jsonl"
_PART_BYTES, _PATH_BYTES, _PARTS = 240, 1000, 32


def checked(name: str) -> str:
    """A path that stays where it is put, and that a folder's ingest finds there. Raises InvalidInputError."""
    parts = name.split("/")
    sound = (
        all(character >= " " and character != "\x7f" for character in name)
        and all(part and not part.startswith(".") for part in parts)
        and all(len(os.fsencode(part)) <= _PART_BYTES for part in parts)
        and len(os.fsencode(name)) <= _PATH_BYTES
        and len(parts) <= _PARTS
    )
    if not sound:
        raise invalid(
            f"{name[:100]!r} cannot be a document's path",
            "use a relative path such as guide/heating.md, without hidden names",
        )
    return name


async def lines(chunks: AsyncIterator[bytes], into: Path, most: int, *, empty: bool = False) -> str:
    """Lay a body of records under `into`, a line of JSON each of up to `most` bytes; its digest.

    `empty`: there may be none.

    A line is read whole, as a body of JSON is: one of 95 MB took 4 GB, and the service was silent for 20 s.
    """
    digest, some, line = hashlib.sha256(), False, 0
    with (into / RECORDS).open("wb") as file:
        async for chunk in chunks:
            first, *others = chunk.split(b"\n")
            line += len(first)
            if max(line, *map(len, others), 0) > most:
                raise _too_long(most)
            line = len(others[-1]) if others else line
            digest.update(chunk)
            some = some or (not chunk.isspace() and bool(chunk))
            await run_in_threadpool(file.write, chunk)
    if not some and not empty:
        raise invalid("there is no record", "send a line of JSON with id and text for each document")
    return digest.hexdigest()


def records(documents: Sequence[Any], into: Path, *, empty: bool = False) -> str:
    """Lay records under `into`; their digest. `empty`: there may be none."""
    if not documents and not empty:
        raise invalid("there is no record", "send an object with id and text for each document")
    body = "".join(json.dumps(one) + "\n" for one in documents).encode()
    (into / RECORDS).write_bytes(body)
    return hashlib.sha256(body).hexdigest()


def permitted(folder: str, allowed: tuple[str, ...]) -> str:
    """A folder of this machine that may be ingested. Raises AccessError, whether there is such a folder or not."""
    sound = os.path.isabs(folder) and "\0" not in folder
    real = Path(os.path.realpath(folder)) if sound else None
    if real is None or not any(real.is_relative_to(os.path.realpath(os.path.expanduser(one))) for one in allowed):
        raise AccessError(
            "this folder is not on the service's allow-list",
            code="folder_not_allowed",
            hint="VECVER_FOLDERS names those that are; or upload the files",
        )
    return str(real)


def _too_long(most: int) -> InvalidInputError:
    return InvalidInputError(
        f"a line of JSON is taken up to {most} bytes",
        code="too_large",
        hint="send a long text as a file, or in several records; or let its operator raise VECVER_MAX_BODY",
    )


def invalid(message: str, hint: str) -> InvalidInputError:
    """The error for a body that cannot be a source."""
    return InvalidInputError(message, code="invalid_upload", hint=hint)
