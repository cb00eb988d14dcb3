"""HTML to Markdown with `#` headings; the only module that knows html-to-markdown.

Decisions
- 2026-11-21 Page furniture is removed ("aggressive"); a page that is nothing but furniture is read
  whole. Table cells are not padded: one longer cell must not rewrite every row of the next version.
- 2026-11-21 html-to-markdown skips what lies deeper than 1,024 elements and only warns. A text with
  a hole is worse than none: it is reported as malformed.
"""

from __future__ import annotations

import html
import re
from typing import Final

from vecver.pipeline.parsers.media_types import Unreadable

_TITLE: Final = re.compile(r"<title[^<>]*>([^<]*)</title", re.I)
_HEAD: Final = 200_000  # characters in which <title> is looked for
_LOST: Final = ("depth_limit_exceeded", "truncated_input")  # html-to-markdown's warnings that text is missing


def html_text(page: str) -> str:
    return markdown_of(page, "aggressive") or markdown_of(page, "minimal")


def html_title(page: str) -> str:
    found = _TITLE.search(page, 0, _HEAD)
    return html.unescape(found[1]) if found else ""


def markdown_of(page: str, preset: str) -> str:
    from html_to_markdown import ConversionOptions, PreprocessingOptions, convert

    cleaning = PreprocessingOptions(preset=preset)
    result = convert(
        page, ConversionOptions(extract_metadata=False, skip_images=True, compact_tables=True, preprocessing=cleaning)
    )
    if any(str(warning.kind) in _LOST for warning in result.warnings):
        raise Unreadable("malformed", "The HTML is nested so deeply that part of its text would be lost.")
    return (result.content or "").strip()
