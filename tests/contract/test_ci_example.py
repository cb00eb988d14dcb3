"""The step of CI in examples/ci: ingests a change on a branch, measures it, and fails where a gate does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from paths import ROOT

import vecver

pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")

EXAMPLES = ROOT / "examples"
GATES = ("--gate", "R@10 >= prod - 0.01", "--gate", "nDCG@10 >= 0.5")


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    """A repository whose `prod` holds the handbook, and the handbook's folder, as a pipeline checks it out."""
    shutil.copytree(EXAMPLES / "handbook", tmp_path / "handbook")
    docs = vecver.open(tmp_path / "kb", create=True).dataset("handbook")
    docs.ingest(tmp_path / "handbook", embedder="hashing")
    docs.promote("prod")
    docs.add_questions("support", EXAMPLES / "questions.jsonl")
    return tmp_path


def run(handbook: Path, branch: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VECVER_", "GITHUB_"))}
    environment = {**kept, "VECVER_REPO": str(handbook / "kb"), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(EXAMPLES / "ci/check_version.py"), "handbook", "handbook", "--branch", branch]
    return subprocess.run(
        [*command, "--questions", "support", *arguments],
        cwd=handbook,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_harmless_change_passes_and_is_told_in_a_table(handbook: Path) -> None:
    page = handbook / "handbook" / "heating.md"
    page.write_text(page.read_text("utf-8").replace("1.2 and 1.8 bar", "1.5 and 2.0 bar"), "utf-8")
    result = run(handbook, "pr-7", *GATES, "--out", "out/table.md")
    assert result.returncode == 0, result.stdout + result.stderr
    table = (handbook / "out/table.md").read_text("utf-8")
    docs = vecver.open(handbook / "kb").dataset("handbook")
    assert docs.resolve("pr-7")[:12] in table and "1 changed" in table and "12 judged questions" in table
    assert "| nDCG@10 |" in table and "✅ `R@10 >= prod - 0.01`" in table
    assert docs.aliases()["candidate-pr-7"] == docs.resolve("pr-7") != docs.aliases()["prod"]


def test_a_lost_page_fails_and_the_table_names_the_questions(handbook: Path) -> None:
    (handbook / "handbook" / "keys.md").unlink()
    result = run(handbook, "pr-8", *GATES)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "❌ `R@10 >= prod - 0.01`" in result.stdout and "1 removed" in result.stdout
    assert "− keys.md (rank 1, removed)" in result.stdout
    docs = vecver.open(handbook / "kb").dataset("handbook")
    assert "candidate-pr-8" not in docs.aliases() and docs.aliases()["prod"] == docs.resolve("main")
    again = run(handbook, "pr-8", *GATES)  # a pipeline that is started again
    assert again.returncode == 1 and "no document changed" in again.stdout


def test_without_prod_the_version_is_measured_alone(handbook: Path) -> None:
    result = run(handbook, "pr-9", "--against", "staging")
    assert result.returncode == 0 and "| R@10 | – |" in result.stdout
    wrong = run(handbook, "pr-9", "--gate", "R@10 >= staging")
    assert wrong.returncode == 3 and "staging" in wrong.stderr and "Traceback" not in wrong.stderr


def test_the_workflow_calls_the_script_as_it_is() -> None:
    workflow = yaml.safe_load((EXAMPLES / "ci/documents.yml").read_text("utf-8"))
    steps = workflow["jobs"]["check"]["steps"]
    (call,) = [step["run"] for step in steps if "check_version.py" in step.get("run", "")]
    known = subprocess.run(
        [sys.executable, str(EXAMPLES / "ci/check_version.py"), "--help"], capture_output=True, text=True
    ).stdout
    assert all(word in known for word in call.split() if word.startswith("--"))
