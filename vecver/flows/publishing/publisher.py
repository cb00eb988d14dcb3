"""The publisher makes a version searchable in a Milvus, at the cost of what it changes there.

    sweep     undo what an interrupted publisher left half done
    choose    the newest collection of the space, or a new one if too many of its rows would be dead
    intend    record in the ledger what is about to be written
    write     give added rows `born` = the next ordinal, removed rows `died` = the same; then wait until Milvus has them
              (an `Importer` may fill a new collection)
    record    record the version as (collection, ordinal): the only visible moment

If it is interrupted at any point, every published version is searched as before. Of the repository only the ledger
changes.

Decisions
1. Before a version is recorded, the roots of what was written must give the commit's vector root, and Milvus must
   count as many rows.
2. Small versions go to FLAT collections. On 140 versions of a documentation site (6,000 chunks) HNSW had a mean
   ann_recall@10 of 0.942, and 0.50 at worst: Milvus 2.3 searches what is not flushed by an internal index that ignores
   `ef`, and rewritten rows harm the graph until they are compacted. So a graph is flushed and compacted now and then;
   doing so at every commit would leave many small segments.
3. A collection grows while half of its rows are live. With fewer, an index for all its states finds less (0.87 of the
   true hits at one tenth), and dead rows fill its memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from vecver import index, repo
from vecver.digest import digest_json
from vecver.errors import BackendError, IntegrityError, InvalidInputError, NotFoundError, VecverError, say
from vecver.flows.publishing.importing import IMPORT_FAILED, Importer
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

LEAST_LIVE = 0.5  # share of a collection's rows, for it to take another version
FEW_DEAD = 4096  # dead rows that a collection may always have
FLAT_ROWS = 32768  # of a version, up to which Milvus scans it: exact, and as fast as a graph over so few
SEALED_ROWS = 8192  # written rows after which Milvus flushes and indexes them
PUBLICATION_DAMAGED = "publication_damaged"
_FIRST = 1  # ordinal

Lives = Mapping[bytes, tuple[int, int]]  # key -> (how often it was removed before, the ordinal at which it was born)


@dataclass
class Publisher:
    """Publishes a dataset to one Milvus."""

    versions: Versions
    dataset: str
    connection: index.milvus.Connection
    book: Publications
    progress: Progress | None = None
    importer: Importer | None = None  # fills new collections, in place of upserts

    def publish(self, at: str, *, dedicated: bool = False, flat: bool = False) -> Publication:
        """Publish the version `at`; nothing is written if it is there. See `Dataset.publish`."""
        commit = self.versions.resolve(self.dataset, at)
        wanted = Again(commit, dedicated, self._alias(at) if dedicated else "", flat)
        with self.book.alone():
            return self._gone_on(wanted) or self._publish(self.sweep(), wanted)

    def rebuild(self) -> list[Publication]:
        """Drop what Milvus still has, and publish all published versions again from the repository.

        A version that cannot be published stays pending and does not stop the others; its error is raised at the end.
        """
        with self.book.alone():
            ledger = self.book.read()
            begun = [ledger.intent.collection] if ledger.intent else []
            names = dict.fromkeys([*ledger.dropped, *begun, *(c.name for c in ledger.collections)])
            pending = tuple(publication for publication in _published(ledger) if self._has_rows(publication.commit))
            if not (names or ledger.pending):
                return []
            self.book.write(Ledger(ledger.uri, ledger.database, dropped=tuple(names), pending=pending))
            done, errors = [], list[VecverError]()
            for publication in pending:
                try:
                    done.append(self._publish(self.sweep(), publication))
                    ledger = self.book.read()
                    left = tuple(other for other in ledger.pending if other != publication)
                    self.book.write(replace(ledger, pending=left))
                except (InvalidInputError, NotFoundError) as error:
                    errors.append(error)
            self.sweep()
        if errors:
            raise errors[0]
        return done

    def sweep(self) -> Ledger:
        """Undo what was begun and not recorded, and finish deletions that were recorded."""
        ledger = self.book.read()
        if (intent := ledger.intent) is not None:
            if ledger.has(intent.collection):
                self.connection.undo(intent.collection, intent.ordinal)
                ledger = self.book.write(replace(ledger, intent=None))
            else:
                dropped = (*ledger.dropped, intent.collection)
                ledger = self.book.write(replace(ledger, intent=None, importing=None, dropped=dropped))
        for name in ledger.dropped:
            self.connection.drop(name)
        if ledger.dropped:
            ledger = self.book.write(replace(ledger, dropped=()))
        for collection in ledger.collections:
            if collection.rows == UNCOUNTED:
                ledger = self.book.write(ledger.including(prune(self.connection, collection)))
        return ledger

    # -- one version ----------------------------------------------------------------------------

    def _gone_on(self, wanted: Again) -> Publication | None:
        """Finish the bulk import that an interrupted publisher began; None if there is none, or it must start over."""
        if self.importer is None:
            return None
        ledger, snapshot = self.book.read(), self.versions.snapshot(wanted.commit)
        flat = _is_flat(snapshot, wanted)
        try:
            if begun := self.importer.begun(ledger, wanted, self.connection.index_of(flat)):
                return self._begin(begun, snapshot, wanted, flat)
        except (BackendError, IntegrityError) as error:
            if error.code not in (IMPORT_FAILED, PUBLICATION_DAMAGED):
                raise
        self.importer.clear(self.book.read())
        return None

    def _publish(self, ledger: Ledger, wanted: Again) -> Publication:
        snapshot = self.versions.snapshot(wanted.commit)
        if published := ledger.find(snapshot.commit, partial(_suits, wanted)):
            if not self.connection.has(published[0].name):
                raise damaged(published[0].name, "somebody else dropped it")
            return self._announced(ledger, *published, wanted, snapshot.commit, written=0)
        flat = _is_flat(snapshot, wanted)
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
        """Create a collection with this version as its first state."""
        space, places = snapshot.commit.recipe.space, repo.live_places(snapshot)
        if ledger.importing and ledger.intent:  # it goes on
            intent = ledger.intent
        else:
            name = index.milvus.collection_name(self.dataset, secrets.token_hex(6))
            intent = Intent(name, _FIRST, snapshot.commit.id, self.versions.time())
            ledger = self._intend(ledger, intent)
            self.connection.create(name, space.dim, space.metric, flat=flat, load=self.importer is None)
            if self.importer:
                ledger = self.importer.begin(ledger, wanted, self.connection.index_of(flat))
        metric, kind = self.connection.measure_of(space.metric), self.connection.index_of(flat)
        if self.importer:
            ledger, roots = self.importer.fill(ledger, repo.read_rows(snapshot, places), len(places))
        else:
            roots = self._write(intent.collection, snapshot, places, {}, (_FIRST, index.milvus.LIVE), len(places))
            if kind != index.milvus.FLAT:
                self.connection.seal(intent.collection)
        made = Collection(
            name=intent.collection,
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
        """Write the next state of a collection: removed rows die, added rows are born."""
        (base, gone), (snapshot, begun) = ending, beginning
        self._ours_alone(old)
        intent = Intent(old.name, old.last + 1, snapshot.commit.id, self.versions.time())
        ledger = self._intend(ledger, intent)
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

    def _intend(self, ledger: Ledger, intent: Intent) -> Ledger:
        """Record what is begun; from now on gc keeps the version. Raises ConflictError (gc is deleting it)."""
        with self.versions.holding(intent.commit):
            return self.book.write(replace(ledger, intent=intent))

    def _write(
        self, name: str, snapshot: Snapshot, places: Places, lives: Lives, born_died: tuple[int, int], total: int
    ) -> Roots:
        """Write rows; returns their roots. `lives`: of rows whose key was there before, or that were born earlier."""
        (born, died), roots = born_died, Roots.empty()
        for rows in repo.read_rows(snapshot, places):
            births = [lives.get(key.tobytes(), (0, born)) for key in rows.keys]
            ids = [index.milvus.row_id(key.tobytes(), life) for key, (life, _) in zip(rows.keys, births, strict=True)]
            self.connection.upsert(name, rows, ids, [ordinal for _, ordinal in births], died)
            roots += repo.roots_of(rows)
            if self.progress:
                self.progress("rows", len(rows), total)
        return roots

    def _record(
        self, ledger: Ledger, made: Collection, roots: Roots, wanted: Again, commit: Commit, *, written: int
    ) -> Publication:
        """Prove that what was written is the version, then record it: the only visible moment."""
        counts = self.connection.settled(made.name), self.connection.count(made.name, index.milvus.pinned(made.last))
        if roots.vector_root != commit.vector_root or counts != (made.rows, made.newest.chunks):
            raise damaged(made.name, f"what was written to it does not give version {commit.id[:12]}")
        ledger = self.book.write(replace(ledger.including(made), intent=None, importing=None))
        return self._announced(ledger, made, made.newest, wanted, commit, written=written)

    def _announced(
        self, ledger: Ledger, collection: Collection, state: State, wanted: Again, commit: Commit, *, written: int
    ) -> Publication:
        """Point the alias, if there is one, to the collection; returns what clients need."""
        if wanted.alias and ledger.aliases.get(wanted.alias) != collection.name:
            self.connection.point(wanted.alias, collection.name)
            ledger = self.book.write(replace(ledger, aliases={**ledger.aliases, wanted.alias: collection.name}))
        return publication(self.connection.place, ledger, commit, collection, state, wanted.alias, written)

    # -- rows and names -------------------------------------------------------------------------

    def _lives(self, old: Collection, gone: set[bytes], begun: set[bytes]) -> tuple[Lives, Lives]:
        """Ask Milvus how often the keys of ending and beginning rows were there before."""
        ending: dict[bytes, tuple[int, int]] = {}
        beginning: dict[bytes, tuple[int, int]] = {}
        for lives in _rounds(old.last):
            keys = (gone - ending.keys()) | (begun - beginning.keys())
            ids = {index.milvus.row_id(key, life): (key, life) for key in keys for life in lives}
            stored = self.connection.lives(old.name, list(ids)) if ids else {}
            for id, (key, life) in ids.items():
                born, died = stored.get(id, (0, 0))
                if died == index.milvus.LIVE:
                    ending[key] = (life, born)
                elif not died and key in begun:
                    beginning.setdefault(key, (life, old.last + 1))
        if ending.keys() != gone:
            raise damaged(old.name, "it has not the rows of its newest version")
        return ending, beginning

    def _has_rows(self, commit: str) -> bool:
        """True if the repository has the rows of this version: a restored ledger may name versions that gc removed."""
        try:
            return bool(self.versions.snapshot(commit))
        except NotFoundError:
            return False

    def _ours_alone(self, collection: Collection) -> None:
        """Raises IntegrityError if the collection has ordinals that this ledger does not know, from a copy of it."""
        last = collection.last
        later = f"born > {last} or (died > {last} and died < {index.milvus.connection.LIVE})"
        if self.connection.settled(collection.name, later):
            raise damaged(collection.name, "it has rows that this repository did not publish; was it copied?")

    def _alias(self, at: str) -> str:
        """The alias of a revision: other than those of other repositories, and `v1.0` other than `v1_0`."""
        token = digest_json([self.versions.id, self.dataset, at])[:8]
        return index.milvus.alias_name(self.dataset, at, token)


def prune(connection: index.milvus.Connection, collection: Collection) -> Collection:
    """Delete the rows that no state of a collection has."""
    ordinals = [state.ordinal for state in collection.states]
    useless = [f"died <= {ordinals[0]}"]
    useless += [f"born > {ordinal} and died <= {next}" for ordinal, next in pairwise(ordinals) if next > ordinal + 1]
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
    """What a client needs to search a version. `alias`: that of this revision, where the collection has several."""
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
    """The error for a collection that does not hold what was published."""
    return IntegrityError(
        f"the collection {collection} was changed by somebody else: {what}",
        code=PUBLICATION_DAMAGED,
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


def _is_flat(snapshot: Snapshot, wanted: Again) -> bool:
    """Is a new collection for this version scanned?"""
    return wanted.flat or snapshot.layout.chunk_count <= FLAT_ROWS


def _suits(wanted: Again, collection: Collection) -> bool:
    """True if this collection, which holds the version, has the properties that the caller wants."""
    return (collection.alone or not wanted.alone) and (not wanted.flat or collection.index == index.milvus.FLAT)


def _published(ledger: Ledger) -> list[Again]:
    """Every published or pending version and its options, each once, in the order of publishing."""
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
    """Growing ranges of numbers of lives, 0, then 1 to 8, then 9 to 72 ...: at most as many as there are ordinals."""
    first, last = 0, 1
    while first <= most:
        yield range(first, last)
        first, last = last, last + 8 * (last - first)
