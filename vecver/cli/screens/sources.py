"""Shows how a source differs from a version; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import vecver
from vecver.cli.screens import wording
from vecver.cli.screens.changes import SIGNS
from vecver.cli.screens.measures import expected_parts
from vecver.cli.terminal.console import COMMAND, FAINT, GOOD, STRONG, WARNING, Screen

if TYPE_CHECKING:
    from vecver.model import Coverage

_LISTED = 30  # documents of a kind that a terminal shows
_PARTIAL = 10


def show_status(
    screen: Screen,
    version: str,
    documents: Mapping[str, Sequence[str]],
    partial: Mapping[str, Coverage],
    ingest: str,
    expected: vecver.ExpectedRecall,
) -> None:
    """Documents that were added, changed or removed since `version`; `ingest` is the command that commits them."""
    differing = 0
    for kind, (sign, style) in SIGNS.items():
        names = documents[kind]
        differing += len(names)
        for name in _some(screen, names, _LISTED):
            screen.say((f"{sign} ", style), name)
    for name in _some(screen, documents["failed"], _LISTED):
        screen.say(("! ", WARNING), name, (" (cannot be read; `vecver ingest` says why)", FAINT))
    if not differing:
        up_to_date = f"{version} is up to date"
        screen.say(("✓ ", GOOD), f"{up_to_date}.") if screen.terminal else screen.say(up_to_date)
    for document in list(partial)[: _PARTIAL if screen.terminal else None]:
        screen.say(("% ", WARNING), f"{document} (read in part): ", (" ".join(partial[document].notes), FAINT))
    if not screen.terminal:
        return
    if expected.basis != "exact":
        dataset = version.partition("@")[0]
        screen.say((f"Expected recall of {version}  ", FAINT), *expected_parts(expected, dataset))
    if len(partial) > _PARTIAL:
        command = f"vecver show {version} --coverage"
        screen.say((f"… and {len(partial) - _PARTIAL:,} more read in part: ", FAINT), (command, COMMAND))
    if differing:
        counts = wording.counted({kind: len(documents[kind]) for kind in SIGNS}, *SIGNS, join=", ")
        screen.say()
        screen.say((counts, STRONG), f" since {version}. Nothing was written.")
        screen.say(("Next: ", FAINT), (ingest, COMMAND))


def _some(screen: Screen, names: Sequence[str], most: int) -> Sequence[str]:
    """The first names on a terminal, with how many more there are; all of them for a program."""
    if not screen.terminal or len(names) <= most + 1:
        return names
    return [*names[:most], f"… and {len(names) - most:,} more"]
