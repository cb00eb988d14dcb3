"""Approving: a promotion that held its gates waits, and somebody else lets its alias move, or rejects it.

ask:      gates hold -> the request is kept beside the alias -> the caller gets an ApprovalError
approve:  is it somebody else? -> does what was measured still hold, or else do the gates? -> the alias moves

Decisions
1. Who asked is known by the API key and by the name that signs, and neither may be the approver's: two keys of one name
   are one person to whoever reads the log. A local folder knows the name alone, and cannot prove it.
2. What was measured still holds if the alias, its policy, the question sets and what the gates compare with are as they
   were. Else the gates are measured again, and decide. A caller's questions that are not stored cannot be asked again.
3. The alias moves first, with the request's id beside its move; then the decision is kept. A kill between them leaves a
   moved alias whose log says who approved it. See `repo.approvals`.
4. Who asks for what waits already, the asker or another, gets the same request: only its approval moves the alias.
5. An older vecver knows neither policies nor approvals, and promotes without asking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NoReturn

from vecver import repo
from vecver.digest import digest_json
from vecver.errors import (
    AccessError,
    ApprovalError,
    BackendError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    VecverError,
    say,
)
from vecver.flows.evaluating.gates import Bench, Gate
from vecver.flows.evaluating.promoting import Checked, MakeBench, check_promotion
from vecver.model import Approval, Gating, Move, Policy
from vecver.progress import Progress
from vecver.repo import Versions


def ask_approval(
    versions: Versions,
    dataset: str,
    alias: str,
    commit: str,
    checked: Checked,
    bench: Bench | None,
    gates: Sequence[str],
) -> NoReturn:
    """Keep a promotion whose gates hold until somebody else approves it. `bench`, `gates`: the caller's own.

    Raises ApprovalError, whose context has the request; ConflictError (another asked at this moment).
    """
    refs = versions.refs(dataset)
    repo.check_free(refs, "alias", alias)
    last = refs.last_move("alias", alias)
    questions = bench.questions if bench else None
    request = Approval(
        "",
        alias,
        commit,
        None if checked.stands == repo.ref_moves.ABSENT else checked.stands,
        versions.author,
        versions.author_key,
        versions.time(),
        checked.gating.to_json() if checked.gating else None,
        tuple(gates),
        {"name": questions.name, "digest": questions.digest} if questions else None,
        sets=checked.sets,
        policy=_digest(checked.policy),
        last_move=last.id if last else None,
        **(bench.engine.how if bench else {}),
    )
    waiting = repo.approvals.load(versions.store, refs, alias)
    if waiting is not None and waiting.state == "waiting" and _same(waiting, request):
        raise needs_approval(dataset, waiting)
    request = replace(request, id=digest_json(request.to_json())[:32])
    repo.approvals.save(versions.store, refs, request, instead_of=waiting)
    raise needs_approval(dataset, request)


def approve(
    versions: Versions,
    dataset: str,
    alias: str,
    commit: str | None,
    expected: str | None,
    make_bench: MakeBench,
    prepare: Callable[[str], None],
    progress: Progress | None = None,
) -> Move:
    """Move an alias as somebody else asked. `commit`: what the caller looked at; None: whatever waits.

    `prepare`: done with the version before the alias moves. One's own approval again, once it moved, gives its move.
    Raises as `Dataset.approve`.
    """
    refs = versions.refs(dataset)
    request = _newest(versions, dataset, alias)
    if request.state == "approved" and _is_mine(versions, request) and (move := _made(versions, dataset, request)):
        return move
    _check_waiting(dataset, request, commit)
    _check_other(versions, dataset, request)
    versions.layout(request.commit)  # raises, saying what became of its rows
    checked = _checked(versions, dataset, request, expected, make_bench, progress)
    prepare(request.commit)
    with repo.approvals.deciding(versions.store, refs, alias):
        now = _newest(versions, dataset, alias)
        if now != request:
            raise _decided(dataset, now) if now.id == request.id else repo.approvals.moved(alias)
        move = repo.ref_moves.promote(
            versions,
            dataset,
            alias,
            request.commit,
            expected=checked.stands,
            gating=_signed(versions, request, checked).to_json(),
        )
        done = repo.approvals.settled(versions.store, refs, request)
        with suppress(ConflictError, BackendError):  # the alias has moved, and its log says who approved it
            repo.approvals.save(versions.store, refs, done, instead_of=done)
    return move


def reject(versions: Versions, dataset: str, alias: str, reason: str) -> Approval:
    """Let what waits for an alias move nothing. Whoever may promote may reject, the asker too.

    Raises InvalidInputError (there is no reason), and as `Dataset.reject`.
    """
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidInputError(
            "a rejection needs a reason",
            code="no_reason",
            hint=say('say why, for example "the prices are old"', cli='say why: --reject "the prices are old"'),
        )
    refs = versions.refs(dataset)
    with repo.approvals.deciding(versions.store, refs, alias):
        request = _newest(versions, dataset, alias)
        _check_waiting(dataset, request, None)
        rejected = replace(
            request,
            state="rejected",
            decided_by=versions.author,
            decided_key=versions.author_key,
            decided=versions.time(),
            reason=reason.strip(),
        )
        repo.approvals.save(versions.store, refs, rejected, instead_of=request)
    return rejected


def needs_approval(dataset: str, request: Approval) -> ApprovalError:
    """The error for a promotion that waits for its approval."""
    alias, by, commit = request.alias, request.author or "somebody", request.commit[:12]
    return ApprovalError(
        f"{alias} was not moved yet: somebody else must approve its move to {commit}, which {by} asked for",
        code="approval_needed",
        hint=say(
            f"somebody else approves it: docs.approve({alias!r}), or docs.reject({alias!r}, REASON)",
            cli=f"somebody else approves it: `vecver approve {dataset} {alias}`, or --reject REASON",
            http=f"another key approves it: POST /v1/datasets/{dataset}/approve, or /reject",
        ),
        approval=request.to_dict(),
    )


# -- who, and what waits ------------------------------------------------------------------------------


def _newest(versions: Versions, dataset: str, alias: str) -> Approval:
    """The newest request for an alias. Raises NotFoundError."""
    versions.check_dataset(dataset)
    request = repo.approvals.load(versions.store, versions.refs(dataset), alias)
    if request is None:
        raise NotFoundError(
            f"nothing waits to be approved for {alias} of {dataset}",
            code="approval_not_found",
            hint=say(
                "docs.approvals() lists what waits",
                cli=f"`vecver approve {dataset}` lists what waits",
                http=f"GET /v1/datasets/{dataset}/approvals lists what waits",
            ),
            name=alias,
        )
    return request


def _check_waiting(dataset: str, request: Approval, commit: str | None) -> None:
    """Raises ConflictError if it was decided, or if another version waits than the caller looked at."""
    if request.state != "waiting":
        raise _decided(dataset, request)
    if commit not in (None, request.commit):
        by = request.author or "somebody"
        raise ConflictError(
            f"another version waits for {request.alias}: {request.commit[:12]}, which {by} asked for",
            code="other_version_waits",
            hint="look at that one, and approve it or reject it",
            name=request.alias,
            found=request.commit,
        )


def _check_other(versions: Versions, dataset: str, request: Approval) -> None:
    """Raises AccessError for who asked for it."""
    same_key = bool(request.key) and request.key == versions.author_key
    if same_key or request.author == versions.author:
        who = "this key" if same_key else f"{request.author!r}" if request.author else "somebody without a name"
        raise AccessError(
            f"{who} asked for this promotion, and somebody else must approve it",
            code="own_approval",
            hint=say(
                f"let somebody else approve it, with their own key or name: docs.approve({request.alias!r})",
                cli=f"let somebody else run `vecver approve {dataset} {request.alias}`, with their own key or name",
                http="send it with another person's key; the operator makes one with `vecver key add NAME`",
            ),
            asked_by=request.author,
        )


def _is_mine(versions: Versions, request: Approval) -> bool:
    return (request.decided_by, request.decided_key) == (versions.author, versions.author_key)


def _made(versions: Versions, dataset: str, request: Approval) -> Move | None:
    """The newest move of an alias, if it is the one that followed this request's approval."""
    refs = versions.refs(dataset)
    move, newest = repo.approvals.move_of(versions.store, refs, request), refs.last_move("alias", request.alias)
    return move if move and newest and move.to_json() == newest.to_json() else None


def _same(one: Approval, other: Approval) -> bool:
    """Do both ask for the same move, under the same policy, from the same place, with gates that measure alike?"""
    names = ("alias", "commit", "before", "policy", "last_move", "sets", *(("how",) if other.gates else ()))
    return all(getattr(one, name) == getattr(other, name) for name in names) and set(other.gates) <= set(one.gates)


def _decided(dataset: str, request: Approval) -> ConflictError:
    what = f"{request.state} by {request.decided_by or 'somebody'}"
    return ConflictError(
        f"the move of {request.alias} to {request.commit[:12]} was {what}"
        + (f": {request.reason}" if request.reason else ""),
        code="approval_decided",
        hint=say(
            f"ask again: docs.promote({request.alias!r}, {request.commit[:12]!r})",
            cli=f"ask again: `vecver promote {dataset} {request.alias} {request.commit[:12]}`",
            http=f"ask again: POST /v1/datasets/{dataset}/promote",
        ),
        name=request.alias,
        state=request.state,
    )


# -- what was measured --------------------------------------------------------------------------------


def _checked(
    versions: Versions,
    dataset: str,
    request: Approval,
    expected: str | None,
    make_bench: MakeBench,
    progress: Progress | None,
) -> Checked:
    """What was measured for a request if that still holds; else what is measured now.

    Raises GateError, ConflictError, NotFoundError, and as `check_promotion`.
    """
    before = versions.refs(dataset).get("alias", request.alias)
    stands = before or repo.ref_moves.ABSENT
    if expected not in (None, stands):
        raise repo.ref_moved("alias", request.alias, before)
    if _holds(versions, dataset, request, before):
        return Checked(Gating.from_json(request.gating) if request.gating else None, stands)
    bench = _own_bench(versions, dataset, request, make_bench, progress) if request.gates else None
    args = (versions, dataset, request.alias, request.commit, bench, request.gates)
    return replace(check_promotion(*args, make_bench, None, stands), stands=stands)


def _holds(versions: Versions, dataset: str, request: Approval, before: str | None) -> bool:
    """Is all that was measured, and all that it was measured by, as it was?"""
    policy = repo.policies.load(versions.store, versions.key(dataset), request.alias)
    stored = versions.question_sets(dataset) if request.sets else {}
    if before != request.before or _digest(policy) != request.policy:
        return False
    if any(stored.get(name) != digest for name, digest in request.sets.items()):
        return False
    gating = Gating.from_json(request.gating) if request.gating else None
    compared = {Gate.of(each.gate).against: each.against for each in gating.gates if each.against} if gating else {}
    return all(_resolved(versions, dataset, str(name)) == commit for name, commit in compared.items())


def _resolved(versions: Versions, dataset: str, revision: str) -> str | None:
    try:
        return versions.resolve(dataset, revision)
    except VecverError:
        return None


def _own_bench(
    versions: Versions, dataset: str, request: Approval, make_bench: MakeBench, progress: Progress | None
) -> Bench:
    """What the gates of the one who asked measure with. Raises ConflictError if their questions are not stored."""
    name = request.questions["name"] if request.questions else None
    if request.questions and name not in request.sets:
        raise ConflictError(
            f"what was measured for {request.alias} does not hold any more, and its questions are not stored here",
            code="approval_outdated",
            hint=say(
                f"ask again: docs.promote({request.alias!r}, …), with a stored set of questions",
                cli=f"ask again with a stored set: `vecver promote {dataset} {request.alias} …`",
                http=f"ask again with a stored set: POST /v1/datasets/{dataset}/promote",
            ),
            name=request.alias,
        )
    return make_bench(name, progress, **request.how)


def _signed(versions: Versions, request: Approval, checked: Checked) -> Gating:
    """What was measured, with who asked and who approved."""
    before = None if checked.stands == repo.ref_moves.ABSENT else checked.stands
    gating = checked.gating or Gating(request.commit, before, (), None, {})
    asked = {"request": request.id, "asked_by": request.author, "asked_key": request.key, "asked": request.time}
    return replace(gating, approval={**asked, "approved_by": versions.author, "approved_key": versions.author_key})


def _digest(policy: Policy | None) -> str:
    return digest_json(policy.to_json()) if policy else ""
