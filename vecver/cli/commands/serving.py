"""The commands `serve` and `key`: run the HTTP service, and make, list and revoke its API keys."""

from __future__ import annotations

import atexit
import errno
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vecver.cli import common
from vecver.cli.screens.keys import show_keys, show_made, show_revoked
from vecver.cli.terminal import console
from vecver.cli.terminal.output import as_json, echo_json
from vecver.errors import ConflictError, InvalidInputError, missing_package
from vecver.settings import Settings

if TYPE_CHECKING:
    from vecver_service.settings import ServiceSettings
    from vecver_service.state.key_file import Key
    from vecver_service.state.keys import Keys

# uvicorn kills a worker that has not answered it for this long, by default after 5 s. Parsing a record of 95 MB holds
# the interpreter for longer: each of the job's three attempts killed a worker, with the requests that it served.
_HEALTHCHECK_SECONDS = 60


@click.command()
@click.option("--host", help="The address to listen on. Default: VECVER_HOST, or 127.0.0.1.")
@click.option("--port", type=int, help="Default: VECVER_PORT, or 8000.")
@click.option(
    "--workers", type=int, metavar="N", help="Processes over the one repository. Default: VECVER_WORKERS, or 1."
)
@click.option("--no-auth", is_flag=True, help="Every caller may do everything, without a key.")
@click.pass_obj
def serve(settings: Settings, /, host: str | None, port: int | None, workers: int | None, no_auth: bool) -> None:
    """Serve the repository over HTTP; /docs on the running service describes the API.

    Without API keys (`vecver key add`) it serves this machine only. `vecver.settings` and `vecver_service.settings`
    list the VECVER_* variables.
    """
    check_installed()
    import uvicorn
    from vecver_service.http.connections import TimeoutProtocol
    from vecver_service.opening import open_keys
    from vecver_service.settings import load_settings

    options = {"host": host, "port": port, "workers": workers, "no_auth": no_auth or None}
    options = {name: value for name, value in options.items() if value is not None}
    if needs_folder(load_settings(**options), settings.repo):
        os.environ["VECVER_STATE"] = _passing_folder()
    service = load_settings(**options)
    _check_closed(service.host, no_auth=service.no_auth, keys=open_keys(service, settings.repo))
    check_free(service.host, service.port)
    state = service.state_folder(settings.repo)
    prepare_state(service, settings)
    if service.workers > 1:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = _emptied(state / "metrics")
    for name, value in {"repo": settings.repo, **options}.items():  # workers read the environment
        os.environ[f"VECVER_{name.upper()}"] = str(value)
    if sys.stderr.isatty():
        url = f"http://{service.host}:{service.port}"
        click.echo(f"serving {settings.repo} at {url}; /docs there describes the API", err=True)
    uvicorn.run(
        "vecver_service.app:serve",
        factory=True,
        host=service.host,
        port=service.port,
        workers=service.workers,
        http=TimeoutProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=service.shutdown_timeout,
        timeout_worker_healthcheck=_HEALTHCHECK_SECONDS,
    )


@click.group()
def key() -> None:
    """The API keys of the service."""


@key.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    metavar="DATASET:SCOPE",
    help="read, write or admin of a dataset; * is every dataset. May be repeated.",
)
@as_json
@click.pass_obj
def add(settings: Settings, /, name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a key for NAME, who signs what is written with it. It is shown this once, and stored nowhere."""
    key, token = _keys(settings).add(name, list(scopes))
    if as_json:
        echo_json({**_json(key), "key": token})
    else:
        show_made(console.out(), console.err(), key, token)


@key.command("list")
@as_json
@click.pass_obj
def list_keys(settings: Settings, /, as_json: bool) -> None:
    """List the keys."""
    store = _keys(settings)
    keys = store.all()
    if as_json:
        echo_json([_json(key) for key in keys])
    else:
        show_keys(console.out(), keys, store.needed())


@key.command()
@click.argument("id")
@as_json
@click.pass_obj
def revoke(settings: Settings, /, id: str, as_json: bool) -> None:
    """Take the key ID away, at once."""
    key = _keys(settings).revoke(id)
    if as_json:
        echo_json(_json(key))
    else:
        show_revoked(console.out(), key)


def _keys(settings: Settings) -> Keys:
    check_installed()
    from vecver_service.opening import open_keys
    from vecver_service.settings import load_settings

    return open_keys(load_settings(), settings.repo)


def prepare_state(service: ServiceSettings, settings: Settings) -> None:
    """Open the repository, and make or move the state folder, or the tables of a shared database.

    What fails is reported once, not by every worker.
    """
    from vecver_service.opening import open_database, reserve_state
    from vecver_service.state.files import reaching

    database = open_database(service, settings.repo)
    reserve_state(database, common.opened(settings))
    with reaching(database.folder):
        database.prepare()
    database.close()


def needs_folder(service: ServiceSettings, repo: str) -> bool:
    """Is there no folder for files of this process, while all that lasts is elsewhere?"""
    return bool(service.database) and not service.state and "://" in repo


def _passing_folder() -> str:
    """A folder that goes when this process ends: uploads that arrive, measurements."""
    folder = tempfile.mkdtemp(prefix="vecver-service-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _emptied(folder: Path) -> str:
    """A folder without the measurements of an earlier run."""
    from vecver_service.state.files import reaching

    with reaching(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return str(folder)


def _json(key: Key) -> dict[str, object]:
    return {"id": key.id, "name": key.name, "scopes": list(key.scopes), "created": key.created}


def _check_closed(host: str, *, no_auth: bool, keys: Keys) -> None:
    """Raises InvalidInputError (other machines reach the service, and there is no key), IntegrityError."""
    if not keys.all() and not no_auth and host not in ("127.0.0.1", "::1", "localhost"):
        raise InvalidInputError(
            f"{host} is reached by others, and there is no API key",
            code="no_keys",
            hint="`vecver key add NAME --scope '*:admin'` makes one; --no-auth opens it to everyone",
        )


def check_free(host: str, port: int) -> None:
    """Raises ConflictError or InvalidInputError if this process cannot listen there. uvicorn would only log it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except PermissionError as error:
        raise InvalidInputError(
            f"this user may not listen on port {port}", code="port_denied", hint="choose one above 1023: --port 8000"
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConflictError(
                f"something listens on {host}:{port} already",
                code="port_in_use",
                hint=f"stop it if it is an older `vecver serve`, or choose another port: --port {port % 65535 + 1}",
            ) from error
        raise InvalidInputError(
            f"this machine cannot listen on {host}: {error.strerror or error}",
            code="invalid_host",
            hint="leave --host out for this machine alone, or use --host 0.0.0.0 for all of its addresses",
        ) from error


def check_installed() -> None:
    """Raises InvalidInputError where a package of the service is missing."""
    try:
        import fastapi  # noqa: F401
        import jinja2  # noqa: F401
        import pydantic_settings  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise missing_package("the service needs", error.name, "vecver[service]") from error


COMMANDS = (serve, key)
