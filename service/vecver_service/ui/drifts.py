"""What moved between two versions, kept in memory: versions do not change, and comparing large ones takes time."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import vecver
from vecver.errors import IntegrityError, NotFoundError

KEPT = 128  # comparisons, each of up to 150 kB of examples
_kept: OrderedDict[tuple[str, str, str], vecver.Drift] = OrderedDict()


@dataclass(frozen=True)
class Drifted:
    """A comparison of two versions, as a page shows it."""

    title: str  # which version it is compared with
    before: str  # commit
    drift: vecver.Drift | None  # None: `why` says why there is none
    why: str = ""


def between(docs: vecver.Dataset, title: str, before: str, after: str) -> Drifted:
    """What moved from one commit to another; where that cannot be said, why: gc let rows go, or some are damaged."""
    try:
        return Drifted(title, before, kept(docs, before, after) or _compare(docs, before, after))
    except (IntegrityError, NotFoundError) as error:
        return Drifted(title, before, None, error.message)


def kept(docs: vecver.Dataset, before: str, after: str) -> vecver.Drift | None:
    """A comparison that was made before; None if it was not."""
    return _kept.get((docs.name, before, after))


def _compare(docs: vecver.Dataset, before: str, after: str) -> vecver.Drift:
    drift = _kept[docs.name, before, after] = docs.drift(before, after)
    while len(_kept) > KEPT:
        _kept.popitem(last=False)
    return drift
