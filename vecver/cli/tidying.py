"""Commands that keep a repository small and fast: optimize, gc."""

from __future__ import annotations

import re
from datetime import timedelta

import click

import vecver
from vecver.cli import common
from vecver.cli.output import as_json, echo_json, progress
from vecver.settings import Settings

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE = re.compile(r"(\d+)([smhdw]?)")


class Age(click.ParamType[timedelta]):
    """`90s`, `12h`, `30d`, `8w`; a bare 0 is no time at all."""

    name = "age"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = _AGE.fullmatch(value)
        if not found or (not found[2] and int(found[1])):
            self.fail(f"{value!r} is no age; write 12h, 30d or 8w", param, ctx)
        try:
            return timedelta(**{_UNITS[found[2] or "s"]: int(found[1])})
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
    elif done.changed:
        click.echo(
            f"{done.versions} versions re-laid: {done.rows} rows, {done.segments[0]} segments -> {done.segments[1]}; "
            f"{done.indexes} indexes built\nnext: `vecver gc --apply` deletes the old segments once they have waited"
        )
    else:
        click.echo("nothing to do: every version lies on the fewest segments")


@click.command()
@click.option("--keep-last", type=click.IntRange(min=1), metavar="N", help="Keep the newest N versions of each branch.")
@click.option("--keep-within", type=Age(), metavar="AGE", help="Keep versions that are no older: 12h, 30d, 8w.")
@click.option("--grace", type=Age(), default=timedelta(days=1), metavar="AGE", help="Delete what waited so long: 1d.")
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
    found = common.opened(settings).gc(keep_last=keep_last, keep_within=keep_within, grace=grace, apply=apply)
    if as_json:
        echo_json({**found.to_json(), "applied": apply})
    else:
        _show(found, apply)


def _show(found: vecver.Garbage, applied: bool) -> None:
    for commit in found.forgotten:
        click.echo(f"forget  {commit[:12]}")
    for sign, units in (("delete", found.delete), ("wait  ", found.wait)):
        for unit, size in units.items():
            click.echo(f"{sign}  {unit}  {size} bytes")
    done = "deleted" if applied else "to delete"
    click.echo(
        f"{found.kept_versions} versions kept, {len(found.forgotten)} forgotten; {sum(found.delete.values())} bytes "
        f"{done}, {sum(found.wait.values())} wait for the grace age"
    )
    if found.forgotten:
        click.echo("rows that only forgotten versions had, in segments that others need, go with `vecver optimize`")
    if not applied and (found.delete or found.wait):
        click.echo("nothing was changed; --apply does it, and starts the waiting")


COMMANDS = (optimize, gc)
