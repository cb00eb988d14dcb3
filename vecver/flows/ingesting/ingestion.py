"""Ingestion: turns sources into the next version of a dataset, in four steps.

    prepare   choose parser, chunker and embedder: those that the options name, else those of the parent version
    fill      read, parse and chunk the documents; keep the rows that exist, embed and write the others
    finish    make the new rows durable, and build an index if they are very many
    land      write layout, roots and commit, then move the branch: the only visible moment; see `repo.landing`

Folding and most indexing follow: see `maintaining.upkeep`.
If it is stopped at any point, the branch stays where it was, and the next ingest reuses the vectors that were made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING, cast

import numpy as np

from vecver import index, pipeline
from vecver.errors import SpaceMismatchError, VecverError
from vecver.flows.embedding import OpenEmbedder, is_given, may_refuse
from vecver.flows.evaluating.drifting import note as drift_note
from vecver.flows.ingesting import removals, shortfalls
from vecver.flows.ingesting.changes import KnownObjects, Tally, arrivals, memo_of, refreshed_note
from vecver.flows.ingesting.chunking import Readable, chunked
from vecver.flows.ingesting.commits import LISTED, commit_at, coverage_facts
from vecver.flows.ingesting.embedding_rows import NOT_EMBEDDED, EmbedCounts, RowEmbedding
from vecver.flows.ingesting.environment import current_environment
from vecver.flows.ingesting.head import check_expected, failed, head_of, id_of, of_source, once_writable, places_at
from vecver.flows.ingesting.new_documents import embedded_name, new_document, new_rows
from vecver.flows.ingesting.parsed_groups import Outcome, parsed_groups
from vecver.flows.ingesting.progress_counts import IngestProgress
from vecver.flows.ingesting.recipe import Options, Preparation, Stream, prepare
from vecver.flows.ingesting.sources import Source, lone_file, places_after, recognised, source_record
from vecver.flows.maintaining.upkeep import index_large
from vecver.model import Commit, Failure, Json, Original, Recipe, Records, Report, Vectors, singly
from vecver.progress import Progress
from vecver.repo import Draft, Landing, NewChunks, Place, Snapshot, Versions, land

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecver.flows.ingesting.ray_fleet import Fleet
    from vecver.flows.ingesting.ray_workers import CutPart

EMBED_ROWS = 1024  # chunks looked up and written at once


def ingest(
    versions: Versions,
    dataset: str,
    sources: Sequence[Source],
    options: Options,
    open_embedder: OpenEmbedder,
    progress: Progress | None = None,
) -> Report:
    """Make `sources` the truth for the documents that came from them, as a new commit on a branch.

    A document that cannot be read is reported and keeps its previous version; `strict` makes it an error. If other
    writers moved the branch meanwhile, the commit is made after theirs.

    Raises InvalidInputError (a source or an option), NotFoundError (branch), SpaceMismatchError, ConflictError (other
    writers changed the same documents or sources; or removals are too many and not allowed), BackendError. After any
    failure the branch is where it was.
    """
    parent = head_of(versions, dataset, options.branch)
    sources = recognised(sources, places_at(versions, parent), parent)
    if not options.allow_removals:
        sources = [lone_file(source, parent) for source in sources]
    return make_version(versions, dataset, parent, sources, options, open_embedder, progress)


def make_version(
    versions: Versions,
    dataset: str,
    parent: Snapshot | None,
    sources: Sequence[Source],
    options: Options,
    open_embedder: OpenEmbedder,
    progress: Progress | None = None,
) -> Report:
    """Make the version after `parent` from sources that have their labels and scopes. Raises as `ingest`."""
    if options.on is None:
        return _made(versions, dataset, parent, sources, options, open_embedder, progress, None)
    from vecver.flows.ingesting.ray_fleet import fleet_on

    with fleet_on(options.on, versions, dataset, sources, options, open_embedder) as fleet:
        return _made(versions, dataset, parent, sources, options, fleet.open_embedder, progress, fleet)


def _made(
    versions: Versions,
    dataset: str,
    parent: Snapshot | None,
    sources: Sequence[Source],
    options: Options,
    open_embedder: OpenEmbedder,
    progress: Progress | None,
    fleet: Fleet | None,
) -> Report:
    """As `make_version`, here or by a fleet."""
    check_expected(options.expected, options.branch, id_of(parent))
    if options.language is not None:
        pipeline.tokenizer_recipe(options.language)
    old = parent.commit.recipe if parent else None
    if parent is None and fleet is None and any(source.is_parsed for source in sources):
        pipeline.start_workers()  # they import what they need while the embedder is loaded
    open_checked = open_embedder if options.dry_run else once_writable(versions, open_embedder)
    streams, means = prepare(old, [source.stream() for source in sources], options, open_checked)
    draft = versions.draft(parent, means.recipe.space, dry=options.dry_run)
    work = _Ingest(versions, dataset, sources, options, parent, means, draft, progress, fleet)
    try:
        work.fill(streams)
        if options.dry_run:
            return work.report(None)
        report = work.finish()
        work.objects.save()
        return report
    except BaseException:
        if not options.dry_run:
            with suppress(VecverError, OSError):  # keep what was embedded, if the store still takes it
                draft.seal()
                work.objects.save()
        raise
    finally:
        draft.discard()


@dataclass
class _Ingest:
    """One running ingest, with its counts and times."""

    versions: Versions
    dataset: str
    sources: Sequence[Source]
    options: Options
    parent: Snapshot | None
    means: Preparation
    draft: Draft
    progress: Progress | None
    fleet: Fleet | None  # that reads and embeds; None: this process does
    tally: Tally = field(default_factory=Tally)
    unseen: dict[str, str] = field(default_factory=dict)  # document -> a note on what the embedder cannot read of it
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("parse", "chunk", "embed", "write"), 0.0))
    embedded: int = 0
    reused: int = 0
    tokens: int = 0
    longer: int = 0
    new_rows: int = 0  # of a dry run: chunk rows that would be written
    removals: list[removals.Removal] = field(default_factory=list)

    # -- fill -----------------------------------------------------------------------------------

    def fill(self, streams: Sequence[Stream]) -> None:
        """Write what is new, group by group, and remove what is missing. Raises if the result may not be committed."""
        pairs = zip(self.sources, streams, strict=True)
        changed = cast(
            Iterator[Original | Records],
            arrivals(self.parent, self.means.recipe, pairs, self.tally, adds=self.options.adds, objects=self.objects),
        )
        if self.fleet and not is_given(self.means.recipe):
            self._fill_by_fleet(self.fleet, changed)
        else:  # records that bring vectors are neither parsed nor embedded
            self._fill_here(changed)
        self.counts.settled()
        if not (self.options.keep_missing or self.options.adds):
            allowed = self.options.allow_removals
            self.removals = removals.missing(self.parent, self.sources, self.tally, allowed=allowed)
            self.tally.removed = [document for removal in self.removals for document in removal.documents]
            self.draft.remove(self.tally.removed, [removal.source for removal in self.removals if removal.whole])
        self._check_result()

    def _fill_here(self, changed: Iterable[Original | Records]) -> None:
        since = perf_counter()
        for group in parsed_groups(changed, self.means, self.options, self.counts):
            since = self._timed("parse", since)
            if isinstance(group, Records):
                self._stage_records(group)
            else:
                readable = self._chunked(group)
                self._timed("chunk", since)
                if not self.options.dry_run:
                    readable = self._without_refused(readable)
                (self._plan if self.options.dry_run else self._write)(readable)
            self.counts.settled()
            since = perf_counter()
        self._timed("parse", since)

    def _fill_by_fleet(self, fleet: Fleet, changed: Iterable[Original | Records]) -> None:
        """Adopt the rows that workers write. Seconds are the sums of theirs."""
        documents = iter(singly(changed))
        first = next(documents, None)
        if first is None:
            return
        self.means.load()
        self.counts.begin_reading()
        for done in fleet.outcomes(chain([first], documents), self.means.recipe, self.options, self._accept):
            for phase, seconds in done.seconds.items():
                self.seconds[phase] += seconds
            self._count(done.counts)
            if not self.options.dry_run:
                self.counts.embedded(done.counts.embedded + done.counts.reused)
            self.draft.adopt(done.written)
            self.counts.settled()
        self.counts.end_reading()

    def _accept(self, part: CutPart) -> npt.NDArray[np.bool_]:
        """Take note of documents that a worker read; which of their chunks must be written, `(n,)`."""
        for source, failure, memo in part.failures:
            self.tally.fail(source, failure, memo)
        self.tally.coverage.update(part.coverage)
        self.longer += part.longer
        self.counts.read(part.read)
        new = self.draft.replace(part.ids, part.keys, part.embedded)
        rows = int(new.sum())
        self.reused += len(new) - rows
        if self.options.dry_run:
            self.new_rows += rows
        else:
            self.counts.staged(rows)
        return new

    @cached_property
    def objects(self) -> KnownObjects:
        """What is known of the objects of buckets."""
        return KnownObjects(self.versions)

    @cached_property
    def counts(self) -> IngestProgress:
        """The counts that `progress` gets."""
        return IngestProgress(self.progress, self.sources, self.tally)

    @cached_property
    def embedding(self) -> RowEmbedding:
        """What makes the vectors of new rows."""
        return RowEmbedding(self.draft, self.means, self.counts.embedded)

    def _stage_records(self, records: Records) -> None:
        """Stage records in columns, then write the vectors that they bring."""
        since = perf_counter()
        new = self.draft.stage(new_rows(records, self.means.recipe))
        self.reused += len(records) - len(new)
        if self.options.dry_run:
            self.new_rows += len(new)
            return
        self.counts.staged(len(new))
        assert records.vectors is not None
        vectors = index.normalised(records.vectors[new.origin], self.means.recipe.space.metric)
        self.counts.embedded(len(new))
        since = self._timed("write", since)
        self.draft.add(new, vectors)
        self._timed("write", since)

    def _chunked(self, group: Sequence[Outcome]) -> list[Readable]:
        """The readable documents of a group, with their chunks; failures are counted."""
        cut = chunked(group, self.means)
        for original, failure in cut.failures:
            self.tally.fail(original.source, failure, memo_of(original, self.means.recipe))
        self.tally.coverage.update((o.document, p.coverage) for o, p, _ in cut.readable if p.coverage)
        self.longer += cut.longer
        return cut.readable

    def _write(self, readable: Sequence[Readable]) -> None:
        """Stage documents, then give each new row its vector: the record's, a stored one, or a new one."""
        since = perf_counter()
        texts = [chunk.embedded for _, _, chunks in readable for chunk in chunks]
        documents = [original.document for original, _, chunks in readable for _ in chunks]
        brought = [original.vector for original, _, chunks in readable for _ in chunks]
        new = self.draft.stage([new_document(*document, self.means.recipe) for document in readable])
        self.reused += len(texts) - len(new)
        self.counts.staged(len(new))
        since = self._timed("write", since)
        for start in range(0, len(new), EMBED_ROWS):
            rows = new.slice(start, EMBED_ROWS)
            if is_given(self.means.recipe):
                vectors = self._brought(brought, rows)
            else:
                vectors = self.embedding.vectors(rows, texts, documents)
            since = self._timed("embed", since)
            self.draft.add(rows, vectors)
            since = self._timed("write", since)
        self._count(self.embedding.taken())

    def _brought(self, vectors: Sequence[Vectors | None], rows: NewChunks) -> Vectors:
        taken = [vector for i in rows.origin if (vector := vectors[i]) is not None]
        self.counts.embedded(len(taken))
        return index.normalised(np.stack(taken), self.means.recipe.space.metric)

    def _count(self, counts: EmbedCounts) -> None:
        """Add what became of the rows of some documents, all of whose rows were counted."""
        self.embedded += counts.embedded
        self.reused += counts.reused
        self.tokens += counts.tokens
        if counts.unseen.sums:
            self.unseen.update(counts.unseen.notes(self.means.embedder.name))

    def _without_refused(self, readable: list[Readable]) -> list[Readable]:
        """The documents of which an endpoint embeds every text; the others are counted as failures."""
        if is_given(self.means.recipe) or not readable or not may_refuse(self.means.embedder):
            return readable
        since = perf_counter()
        texts = {embedded_name(c.embedded): (c.embedded, o.document) for o, _, chunks in readable for c in chunks}
        refused = self.embedding.refused(texts)
        self._timed("embed", since)
        return [one for one in readable if not self._has_refused(one, refused)]

    def _has_refused(self, readable: Readable, refused: Mapping[bytes, str]) -> bool:
        """Whether a text of the document was refused; then it is counted as a failure."""
        original, _, chunks = readable
        for chunk in chunks:
            if reason := refused.get(embedded_name(chunk.embedded)):
                failure = Failure(original.document, NOT_EMBEDDED, reason)
                self.tally.fail(original.source, failure, memo_of(original, self.means.recipe))
                return True
        return False

    def _plan(self, readable: Sequence[Readable]) -> None:
        """Count what `_write` would embed and write, for a dry run."""
        new = self.draft.stage([new_document(*document, self.means.recipe) for document in readable])
        self.new_rows += len(new)
        if is_given(self.means.recipe):
            self.reused += sum(len(chunks) for _, _, chunks in readable) - len(new)
            return
        texts = {embedded_name(c.embedded): (c.embedded, o.document) for o, _, chunks in readable for c in chunks}
        self.embedding.plan(texts)
        planned = self.embedding.taken()
        self._count(replace(planned, reused=sum(len(chunks) for _, _, chunks in readable) - planned.embedded))

    def _check_result(self) -> None:
        """Raises unless the version may be committed: one space, no failures if `strict`, removals allowed."""
        if self.parent and self.parent.commit.recipe.space.id != self.means.recipe.space.id:
            staying = self.parent.layout.document_count - len(self.tally.changed) - len(self.tally.removed)
            if staying:
                raise SpaceMismatchError(
                    f"{staying} documents would stay in another space: they are of other sources, kept, or unreadable",
                    code="mixed_spaces",
                    hint="ingest all sources of the dataset in one command, mend or remove what cannot be read, "
                    "or use a new dataset",
                )
        if self.tally.failures and (self.options.strict or (self.options.adds and not self.tally.any_sound)):
            raise failed(self.tally.failures, self.options)
        if not self.options.allow_removals and not self.options.dry_run:
            removals.check_allowed(self.removals)

    @property
    def _verb(self) -> str:
        return "upsert" if self.options.adds else "ingest"

    # -- finish and land ------------------------------------------------------------------------

    def finish(self) -> Report:
        """Commit the draft and move the branch; no commit where nothing changed."""
        before = id_of(self.parent)
        also = [shortfalls.path_of(before)] if before else []
        with self.versions.moment_at(self.dataset, self.options.branch, *also, head=before):
            report = self._finish()
            old = self._shortfalls_before(report)
        if report.commit:  # outside of the moment, whose end raises what a write met
            shortfalls.save(self.versions, old, report.commit, self.sources, self.tally, anew=report.changed)
        return report

    def _finish(self) -> Report:
        since = perf_counter()
        self.draft.close()
        place = Place(self.parent, *self.draft.layout())
        self._timed("write", since)
        if not self.tally.differs() and not self._changes_language(self.parent):
            return self.report(place)
        index_large(self.versions, self.draft.segments, self.progress)
        unreadable = {failure.document for failure in self.tally.failures}
        landing = Landing(
            self.versions, self.dataset, self.options.branch, self.draft, place, unreadable, self.tally.arrived
        )
        place, commit = land(landing, self._commit, self._verb)
        report = self.report(place)
        if commit is None:
            return report
        notes = (*report.notes, *drift_note(place, commit.recipe.space, report))
        return replace(report, commit=commit.id, changed=True, notes=notes)

    def _commit(self, place: Place) -> Commit | None:
        """The commit of this ingest after the version that it lands on; None if that version has all of it."""
        if not self.tally.without(place.settled).differs() and not self._changes_language(place.parent):
            return None
        check_expected(self.options.expected, self.options.branch, id_of(place.parent))
        report = self.report(place)
        facts = report.to_json()
        operation = {
            "kind": self._verb,
            **({"job": self.options.job} if self.options.job else {}),
            "sources": [source_record(source, self.options.origin) for source in self._named_sources()],
            "places": places_after(places_at(self.versions, place.parent), self.sources),
            "failures": facts["failures"][:LISTED],
            **{name: facts[name] for name in ("documents", "chunks", "tokens", "longer", "seconds")},
            **coverage_facts(report),
        }
        return commit_at(
            self.versions,
            self.dataset,
            place,
            message=self.options.message,
            recipe=self._recipe(place.parent),
            environment={**current_environment(), **self.means.environment},
            operation=operation,
        )

    def _recipe(self, parent: Snapshot | None) -> Recipe:
        """The recipe for the next ingest: this one's, unless its options name none and the branch has a newer one."""
        old = self.parent.commit.recipe.fingerprint if self.parent else None
        newer = parent and parent.commit.recipe.fingerprint != old and not self.options.say_how()
        recipe = parent.commit.recipe if parent and newer else self.means.recipe
        weighed = (
            parent and parent.commit.recipe.space == recipe.space
        )  # a weight is worth something in its space alone
        hybrid = parent.commit.recipe.hybrid if parent and weighed else None
        return replace(recipe, keywords=self._keywords(parent), hybrid=hybrid)

    def _keywords(self, parent: Snapshot | None) -> Json | None:
        """The tokenizer of the language that the options name, else that of the branch's newest version."""
        if self.options.language is None:
            return parent.commit.recipe.keywords if parent else None
        named = pipeline.tokenizer_recipe(self.options.language)
        return None if named == pipeline.tokenizer_recipe() else named

    def _changes_language(self, parent: Snapshot | None) -> bool:
        """A version that is tokenised otherwise is another version, though its rows are the same."""
        return parent is not None and self._keywords(parent) != parent.commit.recipe.keywords

    def _named_sources(self) -> list[Source]:
        """The sources that the commit records; of an upsert, which may read many files, one for each label."""
        return list({one.label: one for one in self.sources[::-1]}.values()) if self.options.adds else [*self.sources]

    def _shortfalls_before(self, report: Report) -> shortfalls.Shortfalls:
        """Those of the version that this ingest landed on: `status` lists no document as new that could not be read."""
        if report.commit is None:
            return shortfalls.Shortfalls()
        parents = self.versions.commit(report.commit).parents if report.changed else (report.commit,)
        return shortfalls.load(self.versions, next(iter(parents), None))

    def report(self, place: Place | None) -> Report:
        """The report so far; `place`: the rows of the version it lands as, None for a dry run."""
        parent, tally = (place.parent, self.tally.without(place.settled)) if place else (self.parent, self.tally)
        stops = self.options.dry_run and not self.options.allow_removals
        live, gone = (place.layout.chunk_count, place.removed) if place else self.draft.kept()
        report = Report(
            dataset=self.dataset,
            commit=parent.commit.id if parent else None,
            changed=False,
            documents=tally.counts(),
            chunks={"live": live + self.new_rows, "embedded": self.embedded, "reused": self.reused, "removed": gone},
            failures=tuple(tally.failures),
            seconds=self.seconds,
            tokens=self.tokens,
            longer=self.longer,
            dry_run=self.options.dry_run,
            names=tally.names(),
            notes=(*removals.notes(self.removals, stops=stops), *self._adopted(), *refreshed_note(tally.refreshed)),
            coverage=dict(tally.coverage),
            unseen=dict(self.unseen),
        )
        return replace(report, notes=(*report.notes, *report.document_notes))

    def _adopted(self) -> list[str]:
        """Notes on documents of an upsert that belong to a source in a folder, whose next ingest replaces them."""
        adopted = self.tally.adopted
        places = places_at(self.versions, self.parent) if adopted else {}
        located = [(label, count) for label, count in adopted.items() if places.get(label)]
        return [of_source(label, count, "puts its own text back") for label, count in located]

    def _timed(self, phase: str, since: float) -> float:
        now = perf_counter()
        self.seconds[phase] += now - since
        return now
