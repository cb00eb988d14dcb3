"""The commands for the installation: settings and their origins, the doctor's findings, completion in a shell."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import vecver
from vecver.cli import checks, main
from vecver.settings import load_settings


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("VECVER_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    return tmp_path


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


# -- config -------------------------------------------------------------------------------------


def settings(*arguments: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(run(*arguments, "config", "--json").stdout)
    return shown


def test_config_says_where_each_value_comes_from_and_masks_secrets(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = here / ".config/vecver/settings.toml"
    file.parent.mkdir(parents=True)
    file.write_text('author = "Ada"\nverify = "always"\nmilvus_token = "t0ken"\nport = 9000\n')
    monkeypatch.setenv("VECVER_VERIFY", "never")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    config = settings("--repo", "kb")
    values = {setting["name"]: (setting["value"], setting["from"]) for setting in config["settings"]}
    assert values["repo"] == ("kb", "option")
    assert values["author"] == ("Ada", "file")
    assert values["verify"] == ("never", "environment")
    assert values["api_key"] == ("****", "OPENAI_API_KEY")
    assert values["milvus_token"] == ("****", "file")
    assert values["milvus"] == ("", "default")
    assert values["port"] == ("9000", "file")
    assert config["file"] == {"path": str(file), "exists": True} and config["unknown"] == {}
    shown = run("config")
    assert "t0ken" not in shown.output and "sk-secret" not in shown.output
    assert "Ada  [settings file]" in shown.stdout and "never  [VECVER_VERIFY]" in shown.stdout


def test_config_names_what_nothing_reads_and_what_was_meant(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECVER_REPOSITORY", "kb")
    monkeypatch.setenv("VECVER_AUTOR", "Ada")
    (here / "s.toml").write_text('verfy = "once"\n')
    monkeypatch.setenv("VECVER_SETTINGS", str(here / "s.toml"))
    assert settings()["unknown"]["VECVER_AUTOR"] == "VECVER_AUTHOR"
    assert settings()["unknown"]["verfy"] == "verify"
    assert "note: VECVER_AUTOR is no setting; did you mean VECVER_AUTHOR?" in run("config").stderr


# -- doctor -------------------------------------------------------------------------------------


def findings(code: int = 0) -> dict[str, dict[str, str]]:
    report = json.loads(run("doctor", "--quick", "--json", code=code).stdout)
    assert report["ok"] is (code == 0)
    return {finding["name"]: finding for finding in report["checks"]}


def test_a_sound_installation_has_no_problem(here: Path) -> None:
    vecver.create(here / ".vecver")
    by_name = findings()
    assert by_name["repository"]["status"] == by_name["permissions"]["status"] == by_name["search"]["status"] == "ok"
    assert by_name["version"]["message"].startswith("vecver ") and "numpy" in by_name["packages"]["message"]
    assert all(finding["advice"] for finding in by_name.values() if finding["status"] == "problem")
    assert "ok       repository  " in run("doctor", "--quick").stdout


def test_the_doctor_says_which_kernels_are_used_and_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = (vecver.KernelUse("scores", "AVX2"), vecver.KernelUse("roots", "AVX-512"))
    monkeypatch.setattr(vecver, "kernels", lambda: compiled)
    assert findings()["kernels"]["message"] == "scores compiled, AVX2; roots compiled, AVX-512"
    monkeypatch.setattr(vecver, "kernels", lambda: (compiled[0], vecver.KernelUse("roots", None, "it was not built")))
    kernels = findings()["kernels"]
    assert kernels["message"] == "scores compiled, AVX2; roots not compiled: it was not built"
    assert (kernels["status"], kernels["advice"][:16]) == ("warning", "the same results")
    assert "commits and checks" in kernels["advice"]
    monkeypatch.setattr(vecver, "kernels", lambda: (vecver.KernelUse("keywords", None, "it was not built"),))
    assert "keyword and hybrid searches, about ten times" in findings()["kernels"]["advice"]


def test_what_is_wrong_is_a_problem_with_advice(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings()["repository"]["status"] == "warning"  # none was made yet
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("VECVER_MILVUS", f"http://127.0.0.1:{closed.getsockname()[1]}")
        milvus = findings(code=1)["milvus server"]
    assert milvus["status"] == "problem" and "does not answer" in milvus["message"] and milvus["advice"]
    monkeypatch.delenv("VECVER_MILVUS")
    monkeypatch.setenv("VECVER_REPO", "nowhere")
    assert findings(code=1)["repository"]["status"] == "problem"


def test_a_full_disk_a_missing_package_and_a_readable_secret(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    monkeypatch.setitem(checks.EXTRAS, "milvus", (("no_such_module",), "publishing"))
    (here / "s.toml").write_text('api_key = "x"\n')
    (here / "s.toml").chmod(0o644)
    monkeypatch.setenv("VECVER_SETTINGS", str(here / "s.toml"))
    by_name = {finding.name: finding for finding in checks.examine(load_settings(), quick=True)}
    assert by_name["disk"].status == "problem" and "vecver gc" in by_name["disk"].advice
    assert by_name["milvus"].status == "warning" and "pip install 'vecver[milvus]'" in by_name["milvus"].advice
    assert by_name["settings"].status == "warning"
    assert "chmod 600" in by_name["settings"].advice


# -- completion ---------------------------------------------------------------------------------


def completions(line: str, here: Path) -> list[str]:
    environment = {**os.environ, "COMP_WORDS": line, "_VECVER_COMPLETE": "bash_complete"}
    command = [sys.executable, "-c", "from vecver.cli import program; program()"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=here)
    assert done.returncode == 0 and done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.fixture
def handbook(here: Path) -> Path:
    docs = vecver.open(here / ".vecver", create=True).dataset("handbook")
    docs.ingest([{"id": "guide/pump.md", "text": "pump"}, {"id": "keys.md", "text": "keys"}], embedder="hashing")
    docs.tag("2026-11")
    docs.promote("prod")
    return here


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("vecver prom", ["promote"]),
        ("vecver key l", ["list"]),
        ("vecver search hand", ["handbook"]),
        ("vecver search handbook@", ["handbook@main", "handbook@2026-11", "handbook@prod"]),
        ("vecver diff handbook ", ["main", "2026-11", "prod"]),
        ("vecver promote handbook ", ["prod"]),
        ("vecver tag handbook 20", ["2026-11"]),
        ("vecver cat handbook gu", ["guide/pump.md"]),
        ("vecver --repo nowhere search ", []),
        ("vecver search handbook --engine fa", ["faiss"]),
        ("vecver search 'unfinished", []),
    ],
)
def test_names_complete_and_nothing_is_ever_an_error(handbook: Path, line: str, names: list[str]) -> None:
    assert completions(line, handbook) == names


def test_bash_replaces_only_what_follows_the_at(handbook: Path, tmp_path: Path) -> None:
    if not shutil.which("bash"):
        pytest.skip("needs bash")
    program = tmp_path / "bin" / "vecver"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from vecver.cli import program; program()" "$@"\n')
    program.chmod(0o755)
    script = 'eval "$(vecver completion bash)"; COMP_LINE="vecver log handbook@pr"; COMP_POINT=${#COMP_LINE}; '
    script += '_vecver_completion vecver 2>/dev/null; echo "${COMPREPLY[*]}"'
    path = f"{program.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True, cwd=handbook
    )
    assert done.stdout == "prod\n", done.stderr


def test_each_shell_has_its_script_and_others_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "#compdef vecver" in run("completion", "zsh").stdout
    assert "complete --no-files --command vecver" in run("completion", "fish").stdout
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert "name a shell: bash, zsh, fish" in run("completion", code=2).stderr
