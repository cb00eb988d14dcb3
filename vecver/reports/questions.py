"""Questions as bars: one a question, in a row, each a link to what the page says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vecver.reports.plots import Bar, Frame, Plot, ticks

_WIDTH, _HEIGHT = 1080, 230
_WIDEST = 40.0  # units of a bar
_GAP = 0.2  # of a bar's width
_LONGEST = 160  # characters of a question in a drawing
Json = dict[str, Any]


@dataclass(frozen=True)
class Value:
    """What a bar stands for."""

    value: float
    sign: str  # "better", "worse", "same"; "plain" where nothing is compared
    text: str
    number: int  # of the question in its set


def deltas(title: str, summary: str, bars: Sequence[Value]) -> Plot:
    """Bars up or down from zero, as they stand."""
    drawn = [bar.value for bar in bars]
    return _bars(title, summary, bars, ticks(min(0.0, *drawn), max(0.0, *drawn)), signed=True)


def values(title: str, summary: str, bars: Sequence[Value]) -> Plot:
    """Bars up from zero."""
    most = max(1e-3, *(bar.value for bar in bars))
    return _bars(title, summary, bars, ticks(0.0, most, least=0.0), signed=False)


def text_of(question: Json) -> str:
    """A question on one line; one without a text is its id."""
    text = " ".join((question.get("query") or question["id"]).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def counted(count: int) -> str:
    """`1 question`, `1,200 questions`."""
    return "1 question" if count == 1 else f"{count:,} questions"


def _bars(title: str, summary: str, bars: Sequence[Value], y_values: tuple[float, ...], *, signed: bool) -> Plot:
    frame = Frame(_WIDTH, _HEIGHT, y_values, 0.0, float(len(bars)), left=46, top=10, bottom=12)
    room = min(_WIDEST, (frame.width - frame.left - frame.right) / len(bars))
    base, drawn = frame.y(0.0), []
    for place, bar in enumerate(bars):
        top, bottom = sorted((frame.y(bar.value), base))
        x, width = round(frame.left + place * room, 2), round(room * (1 - _GAP), 2)
        height = round(max(bottom - top, 1.5), 1)  # a value of 0 shows as a line
        drawn.append(Bar(x, width, top, height, bar.sign, bar.text, f"#q-{bar.number}"))
    return replace(frame.plot(title, summary, signed=signed), bars=tuple(drawn), base=base)
