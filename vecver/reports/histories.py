"""Histories as drawings: each measure over the versions that led to a revision, and recall against latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vecver.reports.pages import drawn, rendered
from vecver.reports.plots import Dot, Frame, Mark, Plot, Tick, polyline, spread, ticks

Json = dict[str, Any]
Special = Mapping[str, tuple[str, str]]  # commit -> ("from" or "to", what the version is called)
Levels = Mapping[str, Json]  # measure -> {"value", "name"} of the version that it is compared with
ANN_RECALL = "ann_recall"
_WIDTH, _HEIGHT = 360, 208
_RANK = {"alias": 0, "branch": 1, "tag": 2}  # whose name is written where not all have room
_TITLE = 76  # units above the drawings of a file
_GAP = 20  # units between the drawings of a file


def history_page(history: Json) -> str:
    """A page of the measures of versions: `MeasureHistory.to_json()`. Raises InvalidInputError without jinja2."""
    return rendered("history.html", {"history": history}, history=history, parts=parts_of(history))


def history_svg(history: Json) -> str:
    """The same drawings as one SVG file."""
    plots = over_versions(history)
    columns = min(len(plots), 2) or 1
    cells = [(number % columns, number // columns, plot) for number, plot in enumerate(plots)]
    wide, high = _WIDTH + _GAP, _HEIGHT + 2 * _GAP
    placed = [(column * wide + _GAP, row * high + _TITLE, plot) for column, row, plot in cells]
    width = columns * wide + _GAP
    height = _TITLE + ((len(plots) + columns - 1) // columns) * high
    return drawn("history.svg", history=history, placed=placed, width=max(width, 400), height=max(height, 110))


def parts_of(history: Json, special: Special | None = None, levels: Levels | None = None) -> Json:
    """What the templates show of a history. `special`: what it is about; `levels`: what that is compared with."""
    names, versions = history["measures"], history["versions"]
    known = {name for each in versions for name in each["measures"]}
    return {
        "plots": over_versions(history, special, levels),
        "latencies": against_latency(history, special),
        "missing": [name for name in names if name not in known and not name.startswith(ANN_RECALL)],
        "measured": sum(bool(each["measures"]) for each in versions),
    }


def has_recall(version: Json) -> bool:
    """Was the index of a version measured?"""
    return any(name.startswith(ANN_RECALL) for name in version["measures"])


def over_versions(history: Json, special: Special | None = None, levels: Levels | None = None) -> list[Plot]:
    """A drawing for each measure that some version has: the versions from the oldest to the newest, with intervals."""
    shown = [each for each in reversed(history["versions"]) if each["measures"]]
    measured = [name for name in history["measures"] if any(name in each["measures"] for each in shown)]
    recalls = [name for name in measured if name.startswith(ANN_RECALL)]
    if len(recalls) > 1:  # drawn against latency too: one of them says how it went
        best = f"{ANN_RECALL}@10" if f"{ANN_RECALL}@10" in recalls else recalls[0]
        measured = [name for name in measured if name == best or name not in recalls]
    return [_over_versions(name, shown, special or {}, (levels or {}).get(name)) for name in measured]


def _over_versions(name: str, versions: Sequence[Json], special: Special, level: Json | None) -> Plot:
    places = [(at, each, each["measures"][name]) for at, each in enumerate(versions) if name in each["measures"]]
    known = [at.get(end) for _, _, at in places for end in ("mean", "low", "high")]
    values = [value for value in [*known, level and level["value"]] if value is not None]
    most = 1.0 if max(values) <= 1 else None
    frame = Frame(_WIDTH, _HEIGHT, ticks(min(values), max(values), least=0.0, most=most), 0, len(versions) - 1)
    plot = frame.plot(name, _said(name, places))
    upper = [(frame.x(number), frame.y(at["high"])) for number, _, at in places if "high" in at]
    lower = [(frame.x(number), frame.y(at["low"])) for number, _, at in places if "low" in at]
    return replace(
        plot,
        band=polyline([*upper, *reversed(lower)]) if len(upper) > 1 else "",
        line=polyline((frame.x(number), frame.y(at["mean"])) for number, _, at in places),
        dots=tuple(_dot(frame, number, version, name, special) for number, version, _ in places),
        marks=_marks(frame, versions),
        x_ticks=_dates(frame, versions),
        level=Tick(frame.y(level["value"]), level["name"]) if level else None,
    )


def _dot(frame: Frame, number: int, version: Json, name: str, special: Special) -> Dot:
    at = version["measures"][name]
    is_alias = any(ref["kind"] == "alias" for ref in version["refs"])
    kind, _ = special.get(version["commit"], ("alias" if is_alias else "", ""))
    interval = f" (95% {at['low']:.3f} to {at['high']:.3f})" if "low" in at else ""
    text = f"{named(version)} · {name} {at['mean']:.3f}{interval}"
    is_hollow = name.startswith(ANN_RECALL) and at["engine"] == "exact"
    href = f"#v-{version['commit'][:12]}"
    return Dot(frame.x(number), frame.y(at["mean"]), text, href, kind, is_hollow)


def named(version: Json) -> str:
    """`3aedbf1 July handbook (prod, v1)`."""
    refs = ", ".join(ref["name"] for ref in version["refs"])
    message = " ".join(version["message"].split())
    short = message if len(message) <= 60 else f"{message[:59]}…"
    return " ".join(part for part in (version["commit"][:7], short, f"({refs})" if refs else "") if part)


def _marks(frame: Frame, versions: Sequence[Json]) -> tuple[Mark, ...]:
    marks = []
    for number, version in enumerate(versions):
        refs = sorted(version["refs"], key=lambda ref: _RANK[ref["kind"]])
        if refs:
            marks.append(Mark(frame.x(number), _short(", ".join(ref["name"] for ref in refs)), refs[0]["kind"]))
    newest_last = sorted(reversed(marks), key=lambda mark: _RANK[mark.kind])
    return tuple(sorted(spread(newest_last, frame), key=lambda mark: mark.x))


def _dates(frame: Frame, versions: Sequence[Json]) -> tuple[Tick, ...]:
    days = [(frame.x(number), each["time"][:10]) for number, each in enumerate(versions)]
    first, last = days[0], days[-1]
    return (Tick(*first), Tick(*last)) if last[0] - first[0] > 140 else (Tick(*last),)


def _said(name: str, places: Sequence[tuple[int, Json, Json]]) -> str:
    first, last = places[0][2]["mean"], places[-1][2]["mean"]
    versions = "1 version" if len(places) == 1 else f"{len(places):,} versions"
    return f"{name} of {versions}, from {first:.3f} in the oldest to {last:.3f} in the newest"


# -- recall against latency --------------------------------------------------------------------------------


def against_latency(history: Json, special: Special | None = None) -> list[Plot]:
    """A drawing for each k: a version is a point, its ann_recall over the median time of a query."""
    names = [name for name in history["measures"] if name.startswith(f"{ANN_RECALL}@")]
    plots = []
    for name in names:
        versions = [each for each in history["versions"] if "p50_ms" in each["measures"].get(name, {})]
        if versions:
            plots.append(_against_latency(name, versions, special or {}))
    return plots


def _against_latency(name: str, versions: Sequence[Json], special: Special) -> Plot:
    points = [(each, each["measures"][name]) for each in versions]
    slowest = max(at["p50_ms"] for _, at in points)
    x_values = ticks(0.0, slowest, least=0.0)
    y_values = ticks(min(0.99, *(at["mean"] for _, at in points)), 1.0, least=0.0, most=1.0)
    frame = Frame(_WIDTH, _HEIGHT, y_values, 0.0, x_values[-1], bottom=42)
    said = f"{name} of {len(points):,} versions over the median time of a query, up to {slowest:.3g} ms"
    dots, labelled = [], 0
    for each, at in points:
        dot = _latency_dot(frame, each, at, name, special)
        dots.append(replace(dot, label_y=dot.y + 16 + 12 * labelled if dot.label else 0.0))
        labelled += bool(dot.label)
    x_ticks = tuple(Tick(frame.x(value), f"{value:.6g}") for value in x_values)
    return replace(frame.plot(name, said), dots=tuple(dots), x_ticks=x_ticks, x_title="median time of a query, ms")


def _latency_dot(frame: Frame, version: Json, at: Json, name: str, special: Special) -> Dot:
    aliases = [ref["name"] for ref in version["refs"] if ref["kind"] == "alias"]
    kind, label = special.get(version["commit"], ("alias", aliases[0]) if aliases else ("", ""))
    text = f"{named(version)} · {name} {at['mean']:.3f} in {at['p50_ms']:.2f} ms · {at['engine']}"
    x, href = frame.x(at["p50_ms"]), f"#v-{version['commit'][:12]}"
    anchor = "end" if x > frame.width - 50 else "start" if x < frame.left + 30 else "middle"
    return Dot(x, frame.y(at["mean"]), text, href, kind, at["engine"] == "exact", _short(label), anchor)


def _short(text: str, length: int = 22) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
