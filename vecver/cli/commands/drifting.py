"""The command `drift`."""

from __future__ import annotations

import click

from vecver.cli import common, webhooks
from vecver.cli.screens.drift import show_drift
from vecver.cli.terminal import console
from vecver.cli.terminal.output import as_json, echo_json
from vecver.settings import Settings

MOVED = 11  # exit code


@click.command()
@click.argument("dataset")
@click.argument("before", metavar="FROM", default="prod")
@click.argument("after", metavar="TO", default="main")
@click.option("--webhook", metavar="URL", help="Post the JSON of --json there too, whether something moved or not.")
@click.option("--all", "every", is_flag=True, help="Show the statistics that stayed, too.")
@as_json
@click.pass_obj
@click.pass_context
def drift(
    context: click.Context,
    settings: Settings,
    /,
    dataset: str,
    before: str,
    after: str,
    webhook: str | None,
    every: bool,
    as_json: bool,
) -> None:
    """Say what moved from revision FROM to TO beyond chance, and show chunks. Exits 11 if something did.

    Compared are counts, lengths, languages, how texts end, repeated texts, the vectors' norms and where they lie, and
    their space. If nothing moved, the exit code is 0; if the webhook does not answer, 7.
    """
    if webhook is not None:
        webhooks.check_webhook(webhook)
    docs = common.opened(settings).dataset(dataset)
    drifted = docs.drift(before, after)
    if as_json:
        echo_json(drifted.to_json())
    else:
        with console.pages() as screen:
            show_drift(screen, drifted, (before, after), every=every)
    if webhook is not None:
        webhooks.post(webhook, drifted.to_json())
    context.exit(MOVED if drifted.drifted else 0)


COMMANDS = (drift,)
