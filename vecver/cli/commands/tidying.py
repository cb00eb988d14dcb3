"""Commands that keep a repository small and fast: optimize, gc."""

from __future__ import annotations

import re
from datetime import timedelta

import click

from vecver.cli import common
from vecver.cli.screens.upkeep import show_garbage, show_optimized
from vecver.cli.terminal import console
from vecver.cli.terminal.output import as_json, echo_json, progress
from vecver.settings import Settings

_GRACE = timedelta(days=1)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE = re.compile(r"(\d+)([smhdw]?)")


class Age(click.ParamType[timedelta]):
    """An age such as `90s`, `12h`, `30d`, `8w`, or `0`."""

    name = "age"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = _AGE.fullmatch(value)
        if not match or (not match[2] and int(match[1])):
            self.fail(f"{value!r} is no age; write 12h, 30d or 8w", param, ctx)
        try:
            return timedelta(**{_UNITS[match[2] or "s"]: int(match[1])})
        except OverflowError:
            self.fail(f"{value!r} is longer than time", param, ctx)


@click.command()
@click.argument("dataset")
@as_json
@click.pass_obj
def optimize(settings: Settings, /, dataset: str, as_json: bool) -> None:
    """Re-lay all versions of DATASET on the fewest segments, and mend its indexes. Changes no version."""
    docs = common.opened(settings).dataset(dataset)
    with progress(dataset) as advance:
        done = docs.optimize(progress=advance)
    if as_json:
        echo_json(done.to_json())
    else:
        show_optimized(console.out(), dataset, done)


@click.command()
@click.option("--keep-last", type=click.IntRange(min=1), metavar="N", help="Keep the newest N versions of each branch.")
@click.option("--keep-within", type=Age(), metavar="AGE", help="Keep versions that are no older: 12h, 30d, 8w.")
@click.option(
    "--grace",
    type=Age(),
    default=_GRACE,
    metavar="AGE",
    help="Delete what waited so long: 1d. An ingest that takes longer may have to be repeated.",
)
@click.option("--apply", is_flag=True, help="Do it. Without, only the plan is shown.")
@as_json
@click.pass_obj
def gc(
    settings: Settings,
    /,
    keep_last: int | None,
    keep_within: timedelta | None,
    grace: timedelta,
    apply: bool,
    as_json: bool,
) -> None:
    """Show what no version needs, and with --apply delete it once it has waited for the grace age.

    What is seen for the first time waits for a later run at least, so run it regularly.

    Every version that a ref or its log leads to is kept, unless --keep-last or --keep-within is given: then
    those, what refs stand on, and where they were moved in the last 30 days. Of the others the record stays.
    """
    garbage = common.opened(settings).gc(keep_last=keep_last, keep_within=keep_within, grace=grace, apply=apply)
    if as_json:
        echo_json({**garbage.to_json(), "applied": apply})
        return
    with console.pages() as screen:
        show_garbage(screen, garbage, apply, grace, _applied(keep_last, keep_within, grace))


def _applied(keep_last: int | None, keep_within: timedelta | None, grace: timedelta) -> str:
    """The command that applies the plan."""
    options = [] if keep_last is None else [f"--keep-last {keep_last}"]
    options += [] if keep_within is None else [f"--keep-within {keep_within.total_seconds():.0f}s"]
    options += [] if grace == _GRACE else [f"--grace {grace.total_seconds():.0f}s"]
    return " ".join(["vecver gc", *options, "--apply"])


COMMANDS = (optimize, gc)
