"""PDF to Markdown with `#` headings; the only module that knows liteparse.

Decisions
- 2026-11-21 Passwords are tried after none: a needless one breaks files whose password is empty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from vecver.pipeline.parsers.coverage import Content
from vecver.pipeline.parsers.media_types import Unreadable, locked, malformed

_PDF_TITLE: Final = re.compile(r"<dc:title>.{0,200}?<rdf:li[^>]*>([^<]+)</rdf:li>", re.S)


def read(data: bytes, media_type: str, passwords: Sequence[str]) -> Content:
    from liteparse import LiteParse, ParseError

    if b"%PDF-" not in data[:1024]:  # liteparse would take it for another format
        raise Unreadable("malformed", "It is called PDF and does not begin like one.")
    for password in (None, *passwords):
        reader = LiteParse(ocr_enabled=False, output_format="markdown", image_mode="off", quiet=True, num_workers=1,
                           extract_document_metadata=True, password=password)  # fmt: skip
        try:
            result = reader.parse(data)
        except ParseError as error:
            if "password" in str(error).lower():
                continue
            raise malformed(media_type, error) from error
        pages = [page.markdown for page in result.pages if page.text.strip()]
        if not pages:
            raise Unreadable(
                "needs_ocr", "Its pages hold no text, perhaps only images: run OCR on it first (ocrmypdf does)."
            )
        title = _PDF_TITLE.search((result.doc_meta and result.doc_meta.xmp) or "")
        return Content("\n\n".join(pages), title[1] if title else "")
    raise locked(passwords)
