"""Shows remotes, and what was sent to one or brought from it."""

from __future__ import annotations

from collections.abc import Sequence

import vecver
from vecver.cli.screens import wording
from vecver.cli.terminal.console import FAINT, GOOD, ID, STRONG, WARNING, Screen

_LISTED = 30  # refs that a terminal shows
_STATES = {"behind": "left alone: it is behind", "deleted": "left alone: it was deleted there"}


def show_remotes(screen: Screen, remotes: Sequence[vecver.Remote]) -> None:
    """A line for each remote."""
    for remote in remotes:
        screen.say((remote.name, STRONG), f"  {remote.url}")
    if not remotes and screen.terminal:
        screen.say("There is no remote. ", ("`vecver remote add origin URL` names one.", FAINT))


def show_transferred(screen: Screen, done: vecver.Transferred, verb: str) -> None:
    """The refs that were moved or left alone, and how much was sent."""
    shown = [ref for ref in done.refs if ref.state != "current"]
    for ref in shown[:_LISTED] if screen.terminal else shown:
        _ref(screen, done, ref, verb)
    if screen.terminal and len(shown) > _LISTED:
        screen.say((f"and {len(shown) - _LISTED} more", FAINT))
    for note in done.notes:
        screen.say(("note: ", WARNING), note)
    sent = f"{wording.count(done.objects, 'object')}, {wording.size(done.bytes)}"
    if not done.objects and not done.changed:
        same = "everything there is here" if verb in ("pull", "fetch") else "everything here is there"
        screen.say(("✓ ", GOOD) if screen.terminal else "", f"up to date with {done.remote}: {same}")
        return
    screen.say(f"{'sent' if verb == 'push' else 'received'} {sent}")


def _ref(screen: Screen, done: vecver.Transferred, ref: vecver.SharedRef, verb: str) -> None:
    name = f"{ref.dataset}@{f'{done.remote}/' if verb == 'fetch' else ''}{ref.name}"
    after = wording.short_id(ref.after or "", screen.terminal)
    if ref.state in _STATES:
        screen.say((name, STRONG), f"  {_STATES[ref.state]}")
    elif ref.before and ref.state == "moved":
        before = wording.short_id(ref.before, screen.terminal)
        screen.say((name, STRONG), "  ", (before, ID), " → ", (after, ID))
    else:
        screen.say((name, STRONG), "  ", (after, ID), f"  new {ref.kind}")
