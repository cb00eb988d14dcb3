"""Refusals: a version with shuffled vectors, lost documents or another prompt is refused wherever it is promoted.

The gate compares means with a margin of 0.01. `benchmarks/refusals.py` says how often that refuses real versions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from handles import served
from helpers import ingest, vector_of

import vecver
from vecver.cli import main
from vecver.errors import GateError

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")
pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")

TEXTS = {f"doc-{n:02}": f"the text number {n}" for n in range(60)}
QUESTIONS = [{"query": text, "vector": vector_of(text).tolist(), "documents": [id]} for id, text in TEXTS.items()]
FAULTS = ("shuffled", "dropped", "prompted")
GATES = ["R@10 >= prod - 0.01", "nDCG@10 >= prod - 0.01"]


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a sound version at `prod`, and one of each fault under a tag."""
    place = tmp_path_factory.mktemp("refusals")
    docs = vecver.open(place / "kb", create=True).dataset("d")
    ingest(docs, TEXTS)
    docs.promote("prod", "main")
    docs.add_questions("support", QUESTIONS)
    sound = [{"id": id, "text": text, "vector": vector_of(text)} for id, text in TEXTS.items()]
    moved = {"doc-10": "doc-30", "doc-30": "doc-50", "doc-50": "doc-10"}  # 3 of 60 are 5%
    versions: dict[str, list[dict[str, Any]]] = {
        "shuffled": [{**row, "vector": vector_of(TEXTS[moved.get(str(row["id"]), str(row["id"]))])} for row in sound],
        "dropped": [row for row in sound if not str(row["id"]).startswith("doc-1")],
        "prompted": [{**row, "vector": vector_of(f"query: {row['text']}")} for row in sound],
    }
    for name, rows in versions.items():
        docs.ingest(rows, space="test", metric="ip", allow_removals=True)
        docs.tag(name)
    return place


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("gate", GATES)
def test_in_python(kb: Path, fault: str, gate: str) -> None:
    docs = vecver.open(kb / "kb").dataset("d")
    with pytest.raises(GateError) as raised:
        docs.promote("prod", fault, gates=[gate], questions="support")
    _refused(raised.value.context["gates"], docs)


@pytest.mark.parametrize("fault", FAULTS)
def test_at_the_command_line(kb: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECVER_REPO", str(kb / "kb"))
    command = ["promote", "d", "prod", fault, "--questions", "support", "--json"]
    result = CliRunner().invoke(main, [*command, *(part for gate in GATES for part in ("--gate", gate))])
    assert result.exit_code == 9
    _refused(json.loads(result.stdout)["gates"], vecver.open(kb / "kb").dataset("d"))


def test_over_http(kb: Path) -> None:
    with served(kb) as (url, key), vecver.connect(url, key) as repository:
        docs = repository.dataset("d")
        for fault in FAULTS:
            body = {"alias": "prod", "ref": fault, "gates": GATES, "questions": "support"}
            how = {"json": body, "headers": {"authorization": f"Bearer {key}"}}
            answer = httpx.post(f"{url}/v1/datasets/d/promote", timeout=60, **how)
            assert answer.status_code == 409 and answer.json()["code"] == "gate_failed"
            _refused(answer.json()["context"]["gates"], docs)
            with pytest.raises(GateError) as raised:
                docs.promote("prod", fault, gates=GATES, questions="support")
            _refused(raised.value.context["gates"], docs)


def _refused(gates: list[dict[str, Any]], docs: Any) -> None:
    """No gate holds, and `prod` has not moved. Of 60 questions, three or more lost the only document that answers."""
    for gate in gates:
        assert not gate["passed"] and gate["value"] < gate["bound"] - 0.01
        assert not gate["gate"].startswith("R@10") or gate["value"] <= 57 / 60
    assert docs.aliases() == {"prod": docs.resolve("main~3")}
