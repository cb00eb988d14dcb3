"""The command `ui`: opens the web page of a repository, on this machine, for the one who asks.

Decisions
1. The browser is given a file that leads to the address, as Jupyter does. Every user of the machine may read the
   command line of a browser that starts: with the token in it, whoever was faster would be let in. The file can be read
   by its owner alone, and goes when the page ends.
"""

from __future__ import annotations

import html
import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click

from vecver.cli import common
from vecver.cli.commands.serving import check_free, check_installed, prepare_state
from vecver.settings import Settings

_LEADING = """<!doctype html><meta charset="utf-8"><title>vecver</title><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<p><a href="{address}">Open vecver</a></p>
"""


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
    prepare_state(service, settings)
    token = secrets.token_urlsafe(24)
    app = create_app(common.opened(settings), service, token=token)
    with socket.create_server(("127.0.0.1", port)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/sign-in?token={token}"
        click.echo(address)
        click.echo("The address works once. Ctrl-C ends the page.", err=True)
        config = uvicorn.Config(app, http=TimeoutProtocol, log_config=None, access_log=False, server_header=False)
        with nullcontext() if no_browser else _in_browser(address, state):
            uvicorn.Server(config).run([listening])


@contextmanager
def _in_browser(address: str, folder: Path) -> Iterator[None]:
    """Open an address soon, by a file that leads there, which lasts as long as the block."""
    handle, name = tempfile.mkstemp(".html", "vecver-ui-", folder)  # of mode 0600
    file = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(_LEADING.format(address=html.escape(address)))
        threading.Timer(0.5, click.launch, [file.as_uri()]).start()
        yield
    finally:
        file.unlink(missing_ok=True)


COMMANDS = (ui,)
