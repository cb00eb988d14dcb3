"""Where a chunk stands in its document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Position:
    """Where a chunk stands in its document, where known; the first fields are those of `Chunk`."""

    headings: tuple[str, ...] = ()
    header: str = ""
    page: int | None = None
    sheet: str | None = None
    line: int | None = None
    part: str = ""  # metadata of the parts of the document (mails of a mailbox) that it holds, as JSON


NOWHERE: Final = Position()  # an unknown position
