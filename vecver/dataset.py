"""The front desk for one dataset. Every method is one call into a flow or the repo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from vecver import flows, pipeline, repo
from vecver.errors import InvalidInputError, VecverError
from vecver.flows import Options, Progress, Source
from vecver.model import (
    Answer,
    Commit,
    Coverage,
    Diff,
    Export,
    Json,
    Metric,
    Milvus,
    Move,
    Optimized,
    Publication,
    Recall,
    Report,
    Vectors,
)
from vecver.snapshot import AskingOne, absolute, is_batch

if TYPE_CHECKING:
    from vecver.repository import Repository

Revision = str | Report | Commit
Kind = Literal["branch", "tag", "alias"]
Engine = Literal["faiss", "milvus"]


class Asking(AskingOne, total=False):
    """The options of `Dataset.search`: those, and which version is asked."""

    at: Revision
    engine: Engine


class Dataset:
    """A named body of documents with its own history.

    A revision is a string; what `ingest` and `show` return names its commit too.
    """

    def __init__(self, repository: Repository, name: str) -> None:
        self.repository = repository
        self.name = name
        self._versions = repository._versions

    # -- documents in ---------------------------------------------------------------------------

    def ingest(
        self,
        source: pipeline.SourceLike | Sequence[str | PathLike[str]],
        *,
        message: str = "",
        branch: str = "main",
        label: str | None = None,
        prefix: str = "",
        records: bool | None = None,
        embedder: str | None = None,
        space: str | None = None,
        metric: Metric | None = None,
        chunker: str | None = None,
        chunk_tokens: int | None = None,
        passwords: Sequence[str] = (),
        keep_missing: bool = False,
        allow_removals: bool = False,
        strict: bool = False,
        dry_run: bool = False,
        workers: int = 2,
        job: str = "",
        origin: Json | None = None,
        place: Json | None = None,
        scope: str | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Make a source the truth for the documents that came from it, as a new commit on `branch`.

        `source`: a folder, a glob, a file, a list of these, `-` (JSONL on stdin), a `pyarrow.Table`,
        record batches, or an iterable of dicts with `id`, `text` and metadata. What is already
        embedded in the same space, anywhere in the repository, is not embedded again. A document
        missing from its source is removed (`keep_missing` keeps it); one that cannot be read is in
        `Report.failures` and keeps its previous version (`strict` makes it an error). An ingest that
        would remove all documents of a source, or more than a fifth of them and more than ten, is an
        error unless `allow_removals`. An ingest that changes nothing makes no commit.

        `label` names the source (default: the folder's or file's own name, with the folders above it
        where another source has that name), `prefix` stands before every id. A file or folder inside
        a source that is known, and the matches of a glob, are a part of it: nothing else is removed.
        `space` names the space of vectors that the records bring, `metric` theirs (cosine).
        `job`: your own id of this run, kept in the commit's operation. `origin`: where the source comes from, instead
        of the Git commit of the work tree that it lies in: {"kind": "git", "commit", "branch", "dirty"}; {}: from none.
        Of a source that was read elsewhere: `place`, where it lies there ({}: nowhere), and `scope`, of which documents
        it says that they are missing (globs below the prefix, a line each; default: of all of its label).

        Where other writers moved the branch meanwhile, the commit is made after theirs.

        Raises InvalidInputError, NotFoundError, SpaceMismatchError, BackendError, and ConflictError if
        another writer changed the same documents or source (`context["documents"]` names them), or if
        removals must be allowed. After any failure this ingest has changed nothing, and what was
        embedded is kept for the next attempt.
        """
        options = Options(
            message=message,
            branch=branch,
            embedder=embedder,
            space=space,
            metric=metric,
            chunker=chunker,
            chunk_tokens=chunk_tokens,
            passwords=tuple(passwords),
            dry_run=dry_run,
            keep_missing=keep_missing,
            allow_removals=allow_removals,
            strict=strict,
            workers=workers,
            job=job,
            origin=origin,
        )
        sources = sources_of(source, label, prefix, records)
        if place is not None or scope is not None:
            sources = [_read_elsewhere(one, place or {}, flows.ALL if scope is None else scope) for one in sources]
        report = flows.ingest(self._versions, self.name, sources, options, self.repository._embedder, progress)
        return self._published(report, branch, progress) if report.changed else report

    def _published(self, report: Report, branch: str, progress: Progress | None) -> Report:
        """Publish the new version of a branch where the repository was opened so; what went wrong is a note."""
        if branch not in self.repository._publish:
            return report
        try:
            self.publish(report, progress=progress)
        except VecverError as error:
            note = f"the version was not published: {error.message}; `vecver publish {self.name}@{branch}` tries again"
            return replace(report, notes=(*report.notes, note))
        return report

    def status(
        self,
        source: pipeline.SourceLike | Sequence[str | PathLike[str]],
        *,
        at: Revision = "main",
        label: str | None = None,
        prefix: str = "",
        records: bool | None = None,
    ) -> dict[str, list[str]]:
        """What an ingest of `source` would find, without parsing it.

        Document ids, under `added`, `changed`, `removed` and `failed` (cannot be read now, or could not when the
        version was made, and is the same since).
        """
        return flows.status(self._versions, self.name, sources_of(source, label, prefix, records), at=text_of(at))

    def optimize(self, *, progress: Progress | None = None) -> Optimized:
        """Re-lay all versions on the fewest segments and mend their indexes; no commit, root or answer changes.

        The old segments go with `gc`. Raises NotFoundError, IntegrityError (a version would not come out as it
        was: nothing was changed), BackendError. It may be stopped at any moment, and run again.
        """
        return flows.optimize(self._versions, self.name, progress)

    # -- answers out ----------------------------------------------------------------------------

    @overload
    def search(self, query: str | Vectors | Sequence[float], **how: Unpack[Asking]) -> Answer: ...
    @overload
    def search(self, query: list[str] | list[Vectors], **how: Unpack[Asking]) -> list[Answer]: ...
    def search(
        self,
        query: Any,
        *,
        at: Revision = "main",
        k: int = 10,
        exact: bool = False,
        filter: Json | None = None,
        context: int = 0,
        space: str | None = None,
        engine: Engine = "faiss",
    ) -> Answer | list[Answer]:
        """The best `k` chunks of the version `at`, best first, fewer only if it holds fewer.

        `query`: a text, a vector `(dim,)`, or a list of these (then a list of answers). `exact`: the
        true top k, for certain; otherwise large segments answer through their index. `filter`:
        conditions on metadata, `{"year": {"$gte": 2024}, "groups": {"$in": [7, 8]}}`: a list matches by any of
        its items, times with an offset from UTC compare as instants, decimals exactly, and a value of another
        type than the field has is refused. `page`, `sheet`, `line` and `headings` ask where each chunk stands, unless
        its document has metadata of that name. `context`: add to each hit
        the text of so many neighbouring chunks on either side. `space` says in which space a query
        vector lies, and is checked. `engine`: who proposes the candidates; the scores are the same from either.
        Through "milvus" an exact answer that its index cannot give is scanned here; the receipt tells.

        Raises NotFoundError (dataset or revision), InvalidInputError (k, filter, vector, engine),
        SpaceMismatchError (the query lies in another space than the version); and through Milvus
        NotPublishedError (`publish` it), BackendError, IntegrityError (somebody else changed what was published).
        """
        many = not isinstance(query, str) and is_batch(query)
        answers = flows.search(
            self._versions,
            self.name,
            list(query) if many else [query],
            self.repository._embedder,
            at=text_of(at),
            k=k,
            exact=exact,
            filter=filter,
            context=context,
            space=space,
            through=self._through(engine),
        )
        return answers if many else answers[0]

    def _through(self, engine: str) -> flows.Through | None:
        check_engine(engine)
        return self.repository._milvus.through(self.name) if engine == "milvus" else None

    # -- Milvus ---------------------------------------------------------------------------------

    def publish(
        self,
        at: Revision = "main",
        *,
        to: str | Milvus | None = None,
        dedicated: bool = False,
        flat: bool = False,
        progress: Progress | None = None,
    ) -> Publication:
        """Make a version searchable in a Milvus, at the cost of what it changes there. Nothing is written if it is.

        `to`: its address, else the one that the repository was opened with, else where this dataset was published
        before, else milvus-lite in the repository's folder. `dedicated`: in a collection of its own behind an alias
        made of the dataset and `at`, for clients that cannot filter. `flat`: in a collection without a graph, whose
        every answer is exact, at the price of a scan (as small versions are, and all in milvus-lite).

        Raises NotFoundError, InvalidInputError (what Milvus cannot hold), ConflictError (another process publishes),
        IntegrityError (somebody else changed the collection), BackendError. After any failure every version that was
        published is searched as before, and the next publish sweeps what is half there.
        """
        return self.repository._milvus.publisher(self.name, to, progress).publish(
            text_of(at), dedicated=dedicated, flat=flat
        )

    def republish(self, *, to: str | Milvus | None = None, progress: Progress | None = None) -> list[Publication]:
        """Restore a Milvus that was lost or damaged: publish all that was published there anew, from here alone.

        Until a version is there again it is not published. If this is interrupted, call it again.
        """
        return self.repository._milvus.publisher(self.name, to, progress).rebuild()

    def unpublish(self, at: Revision, *, to: str | Milvus | None = None) -> list[str]:
        """Let a version go from a Milvus; the commit ids under which it was there.

        The rows that only it had are deleted there, and collections that are left empty. Here nothing is lost:
        `publish` brings it back. Raises NotPublishedError, and as `publish`.
        """
        return flows.unpublish(self.repository._milvus.publisher(self.name, to), self.show(at))

    def unpublish_unnamed(self, *, to: str | Milvus | None = None) -> list[str]:
        """As `unpublish`, every version on which no branch, tag or alias stands, or stood in the last 30 days."""
        return flows.unpublish(self.repository._milvus.publisher(self.name, to), None)

    def forget_publications(self, *, to: str | Milvus) -> list[str]:
        """Forget all that is published in a Milvus, which is not asked: it is gone for good. The commit ids."""
        return flows.forget(self.repository._milvus.book(self.name, to)[1])

    def publication(self, at: Revision = "main", *, to: str | Milvus | None = None) -> Publication:
        """What any Milvus client needs to search a version. Milvus is not asked. Raises NotPublishedError."""
        place, book = self.repository._milvus.book(self.name, to)
        return flows.published(book, self.show(at), place)

    # -- a version on its own -------------------------------------------------------------------

    def snapshot(self, at: Revision, folder: str | PathLike[str], *, progress: Progress | None = None) -> Export:
        """Export a version to a new folder: its rows, an index on them, checksums, and how to read them.

        Whoever has the folder searches it with `vecver.open_snapshot`, or with faiss, numpy and pyarrow
        alone. It appears whole or not at all. What is read of the repository is verified on the way.

        Raises NotFoundError (revision), InvalidInputError (`folder` is not empty, a file or a link),
        IntegrityError (rows of the repository are damaged), BackendError (disk full).
        """
        return flows.export(self._versions, self.name, absolute(folder), at=text_of(at), progress=progress)

    # -- how good the answers are ---------------------------------------------------------------

    def recall(
        self,
        at: Revision = "main",
        *,
        k: Sequence[int] | None = None,
        queries: Sequence[flows.Query] | None = None,
        sample: int | None = None,
        apply: bool = False,
        progress: Progress | None = None,
    ) -> Recall:
        """Measure the index of a version against exact search on the same version, and how fast it answers.

        Gives for each `k` (default: those of 1, 10 and 100 that the version can fill) the ann_recall@k,
        the worst query's and the share of queries below 0.8, and the latency of single warm queries, asked
        as `search` asks a vector. `queries`: texts or vectors; else `sample` of them are made of the version's
        own chunks (default 100, or all if it has fewer), the same whatever the layout and about as hard
        as real questions. The result is kept beside the commit, in place of the one before (`measures`);
        the commit's id does not change. Where it cannot be kept (a read-only repository), `not_kept` says why.

        `apply`: indexes that do not look far enough for the given queries do so from now on, for every
        version; never less far than before. It is stored beside the index, and holds until `optimize` writes those
        rows anew; a process that has the index open goes on as it was.

        Raises InvalidInputError (k, sample, queries, an empty version), NotFoundError, SpaceMismatchError.
        """
        return flows.recall(
            self._versions,
            self.name,
            self.repository._embedder,
            at=text_of(at),
            k=k,
            queries=queries,
            sample=sample,
            apply=apply,
            progress=progress,
        )

    def measures(self, at: Revision = "main") -> dict[str, Json]:
        """What was measured of a version, the newest by kind ("recall": `Recall.to_json()`).

        Of one that is damaged only `{"damaged": why}`; measuring again replaces it.
        """
        found = repo.measures.load_all(self._versions.store, self.resolve(at))
        return {kind: value for kind, value in found.items() if kind != flows.SHORTFALLS}

    # -- versions -------------------------------------------------------------------------------

    def resolve(self, at: Revision = "main") -> str:
        """The full commit id that a revision names."""
        return self._versions.resolve(self.name, text_of(at))

    def show(self, at: Revision = "main") -> Commit:
        """The commit that a revision names."""
        return self._versions.commit(self.resolve(at))

    def log(self, at: Revision = "main") -> Iterator[Commit]:
        """The commits that led to a revision, newest first, along first parents."""
        id: str | None = self.resolve(at)
        while id:
            commit = self._versions.commit(id)
            yield commit
            id = commit.parents[0] if commit.parents else None

    def tagged(self) -> Iterator[tuple[Commit, list[str]]]:
        """Every version that has a tag, with its tags; a version comes after those that it was made from."""
        return tagged_of(self.tags(), self._versions.commit)

    def documents(self, at: Revision = "main") -> list[str]:
        """The ids of all documents of a version, sorted."""
        return sorted(self._versions.snapshot(self.resolve(at)).documents(["document"]).column(0).to_pylist())

    def partial_reads(self, at: Revision = "main") -> dict[str, Coverage]:
        """The documents of a version that were read in part, sorted by id: how much, and what is missing."""
        return flows.partial_reads(self._versions, self.resolve(at))

    def diff(self, before: Revision, after: Revision) -> Diff:
        """What `after` adds, changes and removes against `before`."""
        return repo.diff(self._versions.snapshot(self.resolve(before)), self._versions.snapshot(self.resolve(after)))

    # -- refs -----------------------------------------------------------------------------------

    def branches(self) -> dict[str, str]:
        """name -> commit id."""
        return self._versions.refs(self.name).all("branch")

    def tags(self) -> dict[str, str]:
        """name -> commit id."""
        return self._versions.refs(self.name).all("tag")

    def aliases(self) -> dict[str, str]:
        """name -> commit id."""
        return self._versions.refs(self.name).all("alias")

    def branch(self, name: str, at: Revision = "main", *, expected: str | None = None) -> Move:
        """A new branch on a version; with `expected`, the commit id where you saw it, it is moved from there.

        Raises ConflictError if the name is taken, or the branch stands elsewhere (its `context` says where).
        """
        return repo.moves.create(self._versions, self.name, "branch", name, self.resolve(at), expected=expected)

    def tag(self, name: str, at: Revision = "main") -> Move:
        """A name for a version, fixed for ever. Raises ConflictError if it is taken or was ever a tag."""
        return repo.moves.create(self._versions, self.name, "tag", name, self.resolve(at))

    def delete(self, kind: Kind, name: str, *, expected: str | None = None) -> Move:
        """Remove a branch, tag or alias (only from `expected`, a commit id); no version is lost by it.

        Raises NotFoundError, ConflictError.
        """
        check_kind(kind)
        return repo.moves.delete(self._versions, self.name, kind, name, expected=expected)

    def promote(self, alias: str, at: Revision = "main", *, expected: str | None = None) -> Move:
        """Let an alias name a version. One small write; searches at the alias follow at once.

        `expected`: the full commit id where you saw it, or "absent" for a new one; if it stands elsewhere by now that
        is a ConflictError, whose `context` says where. Else it moves from wherever it stands.

        Where the repository was opened to publish this alias, the version is published first: if that fails, the
        alias stays where it is. (`rollback` publishes nothing: where it goes back to was published then.)
        """
        commit = self.resolve(at)
        if alias in self.repository._publish:
            self.publish(commit)
        return repo.moves.promote(self._versions, self.name, alias, commit, expected=expected)

    def rollback(self, ref: str, to: Revision | None = None, *, expected: str | None = None) -> Move:
        """Take an alias back to where it was, or give a branch a commit with its old content. No vector moves.

        `expected`: as `promote`.
        """
        target = None if to is None else self.resolve(to)
        return repo.moves.rollback(self._versions, self.name, ref, target, expected=expected)

    def moves(self, kind: Kind, name: str) -> list[Move]:
        """Every move of a ref, newest first."""
        found = list(self._versions.refs(self.name).log(kind, name))
        if not found:
            raise repo.missing(kind, name, self.name)
        return found

    def __repr__(self) -> str:
        return f"<vecver dataset {self.name} in {self.repository.url}>"


def sources_of(source: Any, label: str | None, prefix: str, records: bool | None) -> list[Source]:
    """One `Source` a path. A list of paths is several sources, each under its own name."""
    several = isinstance(source, list | tuple) and source and all(isinstance(s, str | PathLike) for s in source)
    values = list(source) if several else [source]
    if label and len(values) > 1:
        raise InvalidInputError(
            "one label cannot name several sources", code="conflicting_options", hint="ingest them one by one"
        )
    return [Source(value, pipeline.label_of(value, label), prefix, records, label is not None) for value in values]


def _read_elsewhere(source: Source, place: Json, scope: str) -> Source:
    if not source.named:
        raise InvalidInputError(
            "a source that was read elsewhere has no name here", code="no_label", hint="name it: label=NAME"
        )
    return replace(source, place=place, scope=scope)


def tagged_of(tags: dict[str, str], load: Callable[[str], Commit]) -> Iterator[tuple[Commit, list[str]]]:
    """The versions of these tags (name -> commit id), each after those that it was made from."""
    names: dict[str, list[str]] = {}
    for name, id in tags.items():
        names.setdefault(id, []).append(name)
    heads = sorted(map(load, names), key=lambda commit: (commit.time, commit.id))
    for commit in repo.parents_first([head.id for head in heads], load):
        if commit.id in names:
            yield commit, names[commit.id]


def check_kind(kind: str) -> None:
    """Raises InvalidInputError unless there is such a kind of ref."""
    if kind not in repo.KINDS:
        raise InvalidInputError(f"no kind of ref is called {kind!r}", code="invalid_kind", hint="branch, tag or alias")


def check_engine(engine: str) -> None:
    """Raises InvalidInputError unless there is such a search engine."""
    if engine not in ("faiss", "milvus"):
        raise InvalidInputError(
            f"no search engine is called {engine!r}", code="unknown_engine", hint="use faiss or milvus"
        )


def text_of(revision: Revision) -> str:
    """A revision as its string; what `ingest` and `show` return names its commit."""
    if isinstance(revision, Report) and revision.commit:
        return revision.commit
    if isinstance(revision, Commit):
        return revision.id
    return revision  # type: ignore[return-value]
