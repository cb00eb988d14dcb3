"""Publications: finds where a version is published, proves that it is there, and unpublishes it.

Decisions
1. A collection is proved at all its ordinals in one pass: each row is added to the root of the ordinal at which it was
   born and subtracted at which it died; the running sums are the roots of the states. So 100 published versions cost
   one reading of the rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from vecver import index, repo
from vecver.errors import IntegrityError, NotPublishedError, say
from vecver.flows.publishing.publisher import Publisher, publication
from vecver.model import Check, Commit, Problem, Publication, PublishedRows
from vecver.repo import UNCOUNTED, Collection, Intent, Ledger, Publications, Roots, State, Versions


def find_published(book: Publications, commit: Commit) -> tuple[Collection, State]:
    """The collection and state in which a version is published in a Milvus. Raises NotPublishedError."""
    location = book.read().find(commit)
    if location is None:
        dataset = repo.names.read(book.store).name_of(commit.dataset) or commit.dataset
        where = [
            ledger.uri or "the embedded one"
            for ledger in repo.ledger.ledgers(book.store, commit.dataset)
            if ledger.find(commit)
        ]
        others = f"it is in: {', '.join(where)}; " if where else ""
        to = f" --to {book.uri}" if book.uri else ""
        raise NotPublishedError(
            f"{dataset} {commit.id[:12]} is not published in {book.uri or 'the embedded Milvus'}",
            code="not_published",
            hint=say(
                f"{others}docs.publish({commit.id[:12]!r}{f', to={book.uri!r}' if book.uri else ''}) publishes it",
                cli=f"{others}`vecver publish {dataset}@{commit.id[:12]}{to}` publishes it",
                http=f"{others}POST /v1/datasets/{dataset}/publish publishes it",
            ),
            commit=commit.id,
            dataset=dataset,
        )
    return location


def published(book: Publications, commit: Commit, place: str) -> Publication:
    """What a client needs to search a version, from the ledger alone. Raises NotPublishedError."""
    return publication(place, book.read(), commit, *find_published(book, commit))


def forget(book: Publications) -> list[str]:
    """Drop the records of a Milvus that is lost, without contacting it. Returns the commit ids that were published."""
    with book.alone():
        commits = book.read().commits()
        book.write(Ledger(book.uri, book.database))
    return commits


def unpublish(publisher: Publisher, commit: Commit | None) -> list[str]:
    """Unpublish a version, or (None) every version that no ref names, and delete the rows that only they had.

    Returns their commit ids in the order of publishing. Raises NotPublishedError, BackendError.
    """
    book = publisher.book
    with book.alone():
        ledger = publisher.sweep()
        if commit and commit.id not in (intent.commit for intent in ledger.pending):
            find_published(book, commit)
        goes = _of([commit]) if commit else _unnamed(publisher.versions, publisher.dataset)
        gone = [intent.commit for intent in ledger.pending if commit and intent.commit == commit.id]
        ledger = replace(ledger, pending=tuple(intent for intent in ledger.pending if intent.commit not in gone))
        for collection in ledger.collections:
            left = tuple(state for state in collection.states if not goes(collection, state))
            gone += [state.commit for state in collection.states if state not in left]
            ledger = _with_states(ledger, collection, left)
        if gone:
            book.write(ledger)  # before the rows go, so that readers find the version unpublished
            publisher.sweep()
    return gone


def _with_states(ledger: Ledger, collection: Collection, left: tuple[State, ...]) -> Ledger:
    """The ledger with only these states of a collection; the next sweep deletes the rows in Milvus."""
    if left == collection.states:
        return ledger
    if left:
        return ledger.including(replace(collection, states=left, rows=UNCOUNTED))
    return ledger.without(collection.name)


def _of(commits: Sequence[Commit]) -> Callable[[Collection, State], bool]:
    """A test whether a state of a collection is one of these versions."""
    return lambda collection, state: any(
        state.holds(commit) and commit.recipe.space.id == collection.space for commit in commits
    )


def _unnamed(versions: Versions, dataset: str) -> Callable[[Collection, State], bool]:
    """A test whether no ref names the version of a state, nor did in the last 30 days, so that no rollback needs it."""
    named = _of([versions.commit(id) for id in versions.named_of_late(dataset)])
    return lambda collection, state: not named(collection, state)


# -- proof --------------------------------------------------------------------------------------


def check_published(publisher: Publisher) -> Check:
    """Read back all rows of a dataset from a Milvus, and prove every version there by its roots."""
    with publisher.book.alone():
        return _checked(publisher, publisher.book.read())


def _checked(publisher: Publisher, ledger: Ledger) -> Check:
    problems, rows, size = list[Problem](), 0, 0
    for collection in ledger.collections:
        if not publisher.connection.has(collection.name):
            problems.append(Problem(collection.name, "is not there: somebody else dropped it"))
            continue
        proof = _Proof()
        try:
            for keys, _, born, died in publisher.connection.read(collection.name):
                proof.add(keys, born, died)
                rows, size = rows + len(keys), size + keys.vectors.nbytes
                if publisher.progress:
                    publisher.progress("rows", len(keys), sum(max(c.rows, 0) for c in ledger.collections))
        except IntegrityError as error:
            problems.append(Problem(collection.name, error.message))
            continue
        commits = [publisher.versions.commit(state.commit) for state in collection.states]
        problems += [Problem(collection.name, what) for what in proof.wrong(collection, commits, ledger.intent)]
    return Check(rows, size, tuple(problems))


@dataclass
class _Proof:
    """The sums of a collection's rows, by ordinal."""

    changes: defaultdict[int, Roots] = field(default_factory=lambda: defaultdict(Roots.empty))  # by ordinal

    def add(self, rows: PublishedRows, born: list[int], died: list[int]) -> None:
        """Add rows at the ordinal of their birth, subtract them at that of their death."""
        lives = list(zip(born, died, strict=True))
        for life in set(lives):
            roots = repo.roots_of(_picked(rows, [i for i, other in enumerate(lives) if other == life]))
            self.changes[life[0]] += roots
            self.changes[life[1]] -= roots

    def wrong(self, collection: Collection, commits: Sequence[Commit], intent: Intent | None) -> Iterator[str]:
        """What differs from what was published, one sentence for each version."""
        roots, ordinals = Roots.empty(), sorted(self.changes, reverse=True)
        for state, commit in zip(collection.states, commits, strict=True):
            while ordinals and ordinals[-1] <= state.ordinal:
                roots += self.changes[ordinals.pop()]
            if roots.vector_root != commit.vector_root:
                yield f"at ordinal {state.ordinal} it has other keys or vectors than version {commit.id[:12]}"
            elif roots.content_root != state.rows_root:
                yield f"at ordinal {state.ordinal} it has other texts or metadata than version {commit.id[:12]}"
        begun = intent is not None and intent.collection == collection.name
        later = [at for at in self.changes if collection.last < at < index.milvus.LIVE]
        if later and not begun:
            yield f"it has rows of the ordinal {min(later)}, which nobody published"


def _picked(rows: PublishedRows, which: list[int]) -> PublishedRows:
    return PublishedRows(
        rows.keys[which],
        rows.vectors[which],
        [rows.documents[i] for i in which],
        [rows.titles[i] for i in which],
        [rows.texts[i] for i in which],
        [rows.metadata[i] for i in which],
    )
