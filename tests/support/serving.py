"""A service on a port of this machine, as `vecver serve` runs it: a real uvicorn with the service's own protocol."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ended(client: Any, id: str) -> dict[str, Any]:
    """A job, once it has ended."""
    from vecver_service.state.jobs import FINAL

    until = time.monotonic() + 240
    while time.monotonic() < until:
        job: dict[str, Any] = client.get(f"/v1/jobs/{id}").json()
        if job["state"] in FINAL:
            return job
        time.sleep(0.05)
    raise AssertionError(f"job {id} did not end: {job}")


@contextmanager
def running(app: Any, **config: Any) -> Iterator[str]:
    """The URL of an application, until the block is left."""
    import uvicorn
    from vecver_service.http.connections import TimeoutProtocol

    quiet: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False}
    how = {"http": TimeoutProtocol, "timeout_graceful_shutdown": 5, **quiet, **config}
    with socket.create_server(("127.0.0.1", 0)) as port:
        server = uvicorn.Server(uvicorn.Config(app, **how))
        thread = threading.Thread(target=server.run, args=([port],), daemon=True)
        ready = threading.Event()
        started = server.startup

        async def startup(*args: Any, **named: Any) -> None:
            await started(*args, **named)
            ready.set()

        server.startup = startup  # type: ignore[method-assign]
        thread.start()
        assert ready.wait(60), "the service did not start"
        try:
            yield f"http://127.0.0.1:{port.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "the service did not end"


@contextmanager
def served(place: Path, *options: str, **settings: str) -> Iterator[tuple[Any, subprocess.Popen[bytes]]]:
    """`vecver serve` in a process of its own, on the repository `kb` and the state folder `state`; a client of it."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("VECVER_")},
        "VECVER_REPO": str(place / "kb"),
        "VECVER_STATE": str(place / "state"),
        "VECVER_SETTINGS": os.devnull,
        "HF_HUB_OFFLINE": "1",
        **{f"VECVER_{name.upper()}": value for name, value in settings.items()},
    }
    import httpx2

    port = free_port()
    program = [sys.executable, "-c", "from vecver.cli import program; program()"]
    with (place / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [*program, "serve", "--port", str(port), *options], env=environment, stderr=log, stdout=log
        )
    client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                if client.get("/readyz").status_code == 200:
                    break
            except httpx2.TransportError:
                assert process.poll() is None, (place / "serve.log").read_text()
            time.sleep(0.1)
        yield client, process
    finally:
        client.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def large(count: int, word: str) -> bytes:
    """So many records, one a line."""
    rows = ({"id": f"doc-{i}", "text": f"{word} number {i} of the text"} for i in range(count))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
