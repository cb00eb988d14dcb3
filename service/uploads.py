"""Bodies that become a source: files of a multipart form, or lines of records, laid in a job's input folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from vecver.errors import AccessError, InvalidInputError

FILES, RECORDS = "files", "records.jsonl"
_PART_BYTES, _PATH_BYTES, _PARTS = 240, 1000, 32


async def files(request: Request, into: Path, most: int) -> str:
    """Lay the parts `files` of a form under `into`, each at the path that is its name; a digest of them all."""
    async with request.form(max_files=most, max_fields=0) as form:
        given = form.getlist("files")
        uploads = [one for one in given if isinstance(one, UploadFile)]
        if not uploads or len(uploads) != len(form.multi_items()):
            raise _invalid("the form holds something else than files", 'send every document as a part "files"')
        return await run_in_threadpool(_laid, uploads, into / FILES)


def _laid(uploads: list[UploadFile], folder: Path) -> str:
    digest = hashlib.sha256()
    for upload in uploads:
        path = folder / checked(upload.filename or "")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                shutil.copyfileobj(upload.file, file, 1 << 20)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise _invalid(f"two files lie at {upload.filename!r}", "give each a path of its own") from error
        with path.open("rb") as file:
            digest.update(f"{upload.filename}\n{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def checked(name: str) -> str:
    """A path that stays where it is put. Raises InvalidInputError."""
    parts = name.split("/")
    sound = (
        name.isprintable()
        and "\\" not in name
        and all(part and not part.startswith(".") and part == part.strip() for part in parts)
        and all(len(os.fsencode(part)) <= _PART_BYTES for part in parts)
        and len(os.fsencode(name)) <= _PATH_BYTES
        and len(parts) <= _PARTS
    )
    if not sound:
        raise _invalid(
            f"{name[:100]!r} cannot be a document's path",
            "use a relative path such as guide/heating.md, without hidden names",
        )
    return name


async def lines(chunks: AsyncIterator[bytes], into: Path) -> str:
    """Lay a body of records under `into`, a line of JSON each; its digest."""
    digest, some = hashlib.sha256(), False
    with (into / RECORDS).open("wb") as file:
        async for chunk in chunks:
            digest.update(chunk)
            some = some or (not chunk.isspace() and bool(chunk))
            await run_in_threadpool(file.write, chunk)
    if not some:
        raise _invalid("there is no record", "send a line of JSON with id and text for each document")
    return digest.hexdigest()


def records(documents: list[dict[str, Any]], into: Path) -> str:
    """Lay records under `into`; their digest."""
    if not documents:
        raise _invalid("there is no record", "send an object with id and text for each document")
    body = "".join(json.dumps(one) + "\n" for one in documents).encode()
    (into / RECORDS).write_bytes(body)
    return hashlib.sha256(body).hexdigest()


def permitted(folder: str, allowed: tuple[str, ...]) -> str:
    """A folder of this machine that may be ingested. Raises AccessError, whether there is such a folder or not."""
    real = Path(os.path.realpath(folder))
    if not os.path.isabs(folder) or not any(real.is_relative_to(os.path.realpath(one)) for one in allowed):
        raise AccessError(
            "this folder is not on the service's allow-list",
            code="folder_not_allowed",
            hint="VECVER_FOLDERS names those that are; or upload the files",
        )
    return str(real)


def _invalid(message: str, hint: str) -> InvalidInputError:
    return InvalidInputError(message, code="invalid_upload", hint=hint)
