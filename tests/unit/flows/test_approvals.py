"""Approvals: a promotion that held its gates moves its alias once somebody else approves it, and never otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers import ingest, open_on, vector_of
from inside import versions_of

import vecver
from vecver import repo
from vecver.cli import main
from vecver.errors import AccessError, ApprovalError, ConflictError, GateError, NotFoundError, VecverError
from vecver.flows.evaluating import gates
from vecver.model import Approval
from vecver.repo import approvals
from vecver.store import LocalStore, MemoryStore, Store

pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")

TEXTS = {f"doc-{n:02}": f"the text number {n}" for n in range(20)}
QUESTIONS = [{"query": text, "vector": vector_of(text).tolist(), "documents": [id]} for id, text in TEXTS.items()]
GATES = ["R@10 >= prod - 0.01", "R@10 >= 0.05"]


def filled(store: Store) -> vecver.Repository:
    """`good` holds every text, `bad` a tenth of them; prod stands at `bad`, and its policy asks for an approval."""
    repository = open_on(store)
    docs = repository.dataset("d")
    ingest(docs, TEXTS)
    docs.tag("good")
    ingest(docs, {id: TEXTS[id] for id in ("doc-00", "doc-01")})
    docs.tag("bad")
    docs.add_questions("support", QUESTIONS)
    docs.promote("prod", "bad")
    docs.set_policy("prod", GATES, questions="support", approval=True)
    return repository


@pytest.fixture
def repository() -> vecver.Repository:
    return filled(MemoryStore())


def as_(name: str, repository: vecver.Repository, key: str = "") -> vecver.Dataset:
    return repository.signed(name, key).dataset("d")


def ask(repository: vecver.Repository, at: str = "good", name: str = "alice", **how: Any) -> Approval:
    with pytest.raises(ApprovalError) as raised:
        as_(name, repository).promote("prod", at, **how)
    assert raised.value.code == "approval_needed" and "docs.approve('prod')" in raised.value.hint
    return Approval.from_json(raised.value.context["approval"])


def test_somebody_else_lets_the_alias_move(repository: vecver.Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = as_("alice", repository), as_("bob", repository)
    request = ask(repository)
    assert alice.aliases() == {"prod": alice.resolve("bad")}
    (waiting,) = bob.approvals().values()
    assert waiting.id == request.id and waiting.state == "waiting" and waiting.author == "alice"
    monkeypatch.setattr(gates, "measure", None)  # whoever measures again fails
    move = bob.approve("prod", "good")
    assert alice.aliases() == {"prod": alice.resolve("good")} and move.author == "bob"
    assert move.gating and [gate["value"] for gate in move.gating["gates"]] == [1.0, 1.0]
    asked = {"request": request.id, "asked_by": "alice", "asked_key": "", "asked": request.time}
    assert move.gating["approval"] == {**asked, "approved_by": "bob", "approved_key": ""}
    assert alice.moves("alias", "prod")[0] == move
    decided = alice.approvals()["prod"]
    assert (decided.state, decided.decided_by, decided.decided) == ("approved", "bob", move.time)
    assert repository.check().clean


def test_one_does_not_approve_ones_own(repository: vecver.Repository) -> None:
    with pytest.raises(ApprovalError):
        as_("alice", repository, "k1").promote("prod", "good")
    for own in (as_("alice", repository, "k1"), as_("alice", repository, "k2"), as_("renamed", repository, "k1")):
        with pytest.raises(AccessError) as raised:
            own.approve("prod")
        assert raised.value.code == "own_approval"
    assert as_("bob", repository, "k2").approve("prod").after == as_("", repository).resolve("good")


def test_a_name_that_is_not_set_is_nobody_else(repository: vecver.Repository) -> None:
    with pytest.raises(ApprovalError):
        as_("", repository).promote("prod", "good")
    with pytest.raises(AccessError):
        as_("", repository).approve("prod")


def test_gates_come_first(repository: vecver.Repository) -> None:
    docs = as_("alice", repository)
    docs.promote("prod", "good", override="before the policy")
    with pytest.raises(GateError):
        docs.promote("prod", "bad")
    assert docs.approvals() == {}


def test_an_override_waits_for_nobody(repository: vecver.Repository) -> None:
    move = as_("alice", repository).promote("prod", "good", override="hotfix 12")
    assert move.gating and move.gating["override"] == "hotfix 12" and "approval" not in move.gating


def test_a_policy_may_ask_for_nothing_but_an_approval(repository: vecver.Repository) -> None:
    docs = as_("alice", repository)
    policy = docs.set_policy("fresh", approval=True)
    assert policy.gates == () and policy.approval and docs.policies()["fresh"] == policy
    with pytest.raises(ApprovalError):
        docs.promote("fresh", "good")
    assert "fresh" not in docs.aliases()
    move = as_("bob", repository).approve("fresh")
    assert move.before is None and move.gating and move.gating["gates"] == []


def test_asking_again_is_the_same_request(repository: vecver.Repository) -> None:
    first = ask(repository)
    assert ask(repository).id == first.id
    by_bob = ask(repository, name="bob")
    assert by_bob == first and as_("bob", repository).approve("prod").after


def test_another_version_takes_the_place_of_what_waited(repository: vecver.Repository) -> None:
    ask(repository)
    later = ask(repository, "bad", name="carol")
    bob = as_("bob", repository)
    with pytest.raises(ConflictError) as raised:
        bob.approve("prod", "good")
    assert raised.value.code == "other_version_waits" and raised.value.context["found"] == later.commit
    assert bob.aliases() == {"prod": bob.resolve("bad")}
    assert bob.approve("prod", "bad").after == bob.resolve("bad")


def test_a_rejection_keeps_its_reason(repository: vecver.Repository) -> None:
    ask(repository)
    bob = as_("bob", repository)
    for reason in ("", "  ", None):
        with pytest.raises(VecverError) as raised:
            bob.reject("prod", reason)  # type: ignore[arg-type]
        assert raised.value.code == "no_reason"
    rejected = bob.reject("prod", " the prices are old ")
    assert rejected.state == "rejected" and rejected.reason == "the prices are old" and rejected.decided_by == "bob"
    assert bob.approvals() == {"prod": rejected}
    for decide in (lambda: bob.approve("prod"), lambda: bob.reject("prod", "again")):
        with pytest.raises(ConflictError) as refused:
            decide()
        assert refused.value.code == "approval_decided" and "the prices are old" in refused.value.message
    assert bob.aliases() == {"prod": bob.resolve("bad")}
    assert ask(repository).id != rejected.id and bob.approve("prod").after == bob.resolve("good")


def test_nothing_waits(repository: vecver.Repository) -> None:
    docs = as_("bob", repository)
    assert docs.approvals() == {}
    for decide in (lambda: docs.approve("prod"), lambda: docs.reject("prod", "why"), lambda: docs.approve("none")):
        with pytest.raises(NotFoundError) as raised:
            decide()
        assert raised.value.code == "approval_not_found"
    with pytest.raises(NotFoundError):
        repository.dataset("nothing").approvals()


# -- what changed between the question and the answer --------------------------------------------------


def test_after_the_policy_changed_its_gates_decide(repository: vecver.Repository) -> None:
    ask(repository, "bad")
    bob = as_("bob", repository)
    bob.set_policy("prod", ["R@10 >= 0.9"], questions="support", approval=True)
    with pytest.raises(GateError) as raised:
        bob.approve("prod")
    assert raised.value.context["gates"][0]["value"] == pytest.approx(0.1)  # 2 of 20 documents
    assert len(bob.moves("alias", "prod")) == 1 and bob.approvals()["prod"].state == "waiting"
    bob.set_policy("prod", ["R@10 >= 0.1"], questions="support")
    move = bob.approve("prod")
    assert move.gating and [gate["gate"] for gate in move.gating["gates"]] == ["R@10 >= 0.1"]


def test_after_the_policy_was_removed(repository: vecver.Repository) -> None:
    ask(repository)
    bob = as_("bob", repository)
    bob.remove_policy("prod")
    move = bob.approve("prod")
    assert move.gating and move.gating["gates"] == [] and move.gating["approval"]["asked_by"] == "alice"


def test_after_the_alias_moved_the_gates_are_measured_against_it(repository: vecver.Repository) -> None:
    ask(repository, "bad")
    bob = as_("bob", repository)
    stood = bob.resolve("prod")
    bob.promote("prod", "good", override="meanwhile")
    with pytest.raises(ConflictError) as moved:
        bob.approve("prod", expected=stood)
    assert moved.value.code == "ref_moved"
    with pytest.raises(GateError) as raised:  # bad against good, where prod stands now
        bob.approve("prod")
    assert raised.value.context["gates"][0]["bound"] == pytest.approx(0.99)
    assert bob.aliases() == {"prod": bob.resolve("good")}


def test_after_the_question_set_changed(repository: vecver.Repository) -> None:
    ask(repository)
    bob = as_("bob", repository)
    bob.add_questions("support", QUESTIONS[:4])
    move = bob.approve("prod")
    digest = bob.question_sets()["support"]
    assert move.gating and move.gating["questions"]["digest"] == digest
    ask(repository, "good")
    bob.remove_questions("support")
    with pytest.raises(NotFoundError) as raised:
        bob.approve("prod")
    assert raised.value.code == "questions_not_found"


def test_what_another_gate_compares_with_moved(repository: vecver.Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = as_("alice", repository)
    docs.promote("staging", "bad")
    ask(repository, "good", gates=["R@10 >= staging + 0.5"], questions="support")
    docs.promote("staging", "good")
    with pytest.raises(GateError) as raised:
        as_("bob", repository).approve("prod")
    assert raised.value.context["gates"][0]["gate"] == "R@10 >= staging + 0.5"


def test_questions_that_are_not_stored_cannot_be_asked_again(repository: vecver.Repository) -> None:
    how: dict[str, Any] = {"gates": ["R@5 >= 0.5"], "questions": QUESTIONS[:3]}
    ask(repository, **how)
    bob = as_("bob", repository)
    bob.promote("prod", "good", override="meanwhile")
    with pytest.raises(ConflictError) as raised:
        bob.approve("prod")
    assert raised.value.code == "approval_outdated"
    ask(repository, **how)
    move = bob.approve("prod")
    assert move.gating and [gate["gate"] for gate in move.gating["gates"]] == ["R@5 >= 0.5", *GATES]


def test_after_gc_took_the_version(repository: vecver.Repository) -> None:
    docs = as_("alice", repository)
    for turn in range(3):
        ingest(docs, {**TEXTS, "turn": f"{turn}"})
    wanted = ask(repository, "main~1").commit
    for _ in range(2):
        repository.gc(apply=True, keep_last=1, grace=timedelta(0))
    with pytest.raises(NotFoundError) as raised:
        as_("bob", repository).approve("prod", wanted)
    assert raised.value.code == "version_forgotten" and wanted[:12] in raised.value.message
    assert docs.aliases() == {"prod": docs.resolve("bad")} and docs.approvals()["prod"].state == "waiting"
    assert docs.reject("prod", "it is gone").state == "rejected"  # who asked may take it back


# -- races and ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decide", "named", "moves"),
    [
        (lambda docs: docs.approve("prod"), "carol", 2),
        (lambda docs: docs.reject("prod", "not today"), "not today", 1),
    ],
    ids=["approval", "rejection"],
)
def test_of_two_decisions_at_once_the_first_counts(
    repository: vecver.Repository,
    monkeypatch: pytest.MonkeyPatch,
    decide: Callable[[vecver.Dataset], Any],
    named: str,
    moves: int,
) -> None:
    ask(repository)
    check = approvals.deciding

    def after_carol(*arguments: Any) -> Any:
        monkeypatch.undo()
        decide(as_("carol", repository))
        return check(*arguments)

    monkeypatch.setattr(approvals, "deciding", after_carol)
    with pytest.raises(ConflictError) as raised:
        as_("bob", repository).approve("prod")
    assert raised.value.code == "approval_decided" and named in raised.value.message
    assert len(as_("bob", repository).moves("alias", "prod")) == moves


def test_a_request_that_replaces_another_during_its_approval_is_not_approved(
    repository: vecver.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(repository)
    check = approvals.deciding

    def after_another(*arguments: Any) -> Any:
        monkeypatch.undo()
        ask(repository, "bad", name="carol")
        return check(*arguments)

    monkeypatch.setattr(approvals, "deciding", after_another)
    with pytest.raises(ConflictError) as raised:
        as_("bob", repository).approve("prod")
    assert raised.value.code == "approval_moved" and len(as_("bob", repository).moves("alias", "prod")) == 1


def test_an_end_between_the_move_and_its_record(repository: vecver.Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(repository)
    bob = as_("bob", repository)

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(approvals, "save", die)
    with pytest.raises(KeyboardInterrupt):
        bob.approve("prod")
    monkeypatch.undo()
    assert bob.aliases() == {"prod": bob.resolve("good")}
    decided = bob.approvals()["prod"]  # the log of the alias says so
    assert decided.state == "approved" and decided.decided_by == "bob"
    with pytest.raises(ConflictError):
        bob.reject("prod", "too late")
    with pytest.raises(ConflictError):
        as_("carol", repository).approve("prod")
    assert bob.approve("prod") == bob.moves("alias", "prod")[0] and len(bob.moves("alias", "prod")) == 2
    ask(repository, "good")
    assert repository.check().clean


def test_approvals_live_with_their_dataset(repository: vecver.Repository) -> None:
    ask(repository)
    store = versions_of(as_("a", repository)).store
    manual = repository.rename_dataset("d", "manual")
    assert manual.approvals()["prod"].state == "waiting"
    (path,) = store.list("approvals/")
    sound = store.get(path)
    store.put(path, b"nonsense")
    assert [problem.object for problem in repository.check().problems] == [path]
    with pytest.raises(VecverError):
        repository.signed("bob").dataset("manual").approve("prod")
    store.put(path, sound)
    assert repository.signed("bob").dataset("manual").approve("prod").after
    repository.delete_dataset("manual", apply=True)
    for _ in range(3):
        repository.gc(apply=True, grace=timedelta(0))
    assert not list(store.list("approvals/"))


def test_only_the_newest_requests_are_kept(repository: vecver.Repository) -> None:
    for turn in range(15):
        ask(repository, "good" if turn % 2 else "bad")
        as_("bob", repository).reject("prod", f"no {turn}")
    store = versions_of(as_("a", repository)).store
    (path,) = store.list("approvals/")
    kept = json.loads(store.get(path).split(b"\n", 1)[1])["entries"]
    assert len(kept) == 20 and kept[-1]["reason"] == "no 14"


def test_an_older_vecver_ignores_what_it_does_not_know(repository: vecver.Repository) -> None:
    """It reads the fields of a policy that it knows, and promotes without an approval."""
    docs = as_("alice", repository)
    fields = set(docs.set_policy("prod", GATES, questions="support", approval=False).to_json())
    assert fields == {"gates", "questions", "exact", "engine", "author", "time"}
    ask_of_an_older = repo.ref_moves.promote
    ask_of_an_older(versions_of(docs), "d", "prod", docs.resolve("good"))
    assert repository.check().clean


# -- the command line ----------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VECVER_REPO", raising=False)
    filled(LocalStore(tmp_path / ".vecver"))

    def run(*arguments: str, code: int = 0, by: str = "alice") -> Any:
        result = CliRunner().invoke(main, list(arguments), catch_exceptions=False, env={"VECVER_AUTHOR": by})
        assert result.exit_code == code, result.output
        return result

    return run


def test_the_command_line(run: Callable[..., Any]) -> None:
    waiting = json.loads(run("promote", "d", "prod", "good", "--json", code=10).stdout)
    assert waiting["code"] == "approval_needed" and waiting["approval"]["author"] == "alice"
    assert "vecver approve d prod" in run("promote", "d", "prod", "good", code=10).stderr
    listed = json.loads(run("approve", "d", "--json").stdout)
    assert listed == {"approvals": [waiting["approval"]]}
    assert "waiting" in run("approve", "d").output
    run("approve", "d", "prod", code=8)
    run("approve", "d", "prod", "bad", by="bob", code=4)
    run("approve", "d", "--reject", "why", by="bob", code=2)
    assert "no: too early" in run("approve", "d", "prod", "--reject", "no: too early", by="bob").output
    run("approve", "d", "prod", by="bob", code=4)
    run("promote", "d", "prod", "good", code=10)
    assert "asked by alice, approved by bob" in run("approve", "d", "prod", by="bob").output
    (move, *_) = json.loads(run("alias", "d", "prod", "--json").stdout)
    assert move["gating"]["approval"]["asked_by"] == "alice" and move["author"] == "bob"


def test_an_approval_is_added_to_a_policy_and_taken_from_it(run: Callable[..., Any]) -> None:
    def policy(*arguments: str) -> Any:
        return json.loads(run("policy", "d", "prod", *arguments, "--json").stdout)["policy"]

    assert policy("--no-approval")["gates"] == GATES and "approval" not in policy()
    assert policy("--approval")["gates"] == GATES and policy()["questions"] == "support"
    changed = policy("--gate", "ann_recall@5 >= 0.5")  # the approval stays as it was
    assert changed["gates"] == ["ann_recall@5 >= 0.5"] and changed["approval"] is True
    assert "somebody else must approve" in run("policy", "d", "prod").output
    run("policy", "d", "prod", "--remove", "--approval", code=2)
    run("policy", "d", "prod", "--remove")
    assert policy("--approval")["gates"] == []
