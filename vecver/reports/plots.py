"""Plots: puts values at places of a drawing. Knows neither colours nor markup, which are the templates'.

Decisions
1. Drawings are SVG, made here and written by templates, not by a plotting library. What was tried: uPlot draws on a
   canvas, so a page says nothing where scripts are blocked (Jenkins shows artefacts so), a screen reader and a keyboard
   find no point, and a print is a bitmap in the screen's colours; files of SVG would need a second drawing besides.
   pygal (LGPL) has no bands and svg.py 1.10 writes texts unescaped. Placing values is what is left, 150 lines.
2. Several small drawings of 360 units stand beside each other instead of one wide one: at a phone's width one of them
   fills the screen, and its letters stay as large as those of the text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

_LETTER = 6.2  # units that a letter of 11 units takes, on the average
_STEPS = (1, 2, 2.5, 5, 10)
_LEAST = 0.05  # what an axis shows at least: smaller differences would look large


@dataclass(frozen=True)
class Tick:
    """A labelled place of an axis, in units of the drawing."""

    at: float
    text: str


@dataclass(frozen=True)
class Dot:
    """A value. `kind`: "" or what is special about it: "from", "to", "alias"; `is_hollow`: found by an exact scan."""

    x: float
    y: float
    text: str  # what it is, in words
    href: str = ""
    kind: str = ""
    is_hollow: bool = False
    label: str = ""  # written below it, at `label_y`
    anchor: str = "middle"  # of the label
    label_y: float = 0.0


@dataclass(frozen=True)
class Mark:
    """A version that a ref names: a line from top to bottom, with the name above where there is room."""

    x: float
    text: str
    kind: str  # "alias", "tag", "branch"
    anchor: str = "middle"


@dataclass(frozen=True)
class Bar:
    """A question: a bar from the base line, which links to its row."""

    x: float
    width: float
    y: float  # its upper end
    height: float
    sign: str  # "better", "worse", "same"
    text: str
    href: str


@dataclass(frozen=True)
class Plot:
    """A drawing: a frame with ticks, and what is in it. All in units, from the upper left corner."""

    title: str
    summary: str  # what it shows, for who does not see it
    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...] = ()
    x_title: str = ""
    band: str = ""  # corners of the interval, "x,y x,y …"
    line: str = ""
    dots: tuple[Dot, ...] = ()
    marks: tuple[Mark, ...] = ()
    bars: tuple[Bar, ...] = ()
    base: float | None = None  # the height of the base line of bars
    level: Tick | None = None  # a value to compare with, drawn across


@dataclass(frozen=True)
class Frame:
    """Where the axes lie, and what they stand for: x from `low_x` to `high_x`, y between its outer ticks."""

    width: int
    height: int
    y_values: tuple[float, ...]
    low_x: float
    high_x: float
    left: float = 38
    right: float = 12
    top: float = 26
    bottom: float = 30

    def x(self, value: float) -> float:
        """The place of a value."""
        span = self.high_x - self.low_x
        share = 0.5 if span == 0 else (value - self.low_x) / span
        return round(self.left + share * (self.width - self.left - self.right), 1)

    def y(self, value: float) -> float:
        """The height of a value."""
        low, high = self.y_values[0], self.y_values[-1]
        room = self.height - self.top - self.bottom
        return round(self.height - self.bottom - (value - low) / (high - low) * room, 1)

    def plot(self, title: str, summary: str, *, signed: bool = False) -> Plot:
        """The empty drawing."""
        ticks = tuple(Tick(self.y(value), _number(value, signed)) for value in self.y_values)
        edges = self.left, self.width - self.right, self.top, self.height - self.bottom
        return Plot(title, summary, self.width, self.height, *edges, ticks)


def ticks(low: float, high: float, *, least: float | None = None, most: float | None = None) -> tuple[float, ...]:
    """About four round numbers around `low` to `high`, two at least; not below `least` nor above `most`."""
    if high - low < _LEAST:
        low, high = max(high - _LEAST, -math.inf if least is None else least), max(high, (least or 0.0) + _LEAST)
    rough = (high - low) / 3
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * multiple for multiple in _STEPS if power * multiple >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if first == last:
        first, last = first - 1, last + 1
    values = [round(step * number, 12) for number in range(first, last + 1)]
    kept = [each for each in values if (least is None or each >= least) and (most is None or each <= most)]
    if len(kept) < 2:
        kept = [round(kept[0] - step, 12), *kept] if most is not None and kept[0] >= most else [*kept, kept[0] + step]
    return tuple(kept)


def polyline(points: Iterable[tuple[float, float]]) -> str:
    """Places as SVG writes them."""
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def spread(marks: Sequence[Mark], frame: Frame, taken: Sequence[Mark] = ()) -> tuple[Mark, ...]:
    """Marks whose names do not run into each other; one without room keeps its line and loses its name.

    The first ones have the first choice. Names at the edges are moved inside.
    """
    spans = [_span(each, frame) for each in taken]
    placed = []
    for mark in marks:
        low, high, anchor = _span(mark, frame)
        is_free = all(high + 4 < other_low or low - 4 > other_high for other_low, other_high, _ in spans)
        placed.append(replace(mark, text=mark.text if is_free else "", anchor=anchor))
        spans += [(low, high, anchor)] if is_free else []
    return tuple(placed)


def _span(mark: Mark, frame: Frame) -> tuple[float, float, str]:
    width = len(mark.text) * _LETTER
    if mark.x + width / 2 > frame.width - 2:
        return mark.x - width, mark.x, "end"
    if mark.x - width / 2 < 2:
        return mark.x, mark.x + width, "start"
    return mark.x - width / 2, mark.x + width / 2, "middle"


def _number(value: float, signed: bool) -> str:
    text = f"{value:+.6g}" if signed and value else f"{value:.6g}"
    return text.replace("-", "\u2212")
