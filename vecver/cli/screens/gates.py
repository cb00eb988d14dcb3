"""Shows the gates of a promotion, what the version is worth, which questions lost, and who approves it."""

from __future__ import annotations

from collections.abc import Sequence
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
    if approval := gating.get("approval"):
        who = f"asked by {approval['asked_by'] or 'somebody'}, approved by {approval['approved_by'] or 'somebody'}"
        screen.say((who, FAINT))
    width = max((len(_named(gate)) for gate in gating.get("gates", ())), default=0)
    for gate in gating.get("gates", ()):
        mark: Part = ("✓", GOOD) if gate["passed"] else ("✗", BAD)
        bound = f" against {gate['bound']:.4f}" if gate.get("against") else ""
        if screen.terminal:
            parts: list[Part] = [mark, f" {_named(gate):<{width}}  ", (f"{gate['value']:.4f}", STRONG)]
            screen.draw(console.text(*parts, (_interval(gate) + bound, FAINT), wrap=False))
        else:
            state = "passed" if gate["passed"] else "failed"
            screen.say(f"{state}  {_named(gate)}  {gate['value']:.6f}{bound}")
    for loss in gating.get("worse", ()):
        change = f"  {loss['measure']} {loss['from']:.3f} → {loss['to']:.3f}"
        screen.say(("  worse: ", FAINT), wording.folded(loss["query"] or loss["id"]), (change, FAINT))


def show_measured(screen: Screen, measured: Json | None) -> None:
    """Of a rollback: what the gates measured of the version that an alias leaves, and of the one that it goes to."""
    if measured is None:
        return
    names = {name for end in ("from", "to") if measured[end] for name in measured[end]["measures"]}
    width = max(map(len, names), default=0)
    for name in sorted(names):
        old, new = ((measured[end] or {"measures": {}})["measures"].get(name) for end in ("from", "to"))
        values = " → ".join("not measured" if value is None else f"{value:.4f}" for value in (old, new))
        screen.say(f"{name:<{width}}  {values}", ("  (by the gates of its promotion)", FAINT))


def show_policy(screen: Screen, dataset: str, alias: str, policy: vecver.Policy | None) -> None:
    """The gates that are fastened to an alias."""
    if policy is None:
        command = f"vecver policy {dataset} {alias} --gate EXPR --questions NAME"
        if screen.terminal:
            screen.say(f"{alias} has no policy. ", ("Make one: ", FAINT), (command, console.COMMAND))
        return
    for gate in policy.gates:
        screen.say(gate)
    if policy.approval:
        screen.say("somebody else must approve: ", (f"vecver approve {dataset} {alias}", console.COMMAND))
    by = f" by {policy.author}" if policy.author else ""
    source = f"by the questions {policy.questions}" if policy.questions else "by a sample"
    exact = ", exact" if policy.exact else ""
    ranked = f", {how}" if (how := wording.ranked_by(policy.how)) else ""
    measured = f"measured {source} ({policy.engine}{exact}{ranked}); " if policy.gates else ""
    screen.say((f"{measured}set {policy.time[:16].replace('T', ' ')}{by}", FAINT))


def show_approvals(screen: Screen, dataset: str, requests: Sequence[vecver.Approval]) -> None:
    """Promotions that wait for an approval, or were decided: the newest of each alias."""
    if not requests and screen.terminal:
        command = f"vecver policy {dataset} ALIAS --approval"
        screen.say("Nothing waits to be approved. ", ("Let an alias wait: ", FAINT), (command, console.COMMAND))
    for request in requests:
        asked = f"asked {request.time[:16].replace('T', ' ')} by {request.author or 'somebody'}"
        screen.say(request.alias, " to ", (request.commit[:12], console.ID), f"  {request.state}  ", (asked, FAINT))
        if request.state == "waiting":
            show_gates(screen, request.gating or {})
            if screen.terminal:
                screen.say(("Approve it: ", FAINT), (f"vecver approve {dataset} {request.alias}", console.COMMAND))
        else:
            why = f": {wording.folded(request.reason)}" if request.reason else ""
            screen.say((f"  {request.state} by {request.decided_by or 'somebody'}{why}", FAINT))


def _named(gate: Json) -> str:
    """A gate as it is written, with its mode if that is not dense."""
    return f"{gate['gate']} ({gate['mode']})" if gate.get("mode") else str(gate["gate"])


def _interval(gate: Json) -> str:
    if gate.get("low") is None:
        return ""
    if gate.get("against"):
        return f"  change {gate['low']:+.3f} … {gate['high']:+.3f}"
    return f"  {gate['low']:.3f} … {gate['high']:.3f}"
