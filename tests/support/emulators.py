"""Starts the services that speak as S3, Azure and Google Cloud do, on loopback, for as long as tests run.

SeaweedFS and moto (S3) are looked for in the environment that VECVER_EMULATORS names, or in this one; Azurite (Azure)
in its `node_modules`, or on the path. `.ci/run` makes that environment. What is not found is skipped, and said.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_gcs import BUCKET, FakeGcs

SERVICES = ("seaweedfs", "moto", "azurite", "gcs")
_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testtest", "AWS_REGION": "us-east-1"}
_AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # of every Azurite
)
_START_SECONDS = 60.0


class Service:
    """A running service: the scheme of its addresses, and the environment that leads there."""

    def __init__(self, scheme: str, environment: dict[str, str]) -> None:
        self.scheme = scheme
        self.environment = environment

    def url(self, prefix: str) -> str:
        return f"{self.scheme}://{BUCKET}/{prefix}"


@contextlib.contextmanager
def reachable(name: str) -> Iterator[Service]:
    """As `running`, with the service's settings in the environment of this process."""
    with running(name) as service, pytest.MonkeyPatch.context() as patch:
        for variable, value in service.environment.items():
            patch.setenv(variable, value)
        yield service


@contextlib.contextmanager
def running(name: str) -> Iterator[Service]:
    """A service with the bucket. Skips the test where it is not installed."""
    if name == "gcs":
        with FakeGcs() as server:
            yield Service("gs", {"STORAGE_EMULATOR_HOST": server.url})
            server.shutdown()
        return
    pytest.importorskip("obstore", reason="obstore is not installed")
    with tempfile.TemporaryDirectory(prefix="vecver-emulator-") as folder:
        port = _free_port()
        command, quiet = _command(name, port, folder), subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=folder, env=os.environ | _KEYS)
        try:
            _wait(name, process, port)
            service = _service(name, port)
            _make_bucket(name, port)
            _wait_for_bucket(service)
            yield service
        finally:
            process.kill()  # what it holds goes with its folder, and SeaweedFS may take a minute to end by itself
            process.wait(30)


def _command(name: str, port: int, folder: str) -> list[str]:
    own = str(port)
    if name == "seaweedfs":
        options = [f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={own}", f"-bucket={BUCKET}"]
        ports = [f"-{part}.port={_free_port()}" for part in ("master", "volume", "filer", "webdav", "admin")]
        without = ["-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        return [_program("weed"), "mini", *options, *ports, *without]
    if name == "moto":
        return [_program("moto_server"), "-H", "127.0.0.1", "-p", own]
    options = ["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence"]
    return [_program("azurite-blob"), *options, "--blobHost", "127.0.0.1", "--blobPort", own]


def _program(name: str) -> str:
    """The path of a program. Skips the test where there is none."""
    environment = os.environ.get("VECVER_EMULATORS")
    places = [Path(environment, "bin"), Path(environment, "node_modules", ".bin")] if environment else []
    path = shutil.which(
        name, path=os.pathsep.join(map(str, [*places, Path(sys.executable).parent, os.environ["PATH"]]))
    )
    if path is None:
        pytest.skip(f"{name} is not installed; `.ci/run` installs it")
    return path


def _service(name: str, port: int) -> Service:
    if name == "azurite":
        text = f"AccountName=devstoreaccount1;AccountKey={_AZURE_KEY};BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1"
        return Service("az", {"AZURE_STORAGE_CONNECTION_STRING": text})
    return Service("s3", {**_KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})


def _make_bucket(name: str, port: int) -> None:
    """Make the bucket; SeaweedFS does that by itself."""
    if name == "moto":
        _ask(
            port, f"/{BUCKET}", {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"}
        )
    if name == "azurite":
        _make_container(port)


def _make_container(port: int) -> None:
    """Azure signs by hand: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key."""
    import base64
    import hashlib
    import hmac
    from email.utils import formatdate

    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06", "Content-Length": "0"}
    own = "".join(f"{key}:{headers[key]}\n" for key in ("x-ms-date", "x-ms-version"))
    resource = f"/devstoreaccount1/devstoreaccount1/{BUCKET}\nrestype:container"
    text = "PUT" + "\n" * 12 + own + resource
    mac = hmac.new(base64.b64decode(_AZURE_KEY), text.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey devstoreaccount1:{base64.b64encode(mac).decode()}"
    _ask(port, f"/devstoreaccount1/{BUCKET}?restype=container", headers)


def _ask(port: int, path: str, headers: dict[str, str]) -> None:
    """Make something."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("PUT", path, headers=headers)
    answer = connection.getresponse()
    assert answer.status < 300, answer.read()
    connection.close()


def _wait(name: str, process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, f"{name} ended with {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(f"{name} did not start within {_START_SECONDS:.0f} s")


def _wait_for_bucket(service: Service) -> None:
    """SeaweedFS answers before it has made its bucket."""
    from vecver.errors import BackendError
    from vecver.store import open_store

    end = time.monotonic() + _START_SECONDS
    with pytest.MonkeyPatch.context() as patch:
        for name, value in service.environment.items():
            patch.setenv(name, value)
        while True:
            try:
                return open_store(service.url("ready"), cache_bytes=0).put("ready", b"")
            except BackendError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)


def _free_port() -> int:
    """A port that is free, and the one 10,000 above it, where SeaweedFS answers other machines."""
    while True:
        port = random.randrange(20_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10_000))
            return port
