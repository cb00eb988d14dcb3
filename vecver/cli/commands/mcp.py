"""The command `mcp`: serve the repository to assistants that speak the Model Context Protocol."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

import click

import vecver
from vecver.cli import common
from vecver.cli.commands.serving import check_free
from vecver.cli.terminal.interrupts import guard_server
from vecver.errors import InvalidInputError
from vecver.settings import Settings

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command()
@click.option("--dataset", metavar="DATASET", help="The dataset of calls that name none.")
@click.option("--at", "revision", metavar="REV", default="main", help="Their version. Default: main.")
@click.option("--http", "port", type=click.IntRange(0, 65535), metavar="PORT", help="Serve http://HOST:PORT/mcp.")
@click.option("--host", default="127.0.0.1", help="The address to listen on with --http. Default: 127.0.0.1.")
@click.option("--no-auth", is_flag=True, help="Let other machines in, without a key.")
@click.option("--key", envvar="VECVER_KEY", metavar="KEY", help="For a service as --repo. Default: VECVER_KEY.")
@click.pass_obj
def mcp(
    settings: Settings,
    /,
    dataset: str | None,
    revision: str,
    port: int | None,
    host: str,
    no_auth: bool,
    key: str | None,
) -> None:
    """Serve the repository to assistants (Model Context Protocol) on standard input and output, or over HTTP.

    The tools search, read and compare versions; they change nothing. Calls that name no version are
    answered from DATASET@REV. The repository may be a folder or the URL of a service (`vecver serve`).
    """
    if port is not None and host not in _LOOPBACK and not no_auth:
        raise InvalidInputError(
            f"{host} is reached by others, and this server asks for no key",
            code="no_keys",
            hint="leave --host out and put a proxy that authenticates in front, or open it to everyone with --no-auth",
        )
    from vecver.integrations.mcp import create_server, run_http, run_stdio

    with _opened(settings, key) as repository:
        server = create_server(repository, dataset=dataset, at=revision)
        if port is None:
            guard_server()  # a thread waits for input that may never come, and would hold up the end
            run_stdio(server)
            return
        check_free(host, port)
        if sys.stderr.isatty():
            click.echo(f"serving {repository.url} at http://{host}:{port}/mcp", err=True)
        run_http(server, host=host, port=port)


def _opened(settings: Settings, key: str | None) -> AbstractContextManager[vecver.Repository | vecver.RemoteRepository]:
    """The repository in a folder, or behind a service."""
    if settings.repo.startswith(("http://", "https://")):
        return vecver.connect(settings.repo, key)
    return common.opened(settings)


COMMANDS = (mcp,)
