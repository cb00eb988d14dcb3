"""Publish: a version becomes searchable in a Milvus, at the cost of what it changes there.

    sweep     take back what a publisher that is no more has left half done
    choose    the collection that grows, or a new one: for another space, or when too much of it would be dead
    intend    write down what is about to happen
    write     rows that begin are born at the next ordinal, rows that end die at it; then one barrier
    record    the version is (collection, ordinal) from now on: the only visible moment

Stopped anywhere, every version that was published before is searched as before. The repository is changed in
nothing but its ledger.

Decisions
- 2026-11-21 the lanes of what was written are added up on the way, and must give the commit's own vector root, and
  Milvus must count as many rows as they are, before the version is recorded.
- 2026-11-21 small versions go to FLAT collections. On 140 versions of a documentation site (6,000 chunks) a graph's
  mean ann_recall@10 was 0.942, and 0.50 at worst: what Milvus 2.3 has not flushed it searches by an index of its own
  that heeds no `ef`, and rows that were written again harm the graph until they are compacted. So a graph is flushed
  and compacted now and then, not at every commit, which would leave small segments.
- 2026-11-21 a collection grows while half of its rows are live: with fewer, an index that serves all its states
  was measured to find less (0.87 of the true hits at one tenth), and the dead fill its memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from vecver import index, repo
from vecver.digest import digest_json
from vecver.errors import IntegrityError, InvalidInputError, NotFoundError, VecverError, say
from vecver.model import Commit, Publication
from vecver.progress import Progress
from vecver.repo import (
    UNCOUNTED,
    Again,
    Collection,
    Intent,
    Ledger,
    Places,
    Publications,
    Roots,
    Snapshot,
    State,
    Versions,
)

LEAST_LIVE = 0.5  # of a collection's rows, for it to take another version
FEW_DEAD = 4096  # rows that no collection is begun for
FLAT_ROWS = 32768  # of a version, up to which Milvus scans it: exact, and as fast as a graph over so few
SEALED_ROWS = 8192  # after which Milvus is asked to index what was written
_FIRST = 1  # ordinal

Lives = Mapping[bytes, tuple[int, int]]  # key -> how often it was there before, since which ordinal it is


@dataclass
class Publisher:
    """Publishes a dataset to one Milvus."""

    versions: Versions
    dataset: str
    connection: index.milvus.Connection
    book: Publications
    progress: Progress | None = None

    def publish(self, at: str, *, dedicated: bool = False, flat: bool = False) -> Publication:
        """Publish the version `at`; nothing is written if it is there. See `Dataset.publish`."""
        commit = self.versions.resolve(self.dataset, at)
        with self.book.alone():
            return self._publish(self.sweep(), Again(commit, dedicated, self._alias(at) if dedicated else "", flat))

    def rebuild(self) -> list[Publication]:
        """Publish anew, from the repository alone, all that was published here; what Milvus still has is dropped.

        A version that cannot be published holds no other up: it stays pending, and its error is raised in the end.
        """
        with self.book.alone():
            ledger = self.book.read()
            begun = [ledger.intent.collection] if ledger.intent else []
            names = dict.fromkeys([*ledger.dropped, *begun, *(c.name for c in ledger.collections)])
            pending = tuple(one for one in _published(ledger) if self._has_rows(one.commit))
            if not (names or ledger.pending):
                return []
            self.book.write(Ledger(ledger.uri, ledger.database, dropped=tuple(names), pending=pending))
            done, errors = [], list[VecverError]()
            for one in pending:
                try:
                    done.append(self._publish(self.sweep(), one))
                    ledger = self.book.read()
                    left = tuple(other for other in ledger.pending if other != one)
                    self.book.write(replace(ledger, pending=left))
                except (InvalidInputError, NotFoundError) as error:
                    errors.append(error)
            self.sweep()
        if errors:
            raise errors[0]
        return done

    def sweep(self) -> Ledger:
        """Take back what was begun and not recorded, and finish what was to be deleted."""
        ledger = self.book.read()
        if (intent := ledger.intent) is not None:
            if ledger.has(intent.collection):
                self.connection.undo(intent.collection, intent.ordinal)
                ledger = self.book.write(replace(ledger, intent=None))
            else:
                dropped = (*ledger.dropped, intent.collection)
                ledger = self.book.write(replace(ledger, intent=None, dropped=dropped))
        for name in ledger.dropped:
            self.connection.drop(name)
        if ledger.dropped:
            ledger = self.book.write(replace(ledger, dropped=()))
        for collection in ledger.collections:
            if collection.rows == UNCOUNTED:
                ledger = self.book.write(ledger.including(prune(self.connection, collection)))
        return ledger

    # -- one version ----------------------------------------------------------------------------

    def _publish(self, ledger: Ledger, wanted: Again) -> Publication:
        snapshot = self.versions.snapshot(wanted.commit)
        if found := ledger.find(snapshot.commit, partial(_suits, wanted)):
            if not self.connection.has(found[0].name):
                raise damaged(found[0].name, "somebody else dropped it")
            return self._announced(ledger, *found, wanted, snapshot.commit, written=0)
        flat = wanted.flat or snapshot.layout.chunk_count <= FLAT_ROWS
        kind = self.connection.index_of(flat)
        growing = None if wanted.alone else ledger.growing(snapshot.commit.recipe.space.id, kind)
        if growing and self._has_rows(growing.newest.commit):
            base = self.versions.snapshot(growing.newest.commit)
            gone, begun = repo.changes(base, snapshot)
            rows = growing.rows + len(begun)
            if rows - snapshot.layout.chunk_count <= max(FEW_DEAD, rows * (1 - LEAST_LIVE)):
                return self._grow(ledger, growing, (base, gone), (snapshot, begun), wanted)
        return self._begin(ledger, snapshot, wanted, flat)

    def _begin(self, ledger: Ledger, snapshot: Snapshot, wanted: Again, flat: bool) -> Publication:
        """A new collection, with this version as its first state."""
        space, places = snapshot.commit.recipe.space, repo.live_places(snapshot)
        name = index.milvus.collection_name(self.dataset, secrets.token_hex(6))
        intent = Intent(name, _FIRST, snapshot.commit.id, self.versions.time())
        ledger = self.book.write(replace(ledger, intent=intent))
        metric, kind = self.connection.create(name, space.dim, space.metric, flat=flat)
        roots = self._write(name, snapshot, places, {}, (_FIRST, index.milvus.LIVE), len(places))
        if kind != index.milvus.FLAT:
            self.connection.seal(name)
        made = Collection(
            name=name,
            space=space.id,
            dim=space.dim,
            metric=metric,
            index=kind,
            alone=wanted.alone,
            rows=len(places),
            last=_FIRST,
            roots=roots.to_json(),
            states=(_state(snapshot, intent, roots),),
        )
        return self._record(ledger, made, roots, wanted, snapshot.commit, written=len(places))

    def _grow(
        self,
        ledger: Ledger,
        old: Collection,
        ending: tuple[Snapshot, Places],
        beginning: tuple[Snapshot, Places],
        wanted: Again,
    ) -> Publication:
        """The next state of a collection: some rows end, some begin."""
        (base, gone), (snapshot, begun) = ending, beginning
        self._ours_alone(old)
        intent = Intent(old.name, old.last + 1, snapshot.commit.id, self.versions.time())
        ledger = self.book.write(replace(ledger, intent=intent))
        lives_ending, lives_beginning = self._lives(old, _keys(base, gone), _keys(snapshot, begun))
        total, ordinal = len(gone) + len(begun), intent.ordinal
        roots = Roots.from_json(old.roots)
        roots += self._write(old.name, snapshot, begun, lives_beginning, (ordinal, index.milvus.LIVE), total)
        roots -= self._write(old.name, base, gone, lives_ending, (ordinal, ordinal), total)
        grown = replace(
            old,
            rows=old.rows + len(begun),
            last=ordinal,
            roots=roots.to_json(),
            states=(*old.states, _state(snapshot, intent, roots)),
        )
        published = self._record(ledger, grown, roots, wanted, snapshot.commit, written=total)
        if grown.index != index.milvus.FLAT and grown.rows // SEALED_ROWS > old.rows // SEALED_ROWS:
            self.connection.seal(grown.name)
        return published

    def _write(
        self, name: str, snapshot: Snapshot, places: Places, lives: Lives, born_died: tuple[int, int], total: int
    ) -> Roots:
        """Write rows; what they are to the roots. `lives`: of those that are no first life, or were born before."""
        (born, died), roots = born_died, Roots.empty()
        for rows in repo.read_rows(snapshot, places):
            own = [lives.get(key.tobytes(), (0, born)) for key in rows.keys]
            ids = [index.milvus.row_id(key.tobytes(), life) for key, (life, _) in zip(rows.keys, own, strict=True)]
            self.connection.upsert(name, rows, ids, [since for _, since in own], died)
            roots += repo.roots_of(rows)
            if self.progress:
                self.progress("rows", len(rows), total)
        return roots

    def _record(
        self, ledger: Ledger, made: Collection, roots: Roots, wanted: Again, commit: Commit, *, written: int
    ) -> Publication:
        """The only visible moment, after it was proved that what was written is the version."""
        found = self.connection.settled(made.name), self.connection.count(made.name, index.milvus.pinned(made.last))
        if roots.vector_root != commit.vector_root or found != (made.rows, made.newest.chunks):
            raise damaged(made.name, f"what was written to it does not give version {commit.id[:12]}")
        ledger = self.book.write(replace(ledger.including(made), intent=None))
        return self._announced(ledger, made, made.newest, wanted, commit, written=written)

    def _announced(
        self, ledger: Ledger, collection: Collection, state: State, wanted: Again, commit: Commit, *, written: int
    ) -> Publication:
        """What clients are told; the alias names the collection from now on."""
        if wanted.alias and ledger.aliases.get(wanted.alias) != collection.name:
            self.connection.point(wanted.alias, collection.name)
            ledger = self.book.write(replace(ledger, aliases={**ledger.aliases, wanted.alias: collection.name}))
        return publication(self.connection.place, ledger, commit, collection, state, wanted.alias, written)

    # -- rows and names -------------------------------------------------------------------------

    def _lives(self, old: Collection, gone: set[bytes], begun: set[bytes]) -> tuple[Lives, Lives]:
        """Which life of their keys the rows have that end, and those that begin. Milvus knows."""
        ending: dict[bytes, tuple[int, int]] = {}
        beginning: dict[bytes, tuple[int, int]] = {}
        for lives in _rounds(old.last):
            asked = (gone - ending.keys()) | (begun - beginning.keys())
            ids = {index.milvus.row_id(key, life): (key, life) for key in asked for life in lives}
            found = self.connection.lives(old.name, list(ids)) if ids else {}
            for id, (key, life) in ids.items():
                born, died = found.get(id, (0, 0))
                if died == index.milvus.LIVE:
                    ending[key] = (life, born)
                elif not died and key in begun:
                    beginning.setdefault(key, (life, old.last + 1))
        if ending.keys() != gone:
            raise damaged(old.name, "it has not the rows of its newest version")
        return ending, beginning

    def _has_rows(self, commit: str) -> bool:
        """Are the rows of this version here? gc keeps what is published, but a ledger may be older than its gc."""
        try:
            return bool(self.versions.snapshot(commit))
        except NotFoundError:
            return False

    def _ours_alone(self, collection: Collection) -> None:
        """Raises IntegrityError for rows of ordinals that our ledger does not know: a copy of it gave them."""
        last = collection.last
        later = f"born > {last} or (died > {last} and died < {index.milvus.connection.LIVE})"
        if self.connection.settled(collection.name, later):
            raise damaged(collection.name, "it has rows that this repository did not publish; was it copied?")

    def _alias(self, at: str) -> str:
        """The alias of a revision, apart from those of others, and that of `v1.0` from that of `v1_0`."""
        token = digest_json([self.versions.id, self.dataset, at])[:8]
        return index.milvus.alias_name(self.dataset, at, token)


def prune(connection: index.milvus.Connection, collection: Collection) -> Collection:
    """Delete the rows that no state of a collection has any more."""
    ordinals = [state.ordinal for state in collection.states]
    useless = [f"died <= {ordinals[0]}"]
    useless += [f"born > {one} and died <= {next}" for one, next in pairwise(ordinals) if next > one + 1]
    if ordinals[-1] < collection.last:
        useless.append(f"born > {ordinals[-1]}")
    for expression in useless:
        connection.delete(collection.name, expression)
    return replace(collection, rows=connection.settled(collection.name))


def publication(
    place: str,
    ledger: Ledger,
    commit: Commit,
    collection: Collection,
    state: State,
    alias: str = "",
    written: int = 0,
) -> Publication:
    """What a client needs to search a version; `alias` where one of several is meant."""
    return Publication(
        uri=place,
        database=ledger.database,
        collection=collection.name,
        alias=alias or next(iter(ledger.aliases_of(collection)), ""),
        ordinal=state.ordinal,
        filter="" if collection.alone else index.milvus.pinned(state.ordinal),
        metric=collection.metric,
        index=collection.index,
        dim=collection.dim,
        fields=index.milvus.FIELDS,
        dataset=commit.dataset,
        commit=commit.id,
        chunks=state.chunks,
        written=written,
    )


def damaged(collection: str, what: str) -> IntegrityError:
    """The error for a collection that is not what was published."""
    return IntegrityError(
        f"the collection {collection} was changed by somebody else: {what}",
        code="publication_damaged",
        hint=say(
            "repo.check(milvus=URI) tells more; docs.republish() restores it",
            cli="`vecver check --milvus URI` tells more; `vecver publish DATASET --rebuild` restores it",
            http="ask the operator of the service to run `vecver publish --rebuild`: it restores it",
        ),
        collection=collection,
    )


def _state(snapshot: Snapshot, intent: Intent, roots: Roots) -> State:
    commit = snapshot.commit
    return State(
        ordinal=intent.ordinal,
        commit=commit.id,
        content_root=commit.content_root,
        vector_root=commit.vector_root,
        rows_root=roots.content_root,
        chunks=snapshot.layout.chunk_count,
        time=intent.time,
    )


def _suits(wanted: Again, collection: Collection) -> bool:
    """Can this collection, which holds the version, serve as the wanted one?"""
    return (collection.alone or not wanted.alone) and (not wanted.flat or collection.index == index.milvus.FLAT)


def _published(ledger: Ledger) -> list[Again]:
    """Every version that is published or pending, and how, each once, in the order of publishing."""
    versions = [
        Again(state.commit, collection.alone, alias, collection.index == index.milvus.FLAT)
        for collection in ledger.collections
        for state in collection.states
        for alias in ledger.aliases_of(collection) or [""]
    ]
    return list(dict.fromkeys([*versions, *ledger.pending]))


def _keys(snapshot: Snapshot, places: Places) -> set[bytes]:
    return {key.tobytes() for key in repo.keys_at(snapshot, places)}


def _rounds(most: int) -> Iterator[range]:
    """0, then 1 to 8, then 9 to 72 ...: a key has had no more lives than there are ordinals."""
    first, last = 0, 1
    while first <= most:
        yield range(first, last)
        first, last = last, last + 8 * (last - first)
