"""The commands add, rm, datasets and dataset, as they are typed and read in a pipe."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from vecver.cli import main

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "heating.md").write_text("# Heating\n\nOpen the valve.\n", "utf-8")
    (tmp_path / "docs" / "keys.md").write_text("# Keys\n\nUnder the mat.\n", "utf-8")
    rows = [{"id": "r1", "text": "a row", "year": 2019}, {"id": "r2", "text": "another", "year": 2024}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    def call(*arguments: str, stdin: str = "", code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--repo", str(tmp_path / "kb"), *arguments], input=stdin)
        assert result.exit_code == code, result.output
        return result

    call("init")
    return call


def lines(result: Result) -> list[str]:
    """What was printed, with commit ids and times made alike."""
    text = re.sub(r"\b[0-9a-f]{12}\b", "COMMIT", result.stdout)
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "TIME", text).splitlines()


def shown(result: Result) -> Any:
    return json.loads(result.stdout)


def test_documents_are_added_and_removed(run: Run) -> None:
    added = shown(run("add", "handbook", "docs/heating.md", "--embedder", "hashing", "-m", "One page", "--json"))
    assert added["names"] == {"added": ["docs/heating.md"], "changed": [], "removed": []}
    assert shown(run("add", "handbook", "docs", "--json"))["documents"]["added"] == 1
    assert shown(run("add", "handbook", "--records", "rows.jsonl", "--json"))["names"]["added"] == ["r1", "r2"]
    again = run("add", "handbook", "--records", "-", stdin='{"id": "r1", "text": "x"}\n{"id": "r1", "text": "y"}\n')
    assert "note: one row was left out" in again.stderr
    assert lines(run("rm", "handbook", "r1", "nope")) == [
        "- r1",
        "handbook COMMIT  removed 1 document, 5 chunks are left",
    ]
    nothing = run("rm", "handbook", "nope", "never")
    assert nothing.stdout == "" and "has no document 'nope', 'never'" in nothing.stderr
    would = lines(run("rm", "handbook", "--where", '{"year": {"$gte": 2020}}', "--dry-run"))
    assert would == ["- r2", "handbook  would remove 1 document, 4 chunks are left"]
    gone = shown(run("rm", "handbook", "--where", '{"year": {"$gte": 2020}}', "--json"))
    assert (gone["names"]["removed"], gone["changed"]) == (["r2"], True)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("rm", "handbook"), 2, "vecver rm handbook a.md"),
        (("rm", "handbook", "--where", "{}"), 2, "vecver dataset delete handbook"),
        (("rm", "handbook", "--where", "year"), 2, "--where is not JSON"),
        (("rm", "handbook", "a", "--where", '{"year": 1}'), 2, "ids and a filter"),
        (("rm", "nothing", "a"), 3, "there is no dataset 'nothing'"),
        (("add", "handbook", "nowhere.md"), 3, "nowhere.md"),
        (("add", "handbook"), 2, "FILE"),
        (("dataset", "delete", "nothing"), 3, "there is no dataset 'nothing'"),
        (("dataset", "rename", "handbook", "../x"), 2, "cannot name a dataset"),
    ],
)
def test_mistakes_change_nothing(run: Run, arguments: tuple[str, ...], code: int, says: str) -> None:
    run("add", "handbook", "docs", "--embedder", "hashing")
    before = shown(run("datasets", "--json"))
    assert says in run(*arguments, code=code).stderr
    assert shown(run("datasets", "--json")) == before


def test_datasets_are_listed_renamed_and_deleted(run: Run) -> None:
    assert "there is no dataset in" in run("datasets").stdout
    run("remote", "add", "origin", "elsewhere")
    assert "`vecver pull` brings those of its remote" in run("datasets").stdout
    run("add", "handbook", "docs", "--embedder", "hashing")
    run("tag", "handbook", "v1")
    assert lines(run("datasets")) == ["handbook  COMMIT  main  2 documents, 4 chunks  TIME"]
    assert lines(run("dataset", "rename", "handbook", "manual")) == [
        "renamed handbook to manual; its receipts replay as before"
    ]
    assert [entry["name"] for entry in shown(run("datasets", "--json"))] == ["manual"]
    assert shown(run("search", "manual", "valve", "--json"))["dataset"] == "manual"
    plan = lines(run("dataset", "delete", "manual"))
    assert plan[0] == "would delete manual: 1 version; branches main; tags v1"
    assert plan[1] == "  its newest version holds 2 documents, 4 chunks"
    assert plan[-1] == "nothing was deleted; `--yes` does it"
    assert shown(run("dataset", "delete", "manual", "--yes", "--json"))["applied"] is True
    assert shown(run("datasets", "--json")) == []
