"""`vecver ls`, `cat` and `chunks`: what they print, for a person, into a pipe and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import vecver
from vecver.cli import main

PAGES = {"guide/pump.md": "# Pump\n\nThe pump moves water.\n", "valve.md": "# Valve\n\nOpen it slowly.\x1b[2J\n"}


@pytest.fixture(autouse=True)
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> vecver.Dataset:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VECVER_REPO", raising=False)
    docs = vecver.open(tmp_path / ".vecver", create=True).dataset("handbook")
    rows = [{"id": id, "text": text, "size": len(text)} for id, text in PAGES.items()]
    docs.ingest(rows, label="pages", embedder="hashing")
    return docs


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def told(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def test_ls_prints_an_id_a_line(docs: vecver.Dataset) -> None:
    assert run("ls", "handbook").stdout.splitlines() == sorted(PAGES)
    assert run("ls", "handbook@main", "--prefix", "guide/").stdout == "guide/pump.md\n"
    assert run("ls", "handbook", "--after", "guide/pump.md", "-n", "1").stdout == "valve.md\n"
    assert told("ls", "handbook", "--where", '{"size": {"$lt": 30}}') == {
        "commit": docs.resolve(),
        "documents": [id for id in sorted(PAGES) if len(PAGES[id]) < 30],
    }


def test_ls_shows_details_and_counts(docs: vecver.Dataset) -> None:
    lines = run("ls", "handbook", "--long").stdout.splitlines()
    assert all(id in line and "pages" in line for id, line in zip(sorted(PAGES), lines, strict=True))
    first = told("ls", "handbook", "-l")["documents"][0]
    assert (first["id"], first["characters"], first["source"]) == ("guide/pump.md", 30, "pages")
    assert told("ls", "handbook", "--count")["documents"] == 2
    assert "2 documents" in run("ls", "handbook", "--count").stdout
    run("ls", "handbook", "--count", "--limit", "3", code=2)
    run("ls", "handbook", "--where", "{", code=2)


def test_cat_prints_texts_as_they_are(docs: vecver.Dataset) -> None:
    assert run("cat", "handbook", "valve.md", "guide/pump.md").stdout == PAGES["valve.md"] + PAGES["guide/pump.md"]
    document = told("cat", "handbook", "valve.md")
    assert document == {"commit": docs.resolve(), "documents": [docs.get("valve.md").to_json()]}
    unknown = run("cat", "handbook", "valv.md", code=3)
    assert "did you mean 'valve.md'" in unknown.stderr and "vecver ls" in unknown.stderr and not unknown.stdout


def test_cat_sends_no_control_character_to_a_terminal(docs: vecver.Dataset) -> None:
    drawn = run("--color", "always", "cat", "handbook", "valve.md").stdout
    assert "Open it slowly." in drawn and "\x1b[2J" not in drawn


def test_chunks_are_lines(docs: vecver.Dataset) -> None:
    every = [chunk.to_json() for chunk in docs.chunks()]
    assert [json.loads(line) for line in run("chunks", "handbook", "--json").stdout.splitlines()] == every
    shown = run("chunks", "handbook").stdout.splitlines()
    assert [line.split()[:2] for line in shown] == [[chunk["key"], chunk["document"]] for chunk in every]
    rest = run("chunks", "handbook", "--after", every[0]["key"], "-n", "1", "--json", "--vectors").stdout
    assert json.loads(rest)["key"] == every[1]["key"] and len(json.loads(rest)["vector"]) > 1


def test_one_chunk_is_shown_with_its_neighbours(docs: vecver.Dataset) -> None:
    key = docs.get("guide/pump.md").chunks[-1].key
    assert "The pump moves water." in run("chunks", "handbook", key).stdout
    assert told("chunks", "handbook", key, "--context", "1")["context"] == docs.chunk(key, context=1).context
    run("chunks", "handbook", key, "--limit", "1", code=2)
    run("chunks", "handbook", "--context", "1", code=2)
    run("chunks", "handbook", "--vectors", code=2)
    run("chunks", "handbook", "0" * 32, code=3)


def test_log_shows_the_versions_that_changed_a_document(docs: vecver.Dataset) -> None:
    first = docs.resolve()
    docs.upsert([{"id": "valve.md", "text": "Open it fast."}], message="Faster")
    docs.upsert([{"id": "other.md", "text": "Another."}], message="Other")
    commits = [entry["commit"] for entry in told("log", "handbook", "valve.md")]
    assert commits == [docs.resolve("main~1"), first]
    assert [entry["commit"] for entry in told("log", "handbook", "--since", first)] == [
        docs.resolve(),
        docs.resolve("main~1"),
    ]
    assert "Faster" in run("log", "handbook@main", "valve.md", "--oneline", "-n", "1").stdout
    assert [entry["commit"] for entry in told("log", "handbook", "valve.md", "--measures")] == commits
    assert "did you mean 'valve.md'" in run("log", "handbook", "valv.md", code=3).stderr
    for option in ("--graph", "--plot=x.svg"):
        assert "draws all versions" in run("log", "handbook", "valve.md", option, code=2).stderr
