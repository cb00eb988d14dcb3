"""Comparisons as pages: is the later version better, what the questions gained and lost, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vecver.reports.histories import has_recall, parts_of
from vecver.reports.pages import is_better, rendered
from vecver.reports.plots import Plot
from vecver.reports.questions import Value, counted, deltas, text_of

Json = dict[str, Any]
_SURE = 0.05  # p below which a difference is called one
_MOST = 300  # bars of a drawing


def comparison_page(comparison: Json, history: Json | None = None, names: Sequence[str] | None = None) -> str:
    """A page of `Comparison.to_json()`, with the drawings of `MeasureHistory.to_json()` where it is given.

    `names`: what the two versions are called. Raises InvalidInputError without jinja2.
    """
    before, after = comparison["from"], comparison["to"]
    names = tuple(names) if names else (before[:7], after[:7])
    measures = comparison["measures"]
    levels = {name: {"value": each["from"], "name": names[0]} for name, each in measures.items()}
    special = {before: ("from", names[0]), after: ("to", names[1])}
    changed, same = _sorted(comparison)
    versions = {each["commit"]: each for each in (history or {}).get("versions", ())}
    return rendered(
        "comparison.html",
        {"comparison": comparison, "history": history},
        comparison=comparison,
        history=history,
        names=names,
        verdict=_verdict(comparison, names),
        changed=changed,
        same=same,
        deltas=[plot for name in measures if (plot := _deltas(name, changed))],
        versions=versions,
        parts=parts_of(history, special, levels) if history else None,
        unmeasured=_unmeasured(comparison, versions, names),
    )


def _verdict(comparison: Json, names: Sequence[str]) -> Json:
    """The sentence that a reader came for, and its state: "better", "worse" or "same"."""
    if not comparison["measures"]:
        changed = sum(bool(_changes(each)) for each in comparison["per_question"])
        return {
            "state": "same",
            "text": f"{counted(changed)} of {comparison['questions']['count']:,} bring back other documents.",
        }
    states = {name: _state(name, each) for name, each in comparison["measures"].items()}
    better = [name for name, state in states.items() if state == "better"]
    worse = [name for name, state in states.items() if state == "worse"]
    old, new = names
    if better and worse:
        return {"state": "same", "text": f"{new} is better than {old} by {_and(better)}, and worse by {_and(worse)}."}
    if better or worse:
        state = "better" if better else "worse"
        return {"state": state, "text": f"{new} is {state} than {old} by {_and(better or worse)}."}
    same = not any(each["delta"] for each in comparison["measures"].values())
    reason = "all are equal" if same else f"chance alone makes such differences (p ≥ {_SURE})"
    return {"state": "same", "text": f"No measure tells {new} from {old}: {reason}."}


def _state(name: str, delta: Json) -> str:
    return is_better(name, delta["delta"]) if delta["p"] < _SURE else "same"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sorted(comparison: Json) -> tuple[list[Json], list[Json]]:
    """(those with other answers or values, what lost most first; the others), each with its number in the set."""
    changed, same = list[Json](), list[Json]()
    for number, each in enumerate(comparison["per_question"], 1):
        is_changed = _changes(each) or any(at["from"] != at["to"] for at in each["measures"].values())
        (changed if is_changed else same).append({**each, "number": number})
    return sorted(changed, key=lambda each: (_gain(each), each["rbo"], each["number"])), same


def _gain(question: Json) -> float:
    """What it gains by the first measure that tells the two versions apart."""
    for name, at in question["measures"].items():
        if is_better(name, delta := at["to"] - at["from"]) != "same":
            return -delta if name.startswith("Forbidden") else delta
    return 0.0


def _changes(question: Json) -> list[Json]:
    return [change for kind in ("entered", "left", "moved") for change in question[kind]]


def _deltas(name: str, changed: Sequence[Json]) -> Plot | None:
    """The questions whose value of a measure differs, as bars from the most lost to the most gained."""
    bars = [bar for each in changed if name in each["measures"] if (bar := _bar(name, each)).sign != "same"]
    if not bars:
        return None
    bars.sort(key=lambda bar: -bar.value if name.startswith("Forbidden") else bar.value)
    worse = sum(bar.sign == "worse" for bar in bars)
    said = f"{name}: {counted(worse)} worse, {counted(len(bars) - worse)} better"
    if len(bars) > _MOST:
        said += f"; the {len(bars) - _MOST:,} with the smallest differences are not drawn"
        bars = [*bars[: _MOST // 2], *bars[-_MOST // 2 :]]
    return deltas(name, said, bars)


def _bar(name: str, question: Json) -> Value:
    old, new = question["measures"][name]["from"], question["measures"][name]["to"]
    text = f"{text_of(question)} · {name} {old:.3f} → {new:.3f}"
    return Value(new - old, is_better(name, new - old), text, question["number"])


def _unmeasured(comparison: Json, versions: Mapping[str, Json], names: Sequence[str]) -> list[str]:
    """The names of those of the two versions whose index nobody measured."""
    pairs = zip(names, (comparison["from"], comparison["to"]), strict=True)
    return [name for name, commit in pairs if commit in versions and not has_recall(versions[commit])]
