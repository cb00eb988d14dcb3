"""`vecver ui`: prints an address that lets one visitor in, opens no browser when told not to, and ends at Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ingest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

import vecver  # noqa: E402


def test_the_address_that_is_printed_opens_the_page_once(tmp_path: Path) -> None:
    ingest(vecver.open(tmp_path / "kb", create=True).dataset("handbook"), {"a": "x"})
    program = [sys.executable, "-c", "from vecver.cli import program; program()"]
    environment = {**os.environ, "VECVER_STATE": str(tmp_path / "state"), "VECVER_SETTINGS": os.devnull}
    process = subprocess.Popen(
        [*program, "--repo", str(tmp_path / "kb"), "ui", "--no-browser"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with httpx.Client(follow_redirects=True, timeout=60) as browser:
            first = browser.get(address)
            assert first.status_code == 200 and "handbook" in first.text
        assert httpx.get(address, timeout=60).status_code == 401
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors and "works once" in errors


def test_no_command_line_and_no_file_of_others_holds_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    from vecver.cli.commands import pages

    opened: list[str] = []
    monkeypatch.setattr(pages.click, "launch", opened.append)
    monkeypatch.setattr(
        pages.threading, "Timer", lambda seconds, call, given: type("T", (), {"start": lambda _: call(*given)})()
    )
    address = "http://127.0.0.1:1/sign-in?token=a-secret&x=1"
    with pages._in_browser(address, tmp_path):
        (url,) = opened
        file = Path(url2pathname(urlsplit(url).path))
        assert "a-secret" not in url and file.stat().st_mode & 0o077 == 0
        assert 'content="0; url=http://127.0.0.1:1/sign-in?token=a-secret&amp;x=1"' in file.read_text()
    assert not file.exists()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    import socket

    from click.testing import CliRunner

    from vecver.cli import main

    vecver.create(tmp_path / "kb")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = CliRunner().invoke(main, ["--repo", str(tmp_path / "kb"), "ui", "--no-browser", "--port", str(port)])
    assert refused.exit_code == 4 and str(port) in refused.output
