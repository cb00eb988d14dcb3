"""Compares the documents of the sources with the parent version: which are new, changed, unchanged, unreadable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

from vecver import pipeline
from vecver.digest import canonical_json, digest, digest_json, text_key
from vecver.errors import InvalidInputError, say
from vecver.flows.embedding import is_given
from vecver.flows.ingesting.sources import Source
from vecver.json_columns import hex_of, joined, row_digests, rows_of_matrix
from vecver.key_log import KeyLog
from vecver.model import Coverage, Failure, Json, Original, Recipe, Records, Unread
from vecver.repo import KnownDocument, ObjectFacts, Snapshot, Versions, find_known, known_rows

GROUP_DOCUMENTS = 512
GROUP_BYTES = 16 << 20

T = TypeVar("T")
Item = Original | Failure | Records | Unread


class KnownObjects:
    """What a repository knows of the objects of the buckets that its sources lie in."""

    def __init__(self, versions: Versions) -> None:
        self._store = versions.store
        self._opened: dict[str, ObjectFacts] = {}

    def of(self, bucket: pipeline.BucketSource) -> ObjectFacts:
        """What is known of one bucket; the same value each time."""
        if bucket.facts not in self._opened:
            self._opened[bucket.facts] = ObjectFacts(self._store, bucket.facts)
        return self._opened[bucket.facts]

    def save(self) -> None:
        """Keep what was learned."""
        for facts in self._opened.values():
            facts.save()


@dataclass
class Tally:
    """What happened to the documents of an ingest; names in the order in which the sources gave them.

    refreshed    how many of the changed files have the same bytes and are read again for their metadata alone
    unsure       labels of sources that could not be listed completely
    sound        label -> how many of its documents can be read
    arrived      keys of all documents that the sources gave, named failures among them
    hiding       keys of failures that may hide documents, such as a folder that cannot be listed
    met          label -> how many of the parent's documents of it the sources gave
    unreadable   document -> what identifies its unreadable bytes, see `memo_of`
    coverage     document -> how much of it was read, where that is measured
    adopted      label -> how many documents an upsert changed and left with that source
    """

    added: dict[str, None] = field(default_factory=dict)
    changed: dict[str, None] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    unchanged: int = 0
    refreshed: int = 0
    failures: list[Failure] = field(default_factory=list)
    unsure: set[str] = field(default_factory=set)
    sound: Counter[str] = field(default_factory=Counter)
    arrived: KeyLog = field(default_factory=KeyLog)
    hiding: set[bytes] = field(default_factory=set)
    met: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, Json] = field(default_factory=dict)
    coverage: dict[str, Coverage] = field(default_factory=dict)
    adopted: Counter[str] = field(default_factory=Counter)

    def fail(self, source: str, failure: Failure, memo: Json) -> None:
        """Count a document that should have been added or changed, and could not be read. `memo`: its `memo_of`."""
        self.failures.append(failure)
        self.sound[source] -= 1
        self.unreadable[failure.document] = memo
        self.added.pop(failure.document, None)
        self.changed.pop(failure.document, None)
        self.coverage.pop(failure.document, None)

    def partial(self) -> dict[str, Coverage]:
        """The documents that were read in part."""
        return {document: coverage for document, coverage in self.coverage.items() if coverage.notes}

    def differs(self) -> bool:
        """True if there is anything to commit."""
        return bool(self.added or self.changed or self.removed)

    def without(self, settled: Collection[str]) -> Tally:
        """This tally without the documents to which other writers did the same."""
        if not settled:
            return self
        added, changed = ({name: None for name in names if name not in settled} for names in (self.added, self.changed))
        done = len(self.added) + len(self.changed) - len(added) - len(changed)
        removed = [name for name in self.removed if name not in settled]
        return replace(self, added=added, changed=changed, removed=removed, unchanged=self.unchanged + done)

    @property
    def any_sound(self) -> bool:
        """True if at least one document can be read."""
        return any(count > 0 for count in self.sound.values())

    def seen(self) -> int:
        """The number of documents that were handled."""
        return len(self.added) + len(self.changed) + self.unchanged + len(self.failures)

    def counts(self) -> dict[str, int]:
        """Documents by what happened to them."""
        return {
            "added": len(self.added),
            "changed": len(self.changed),
            "removed": len(self.removed),
            "unchanged": self.unchanged,
            "failed": len(self.failures),
        }

    def names(self) -> dict[str, tuple[str, ...]]:
        """The ids of the documents that differ from the parent version."""
        return {"added": tuple(self.added), "changed": tuple(self.changed), "removed": tuple(self.removed)}


def arrivals(
    parent: Snapshot | None,
    recipe: Recipe,
    streams: Iterable[tuple[Source, Iterator[Item]]],
    tally: Tally,
    *,
    refresh: bool = True,
    adds: bool = False,
    objects: KnownObjects | None = None,
    fetch: bool = True,
) -> Iterator[Original | Records | Unread]:
    """The documents that are new or changed, in the order of the sources; `tally` counts all of them.

    Records that bring the vectors of the recipe's space stay in columns, if they came so.

    `refresh`: also those files that were ingested before vecver took metadata from files.
    `objects`: what is known of the objects of buckets. An object whose bytes are known to be those of the parent is not
    fetched. Without `fetch` none is, and objects that may have changed come as `Unread`.
    `adds`: for an upsert: a document of the parent stays with its source, and the sources may be empty.

    Raises InvalidInputError (a source without documents, an id given twice, an id that another source owns).
    """
    streams = list(streams)
    labels = {source.label for source, _ in streams}
    for source, stream in streams:
        comparison = _Comparison(parent, recipe, None if adds else labels, tally, refresh)
        is_empty = True
        for are_records, run in groupby(stream, lambda item: isinstance(item, Records)):
            is_empty = False
            if source.bucket:
                facts = objects.of(source.bucket) if objects else None
                yield from comparison.of_objects(cast(Iterator[Unread | Failure], run), source, facts, fetch)
            elif are_records:
                yield from chain.from_iterable(map(comparison.of_records, cast(Iterator[Records], run)))
            else:
                yield from comparison.one_by_one(cast(Iterator[Original | Failure], run), source.label)
        if is_empty and not adds:
            raise InvalidInputError(
                f"the source {source.label!r} holds no documents",
                code="empty_source",
                hint="check the path and its ignore files; nothing was changed, and no document was removed",
                source=source.label,
            )


def refreshed_note(count: int) -> list[str]:
    """The note on unchanged files that are read again for their metadata."""
    files = "1 file is read again for its" if count == 1 else f"{count:,} files are read again for their"
    return [f"{files} metadata, which were not kept before: no text is embedded for that."] if count else []


def memo_of(original: Original | Unread, recipe: Recipe) -> Json:
    """What identifies an unreadable document for as long as its bytes and the recipe stay the same."""
    return {"source": original.source, "digest": original.digest, "recipe": recipe_of(original, recipe, metadata=False)}


def recipe_of(original: Original | Unread, recipe: Recipe, *, metadata: bool = True) -> str:
    """A digest of what a document's rows depend on beside its bytes, 32 hex characters.

    For a record: the recipe and its vector. For a file: the parser, the recipe and, with `metadata`, its path and the
    revision of the metadata rules. Rows from before vecver took metadata from files lack that part.
    """
    if isinstance(original, Original) and original.data is None:
        vector = None if original.vector is None else digest(original.vector.tobytes())
        return digest_json(["record", recipe.fingerprint, vector])[:32]
    if isinstance(original, Unread):
        parser = original.parser
    else:
        assert original.data is not None
        parser = pipeline.parser_of(original.data, original.document)
    how = [pipeline.METADATA_REVISION, dict(original.metadata)] if metadata else None
    return digest_json([parser, recipe.fingerprint, how])[:32]


def record_recipes(records: Records, recipe: Recipe) -> npt.NDArray[np.uint8]:
    """The first half of `recipe_of` each record, as bytes, `(n, 16)`."""
    before = canonical_json(["record", recipe.fingerprint, None])
    if records.vectors is None:
        return np.tile(np.frombuffer(bytes.fromhex(digest(before)), np.uint8)[:16], (len(records), 1))
    vectors = hex_of(row_digests(rows_of_matrix(records.vectors.view(np.uint8))))
    before, after = before.removesuffix(b"null]") + b'"', b'"]'
    return row_digests(joined(before, rows_of_matrix(vectors), after))[:, :16]


def grouped(
    items: Iterable[T], size: Callable[[T], int], most: int = GROUP_DOCUMENTS, most_bytes: int = GROUP_BYTES
) -> Iterator[list[T]]:
    """Lists of neighbouring items, bounded in number and in bytes."""
    group: list[T] = []
    total = 0
    for item in items:
        group.append(item)
        total += size(item)
        if len(group) >= most or total >= most_bytes:
            yield group
            group, total = [], 0
    if group:
        yield group


@dataclass(frozen=True)
class _Comparison:
    """Compares what arrives with the parent version. `labels`: of all sources; None for an upsert."""

    parent: Snapshot | None
    recipe: Recipe
    labels: set[str] | None
    tally: Tally
    refresh: bool

    def one_by_one(self, items: Iterable[Original | Failure], label: str) -> Iterator[Original]:
        """The documents that are new or changed."""
        for group in grouped(items, size_of):
            self._arrived(group, label)
            yield from _changed(self.parent, self.recipe, group, self.labels, self.tally, self.refresh)

    def of_objects(
        self, items: Iterable[Unread | Failure], source: Source, facts: ObjectFacts | None, fetch: bool
    ) -> Iterator[Original | Unread]:
        """The objects that are new or changed. Those that are known to be as in the parent are not fetched."""
        bucket = source.bucket
        assert bucket is not None, "only a bucket has objects"
        left = self._not_as_before(items, source, facts)
        if not fetch:
            yield from self._unfetched(left)
            return
        for group in grouped(bucket.fetched(left), size_of):
            for item in group:
                if facts and isinstance(item, Original) and item.data is not None and "e_tag" in item.origin:
                    parser = pipeline.parser_of(item.data, item.document)
                    facts.add(bucket.fact_name(item.origin["key"], item.origin["e_tag"]), item.digest, parser)
            yield from _changed(self.parent, self.recipe, group, self.labels, self.tally, self.refresh)

    def _not_as_before(
        self, items: Iterable[Unread | Failure], source: Source, facts: ObjectFacts | None
    ) -> Iterator[Unread | Failure]:
        """The objects that may have changed, with what is known of their bytes, and failures; counts the others."""
        bucket, tally = source.bucket, self.tally
        assert bucket is not None, "only a bucket has objects"
        for group in grouped(items, size_of):
            self._arrived(group, source.label)
            for item, old in zip(group, find_known(self.parent, [item.document for item in group]), strict=True):
                if isinstance(item, Unread) and item.e_tag and facts:
                    fact = facts.find(bucket.fact_name(item.key, item.e_tag))
                    if fact and pipeline.is_current_parser(fact[1]):
                        item = replace(item, digest=fact[0], parser=fact[1])
                if isinstance(item, Unread) and old and self._is_as_before(item, old):
                    tally.met[old.source] += 1
                    tally.sound[old.source] += 1
                    tally.unchanged += 1
                else:
                    yield item

    def _is_as_before(self, item: Unread, old: KnownDocument) -> bool:
        label = old.source if self.labels is None else item.source
        return (old.digest, old.source) == (item.digest, label) and _made_so(
            old.recipe, item, self.recipe, self.refresh
        )

    def _unfetched(self, items: Iterable[Unread | Failure]) -> Iterator[Unread]:
        """The objects that may have changed, counted as if they had."""
        for item in items:
            if isinstance(item, Failure):
                self.tally.failures.append(item)
                continue
            old = find_known(self.parent, [item.document])[0]
            if old:
                self.tally.met[old.source] += 1
            self.tally.sound[item.source] += 1
            (self.tally.changed if old else self.tally.added)[item.document] = None
            yield item

    def _arrived(self, group: Sequence[Original | Failure | Unread], label: str) -> None:
        """Note that these documents arrived. Raises InvalidInputError if one arrived before."""
        tally = self.tally
        named = [item.document for item in group if not (isinstance(item, Failure) and item.hides)]
        _once(named, tally.arrived)
        if len(named) < len(group):
            tally.unsure.add(label)
            tally.hiding.update(text_key(item.document) for item in group if isinstance(item, Failure) and item.hides)

    def of_records(self, records: Records) -> Iterator[Original | Records]:
        """The records that are new or changed. Where one arrives twice, or is of another source, all go one by one."""
        tally, known = self.tally, known_rows(self.parent, records.keys, records.source)
        repeated = (tally.arrived.numbers_of(records.keys) >= 0).any()
        if repeated or (known.present & ~known.of_source).any():
            yield from self.one_by_one(records.originals(), records.source)
            return
        tally.arrived.add_all(records.keys)
        tally.met[records.source] += int(known.present.sum())
        tally.sound[records.source] += len(records)
        same = known.present & (known.digests == records.digests).all(axis=1)
        recipes = record_recipes(records.take(np.flatnonzero(same)), self.recipe)
        same[same] = (known.recipes[same] == recipes).all(axis=1)
        tally.unchanged += int(same.sum())
        changed = records.take(np.flatnonzero(~same))
        for name, is_old in zip(changed.documents.to_pylist(), known.present[~same].tolist(), strict=True):
            (tally.changed if is_old else tally.added)[name] = None
        if is_given(self.recipe) and records.dim == self.recipe.space.dim:
            yield from [changed] if len(changed) else []
        else:
            yield from changed.originals()


def _changed(
    parent: Snapshot | None,
    recipe: Recipe,
    group: Sequence[Original | Failure],
    labels: set[str] | None,
    tally: Tally,
    refresh: bool,
) -> Iterator[Original]:
    known = find_known(parent, [item.document for item in group])
    for item, old in zip(group, known, strict=True):
        if old:
            tally.met[old.source] += 1
        if isinstance(item, Failure):
            tally.failures.append(item)
            continue
        label = item.source
        if old and labels is None:
            item = replace(item, source=old.source)
        elif old and labels is not None and old.source != item.source and old.source not in labels:
            raise InvalidInputError(
                f"{item.document!r} belongs to the source {old.source!r}, not to {item.source!r}; nothing was changed",
                code="source_conflict",
                hint=say(
                    "to keep both, give this one a prefix=; if it is that source, renamed or at another place, "
                    f"label={old.source!r}, dry_run=True shows what that would change",
                    cli="to keep both, give this one a --prefix; if it is that source, renamed or at another place, "
                    f"--source {old.source!r} --dry-run shows what that would change",
                    http="to keep both, give this one a ?prefix=; if it is that source, renamed or at another place, "
                    f"?label={old.source}&dry_run=true shows what that would change",
                ),
                document=item.document,
                source=old.source,
            )
        tally.sound[item.source] += 1
        same = old is not None and (old.digest, old.source) == (item.digest, item.source)
        if old and same and _made_so(old.recipe, item, recipe, refresh):
            tally.unchanged += 1
            continue
        tally.refreshed += old is not None and same and _made_so(old.recipe, item, recipe, False)
        if item.source != label:
            tally.adopted[item.source] += 1
        (tally.changed if old else tally.added)[item.document] = None
        yield item


def _made_so(made: str, original: Original | Unread, recipe: Recipe, refresh: bool) -> bool:
    """True if an ingest now would make the same rows of this document."""
    if made == recipe_of(original, recipe):
        return True
    return not refresh and made == recipe_of(original, recipe, metadata=False)


def _once(documents: Iterable[str], arrived: KeyLog) -> None:
    for document in documents:
        name = text_key(document)
        if name in arrived:
            raise InvalidInputError(
                f"the document {document!r} arrives twice",
                code="duplicate_document",
                hint=say(
                    "give one of the sources a prefix=, or remove the repetition; nothing was changed",
                    cli="give one of the sources a --prefix, or remove the repetition; nothing was changed",
                    http="give one of the sources a ?prefix=, or remove the repetition; nothing was changed",
                ),
                document=document,
            )
        arrived.add(name)


def size_of(item: Original | Failure | Unread) -> int:
    """The bytes of memory that its content takes."""
    if isinstance(item, Failure | Unread):
        return 0
    vector = 0 if item.vector is None else item.vector.nbytes
    return len(item.data or b"") + len(item.text or "") + vector
