"""Policies: gates that are fastened to an alias run at every promotion, whoever makes it and however."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers import ingest, open_on, vector_of
from inside import versions_of

import vecver
from vecver import repo
from vecver.cli import main
from vecver.errors import AccessError, ConflictError, GateError, NotFoundError, VecverError
from vecver.flows.evaluating import gates, promoting
from vecver.store import LocalStore, MemoryStore, Store

pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")

TEXTS = {f"doc-{n:02}": f"the text number {n}" for n in range(20)}
QUESTIONS = [{"query": text, "vector": vector_of(text).tolist(), "documents": [id]} for id, text in TEXTS.items()]
GATES = ["R@10 >= prod - 0.01", "R@10 >= 0.5"]


def filled(store: Store) -> vecver.Dataset:
    """Version `good` holds every text, `bad` a tenth of them."""
    docs = open_on(store).dataset("d")
    ingest(docs, TEXTS)
    docs.tag("good")
    ingest(docs, {id: TEXTS[id] for id in ("doc-00", "doc-01")})
    docs.tag("bad")
    docs.add_questions("support", QUESTIONS)
    return docs


@pytest.fixture
def docs() -> vecver.Dataset:
    return filled(MemoryStore())


def test_a_policy_runs_at_every_promotion(docs: vecver.Dataset) -> None:
    policy = docs.set_policy("prod", GATES, questions="support")
    assert docs.policy("prod") == policy and policy.gates == tuple(GATES) and docs.policy("staging") is None
    first = docs.promote("prod", "good")  # there is no prod yet with which a gate could compare
    assert first.gating and [gate["gate"] for gate in first.gating["gates"]] == [GATES[1]]
    with pytest.raises(GateError) as raised:
        docs.promote("prod", "bad")
    assert [gate["passed"] for gate in raised.value.context["gates"]] == [False, False]
    again = docs.promote("prod", "good", gates=["P@1 >= 0.9"], questions="support")
    assert again.gating and [gate["gate"] for gate in again.gating["gates"]] == ["P@1 >= 0.9", *GATES]
    assert docs.promote("staging", "bad").gating is None
    docs.remove_policy("prod")
    assert docs.promote("prod", "bad").gating is None


def test_an_override_is_kept_with_the_move_and_looks_at_no_gate(docs: vecver.Dataset) -> None:
    docs.set_policy("prod", GATES, questions="support")
    docs.remove_questions("support")
    with pytest.raises(NotFoundError) as raised:
        docs.promote("prod", "bad")
    assert raised.value.code == "questions_not_found" and docs.aliases() == {}
    docs.promote("prod", "bad", override=" the questions are gone ")
    (move,) = docs.moves("alias", "prod")
    assert move.gating and move.gating["override"] == "the questions are gone"
    assert move.gating["overridden"] == GATES and move.gating["gates"] == []
    for reason in ("", "  "):
        with pytest.raises(VecverError) as refused:
            docs.promote("prod", "good", override=reason)
        assert refused.value.code == "invalid_override"


def test_the_way_back_is_free_and_says_what_was_measured(docs: vecver.Dataset) -> None:
    docs.promote("prod", "bad")
    docs.set_policy("prod", GATES, questions="support")
    docs.promote("prod", "good")
    docs.rollback("prod")
    assert docs.aliases() == {"prod": docs.resolve("bad")}
    assert [bool(move.gating) for move in docs.moves("alias", "prod")] == [False, True, False]


def test_a_rollback_names_what_was_measured_then_and_now(docs: vecver.Dataset) -> None:
    docs.promote("prod", "good", gates=["R@10 >= 0.5"], questions="support")
    assert docs.promote("prod", "bad").measured is None
    move = docs.rollback("prod")
    assert move.measured and move.measured["from"] is None and move.measured["measures"] == {}
    assert move.measured["to"]["measures"] == {"R@10": 1.0} and move.measured["to"]["questions"]["name"] == "support"
    docs.promote("prod", "bad", gates=["R@10 >= 0.05", "P@1 >= 0"], questions="support")
    back = docs.rollback("prod")
    assert back.measured and back.measured["measures"] == {"R@10": {"from": pytest.approx(0.1), "to": 1.0}}
    assert back.measured["from"]["commit"] == docs.resolve("bad") == back.before
    assert "measured" not in back.to_json() and vecver.Move.from_json(back.to_dict()).measured == back.measured
    assert docs.rollback("main", "good").measured is None


def test_policies_live_with_their_dataset(docs: vecver.Dataset) -> None:
    from datetime import timedelta

    docs.set_policy("prod", GATES, questions="support")
    manual = docs.repository.rename_dataset("d", "manual")
    policy = manual.policy("prod")
    assert policy and policy.questions == "support"
    assert docs.repository.check().clean
    store = versions_of(docs).store
    (path,) = store.list("policies/")
    sound = store.get(path)
    store.put(path, b"nonsense")
    assert [problem.object for problem in docs.repository.check().problems] == [path]
    with pytest.raises(VecverError):
        manual.promote("prod", "good")
    store.put(path, sound)
    docs.repository.delete_dataset("manual", apply=True)
    for _ in range(3):
        docs.repository.gc(apply=True, grace=timedelta(0))
    assert not list(store.list("policies/"))


def test_a_writer_that_was_overtaken_is_told(docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    store = versions_of(docs).store
    swap = type(store).swap

    def overtaken(self: Store, name: str, expected: bytes | None, new: bytes) -> None:
        monkeypatch.undo()
        docs.set_policy("prod", ["R@10 >= 0.1"], questions="support")
        swap(self, name, expected, new)

    monkeypatch.setattr(type(store), "swap", overtaken)
    with pytest.raises(ConflictError) as raised:
        docs.set_policy("prod", GATES, questions="support")
    assert raised.value.code == "entries_moved"
    policy = docs.policy("prod")
    assert policy and policy.gates == ("R@10 >= 0.1",)


@pytest.mark.parametrize(
    ("alias", "gates", "questions", "code"),
    [
        ("prod", [], "support", "invalid_gate"),
        ("prod", ["R@10 >="], "support", "invalid_gate"),
        ("prod", ["nope >= 1"], "support", "unknown_measure"),
        ("prod", GATES, None, "no_questions"),
        ("prod", ["R@10 >= prod-0.01"], "support", "invalid_gate"),
        ("prod", GATES, "nothing", "questions_not_found"),
        ("a b", GATES, "support", "invalid_name"),
    ],
)
def test_bad_policies_are_refused(docs: vecver.Dataset, alias: str, gates: Any, questions: Any, code: str) -> None:
    with pytest.raises(VecverError) as raised:
        docs.set_policy(alias, gates, questions=questions)
    assert raised.value.code == code
    with pytest.raises(NotFoundError):
        docs.remove_policy("prod")


def test_an_unknown_dataset_gets_no_policy(docs: vecver.Dataset) -> None:
    with pytest.raises(NotFoundError) as raised:
        docs.repository.dataset("nothing").set_policy("prod", ["ann_recall@10 >= 0.9"])
    assert raised.value.code == "dataset_not_found"


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VECVER_REPO", raising=False)
    filled(LocalStore(tmp_path / ".vecver"))

    def run(*arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    assert json.loads(run("policy", "d", "prod", "--json").stdout) == {"alias": "prod", "policy": None}
    kept = json.loads(run("policy", "d", "prod", "--gate", GATES[1], "--questions", "support", "--json").stdout)
    assert kept["policy"]["gates"] == [GATES[1]] and kept["policy"]["questions"] == "support"
    assert GATES[1] in run("policy", "d", "prod").output
    run("promote", "d", "prod", "bad", code=9)
    shown = run("promote", "d", "prod", "bad", "--override", "hotfix", "--json").stdout
    assert json.loads(shown)["gating"]["override"] == "hotfix"
    run("policy", "d", "prod", "--remove")
    run("policy", "d", "prod", "--remove", code=3)
    run("promote", "d", "prod", "good", "--gate", "R@10 >= 0.5", "--questions", "support")
    assert "R@10  1.0000 → not measured" in run("rollback", "d@prod").output
    run("rollback", "d@prod", "--to", "good")
    run("promote", "d", "prod", "bad", "--gate", "R@10 >= 0.05", "--questions", "support")
    assert "R@10  0.1000 → 1.0000" in run("rollback", "d@prod").output
    assert json.loads(run("rollback", "d@prod", "--to", "bad", "--json").stdout)["measured"]["from"]


def test_over_http_only_an_admin_overrides(tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
    pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")
    from handles import served
    from vecver_service.state.keys import Keys

    filled(LocalStore(tmp_path / "kb"))
    with served(tmp_path) as (url, key):
        _, writer_key = Keys(tmp_path / "state" / "service.sqlite").add("bob", ["d:write"])
        with vecver.connect(url, key) as repository, vecver.connect(url, writer_key) as others:
            admin, writer = repository.dataset("d"), others.dataset("d")
            kept = admin.set_policy("prod", GATES, questions="support")
            assert admin.policy("prod") == writer.policy("prod") == kept
            assert writer.promote("prod", "good").gating
            with pytest.raises(GateError) as raised:
                writer.promote("prod", "bad")
            assert [gate["passed"] for gate in raised.value.context["gates"]] == [False, False]
            weaker = [{**each, "documents": ["doc-00"]} for each in QUESTIONS]
            writer.add_questions("own", weaker)
            for refused in (
                lambda: writer.add_questions("support", weaker),
                lambda: writer.remove_questions("support"),
                lambda: writer.promote("prod", "bad", override="now"),
                lambda: writer.set_policy("prod", ["R@10 >= 0"], questions="support"),
                lambda: writer.remove_policy("prod"),
            ):
                with pytest.raises(AccessError):
                    refused()
            assert admin.aliases() == {"prod": admin.resolve("good")}
            move = admin.promote("prod", "bad", override="the questions are wrong")
            assert move.gating and admin.moves("alias", "prod")[0] == move
            admin.remove_policy("prod")
            assert admin.policy("prod") is None


def test_of_two_first_promotions_at_once_one_loses(docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both pass over the gate that compares with prod itself, since there is none yet."""
    docs.set_policy("prod", GATES[:1], questions="support")
    move = repo.ref_moves.promote

    def after_another(*arguments: Any, **how: Any) -> Any:
        monkeypatch.undo()
        docs.promote("prod", "good")
        return move(*arguments, **how)

    monkeypatch.setattr(repo.ref_moves, "promote", after_another)
    with pytest.raises(ConflictError):
        docs.promote("prod", "bad")
    assert docs.aliases() == {"prod": docs.resolve("good")}


@pytest.mark.parametrize("change", ["moves", "policy"])
def test_what_changes_while_gates_are_measured_stops_the_promotion(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The caller's gate was measured against the alias where it stood before, the policy's against where it is now."""
    docs.promote("prod", "bad")
    docs.set_policy("prod", ["R@10 >= 0.01"], questions="support")
    check = promoting.check_gates

    def and_then(*arguments: Any, **how: Any) -> Any:
        gating = check(*arguments, **how)
        monkeypatch.undo()
        if change == "moves":
            docs.promote("prod", "good")
        else:
            docs.set_policy("prod", ["R@10 >= 0.9"], questions="support")
        return gating

    monkeypatch.setattr(promoting, "check_gates", and_then)
    with pytest.raises(ConflictError) as raised:
        docs.promote("prod", "bad", gates=["R@10 >= prod"], questions="support")
    moved = change == "moves"
    assert raised.value.code == ("ref_moved" if moved else "policy_moved")
    assert docs.aliases() == {"prod": docs.resolve("good" if moved else "bad")}


def test_an_alias_that_moves_while_it_is_resolved_is_not_moved_again(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs.promote("prod", "bad")
    reference = gates._reference

    def and_then(*arguments: Any) -> str:
        commit = reference(*arguments)
        monkeypatch.undo()
        docs.promote("prod", "good")
        return commit

    monkeypatch.setattr(gates, "_reference", and_then)
    with pytest.raises(ConflictError):
        docs.promote("prod", "bad", gates=["R@10 >= prod"], questions="support")
    assert docs.aliases() == {"prod": docs.resolve("good")}


def test_an_alias_that_stands_elsewhere_is_a_conflict_before_anything_is_measured(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs.promote("prod", "good")
    docs.set_policy("prod", GATES, questions="support")
    monkeypatch.setattr(promoting, "check_gates", None)  # whoever measures now fails
    for expected in (docs.resolve("bad"), "absent"):
        with pytest.raises(ConflictError):
            docs.promote("prod", "bad", expected=expected)


def test_a_rollback_is_no_promotion_without_gates(docs: vecver.Dataset) -> None:
    docs.set_policy("prod", GATES, questions="support")
    docs.promote("prod", "good")
    with pytest.raises(ConflictError) as raised:
        docs.rollback("prod", "bad")
    assert raised.value.code == "policy_applies" and "promote" in str(raised.value.hint)
    docs.promote("prod", "bad", override="a hotfix")
    docs.rollback("prod", "good")
    docs.rollback("prod", "bad")  # it stood there
    assert docs.aliases() == {"prod": docs.resolve("bad")}


def test_a_gate_fails_though_the_alias_stands_where_nothing_can_be_measured(docs: vecver.Dataset) -> None:
    ingest(docs, {"other": "none of the documents that the questions name"})
    docs.promote("prod", "main")
    with pytest.raises(GateError) as raised:
        docs.promote("prod", "bad", gates=["R@10 >= 0.5"], questions="support")
    assert raised.value.code == "gate_failed" and raised.value.context["worse"] == []
    assert docs.promote("prod", "bad", gates=["R@10 >= prod"], questions="support").gating


def test_a_version_that_lost_every_judged_document_fails_its_gates(docs: vecver.Dataset) -> None:
    docs.promote("prod", "good")
    ingest(docs, {"other": "none of the documents that the questions name"})
    for gate in GATES:
        with pytest.raises(GateError) as raised:
            docs.promote("prod", "main", gates=[gate], questions="support")
        assert raised.value.context["gates"][0]["value"] == 0 and len(raised.value.context["worse"]) == 10
    broken = docs.bisect("good", "main", gate="R@10 >= 0.05", questions="support")
    assert broken.commit == docs.resolve()


@pytest.mark.parametrize("name", ["good", "main"])
def test_a_policy_is_for_an_alias(docs: vecver.Dataset, name: str) -> None:
    """On a tag or a branch it would look as if it kept something from moving."""
    with pytest.raises(ConflictError) as raised:
        docs.set_policy(name, ["R@10 >= 0.5"], questions="support")
    assert raised.value.code == "name_taken" and docs.policy(name) is None


def test_nothing_takes_the_name_of_an_alias_whose_policy_waits_for_it(docs: vecver.Dataset) -> None:
    """Applications follow a name: a tag or branch of it would be served without a gate."""
    docs.set_policy("prod", ["R@10 >= 0.5"], questions="support")
    takers: list[Any] = [
        lambda: docs.tag("prod", "bad"),
        lambda: docs.branch("prod", "bad"),
    ]
    for take in takers:
        with pytest.raises(ConflictError) as raised:
            take()
        assert raised.value.code == "name_taken" and "has a policy" in raised.value.message
    docs.promote("prod", "good")
    docs.delete_alias("prod")
    with pytest.raises(ConflictError):
        docs.tag("prod", "bad")
    docs.remove_policy("prod")
    docs.tag("prod", "bad")


def test_questions_that_would_measure_nothing_are_refused(docs: vecver.Dataset) -> None:
    docs.set_policy("prod", GATES, questions="support")
    assert list(docs.policies()) == ["prod"]
    with pytest.raises(VecverError) as raised:
        docs.promote("prod", "good", questions="support")
    assert raised.value.code == "conflicting_options" and docs.aliases() == {}
