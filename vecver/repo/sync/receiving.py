"""Fetch, pull and clone: bring the versions of a remote here, and say or move where its refs stand.

Decisions
1. One step names what arrived, records where the remote's refs stand, and moves the refs here (`naming`), so that gc
   never sees versions that nothing names yet. A pull that is refused keeps what it fetched.
2. A clone has the id of its repository: it is the same knowledge, so receipts replay there. A place with another id is
   another repository, whose versions are not mixed with these.
3. A partial clone has the records of all versions, their measures, the refs and their logs, and no rows, not even
   layouts. See `repo.sync.partial`.
4. A clone that was cut off is a repository without some of its refs; the same command goes on from there.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from vecver.errors import ConflictError, InvalidInputError, say
from vecver.model import RefState, SharedRef, Transferred
from vecver.repo import entries, policies, root
from vecver.repo.maintain.naming import naming
from vecver.repo.refs import names, remotes, tracking
from vecver.repo.refs.tracking import Place, Tracked
from vecver.repo.sync.exchange import (
    Exchange,
    Options,
    agreed_on,
    check_name_free,
    check_named,
    check_same,
    datasets_of,
    identity_of,
    logs_of,
    move_refs,
    refuse,
    repeated,
    selected,
    settle_name,
    shared,
)
from vecver.repo.sync.heads import Head, Heads, heads_of
from vecver.repo.sync.planning import ALL, Sides, Step, plan
from vecver.repo.sync.question_names import send_questions
from vecver.repo.sync.ref_logs import all_moves
from vecver.repo.versions import Versions
from vecver.store import Store

PULL = "pull"


def fetch(here: Versions, remote: str, store: Store, options: Options) -> Transferred:
    """Bring the versions that the refs of a remote name, and record where those stand. No ref here moves.

    Raises NotFoundError, ConflictError (another repository), IntegrityError, BackendError: nothing is tracked anew.
    """
    check_same(here, store)
    exchange = Exchange(here, remote, store, here.store, _as_cloned(here, remote, options))
    return repeated(lambda: _Received(exchange).fetched())


def pull(here: Versions, remote: str, store: Store, options: Options) -> Transferred:
    """Fetch, then move the refs here forward, and make those that are new. Raises as `fetch`, and ConflictError.

    If one ref was moved on both sides, none is moved here.
    """
    check_same(here, store)
    exchange = Exchange(here, remote, store, here.store, _as_cloned(here, remote, options))
    return repeated(lambda: _Received(exchange).pulled())


def _as_cloned(here: Versions, remote: str, options: Options) -> Options:
    """A partial clone stays partial: of what is new, too, only the records come."""
    if options.rows_of is None and remotes.read(here.store).get(remote, {}).get("partial"):
        return replace(options, rows_of=set())
    return options


def clone(
    store: Store, target: Store, url: str, options: Options, *, author: str, at: str = "", partial: bool = False
) -> tuple[Versions, Transferred]:
    """A new repository at `target` with all versions, refs, logs, question sets and policies of the one at `store`.

    `partial`: only the records of versions come, and rows when they are needed; `at`: those of this version now.

    Raises NotFoundError (none there), ConflictError, InvalidInputError (something else is at the target).
    """
    if partial or at:
        options = _partial(store, options, at)
    begin_clone(store, target, url, partial=options.rows_of is not None)
    here = Versions(target, author=author)
    exchange = Exchange(here, remotes.ORIGIN, store, target, options)
    outcome = repeated(lambda: _Received(exchange).cloned())
    return here, outcome


def _partial(store: Store, options: Options, at: str) -> Options:
    """The options that bring the rows of one version, or of none. Raises NotFoundError, InvalidInputError."""
    if not at:
        return replace(options, rows_of=set())
    source = Versions(store)
    dataset, _, revision = at.rpartition("@")
    names = source.datasets()
    if not dataset and len(names) != 1:
        raise InvalidInputError(
            f"{at!r} may be a version of any of {', '.join(names) or 'no datasets'}",
            code="invalid_revision",
            hint=f"name the dataset too: {names[0] if names else 'DATASET'}@{at}",
        )
    dataset = dataset or names[0]
    return replace(options, wanted=(dataset,), rows_of={source.resolve(dataset, revision)})


def begin_clone(store: Store, target: Store, url: str, *, partial: bool = False) -> None:
    """Make the repository with its remote, or find that an earlier clone made it. Raises ConflictError."""
    id = identity_of(store, "clone")
    if store.url == target.url and not store.url.startswith("memory:"):  # those have no address of their own
        raise _clone_of_itself(store.url)
    if not root.exists(target):
        root.create(target, id)
    elif root.identity(target) != id or remotes.read(target).get(remotes.ORIGIN, {"url": url})["url"] != url:
        raise ConflictError(
            f"{target.url} is a repository already",
            code="repository_exists",
            hint=say(
                "name another folder; repo.pull() updates a clone",
                cli="name another folder; `vecver pull` updates a clone",
            ),
            url=target.url,
        )
    remotes.add(target, remotes.ORIGIN, url, partial=partial)


def _clone_of_itself(url: str) -> ConflictError:
    return ConflictError(
        f"{url} cannot be a clone of itself",
        code="repository_exists",
        hint="name another folder for the clone",
        url=url,
    )


class _Received:
    """The refs of both sides, as they stood when an attempt began."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._here, self._source = exchange.here, exchange.source
        theirs = heads_of(exchange.source)
        known = datasets_of(exchange.source, theirs)
        self._chosen = selected(exchange.options.wanted, known, exchange.source.url)
        check_named(self._chosen, theirs, exchange.source.url)
        self._dataset_of = {key: name for name, key in known.items()}
        self._theirs: dict[str, Heads] = {key: theirs[key] for key in self._chosen}
        self._seen = {key: tracking.read(self._here.store, key, exchange.remote) for key in self._chosen}
        self._ours = heads_of(self._here.store)

    def fetched(self) -> Transferred:
        self._bring(set())
        refs = self._tracked_refs()
        with naming(self._here.store) as still:
            self._exchange.transfer.name_versions(self._heads())
            still()
            self._track()
        return self._exchange.outcome(self._source.url, refs)

    def pulled(self) -> Transferred:
        return self._moved(self._steps(), every_log=False)

    def cloned(self) -> Transferred:
        with suppress(ConflictError):  # it has names already
            if self._source.size(names.NAME) is not None and self._here.store.size(names.NAME) is None:
                self._here.store.swap(names.NAME, None, self._source.get(names.NAME))
        outcome = self._moved(self._steps(), every_log=True)
        for key in self._theirs:
            _copy_policies(self._source, self._here.store, key)
        return outcome

    def _moved(self, steps: dict[str, list[Step]], *, every_log: bool) -> Transferred:
        here, exchange = self._here, self._exchange
        get = all_moves(self._source) if every_log else self._source.get
        logs = {key: logs_of(get, key, steps[key], self._ours.get(key, {})) for key in steps}
        self._bring({commit for each in logs.values() for log in each.values() for commit in log.commits})
        with naming(here.store) as still:
            exchange.transfer.name_versions(self._heads())
            still()
            self._track()
            refuse(((self._dataset_of[key], step) for key in steps for step in steps[key]), exchange, PULL)
            for key in steps:
                check_name_free(self._source, here.store, key)
                settle_name(self._source, here, key)
                exchange.notes += send_questions(exchange.transfer, key)
                move_refs(self._source, here, key, steps[key], logs[key], PULL)
                seen = self._seen[key]
                self._record(key, Tracked(seen.refs, agreed_on(seen, steps[key])))
        return exchange.outcome(
            self._source.url, [shared(self._dataset_of[k], step) for k in steps for step in steps[k]]
        )

    def _steps(self) -> dict[str, list[Step]]:
        steps = {}
        for key, heads in self._theirs.items():
            receiver, agreed = self._ours.get(key, {}), self._seen[key].agreed
            guards = policies.all_of(self._here.store, key)
            how: dict[str, Any] = {"promoted": True, "named": self._chosen[key], "with_aliases": True}
            sides = Sides(heads, receiver, agreed, self._exchange.moves_behind, guards, at="here", **how)
            steps[key] = plan(sides, self._exchange.read)
        return steps

    def _bring(self, logged: set[str]) -> None:
        """Send the rows of what the remote's refs, and these logs, lead to."""
        here = [head.commit for heads in self._ours.values() for head in heads.values() if head.commit]
        known = [*here, *tracked_commits(self._here.store)]
        self._exchange.transfer.named = {
            str(head.commit)
            for key in self._theirs
            for (_, name), head in self._places(key).items()
            if name in self._chosen[key]
        }
        wanted = {*self._heads(), *logged}
        self._exchange.read_ahead(wanted)
        self._exchange.transfer.send_rows(self._exchange.absent(wanted, known))

    def _heads(self) -> set[str]:
        return {str(head.commit) for key in self._theirs for head in self._places(key).values() if head.commit}

    def _places(self, key: str) -> dict[Place, Head]:
        """The refs of a dataset that were asked for."""
        wanted = self._chosen[key]
        return {place: head for place, head in self._theirs[key].items() if not wanted or wanted & {ALL, place[1]}}

    def _track(self) -> None:
        """Record where the remote's refs stand; what it no longer has is dropped where all its refs were asked for."""
        for key in self._theirs:
            seen = self._seen[key]
            refs = {place: head.commit for place, head in self._places(key).items()}
            self._record(key, Tracked({**seen.refs, **refs} if self._chosen[key] else refs, seen.agreed))

    def _record(self, key: str, tracked: Tracked) -> None:
        tracking.write(self._here.store, key, self._exchange.remote, tracked, self._seen[key])
        self._seen[key] = tracking.read(self._here.store, key, self._exchange.remote)

    def _tracked_refs(self) -> list[SharedRef]:
        refs = []
        for key in self._theirs:
            for place, head in sorted(self._places(key).items()):
                before = self._seen[key].refs.get(place)
                state: RefState = "current" if before == head.commit else "moved" if before else "new"
                if head.commit:
                    refs.append(shared(self._dataset_of[key], Step(place, state, before, head)))
        return refs


def known_here(store: Store) -> list[str]:
    """The commits that the refs here, and those of remotes, name."""
    here = [head.commit for heads in heads_of(store).values() for head in heads.values() if head.commit]
    return [*here, *tracked_commits(store)]


def tracked_commits(store: Store) -> list[str]:
    """The commits that the refs of remotes name."""
    return [commit for key in tracking.keys(store) for commit in tracking.commits_of(store, key)]


def _copy_policies(source: Store, target: Store, key: str) -> None:
    """Give a new clone the gates of its aliases. A policy that is there stays."""
    for name in entries.names(source, policies.FOLDER, key):
        policy = entries.read(source, "alias", policies.FOLDER, key, name)
        if policy.body is not None and target.size(policy.path) is None:
            with suppress(ConflictError):
                target.swap(policy.path, None, policy.body)
