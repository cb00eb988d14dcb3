"""`vecver questions` and `vecver eval`: shapes of their JSON, what they say, and what they refuse."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import vecver
from vecver.cli import main
from vecver.cli.screens.comparisons import show_comparison
from vecver.cli.screens.evaluations import show_evaluation
from vecver.cli.terminal import console

ir_measures = pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")

PAGES = {
    "valve.md": "# Valve\n\nOpen the valve slowly until water comes.\n",
    "pump.md": "# Pump\n\nThe pump moves water through the house.\n",
    "key.md": "# Key\n\nThe key hangs beside the door.\n",
}
QUESTIONS: list[dict[str, Any]] = [
    {"query": "how to open the valve", "documents": ["valve.md"], "tags": ["water"]},
    {"query": "what moves water", "contains": "the pump  moves water"},
    {"query": "where is the key", "documents": {"key.md": 2, "lost.md": 1}},
    {"query": "not judged"},
]


@pytest.fixture(autouse=True)
def handbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("VECVER_REPO", "VECVER_SETTINGS", "VECVER_AUTHOR"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "pages"
    folder.mkdir()
    for name, text in PAGES.items():
        (folder / name).write_text(text, "utf-8")
    (tmp_path / "support.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)), "utf-8")
    run("init")
    run("ingest", "handbook", "pages", "--embedder", "hashing")
    return tmp_path


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def value_of(*arguments: str, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


def test_sets_are_added_listed_shown_and_removed() -> None:
    added = value_of("questions", "handbook", "add", "support", "support.jsonl")
    assert (added["name"], added["count"], added["judged"], len(added["digest"])) == ("support", 4, 3, 64)
    assert value_of("questions", "handbook", "list") == {"questions": [added]} == value_of("questions", "handbook")
    shown = value_of("questions", "handbook", "show", "support")
    assert shown["digest"] == added["digest"] and shown["questions"][2]["documents"] == {"key.md": 2, "lost.md": 1}
    assert "key.md (2)" in run("questions", "handbook", "show", "support").output
    assert value_of("questions", "handbook", "remove", "support")["removed"] is True
    assert value_of("questions", "handbook") == {"questions": []}
    run("questions", "handbook", "show", "support", code=3)


def test_eval_json() -> None:
    run("questions", "handbook", "add", "support", "support.jsonl")
    measured = value_of("eval", "handbook", "--questions", "support")
    assert set(measured) >= {"dataset", "commit", "questions", "engine", "measures", "skipped"}
    assert measured["questions"]["name"] == "support" and measured["questions"]["count"] == 4
    assert set(measured["measures"]) == {"nDCG@10", "R@10", "RR@10", "Success@5"}
    for mean in measured["measures"].values():
        assert 0 <= mean["low"] <= mean["mean"] <= mean["high"] <= 1
    assert measured["skipped"] == {"unknown_documents": 1, "unjudged_questions": 1}
    assert "per_question" not in measured and measured["reused"] is False
    again = value_of("eval", "handbook@main", "--questions", "support", "--per-question", "--measures", "RR@10")
    assert again["reused"] is True and list(again["measures"]) == ["RR@10"]
    assert [each["query"] for each in again["per_question"]] == [each["query"] for each in QUESTIONS]
    assert again["per_question"][1]["measures"] == {"RR@10": 1.0}
    assert again["tags"]["water"]["count"] == 1


def test_eval_of_a_file_writes_what_other_programs_read(handbook: Path) -> None:
    options = ("--run", "out.run", "--run-qrels", "out.qrels", "--exact")
    measured = value_of("eval", "handbook", "--questions", "support.jsonl", *options)
    qrels, ranking = ir_measures.read_trec_qrels("out.qrels"), ir_measures.read_trec_run("out.run")
    measures = [ir_measures.parse_measure(name) for name in measured["measures"]]
    for measure, mean in ir_measures.calc_aggregate(measures, list(qrels), list(ranking)).items():
        assert measured["measures"][str(measure)]["mean"] == pytest.approx(mean, abs=1e-9)


def test_what_is_said_to_a_person() -> None:
    assert "support  4 questions, 3 judged" in run("questions", "handbook", "add", "support", "support.jsonl").output
    lines = run("eval", "handbook", "--questions", "support", "--per-question").output
    assert "nDCG@10" in lines and "tag water  1 questions" in lines and "where is the key" in lines
    assert "1 document that this version does not have, counted as not found" in lines


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("questions", "handbook", "add", "support"), 2, "missing_argument"),
        (("questions", "handbook", "show"), 2, "missing_argument"),
        (("questions", "handbook", "list", "support"), 2, "conflicting_options"),
        (("questions", "handbook", "remove", "support", "support.jsonl"), 2, "conflicting_options"),
        (("questions", "handbook", "add", "support", "no.jsonl"), 3, "questions_file_not_found"),
        (("questions", "handbok", "list"), 3, "dataset_not_found"),
        (("eval", "handbook", "--questions", "support"), 3, "questions_not_found"),
        (("eval", "handbook", "--questions", "support.jsonl", "--measures", "ndcg@10"), 2, "unknown_measure"),
        (("eval", "handbook@v9", "--questions", "support.jsonl"), 3, "revision_not_found"),
        (("eval", "handbook", "--questions", "support.jsonl", "--run", "no/such/file"), 2, "unwritable"),
        (("eval", "handbook", "--questions", "support.jsonl", "--engine", "milvus"), 6, "not_published"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], code: int, error: str) -> None:
    result = run(*arguments, "--json", code=code)
    assert json.loads(result.stderr.splitlines()[-1])["error"]["code"] == error


@pytest.mark.parametrize("width", [120, 80, 60, 40])
def test_tables_show_whole_numbers_on_any_terminal(width: int) -> None:
    docs = vecver.open(".vecver").dataset("handbook")
    names = ["nDCG@10", "R@10", "RR@10", "Success@5", "P@5", "AP@20", "P@3"]
    stream = StringIO()
    screen = console.Screen(stream, True, width, 50, False, False, True)
    show_evaluation(screen, "handbook@main", docs.eval(questions="support.jsonl", measures=names), per_question=True)
    (head,) = (line for line in stream.getvalue().splitlines() if line.rstrip().endswith("question"))
    assert "…" not in head and head.startswith("nDCG@10 ") and ("P@3" in head) == (width >= 80)
    assert " 1.000" in stream.getvalue().split("question")[-1]
    compared = docs.compare("main", "main", questions="support.jsonl")
    stream.truncate(0)
    show_comparison(screen, compared, ("main", "main"), every=True)
    (row,) = (line for line in stream.getvalue().splitlines() if "nDCG@10" in line)
    numbers = row.split("nDCG@10")[1].split()
    assert numbers[2] == "+0.000" and ("…" in numbers) == (width >= 80)
