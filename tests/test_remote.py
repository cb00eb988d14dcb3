"""The client of the HTTP service: what it sends, what it makes of the answers, and when it asks again."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import Any

import pytest

from vecver.errors import AccessError, VecverError
from vecver.model import Answer, Diff, Failure, Hit, Publication, Replay, Report

HIT = Hit(
    rank=1,
    score=0.1 + 0.2,
    score_bits="3fd3333333333334",
    document="guide/Wärme.md",
    key="0f" * 16,
    span=(3, 17),
    text="bleed\u2028the valve",
    title="",
    metadata={"year": 2024, "tags": ["a", "b"], "deep": {"x": None}},
)
REPORT = Report(
    dataset="handbook",
    commit="c" * 64,
    changed=True,
    documents={"added": 1, "changed": 0, "removed": 0, "unchanged": 2, "failed": 1},
    chunks={"live": 9, "embedded": 3, "reused": 0, "removed": 0},
    failures=(Failure("a.pdf", "encrypted", "It needs a password."),),
    seconds={"parse": 0.125, "chunk": 0.0, "embed": 1.5, "write": 0.25},
    tokens=120,
    names={"added": ("b.md",), "changed": (), "removed": ()},
    notes=("not published",),
)
PUBLICATION = Publication(
    uri="http://localhost:19530",
    database="",
    collection="handbook_1",
    alias="",
    ordinal=3,
    filter="born <= 3 and died > 3",
    metric="IP",
    index="FLAT",
    dim=8,
    fields=("vector", "text"),
    dataset="handbook",
    commit="c" * 64,
    chunks=9,
)


@pytest.mark.parametrize(
    "value",
    [
        HIT,
        replace(HIT, context="before bleed after"),
        Answer("handbook", "prod", "c" * 64, (HIT, replace(HIT, rank=2)), {"digest": "d" * 64}),
        Diff("b" * 64, "c" * 64, ("x",), ("y", "z"), (), 4, 1),
        Failure("a.pdf", "encrypted", "It needs a password."),
        replace(REPORT, names={}),
        replace(REPORT, names={}, commit=None, dry_run=True),
        PUBLICATION,
        Replay(False, ("the hits differ",), 0.9, ("a note",)),
        Replay(True, (), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_travelled_is_the_same(value: Any) -> None:
    assert type(value).from_json(json.loads(json.dumps(value.to_json()))) == value


def test_a_report_travels_with_the_names_that_were_added_to_it() -> None:
    sent = {**REPORT.to_json(), "names": {"added": ["b.md"], "changed": [], "removed": []}}
    assert Report.from_json(json.loads(json.dumps(sent))) == REPORT


def test_what_a_newer_service_adds_is_no_obstacle() -> None:
    assert Hit.from_json({**HIT.to_json(), "colour": "red"}) == HIT
    assert Publication.from_json({**PUBLICATION.to_json(), "colour": "red"}) == PUBLICATION


def test_access_errors_are_told_apart_by_a_script() -> None:
    error = pickle.loads(pickle.dumps(AccessError("no", code="forbidden", hint="ask", scope="x:read")))
    assert isinstance(error, VecverError)
    assert (error.exit_code, error.http_status, error.context) == (8, 403, {"scope": "x:read"})
