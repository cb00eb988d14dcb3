"""Promotions over HTTP: approvals by a second key, and jobs that measure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import SPACE, records, vector_of

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")
pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")

from serving import running  # noqa: E402
from vecver_service import worker  # noqa: E402
from vecver_service.app import create_app  # noqa: E402
from vecver_service.settings import ServiceSettings  # noqa: E402
from vecver_service.state.keys import Keys  # noqa: E402

import vecver  # noqa: E402
from vecver.errors import AccessError, ApprovalError, ConflictError, GateError, VecverError  # noqa: E402

Json = dict[str, Any]
TEXTS = {f"doc-{n:02}": f"the text number {n}" for n in range(20)}
QUESTIONS = [{"query": text, "vector": vector_of(text).tolist(), "documents": [id]} for id, text in TEXTS.items()]
GATE = "R@10 >= 0.5"
AS_JOB = {"prefer": "respond-async"}


class Served:
    """A service whose dataset `d` has versions `good` and `bad`, with keys of alice, bob, and others."""

    def __init__(self, url: str, keys: Keys) -> None:
        self.url, self.keys = url, keys
        self.ids, self.tokens = dict[str, str](), dict[str, str]()
        for name, scope in {"alice": "write", "bob": "write", "root": "admin", "eve": "read"}.items():
            self.add(name, scope)

    def add(self, name: str, scope: str, label: str = "") -> None:
        key, token = self.keys.add(name, [f"d:{scope}"])
        self.ids[label or name], self.tokens[label or name] = key.id, token

    def docs(self, name: str) -> vecver.RemoteDataset:
        return vecver.connect(self.url, self.tokens[name]).dataset("d")

    def ask(self, name: str, method: str, path: str, **how: Any) -> Any:
        headers = {"authorization": f"Bearer {self.tokens[name]}", **how.pop("headers", {})}
        return httpx.request(method, f"{self.url}/v1/datasets/d/{path}", headers=headers, **how)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with vecver.create(tmp_path / "kb") as repository:
        docs = repository.dataset("d")
        docs.ingest(records(TEXTS), space=SPACE, metric="ip", label="rows")
        docs.tag("good")
        few = {id: TEXTS[id] for id in ("doc-00", "doc-01")}
        docs.ingest(records(few), space=SPACE, metric="ip", label="rows", allow_removals=True)
        docs.tag("bad")
        docs.add_questions("support", QUESTIONS)
        docs.promote("prod", "bad")
    settings = ServiceSettings(state=str(tmp_path / "state"))
    keys = Keys(settings.keys_file(""))
    with running(create_app(vecver.open(tmp_path / "kb"), settings)) as url:
        yield Served(url, keys)


def asked(docs: vecver.RemoteDataset, at: str = "good", **how: Any) -> vecver.Approval:
    with pytest.raises(ApprovalError) as raised:
        docs.promote("prod", at, **how)
    assert raised.value.code == "approval_needed"
    return vecver.Approval.from_json(raised.value.context["approval"])


# -- approvals ---------------------------------------------------------------------------------------


def test_a_second_key_approves(served: Served) -> None:
    alice, bob, root = (served.docs(name) for name in ("alice", "bob", "root"))
    root.set_policy("prod", [GATE], questions="support", approval=True)
    assert alice.policies() == {"prod": root.policy("prod")}
    with pytest.raises(GateError):
        alice.promote("prod", "bad")
    assert alice.approvals() == {}
    request = asked(alice)
    assert (request.author, request.key, request.state) == ("alice", served.ids["alice"], "waiting")
    assert bob.aliases()["prod"] == bob.resolve("bad") and bob.approvals() == {"prod": request}
    for name in ("alice", "eve"):
        with pytest.raises(AccessError):
            served.docs(name).approve("prod")
    with pytest.raises(ConflictError) as other:
        bob.approve("prod", "bad")
    assert other.value.code == "other_version_waits"
    move = bob.approve("prod", "good")
    assert move.author == "bob" and move.gating and move.gating["approval"]["asked_by"] == "alice"
    assert move.gating["approval"]["approved_key"] == served.ids["bob"]
    assert bob.aliases()["prod"] == bob.resolve("good") and bob.moves("alias", "prod")[0] == move
    assert alice.approvals()["prod"].decided_by == "bob"
    entries = served.ask("root", "GET", "approvals").json()["approvals"]
    assert [each["state"] for each in entries] == ["approved"]


def test_what_waits_is_answered_with_202(served: Served) -> None:
    served.docs("root").set_policy("prod", approval=True)
    for method, path, body in (
        ("POST", "promote", {"alias": "prod", "ref": "good"}),
        ("PUT", "aliases/prod", {"ref": "good"}),
    ):
        answer = served.ask("alice", method, path, json=body, headers={"idempotency-key": path})
        assert answer.status_code == 202 and answer.json()["code"] == "approval_needed"
        assert "/v1/datasets/d/approve" in answer.json()["hint"]
        again = served.ask("alice", method, path, json=body, headers={"idempotency-key": path})
        assert again.json() == answer.json()
    assert served.ask("bob", "POST", "approve", json={"alias": "prod"}).status_code == 200
    again = served.ask("bob", "POST", "approve", json={"alias": "prod"})
    assert again.status_code == 200 and len(served.docs("bob").moves("alias", "prod")) == 2


def test_the_same_name_on_another_key_is_no_second_person(served: Served) -> None:
    served.docs("root").set_policy("prod", approval=True)
    asked(served.docs("alice"))
    served.add("alice", "admin", "alice's other")
    with pytest.raises(AccessError) as raised:
        served.docs("alice's other").approve("prod")
    assert raised.value.code == "own_approval"


def test_a_key_that_was_revoked_meanwhile_moves_nothing(served: Served) -> None:
    served.docs("root").set_policy("prod", approval=True)
    asked(served.docs("alice"))
    served.keys.revoke(served.ids["alice"])
    with pytest.raises(ConflictError) as raised:
        served.docs("bob").approve("prod")
    assert raised.value.code == "asker_revoked" and served.docs("bob").aliases()["prod"] == served.docs("bob").resolve(
        "bad"
    )
    assert served.docs("bob").reject("prod", "its key is gone").state == "rejected"


def test_a_rejection(served: Served) -> None:
    root, alice, bob = (served.docs(name) for name in ("root", "alice", "bob"))
    root.set_policy("prod", approval=True)
    asked(alice)
    with pytest.raises(AccessError):
        served.docs("eve").reject("prod", "no")
    with pytest.raises(VecverError):
        bob.reject("prod", "")
    assert bob.reject("prod", "the prices are old").reason == "the prices are old"
    assert alice.approvals()["prod"].reason == "the prices are old"
    with pytest.raises(ConflictError) as raised:
        bob.approve("prod")
    assert raised.value.code == "approval_decided"


def test_only_an_admin_asks_for_approvals_or_overrides_them(served: Served) -> None:
    root, alice = served.docs("root"), served.docs("alice")
    root.set_policy("prod", [GATE], questions="support")
    kept = root.set_policy("prod", approval=True)
    assert kept.approval and kept.gates == (GATE,) and kept.questions == "support"
    older = {"gates": [GATE], "questions": "support"}  # as a client writes it that knows no approvals
    assert served.ask("root", "PUT", "policies/prod", json=older).json()["policy"]["approval"] is True
    with pytest.raises(AccessError):
        alice.set_policy("prod", approval=False)
    with pytest.raises(AccessError):
        alice.promote("prod", "good", override="now")
    assert root.promote("prod", "good", override="hotfix").after == root.resolve("good")
    assert "approval" not in root.set_policy("prod", approval=False).to_json()
    assert alice.promote("prod", "good").gating


# -- jobs --------------------------------------------------------------------------------------------


def test_a_promotion_that_measures_is_a_job_for_who_prefers_that(served: Served) -> None:
    body = {"alias": "prod", "ref": "good", "gates": [GATE], "questions": "support"}
    assert served.ask("alice", "POST", "promote", json=body).status_code == 200  # as clients of today ask
    queued = served.ask("alice", "POST", "promote", json=body, headers=AS_JOB)
    assert queued.status_code == 202 and queued.json()["kind"] == "promote"
    wire = served.docs("alice")._wire
    result = wire.outcome(queued.json())
    move = vecver.Move.from_json(result)
    assert move.author == "alice" and move.gating and move.gating["job"] == queued.json()["id"]
    assert served.docs("alice").moves("alias", "prod")[0] == move
    no_gates = served.ask("alice", "POST", "promote", json={"alias": "prod", "ref": "bad"}, headers=AS_JOB)
    assert no_gates.status_code == 200


def test_the_handle_waits_and_gives_the_same_outcome(served: Served) -> None:
    alice, counted = served.docs("alice"), dict[str, int]()

    def count(unit: str, number: int, total: int | None = None, /) -> None:
        counted[unit] = counted.get(unit, 0) + number

    move = alice.promote("prod", "good", gates=[GATE], questions=QUESTIONS[:5], progress=count)
    assert move.gating and move.gating["measures"] == {"R@10": 1.0} and counted == {"questions": 5}
    with pytest.raises(GateError) as raised:
        alice.promote("prod", "bad", gates=["R@10 >= prod - 0.01"], questions="support")
    error = raised.value
    assert error.exit_code == 9 and error.context["gates"][0]["value"] == pytest.approx(0.1)
    assert error.context["worse"] and alice.aliases()["prod"] == alice.resolve("good")
    for how in ({"gates": ["nope >= 1"]}, {"gates": [GATE], "questions": "none"}, {"gates": [GATE]}):
        with pytest.raises(VecverError) as refused:
            alice.promote("prod", "bad", **how)
        assert refused.value.code in ("unknown_measure", "questions_not_found", "no_questions")
    with pytest.raises(ConflictError) as moved:
        alice.promote("prod", "good", gates=[GATE], questions="support", expected=alice.resolve("bad"))
    assert moved.value.code == "ref_moved"


@pytest.mark.parametrize("approval", [False, True])
def test_a_job_that_is_interrupted_after_its_move_moves_no_alias_again(
    served: Served, monkeypatch: pytest.MonkeyPatch, approval: bool
) -> None:
    """What records its end fails once, as if the process had ended there; meanwhile another moves the alias on."""
    root, alice = served.docs("root"), served.docs("alice")
    root.set_policy("prod", [GATE], questions="support", approval=approval)
    finish, times = worker.Worker._finish, [0]

    def once(self: Any, job: Any, seconds: float) -> Any:
        times[0] += 1
        if times[0] > 1:
            return finish(self, job, seconds)
        if approval:
            served.docs("bob").approve("prod")
        root.promote("prod", "bad", override="meanwhile")
        raise OSError("as if the disk were full")

    monkeypatch.setattr(worker.Worker, "_finish", once)
    move = alice.promote("prod", "good", gates=[GATE], questions="support")
    assert times == [2] and move.after == root.resolve("good")
    assert root.aliases()["prod"] == root.resolve("bad")
    assert [each.after == move.after for each in root.moves("alias", "prod")] == [False, True, False]


def test_a_job_of_a_key_that_was_revoked_moves_nothing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    start = worker.Worker._start

    def after_revoking(self: Any, *arguments: Any, **how: Any) -> Any:
        served.keys.revoke(served.ids["alice"])
        monkeypatch.undo()
        return start(self, *arguments, **how)

    monkeypatch.setattr(worker.Worker, "_start", after_revoking)
    body = {"alias": "prod", "ref": "good", "gates": [GATE], "questions": "support"}
    job = served.ask("alice", "POST", "promote", json=body, headers=AS_JOB).json()
    with pytest.raises(AccessError):
        served.docs("root")._wire.result_of(job)
    assert len(served.docs("root").moves("alias", "prod")) == 1


def test_a_rollback_says_what_was_measured(served: Served) -> None:
    root = served.docs("root")
    assert root.rollback("prod", "good").measured is None
    root.promote("prod", "good", gates=[GATE], questions="support")
    root.promote("prod", "bad", gates=["R@10 <= 1", "P@1 >= 0"], questions="support")
    move = root.rollback("prod")
    assert move.measured and move.measured["measures"] == {"R@10": {"from": pytest.approx(0.1), "to": 1.0}}
    assert move.measured["from"]["commit"] == root.resolve("bad") and move.measured["to"]["author"] == "root"
    assert served.ask("root", "POST", "rollback", json={"ref": "prod", "to": "bad"}).json()["measured"]["from"]


def test_a_job_asks_for_an_approval(served: Served) -> None:
    served.docs("root").set_policy("prod", [GATE], questions="support", approval=True)
    request = asked(served.docs("alice"))
    assert request.gating and request.gating["job"]
    (job,) = [job for job in served.ask("alice", "GET", "../../jobs").json()["jobs"] if job["kind"] == "promote"]
    assert job["state"] == "succeeded" and job["result"]["approval"]["id"] == request.id
    assert served.docs("bob").approve("prod").gating


# -- bisect ------------------------------------------------------------------------------------------


def test_a_bisection_over_http_is_the_local_one(served: Served, tmp_path: Path) -> None:
    eve = served.docs("eve")
    local = vecver.open(tmp_path / "kb").dataset("d")
    how: Json = {"query": vector_of(TEXTS["doc-05"]), "expect": "doc-05", "k": 3}
    assert eve.bisect("good", "bad", **how) == local.bisect("good", "bad", **how)
    gate: Json = {"gate": GATE, "questions": "support"}
    assert eve.bisect("good", "bad", **gate).commit == local.resolve("bad")
    direct = served.ask("eve", "POST", "bisect", json={"good": "good", "bad": "bad", **gate})
    assert direct.status_code == 200 and direct.json() == local.bisect("good", "bad", **gate).to_json()
    for wrong in ({}, {"query": "x"}, {"gate": GATE}, {"good": "bad", "bad": "good", **gate}):
        with pytest.raises(VecverError) as remote:
            eve.bisect(**{"good": "good", "bad": "bad", **wrong})
        with pytest.raises(VecverError) as here:
            local.bisect(**{"good": "good", "bad": "bad", **wrong})
        assert remote.value.code == here.value.code


# -- modes -------------------------------------------------------------------------------------------


def test_a_client_that_knows_no_modes_keeps_those_of_a_policy(served: Served) -> None:
    how: Json = {"gates": [GATE], "questions": "support"}
    first = served.ask("root", "PUT", "policies/prod", json={**how, "mode": "hybrid", "weight": 0.25})
    assert first.status_code == 200 and first.json()["policy"]["weight"] == 0.25
    older = served.ask("root", "PUT", "policies/prod", json={**how, "exact": True, "engine": "faiss"})
    assert older.json()["policy"] | {"time": ""} == {
        "gates": [GATE], "questions": "support", "exact": True, "engine": "faiss", "author": "root", "time": "",
        "mode": "hybrid", "weight": 0.25,
    }  # fmt: skip
    needs = served.ask("root", "PUT", "policies/prod/approval", json={"approval": True})
    assert needs.json()["policy"]["mode"] == "hybrid"
    dense = served.ask("root", "PUT", "policies/prod", json={**how, "mode": "dense", "approval": False})
    assert not {"mode", "weight", "fusion"} & dense.json()["policy"].keys()
    entry = served.docs("root").policy("prod")
    assert entry is not None and entry.mode == "dense"


def test_a_job_measures_in_its_mode(served: Served) -> None:
    how: Json = {"alias": "prod", "ref": "good", "gates": ["P@1 >= 0.9"], "questions": "support", "mode": "keyword"}
    job = served.ask("alice", "POST", "promote", json=how, headers=AS_JOB)
    assert job.status_code == 202
    done = job.json()
    while done["state"] in ("queued", "running"):
        done = httpx.get(
            f"{served.url}/v1/jobs/{done['id']}?wait=5",
            headers={"authorization": f"Bearer {served.tokens['alice']}"},
        ).json()
    assert done["state"] == "succeeded" and done["result"]["gating"]["engine"]["mode"] == "keyword"
    for wrong, status in ({"weight": 0.5}, 422), ({"mode": "words"}, 422), ({"mode": "hybrid", "weight": 1.5}, 422):
        answer = served.ask("alice", "POST", "promote", json={**how, "mode": "dense", **wrong})
        assert answer.status_code == status and answer.json()["hint"], wrong
    without = served.ask("alice", "POST", "promote", json={"alias": "prod", "ref": "good", "mode": "hybrid"})
    assert without.status_code == 422 and "gates" in without.json()["hint"]


def test_what_was_measured_is_read_by_whoever_reads(served: Served) -> None:
    answer = served.ask("eve", "GET", "measures?ref=good")
    assert answer.json() == {"commit": served.docs("eve").resolve("good"), "measures": {}}
    assert answer.headers["vecver-commit"] == answer.json()["commit"]
    assert served.ask("eve", "GET", "measures?ref=nowhere").status_code == 404
