"""Office documents to Markdown with `#` headings; the only module that knows anydoc and msoffcrypto.

Decisions
- 2026-11-21 Passwords are tried after none: a needless one breaks files whose password is empty.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import Final

from vecver.pipeline.parsers import media_types
from vecver.pipeline.parsers.coverage import Content
from vecver.pipeline.parsers.media_types import Unreadable, locked

_PROPERTIES: Final = ("docProps/core.xml", "meta.xml")  # where OOXML and OpenDocument keep the title
_PROPERTY_TITLE: Final = re.compile(rb"<dc:title[^<>]*>([^<]*)</dc:title>")
_EXCEL_DEFAULT: Final = "VelvetSweatshop"  # Excel encrypts "read-only" workbooks with it and opens them unasked


def read(data: bytes, media_type: str, passwords: Sequence[str]) -> Content:
    import anydoc

    for opened in _opened(data, passwords):
        try:
            text = anydoc.to_markdown_bytes(opened, media_types.OFFICE[media_type])  # type: ignore[arg-type]
            return Content(text, _property_title(opened))
        except anydoc.EncryptedError:
            continue
        except anydoc.ResourceLimitError as error:
            raise Unreadable("too_large", f"It unpacks to more than is read: {error}.") from error
    raise locked(passwords)


def _opened(data: bytes, passwords: Sequence[str]) -> Iterator[bytes]:
    """The document as it is (unless it is an encrypted box), then as each password opens it."""
    if not media_types.is_encrypted_office(data):
        yield data
    for password in (_EXCEL_DEFAULT, *passwords):
        opened = _decrypted(data, password)
        if opened is not None:
            yield opened


def _decrypted(data: bytes, password: str) -> bytes | None:
    import msoffcrypto
    from msoffcrypto.exceptions import (
        DecryptionError,
        FileFormatError,
        InvalidKeyError,
    )

    opened = io.BytesIO()
    try:
        document = msoffcrypto.OfficeFile(io.BytesIO(data))
        document.load_key(password=password)
        document.decrypt(opened)
    except (DecryptionError, FileFormatError, InvalidKeyError):
        return None
    return opened.getvalue()


def _property_title(data: bytes) -> str:
    """The title in the properties of a zipped office file, or ""."""
    import html

    if not data.startswith(b"PK"):
        return ""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            part = next(part for part in _PROPERTIES if part in archive.namelist())
            with archive.open(part) as stream:
                found = _PROPERTY_TITLE.search(stream.read(1_000_000))
    except (StopIteration, zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, ValueError):
        return ""
    return html.unescape(found[1].decode("utf-8", "replace")) if found else ""
