"""Modes in everything that measures or gates: policies, approvals, promotions, bisections, recall and histories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers import ingest, open_on, vector_of
from inside import versions_of

import vecver
from vecver import repo
from vecver.digest import canonical_json
from vecver.errors import ApprovalError, GateError, InvalidInputError, VecverError
from vecver.model import Approval, Gating, Policy
from vecver.store import MemoryStore

pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")

WORDS = ("kettle", "violin", "glacier", "turbine", "orchid", "ledger", "harbour", "saddle")
TEXTS = {word: f"the {word} stands here" for word in WORDS}
OTHER = dict(zip(WORDS, (*WORDS[1:], WORDS[0]), strict=True))
# The words of a question name its document, and its vector is that of the next one: only its words find it.
QUESTIONS = [{"query": word, "vector": vector_of(TEXTS[OTHER[word]]).tolist(), "documents": [word]} for word in WORDS]
GATE = ["P@1 >= 0.9"]


def _filled(store: MemoryStore) -> vecver.Dataset:
    """Version `good` holds every text, `bad` has lost most of them."""
    docs = open_on(store).dataset("d")
    ingest(docs, TEXTS)
    docs.tag("good")
    ingest(docs, {word: TEXTS[word] for word in WORDS[:2]})
    docs.tag("bad")
    docs.add_questions("words", QUESTIONS)
    return docs


@pytest.fixture
def docs() -> vecver.Dataset:
    return _filled(MemoryStore())


def _code(call: Callable[[], Any]) -> str:
    with pytest.raises(VecverError) as raised:
        call()
    return raised.value.code


# -- gates and policies ---------------------------------------------------------------------------------


def test_the_callers_gates_measure_in_the_mode_that_was_asked(docs: vecver.Dataset) -> None:
    with pytest.raises(GateError) as raised:
        docs.promote("prod", "good", gates=GATE, questions="words")
    assert raised.value.context["gates"][0]["value"] == 0 and "mode" not in raised.value.context["gates"][0]
    move = docs.promote("prod", "good", gates=GATE, questions="words", mode="keyword")
    assert move.gating is not None
    assert move.gating["gates"][0] | {"low": 1, "high": 1} == {
        "gate": GATE[0], "value": 1.0, "bound": 0.9, "passed": True, "low": 1, "high": 1, "mode": "keyword"
    }  # fmt: skip
    assert move.gating["engine"] == {"name": "faiss", "exact": False, "mode": "keyword"}


@pytest.mark.parametrize(("weight", "value"), [(0, 1.0), (0.0, 1.0), (1, 0.0), (1.0, 0.0)])
def test_a_weight_of_0_is_words_alone_and_of_1_vectors_alone(docs: vecver.Dataset, weight: float, value: float) -> None:
    policy = docs.set_policy("prod", ["P@1 >= 0.5"], questions="words", mode="hybrid", weight=weight)
    assert (policy.mode, policy.weight, type(policy.weight)) == ("hybrid", weight, float)
    if value:
        assert docs.promote("prod", "good").gating is not None
        return
    with pytest.raises(GateError) as raised:
        docs.promote("prod", "good")
    assert raised.value.context["gates"][0]["value"] == 0


def test_a_policy_keeps_its_mode_until_another_is_named(docs: vecver.Dataset) -> None:
    """A caller who knows no modes sets gates without one, and must not make the policy one of vectors."""
    docs.set_policy("prod", GATE, questions="words", mode="hybrid", weight=0.25)
    kept = docs.set_policy("prod", ["P@1 >= 0.8"], questions="words", exact=True)
    assert (kept.mode, kept.weight, kept.exact) == ("hybrid", 0.25, True)
    assert docs.set_policy("prod", approval=True).mode == "hybrid"
    assert docs.set_policy("prod", GATE, questions="words", weight=0.5).weight == 0.5
    rrf = docs.set_policy("prod", GATE, questions="words", fusion="rrf")
    assert (rrf.mode, rrf.weight, rrf.fusion) == ("hybrid", None, "rrf")
    dense = docs.set_policy("prod", GATE, questions="words", mode="dense", approval=False)
    assert dense == docs.policy("prod") and (dense.mode, dense.fusion) == ("dense", None)


def test_what_is_stored_of_a_dense_policy_is_what_was_stored_before_there_were_modes() -> None:
    policy = Policy(("P@1 >= 0.9",), "words", False, "faiss", "ann", "2026-11-01T00:00:00")
    assert canonical_json(policy.to_json()) == (
        b'{"author":"ann","engine":"faiss","exact":false,"gates":["P@1 >= 0.9"],"questions":"words",'
        b'"time":"2026-11-01T00:00:00"}'
    )
    assert Policy.from_json(policy.to_json()) == policy
    words = Policy(("P@1 >= 0.9",), "words", mode="hybrid", weight=0.0)
    assert words.to_json()["weight"] == 0.0 and Policy.from_json(words.to_json()) == words
    request = Approval("1", "prod", "c", None, "ann", "", "2026-11-01T00:00:00", gates=("P@1 >= 0.9",))
    assert not {"mode", "weight", "fusion"} & request.to_json().keys()
    assert Approval.from_json(request.to_json()) == request and request.how["mode"] == "dense"


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"mode": "words"}, "invalid_mode"),
        ({"mode": "hybrid", "weight": 1.5}, "invalid_weight"),
        ({"mode": "hybrid", "weight": float("nan")}, "invalid_weight"),
        ({"mode": "hybrid", "weight": True}, "invalid_weight"),
        ({"weight": 0.5}, "conflicting_options"),
        ({"mode": "keyword", "fusion": "rrf"}, "conflicting_options"),
        ({"mode": "hybrid", "fusion": "rrf", "weight": 0.5}, "conflicting_options"),
        ({"mode": "hybrid", "fusion": "sum"}, "invalid_fusion"),
        ({"mode": "keyword", "engine": "milvus"}, "conflicting_options"),
    ],
)
def test_modes_that_cannot_be_measured(docs: vecver.Dataset, how: dict[str, Any], code: str) -> None:
    asked: dict[str, Any] = {"questions": "words", **how}
    assert _code(lambda: docs.set_policy("prod", GATE, **asked)) == code
    assert _code(lambda: docs.promote("prod", "good", gates=GATE, **asked)) == code
    assert _code(lambda: docs.measure_history(measures="P@1", **asked)) == code
    assert _code(lambda: docs.eval(**asked)) == code
    del asked["questions"]
    if "engine" not in how:
        assert _code(lambda: docs.bisect("good", query="kettle", expect="kettle", **asked)) == code
        assert _code(lambda: docs.recall(queries=["kettle"], **asked)) == code
    assert docs.aliases() == {} and docs.policies() == {}


def test_a_mode_without_gates_is_refused_instead_of_ignored(docs: vecver.Dataset) -> None:
    docs.set_policy("prod", GATE, questions="words", mode="keyword")
    assert _code(lambda: docs.promote("prod", "good", mode="hybrid")) == "conflicting_options"
    assert _code(lambda: docs.set_policy("prod", mode="dense")) == "conflicting_options"
    assert _code(lambda: docs.set_policy("prod", approval=True, weight=0.0)) == "conflicting_options"
    assert docs.policies()["prod"].mode == "keyword" and not docs.policies()["prod"].approval
    assert docs.promote("prod", "good").gating is not None


def test_an_index_of_vectors_is_no_matter_of_words(docs: vecver.Dataset) -> None:
    gates = [*GATE, "ann_recall@1 >= 0.9"]
    assert _code(lambda: docs.set_policy("prod", gates, questions="words", mode="keyword")) == "gate_engine"
    assert _code(lambda: docs.promote("prod", "good", gates=gates, questions="words", mode="keyword")) == "gate_engine"
    move = docs.promote("prod", "good", gates=gates, questions="words", mode="hybrid", weight=0.0)
    assert move.gating is not None and [gate.get("mode") for gate in move.gating["gates"]] == ["hybrid", None]


def test_gates_of_two_modes_stand_side_by_side_and_measures_are_those_of_the_policy(docs: vecver.Dataset) -> None:
    docs.set_policy("prod", GATE, questions="words", mode="keyword")
    move = docs.promote("prod", "good", gates=["P@1 <= 0.1", "RR@10 >= 0"], questions="words")
    assert move.gating is not None
    assert [(gate["value"], gate.get("mode")) for gate in move.gating["gates"][::2]] == [(0, None), (1, "keyword")]
    assert move.gating["measures"] == {"P@1": 1.0} and move.gating["engine"]["mode"] == "keyword"


def test_a_rollback_compares_no_measures_of_two_modes(docs: vecver.Dataset) -> None:
    docs.promote("prod", "good", gates=GATE, questions="words", mode="keyword")
    docs.promote("prod", "bad", gates=["P@1 >= 0"], questions="words")
    measured = docs.rollback("prod").measured
    assert measured is not None and measured["measures"] == {} and measured["to"]["measures"] == {"P@1": 1.0}
    docs.promote("prod", "bad", gates=["P@1 >= 0"], questions="words", mode="keyword")
    again = docs.rollback("prod").measured
    assert again is not None and again["measures"] == {"P@1": {"from": 0.25, "to": 1.0}}


# -- approvals ------------------------------------------------------------------------------------------


def _asked(docs: vecver.Dataset, **how: Any) -> dict[str, Any]:
    with pytest.raises(ApprovalError) as raised:
        docs.promote("prod", "good", questions="words", **how)
    approval: dict[str, Any] = raised.value.context["approval"]
    return approval


def test_an_approval_for_vectors_is_none_for_words() -> None:
    store = MemoryStore()
    docs = _filled(store)
    docs.set_policy("prod", approval=True)
    dense = _asked(docs, gates=["P@1 <= 0.1"])
    assert "mode" not in dense and _asked(docs, gates=["P@1 <= 0.1"])["id"] == dense["id"]
    words = _asked(docs, gates=["P@1 <= 1"], mode="hybrid", weight=0.0)
    assert (words["mode"], words["weight"]) == ("hybrid", 0.0) and words["id"] != dense["id"]
    other = _asked(docs, gates=["P@1 <= 1"], mode="hybrid", weight=0.5)
    assert other["id"] != words["id"] and docs.approvals()["prod"].weight == 0.5
    boss = open_on(store, author="boss").dataset("d")
    move = boss.approve("prod")
    assert move.gating is not None and move.gating["engine"]["weight"] == 0.5


def test_what_waits_is_measured_again_in_its_own_mode() -> None:
    store = MemoryStore()
    docs = _filled(store)
    docs.set_policy("prod", approval=True)
    _asked(docs, gates=GATE, mode="keyword")
    docs.set_policy("prod", ["P@1 >= 0.95"], questions="words", mode="keyword")  # what was measured does not hold now
    move = open_on(store, author="boss").dataset("d").approve("prod")
    assert move.gating is not None
    assert [(gate["value"], gate["mode"]) for gate in move.gating["gates"]] == [(1, "keyword"), (1, "keyword")]


def test_a_policy_whose_mode_changed_is_another_policy() -> None:
    store = MemoryStore()
    docs = _filled(store)
    docs.set_policy("prod", GATE, questions="words", mode="keyword", approval=True)
    with pytest.raises(ApprovalError):
        docs.promote("prod", "good")
    docs.set_policy("prod", GATE, questions="words", mode="dense")
    with pytest.raises(GateError):
        open_on(store, author="boss").dataset("d").approve("prod")
    assert docs.aliases() == {}


# -- bisections -----------------------------------------------------------------------------------------


def test_a_bisection_follows_words(docs: vecver.Dataset) -> None:
    ingest(docs, {word: TEXTS[word] for word in WORDS[:1]})
    bad = docs.resolve("bad")
    for how in ({"query": "orchid", "expect": "orchid"}, {"gate": "P@1 >= 0.9", "questions": "words"}):
        assert docs.bisect("good", mode="keyword", **how).commit == bad  # type: ignore[arg-type]
    pair: Any = {"text": "orchid", "vector": vector_of(TEXTS["kettle"])}
    broken = docs.bisect("good", query=pair, contains="orchid", k=1, mode="hybrid", weight=0.0)
    assert broken.commit == bad
    assert _code(lambda: docs.bisect("good", query=pair, contains="orchid", k=1, mode="hybrid", weight=1.0)) == (
        "good_version"  # by vectors alone the first hit is another
    )
    with pytest.raises(TypeError, match=r"bisect\(\) got an unexpected keyword argument 'engine'"):
        docs.bisect("good", query="orchid", expect="orchid", engine="faiss")  # type: ignore[call-arg]


# -- what is stored -------------------------------------------------------------------------------------


def _mean(docs: vecver.Dataset, name: str = "P@1", at: str = "good", **how: Any) -> float | None:
    (version,) = docs.measure_history(at, measures=name, questions="words", **how)
    return version.measures[name].mean if name in version.measures else None


def test_histories_hold_each_mode_weight_and_fusion_apart(docs: vecver.Dataset) -> None:
    measured: list[tuple[dict[str, Any], float]] = [
        ({}, 0.0), ({"mode": "keyword"}, 1.0), ({"mode": "hybrid", "weight": 0.0}, 1.0),
        ({"mode": "hybrid", "weight": 1}, 0.0), ({"mode": "hybrid", "fusion": "rrf"}, 0.5),
    ]  # fmt: skip
    for how, _ in measured:
        assert _mean(docs, **how) is None
    for how, _ in measured[::-1]:
        docs.eval("good", questions="words", measures="P@1", **how)
    for how, expected in measured:
        assert _mean(docs, **how) == docs.eval("good", questions="words", measures="P@1", **how)["P@1"]
        if "fusion" not in how:
            assert _mean(docs, **how) == expected
    assert _mean(docs, mode="keyword", exact=True) == 1.0  # every search by words is exact
    assert _mean(docs, mode="hybrid") is None  # 0.6, as no recipe says another
    docs.eval("good", questions="words", measures="P@1", mode="hybrid", weight=0.6)
    assert _mean(docs, mode="hybrid") == _mean(docs, mode="hybrid", weight=0.6) is not None


def test_a_weight_that_is_not_named_is_that_of_each_versions_recipe(docs: vecver.Dataset) -> None:
    ingest(docs, TEXTS)
    tuning = docs.tune_weight("main", questions="words", measure="P@1", apply=True)
    assert tuning.applied is not None
    docs.eval("main", questions="words", measures="P@1", mode="hybrid")
    docs.eval("main~1", questions="words", measures="P@1", mode="hybrid")
    shown = docs.measure_history(measures="P@1", questions="words", mode="hybrid", limit=2)
    assert [sorted(version.measures) for version in shown] == [["P@1"], ["P@1"]]
    explicit = docs.measure_history(measures="P@1", questions="words", mode="hybrid", weight=tuning.weight, limit=2)
    assert [sorted(version.measures) for version in explicit] == [["P@1"], []]


def test_recall_in_each_mode_has_a_kind_of_its_own(docs: vecver.Dataset) -> None:
    queries: list[Any] = [{"text": word, "vector": vector_of(TEXTS[word])} for word in WORDS[:3]]
    docs.recall("good", k=[2], sample=4)
    by_words = docs.recall("good", k=[1, 5], queries=[each["text"] for each in queries], mode="keyword")
    assert [(at.k, at.ann_recall, at.engine, at.worst) for at in by_words.at] == [(1, 1, "bm25", 1), (5, 1, "bm25", 1)]
    both = docs.recall("good", k=[3], queries=queries, mode="hybrid", weight=0.3)
    assert (both.mode, both.weight, both.fusion, both[3].engine) == ("hybrid", 0.3, "convex", "exact")
    docs.recall("good", k=[3], queries=queries, mode="hybrid", fusion="rrf")
    assert list(docs.measures("good")) == ["recall", "recall-hybrid-convex-0.3", "recall-hybrid-rrf", "recall-keyword"]
    assert "mode" not in docs.measures("good")["recall"]
    asked: list[dict[str, Any]] = [{}, {"mode": "keyword"}, {"mode": "hybrid", "fusion": "rrf"}]
    shown = [_mean(docs, "ann_recall@3", **how) for how in (*asked, {"mode": "hybrid", "weight": 0.3})]
    assert shown == [None, None, 1.0, 1.0]
    assert _mean(docs, "ann_recall@2") == 1.0 and _mean(docs, "ann_recall@5", mode="keyword") == 1.0


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"mode": "keyword"}, "needs_text"),
        ({"mode": "hybrid", "sample": 3}, "needs_text"),
        ({"mode": "hybrid", "queries": [vector_of("a")]}, "needs_text"),
        ({"mode": "keyword", "queries": []}, "empty_query"),
        ({"mode": "keyword", "queries": ["kettle"], "sample": 3}, "conflicting_options"),
        ({"mode": "hybrid", "queries": ["kettle"], "apply": True}, "conflicting_options"),
        ({"mode": "hybrid", "queries": ["kettle"]}, "needs_vector"),  # this version's vectors were given
    ],
)
def test_recall_by_words_needs_words(docs: vecver.Dataset, how: dict[str, Any], code: str) -> None:
    assert _code(lambda: docs.recall("good", **how)) == code


def test_a_comparison_by_words_blames_no_index(docs: vecver.Dataset) -> None:
    """Scores by words change with every document; only a document's own change, or its rivals, moved it."""
    compared = docs.compare("good", "bad", questions=[{"query": "the kettle stands here"}], mode="keyword")
    assert set(compared.to_json()["whys"]) <= {"removed", "rival"} and compared.per_question[0].left


def test_a_gate_on_a_version_whose_words_are_not_listed_says_what_to_do(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vecver.flows.maintaining import postings

    monkeypatch.setattr(postings, "LARGE", 4)
    docs.set_policy("prod", GATE, questions="words", mode="keyword")
    fresh = open_on(versions_of(docs).store).dataset("d")
    with pytest.raises(VecverError) as raised:
        fresh.promote("prod", "good")
    assert raised.value.code == "keywords_not_built" and "optimize" in str(raised.value.hint)
    assert fresh.aliases() == {}


def test_questions_with_filters_are_asked_by_words_under_them(docs: vecver.Dataset) -> None:
    filtered = [{**each, "filter": {"$path": "k"}} for each in QUESTIONS[:2]]  # the second one's document is left out
    docs.add_questions("filtered", filtered)
    with pytest.raises(GateError) as raised:
        docs.promote("prod", "good", gates=GATE, questions="filtered", mode="keyword")
    assert raised.value.context["gates"][0]["value"] == 0.5


def test_an_older_gating_and_one_of_another_mode_are_read(docs: vecver.Dataset) -> None:
    move = docs.promote("prod", "good", gates=GATE, questions="words", mode="keyword")
    assert move.gating is not None and Gating.from_json(move.gating).to_json() == move.gating
    assert repo.with_gating(versions_of(docs).store, move).gating == move.gating


def test_an_unknown_option_is_a_mistake_of_the_call(docs: vecver.Dataset) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: docs.promote("prod", "good", modes="hybrid"),  # type: ignore[call-arg]
        lambda: docs.eval(questions="words", modes="hybrid"),  # type: ignore[call-arg]
        lambda: docs.measure_history(modes="hybrid"),  # type: ignore[call-arg]
        lambda: docs.recall(modes="hybrid"),  # type: ignore[call-arg]
        lambda: docs.eval(),  # type: ignore[call-arg]
    ]
    for call in calls:
        with pytest.raises(TypeError, match="keyword argument"):
            call()
    with pytest.raises(InvalidInputError):
        docs.promote("prod", "good", gates=GATE)
