"""Promotions behind a service: gates, policies, approvals, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from vecver import flows, repo
from vecver.arguments import Engine, PromoteOptions, Revision, check_engine, check_kind, check_promotion
from vecver.model import Approval, Json, Move, Policy
from vecver.remote.evaluating import RemoteEvaluating, through_json
from vecver.remote.handle import condition, revision_text
from vecver.wire import AS_JOB, read

if TYPE_CHECKING:
    from vecver.flows import Progress

_PLURAL = {"branch": "branches", "tag": "tags", "alias": "aliases"}


class RemotePromoting(RemoteEvaluating):
    """The calls that move aliases, as `Dataset` has them."""

    def promote(
        self,
        alias: str,
        at: Revision = "main",
        **how: Unpack[PromoteOptions],
    ) -> Move:
        """Let an alias name a version, as `Dataset.promote` does; questions that are not a name are sent.

        Gates are measured by a job of the service, which this call waits for; an interrupt cancels it.
        """
        check_promotion(how)
        asked, body = through_json(how), Json(ref=revision_text(at))
        if gates := how.get("gates"):
            body |= {"gates": [gates] if isinstance(gates, str) else list(gates), **asked}
            questions = how.get("questions")
            body |= {} if questions is None else {"questions": self._questions_json(questions)}
        override = how.get("override")
        body |= {} if override is None else {"override": override}
        headers = {**condition(how.get("expected")), **AS_JOB}
        answer = self._wire.write("PUT", self._ref("alias", alias), body, headers)
        return read(self._wire.outcome(answer, how.get("progress")), Move.from_json)

    def approvals(self) -> dict[str, Approval]:
        """As `Dataset.approvals`."""
        body = self._wire.get(self._path("approvals"))
        return read(body, lambda it: {each["alias"]: Approval.from_json(each) for each in it["approvals"]})

    def approve(
        self, alias: str, at: Revision | None = None, *, expected: str | None = None, progress: Progress | None = None
    ) -> Move:
        """As `Dataset.approve`; another key than the one that asked, which must still exist. Progress is not sent."""
        body = {"alias": alias, "ref": None if at is None else revision_text(at)}
        return self._move("POST", self._path("approve"), body, expected)

    def reject(self, alias: str, reason: str) -> Approval:
        """As `Dataset.reject`."""
        body = self._wire.write("POST", self._path("reject"), {"alias": alias, "reason": reason})
        return read(body, Approval.from_json)

    def policy(self, alias: str) -> Policy | None:
        """As `Dataset.policy`."""
        return read(self._wire.get(self._path("policies", alias)), _policy_of)

    def policies(self) -> dict[str, Policy]:
        """As `Dataset.policies`."""
        body = self._wire.get(self._path("policies"))
        return read(body, lambda it: {alias: Policy.from_json(each) for alias, each in it["policies"].items()})

    def set_policy(
        self,
        alias: str,
        gates: Sequence[str] | None = None,
        *,
        questions: str | None = None,
        exact: bool = False,
        engine: Engine = "faiss",
        approval: bool | None = None,
        mode: flows.Mode | None = None,
        weight: float | None = None,
        fusion: flows.Fusion | None = None,
    ) -> Policy:
        """As `Dataset.set_policy`; the key must be an admin's."""
        check_engine(engine)
        mixing = {"mode": mode, "weight": weight, "fusion": fusion}
        flows.check_with_gates(gates, exact=exact, engine=None if engine == "faiss" else engine, **mixing)
        path, body = self._path("policies", alias, "approval"), Json(approval=approval)
        if gates is not None or approval is None:
            texts = [gates] if isinstance(gates, str) else list(gates or ())
            path, body = self._path("policies", alias), {"gates": texts, "questions": questions, **body}
            body |= {"exact": exact, "engine": engine, **mixing}
            later = ("approval", *mixing)  # a service that does not know them takes a body without
            body = {name: value for name, value in body.items() if value is not None or name not in later}
        policy = read(self._wire.write("PUT", path, body), _policy_of)
        assert policy is not None, "the service answers with what it keeps"
        return policy

    def remove_policy(self, alias: str) -> None:
        """As `Dataset.remove_policy`; the key must be an admin's."""
        self._wire.write("DELETE", self._path("policies", alias))

    def rollback(self, ref: str, to: Revision | None = None, *, expected: str | None = None) -> Move:
        """Take an alias back to where it was, or give a branch a commit with its old content. No vector moves."""
        body = {"ref": ref, "to": None if to is None else revision_text(to)}
        return self._move("POST", self._path("rollback"), body, expected)

    def _move(self, method: str, path: str, body: Json | None, expected: str | None = None) -> Move:
        return read(self._wire.write(method, path, body, condition(expected)), Move.from_json)

    def _ref(self, kind: str, name: str) -> str:
        check_kind(kind)
        repo.check_name(kind, name)
        return self._path(_PLURAL[kind], name)


def _policy_of(body: Json) -> Policy | None:
    return Policy.from_json(body["policy"]) if body["policy"] else None
