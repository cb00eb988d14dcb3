"""The ledger of publications: which versions of a dataset a Milvus holds, where, and what was begun there.

    publications/<dataset>/<digest of uri and database>   sealed, replaced by compare-and-swap

A collection is a log of published states, numbered from 1: its *ordinals*. Rows carry the ordinal at which they were
born and the one at which they died, so a state is never written twice and never moves. Every change of a Milvus is
recorded here first, as the *intent*, and recorded as done when every reader sees it.

Decisions
1. One object holds all collections of a dataset in one Milvus, so a new collection, and which one is the newest, change
   in one swap. An entry takes 0.4 kB, and a collection has some hundred.
2. A version is found by its roots, not by its id, because equal roots are equal rows. So the state to which a branch is
   rolled back is published already.
3. A copy of a repository has the same ledger, so both could give the same ordinal in one collection. A publisher
   therefore first looks for rows of ordinals that its ledger does not know, and refuses. Two copies that write in the
   same seconds are not kept apart: publish from one of them.
4. The parts of a bulk import are a key of their own that is left out where there are none: a vecver that does not know
   it reads the ledger without it, and drops the collection as it does with whatever was begun.
5. Ordinals are given under a lock that ends with its holder, so an intent that the next publisher finds always belongs
   to one that has ended. A lease that times out would let a slow publisher write on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from urllib.parse import quote, unquote

from vecver.digest import digest_json
from vecver.errors import ConflictError
from vecver.model import Commit, Json
from vecver.repo import objects
from vecver.store import Store, get_or_none

FOLDER = "publications"
UNCOUNTED = -1
WAIT_SECONDS = 60.0  # for another publisher of the same dataset to finish


@dataclass(frozen=True)
class State:
    """A published version in a collection."""

    ordinal: int
    commit: str
    content_root: str  # the commit's
    vector_root: str
    rows_root: str  # of the other published fields
    chunks: int
    time: str

    def holds(self, commit: Commit) -> bool:
        """Does the state have the rows of this commit?"""
        return (self.content_root, self.vector_root) == (commit.content_root, commit.vector_root)


@dataclass(frozen=True)
class Collection:
    """A Milvus collection of one space."""

    name: str
    space: str  # its id
    dim: int
    metric: str  # the engine's name of it
    index: str  # the engine's name of it
    alone: bool  # holds one version, for clients that cannot filter
    rows: int  # live and dead ones; UNCOUNTED while some are being deleted
    last: int  # the highest ordinal ever given
    roots: Json  # lanes of the rows that are live at the ordinal `last`
    states: tuple[State, ...]  # ascending; never empty

    @property
    def newest(self) -> State:
        return self.states[-1]

    @property
    def grows(self) -> bool:
        """Can it take another version? It does not hold one alone, and its rows are those of its newest state."""
        return not self.alone and self.newest.ordinal == self.last

    def to_json(self) -> Json:
        return {**self.__dict__, "states": [dict(state.__dict__) for state in self.states]}

    @classmethod
    def from_json(cls, value: Json) -> Collection:
        return cls(**{**value, "states": tuple(State(**state) for state in value["states"])})


@dataclass(frozen=True)
class Intent:
    """A state that a publisher has begun to write."""

    collection: str
    ordinal: int
    commit: str
    time: str


@dataclass(frozen=True)
class Part:
    """A file of rows that a Milvus was asked to import, or is about to be."""

    file: str  # its name in the storage; it has the digest of its rows in it
    task: int = 0  # Milvus' number of the import; 0 until it is known
    done: bool = False


@dataclass(frozen=True)
class Import:
    """The bulk import into the collection of the intent."""

    storage: str  # the address of the folder or bucket
    alone: bool
    index: str  # the engine's name of it
    parts: tuple[Part, ...] = ()  # in the order in which they were asked for; at most the last has no number

    def to_json(self) -> Json:
        return {**self.__dict__, "parts": [dict(part.__dict__) for part in self.parts]}

    @classmethod
    def from_json(cls, value: Json) -> Import:
        return cls(**{**value, "parts": tuple(Part(**part) for part in value["parts"])})


@dataclass(frozen=True)
class Again:
    """A version to be published again, and how."""

    commit: str
    alone: bool = False
    alias: str = ""  # that must name its collection
    flat: bool = False


@dataclass(frozen=True)
class Ledger:
    """The publications of one dataset in one Milvus."""

    uri: str = ""
    database: str = ""
    collections: tuple[Collection, ...] = ()  # oldest first
    aliases: Mapping[str, str] = field(default_factory=dict)  # alias -> the collection that it names
    dropped: tuple[str, ...] = ()  # collections to drop
    pending: tuple[Again, ...] = ()  # versions that a rebuild still has to publish
    intent: Intent | None = None
    importing: Import | None = None  # how far the intent is, if it is a bulk import

    def find(
        self, commit: Commit, suits: Callable[[Collection], bool] = lambda collection: True
    ) -> tuple[Collection, State] | None:
        """Where this version is: in the newest collection that holds it and `suits`; None if nowhere."""
        for collection in reversed(self.collections):
            if collection.space == commit.recipe.space.id and suits(collection):
                for state in reversed(collection.states):
                    if state.holds(commit):
                        return collection, state
        return None

    def has(self, name: str) -> bool:
        """Does the ledger have a collection of this name?"""
        return any(collection.name == name for collection in self.collections)

    def commits(self) -> list[str]:
        """Every version that is published or to be published again, each once, in the order of publishing."""
        states = (state.commit for collection in self.collections for state in collection.states)
        return list(dict.fromkeys([*states, *(pending.commit for pending in self.pending)]))

    def aliases_of(self, collection: Collection) -> list[str]:
        """The aliases that name this collection."""
        return [alias for alias, name in self.aliases.items() if name == collection.name]

    def growing(self, space: str, index: str) -> Collection | None:
        """The collection with this index that takes the next version of a space."""
        fitting = [c for c in self.collections if c.space == space and c.index == index and c.grows]
        return fitting[-1] if fitting else None

    def without(self, name: str) -> Ledger:
        """The ledger without this collection, which is listed to be dropped."""
        return replace(
            self,
            collections=tuple(other for other in self.collections if other.name != name),
            aliases={alias: of for alias, of in self.aliases.items() if of != name},
            dropped=(*self.dropped, name),
        )

    def including(self, collection: Collection) -> Ledger:
        """The ledger with this collection in place of the one of its name, or as the newest."""
        if self.has(collection.name):
            collections = tuple(collection if c.name == collection.name else c for c in self.collections)
        else:
            collections = (*self.collections, collection)
        return replace(self, collections=collections)

    def to_json(self) -> Json:
        return {
            "uri": self.uri,
            "database": self.database,
            "collections": [collection.to_json() for collection in self.collections],
            "aliases": dict(self.aliases),
            "dropped": list(self.dropped),
            "pending": [dict(pending.__dict__) for pending in self.pending],
            "intent": dict(self.intent.__dict__) if self.intent else None,
            **({"importing": self.importing.to_json()} if self.importing else {}),
        }

    @classmethod
    def from_json(cls, value: Json) -> Ledger:
        return cls(
            value["uri"],
            value["database"],
            tuple(Collection.from_json(collection) for collection in value["collections"]),
            value["aliases"],
            tuple(value["dropped"]),
            tuple(Again(**pending) for pending in value["pending"]),
            Intent(**value["intent"]) if value["intent"] else None,
            Import.from_json(value["importing"]) if value.get("importing") else None,
        )


@dataclass
class Publications:
    """The ledger of a dataset in one Milvus, on a store. `uri` has no secret in it; "" is the embedded one."""

    store: Store
    dataset: str
    uri: str
    database: str
    _seen: bytes | None = field(default=None, init=False, repr=False)

    def alone(self) -> AbstractContextManager[object]:
        """A lock: one process at a time publishes this dataset there. Raises ConflictError."""
        return self.store.lock(f"publish-{digest_json([self.dataset, self.uri, self.database])[:32]}", WAIT_SECONDS)

    def read(self) -> Ledger:
        """The ledger as it is now. Raises IntegrityError."""
        body = get_or_none(self.store, self.path)
        self._seen = body
        return Ledger(self.uri, self.database) if body is None else parse(self.path, body)

    def write(self, ledger: Ledger) -> Ledger:
        """Replace the ledger that was read last. Raises ConflictError if another process did so meanwhile."""
        body = objects.sealed({**ledger.to_json(), "dataset": self.dataset})
        try:
            self.store.swap(self.path, self._seen, body)
        except ConflictError as error:
            raise ConflictError(
                f"another process published {self.dataset} to {self.uri or 'the embedded Milvus'} meanwhile",
                code="publication_moved",
                hint="publish again: what is half there is swept first",
                dataset=self.dataset,
            ) from error
        self._seen = body
        return ledger

    @property
    def path(self) -> str:
        """The store's name of the ledger."""
        return f"{folder_of(self.dataset)}{digest_json([self.uri, self.database])[:16]}"


def folder_of(dataset: str) -> str:
    """The store's folder of a dataset's ledgers."""
    return f"{FOLDER}/{quote(dataset, safe='')}/"


def ledgers(store: Store, dataset: str = "") -> list[Ledger]:
    """The ledgers of one dataset, or of all, for every Milvus. Raises IntegrityError."""
    return [parse(name, store.get(name)) for name in store.list(folder_of(dataset) if dataset else f"{FOLDER}/")]


@lru_cache(maxsize=64)
def parse(name: str, body: bytes) -> Ledger:
    """The ledger in these bytes, which must be those of this name. Raises IntegrityError. Every search asks for it."""
    try:
        value = objects.parse_sealed(name, body)
        _, dataset, place = name.split("/")
        expected = unquote(dataset), digest_json([value["uri"], value["database"]])[:16]
        if expected != (value.get("dataset", expected[0]), place):  # older ledgers do not name their dataset
            raise objects.misplaced(name)
        return Ledger.from_json(value)
    except (KeyError, TypeError, ValueError) as error:
        raise objects.malformed(name) from error


def commits(store: Store) -> set[str]:
    """Every version that is published somewhere, or is about to be; gc keeps their rows."""
    known = ledgers(store)
    begun = {ledger.intent.commit for ledger in known if ledger.intent}
    return begun | {commit for ledger in known for commit in ledger.commits()}
