"""Effort: the rules for how far a search through an index looks, for each query. Holds numbers, searches nothing.

Nearness is higher-is-better in every metric: the product with the query divided by the query's length, for l2 minus
the distance. A query first reads a few lists, which shows how near its k-th best row is at least. Then it reads every
list whose centroid is at most a margin less near than that, and takes as many candidates as such a query needs to
include the true rows. A query inside a cluster stops early; a question far from all rows may read every list. Margins
and candidates depend on k and on the nearness of the k-th row; `calibration` measures both for each segment.
"""

from __future__ import annotations

from bisect import bisect, bisect_left
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vecver.model import Json

CLASSES = (10, 40, 160, 640)  # an answer of k rows takes the effort of the first of these that is not below k
_ENOUGH = 4  # times k live rows lie in the lists of the first look


@dataclass(frozen=True)
class Line:
    """A function of nearness: values at some knots, straight lines between, flat beyond."""

    at: tuple[float, ...]  # ascending
    values: tuple[float, ...]

    def __call__(self, near: float) -> float:
        right = bisect(self.at, near)
        if right in (0, len(self.at)):
            return self.values[max(right - 1, 0)]
        left, low, high = right - 1, self.values[right - 1], self.values[right]
        return low + (high - low) * (near - self.at[left]) / (self.at[right] - self.at[left])


@dataclass(frozen=True)
class Reach:
    """What finding the best k takes, measured in one segment for one k."""

    margins: Line  # by the nearness of the k-th row: how much less near a list's centroid may be
    widths: Line  # by the same: candidates to take
    first: Line  # by the nearness of the nearest centroid: lists at least so near belong to the first look
    first_widths: Line  # by the same: candidates that it takes

    def is_beyond(self, kth: float) -> bool:
        """True if the k-th row is farther than that of any query that was measured."""
        return kth < self.margins.at[0] - self.margins.values[0]

    def raised(self, margin: float, width: float) -> Reach:
        """The margins wider by `margin`, and `width` times as many candidates."""
        margins = Line(self.margins.at, tuple(value + margin for value in self.margins.values))
        widths, first_widths = _times(self.widths, width), _times(self.first_widths, width)
        return replace(self, margins=margins, widths=widths, first_widths=first_widths)


@dataclass(frozen=True)
class Effort:
    """What finding the nearest rows takes in one segment, as measured: for 10, 40, 160 and 640 of them."""

    probes: tuple[float, ...]  # lists that a typical query reads
    widths: tuple[int, ...]  # candidates that it takes
    reach: tuple[Reach, ...] = ()

    def probes_for(self, k: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Lists that are read for the nearest `k`: between and beyond the classes on the line in logarithms."""
        x, y = np.log(CLASSES), np.log(self.probes)
        asked = np.log(np.maximum(k, 1.0))
        beyond = np.maximum(asked - x[-1], 0) * max((y[-1] - y[-2]) / (x[-1] - x[-2]), 0.5)
        return np.exp(np.interp(asked, x, y) + beyond)

    def width_for(self, k: int) -> int:
        """Candidates that are taken for the nearest `k`."""
        for size, width in zip(CLASSES, self.widths, strict=True):
            if k <= size:
                return width
        return -(-self.widths[-1] * k // CLASSES[-1])

    def reach_for(self, k: int) -> Reach:
        """What the nearest `k` take."""
        number = next((number for number, size in enumerate(CLASSES) if k <= size), -1)
        reach = self.reach[number]
        return reach if k <= CLASSES[-1] else reach.raised(0.0, k / CLASSES[-1])

    def unlimited(self) -> Self:
        """This effort, but every list is read: for an index without measured margins."""
        every = Line((0.0,), (-np.inf,))
        widths = [Line((0.0,), (float(width),)) for width in self.widths]
        return replace(self, reach=tuple(Reach(Line((0.0,), (np.inf,)), width, every, width) for width in widths))

    def to_json(self) -> Json:
        reach = [
            {name: [list(line.at), list(line.values)] for name, line in vars(reach).items()} for reach in self.reach
        ]
        return {"probes": list(self.probes), "widths": list(self.widths), "reach": reach}

    @classmethod
    def from_json(cls, facts: Json) -> Self:
        """The effort that `to_json` wrote; early versions wrote no `reach`. Raises KeyError, TypeError."""
        reach = [
            Reach(*(Line(*map(tuple, lines[field.name])) for field in fields(Reach)))
            for lines in facts.get("reach", [])
        ]
        return cls(tuple(facts["probes"]), tuple(facts["widths"]), tuple(reach))


def class_of(k: int) -> int:
    """Neighbouring k take one effort, so that the top k is a prefix of the top k + 1 among them."""
    return k if k > CLASSES[-1] else CLASSES[bisect_left(CLASSES, k)]


def first_lists(
    near: npt.NDArray[np.float32], sizes: npt.NDArray[np.int64], least: float, k: int
) -> npt.NDArray[np.int64]:
    """The numbers of the lists at least so near; more of them where those have too few rows to show the k-th.

    `near`: of each list; `sizes`: live rows of each list; `(lists,)` both.
    """
    lists = np.flatnonzero(near >= least)
    count = max(len(lists), 1)
    while sizes[lists].sum() < _ENOUGH * k and count < len(near):
        count = min(2 * count, len(near))
        lists = np.argpartition(near, len(near) - count)[len(near) - count :]
    return lists


def _times(line: Line, factor: float) -> Line:
    return Line(line.at, tuple(value * factor for value in line.values))
