"""The command line: shapes of its JSON, its exit codes, what it says to a person."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import vecver
from vecver.cli import main
from vecver.settings import load_settings

COMMANDS = [
    *("init", "ingest", "status", "search", "replay", "log", "show", "diff"),
    *("branch", "tag", "alias", "promote", "rollback", "check", "optimize", "gc", "recall", "snapshot"),
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "valve.md").write_text("# Valve\n\nOpen the valve slowly until water comes.\n")
    (folder / "pump.md").write_text("# Pump\n\nThe pump moves water.\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("VECVER_REPO", "VECVER_SETTINGS", "VECVER_AUTHOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*arguments: str, code: int = 0, text: str | None = None) -> Result:
    result = CliRunner().invoke(main, list(arguments), input=text, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def told(*arguments: str, code: int = 0, text: str | None = None) -> Any:
    return json.loads(run(*arguments, "--json", code=code, text=text).stdout)


@pytest.fixture
def june(here: Path) -> dict[str, Any]:
    run("init")
    report: dict[str, Any] = told("ingest", "handbook", "handbook", "-m", "June", "--embedder", "hashing")
    run("tag", "handbook", "v1")
    return report


def test_help_names_every_command_with_a_sentence() -> None:
    page = run("--help").output
    for command in COMMANDS:
        assert f"\n  {command} " in page
        assert len(run(command, "--help").output.splitlines()) > 4
    assert "Make an empty repository" in page


def test_ingest_json(june: dict[str, Any]) -> None:
    assert june["changed"] is True and len(june["commit"]) == 64
    assert june["documents"] == {"added": 2, "changed": 0, "removed": 0, "unchanged": 0, "failed": 0}
    assert set(june["chunks"]) == {"live", "embedded", "reused", "removed"}
    assert june["failures"] == [] and set(june["seconds"]) == {"parse", "chunk", "embed", "write"}


def test_failures_are_in_json_and_on_stderr(june: dict[str, Any], here: Path) -> None:
    (here / "handbook" / "nothing.txt").touch()
    (failure,) = told("ingest", "handbook", "handbook")["failures"]
    assert failure["document"] == "nothing.txt" and failure["code"] == "empty" and failure["reason"]
    result = run("ingest", "handbook", "handbook")
    assert "nothing.txt" in result.stderr and "nothing.txt" not in result.stdout


def test_a_dry_run_says_what_embedding_would_cost(here: Path) -> None:
    run("init")
    (here / "docs").mkdir()
    (here / "docs" / "a.md").write_text("# A\n\nSome text here.\n")
    plan = told("ingest", "new", "docs", "--embedder", "hashing", "--dry-run", "--price", "1000")
    assert plan["tokens"] > 0 and plan["cost"] == pytest.approx(plan["tokens"] / 1000)
    for price in ("nan", "inf", "-1", "0,02"):
        assert "--price" in run("ingest", "new", "docs", "--dry-run", "--price", price, code=2).stderr


def test_search_json(june: dict[str, Any]) -> None:
    answer = told("search", "handbook@v1", "how do I open the valve", "-k", "2", "--context", "1")
    assert (answer["dataset"], answer["revision"], answer["commit"]) == ("handbook", "v1", june["commit"])
    hit = answer["hits"][0]
    assert set(hit) >= {"rank", "score", "score_bits", "document", "key", "span", "text", "metadata", "context"}
    assert hit["rank"] == 1 and hit["document"] == "valve.md" and "water comes" in hit["context"]
    assert float.fromhex("0x0") <= hit["score"] and answer["receipt"]["commit"] == june["commit"]


def test_a_filter_keeps_every_digit_of_its_numbers(here: Path) -> None:
    wide = [{"id": id, "text": id, "n": {"$decimal": f"12345678901234567.{id}"}, "x": 0.5} for id in ("89", "91")]
    (here / "r.jsonl").write_text("".join(json.dumps(record) + "\n" for record in wide))
    run("init")
    run("ingest", "own", "r.jsonl", "--embedder", "hashing")
    answer = told("search", "own", "q", "--filter", '{"n": 12345678901234567.91, "x": {"$lt": 0.6}}')
    assert [hit["metadata"] for hit in answer["hits"]] == [{"n": "12345678901234567.91", "x": 0.5}]
    assert answer["receipt"]["filter"] == {"n": {"$decimal": "12345678901234567.91"}, "x": {"$lt": 0.6}}
    refused = run("search", "own", "q", "--filter", '{"x": {"$nin": ["0.5"]}}', code=2)
    assert "'x' holds floats: '0.5' is a string" in refused.stderr


def test_many_queries_give_one_object_a_line(june: dict[str, Any], here: Path) -> None:
    vector = [0.0] * 255 + [1.0]
    text = json.dumps({"query": "valve"}) + "\n\n" + json.dumps({"vector": vector}) + "\n"
    lines = run("search", "handbook", "--queries", "-", "--json", text=text).stdout.splitlines()
    assert [json.loads(line)["commit"] for line in lines] == [june["commit"]] * 2
    (here / "queries.jsonl").write_text(text)
    assert len(run("search", "handbook", "--queries", "queries.jsonl", "--json").stdout.splitlines()) == 2


def test_log_show_diff_and_status_json(june: dict[str, Any], here: Path) -> None:
    (here / "handbook" / "pump.md").unlink()
    (here / "handbook" / "valve.md").write_text("# Valve\n\nIt is closed for ever.\n")
    (here / "handbook" / "door.md").write_text("# Door\n\nPush.\n")
    assert told("status", "handbook", "handbook") == {
        "added": ["door.md"],
        "changed": ["valve.md"],
        "removed": ["pump.md"],
        "failed": [],
        "partial": [],
        "expected_recall": vecver.ExpectedRecall(10, 1.0, 0.0, 0, "exact", june["chunks"]["live"], 0).to_json(),
    }
    plan = told("ingest", "handbook", "handbook", "--dry-run")
    assert plan["dry_run"] and not plan["changed"] and plan["commit"] == june["commit"]
    july = told("ingest", "handbook", "handbook", "-m", "July")
    entries = told("log", "handbook")
    assert [entry["message"] for entry in entries] == ["July", "June"]
    assert set(entries[0]) >= {"commit", "parents", "message", "author", "time", "counts", "operation"}
    assert entries[0]["parents"] == [june["commit"]]
    assert len(told("log", "handbook", "-n", "1")) == 1
    assert told("show", "handbook@v1")["commit"] == june["commit"]
    assert told("show", "handbook@v1", "--documents")["documents"] == ["pump.md", "valve.md"]
    diff = told("diff", "handbook", "v1", "main")
    assert (diff["from"], diff["to"]) == (june["commit"], july["commit"])
    assert diff["documents"] == {"added": ["door.md"], "changed": ["valve.md"], "removed": ["pump.md"]}
    assert diff["chunks"]["added"] > 0 and diff["chunks"]["removed"] > 0
    assert "~ valve.md" in run("diff", "handbook", "v1", "main").output


def test_refs(june: dict[str, Any], here: Path) -> None:
    (here / "handbook" / "pump.md").unlink()
    july = told("ingest", "handbook", "handbook")
    assert told("promote", "handbook", "prod", "v1")["after"] == june["commit"]
    assert told("promote", "handbook", "prod")["after"] == july["commit"]
    assert told("alias", "handbook") == {"prod": july["commit"]}
    assert told("rollback", "handbook@prod")["after"] == june["commit"]
    assert [move["reason"] for move in told("alias", "handbook", "prod")] == ["rollback", "promote", "promote"]
    assert told("search", "handbook@prod", "pump")["commit"] == june["commit"]
    back = told("rollback", "handbook@main")
    assert told("show", "handbook")["content_root"] == told("show", "handbook@v1")["content_root"]
    assert told("show", "handbook")["commit"] == back["after"] != june["commit"]
    run("branch", "handbook", "next", "v1")
    assert told("branch", "handbook") == {"main": back["after"], "next": june["commit"]}
    run("branch", "handbook", "next", "--delete")
    assert set(told("branch", "handbook")) == {"main"} and told("tag", "handbook") == {"v1": june["commit"]}


def test_receipt_and_replay(june: dict[str, Any], here: Path) -> None:
    run("search", "handbook@v1", "valve", "--receipt", "answer.json")
    assert told("replay", "answer.json") == {"identical": True, "differences": [], "recall": None, "notes": []}
    receipt = json.loads((here / "answer.json").read_text())
    receipt["hits"][0][2] = "0" * 16
    (here / "answer.json").write_text(json.dumps(receipt))
    outcome = told("replay", "answer.json", code=5)
    assert not outcome["identical"] and outcome["differences"]


def test_init_makes_what_was_named(here: Path) -> None:
    run("--repo", str(here / "other" / ".vecver"), "init")
    assert (here / "other" / ".vecver" / "vecver.json").is_file() and not (here / ".vecver").exists()
    run("--repo", f"file://localhost{here}/third", "init")
    assert (here / "third" / "vecver.json").is_file()


def test_queries_may_hold_line_separators_but_no_numbers(june: dict[str, Any]) -> None:
    text = json.dumps({"query": "a\u2028valve"}, ensure_ascii=False) + "\n"
    assert len(run("search", "handbook", "--queries", "-", "--json", text=text).stdout.splitlines()) == 1
    result = run("search", "handbook", "--queries", "-", code=2, text='{"query": 5}\n')
    assert "line 1" in result.stderr


def test_check(june: dict[str, Any], here: Path) -> None:
    report = told("check")
    assert report["clean"] and report["problems"] == [] and report["objects"] > 5 and report["bytes"] > 1000
    vectors = next(Path(".vecver").glob("segments/*/vectors.npy"))
    data = bytearray(vectors.read_bytes())
    data[-1] ^= 1
    vectors.write_bytes(data)
    report = told("check", code=5)
    assert not report["clean"] and report["problems"][0]["object"].endswith("vectors.npy")


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    [
        (["search", "nobody", "q"], 3, "dataset_not_found"),
        (["search", "handbook@nowhere", "q"], 3, "revision_not_found"),
        (["search", "handbook@", "q"], 2, "invalid_revision"),
        (["search", "handbook", "q", "-k", "0"], 2, "invalid_k"),
        (["search", "handbook", "q", "--filter", '{"year": 1}'], 2, "unknown_field"),
        (["search", "handbook", "q", "--filter", "{"], 2, "invalid_filter"),
        (["search", "handbook", "q", "--space", "other"], 2, "space_mismatch"),
        (["search", "handbook"], 2, "no_query"),
        (["search", "handbook", "--queries", "nowhere.jsonl"], 2, "invalid_queries"),
        (["tag", "handbook", "v1"], 4, "name_taken"),
        (["tag", "handbook", "bad/name"], 2, "invalid_name"),
        (["branch", "handbook", "v1"], 4, "name_taken"),
        (["branch", "handbook", "main", "--delete"], 4, "last_branch"),
        (["rollback", "handbook@main"], 3, "nothing_before"),
        (["rollback", "handbook@v1"], 4, "tag_fixed"),
        (["rollback", "handbook@nothing"], 3, None),
        (["promote", "handbook", "v1"], 4, "name_taken"),
        (["ingest", "handbook", "nowhere"], 3, "source_not_found"),
        (["replay", "nowhere.json"], 2, "invalid_receipt"),
        (["search", "handbook", "q", "--receipt", "no/where.json"], 2, "unwritable"),
        (["alias", "handbook", "nobody"], 3, "alias_not_found"),
        (["--repo", "file://elsewhere/x", "check"], 2, "unknown_store"),
        (["init", "."], 2, "not_empty"),
        (["init", ".vecver"], 4, "repository_exists"),
        (["--repo", "nowhere", "log", "handbook"], 3, "repository_not_found"),
        (["--repo", "ftp://x", "log", "handbook"], 2, "unknown_store"),
    ],
)
def test_errors_have_a_code_a_hint_and_an_exit_code(
    june: dict[str, Any], arguments: list[str], code: int, name: str | None
) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    assert (
        result.stderr.startswith("error: ") and "\n  " in result.stderr and (not result.stdout or name == "unwritable")
    )
    if name:
        shown = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stderr)
        assert shown["error"]["code"] == name and shown["error"]["hint"]


def test_the_installed_program_and_stdin(here: Path) -> None:
    """One real process: entry point, exit code, records on stdin, nothing but JSON on stdout."""

    def vecver_(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from vecver.cli import program; program()", *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True)

    assert vecver_("init").returncode == 0
    rows = "".join(json.dumps({"id": str(i), "text": f"t{i}", "vector": [i, 1.0]}) + "\n" for i in range(3))
    done = vecver_("ingest", "rows", "-", "--space", "mine", "--json", text=rows)
    assert done.returncode == 0 and json.loads(done.stdout)["chunks"]["live"] == 3 and done.stderr == ""
    done = vecver_("search", "rows", "a text", "--json")
    assert done.returncode == 2 and json.loads(done.stderr)["error"]["code"] == "needs_vector"


def test_settings(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "settings.toml").write_text('repo = "from-file"\nauthor = "Ada"\napi_key = "secret"\n')
    settings = load_settings({"VECVER_SETTINGS": str(here / "settings.toml"), "VECVER_AUTHOR": "Grace"})
    assert (settings.repo, settings.author, settings.api_key) == ("from-file", "Grace", "secret")
    assert "secret" not in repr(settings)
    assert load_settings({"VECVER_REPO": "/there"}).repo == "/there"
    (here / ".vecver").mkdir()
    (here / "a" / "b").mkdir(parents=True)
    assert load_settings({}, here / "a" / "b").repo == str(here / ".vecver")
    with pytest.raises(vecver.InvalidInputError):
        load_settings({"VECVER_SETTINGS": str(here / "nowhere.toml")})


def test_importing_vecver_is_light() -> None:
    """No model, no search engine and no parser is loaded before it is used."""
    heavy = [
        "torch",
        "faiss",
        "transformers",
        "sentence_transformers",
        "liteparse",
        "anydoc",
        "lxml",
        "pebble",
        "click",
    ]
    script = f"import sys, vecver; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_optimize_and_gc() -> None:
    run("init")
    for turn in range(3):
        Path("handbook/pump.md").write_text(f"# Pump\n\nThe pump moves water, {turn} times.\n")
        run("ingest", "handbook", "handbook", "--embedder", "hashing")
    assert "3 versions re-laid" in run("optimize", "handbook").output
    assert "nothing to do" in run("optimize", "handbook").output
    plan = json.loads(run("gc", "--json").output)
    assert plan["kept_versions"] == 3 and len(plan["wait"]) == 3 and not plan["applied"]
    run("gc", "--keep-last", "1", "--apply")
    shown = run("gc", "--keep-last", "1", "--grace", "0", "--apply").output
    assert shown.count("forget  ") == 2 and "1 versions kept, 2 forgotten" in shown
    assert run("search", "handbook@main~1", "water", code=3).exit_code == 3
    assert "is no age" in run("gc", "--grace", "soon", code=2).output
    assert "longer than time" in run("gc", "--grace", "99999999999d", code=2).output
    assert "--keep-last 1" in run("gc", "--keep-within", "300000w", code=2).output
    run("check")


def test_a_dataset_named_second_is_put_first(here: Path) -> None:
    """`merge` in the wrong order is no reason to ingest anything."""
    run("init")
    run("ingest", "handbook", "handbook", "--embedder", "hashing")
    said = run("merge", "side", "handbook", code=3).output
    assert "`vecver merge handbook side`" in said and "ingest" not in said
    assert "ingest" in run("merge", "nothing", "nowhere", code=3).output
