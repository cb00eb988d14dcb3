"""Commands that share versions with other places: remote, push, pull, fetch, clone, lock, sync."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

import vecver
from vecver.cli import common
from vecver.cli.screens import wording
from vecver.cli.screens.sharing import show_cloned, show_locked, show_remotes, show_transferred
from vecver.cli.terminal import console
from vecver.cli.terminal.output import as_json, echo_json, progress
from vecver.settings import REPOSITORY, Settings

WANTED = click.argument("wanted", nargs=-1, metavar="[DATASET[@REF]]...")
REMOTE = click.option("--remote", default="origin", show_default=True, metavar="NAME", help="The other place.")
INDEXES = click.option(
    "--indexes/--no-indexes", default=True, help="Search indexes travel too, or are made again.  [default: travel]"
)
FILE = click.option("--file", default="vecver.lock", show_default=True, metavar="FILE", help="The lock file.")
RESTORE = click.option(
    "--restore",
    is_flag=True,
    help="Look at every object, and copy those that were lost; of what gc let go, only what a named ref is at.",
)


@click.group()
def remote() -> None:
    """Name, list and forget other places of this repository."""


@remote.command("list")
@as_json
@click.pass_obj
def list_remotes(settings: Settings, /, as_json: bool) -> None:
    """List the remotes and where they are."""
    known = common.opened(settings).remotes()
    if as_json:
        echo_json({"remotes": [each.to_json() for each in known]})
    else:
        show_remotes(console.out(), known)


@remote.command()
@click.argument("name")
@click.argument("url")
@as_json
@click.pass_obj
def add(settings: Settings, /, name: str, url: str, as_json: bool) -> None:
    """Give the place at URL a name.

    URL is a folder, or the address of a store. The place may be empty: `vecver push` fills it. From a service, as
    http://HOST:PORT, `vecver fetch` and `vecver pull` bring what the key in VECVER_KEY may read.
    """
    added = common.opened(settings).add_remote(name, url)
    if as_json:
        echo_json(added.to_json())
    else:
        console.out().say((added.name, console.STRONG), f" is {added.url}")


@remote.command()
@click.argument("name")
@as_json
@click.pass_obj
def remove(settings: Settings, /, name: str, as_json: bool) -> None:
    """Forget the remote NAME and where its refs stood. Nothing is deleted there."""
    common.opened(settings).remove_remote(name)
    if as_json:
        echo_json({"removed": name})
    else:
        console.out().say("forgot ", (name, console.STRONG), "; nothing was deleted there")


@click.command()
@WANTED
@REMOTE
@INDEXES
@RESTORE
@as_json
@click.pass_obj
def push(
    settings: Settings, /, wanted: Sequence[str], remote: str, indexes: bool, restore: bool, as_json: bool
) -> None:
    """Send versions to a remote, and move its branches forward; by default all branches and tags of all datasets.

    An alias moves only if it is named: `vecver push handbook@prod`. A branch that has gone another way there is
    refused, and then nothing is moved. Only what is missing there is sent; the same command goes on after a break.
    """
    repository = common.opened(settings)
    with progress(remote) as advance:
        how: dict[str, Any] = {"remote": remote, "indexes": indexes, "restore": restore}
        done = repository.push(*wanted, **how, progress=advance)
    _show(done, "push", as_json)


@click.command()
@WANTED
@REMOTE
@INDEXES
@as_json
@click.pass_obj
def pull(settings: Settings, /, wanted: Sequence[str], remote: str, indexes: bool, as_json: bool) -> None:
    """Fetch, then move the branches and aliases here forward, and make the refs that are new.

    A branch that was moved on both sides is refused: `vecver merge DATASET origin/BRANCH` brings both together.
    """
    repository = common.opened(settings)
    with progress(remote) as advance:
        done = repository.pull(*wanted, remote=remote, indexes=indexes, progress=advance)
    _show(done, "pull", as_json)


@click.command()
@WANTED
@REMOTE
@INDEXES
@RESTORE
@as_json
@click.pass_obj
def fetch(
    settings: Settings, /, wanted: Sequence[str], remote: str, indexes: bool, restore: bool, as_json: bool
) -> None:
    """Bring the versions of a remote here. No ref here moves; `handbook@origin/main` names where its branch stands."""
    repository = common.opened(settings)
    with progress(remote) as advance:
        how: dict[str, Any] = {"remote": remote, "indexes": indexes, "restore": restore}
        done = repository.fetch(*wanted, **how, progress=advance)
    _show(done, "fetch", as_json)


@click.command()
@click.argument("url")
@click.argument("folder", required=False)
@click.option("--at", default="", metavar="DATASET@REV", help="Only this dataset, and the rows of this version.")
@click.option("--metadata-only", is_flag=True, help="No rows: those of a version come when they are needed.")
@INDEXES
@as_json
@click.pass_obj
def clone(
    settings: Settings, /, url: str, folder: str | None, at: str, metadata_only: bool, indexes: bool, as_json: bool
) -> None:
    """Copy the repository at URL to FOLDER (default: --repo, VECVER_REPO, or .vecver here), with its whole history.

    URL is a folder, the address of a store, or a service: of that, all that the key in VECVER_KEY may read. The copy
    has the same id, so that receipts replay there, and the remote `origin`. After a break, the same command goes on
    where it stopped.
    """
    place = folder or (settings.repo if settings.named else REPOSITORY)
    with progress(url) as advance:
        how: dict[str, Any] = {"at": at, "metadata_only": metadata_only, "indexes": indexes}
        how["remote_key"] = settings.key
        made = vecver.clone(url, place, author=settings.author, **how, progress=advance)
    if as_json:
        echo_json({"url": made.url, "id": made.id, "datasets": made.datasets()})
    else:
        show_cloned(console.out(), made, str(place))


@click.command()
@click.argument("versions", nargs=-1, metavar="[DATASET@REV]...")
@FILE
@click.option("--remote", metavar="NAME", help="Where the versions are.  [default: origin, else this repository]")
@click.option("--check/--no-check", default=True, help="Ask the remote whether it has them.  [default: check]")
@as_json
@click.pass_obj
def lock(
    settings: Settings, /, versions: Sequence[str], file: str, remote: str | None, check: bool, as_json: bool
) -> None:
    """Write into vecver.lock which versions an application needs; keep that file in its Git repository.

    Without DATASET@REV the versions of the file are locked again, at where their revisions stand now.
    """
    written = common.opened(settings).lock(*versions, file=file, remote=remote, check=check)
    if as_json:
        echo_json(written.to_json())
        return
    show_locked(console.out(), written)
    console.out().say(f"wrote {file}")


@click.command()
@FILE
@as_json
@click.pass_obj
def sync(settings: Settings, /, file: str, as_json: bool) -> None:
    """Fetch exactly the versions that vecver.lock names, and prove that their rows have the roots in the file.

    They come into --repo, VECVER_REPO, or the .vecver beside the file or above it, which is made if there is none.
    """
    place = settings.repo if settings.named else None
    with progress(file) as advance:
        how: dict[str, Any] = {"author": settings.author, "remote_key": settings.key}
        done = vecver.sync(file, repository=place, **how, progress=advance)
    if as_json:
        echo_json(done.to_json())
        return
    show_locked(console.out(), done.lock)
    fetched = f"fetched {wording.size(done.bytes)}" if done.objects else "nothing was fetched"
    console.out().say(f"available in {done.url}; {fetched}")


def _show(done: vecver.Transferred, verb: str, as_json: bool) -> None:
    if as_json:
        echo_json(done.to_json())
    else:
        show_transferred(console.out(), done, verb)


COMMANDS = (remote, push, pull, fetch, clone, lock, sync)
