"""Garbage collection: one look at everything finds what no version needs; the plan is shown, and later carried out.

Kept are: refs and their logs; every commit that a ref, a ref's log, or a ref of a remote leads to; the layouts of those
commits that are retained; and what these name. Without a retention every such commit is retained. With one, the commits
are retained that refs name now or named recently, that are published in a Milvus, or that the retention keeps. A commit
that is not retained keeps its record and loses its rows: it is *forgotten*, and that is written down.

    forgotten/<commit>     sealed: when, and under which retention; or at which `remote` the rows are, in a partial
                           clone: they come when they are needed, and gc may let them go again

Decisions
1. Everything waits in `repo.maintain.trash` for the grace age before it is deleted, counted from when gc (or a fold)
   first saw that nothing names it. So what a running ingest has written, or took over from a version that was
   rewritten meanwhile, still exists when it commits. Only the callers' clocks count: one that is days ahead shortens
   the age by as much. With a grace age that is shorter than an ingest takes, a running ingest may have to write again
   what gc deleted; it never names what was deleted.
2. What is to be deleted is looked at once more while no writer is about to name something (`naming`): the plan may be
   as old as its reader, and a version may have landed since on what waited.
3. One gc deletes at a time, until what it deleted is buried. Of two, the slower deleted segments that an ingest had
   written again in between, and named.
   In a bucket the lock is a lease, which may pass on while its holder is stopped. So it passes on after twenty minutes
   only, and a group of objects is deleted only in the first ten. For a deletion to arrive too late, the process must
   stop for ten minutes between that look and the request. S3 and Azure refuse requests that are much older.
4. Objects of a kind are deleted together, durably before those that they name. Otherwise a power cut brought back the
   layout of a version whose rows stayed deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import groupby
from urllib.parse import quote

from vecver.errors import BackendError, IntegrityError, InvalidInputError, NotFoundError, say
from vecver.model import Commit, Garbage, Json, Move
from vecver.repo import objects, question_sets, spare
from vecver.repo.maintain import trash
from vecver.repo.maintain.naming import nobody_naming
from vecver.repo.maintain.retention import Retention, is_age
from vecver.repo.objects import load_commit, parents_first
from vecver.repo.published import ledger
from vecver.repo.refs import names, refs, tracking
from vecver.repo.refs.refs import KINDS, Refs
from vecver.repo.rows.layout import layout_path, load_layout
from vecver.repo.rows.segment_files import FILES, path_of, unit_of
from vecver.store import Store
from vecver.store.api import Still

_SECONDS = 60.0  # to wait while another gc deletes
_LAPSE = 1200.0  # after which a lease passes on from a gc that is not heard of
_AT_ONCE = 500  # objects that are deleted before the lock is looked at
_FORGOTTEN_AT_ONCE = 8  # each is written down, which must fit on a full disk
_WRITES = ("ingest", "upsert", "delete")  # reasons of moves to a version made just before
_RECENT = timedelta(days=30)  # what a ref named within it is kept, so that the ref can be rolled back
_OF_DATASETS = ("refs", "tracking", "publications", "questions", "policies", "approvals")  # deleted with their dataset
_OF_COMMITS = ("commits", "layouts", "forgotten", "measures")
_FOLDERS = (*_OF_DATASETS, "gatings", "moves", *_OF_COMMITS, "question-sets", "segments", "parts")  # parents first


def plan(store: Store, retention: Retention, specs: Collection[str], now: datetime, grace: timedelta) -> Garbage:
    """What `collect` would do. `specs`: the kinds of derived files to keep. Changes nothing.

    What is garbage for the first time waits at least until the next gc, whatever the grace age: it may belong to
    an ingest that moves its branch while we look.

    Raises InvalidInputError (a grace that is no age), IntegrityError (a ref or a layout is lost).
    """
    if not is_age(grace):
        raise InvalidInputError(
            f"{grace!r} is no age that something can wait",
            code="invalid_grace",
            hint=say("give grace=timedelta(days=1), or timedelta(0)", cli="give --grace 1d, or 0"),
        )
    waiting = trash.read(store)  # before the refs: what another gc retires meanwhile may be named by now
    listed = _listed(store)
    commits, kept, with_rows = _versions(store, retention, now)
    units = _units(store, listed, specs, _needed(store, listed, commits, kept & with_rows))
    units |= {name: store.size(name) or 0 for name in _of_deleted(store)}
    since = {unit: waiting.waiting.get(unit) for unit in units}
    ripe = {u for u, time in since.items() if u in waiting.condemned or (time and _is_ripe(time, now, grace))}
    return Garbage(
        forgotten=tuple(id for id in commits if id in with_rows - kept),
        delete={unit: size for unit, size in units.items() if unit in ripe},
        wait={unit: size for unit, size in units.items() if unit not in ripe},
        kept_versions=len(kept & with_rows),
    )


def _listed(store: Store) -> list[str]:
    """The names of all objects that may be garbage; to be listed before the refs are read."""
    kinds = [folder for folder in _FOLDERS if folder not in _OF_DATASETS]
    return [name for folder in kinds for name in store.list(f"{folder}/")]


def _versions(store: Store, retention: Retention, now: datetime) -> tuple[dict[str, Commit], set[str], set[str]]:
    """(every commit that is named, those that are kept, those that have rows). Raises IntegrityError."""
    commits = _commits(store)
    kept = {*_retained(store, commits, retention, now), *(ledger.commits(store) & commits.keys())}
    with_rows = {id for id in commits if store.size(layout_path(id)) is not None}
    _refuse_lost(store, (kept & commits.keys()) - with_rows)
    return commits, kept, with_rows


def _of_deleted(store: Store) -> Iterator[str]:
    """What lies under the keys of deleted datasets; it is deleted before what it leads to."""
    for key in names.read(store).deleted:
        for folder in _OF_DATASETS:
            yield from store.list(f"{folder}/{quote(key, safe='')}/")


def collect(store: Store, garbage: Garbage, retention: Retention, now: datetime) -> None:
    """Carry out a plan: retire what is new in it, delete what has waited unless a writer claimed it meanwhile.

    On a full disk it frees the room that it needs to write, see `_rooms`. Raises BackendError, ConflictError (locked:
    another gc deletes for longer than a minute).
    """
    rooms = _rooms(store, garbage)
    while True:
        try:
            with store.lock("collecting", _SECONDS, _LAPSE) as still:
                _collect(store, garbage, retention, now, still)
            break
        except BackendError as error:
            if error.code != "store_full" or not next(rooms, False):
                raise
    spare.keep(store, 2 * (store.size(trash.NAME) or 0))


def _collect(store: Store, garbage: Garbage, retention: Retention, now: datetime, still: Still) -> None:
    time, old = now.isoformat(timespec="seconds"), trash.read(store)
    planned = {*garbage.delete, *garbage.wait}
    condemned = set(old.condemned & garbage.delete.keys())
    _delete(store, condemned, garbage, retention, time, still)  # needs no write first, and makes room for those below
    trash.claim(store, old.waiting.keys() - planned)  # these are needed again
    trash.retire(store, planned - old.waiting.keys() - old.condemned, time)
    new = _condemn(store, {unit: old.waiting[unit] for unit in garbage.delete if unit in old.waiting}, retention, now)
    _delete(store, new, garbage, retention, time, still)
    still()
    trash.bury(store, {*condemned, *new, *(old.condemned - planned)})  # the last were deleted before a crash


def _condemn(store: Store, units: dict[str, str], retention: Retention, now: datetime) -> set[str]:
    """Condemn those units that still nothing needs and that have waited since the given time. Gives these."""
    if not units:
        return set()
    with nobody_naming(store):
        commits, kept, with_rows = _versions(store, retention, now)
        needed = _needed(store, _listed(store), commits, kept & with_rows)
        return trash.condemn(store, {unit: since for unit, since in units.items() if unit not in needed})


def _delete(
    store: Store, units: Iterable[str], garbage: Garbage, retention: Retention, time: str, still: Still
) -> None:
    """Delete condemned units, parents first; a version is recorded as forgotten before its layout goes."""
    forgotten = {layout_path(commit): commit for commit in garbage.forgotten}
    for _, of_kind in groupby(sorted(units, key=_parents_first), key=lambda unit: _parents_first(unit)[0]):
        same_kind = list(of_kind)
        step = len(same_kind) if forgotten.keys().isdisjoint(same_kind) else _FORGOTTEN_AT_ONCE
        for start in range(0, len(same_kind), step):
            batch = same_kind[start : start + step]
            for commit in (forgotten[unit] for unit in batch if unit in forgotten):
                _forget(store, commit, retention, time)
            names = [name for unit in batch for name in _objects(store, unit)]
            for first in range(0, len(names), _AT_ONCE):
                still()
                store.delete(*names[first : first + _AT_ONCE])  # before what they name


def _forget(store: Store, commit: str, retention: Retention, time: str) -> None:
    """Record that the rows of a version go; where a remote has them, its record stays, so that they can come again."""
    if store.size(forgotten_path(commit)) is None or not load_forgotten(store, commit).get("remote"):
        record = {"commit": commit, "time": time, "retention": retention.to_json()}
        store.put(forgotten_path(commit), objects.sealed(record))


def _rooms(store: Store, garbage: Garbage) -> Iterator[bool]:
    """Free room on a full disk, a little at a time, what is needed least first; yields True for each step.

    It deletes nothing of a version: only the reserve, the indexes of segments that are garbage, and vectors that an
    interrupted ingest kept for the next one, which then embeds them again.
    """
    if spare.release(store):
        yield True
    for units in (garbage.delete, garbage.wait):
        for unit in units:
            files = _objects(store, unit) if unit.startswith("segments/") else []
            rebuilt = [name for name in files if name.rsplit("/", 1)[1] not in (*FILES, "segment.json")]
            store.delete(*rebuilt)
            if rebuilt:
                yield True
    for units in (garbage.delete, garbage.wait):
        for unit in units:
            if unit.startswith("parts/") and store.size(unit) is not None:
                store.delete(unit)
                yield True


def forgotten_path(commit: str) -> str:
    """The store's name of the record that gc deleted a commit's rows."""
    return f"forgotten/{commit}"


def load_forgotten(store: Store, commit: str) -> Json:
    """When gc deleted a commit's rows, and under which retention. Raises NotFoundError, IntegrityError."""
    name = forgotten_path(commit)
    value = objects.load_sealed(store, name)
    if value.get("commit") != commit:
        raise objects.misplaced(name)
    return value


def note_elsewhere(store: Store, commit: str, remote: str, time: str) -> bytes:
    """Record that a version's rows are at a remote, whether they are here too or not; gives what was written."""
    body = objects.sealed({"commit": commit, "time": time, "retention": {}, "remote": remote})
    store.put(forgotten_path(commit), body)
    return body


def place_of_rows(store: Store, commit: str) -> str | None:
    """The remote that has the rows of a version; None if they are here, or nowhere. Raises IntegrityError."""
    if store.size(layout_path(commit)) is not None or store.size(forgotten_path(commit)) is None:
        return None
    remote = load_forgotten(store, commit).get("remote")
    return str(remote) if remote else None


# -- what is kept -------------------------------------------------------------------------------


def _refuse_lost(store: Store, without_layout: Iterable[str]) -> None:
    """Raises IntegrityError if a version has lost its layout, because its rows would look like garbage."""
    for id in sorted(without_layout):
        if store.size(forgotten_path(id)) is None:
            raise IntegrityError(
                f"{layout_path(id)} is lost, and gc would delete the rows of its version",
                code="layout_lost",
                hint="restore the file from a copy of the repository, then collect",
                name=layout_path(id),
            )


def _commits(store: Store) -> dict[str, Commit]:
    """Every commit that a ref or its log leads to, parents first."""
    datasets = {*refs.dataset_names(store), *tracking.keys(store)}
    heads = [commit for dataset in sorted(datasets) for commit in named(Refs(store, dataset))]
    return {commit.id: commit for commit in parents_first(heads, lambda id: load_commit(store, id))}


def named(dataset: Refs) -> Iterator[str]:
    """The commits that the refs of a dataset name or ever named, and those that its remotes' refs name."""
    yield from tracking.commits_of(dataset.store, dataset.key)
    for kind in KINDS:
        for name in dataset.names(kind):
            for move in dataset.log(kind, name):
                yield from (id for id in (move.after, move.before) if id)


def _retained(store: Store, commits: dict[str, Commit], retention: Retention, now: datetime) -> Iterator[str]:
    if retention == Retention():
        yield from commits
        return
    for key in tracking.keys(store):
        yield from tracking.commits_of(store, key)
    for dataset in refs.dataset_names(store):
        dataset_refs = Refs(store, dataset)
        yield from named_of_late(dataset_refs, now)
        for head in dataset_refs.all("branch").values():
            yield from _first_parents(commits, head, retention.last or 1)
    if retention.within is not None:
        yield from (id for id, made in commits.items() if datetime.fromisoformat(made.time) >= now - retention.within)


def named_of_late(dataset: Refs, now: datetime) -> Iterator[str]:
    """The commits that the refs of a dataset name, or named within the days in which they may be rolled back."""
    for kind in KINDS:
        yield from dataset.all(kind).values()
        for name in dataset.names(kind):
            yield from _recent(dataset, kind, name, now)


def _recent(dataset: Refs, kind: refs.Kind, name: str, now: datetime) -> Iterator[str]:
    """The commits that a ref was recently moved from and to."""
    for move in dataset.log(kind, name):
        if datetime.fromisoformat(move.time) < now - _RECENT:
            break
        if move.reason not in _WRITES:  # otherwise every version would be kept, whatever the retention
            yield from (id for id in (move.before, move.after) if id)


def _first_parents(commits: dict[str, Commit], head: str, count: int) -> Iterator[str]:
    for _ in range(count):
        if head not in commits:  # it was committed after we looked: nothing of it is in the plan
            return
        yield head
        if not commits[head].parents:
            return
        head = commits[head].parents[0]


def _logs(store: Store, listed: list[str]) -> set[str]:
    """The names of all moves that a ref's log holds. Raises IntegrityError if a log was lost."""
    logged: set[str] = set()
    for dataset in refs.dataset_names(store):
        dataset_refs = Refs(store, dataset)
        for kind in KINDS:
            for name in dataset_refs.names(kind):
                logged.update(dataset_refs.move_names(kind, name))
    strays = list[Move]()
    for name in listed:
        if name.startswith("moves/") and name not in logged:
            with suppress(NotFoundError):  # another gc has deleted it since
                strays.append(refs.load_move(store, name.partition("/")[2]))
    if lost := refs.lost(store, strays):
        move = min(lost, key=lambda move: move.time)
        raise IntegrityError(
            f"the {move.kind} {move.name!r} of {move.dataset} was deleted or set back behind vecver's back, "
            "and gc would delete its versions",
            code="ref_lost",
            hint=say(
                "run repo.check(repair=True), which puts the ref back, or restore refs/ from a copy of the repository",
                cli="run `vecver check --repair`: it puts the ref back; or restore refs/ from a copy of the repository",
            ),
            name=Refs(store, move.dataset).path(move.kind, move.name),
        )
    return logged


def _needed(store: Store, listed: list[str], commits: dict[str, Commit], retained: Iterable[str]) -> set[str]:
    """The units and names that are not garbage."""
    needed = _logs(store, listed)
    needed |= {refs.gating_path(name.partition("/")[2]) for name in needed}
    for id, commit in commits.items():
        needed |= {objects.path_of(id), forgotten_path(id), f"measures/{id}"}
        if "to" in commit.operation:  # a rollback went back to that commit; nothing else may lead to it
            needed.add(objects.path_of(commit.operation["to"]))
    for dataset in refs.dataset_names(store):
        needed.update(map(question_sets.content_path, question_sets.digests(store, dataset)))
    for id in retained:
        needed.add(layout_path(id))
        needed |= {unit_of(live.segment) for live in load_layout(store, id).segments}
    return needed


# -- what is deleted ----------------------------------------------------------------------------------


def _units(store: Store, listed: list[str], specs: Collection[str], needed: set[str]) -> dict[str, int]:
    """The units that are garbage, and their bytes."""
    useful = {*FILES, "segment.json", *specs, *(f"{spec}{end}" for spec in specs for end in (".json", ".measured"))}
    sizes: dict[str, int] = {}
    for name in listed:
        folder, _, rest = name.partition("/")
        unit = name
        if folder == "segments":
            segment, _, file = rest.partition("/")
            unit = unit_of(segment)
            if unit in needed and file not in useful:
                unit = name  # a derived file of another kind
        elif folder == "measures":
            unit = f"measures/{rest.partition('/')[0]}"
        if unit not in needed:
            sizes[unit] = sizes.get(unit, 0) + (store.size(name) or 0)
    return sizes


def _objects(store: Store, unit: str) -> list[str]:
    """The objects of a unit; first the one whose absence means that the unit is absent."""
    if unit.count("/") > 1 or not unit.startswith(("segments/", "measures/")):
        return [unit]
    files = list(store.list(unit + "/"))
    return sorted(files, key=lambda name: (not name.endswith(".json"), name != path_of(unit[9:], "segment.json")))


def _parents_first(unit: str) -> tuple[int, str]:
    return _FOLDERS.index(unit.partition("/")[0]), unit


def _is_ripe(since: str, now: datetime, grace: timedelta) -> bool:
    return max(now - datetime.fromisoformat(since), timedelta(0)) >= grace
