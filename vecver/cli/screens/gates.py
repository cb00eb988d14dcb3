"""Shows the gates of a promotion: what each demands, what the version is worth, and which questions lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vecver.cli.screens import wording
from vecver.cli.terminal import console
from vecver.cli.terminal.console import BAD, FAINT, GOOD, STRONG, Part, Screen

if TYPE_CHECKING:
    import vecver
    from vecver.model import Json


def show_gates(screen: Screen, gating: Json) -> None:
    """Every gate with its value; after a failure the questions that lost most; an override and what it passed over."""
    if gating.get("override"):
        screen.say(("override: ", console.WARNING), wording.folded(gating["override"]))
    for text in gating.get("overridden", ()):
        screen.say(("  not looked at: ", FAINT), text)
    width = max((len(gate["gate"]) for gate in gating.get("gates", ())), default=0)
    for gate in gating.get("gates", ()):
        mark: Part = ("✓", GOOD) if gate["passed"] else ("✗", BAD)
        bound = f" against {gate['bound']:.4f}" if gate.get("against") else ""
        if screen.terminal:
            parts: list[Part] = [mark, f" {gate['gate']:<{width}}  ", (f"{gate['value']:.4f}", STRONG)]
            screen.draw(console.text(*parts, (_interval(gate) + bound, FAINT), wrap=False))
        else:
            state = "passed" if gate["passed"] else "failed"
            screen.say(f"{state}  {gate['gate']}  {gate['value']:.6f}{bound}")
    for loss in gating.get("worse", ()):
        change = f"  {loss['measure']} {loss['from']:.3f} → {loss['to']:.3f}"
        screen.say(("  worse: ", FAINT), wording.folded(loss["query"] or loss["id"]), (change, FAINT))


def show_policy(screen: Screen, dataset: str, alias: str, policy: vecver.Policy | None) -> None:
    """The gates that are fastened to an alias."""
    if policy is None:
        command = f"vecver policy {dataset} {alias} --gate EXPR --questions NAME"
        if screen.terminal:
            screen.say(f"{alias} has no policy. ", ("Make one: ", FAINT), (command, console.COMMAND))
        return
    for gate in policy.gates:
        screen.say(gate)
    by = f" by {policy.author}" if policy.author else ""
    measured = f"by the questions {policy.questions}" if policy.questions else "by a sample"
    exact = ", exact" if policy.exact else ""
    screen.say((f"measured {measured} ({policy.engine}{exact}); set {policy.time[:16].replace('T', ' ')}{by}", FAINT))


def _interval(gate: Json) -> str:
    if gate.get("low") is None:
        return ""
    if gate.get("against"):
        return f"  change {gate['low']:+.3f} … {gate['high']:+.3f}"
    return f"  {gate['low']:.3f} … {gate['high']:.3f}"
