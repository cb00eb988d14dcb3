"""The words for the reasons why an answer changed, as reports and the terminal show them."""

from __future__ import annotations

from typing import Final

REASONS: Final = {  # by `Change.why`
    "edited": "edited",
    "added": "new document",
    "removed": "document removed",
    "rechunked": "cut otherwise",
    "embedder": "other embedder",
    "approximation": "index only",
    "rival": "others came or went",
}
