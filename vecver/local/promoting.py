"""The calls of `Dataset` that move aliases: promotions with their gates, policies and approvals, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from vecver import flows, repo
from vecver.arguments import Engine, PromoteOptions, Revision, check_engine, check_promotion, text_of
from vecver.errors import InvalidInputError, NotFoundError, say
from vecver.local.evaluating import Evaluating
from vecver.local.publishing import Publishing

if TYPE_CHECKING:
    from vecver.flows import Progress
    from vecver.model import Approval, Move, Policy


class Promoting(Evaluating, Publishing):
    """Promotions, what they must pass, and who must approve them."""

    def promote(
        self,
        alias: str,
        at: Revision = "main",
        *,
        job: str = "",
        **how: Unpack[PromoteOptions],
    ) -> Move:
        """Move an alias to a version, or create it. One small write; searches at the alias follow at once.

        `gates`: what the version must be worth first, for example "nDCG@10 >= 0.60", "R@10 >= prod - 0.01" or
        "ann_recall@10 >= 0.95", measured by `questions` (as for `eval`, as are `exact`, `engine`, `mode`, `weight` and
        `fusion`). If one does not hold, GateError has every value, and the alias stays; else they are kept with the
        move (`Move.gating`). The gates of the alias's policy (`set_policy`) are run too, in the policy's own mode. If
        that asks for an approval, the alias stays until somebody else calls `approve`: ApprovalError has what waits.
        `override`, a reason, moves the alias without looking at any gate or waiting for an approval; it is kept with
        the move.

        `expected`: the full commit id at which you saw it, or "absent" for a new alias; if it is elsewhere now, a
        ConflictError names that commit in its `context`. Without it, the alias moves from wherever it is. `job`: the id
        of a service's job, kept with what was measured.

        If the repository was opened to publish this alias, the version is published first, and if that fails the
        alias does not move. (`rollback` publishes nothing, because its target was published when it was promoted.)
        Raises NotFoundError, InvalidInputError (name, gate), ConflictError, GateError, ApprovalError, and as `publish`
        and `eval`.
        """
        check_promotion(how)
        gates, questions = how.get("gates") or (), how.get("questions")
        expected, override = how.get("expected"), how.get("override")
        if not gates and questions is None and override is None and alias not in self._session.publish:
            with self._versions.moving(self.name, "alias", alias, text_of(at)):
                commit = self.resolve(at)
                key = self._versions.key(self.name)
                if repo.policies.load(self._versions.store, key, alias) is None:  # nothing is measured
                    where: dict[str, Any] = {"at": text_of(at), "expected": expected}
                    return repo.ref_moves.promote(self._versions, self.name, alias, commit, **where)
        commit = self.resolve(at)
        if questions is not None and not gates:
            raise InvalidInputError(
                "questions measure gates, and there is none",
                code="conflicting_options",
                hint=say(
                    "add gates=[...], or leave the questions out: a policy has its questions",
                    cli="add --gate EXPR, or leave --questions out: a policy has its questions",
                    http="add `gates`, or leave `questions` out: a policy has its questions",
                ),
            )
        bench = self._bench(questions, how.get("progress"), **how) if gates else None
        gates = flows.read_gates(gates) if gates else ()
        checked = flows.check_promotion(
            self._versions, self.name, alias, commit, bench, gates, self._bench, override, expected
        )
        if job:
            checked = checked.of_job(job, commit)
        if checked.needs_approval:
            flows.ask_approval(self._versions, self.name, alias, commit, checked, bench, gates)
        gating = checked.gating.to_json() if checked.gating else None
        self._publish_first(alias, commit)
        return repo.ref_moves.promote(self._versions, self.name, alias, commit, expected=checked.stands, gating=gating)

    def _publish_first(self, alias: str, commit: str) -> None:
        """Publish a version, if the repository was opened to publish what this alias names."""
        if alias in self._session.publish:
            self.publish(commit)

    def approvals(self) -> dict[str, Approval]:
        """alias -> the newest promotion that somebody else must approve, or did; sorted by alias. See its `state`.

        Raises NotFoundError (the dataset).
        """
        self._versions.check_dataset(self.name)
        return repo.approvals.all_of(self._versions.store, self._versions.refs(self.name))

    def approve(
        self, alias: str, at: Revision | None = None, *, expected: str | None = None, progress: Progress | None = None
    ) -> Move:
        """Let an alias move as somebody else asked: `promote` raised an ApprovalError for them.

        Whoever asked cannot approve, and neither can another key of that name. In a folder, where the author's name
        stands for a key, this holds only as far as people sign with their own. `at`: the version that you looked at;
        if another one waits by now, nothing moves. `expected`: as for `promote`.

        If the alias, its policy, the question sets or what its gates compare with changed since they were measured,
        the gates are measured again now; if one fails, the request keeps waiting.

        Raises NotFoundError (nothing waits; gc deleted the version's rows), AccessError (you asked for it),
        ConflictError (it was decided, another version waits, the alias is elsewhere), GateError, and as `promote`.
        """
        commit = None if at is None else self.resolve(at)
        prepare = partial(self._publish_first, alias)
        return flows.approve(self._versions, self.name, alias, commit, expected, self._bench, prepare, progress)

    def reject(self, alias: str, reason: str) -> Approval:
        """Let what waits for an alias move nothing; whoever asked may do so too. `reason` is kept with it.

        Raises NotFoundError (nothing waits), ConflictError (it was decided), InvalidInputError (no reason).
        """
        return flows.reject(self._versions, self.name, alias, reason)

    def policy(self, alias: str) -> Policy | None:
        """The gates that are fastened to an alias; None if there are none. Raises NotFoundError (the dataset)."""
        self._versions.check_dataset(self.name)
        return repo.policies.load(self._versions.store, self._versions.key(self.name), alias)

    def policies(self) -> dict[str, Policy]:
        """alias -> the gates that are fastened to it, sorted by name. Raises NotFoundError (the dataset)."""
        self._versions.check_dataset(self.name)
        return repo.policies.all_of(self._versions.store, self._versions.key(self.name))

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
        """Fasten gates to an alias, which need not exist yet: from now on every `promote` runs them.

        `questions`: the name of a stored set; what it means when the alias is promoted counts. A gate that compares
        with the alias itself is passed over at its first promotion. `rollback` is free: it goes where the alias was.
        `approval`: must somebody else `approve` each promotion? If so, there need be no gate. None leaves that as it
        is; and without `gates` those that the alias has stay, with their questions. `mode`, `weight` and `fusion`: how
        the gates' questions are asked, as for `search`. None leaves the mode as it is, with its weight and fusion; a
        new policy is dense.

        Raises InvalidInputError (a gate, the alias's name), NotFoundError (dataset, question set), ConflictError (a
        branch or tag has that name; another process changed the policy at this moment).
        """
        check_engine(engine)
        repo.check_free(self._versions.refs(self.name), "alias", alias)
        make = partial(
            flows.new_policy,
            versions=self._versions,
            dataset=self.name,
            gates=gates,
            questions=questions,
            exact=exact,
            engine=engine,
            approval=approval,
            mode=mode,
            weight=weight,
            fusion=fusion,
        )
        policy = repo.policies.change(self._versions.store, self._versions.key(self.name), alias, make)
        assert policy is not None, "one was made"
        return policy

    def remove_policy(self, alias: str) -> None:
        """Promote an alias without gates from now on. Raises NotFoundError (it has no policy), ConflictError."""
        if self.policy(alias) is None:
            raise NotFoundError(
                f"the alias {alias!r} of {self.name} has no policy",
                code="policy_not_found",
                hint=say(
                    "docs.set_policy(alias, gates) makes one", cli=f"`vecver policy {self.name} {alias} --gate …`"
                ),
            )
        repo.policies.change(self._versions.store, self._versions.key(self.name), alias, lambda _: None)

    def rollback(self, ref: str, to: Revision | None = None, *, expected: str | None = None) -> Move:
        """Move an alias back to where it was, or give a branch a new commit with old content; no vector is copied.

        `to`: a revision instead of the last position; for an alias with a policy one where it stood. `expected`: as
        `promote`. `Move.measured` has what the gates of earlier promotions measured of the version that the alias
        leaves (`from`) and of the one that it goes to (`to`), and of both the same `measures` side by side.

        Raises NotFoundError, ConflictError, InvalidInputError.
        """
        target = None if to is None else self.resolve(to)
        if target is not None:
            flows.check_way_back(self._versions, self.name, ref, target)
        move = repo.ref_moves.rollback(self._versions, self.name, ref, target, expected=expected)
        return flows.with_measured(self._versions, self.name, move)
