"""Draws measures as SVG text; it measures nothing and writes no file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import vecver

# Okabe & Ito's palette, which people who do not tell red from green can read, darkest first
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_STYLE = (
    "text{font-family:system-ui,'Segoe UI','Helvetica Neue',Arial,sans-serif;font-size:12px;fill:#333}"
    ".title{font-size:16px;font-weight:600;fill:#111}.small{font-size:11px;fill:#666}"
    ".axis{stroke:#999}.grid{stroke:#e6e6e6}.line{fill:none;stroke-width:2}.point{stroke-width:2}"
)
_LEFT, _RIGHT, _TOP, _PANEL, _GAP, _BOTTOM = 78, 24, 92, 190, 44, 110
_STEPS = (1, 2, 2.5, 5, 10)
_LABELS = 30  # at most so many names under the axis
_NAME = 18  # characters of a name that are shown

Measured = Sequence[tuple[str, vecver.Recall]]  # (the version's tags, its measure), oldest first
Value = Callable[[vecver.RecallAt], float]


def recall_chart(dataset: str, measured: Measured) -> str:
    """ann_recall and the median latency over versions, one line a k; hollow points were scanned, not proposed."""
    width = _LEFT + _RIGHT + min(max(560, 36 * len(measured)), 1400)
    height = _TOP + 2 * _PANEL + _GAP + _BOTTOM
    low = min(0.95, math.floor(min(at.ann_recall for _, measure in measured for at in measure.at) * 20) / 20)
    most = max(at.p50_ms for _, measure in measured for at in measure.at)
    recall = _Panel(measured, _TOP, width, _ticks(low, 1.0), "ann_recall@k")
    latency = _Panel(measured, _TOP + _PANEL + _GAP, width, _ticks(0.0, most), "p50 latency, ms")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}">',
            f"<title>{escape(dataset)}: recall and latency by version</title><style>{_STYLE}</style>",
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            f'<text class="title" x="{_LEFT}" y="30">{escape(dataset)}: recall and latency by version</text>',
            f'<text class="small" x="{_LEFT}" y="48">{escape(_about(measured))}</text>',
            *_legend(measured),
            *recall.drawn(lambda at: at.ann_recall),
            *latency.drawn(lambda at: at.p50_ms),
            *latency.names(),
            "</svg>\n",
        ]
    )


class _Panel:
    """One frame of the drawing: where its top is, and how values become places."""

    def __init__(self, measured: Measured, top: int, width: int, ticks: list[float], title: str) -> None:
        self.measured, self.top, self.ticks, self.title = measured, top, ticks, title
        self.right, self.bottom = width - _RIGHT, top + _PANEL

    def x(self, number: int) -> float:
        return _LEFT + (number + 0.5) * (self.right - _LEFT) / len(self.measured)

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return self.bottom - (value - low) / (high - low) * _PANEL

    def drawn(self, value: Value) -> list[str]:
        """The frame and one line a k, the largest k first, so that lines of equal height show as rings."""
        sizes = _sizes(self.measured)
        lines = [text for rank in reversed(range(len(sizes))) for text in self._line(sizes[rank], rank, value)]
        return [*self._frame(), *lines]

    def names(self) -> list[str]:
        """The versions' names under the axis, as many as can be read."""
        step = math.ceil(len(self.measured) / _LABELS)
        elements = []
        for number, (name, _) in enumerate(self.measured):
            if number % step == 0:
                x, y = self.x(number) + 4, self.bottom + 18
                short = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
                turned = f'text-anchor="end" transform="rotate(-40 {x:.1f} {y})"'
                elements.append(f'<text x="{x:.1f}" y="{y}" {turned}>{escape(short)}</text>')
        middle = (_LEFT + self.right) / 2
        title = f'<text x="{middle:.1f}" y="{self.bottom + _BOTTOM - 12}" text-anchor="middle">version (tag)</text>'
        return [*elements, title]

    def _frame(self) -> list[str]:
        elements = []
        for tick in self.ticks:
            y, text = self.y(tick), f"{tick:.10g}"
            elements.append(f'<line class="grid" x1="{_LEFT}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            elements.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
        axes = f"M{_LEFT} {self.top}V{self.bottom}H{self.right}"
        middle = self.top + _PANEL / 2
        turned = f'text-anchor="middle" transform="rotate(-90 20 {middle})"'
        return [
            *elements,
            f'<path class="axis" fill="none" d="{axes}"/>',
            f'<text x="20" y="{middle}" {turned}>{self.title}</text>',
        ]

    def _line(self, k: int, rank: int, value: Value) -> list[str]:
        places = [
            (self.x(number), self.y(value(at)), f"{name}, k = {k}: {value(at):.4g}", at.engine)
            for number, (name, recall) in enumerate(self.measured)
            for at in recall.at
            if at.k == k
        ]
        colour = _colour(rank)
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in places)
        return [
            f'<polyline class="line" stroke="{colour}" points="{path}"/>',
            *(_point(x, y, rank, engine == "exact", title) for x, y, title, engine in places),
        ]


def _legend(measured: Measured) -> list[str]:
    """One entry a k, and what hollow points mean where there are any."""
    elements, x, y = [], _LEFT, 70
    for rank, k in enumerate(_sizes(measured)):
        elements.append(f'<path class="line" stroke="{_colour(rank)}" d="M{x} {y}h24"/>')
        elements.append(_point(x + 12, y, rank, False, ""))
        elements.append(f'<text x="{x + 31}" y="{y + 4}">k = {k}</text>')
        x += 78 + 8 * len(str(k))
    if any(at.engine == "exact" for _, recall in measured for at in recall.at):
        elements.append(f'<circle class="point" cx="{x + 12}" cy="{y}" r="4" fill="#fff" stroke="#666"/>')
        elements.append(f'<text x="{x + 24}" y="{y + 4}">hollow: answered by scan, exact</text>')
    return elements


def _point(x: float, y: float, rank: int, hollow: bool, tooltip: str) -> str:
    colour = _colour(rank)
    title = f"<title>{escape(tooltip)}</title>" if tooltip else ""
    fill = "#fff" if hollow else colour
    radius = 2.5 + 1.25 * min(rank, 3)
    return (
        f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}" stroke="{colour}">{title}</circle>'
    )


def _sizes(measured: Measured) -> list[int]:
    return sorted({at.k for _, recall in measured for at in recall.at})


def _colour(rank: int) -> str:
    return _COLOURS[rank % len(_COLOURS)]


def _about(measured: Measured) -> str:
    """The caption: queries, date and library versions of the newest measure."""
    newest = measured[-1][1]
    queries, here = newest.queries, newest.environment
    origin = "sampled" if queries["source"] == "sample" else "given"
    return (
        f"{queries['count']} {origin} queries a version, one at a time · {newest.time[:10]} · "
        f"vecver {here['vecver']}, FAISS {here['faiss']}, {here['cpus']} CPUs"
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high` or a little more, about five of them."""
    rough = max(high - low, 1e-9) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * multiple for multiple in _STEPS if power * multiple >= rough * (1 - 1e-9))
    count = math.ceil((high - low) / step - 1e-9)
    return [round(low + step * number, 12) for number in range(count + 1)]
