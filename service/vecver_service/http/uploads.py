"""Turns the body of a request into a source on disk: checks the names of files, writes records, checks folders."""

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
    """`name`, if it is a path that stays below its folder and that an ingest of that folder reads.

    Raises InvalidInputError.
    """
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
    """Write a body of JSON lines below `into` as it arrives; its sha256, hex. `empty`: it may have no record.

    Raises InvalidInputError (a line is longer than `most` bytes, there is no record). Lines are limited because each is
    parsed in memory: one of 95 MB took 4 GB, and the service did not answer for 20 s.
    """
    digest, has_record, line_bytes = hashlib.sha256(), False, 0
    with (into / RECORDS).open("wb") as file:
        async for chunk in chunks:
            first, *others = chunk.split(b"\n")
            line_bytes += len(first)
            if max(line_bytes, *map(len, others), 0) > most:
                raise _too_long(most)
            line_bytes = len(others[-1]) if others else line_bytes
            digest.update(chunk)
            has_record = has_record or (not chunk.isspace() and bool(chunk))
            await run_in_threadpool(file.write, chunk)
    if not has_record and not empty:
        raise invalid("there is no record", "send a line of JSON with id and text for each document")
    return digest.hexdigest()


def records(documents: Sequence[Any], into: Path, *, empty: bool = False) -> str:
    """Write records below `into` as JSON lines; their sha256, hex. `empty`: there may be none.

    Raises InvalidInputError (there is no record).
    """
    if not documents and not empty:
        raise invalid("there is no record", "send an object with id and text for each document")
    body = "".join(json.dumps(document) + "\n" for document in documents).encode()
    (into / RECORDS).write_bytes(body)
    return hashlib.sha256(body).hexdigest()


def permitted(folder: str, allowed: tuple[str, ...]) -> str:
    """The real path of a folder of this machine that is in one of the `allowed` folders; or an address in a bucket.

    Raises AccessError otherwise, whether there is such a folder or not.
    """
    if (parts := _in_bucket(folder)) is not None:
        if not any((top := _in_bucket(one)) and parts[: len(top)] == top for one in allowed):
            raise AccessError(
                "this bucket or prefix is not on the service's allow-list",
                code="folder_not_allowed",
                hint="VECVER_FOLDERS names those that are, such as s3://my-bucket/handbook; or upload the files",
            )
        return folder
    is_plain = os.path.isabs(folder) and "\0" not in folder
    real = Path(os.path.realpath(folder)) if is_plain else None
    tops = [os.path.realpath(os.path.expanduser(top)) for top in allowed if _in_bucket(top) is None]
    if real is None or not any(real.is_relative_to(top) for top in tops):
        raise AccessError(
            "this folder is not on the service's allow-list",
            code="folder_not_allowed",
            hint="VECVER_FOLDERS names those that are; or upload the files",
        )
    return str(real)


def _in_bucket(address: str) -> list[str] | None:
    """Scheme, bucket and the parts of the path of an address in a bucket; None for a path of this machine.

    One that has % or a backslash (Azure reads it as a slash) is refused: it may mean another path than it looks like.
    """
    scheme, separator, rest = address.partition("://")
    if not separator or scheme.lower() not in ("s3", "gs", "az"):
        return None
    parts = [part for part in rest.split("/") if part]
    plain = not {"%", "\\"} & {*rest} and {".", ".."}.isdisjoint(parts) and parts and rest.startswith(parts[0])
    return [scheme.lower(), *parts] if plain else ["refused"]


def _too_long(most: int) -> InvalidInputError:
    return InvalidInputError(
        f"a line of JSON is taken up to {most} bytes",
        code="too_large",
        hint="send a long text as a file, or in several records; or let its operator raise VECVER_MAX_BODY",
    )


def invalid(message: str, hint: str) -> InvalidInputError:
    """The error for a body that cannot be a source."""
    return InvalidInputError(message, code="invalid_upload", hint=hint)
