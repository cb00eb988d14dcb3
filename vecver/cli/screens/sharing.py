"""Shows remotes, and what was sent to one or brought from it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import vecver
from vecver.cli.screens import wording
from vecver.cli.terminal.console import COMMAND, FAINT, GOOD, ID, STRONG, WARNING, Screen
from vecver.settings import REPOSITORY

_LISTED = 30  # refs that a terminal shows
_STATES = {  # (the ref was left alone, the command) -> why, and what to do
    ("behind", "push"): "left alone: the remote is ahead; `vecver pull` brings what is new",
    ("behind", "pull"): "left alone: it is ahead of the remote; `vecver push` sends what is new",
    ("deleted", "push"): "left alone: the remote has deleted it; name it to send it again",
    ("deleted", "pull"): "left alone: it was deleted here; name it to bring it again",
}


def show_remotes(screen: Screen, remotes: Sequence[vecver.Remote]) -> None:
    """A line for each remote."""
    width = max((len(remote.name) for remote in remotes), default=0)
    for remote in remotes:
        screen.say((remote.name, STRONG), f"{' ' * (width - len(remote.name))}  {remote.url}")
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
    if left := _STATES.get((ref.state, verb)):
        screen.say((name, STRONG), f"  {left}")
    elif ref.before and ref.state == "moved":
        before = wording.short_id(ref.before, screen.terminal)
        screen.say((name, STRONG), "  ", (before, ID), " → ", (after, ID))
    else:
        screen.say((name, STRONG), "  ", (after, ID), f"  new {ref.kind}")


def show_cloned(screen: Screen, repository: vecver.Repository, folder: str) -> None:
    """What was cloned to where, and how to look into it."""
    names = repository.datasets()
    screen.say("cloned ", (", ".join(names) or "an empty repository", STRONG), f" to {repository.url}")
    if screen.terminal and names:
        there = "" if folder == REPOSITORY else f" --repo {shlex.quote(folder)}"
        screen.say(("Next: ", FAINT), (f"vecver{there} log {shlex.quote(names[0])}", COMMAND))


def show_locked(screen: Screen, lock: vecver.Lock) -> None:
    """A line for each version of a lock file."""
    for name, version in sorted(lock.datasets.items()):
        commit = wording.short_id(version.commit, screen.terminal)
        screen.say((f"{name}@{version.revision}", STRONG), "  ", (commit, ID))
