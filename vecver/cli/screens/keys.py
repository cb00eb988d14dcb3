"""Screens of the command `key`: a new key, the list of keys, a revoked key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecver.cli.screens import wording
from vecver.cli.terminal import console
from vecver.cli.terminal.console import COMMAND, FAINT, HEAD, ID, WARNING, Screen

if TYPE_CHECKING:
    from vecver_service.state.key_file import Key


def show_made(screen: Screen, notes: Screen, key: Key, token: str) -> None:
    """Show a new key: its token alone on `screen`, standard output, and what it opens on `notes`."""
    screen.write(f"{token}\n")
    notes.say(f"key {key.id} of {key.name}: {', '.join(key.scopes)}; ", ("keep it, it is not shown again", WARNING))


def show_keys(screen: Screen, keys: Sequence[Key], needed: bool) -> None:
    """Show every key. `needed`: the service answers nobody who has none, because a key was made once."""
    width = max((len(key.name) for key in keys), default=0)
    for key in keys:
        if screen.terminal:
            made = f"made {wording.ago(key.created, console.now())}"
            scopes = ", ".join(key.scopes)
            screen.say((key.id, ID), "  ", (f"{key.name:<{width}}", HEAD), f"  {scopes}", (f"  {made}", FAINT))
        else:
            screen.say(f"{key.id}  {key.created}  {key.name}  {' '.join(key.scopes)}")
    if keys:
        return
    if not screen.terminal:
        screen.say("there are no keys" + (": all were revoked" if needed else "; the service serves this machine only"))
        return
    state = "All were revoked: nobody may enter." if needed else "The service serves this machine only."
    screen.say(f"There are no keys. {state}")
    screen.say(("Make one: ", FAINT), ("vecver key add NAME --scope '*:read'", COMMAND))


def show_revoked(screen: Screen, key: Key) -> None:
    """Show a key that was revoked."""
    if screen.terminal:
        screen.say("Revoked the key ", (key.id, ID), f" of {key.name}; it opens nothing from now on.")
    else:
        screen.say(f"revoked {key.id} of {key.name}")
