"""Gates: an alias moves only to a version that is worth it, and what was measured is kept with the move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import SPACE, ingest, records, vector_of
from inside import versions_of

import vecver
from vecver.cli import main
from vecver.errors import ConflictError, GateError, VecverError
from vecver.flows.evaluating.gates import Gate
from vecver.repo.refs import refs

pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")

TEXTS = {f"doc-{n:02}": f"the text number {n}" for n in range(60)}
QUESTIONS = [{"query": text, "vector": vector_of(text).tolist(), "documents": [id]} for id, text in TEXTS.items()]


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    """Version `good` finds every text; `shuffled` has the vectors of every tenth moved on, `dropped` lacks a family."""
    docs = repository.dataset("d")
    rows = records(TEXTS)
    for row in rows:
        row["vector"] = row["vector"] / np.linalg.norm(row["vector"])
    docs.ingest(rows, space=SPACE, metric="cosine", label="rows")
    docs.tag("good")
    moved = {n: rows[(n + 10) % 60]["vector"] for n in range(0, 60, 10)}
    shuffled = [{**row, "vector": moved.get(n, row["vector"])} for n, row in enumerate(rows)]
    docs.ingest(shuffled, space=SPACE, metric="cosine", label="rows")
    docs.tag("shuffled")
    docs.ingest(
        [row for row in rows if not row["id"].startswith("doc-1")], label="rows", space=SPACE, allow_removals=True
    )
    docs.tag("dropped")
    docs.add_questions("support", QUESTIONS)
    return docs


def test_an_alias_moves_to_a_version_that_is_worth_it(docs: vecver.Dataset) -> None:
    move = docs.promote(
        "prod", "good", gates=["R@10 >= 0.95", "RR@10 > 0.9", "ann_recall@10 >= 0.95"], questions="support"
    )
    assert docs.aliases() == {"prod": docs.resolve("good")}
    assert move.gating and [gate["passed"] for gate in move.gating["gates"]] == [True] * 3
    assert move.gating["questions"]["name"] == "support" and move.gating["measures"]["R@10"] == 1.0
    (kept,) = docs.moves("alias", "prod")
    assert kept == move and kept.to_dict()["gating"] == move.gating and "gating" not in kept.to_json()


@pytest.mark.parametrize("version", ["shuffled", "dropped"])
@pytest.mark.parametrize("gate", ["R@10 >= prod - 0.01", "nDCG@10 >= prod - 0.01", "R@10 >= 0.95"])
def test_a_worse_version_is_refused_and_the_alias_stays(docs: vecver.Dataset, version: str, gate: str) -> None:
    docs.promote("prod", "good")
    with pytest.raises(GateError) as raised:
        docs.promote("prod", version, gates=[gate], questions="support")
    error = raised.value
    assert error.code == "gate_failed" and gate in error.message
    (failed,) = error.context["gates"]
    assert not failed["passed"] and failed["value"] < 0.95
    lost = {loss["query"] for loss in error.context["worse"]}
    assert lost and lost <= {
        TEXTS[f"doc-{n:02}"] for n in (range(10, 20) if version == "dropped" else range(0, 60, 10))
    }
    assert docs.aliases() == {"prod": docs.resolve("good")} and len(docs.moves("alias", "prod")) == 1


def test_the_same_version_again_passes(docs: vecver.Dataset) -> None:
    docs.promote("prod", "good")
    move = docs.promote(
        "prod", "good", gates=["nDCG@10 >= prod", "R@5 >= prod - 0", "P@3 <= prod + 0.0"], questions="support"
    )
    assert move.gating and all(gate["low"] == gate["high"] == 0 for gate in move.gating["gates"])


def test_an_alias_that_moved_meanwhile_is_not_moved_again(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs.promote("prod", "good")
    from vecver.flows.evaluating import gates

    measure = gates.measure

    def while_another_promotes(*arguments: Any, **how: Any) -> Any:
        monkeypatch.undo()
        docs.promote("prod", "shuffled")
        return measure(*arguments, **how)

    monkeypatch.setattr(gates, "measure", while_another_promotes)
    with pytest.raises(ConflictError) as raised:
        docs.promote("prod", "good", gates=["R@10 >= 0.5"], questions="support")
    assert raised.value.code == "ref_moved" and docs.aliases() == {"prod": docs.resolve("shuffled")}


def test_an_older_vecver_can_make_the_next_move(docs: vecver.Dataset) -> None:
    """It knows no gates: the digest of a gated move is that of the fields that it knows."""
    docs.promote("prod", "good", gates=["R@10 >= 0.5"], questions="support")
    store = versions_of(docs).store
    (stored,) = [name for name in store.list("moves/") if '"promote"' in store.get(name).decode()]
    assert "gating" not in json.loads(store.get(stored))
    docs.promote("prod", "shuffled")
    assert [bool(move.gating) for move in docs.moves("alias", "prod")] == [False, True]
    docs.rollback("prod")
    assert docs.aliases() == {"prod": docs.resolve("good")} and docs.repository.check().clean


def test_gc_keeps_what_was_measured_for_moves_and_check_reads_it(docs: vecver.Dataset) -> None:
    from datetime import timedelta

    docs.promote("prod", "good", gates=["R@10 >= 0.5"], questions="support")
    store = versions_of(docs).store
    store.put(refs.gating_path("0" * 64), b"{}")  # its promotion lost its race
    for _ in range(3):
        docs.repository.gc(apply=True, grace=timedelta(0))
    (kept,) = store.list("gatings/")
    assert docs.moves("alias", "prod")[0].gating and docs.repository.check().clean
    store.put(kept, b"nonsense")
    assert [problem.object for problem in docs.repository.check().problems] == [kept]


@pytest.mark.parametrize(
    ("gate", "code"),
    [
        ("", "invalid_gate"),
        ("R@10", "invalid_gate"),
        ("R@10 = 0.5", "invalid_gate"),
        ("R@10 >= prod -", "invalid_gate"),
        ("R@10 >= prod + -0.1", "invalid_gate"),
        ("R@10 => 0.5", "invalid_gate"),
        ("R@10 >= 0.5 0.6", "invalid_gate"),
        ("nope@10 >= 0.5", "unknown_measure"),
        ("R@10 >= staging - 0.01", "gate_reference_not_found"),
        ("R@10 >= staging-0.01", "invalid_gate"),
        ("R@10 >= nan", "gate_reference_not_found"),
        ("R@10 >= prod", "gate_reference_not_found"),
        ("Forbidden@10 <= 0", "no_judgments"),
    ],
)
def test_bad_gates_are_refused(docs: vecver.Dataset, gate: str, code: str) -> None:
    with pytest.raises(VecverError) as raised:
        docs.promote("prod", "good", gates=[gate], questions="support")
    assert raised.value.code == code and raised.value.hint and docs.aliases() == {}


def test_gates_on_relevance_need_questions(docs: vecver.Dataset) -> None:
    with pytest.raises(VecverError) as raised:
        docs.promote("prod", "good", gates=["R@10 >= 0.5"])
    assert raised.value.code == "no_questions"
    assert docs.promote("prod", "good", gates="ann_recall@10 >= 0.95").gating


@pytest.mark.parametrize(
    ("text", "against", "number"),
    [
        ("nDCG@10>=0.60", None, 0.6),
        ("R@10 >= prod - 0.01", "prod", -0.01),
        ("R@10 > main~2 + 1e-3", "main~2", 0.001),
        ("AP <= v1", "v1", 0.0),
        ("ann_recall@10 >= .95", None, 0.95),
        ("nDCG(dcg='exp-log2')@10 >= 0.5", None, 0.5),
    ],
)
def test_gates_are_read(text: str, against: str | None, number: float) -> None:
    gate = Gate.of(text)
    assert (gate.against, gate.number) == (against, number)


def test_the_command_line_exits_with_9(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VECVER_REPO", raising=False)
    docs = vecver.open(tmp_path / ".vecver", create=True).dataset("d")
    ingest(docs, TEXTS)
    docs.add_questions("support", [*QUESTIONS[:5], {**QUESTIONS[7], "documents": ["lost"]}])

    def promote(gate: str, *more: str) -> Any:
        return CliRunner().invoke(main, ["promote", "d", "prod", "--questions", "support", "--gate", gate, *more])

    refused = promote("R@10 >= 0.9", "--json")
    assert refused.exit_code == 9 and docs.aliases() == {}
    value = json.loads(refused.stdout)
    assert value["code"] == "gate_failed" and value["gates"][0]["passed"] is False
    assert value["gates"][0]["value"] == pytest.approx(5 / 6)
    assert json.loads(refused.stderr.splitlines()[-1])["error"]["code"] == "gate_failed"
    passed = promote("R@10 >= 0.8")
    assert passed.exit_code == 0 and "passed  R@10 >= 0.8" in passed.output and "prod" in docs.aliases()
    again = promote("R@10 >= prod", "--json")
    assert again.exit_code == 0 and json.loads(again.stdout)["gating"]["gates"][0]["bound"] == pytest.approx(5 / 6)
