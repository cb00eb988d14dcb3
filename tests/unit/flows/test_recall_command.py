"""`vecver recall`: what it prints, measures and draws, and what it refuses."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from helpers import ingest, records, vector_of

import vecver
from vecver.cli import main
from vecver.cli.screens.chart import recall_chart

TEXTS = {f"doc-{i:03}": f"the text number {i}" for i in range(150)}


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    docs = repository.dataset("d")
    ingest(docs, TEXTS)
    return docs


def emptied(docs: vecver.Dataset, **how: Any) -> None:
    """A version without a chunk: its only document cannot be read."""
    docs.ingest([{"id": "blank", "text": "", "vector": vector_of("")}], space="test", allow_removals=True, **how)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> vecver.Dataset:
    """A repository in the working directory: v1, then v2 which also has the tag `same`, then `empty`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("VECVER_REPO", "VECVER_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    docs = vecver.open(".vecver", create=True).dataset("d")
    rows = records(TEXTS)
    docs.ingest(rows, space="test", metric="ip", label="rows")
    docs.tag("z-first")
    docs.ingest(rows[:20], space="test", metric="ip", label="rows", allow_removals=True)
    docs.tag("b-second")
    docs.tag("a-same")
    return docs


def run(*arguments: str, code: int = 0, text: str | None = None) -> Result:
    result = CliRunner().invoke(main, list(arguments), input=text, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def test_the_command_and_the_log(here: vecver.Dataset) -> None:
    told = json.loads(run("recall", "d@z-first", "--k", "1,100", "--sample", "7", "--json").stdout)
    assert told["commit"] == here.resolve("z-first") and [at["k"] for at in told["at"]] == [1, 100]
    assert told["queries"]["count"] == 7
    page = run("recall", "d").stdout.splitlines()
    assert page[0] == f"d@main  commit {here.resolve()[:12]}"
    assert page[1] == "  20 chunks, 0 under an index; 20 sampled queries"
    assert page[2].split()[:4] == ["k", "ann_recall", "worst", "below"] and page[3].split()[2:4] == ["1.000", "0.0%"]
    assert "sample: each a chunk's vector moved" in run("recall", "d").stderr
    assert [line.split()[:2] + line.split()[-1:] for line in page[3:]] == [
        ["1", "1.0000", "exact"],
        ["10", "1.0000", "exact"],
    ]
    lines = run("log", "d", "--measures").stdout.splitlines()
    shown = re.compile(r"\trecall: @1 1\.0000 in [\d.]+ ms, .* (20|7) queries · \S{19}")
    assert [number for number, line in enumerate(lines) if shown.fullmatch(line)] == [1, 3]
    assert "recall:" not in run("log", "d").stdout and "measures" not in json.loads(run("log", "d", "--json").stdout)[0]
    entries = json.loads(run("log", "d", "--measures", "--json").stdout)
    assert [entry["measures"]["recall"]["queries"]["count"] for entry in entries] == [20, 7]
    file = Path(".vecver/measures") / here.resolve() / "recall"
    file.write_bytes(file.read_bytes()[:-1])
    assert "recall: damaged, measure again" in run("log", "d", "--measures").stdout
    assert f"measures/{here.resolve()}/recall: " in run("check", code=5).stdout


def test_queries_from_a_file(here: vecver.Dataset) -> None:
    lines = "".join(json.dumps({"vector": vector_of(str(i)).tolist()}) + "\n" for i in range(3))
    Path("queries.jsonl").write_text(lines + "\n")
    for file, text in (("queries.jsonl", None), ("-", lines)):
        told = json.loads(run("recall", "d", "--queries", file, "--json", text=text).stdout)
        assert told["queries"]["source"] == "given" and told["queries"]["count"] == 3


def test_all_measures_every_tag_in_commit_order_and_draws_a_chart(here: vecver.Dataset) -> None:
    assert [tags for _, tags in here.tagged()] == [["z-first"], ["a-same", "b-second"]]
    emptied(here, label="rows")
    here.tag("nothing")
    result = run("recall", "d", "--all", "--json")
    told = json.loads(result.stdout)
    assert "not measured: nothing is empty" in result.stderr and told["drawing"] == "d-recall.svg"
    assert [one["tags"] for one in told["measures"]] == [["z-first"], ["a-same", "b-second"]]
    assert {id for id in (c.id for c in here.log()) if here.measures(id)} == {one["commit"] for one in told["measures"]}
    drawing = ElementTree.parse("d-recall.svg").getroot()
    texts = ["".join(text.itertext()) for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"ann_recall@k", "p50 latency, ms", "version (tag)", "k = 1", "k = 10", "k = 100"} <= set(texts)
    assert {"z-first", "a-same, b-second"} <= set(texts)
    page = run("recall", "d", "--all", "--out", "other.svg", "--k", "1").stdout
    assert page.endswith("drawn: other.svg\n") and Path("other.svg").exists() and page.count("commit ") == 2


def test_a_drawing_of_many_versions_stays_readable(docs: vecver.Dataset) -> None:
    one = docs.recall(sample=3)
    low = replace(one, at=(replace(one.at[0], ann_recall=0.42, p50_ms=1234.0, engine="faiss hnsw"),))
    page = recall_chart("a<b&c", [(f"v{i}<&\"'", one if i % 2 else low) for i in range(100)])
    drawing = ElementTree.fromstring(page)
    texts = ["".join(text.itertext()) for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "a<b&c: recall and latency by version" and {"0.4", "1", "1250"} <= set(texts)
    assert sum(text.startswith("v") and text != "version (tag)" for text in texts) == 25, "as many names as fit"
    lines = [line.get("points", "").split() for line in drawing.iter("{http://www.w3.org/2000/svg}polyline")]
    assert sorted(len(points) for points in lines) == [50, 50, 50, 50, 100, 100]
    width, height = float(drawing.get("width", 0)), float(drawing.get("height", 0))
    places = [tuple(map(float, point.split(","))) for points in lines for point in points]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in places)


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    [
        (["d", "--k", "1,x"], 2, "numbers"),
        (["d", "--k", ""], 2, "numbers"),
        (["d", "--k", "0"], 2, "different numbers from 1"),
        (["d", "--k", "21"], 2, "20 chunks"),
        (["d", "--sample", "0"], 2, "sample"),
        (["d", "--queries", "empty.jsonl"], 2, "holds no query"),
        (["d", "--queries", "nowhere.jsonl"], 2, "cannot be read"),
        (["d", "--queries", "short.jsonl"], 2, "2 dimensions"),
        (["d", "--queries", "short.jsonl", "--sample", "3"], 2, "not both"),
        (["d", "--out", "x.svg"], 2, "--all"),
        (["d", "--all", "--out", "x.png"], 2, "cannot be the drawing"),
        (["d", "--all", "--out", "no/where.svg"], 2, "cannot be the drawing"),
        (["d@z-first", "--all"], 2, "every tag"),
        (["d@nowhere"], 3, "no revision"),
        (["nobody"], 3, "no dataset"),
        (["nobody", "--all"], 3, "no dataset"),
        (["untagged", "--all"], 3, "no tag to measure"),
    ],
)
def test_the_command_refuses(here: vecver.Dataset, arguments: list[str], code: int, name: str) -> None:
    Path("empty.jsonl").write_text("\n")
    Path("short.jsonl").write_text('{"vector": [1, 2]}\n')
    ingest(here.repository.dataset("untagged"), {"a": "one"})
    result = run("recall", *arguments, code=code)
    assert name in result.stderr and "\n  " in result.stderr and not result.stdout
    assert not list(Path().glob("*.svg"))
