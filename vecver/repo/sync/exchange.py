"""One exchange between two repositories with the same id: plan the refs, send what is missing, move the refs.

    push    from here to a remote        fetch   from a remote to what is tracked of it here
    pull    fetch, then the refs here    clone   all that a remote has, to a new place

What is read of a commit comes from this repository where it has it: commits are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from time import sleep
from typing import Any

from vecver.errors import ConflictError, Hint, NotFoundError, say
from vecver.model import Commit, SharedRef, Transferred
from vecver.near import near
from vecver.progress import Progress
from vecver.repo import root
from vecver.repo.objects import load_commit, parse_commit, path_of
from vecver.repo.refs import names
from vecver.repo.refs.refs import Refs, load_move, move_path, with_gating
from vecver.repo.refs.tracking import Place, Tracked
from vecver.repo.refs.turns import pauses
from vecver.repo.sync.absent import absent_commits
from vecver.repo.sync.heads import Heads
from vecver.repo.sync.planning import ALL, Read, Step
from vecver.repo.sync.ref_logs import Get, RefLog, read_log, write_log
from vecver.repo.sync.transfer import Transfer
from vecver.repo.versions import Versions
from vecver.store import Store

NOW_EQUAL = ("new", "moved", "current")  # states of steps after which both sides stand at one commit
_ATTEMPTS = 6
_AGAIN = (  # others were faster
    *("ref_moved", "name_taken", "collected", "tracking_moved", "entries_moved", "lock_lost", "layout_moved"),
)


@dataclass(frozen=True)
class Options:
    """What a caller wants of an exchange. `wanted`: `handbook`, `handbook@main` ...; none: everything."""

    wanted: Sequence[str] = ()
    indexes: bool = True
    rows_of: Collection[str] | None = None  # commits that bring their rows; None: all
    restore: bool = False  # look at every object, also of versions that the other side's refs lead to
    progress: Progress | None = None


@dataclass
class Exchange:
    """A transfer from one store to another, and the notes on what was left out."""

    here: Versions
    remote: str
    source: Store
    target: Store
    options: Options
    transfer: Transfer = field(init=False)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        how: dict[str, Any] = {"restore": self.options.restore, "progress": self.options.progress}
        how |= {"rows_of": self.options.rows_of, "elsewhere": self.remote}
        self.transfer = Transfer(self.source, self.target, indexes=self.options.indexes, **how)
        self._ahead: dict[str, Commit] = {}
        self.read: Read = lru_cache(maxsize=None)(self._read)

    def _read(self, id: str) -> Commit:
        """A commit, from here if it is here."""
        if id in self._ahead:
            return self._ahead.pop(id)
        stores = sorted((self.source, self.target), key=lambda store: store is not self.here.store)
        try:
            return load_commit(stores[0], id)
        except NotFoundError:
            return load_commit(stores[1], id)

    def read_ahead(self, ids: Iterable[str]) -> None:
        """Read these commits of the source at once, as far as they are not here: they will be asked for."""
        wanted = sorted(set(ids))
        is_here = self.target.has_all([path_of(id) for id in wanted])
        absent = [id for id, here in zip(wanted, is_here, strict=True) if not here]
        for id, body in zip(absent, self.source.get_all([path_of(id) for id in absent]), strict=True):
            if body is not None:
                self._ahead[id] = parse_commit(id, body)

    def moves_behind(self, move: str) -> set[str]:
        """The ids of a ref's move and of all moves before it, as far as one of the two has them."""
        stores, found = (self.source, self.target), set[str]()
        id: str | None = move
        while id and (store := next((each for each in stores if each.size(move_path(id)) is not None), None)):
            found.add(id)
            id = load_move(store, id).previous
        return found

    def absent(self, wanted: Iterable[str], there: Iterable[str]) -> list[Commit]:
        """The versions behind `wanted` that the target's refs, at `there`, do not lead to."""
        return absent_commits(wanted, () if self.options.restore else there, self.read)

    def outcome(self, url: str, refs: Iterable[SharedRef] = ()) -> Transferred:
        sent = self.transfer.sent
        if count := len(self.transfer.let_go):
            versions = f"{count} versions" if count > 1 else "one version"
            self.notes.append(f"gc there had let {versions} go, which stay so; DATASET@REF brings that of a ref back")
        return Transferred(self.remote, url, sent.objects, sent.bytes, tuple(refs), tuple(dict.fromkeys(self.notes)))


# -- which datasets and refs --------------------------------------------------------------------


def selected(wanted: Sequence[str], known: Mapping[str, str], url: str) -> dict[str, set[str]]:
    """key -> the refs that were asked for: none for all, `ALL` among them for all and these. `known`: name -> key.

    Raises NotFoundError.
    """
    if not wanted:
        return {key: set() for key in known.values()}
    chosen: dict[str, set[str]] = {}
    for text in wanted:
        name, _, ref = text.partition("@")
        if name not in known:
            raise NotFoundError(
                f"there is no dataset {name!r} in {url}",
                code="dataset_not_found",
                hint=_datasets(known),
                dataset=name,
                did_you_mean=near(name, list(known)),
            )
        chosen.setdefault(known[name], set()).add(ref or ALL)
    return {key: set() if refs == {ALL} else refs for key, refs in chosen.items()}


def _datasets(known: Mapping[str, str]) -> Hint:
    there = f"there are: {', '.join(sorted(known)) or 'none'}"
    return say(f"{there}; a remote is named by remote=", cli=f"{there}; a remote is named by --remote NAME")


def datasets_of(store: Store, keys: Iterable[str]) -> dict[str, str]:
    """name -> key of these datasets."""
    known = names.read(store)
    return {name: key for key in keys if (name := known.name_of(key))}


def check_named(chosen: Mapping[str, set[str]], heads: Mapping[str, Heads], url: str) -> None:
    """Raises NotFoundError if a ref that was named does not exist."""
    for key, wanted in chosen.items():
        there = {name for (_, name), head in heads.get(key, {}).items() if head.commit}
        if lacking := sorted(wanted - there - {ALL}):
            raise NotFoundError(
                f"{url} has no branch, tag or alias {lacking[0]!r} of {key}",
                code="ref_not_found",
                hint=say(
                    "only branches, tags and aliases travel: docs.tag(NAME, REVISION) names any version",
                    cli="only branches, tags and aliases travel: `vecver tag DATASET NAME REV` names any version",
                ),
                name=lacking[0],
                did_you_mean=near(lacking[0], sorted(there)),
            )


def check_same(here: Versions, store: Store, verb: str = "fetch") -> None:
    """Raises NotFoundError (no repository there), ConflictError (another one). `verb`: what was to be done with it."""
    if (id := identity_of(store, verb)) != here.id:
        address = say("repo.remotes() lists the addresses", cli="`vecver remote list` has the addresses")
        empty = say("name an empty place to push to", cli="name an empty place to push to")
        first = empty if verb == "push" else address
        raise ConflictError(
            f"{store.url} is another repository ({id[:12]}, this is {here.id[:12]})",
            code="other_repository",
            hint=say(
                f"{first}; vecver.clone(URL, FOLDER) brings that repository into a folder of its own",
                cli=f"{first.cli}; `vecver clone URL FOLDER` brings that repository into a folder of its own",
            ),
            url=store.url,
        )


def identity_of(store: Store, verb: str) -> str:
    """The id of the repository at a remote. `verb`: what was to be done with it. Raises NotFoundError (none there)."""
    if root.exists(store):
        return root.identity(store)
    fill = say("repo.push(remote=NAME) fills an empty place", cli="`vecver push` fills an empty place")
    known = say("repo.remotes() lists the addresses", cli="`vecver remote list` has the addresses")
    look = "name the folder, or the address of the store, in which the repository is"
    raise NotFoundError(
        f"{store.url} is not a vecver repository",
        code="repository_not_found",
        hint=look if verb == "clone" else say(f"{fill}; {known}", cli=f"{fill.cli}; {known.cli}"),
        url=store.url,
    )


def settle_name(source: Store, target: Versions, key: str) -> None:
    """Let a dataset that is new at the target have the name it has at the source. Raises ConflictError."""
    there = names.read(target.store)
    name, present = names.read(source).name_of(key), there.name_of(key)
    if key in there.deleted:
        raise ConflictError(
            f"{target.store.url} has deleted the dataset {name or key}",
            code="dataset_deleted",
            hint="name the other datasets; a deleted one is not made again",
            dataset=key,
        )
    is_found = name == present and there.key(str(name)) == key  # not so where another dataset had the name before
    if name is None or is_found or next(target.store.list(Refs.folder(key)), None):
        return
    with names.changing(target.store):
        names.change(target.store, key, name, author=target.author, time=target.time())


def check_name_free(source: Store, target: Store, key: str) -> None:
    """Raises ConflictError if another dataset at the target has the name of one that is new there."""
    name, there = names.read(source).name_of(key), names.read(target)
    holder = there.key(name) if name else key
    if holder != key and not next(target.list(Refs.folder(key)), None) and next(target.list(Refs.folder(holder)), None):
        raise ConflictError(
            f"{target.url} has another dataset {name!r}",
            code="dataset_exists",
            hint="rename one of the two",
            dataset=name,
        )


# -- repeating ----------------------------------------------------------------------------------


def repeated(attempt: Callable[[], Transferred]) -> Transferred:
    """Try again where another writer was faster; what was sent stays sent. Raises ConflictError after some attempts."""
    lost: ConflictError | None = None
    for _, seconds in zip(range(_ATTEMPTS), pauses(), strict=False):
        try:
            return attempt()
        except ConflictError as error:
            if error.code not in _AGAIN:
                raise
            lost = error
        sleep(seconds)
    assert lost
    raise lost


def refuse(steps: Iterable[tuple[str, Step]], exchange: Exchange, verb: str) -> None:
    """Raises ConflictError if a step is refused; nothing was moved."""
    refused = [(dataset, step) for dataset, step in steps if step.state == "refused"]
    if not refused:
        return
    listed = "; ".join(f"{dataset}@{step.place[1]}: {step.reason}" for dataset, step in refused[:5])
    more = f", and {len(refused) - 5} more" if len(refused) > 5 else ""
    first, step = refused[0]
    stays = f"no ref of {exchange.target.url} was moved" if verb == "push" else "no ref was moved here"
    raise ConflictError(
        f"{stays}: {listed}{more}",
        code="refs_refused",
        hint=_way_on(verb, exchange.remote, first, step),
        refs=[shared(dataset, step).to_json() for dataset, step in refused],
    )


def _way_on(verb: str, remote: str, dataset: str, step: Step) -> Hint:
    """What to do about a ref that was refused; nothing was moved."""
    kind, name = step.place
    there, option = f"{remote}/{name}", "" if remote == "origin" else f" --remote {remote}"
    others = f"or send other refs: `vecver push {dataset}@REF{option}`"
    if kind == "branch" and verb == "push":
        return say(
            f"repo.fetch(remote={remote!r}), docs.merge({there!r}, branch={name!r}), then push again",
            cli=f"`vecver fetch{option}`, `vecver merge {dataset} {there}{_into(name)}`, then push again; {others}",
        )
    if kind == "branch":
        return say(
            f"what was fetched is kept: docs.merge({there!r}, branch={name!r}) brings both together",
            cli=f"what was fetched is kept: `vecver merge {dataset} {there}{_into(name)}` brings both together; "
            f"or pull other refs: `vecver pull {dataset}@REF{option}`",
        )
    return say(
        "look at both, and name the refs that you want",
        cli=f"look at both with `vecver {kind} {dataset}`, and name the refs that you want: "
        f"`vecver {verb} {dataset}@REF{option}`",
    )


def _into(branch: str) -> str:
    """The option of `vecver merge` that names a branch; main needs none."""
    return "" if branch == "main" else f" --branch {branch}"


def shared(dataset: str, step: Step) -> SharedRef:
    """A step as callers see it."""
    kind, name = step.place
    return SharedRef(dataset, kind, name, step.state, step.before, step.head.commit, step.reason)


# -- moving refs --------------------------------------------------------------------------------


def logs_of(get: Get, key: str, steps: Iterable[Step], receiver: Heads) -> dict[Place, RefLog]:
    """The logs of the refs that the receiver never had."""
    new = [step for step in steps if step.state == "new" and step.place not in receiver]
    return {step.place: read_log(get, key, step.place, step.head.move) for step in new}


def move_refs(
    source: Store, target: Versions, key: str, steps: Iterable[Step], logs: Mapping[Place, RefLog], reason: str
) -> None:
    """Move the refs of a dataset, each by one swap. Raises ConflictError (one was moved meanwhile)."""
    dataset = target.name_of(key) or key
    for step in steps:
        kind, name = step.place
        if step.state not in ("new", "moved"):
            continue
        if step.place in logs:
            write_log(source, target.store, logs[step.place])
            continue
        gating = with_gating(source, load_move(source, step.head.move)).gating if kind == "alias" else None
        after = str(step.head.commit)
        target.move(dataset, kind, name, before=step.before, after=after, reason=reason, gating=gating)


def agreed_on(seen: Tracked, steps: Iterable[Step]) -> dict[str, str]:
    """The aliases that stand at the same commit on both sides once these steps are taken, and where others last did."""
    same = [step for step in steps if step.place[0] == "alias" and step.state in NOW_EQUAL]
    return {**seen.agreed, **{step.place[1]: str(step.head.commit) for step in same}}


def pushed(seen: Tracked, steps: Iterable[Step]) -> Tracked:
    """What is tracked after a push: the refs that stand there where they stand here."""
    steps = list(steps)
    refs = {step.place: step.head.commit for step in steps if step.state in NOW_EQUAL}
    return Tracked({**seen.refs, **refs}, agreed_on(seen, steps))
