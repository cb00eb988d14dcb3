"""Push: sends the versions of branches and tags to a remote, and moves its refs forward."""

from __future__ import annotations

from contextlib import suppress

from vecver.errors import ConflictError
from vecver.model import SharedRef, Transferred
from vecver.repo import policies, root
from vecver.repo.maintain.naming import naming
from vecver.repo.refs import tracking
from vecver.repo.refs.refs import dataset_names
from vecver.repo.sync.exchange import (
    NOW_EQUAL,
    Exchange,
    Options,
    check_name_free,
    check_named,
    check_same,
    datasets_of,
    logs_of,
    move_refs,
    pushed,
    refuse,
    repeated,
    selected,
    settle_name,
    shared,
)
from vecver.repo.sync.heads import heads_of
from vecver.repo.sync.planning import Sides, Step, plan
from vecver.repo.sync.question_names import send_questions
from vecver.repo.versions import Versions
from vecver.store import Store

PUSH = "push"


def push(here: Versions, remote: str, store: Store, options: Options) -> Transferred:
    """Send what the remote lacks, then move its refs; an empty place becomes a copy of this repository.

    Raises ConflictError (a ref was refused, and none was moved; the remote is another repository), NotFoundError,
    InvalidInputError (other things lie there), IntegrityError, BackendError. A refused push leaves an empty place
    empty. After any failure every ref of the remote leads to whole versions, and what was sent is not sent again.
    """
    if root.exists(store):
        check_same(here, store, PUSH)
    else:
        root.check_empty(store)
    exchange = Exchange(here, remote, here.store, store, options)
    return repeated(lambda: _push(exchange))


def _begin(here: Versions, store: Store) -> None:
    """Make the repository at an empty place, once it is clear that it can be filled."""
    if not root.exists(store):
        with suppress(ConflictError):  # another process made it at this moment
            root.create(store, here.id)
    check_same(here, store, PUSH)


def _push(exchange: Exchange) -> Transferred:
    here, store, options = exchange.here, exchange.target, exchange.options
    known = datasets_of(here.store, dataset_names(here.store))
    chosen = selected(options.wanted, known, here.store.url)
    ours, theirs = heads_of(here.store, chosen), heads_of(store, chosen)
    check_named(chosen, ours, here.store.url)
    seen = {key: tracking.read(here.store, key, exchange.remote) for key in chosen}
    steps = dict[str, list[Step]]()
    for key, wanted in chosen.items():
        check_name_free(here.store, store, key)
        sender, receiver = ours.get(key, {}), theirs.get(key, {})
        guards = policies.all_of(store, key)
        sides = Sides(sender, receiver, seen[key].agreed, exchange.moves_behind, guards, named=wanted)
        steps[key] = plan(sides, exchange.read)
    dataset_of = {key: name for name, key in known.items()}
    refuse(((dataset_of[key], step) for key in steps for step in steps[key]), exchange, PUSH)

    logs = {key: logs_of(here.store.get, key, steps[key], theirs.get(key, {})) for key in steps}
    heads = {str(step.head.commit) for each in steps.values() for step in each if step.state in NOW_EQUAL}
    logged = {commit for each in logs.values() for log in each.values() for commit in log.commits}
    is_there = [head.commit for each in theirs.values() for head in each.values() if head.commit]
    named = [step for key in steps for step in steps[key] if step.place[1] in chosen[key]]
    exchange.transfer.named = {str(step.head.commit) for step in named}
    absent = exchange.absent({*heads, *logged}, is_there)
    exchange.transfer.send_rows(absent, begin=lambda: _begin(here, store))
    there = Versions(store, author=here.author, author_key=here.author_key)
    with naming(store) as still:
        exchange.transfer.name_versions(heads)
        still()
        for key in steps:
            settle_name(here.store, there, key)
            exchange.notes += send_questions(exchange.transfer, key)
            move_refs(here.store, there, key, steps[key], logs[key], PUSH)
    with naming(here.store):
        for key in steps:
            tracking.write(here.store, key, exchange.remote, pushed(seen[key], steps[key]), seen[key])
    refs: list[SharedRef] = [shared(dataset_of[key], step) for key in steps for step in steps[key]]
    return exchange.outcome(store.url, refs)
