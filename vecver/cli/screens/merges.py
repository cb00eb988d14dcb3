"""Shows what a merge brought, or would bring, and the conflicts that wait for an answer."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import vecver
from vecver.cli.screens import wording
from vecver.cli.screens.changes import SIGNS
from vecver.cli.terminal.console import COMMAND, FAINT, HEAD, ID, STRONG, WARNING, Part, Screen

MOST = 20  # documents, or conflicts, for a person; --json has all


def show_merge(screen: Screen, merge: vecver.Merge, revision: str) -> None:
    """The documents that came, changed and went; the conflicts and how they were settled; what to do next."""
    screen.say(*_head(screen, merge, revision))
    if merge.kind == "up_to_date":
        return
    lines = [(change, name) for change in ("added", "changed", "removed") for name in merge.names[change]]
    shown = lines[:MOST] if screen.terminal else lines
    for change, name in shown:
        sign, style = SIGNS[change]
        screen.say((f"  {sign} ", style), name)
    if len(shown) < len(lines):
        screen.say((f"  … and {len(lines) - len(shown):,} more: --json lists them", FAINT))
    if merge.conflicts:
        show_conflicts(screen, [each.to_json() for each in merge.conflicts], merge.branch, revision)
    if merge.unsettled:
        screen.say("Nothing is merged until they are settled: add --ours or --theirs.")
        return
    counts = wording.counted(merge.documents, "added", "changed", "removed") or "no document differs"
    screen.say((counts, STRONG), f" · {wording.count(merge.chunks['live'], 'chunk')}, none embedded")
    if screen.terminal and merge.changed:
        at = shlex.quote(f"{merge.dataset}@{merge.branch}")
        screen.say(("Undo: ", FAINT), (f"vecver rollback {at}", COMMAND))


def show_conflicts(screen: Screen, conflicts: Sequence[Mapping[str, Any]], branch: str, revision: str) -> None:
    """What both sides changed, what each did, and whose holds if that was said."""
    waiting = sum(each["settled"] is None for each in conflicts)
    said = f"{wording.count(waiting, 'conflict')} to settle" if waiting else "All conflicts are settled"
    screen.say((f"{said}:", WARNING if waiting else STRONG))
    shown = conflicts[:MOST] if screen.terminal else conflicts
    for each in shown:
        whose = {"ours": branch, "theirs": revision, None: ""}[each["settled"]]
        kept: list[Part] = [("  kept: ", FAINT), whose] if whose else []
        name = each["name"] if each["kind"] == "document" else _setting(each)
        does = f"  {branch}: {each['ours']} · {revision}: {each['theirs']}"
        screen.say(("  ! ", WARNING), name, (does, FAINT), *kept)
    if len(shown) < len(conflicts):
        screen.say((f"  … and {len(conflicts) - len(shown):,} more: --json lists them", FAINT))


def _setting(conflict: Mapping[str, Any]) -> str:
    kinds = {"keywords": "language of keyword search", "hybrid": "weight of hybrid search"}
    return kinds.get(conflict["kind"], f"the source {conflict['name']}")


def _head(screen: Screen, merge: vecver.Merge, revision: str) -> list[Part]:
    here = f"{merge.dataset}@{merge.branch}"
    ours, theirs, now = (wording.short_id(id, screen.terminal) for id in (merge.ours, merge.theirs, merge.commit))
    if merge.kind == "up_to_date":
        return [(here, HEAD), f" holds all of {revision} (", (theirs, ID), ") already."]
    if merge.kind == "fast_forward":
        verb = " would move forward: " if merge.dry_run else " moved forward: "
        return [(here, HEAD), verb, (ours, ID), " → ", (theirs, ID)]
    if merge.dry_run:
        verb = "cannot get" if merge.unsettled else "would get"
        return [(here, HEAD), " (", (ours, ID), f") {verb} what {revision} (", (theirs, ID), ") changed:"]
    return [(here, HEAD), "  ", (now, ID), f"  merged {revision} (", (theirs, ID), ")"]
