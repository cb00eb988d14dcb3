"""The live rows of a part, from its mask of little-endian bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vecver.index.scoring import Rows
    from vecver.model import Part


def live_rows(part: Part) -> Rows:
    """The numbers of the live rows, `(live,)` int64 ascending."""
    if part.live is None:
        return np.arange(len(part.vectors))
    return np.flatnonzero(np.unpackbits(part.live, count=len(part.vectors), bitorder="little"))
