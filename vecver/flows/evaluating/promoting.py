"""Promoting: which gates a promotion must pass, the caller's and those of the alias's policy.

Decisions
1. A gate of a policy that compares with the alias itself is passed over while the alias does not exist: a policy is
   fastened before the first promotion. A gate that the caller writes is an error then: the caller can leave it out.
2. An override looks at no gate: they may be what is broken. It needs a reason, which is kept with the move.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from vecver import repo
from vecver.errors import InvalidInputError, say
from vecver.flows.evaluating.gates import Bench, Gate, check_gates, check_questions, read_gates
from vecver.model import Gating, Policy
from vecver.progress import Progress
from vecver.repo import Versions

MakeBench = Callable[[Any, Any, bool, Progress | None], Bench]  # questions, engine, exact, progress


def check_promotion(
    versions: Versions,
    dataset: str,
    alias: str,
    commit: str,
    bench: Bench | None,
    gates: Sequence[str],
    make_bench: MakeBench,
    override: str | None,
) -> Gating | None:
    """What was measured, if every gate holds; None if there is no gate. `bench`: what the caller's gates measure with.

    Raises GateError (a gate fails), InvalidInputError (an override without a reason), and as `check_gates`.
    """
    policy = repo.policies.load(versions.store, versions.key(dataset), alias)
    before = versions.refs(dataset).get("alias", alias)
    if override is not None:
        if not isinstance(override, str) or not override.strip():
            raise InvalidInputError(
                "an override needs a reason", code="invalid_override", hint='say why, for example override="hotfix 12"'
            )
        looked_past = (*(policy.gates if policy else ()), *(read_gates(gates) if gates else ()))
        return Gating(commit, before, (), None, {}, override=override.strip(), overridden=looked_past)
    checked = check_gates(bench, alias, commit, gates) if bench is not None else None
    texts = [text for text in policy.gates if before or Gate.of(text).against != alias] if policy else []
    if policy is None or not texts:
        return checked
    fastened = check_gates(make_bench(policy.questions, policy.engine, policy.exact, None), alias, commit, texts)
    if checked is None:
        return fastened
    measures = {**checked.measures, **fastened.measures}
    return replace(fastened, gates=(*checked.gates, *fastened.gates), measures=measures)


def new_policy(
    versions: Versions, dataset: str, gates: Sequence[str], questions: str | None, *, exact: bool, engine: str
) -> Policy:
    """A policy whose gates can be read and whose questions are stored. Raises InvalidInputError, NotFoundError."""
    texts = read_gates(gates)
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
    return Policy(texts, questions, exact, engine, versions.author, versions.time())
