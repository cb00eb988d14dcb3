"""Promoting: which gates a promotion must pass, the caller's and those of the alias's policy.

Decisions
1. A gate of a policy that compares with the alias itself is passed over while the alias does not exist: a policy is
   fastened before the first promotion. A gate that the caller writes is an error then: the caller can leave it out.
2. The gates hold of where the alias stood, and of the policy that it had, when they were measured: if either changed
   meanwhile, the alias is not moved. So of two first promotions, which pass such a gate over, one loses.
3. The way back is free, but only to where the alias stood: else a rollback would be a promotion without gates.
4. An override looks at no gate: they may be what is broken. It needs a reason, which is kept with the move.
5. A policy may measure in another mode than the caller's gates. Then a measure of one name has two values: that of the
   policy is the version's, and each gate says its mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vecver import repo
from vecver.errors import ConflictError, InvalidInputError, say
from vecver.flows.evaluating.gates import (
    Bench,
    Gate,
    check_engine_of,
    check_gates,
    check_names,
    check_questions,
    read_gates,
)
from vecver.flows.searching.questions import Question
from vecver.model import Gating, Json, Move, Policy
from vecver.repo import Versions

if TYPE_CHECKING:
    from vecver.flows.searching.modes import Fusion, Mode

MakeBench = Callable[..., Bench]  # (questions, progress, **how), `how` as `Policy.how` has it


@dataclass(frozen=True)
class Checked:
    """A promotion all of whose gates hold."""

    gating: Gating | None  # None: there is no gate
    stands: str | None  # where the alias must stand when it moves, as `expected` of `promote` says it
    policy: Policy | None = None
    sets: Mapping[str, str] = field(default_factory=dict)  # stored set by which something was measured -> digest

    @property
    def needs_approval(self) -> bool:
        """Must a second person approve it?"""
        overridden = self.gating is not None and self.gating.override is not None
        return self.policy is not None and self.policy.approval and not overridden

    def of_job(self, job: str, commit: str) -> Checked:
        """The same, as a service's job measured it; by that id the job knows its move again."""
        before = None if self.stands == repo.ref_moves.ABSENT else self.stands
        gating = self.gating or Gating(commit, before, (), None, {})
        return replace(self, gating=replace(gating, job=job))


def check_promotion(
    versions: Versions,
    dataset: str,
    alias: str,
    commit: str,
    bench: Bench | None,
    gates: Sequence[str],
    make_bench: MakeBench,
    override: str | None,
    expected: str | None,
) -> Checked:
    """What was measured, if every gate holds, and where the alias must stand when it moves.

    `bench`: what the caller's gates measure with. `expected`: where the caller saw the alias.
    Raises GateError (a gate fails), InvalidInputError (an override without a reason), ConflictError (the alias or its
    policy changed), and as `check_gates`.
    """
    before = versions.refs(dataset).get("alias", alias)
    stands = before or repo.ref_moves.ABSENT
    policy = repo.policies.load(versions.store, versions.key(dataset), alias)
    if policy is None and bench is None and override is None:
        return Checked(None, expected)
    if expected not in (None, stands):
        raise repo.ref_moved("alias", alias, before)
    if override is not None:
        return Checked(_overridden(policy, gates, commit, before, override), stands, policy)
    benches = [(bench, gates)] if bench is not None else []
    texts = [text for text in policy.gates if before or Gate.of(text).against != alias] if policy else []
    if policy is not None and texts:
        progress = bench.progress if bench else None
        benches.append((make_bench(policy.questions, progress, **policy.how), texts))
    gatings = [check_gates(each, alias, commit, some) for each, some in benches]
    if moved := [gating for gating in gatings if gating.before != before]:
        raise repo.ref_moved("alias", alias, moved[0].before)
    _check_policy(versions, dataset, alias, policy)
    sets = {each.questions.name: each.questions.digest for each, _ in benches if each.questions}
    stored = versions.question_sets(dataset) if sets else {}
    sets = {name: digest for name, digest in sets.items() if stored.get(name) == digest}
    return Checked(_joined(gatings), stands, policy, sets)


def check_way_back(versions: Versions, dataset: str, ref: str, target: str) -> None:
    """Raises ConflictError if an alias with a policy would go to a version where it never stood."""
    refs = versions.refs(dataset)
    if refs.get("alias", ref) is None or repo.policies.load(versions.store, versions.key(dataset), ref) is None:
        return
    if target not in {move.after for move in refs.log("alias", ref)}:
        raise ConflictError(
            f"{ref} never stood at {target[:12]}, and its policy says what a new version must be worth",
            code="policy_applies",
            hint=say(
                f"promote it: docs.promote({ref!r}, {target[:12]!r}) runs the gates; docs.moves() lists where it was",
                cli=f"promote it, which runs the gates: `vecver promote {dataset} {ref} {target[:12]}`",
                http=f"promote it, which runs the gates: POST /v1/datasets/{dataset}/promote",
            ),
            name=ref,
        )


def with_measured(versions: Versions, dataset: str, move: Move) -> Move:
    """The rollback of an alias with what the gates measured when it moved to the version that it leaves, and to where
    it goes: {"from", "to": {"commit", "author", "time", "gates", "questions", "measures"} or null, "measures"}.

    `measures`: name -> {"from", "to"}, of those that both moves measured, in the same mode. As it is where neither had
    gates.
    """
    measured: dict[str, Json] = {}
    modes: dict[str, Json] = {}
    for each in versions.refs(dataset).log("alias", move.name) if move.kind == "alias" else ():
        if each.after not in (move.before, move.after) or each.after in measured:
            continue
        if (gating := repo.with_gating(versions.store, each).gating) and gating["measures"]:
            parts = {name: gating[name] for name in ("gates", "questions", "measures")}
            measured[str(each.after)] = {"commit": each.after, "author": each.author, "time": each.time, **parts}
            modes[str(each.after)] = _mode_of(gating["engine"])
    if not measured:
        return move
    left, reached = measured.get(str(move.before)), measured.get(str(move.after))
    alike = modes.get(str(move.before)) == modes.get(str(move.after))
    both = [name for name in left["measures"] if name in reached["measures"]] if left and reached and alike else []
    pairs = {name: {"from": left["measures"][name], "to": reached["measures"][name]} for name in both}  # type: ignore[index]
    return replace(move, measured={"from": left, "to": reached, "measures": pairs})


def _overridden(policy: Policy | None, gates: Sequence[str], commit: str, before: str | None, reason: str) -> Gating:
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidInputError(
            "an override needs a reason", code="invalid_override", hint='say why, for example override="hotfix 12"'
        )
    gates = (*(policy.gates if policy else ()), *(read_gates(gates) if gates else ()))
    return Gating(commit, before, (), None, {}, override=reason.strip(), overridden=gates)


def _check_policy(versions: Versions, dataset: str, alias: str, policy: Policy | None) -> None:
    """Raises ConflictError if the alias has other gates than those that were measured."""
    if repo.policies.load(versions.store, versions.key(dataset), alias) != policy:
        raise ConflictError(
            f"the policy of {alias!r} was changed while its gates were measured",
            code="policy_moved",
            hint="promote again: what was measured is kept; the alias was not moved",
            name=alias,
        )


def _joined(gatings: Sequence[Gating]) -> Gating | None:
    """The caller's gates and those of the policy as one; the questions, and the mode of the measures, are the policy's.

    A gate of another mode has its value in `gates` alone.
    """
    if not gatings:
        return None
    alike = [each for each in gatings if _mode_of(each.engine) == _mode_of(gatings[-1].engine)]
    measures = {name: value for gating in alike for name, value in gating.measures.items()}
    return replace(gatings[-1], gates=tuple(gate for each in gatings for gate in each.gates), measures=measures)


def _mode_of(engine: Json) -> Json:
    """By what a gating's engine ranked chunks."""
    return {name: engine.get(name) for name in ("mode", "weight", "fusion")}


def new_policy(
    kept: Policy | None,
    *,
    versions: Versions,
    dataset: str,
    gates: Sequence[str] | None,
    questions: str | None,
    exact: bool,
    engine: str,
    approval: bool | None,
    mode: Mode | None,
    weight: float | None,
    fusion: Fusion | None,
) -> Policy:
    """A policy whose gates can be read and whose questions are stored, in place of the one that an alias has.

    `gates`: None for those that it has, with their questions; `approval` and `mode`: None for as it is, so that a
    caller who knows no modes drops none. There need be no gate where an approval is needed.
    Raises InvalidInputError, NotFoundError.
    """
    versions.check_dataset(dataset)
    through = None if engine == "faiss" else engine
    check_with_gates(gates, questions=questions, exact=exact, engine=through, mode=mode, weight=weight, fusion=fusion)
    approval = bool(kept and kept.approval) if approval is None else approval
    if gates is None and kept is not None:
        if not approval:
            read_gates(kept.gates)  # raises where nothing would be left of the policy
        return replace(kept, approval=approval, author=versions.author, time=versions.time())
    texts = () if approval and not gates else read_gates(gates or ())
    wanted = [Gate.of(text) for text in texts]
    mixing: dict[str, Any] = {"mode": mode or "dense", "weight": weight, "fusion": fusion}
    if mode is None and kept is not None:
        mixing["mode"] = kept.mode
        mixing |= {"weight": kept.weight, "fusion": kept.fusion} if weight is None and fusion is None else {}
    how = Question.of(["a question"], engine=engine, **mixing)  # checked
    check_engine_of(engine, how.mode, wanted)
    check_names(versions, dataset, wanted)
    _check_stored(versions, dataset, texts, questions)
    signed = (versions.author, versions.time(), approval)
    return Policy(texts, questions, exact, engine, *signed, how.mode, how.weight, how.fusion)


def check_with_gates(gates: Sequence[str] | None, **how: Any) -> None:
    """Raises InvalidInputError for options that say how gates measure where no gates are given."""
    used = [name for name, value in how.items() if value is not None and value is not False]
    if gates is None and used:
        raise InvalidInputError(
            f"{used[0]} says how gates measure, and none is given",
            code="conflicting_options",
            hint=say("give the gates too: gates=[...]", cli="give the gates too: --gate EXPR", http="send `gates` too"),
        )


def _check_stored(versions: Versions, dataset: str, texts: Sequence[str], questions: str | None) -> None:
    """Raises InvalidInputError, NotFoundError unless a policy's gates can measure by a stored set."""
    if questions is None:
        check_questions(None, [Gate.of(text) for text in texts])
    elif not isinstance(questions, str):
        raise InvalidInputError(
            "a policy names a stored question set",
            code="invalid_questions",
            hint=say("docs.add_questions(NAME, ...) stores one", cli=f"`vecver questions {dataset} add NAME FILE`"),
        )
    else:
        versions.questions(dataset, questions)  # raises
