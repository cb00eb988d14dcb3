"""Bisecting: the version that broke it is found in as many steps as the history halves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers import SPACE, open_on, records, vector_of
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import versions_of

import vecver
from vecver.cli import main
from vecver.errors import VecverError
from vecver.flows.evaluating.bisecting import bisect
from vecver.store import MemoryStore

VERSIONS = 140
QUERY = vector_of("the answer")


def filled(docs: vecver.Dataset, count: int, broken: int) -> list[str]:
    """So many versions, each with a document more; from number `broken` on the answer is another."""
    for number in range(count):
        text = "the answer" if number < broken else "something else"
        docs.upsert(records({"answer": text, f"doc-{number:03}": f"text {number}"}), space=SPACE, metric="ip")
    return [commit.id for commit in docs.log()][::-1]


@pytest.fixture(scope="module")
def history() -> tuple[vecver.Dataset, list[str]]:
    docs = open_on(MemoryStore()).dataset("d")
    return docs, filled(docs, VERSIONS, 91)


@settings(max_examples=60)
@given(st.integers(1, VERSIONS - 1))
def test_every_break_is_found_in_eight_steps(history: tuple[vecver.Dataset, list[str]], broken: int) -> None:
    docs, commits = history

    def attempt(commit: str) -> tuple[bool, float | None]:
        return commits.index(commit) < broken, None

    found = bisect(versions_of(docs), "d", commits[0], "main", attempt)
    assert found.commit == commits[broken] and found.good == commits[broken - 1] and found.between == 0
    assert found.evaluations <= 8 and len({each.commit for each in found.tested}) == found.evaluations
    assert found.commit in {each.commit for each in found.tested if not each.passed}


def test_a_query_that_lost_its_document(history: tuple[vecver.Dataset, list[str]]) -> None:
    docs, commits = history
    found = docs.bisect(commits[0], query=QUERY, contains="The ANSWER")
    assert found.commit == commits[91] and found.evaluations <= 8
    assert found.diff.changed == ("answer",) and found.diff.added == ("doc-091",)
    assert all((each.value is not None) == each.passed for each in found.tested)


def test_a_measure_that_fell(history: tuple[vecver.Dataset, list[str]]) -> None:
    docs, commits = history
    asked = [{"vector": QUERY.tolist(), "contains": "the answer"}]
    found = docs.bisect(commits[0], gate="R@10 >= 1", questions=asked)
    assert found.commit == commits[91] and {each.value for each in found.tested} == {0.0, 1.0}
    value = json.loads(json.dumps(found.to_json()))
    assert value["commit"] == commits[91] and value["evaluations"] == found.evaluations


def test_versions_without_rows_are_passed_over(tmp_path: Path) -> None:
    docs = open_on(MemoryStore()).dataset("d")
    commits = filled(docs, 12, 7)
    store = versions_of(docs).store
    store.delete(*(f"layouts/{id}" for id in commits[5:8]))
    found = docs.bisect(commits[0], query=QUERY, contains="the answer")
    assert (found.good, found.commit, found.between) == (commits[4], commits[8], 3)


def test_mistakes_are_said(history: tuple[vecver.Dataset, list[str]]) -> None:
    docs, commits = history

    def refused(code: str, good: str, bad: str = "main", **how: Any) -> None:
        with pytest.raises(VecverError) as raised:
            docs.bisect(good, bad, **how)
        assert raised.value.code == code and raised.value.hint

    find: dict[str, Any] = {"query": QUERY, "contains": "the answer"}
    refused("bad_version", commits[0], commits[90], **find)
    refused("good_version", commits[100], **find)
    refused("not_before", "main", commits[0], **find)
    refused("not_before", "main", "main", **find)
    refused("revision_not_found", "v1", **find)
    refused("conflicting_options", commits[0])
    refused("conflicting_options", commits[0], query=QUERY)
    refused("conflicting_options", commits[0], query=QUERY, gate="R@10 >= 1")
    refused("no_questions", commits[0], gate="R@10 >= 1")
    refused("invalid_gate", commits[0], gate="R@10", questions=[{"vector": QUERY.tolist(), "documents": ["answer"]}])


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VECVER_REPO", raising=False)
    docs = vecver.open(tmp_path / ".vecver", create=True).dataset("d")
    for number in range(6):
        text = "the pump moves water" if number < 4 else "nothing at all"
        docs.upsert([{"id": "pump", "text": text}, {"id": f"d{number}", "text": f"page {number}"}], embedder="hashing")
    arguments = ["bisect", "d", "--good", "main~5", "--query", "what moves water", "--contains", "moves water"]
    shown = CliRunner().invoke(main, arguments)
    assert shown.exit_code == 0 and "broke it" in shown.output and "~ pump" in shown.output
    value = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert value["commit"] == docs.resolve("main~1") and value["evaluations"] <= 3
