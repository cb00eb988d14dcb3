"""The command that brings the changes of one version into a branch: merge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

import vecver
from vecver.cli import common
from vecver.cli.commands.editing import BRANCH, DRY_RUN, MESSAGE
from vecver.cli.screens.merges import show_conflicts, show_merge
from vecver.cli.terminal import console
from vecver.cli.terminal.output import as_json, echo_json, progress
from vecver.errors import ConflictError, NotFoundError
from vecver.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

_ALL = ""  # what an option means without a DOC; no document has this id


def _side(name: str, whose: str) -> Callable[[F], F]:
    text = f"In a conflict about DOC keep what {whose} has; without DOC, in all that are not named. May be repeated."
    return click.option(f"--{name}", metavar="[DOC]", is_flag=False, flag_value=_ALL, multiple=True, help=text)


def _check_order(repository: vecver.Repository, dataset: str, revision: str) -> None:
    """Raises NotFoundError where no dataset has the first name, and one has the second."""
    known = repository.datasets()
    if dataset in known or revision not in known:
        return
    raise NotFoundError(
        f"there is no dataset {dataset!r}, but {revision!r} is one",
        code="dataset_not_found",
        hint=f"the dataset comes first: `vecver merge {revision} {dataset}`",
        dataset=dataset,
    )


@click.command()
@click.argument("dataset")
@click.argument("revision", metavar="REV")
@BRANCH
@MESSAGE
@_side("ours", "the branch")
@_side("theirs", "REV")
@click.option(
    "--settings", "side", type=click.Choice(["ours", "theirs"]), help="Whose settings to keep if both changed one."
)
@click.option(
    "--no-ff",
    "fast_forward",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Make a commit also where the branch could move.",
)
@DRY_RUN
@as_json
@click.pass_obj
def merge(
    settings: Settings,
    /,
    dataset: str,
    revision: str,
    ours: tuple[str, ...],
    theirs: tuple[str, ...],
    side: Literal["ours", "theirs"] | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Bring what REV changed since it parted from the branch into the branch, document by document.

    Nothing is embedded. A document that both changed is a conflict: nothing is merged until --ours or --theirs settles
    it, and the exit code is 4. Where only REV went on, the branch moves there without a commit.
    """
    repository = common.opened(settings)
    _check_order(repository, dataset, revision)
    docs = repository.dataset(dataset)
    mine: bool | tuple[str, ...] = True if _ALL in ours else ours
    other: bool | tuple[str, ...] = True if _ALL in theirs else theirs
    try:
        with progress(dataset) as advance:
            outcome = docs.merge(revision, ours=mine, theirs=other, settings=side, progress=advance, **how)
    except ConflictError as error:
        if error.code == "merge_conflicts":
            if as_json:
                echo_json({"code": error.code, "conflicts": error.context["conflicts"]})
            else:
                show_conflicts(console.out(), error.context["conflicts"], how["branch"], revision)
        raise
    if as_json:
        echo_json(outcome.to_dict())
    else:
        with console.pages() as screen:
            show_merge(screen, outcome, revision)
        for note in outcome.notes:
            console.err().say(f"note: {note}")


COMMANDS = (merge,)
