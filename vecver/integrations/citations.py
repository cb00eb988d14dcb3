"""Where a passage stands, as the retrievers of all frameworks put it into a document's metadata."""

from __future__ import annotations

from typing import Any, Final

import vecver

CITATION: Final = "vecver"  # the field of metadata that holds it
_PLACE: Final = ("title", "headings", "page", "sheet", "line")


def citation_of(hit: vecver.Hit, answer: vecver.Answer) -> dict[str, Any]:
    """What a citation needs: document, span of characters, chunk key, dataset, commit, score, and the known place."""
    place = {name: getattr(hit, name) for name in _PLACE}
    known = {name: list(value) if isinstance(value, tuple) else value for name, value in place.items() if value}
    return {
        "document": hit.document,
        "span": list(hit.span),
        "key": hit.key,
        "dataset": answer.dataset,
        "commit": answer.commit,
        "score": hit.score,
        **known,
    }
