"""The command `ui`: opens the web page of a repository, on this machine, for the one who asks."""

from __future__ import annotations

import secrets
import socket
import threading

import click

from vecver.cli import common
from vecver.cli.commands.serving import check_free, check_installed, prepare_state
from vecver.settings import Settings


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: a free one.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.pass_obj
def ui(settings: Settings, /, port: int, no_browser: bool) -> None:
    """Open the web page of the repository in the browser; Ctrl-C ends it.

    The address has a token that lets one visitor in, once: whoever opens it first may do everything here. Only this
    machine is served. `vecver serve` has the same page, for others, who sign in with their API keys.
    """
    check_installed()
    import uvicorn
    from vecver_service.app import create_app
    from vecver_service.http.connections import TimeoutProtocol
    from vecver_service.settings import load_settings

    service = load_settings(host="127.0.0.1", port=port)
    check_free(service.host, service.port)
    state = service.state_folder(settings.repo)
    prepare_state(state, service.keys_file(settings.repo), settings)
    token = secrets.token_urlsafe(24)
    app = create_app(common.opened(settings), service, token=token)
    with socket.create_server(("127.0.0.1", port)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/sign-in?token={token}"
        click.echo(address)
        click.echo("The address works once. Ctrl-C ends the page.", err=True)
        if not no_browser:
            threading.Timer(0.5, click.launch, [address]).start()
        config = uvicorn.Config(app, http=TimeoutProtocol, log_config=None, access_log=False, server_header=False)
        uvicorn.Server(config).run([listening])


COMMANDS = (ui,)
