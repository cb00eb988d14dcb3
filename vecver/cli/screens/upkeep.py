"""Shows what optimize, gc, check, snapshot and replay did: sentences on a terminal, stable lines for programs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import timedelta

import vecver
from vecver.cli.screens import wording
from vecver.cli.terminal.console import BAD, COMMAND, FAINT, GOOD, HEAD, ID, STRONG, WARNING, Screen

_DIGEST = re.compile(r"([0-9a-f]{12})[0-9a-f]{20,}")
_LISTED = 10  # units of gc, or problems of a kind, that a terminal shows


# -- check ----------------------------------------------------------------------------------------------


def show_check(screen: Screen, check: vecver.Check, rows: bool) -> None:
    """Show the outcome of a check; `rows`: it counted rows in Milvus, not objects."""
    for repair in check.repaired:
        screen.say(("repaired ", GOOD), f"{repair.object}: {repair.problem}")
    for problem in check.problems:
        screen.say(("✗ " if screen.terminal else "", BAD), f"{problem.object}: {problem.problem}")
    things = "rows" if rows else "objects"
    if not screen.terminal:
        state = "clean" if check.clean else f"{len(check.problems)} problems"
        screen.say(f"{state}: {check.objects} {things}, {check.bytes} bytes")
        return
    read = f"{check.objects:,} {things}, {wording.size(check.bytes)}"
    if check.clean:
        proved = "Milvus holds exactly what was published" if rows else "every digest and every root is right"
        screen.say(("✓ Clean: ", GOOD), f"{proved}. ", (f"Read {read}.", FAINT))
        return
    screen.say((f"{wording.count(len(check.problems), 'problem')}", BAD), f" in {read}.")
    if not rows and not check.repaired:
        screen.say(("Next: ", FAINT), ("vecver check --repair", COMMAND), (" makes again what is derived.", FAINT))


# -- gc and optimize --------------------------------------------------------------------------------------


def show_garbage(screen: Screen, garbage: vecver.Garbage, applied: bool, grace: timedelta, again: str) -> None:
    """What gc deleted or would delete; `again`: the command that does it."""
    if not screen.terminal:
        _garbage_lines(screen, garbage, applied)
        return
    if not (garbage.forgotten or garbage.delete or garbage.wait):
        need = "needs" if garbage.kept_versions == 1 else "need"
        screen.say(f"Nothing to do: {_versions(garbage.kept_versions)} {need} all that is stored.")
        return
    kept = f"{_versions(garbage.kept_versions)} kept"
    if garbage.forgotten:
        kept += f", {_versions(len(garbage.forgotten))} {'' if applied else 'would be '}forgotten"
    screen.say((f"{kept}.", STRONG))
    if garbage.forgotten:
        ids = ", ".join(wording.short_id(commit) for commit in garbage.forgotten[:_LISTED])
        rest = len(garbage.forgotten) - _LISTED
        screen.say("  forgotten  ", (ids, ID), f" and {rest:,} more" if rest > 0 else "")
    _units(screen, "deleted" if applied else "to delete", garbage.delete)
    _units(screen, "waiting", garbage.wait)
    if garbage.wait:
        screen.say((f"What waits goes once it has waited {wording.span(grace)}: run gc again then.", FAINT))
    if garbage.forgotten:
        explanation = "Rows that only forgotten versions had, in segments that others need, go with "
        screen.say((explanation, FAINT), ("vecver optimize DATASET", COMMAND), (".", FAINT))
    if not applied:
        screen.say("Nothing was changed. ", ("Next: ", FAINT), (again, COMMAND))


def show_optimized(screen: Screen, dataset: str, done: vecver.Optimized) -> None:
    """Show what optimize did."""
    if not done.changed:
        same = "every version lies on the fewest segments"
        screen.say(f"Nothing to do: {same}." if screen.terminal else f"nothing to do: {same}")
        return
    before, after = done.segments
    if not screen.terminal:
        summary = f"{done.versions} versions re-laid: {done.rows} rows, {before} segments -> {after}"
        lists = f", {done.postings} lists of words" if done.postings else ""
        screen.say(f"{summary}; {done.indexes} indexes{lists} built")
        screen.say("next: `vecver gc --apply` deletes the old segments once they have waited")
        return
    lists = f" and {wording.count(done.postings, 'list')} of words" if done.postings else ""
    if not done.versions:
        screen.say((f"{_indexes(done.indexes)}{lists} built; ", STRONG), "no row was copied, no version changed.")
        return
    summary = (
        f"{_versions(done.versions)} of {dataset} now lie on {wording.count(after, 'segment')} instead of {before:,}"
    )
    screen.say((summary, STRONG), f": {wording.count(done.rows, 'row')} copied, {_indexes(done.indexes)}{lists} built.")
    screen.say("No version changed; the old segments wait.")
    screen.say(("Next: ", FAINT), ("vecver gc --apply", COMMAND), (" deletes them once they have waited.", FAINT))


def _garbage_lines(screen: Screen, garbage: vecver.Garbage, applied: bool) -> None:
    for commit in garbage.forgotten:
        screen.say(f"forget  {commit[:12]}")
    for sign, units in (("delete", garbage.delete), ("wait  ", garbage.wait)):
        for unit, size in units.items():
            screen.say(f"{sign}  {unit}  {size} bytes")
    done = "deleted" if applied else "to delete"
    screen.say(
        f"{garbage.kept_versions} versions kept, {len(garbage.forgotten)} forgotten; "
        f"{sum(garbage.delete.values())} bytes {done}, {sum(garbage.wait.values())} wait for the grace age"
    )
    if garbage.forgotten:
        screen.say("rows that only forgotten versions had, in segments that others need, go with `vecver optimize`")
    if not applied and (garbage.delete or garbage.wait):
        screen.say("nothing was changed; --apply does it, and starts the waiting")


def _units(screen: Screen, title: str, units: Mapping[str, int]) -> None:
    """The largest of these, and how much they are together."""
    if not units:
        return
    screen.say((f"  {title:<9}  ", FAINT), (wording.size(sum(units.values())), STRONG), f" in {len(units):,}:")
    largest = sorted(units.items(), key=lambda unit_size: (-unit_size[1], unit_size[0]))
    for unit, size in largest[:_LISTED]:
        screen.say(f"    {wording.size(size):>9}  ", (_DIGEST.sub(r"\1…", unit), FAINT))
    if len(largest) > _LISTED:
        rest = sum(size for _, size in largest[_LISTED:])
        screen.say(f"    {wording.size(rest):>9}  ", (f"in {len(largest) - _LISTED:,} more", FAINT))


def _versions(number: int) -> str:
    return wording.count(number, "version")


def _indexes(number: int) -> str:
    return wording.count(number, "index", "indexes")


# -- snapshot and replay ------------------------------------------------------------------------------------


def show_export(screen: Screen, made: vecver.Export) -> None:
    """Show an exported version."""
    if not screen.terminal:
        screen.say(f"{made.dataset} {made.commit[:12]} -> {made.path}")
        screen.say(f"  {made.documents} documents, {made.chunks} chunks, index {made.index}, {made.bytes} bytes")
        return
    screen.say("Exported ", (made.dataset, HEAD), " ", (wording.short_id(made.commit), ID), f" to {made.path}.")
    holds = f"{wording.count(made.documents, 'document')}, {wording.count(made.chunks, 'chunk')}"
    screen.say((f"  {holds} · index {made.index} · {wording.size(made.bytes)}", FAINT))
    screen.say(("Next: ", FAINT), (f'vecver search --snapshot {shlex.quote(made.path)} "…"', COMMAND))


def show_replay(screen: Screen, outcome: vecver.Replay) -> None:
    """Show whether an answer equals its receipt."""
    if not screen.terminal:
        screen.say("identical" if outcome.identical else "differs")
        for line in (*outcome.differences, *outcome.notes):
            screen.say(f"  {line}")
        if outcome.recall is not None:
            screen.say(f"  recall of the approximate answer against exact: {outcome.recall:.3f}")
        return
    if outcome.identical:
        screen.say(("✓ Identical: ", GOOD), "the same chunks in the same order, with the same score bits.")
    else:
        screen.say(("✗ The answer differs ", BAD), "from its receipt:")
    for line in outcome.differences:
        screen.say(("  - ", BAD), line)
    for line in outcome.notes:
        screen.say(("  note: ", WARNING), line)
    if outcome.recall is not None:
        screen.say(f"  It found {outcome.recall:.1%} of what an exact search finds.")
