"""Ids of documents: which can be one, and how any name is shown.

Decisions
1. An id is stored exactly as it is, without Unicode normalisation: two ids are equal when their code points are.
   Empty path parts ("https://...") are allowed, since an id may be a URI.
"""

from __future__ import annotations

import re
from typing import Final

from vecver.digest import digest

_ID_LENGTH: Final = 1024
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # controls, line ends, half characters


def check_id(document: str) -> str | None:
    """The reason why `document` cannot be a document's id; `None` if it can.

    An id has 1 to 1024 characters. It may be a relative path or a URI. Otherwise it is kept exactly
    as it is, in any script, without normalisation.
    """
    if not document:
        return "an id must not be empty"
    if len(document) > _ID_LENGTH:
        return f"an id has at most {_ID_LENGTH} characters, this one has {len(document)}"
    if _FORBIDDEN.search(document):
        return "an id holds no control characters, line ends or undecodable bytes"
    if document.startswith("/"):
        return "an id does not begin with a slash"
    if not {".", ".."}.isdisjoint(document.split("/")):
        return "an id has no '.' or '..' between its slashes"
    return None


def shown(name: str) -> str:
    """Any name made printable and storable: escaped, and cut to 200 characters.

    A cut name ends in a part of its digest, so that two long names stay different.
    """
    cut = name if len(name) <= 200 else f"{name[:183]}…{digest(name.encode('utf-8', 'surrogatepass'))[:16]}"
    return _FORBIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), cut)
