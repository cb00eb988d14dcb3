"""Tuning: the curve is what eval measures, the choice is proved by folds, and a weight is committed on a branch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import vecver
from vecver.cli import main
from vecver.errors import InvalidInputError
from vecver.flows.evaluating.measures import parsed
from vecver.flows.evaluating.tuning import WEIGHTS, _best
from vecver.flows.searching.hybrid import DEFAULT_WEIGHT

pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")
WORDS = ["pump", "valve", "radiator", "boiler", "key", "door", "window", "lathe", "tax", "form", "stove", "pipe"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    rows = [{"id": f"{a}-{b}", "text": f"the {a} of a {b} and {a} again"} for a in WORDS for b in WORDS if a != b]
    docs.ingest(rows, embedder="hashing", chunker="whole")
    asked = [{"query": f"{a} {b}", "documents": [f"{a}-{b}"]} for a, b in pairwise(WORDS)]
    docs.add_questions("q", asked)
    yield tmp_path


def test_the_curve_is_what_eval_measures(place: Path) -> None:
    docs = vecver.open(place / "kb").dataset("d")
    tuning = docs.tune_weight(questions="q")
    assert [weight for weight, _ in tuning.curve] == [step / 20 for step in range(21)]
    curve = dict(tuning.curve)
    for weight in (0.0, 0.35, 1.0):
        measured = docs.eval(questions="q", mode="hybrid", weight=weight).measures["nDCG@10"].mean
        assert curve[weight] == pytest.approx(measured, abs=1e-9)
    assert tuning.dense == docs.eval(questions="q").measures["nDCG@10"].mean
    assert tuning.keyword == docs.eval(questions="q", mode="keyword").measures["nDCG@10"].mean
    sides, mixtures = max(curve[0.0], curve[1.0]), max(curve[weight / 20] for weight in range(1, 20))
    assert tuning.gain is not None and tuning.gain_error is not None
    assert tuning.gain == pytest.approx(mixtures - sides)
    best = mixtures if tuning.gain > tuning.gain_error else sides
    assert curve[tuning.weight] == best
    assert tuning == docs.tune_weight(questions="q") and tuning.applied is None
    assert vecver.Tuning.from_json(json.loads(json.dumps(tuning.to_json()))) == tuning
    assert docs.show().recipe.hybrid is None and len(list(docs.log())) == 1


def values(*gains: float, count: int = 40) -> Any:
    """Words alone as 0.5 on each question, vectors as 0.1, and mixtures that gain so much on words by question."""
    table = np.full((len(WEIGHTS), count), 0.5)
    table[-1], table[1:-1] = 0.1, 0.5 + np.resize(gains, count)
    return table


def test_a_side_alone_is_taken_unless_the_best_mixture_gains_more_than_its_error() -> None:
    wanted, default = parsed("nDCG@10"), WEIGHTS.index(DEFAULT_WEIGHT)
    assert _best(values(0.1), wanted) == (default, pytest.approx(0.1), pytest.approx(0.0))
    assert _best(values(0.3, -0.1, count=16), wanted) == (default, pytest.approx(0.1), pytest.approx(0.2 / 15**0.5))
    number, gain, error = _best(values(0.2, -0.19, count=16), wanted)
    assert number == 0 and gain == pytest.approx(0.005) and error == pytest.approx(0.195 / 15**0.5)
    assert _best(values(-0.1), wanted).row == _best(values(0.0), wanted).row == 0
    assert _best(values(-0.1)[::-1], wanted).row == len(WEIGHTS) - 1
    lower = parsed("Forbidden@10")
    assert lower.lower_is_better and _best(1 - values(0.1), lower).row == default


def test_modes_have_runs_of_their_own(place: Path) -> None:
    docs = vecver.open(place / "kb").dataset("d")
    engines = [
        docs.eval(questions="q", **how).engine  # type: ignore[arg-type]
        for how in ({}, {"mode": "keyword"}, {"mode": "hybrid"}, {"mode": "hybrid", "fusion": "rrf"})
    ]
    assert engines[0] == {"name": "exact"} and len({json.dumps(engine) for engine in engines}) == 4
    assert engines[2]["weight"] == 0.6 and "weight" not in engines[3]
    assert docs.eval(questions="q", mode="hybrid", weight=0.6).reused


def test_the_weight_is_committed_on_a_branch_and_kept(place: Path) -> None:
    docs = vecver.open(place / "kb").dataset("d")
    before = docs.show()
    docs.tag("v1")
    tuning = docs.tune_weight(questions="q", apply=True)
    after = docs.show()
    assert tuning.applied == after.id and after.parents == (before.id,)
    assert after.recipe.hybrid == {"weight": tuning.weight} and after.recipe.fingerprint == before.recipe.fingerprint
    assert (after.content_root, after.vector_root) == (before.content_root, before.vector_root)
    assert after.operation["kind"] == "tune" and after.operation["weight"] == tuning.weight
    assert docs.search("pump", mode="hybrid").receipt["options"]["weight"] == tuning.weight
    assert docs.search("pump", mode="hybrid", at="v1").receipt["options"]["weight"] == 0.6
    again = docs.tune_weight(questions="q", apply=True)
    assert again.applied == after.id and len(list(docs.log())) == 2  # the recipe says it already
    docs.upsert([{"id": "new", "text": "a new stove"}])
    assert docs.show().recipe.hybrid == {"weight": tuning.weight}
    assert not vecver.open(place / "kb").check().problems
    for revision in ("v1", after.id, "main~1"):
        with pytest.raises(InvalidInputError) as caught:
            docs.tune_weight(revision, questions="q", apply=True)
        assert caught.value.code == "not_a_branch"
    docs.rollback("main", to=before.id)
    assert docs.show().recipe.hybrid is None


def test_few_questions_and_bad_options_are_refused(place: Path) -> None:
    docs = vecver.open(place / "kb").dataset("d")
    few: Any = [{"query": "pump valve", "documents": ["pump-valve"]}]
    with pytest.raises(InvalidInputError) as caught:
        docs.tune_weight(questions=few)
    assert caught.value.code == "too_few_questions"

    def run(*options: str) -> Any:
        return CliRunner().invoke(main, ["--repo", str(place / "kb"), "eval", "d", "--questions", "q", *options])

    assert run("--apply").exit_code == run("--tune", "weight", "--mode", "hybrid").exit_code == 2
    shown = run("--tune", "weight")
    assert shown.exit_code == 0 and "cross-validated" in shown.output and "Nothing was changed" in shown.output
    assert json.loads(run("--tune", "weight", "--json", "--apply").stdout)["applied"] == docs.resolve()
