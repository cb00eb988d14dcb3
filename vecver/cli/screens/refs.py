"""Shows branches, tags and aliases: their commits and their moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import vecver
from vecver.cli.screens import wording
from vecver.cli.screens.history import STYLES
from vecver.cli.screens.measures import expected_parts
from vecver.cli.terminal import console
from vecver.cli.terminal.console import COMMAND, FAINT, ID, Part, Screen

_PLURALS = {"branch": "branches", "tag": "tags", "alias": "aliases"}


def show_refs(
    screen: Screen, kind: str, refs: Mapping[str, str], load: Callable[[str], vecver.Commit], empty: str
) -> None:
    """Every ref of a kind with its version; `empty` is the command that makes one."""
    if not screen.terminal:
        for name, id in refs.items():
            screen.say(f"{wording.short_id(id, False)}  {name}")
        return
    if not refs:
        screen.say(f"There are no {_PLURALS[kind]} yet. ", ("Make one: ", FAINT), (empty, COMMAND))
        return
    width = min(max(len(name) for name in refs), screen.width // 2)
    now = console.now()
    for name, id in refs.items():
        commit = load(id)
        line: list[Part] = [(name.ljust(width), STYLES[kind]), "  ", (wording.short_id(id), ID)]
        line += [(f"  {wording.ago(commit.time, now):<12}  ", FAINT), wording.folded(commit.message)]
        screen.draw(console.text(*line, wrap=False))


def show_moves(screen: Screen, moves: Sequence[vecver.Move]) -> None:
    """Every move of a ref, newest first."""
    width = max((len(move.reason) for move in moves), default=0)
    for move in moves:
        if not screen.terminal:
            screen.say(_plain(move))
            continue
        author = f" by {move.author}" if move.author else ""
        when = f"{wording.ago(move.time, console.now())}{author}"
        screen.say(*_from_to(move, screen), f"  {move.reason:<{width}}", (f"  {when}", FAINT))


def show_move(screen: Screen, move: vecver.Move, expected: vecver.ExpectedRecall | None = None) -> None:
    """What a command did to a ref, and how to undo it or go on; of an alias also the recall to expect."""
    if not screen.terminal:
        screen.say(_plain(move))
        return
    name: Part = (move.name, STYLES[move.kind])
    if move.after is None:
        screen.say(f"Deleted the {move.kind} ", name, ", which stood at ", *_at(move.before, screen), ".")
        screen.say(("The version stays: ", FAINT), (_again(move), COMMAND), (" makes it again.", FAINT))
        return
    if move.before is None:
        if move.kind == "tag":
            screen.say("Tagged ", *_at(move.after, screen), " as ", name, ", for ever.")
        elif move.kind == "branch":
            screen.say("Began the branch ", name, " at ", *_at(move.after, screen), ".")
        else:
            screen.say(name, " now stands at ", *_at(move.after, screen), ".")
    elif move.before == move.after:
        screen.say(name, " stood at ", *_at(move.after, screen), " already.")
    else:
        screen.say(name, ": ", *_from_to(move, screen))
    if expected is not None:
        screen.say("Expected recall  ", *expected_parts(expected, move.dataset))
    for line in _next(move):
        screen.say(*line)


def _next(move: vecver.Move) -> list[list[Part]]:
    at = f"{move.dataset}@{move.name}"
    if move.kind == "alias" and move.before not in (None, move.after):
        if move.reason == "rollback":
            return [[("Forward again: ", FAINT), (_forward(move), COMMAND)]]
        return [[("Undo: ", FAINT), (f"vecver rollback {at}", COMMAND)]]
    if move.kind == "branch" and move.reason == "rollback":
        return [[("The history is kept: ", FAINT), (f"vecver log {at}", COMMAND)]]
    if move.kind == "branch":
        return [[("Next: ", FAINT), (f"vecver ingest {move.dataset} SOURCE --branch {move.name}", COMMAND)]]
    return [[("Search it: ", FAINT), (f'vecver search {at} "…"', COMMAND)]]


def _forward(move: vecver.Move) -> str:
    return f"vecver promote {move.dataset} {move.name} {wording.short_id(move.before or '')}"


def _again(move: vecver.Move) -> str:
    verb = "promote" if move.kind == "alias" else move.kind
    return f"vecver {verb} {move.dataset} {move.name} {wording.short_id(move.before or '')}"


def _from_to(move: vecver.Move, screen: Screen) -> list[Part]:
    return [*_at(move.before, screen), " → ", *_at(move.after, screen)]


def _at(commit: str | None, screen: Screen) -> list[Part]:
    return [(wording.short_id(commit, screen.terminal), ID) if commit else ("nothing", FAINT)]


def _plain(move: vecver.Move) -> str:
    before, after = (commit[:12] if commit else "nothing" for commit in (move.before, move.after))
    return f"{move.kind} {move.name}: {before} -> {after}  {move.time[:19]}  {move.author or '-'}  {move.reason}"
