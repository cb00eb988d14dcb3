"""What tidying, checking, exporting and replaying did: sentences on a terminal, stable lines for programs."""

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


def show_check(screen: Screen, found: vecver.Check, rows: bool) -> None:
    """The outcome of a check; `rows`: of what is published in Milvus."""
    for one in found.repaired:
        screen.say(("repaired ", GOOD), f"{one.object}: {one.problem}")
    for problem in found.problems:
        screen.say(("✗ " if screen.terminal else "", BAD), f"{problem.object}: {problem.problem}")
    things = "rows" if rows else "objects"
    if not screen.terminal:
        state = "clean" if found.clean else f"{len(found.problems)} problems"
        screen.say(f"{state}: {found.objects} {things}, {found.bytes} bytes")
        return
    read = f"{found.objects:,} {things}, {wording.size(found.bytes)}"
    if found.clean:
        proved = "Milvus holds exactly what was published" if rows else "every digest and every root is right"
        screen.say(("✓ Clean: ", GOOD), f"{proved}. ", (f"Read {read}.", FAINT))
        return
    screen.say((f"{wording.count(len(found.problems), 'problem')}", BAD), f" in {read}.")
    if not rows and not found.repaired:
        screen.say(("Next: ", FAINT), ("vecver check --repair", COMMAND), (" makes again what is derived.", FAINT))


# -- gc and optimize --------------------------------------------------------------------------------------


def show_garbage(screen: Screen, found: vecver.Garbage, applied: bool, grace: timedelta, again: str) -> None:
    """What gc deleted or would delete; `again`: the command that does it."""
    if not screen.terminal:
        _garbage_lines(screen, found, applied)
        return
    if not (found.forgotten or found.delete or found.wait):
        need = "needs" if found.kept_versions == 1 else "need"
        screen.say(f"Nothing to do: {_versions(found.kept_versions)} {need} all that is stored.")
        return
    kept = f"{_versions(found.kept_versions)} kept"
    if found.forgotten:
        kept += f", {_versions(len(found.forgotten))} {'' if applied else 'would be '}forgotten"
    screen.say((f"{kept}.", STRONG))
    if found.forgotten:
        ids = ", ".join(wording.short_id(commit) for commit in found.forgotten[:_LISTED])
        rest = len(found.forgotten) - _LISTED
        screen.say("  forgotten  ", (ids, ID), f" and {rest:,} more" if rest > 0 else "")
    _units(screen, "deleted" if applied else "to delete", found.delete)
    _units(screen, "waiting", found.wait)
    if found.wait:
        screen.say((f"What waits goes once it has waited {wording.span(grace)}: run gc again then.", FAINT))
    if found.forgotten:
        told = "Rows that only forgotten versions had, in segments that others need, go with "
        screen.say((told, FAINT), ("vecver optimize DATASET", COMMAND), (".", FAINT))
    if not applied:
        screen.say("Nothing was changed. ", ("Next: ", FAINT), (again, COMMAND))


def show_optimized(screen: Screen, dataset: str, done: vecver.Optimized) -> None:
    """What optimize did."""
    if not done.changed:
        same = "every version lies on the fewest segments"
        screen.say(f"Nothing to do: {same}." if screen.terminal else f"nothing to do: {same}")
        return
    before, after = done.segments
    if not screen.terminal:
        laid = f"{done.versions} versions re-laid: {done.rows} rows, {before} segments -> {after}"
        screen.say(f"{laid}; {done.indexes} indexes built")
        screen.say("next: `vecver gc --apply` deletes the old segments once they have waited")
        return
    laid = f"{_versions(done.versions)} of {dataset} now lie on {wording.count(after, 'segment')} instead of {before:,}"
    screen.say((laid, STRONG), f": {wording.count(done.rows, 'row')} copied, {_indexes(done.indexes)} built.")
    screen.say("No version changed; the old segments wait.")
    screen.say(("Next: ", FAINT), ("vecver gc --apply", COMMAND), (" deletes them once they have waited.", FAINT))


def _garbage_lines(screen: Screen, found: vecver.Garbage, applied: bool) -> None:
    for commit in found.forgotten:
        screen.say(f"forget  {commit[:12]}")
    for sign, units in (("delete", found.delete), ("wait  ", found.wait)):
        for unit, size in units.items():
            screen.say(f"{sign}  {unit}  {size} bytes")
    done = "deleted" if applied else "to delete"
    screen.say(
        f"{found.kept_versions} versions kept, {len(found.forgotten)} forgotten; {sum(found.delete.values())} bytes "
        f"{done}, {sum(found.wait.values())} wait for the grace age"
    )
    if found.forgotten:
        screen.say("rows that only forgotten versions had, in segments that others need, go with `vecver optimize`")
    if not applied and (found.delete or found.wait):
        screen.say("nothing was changed; --apply does it, and starts the waiting")


def _units(screen: Screen, title: str, units: Mapping[str, int]) -> None:
    """The largest of these, and how much they are together."""
    if not units:
        return
    screen.say((f"  {title:<9}  ", FAINT), (wording.size(sum(units.values())), STRONG), f" in {len(units):,}:")
    largest = sorted(units.items(), key=lambda one: (-one[1], one[0]))
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
    """A version that was exported."""
    if not screen.terminal:
        screen.say(f"{made.dataset} {made.commit[:12]} -> {made.path}")
        screen.say(f"  {made.documents} documents, {made.chunks} chunks, index {made.index}, {made.bytes} bytes")
        return
    screen.say("Exported ", (made.dataset, HEAD), " ", (wording.short_id(made.commit), ID), f" to {made.path}.")
    holds = f"{wording.count(made.documents, 'document')}, {wording.count(made.chunks, 'chunk')}"
    screen.say((f"  {holds} · index {made.index} · {wording.size(made.bytes)}", FAINT))
    screen.say(("Next: ", FAINT), (f'vecver search --snapshot {shlex.quote(made.path)} "…"', COMMAND))


def show_replay(screen: Screen, outcome: vecver.Replay) -> None:
    """Whether an answer is the same as its receipt says."""
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
