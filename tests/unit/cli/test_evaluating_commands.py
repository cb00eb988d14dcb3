"""`vecver questions` and `vecver eval`: shapes of their JSON, what they say, and what they refuse."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

import vecver
from vecver.cli import main
from vecver.cli.screens.comparisons import show_comparison
from vecver.cli.screens.drift import show_drift
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


def test_the_log_has_columns_of_measures() -> None:
    run("questions", "handbook", "add", "support", "support.jsonl")
    measured = value_of("eval", "handbook", "--questions", "support")
    run("recall", "handbook", "-k", "1")
    for words in (
        ("handbook", "--measures", "R@10,ann_recall@1,ann_recall@7"),
        ("--measures", "R@10,ann_recall@1,ann_recall@7", "handbook"),
        ("--measures=R@10,ann_recall@1,ann_recall@7", "-n", "3", "handbook"),
        ("--questions", "support", "--measures", "R@10,ann_recall@1,ann_recall@7", "handbook@main"),
    ):
        (commit,) = value_of("log", *words)
        assert commit["measures"]["R@10"].items() >= measured["measures"]["R@10"].items()
        assert set(commit["measures"]) == {"R@10", "ann_recall@1"}  # the third was not measured
        mean = measured["measures"]["R@10"]["mean"]
        assert f"R@10 {mean:.4f}  ann_recall@1 1.0000  ann_recall@7 -" in run("log", *words).stdout
        assert f"R@10 {mean:.4f}" in run("log", "--graph", *words).stdout


def test_measures_without_names_is_what_it_was() -> None:
    run("recall", "handbook", "-k", "1")
    for words in (("handbook", "--measures"), ("--measures", "handbook"), ("--measures", "handbook", "-n", "2")):
        (commit,) = value_of("log", *words)
        assert set(commit["measures"]) == {"recall"} and commit["measures"]["recall"]["at"][0]["k"] == 1
        assert "\trecall: @1 1.0000 in " in run("log", *words).stdout
    assert "measures" not in value_of("log", "handbook")[0]
    run("log", "--measures", code=2)
    assert "no measure 'hand'" in run("log", "handbook", "--measures", "hand", code=2).output


def test_the_log_draws_measures(tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="no jinja2: install vecver[eval]")
    run("questions", "handbook", "add", "support", "support.jsonl")
    run("eval", "handbook", "--questions", "support")
    run("tag", "handbook", "v<1", code=2)
    run("promote", "handbook", "prod")
    drawn = run("log", "handbook", "--plot", "drawing.svg")
    assert "drawn: drawing.svg" in drawn.stderr and "handbook" not in drawn.stdout
    root = ElementTree.parse(tmp_path / "drawing.svg").getroot()
    texts = {each.text for each in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"nDCG@10", "R@10", "RR@10", "Success@5", "prod, main"} <= texts
    assert isinstance(value_of("log", "handbook", "--measures", "R@10", "--plot", "page.html"), list)
    assert "R@10" in (tmp_path / "page.html").read_text("utf-8")
    for words, message in (
        (("--plot", "drawing.png"), "cannot be the drawing"),
        (("--plot", "no/folder.svg"), "cannot be written"),
        (("--plot", "x.svg", "--graph"), "--graph lists all"),
        (("--questions", "support"), "by what named measures were made"),
    ):
        assert message in run("log", "handbook", *words, code=2).output


def test_reports_are_written_beside_what_is_shown(tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="no jinja2: install vecver[eval]")
    (tmp_path / "pages/valve.md").write_text("# Valve\n\nNothing here.\n", "utf-8")
    run("ingest", "handbook", "pages")
    compared = value_of("compare", "handbook", "main~1", "main", "--questions", "support.jsonl", "--report", "c.html")
    measured = value_of("eval", "handbook", "--questions", "support.jsonl", "--report", "e.html", "--per-question")
    for file, name, value in (("c.html", "comparison", compared), ("e.html", "evaluation", measured)):
        page = (tmp_path / file).read_text("utf-8")
        block = page.partition('id="data">')[2].partition("</script>")[0]
        assert json.loads(block)[name] == value
    refused = run("compare", "handbook", "main~1", "--questions", "support.jsonl", "--report", "no/x.html", code=2)
    assert "no/x.html cannot be written" in refused.output


def test_a_person_is_told_by_which_search_was_measured_and_why_answers_differ(handbook: Path) -> None:
    docs = vecver.open(".vecver").dataset("handbook")
    stream = StringIO()
    screen = console.Screen(stream, True, 100, 50, False, False, True)
    measured = [docs.eval(questions="support.jsonl", mode=mode) for mode in ("dense", "hybrid")]
    for each in measured:
        show_evaluation(screen, "handbook@main", each, per_question=False)
    dense, hybrid = (line for line in stream.getvalue().splitlines() if line.startswith("questions: "))
    assert "hybrid" not in dense and "3 judged · hybrid, weight 0.6 · " in hybrid
    (handbook / "pages" / "key.md").unlink()
    run("ingest", "handbook", "pages")
    stream = StringIO()
    screen = console.Screen(stream, True, 100, 50, False, False, True)
    show_comparison(screen, docs.compare("main~1", "main", questions="support.jsonl"), ("main~1", "main"), every=True)
    assert "document removed 4" in stream.getvalue()  # each of the four questions had brought all three pages
    drift = run("drift", "handbook", "main~1", "main").output
    assert "0 statistics moved" in drift
    show_drift(screen, docs.drift("main~1", "main"), ("main~1", "main"), every=False)
    assert "documents 3 → 2 · chunks 6 → 4 · 1 document differs" in stream.getvalue()


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("--mode", "keyword", "--weight", "0.3"), "use --mode hybrid"),
        (("--mode", "hybrid", "--fusion", "rrf", "--weight", "0.3"), "leave out --weight, or use --fusion convex"),
        (("--rerank-top", "5"), "name one with --rerank"),
    ],
)
def test_advice_about_modes_names_options(arguments: tuple[str, ...], advice: str) -> None:
    result = run("search", "handbook", "valve", *arguments, code=2)
    assert advice in result.output
