"""The front desk: the handles that a user holds. Every method is one call into a flow or the repo."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, Unpack, overload

from vecver import flows, pipeline, repo, store
from vecver.errors import ConflictError, InvalidInputError
from vecver.flows import Options, Progress, Source
from vecver.model import (
    Answer,
    Check,
    Commit,
    Diff,
    Embedder,
    Export,
    Garbage,
    Json,
    Metric,
    Move,
    Optimized,
    Recall,
    Replay,
    Report,
    Vectors,
)
from vecver.snapshot import AskingOne, Snapshot, absolute, is_batch

Revision = str | Report | Commit
Kind = Literal["branch", "tag", "alias"]


class Asking(AskingOne, total=False):
    """The options of `Dataset.search`: those, and which version is asked."""

    at: Revision


class Repository:
    """The versions of one or more datasets, at one URL. Made by `vecver.open`."""

    def __init__(self, versions: repo.Versions, api_key: str | None = None) -> None:
        self._versions = versions
        self._api_key = api_key
        self._embedders: dict[str, Embedder] = {}

    @property
    def url(self) -> str:
        """Where it lies."""
        return self._versions.store.url

    @property
    def id(self) -> str:
        """Its identity, 32 hex characters, as receipts name it."""
        return self._versions.id

    def dataset(self, name: str) -> Dataset:
        """A handle on a dataset, which need not have a version yet. Raises InvalidInputError for a bad name."""
        repo.check_name("dataset", name)
        return Dataset(self, name)

    def datasets(self) -> list[str]:
        """The names of all datasets that have a version, sorted."""
        return self._versions.datasets()

    def check(self, progress: Any = None) -> Check:
        """Re-hash and decode everything reachable, and prove every commit's roots from its rows."""
        return repo.check(self._versions.store, progress)

    def gc(
        self,
        *,
        keep_last: int | None = None,
        keep_within: timedelta | None = None,
        grace: timedelta = repo.GRACE,
        apply: bool = False,
    ) -> Garbage:
        """What no version needs, and with `apply` delete what has been so for at least the age `grace`.

        Every version that a ref or its log leads to is kept, unless `keep_last` (newest versions of each branch)
        or `keep_within` (their age) is given: then those, what refs stand on, and where they were moved in the
        last 30 days. Of the others the record stays, their rows go. Run it again when `grace` has passed.

        Raises InvalidInputError, IntegrityError (something is damaged: nothing is deleted), BackendError.
        """
        return flows.garbage(self._versions, repo.Retention(keep_last, keep_within), grace, apply=apply)

    def replay(self, receipt: Json) -> Replay:
        """Recompute an answer from its receipt. Raises InvalidInputError, NotFoundError."""
        return flows.replay(self._versions, receipt, self._embedder)

    def _embedder(self, spec: str | Json) -> Embedder:
        """The embedder of a spec, loaded once."""
        name = spec if isinstance(spec, str) else repr(sorted(spec.items()))
        if name not in self._embedders:
            self._embedders[name] = pipeline.open_embedder(spec, api_key=self._api_key)
        return self._embedders[name]

    def __repr__(self) -> str:
        return f"<vecver repository {self.url}>"


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
        strict: bool = False,
        dry_run: bool = False,
        workers: int = 2,
        progress: Progress | None = None,
    ) -> Report:
        """Make a source the truth for the documents that came from it, as a new commit on `branch`.

        `source`: a folder, a glob, a file, a list of these, `-` (JSONL on stdin), a `pyarrow.Table`,
        record batches, or an iterable of dicts with `id`, `text` and metadata. What is already
        embedded in the same space, anywhere in the repository, is not embedded again. A document
        missing from its source is removed (`keep_missing` keeps it); one that cannot be read is in
        `Report.failures` and keeps its previous version (`strict` makes it an error). An ingest that
        changes nothing makes no commit.

        `label` names the source (default: the folder's or file's own name), `prefix` stands before
        every id. `space` names the space of vectors that the records bring, `metric` theirs (cosine).

        Raises InvalidInputError, NotFoundError, SpaceMismatchError, BackendError, and ConflictError
        if another writer moved the branch. After any failure the branch is where it was, and what was
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
            strict=strict,
            workers=workers,
        )
        sources = _sources(source, label, prefix, records)
        return flows.ingest(self._versions, self.name, sources, options, self.repository._embedder, progress)

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

        Document ids, under `added`, `changed`, `removed` and `failed`.
        """
        return flows.status(self._versions, self.name, _sources(source, label, prefix, records), at=_text(at))

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
    ) -> Answer | list[Answer]:
        """The best `k` chunks of the version `at`, best first, fewer only if it holds fewer.

        `query`: a text, a vector `(dim,)`, or a list of these (then a list of answers). `exact`: the
        true top k, for certain; otherwise large segments answer through their index. `filter`:
        conditions on metadata, `{"year": {"$gte": 2024}, "lang": "en"}`. `context`: add to each hit
        the text of so many neighbouring chunks on either side. `space` says in which space a query
        vector lies, and is checked.

        Raises NotFoundError (dataset or revision), InvalidInputError (k, filter, vector),
        SpaceMismatchError (the query lies in another space than the version).
        """
        many = not isinstance(query, str) and is_batch(query)
        answers = flows.search(
            self._versions,
            self.name,
            list(query) if many else [query],
            self.repository._embedder,
            at=_text(at),
            k=k,
            exact=exact,
            filter=filter,
            context=context,
            space=space,
        )
        return answers if many else answers[0]

    # -- a version on its own -------------------------------------------------------------------

    def snapshot(self, at: Revision, folder: str | PathLike[str], *, progress: Progress | None = None) -> Export:
        """Export a version to a new folder: its rows, an index on them, checksums, and how to read them.

        Whoever has the folder searches it with `vecver.open_snapshot`, or with faiss, numpy and pyarrow
        alone. It appears whole or not at all. What is read of the repository is verified on the way.

        Raises NotFoundError (revision), InvalidInputError (`folder` is not empty, a file or a link),
        IntegrityError (rows of the repository are damaged), BackendError (disk full).
        """
        return flows.export(self._versions, self.name, absolute(folder), at=_text(at), progress=progress)

    # -- how good the answers are ---------------------------------------------------------------

    def recall(
        self,
        at: Revision = "main",
        *,
        k: Sequence[int] | None = None,
        queries: Sequence[flows.Query] | None = None,
        sample: int | None = None,
        progress: Progress | None = None,
    ) -> Recall:
        """Measure the index of a version against exact search on the same version, and how fast it answers.

        Gives for each `k` (default: those of 1, 10 and 100 that the version can fill) the ann_recall@k,
        and the latency of single warm queries, asked as `search` asks a vector. `queries`: texts or
        vectors; else `sample` of them are made of the version's own chunks (default 100, or all if it
        has fewer), the same whatever the layout. The result is kept beside the commit, in place of the
        one before (`measures`); the commit's id does not change.

        Raises InvalidInputError (k, sample, queries, an empty version), NotFoundError, SpaceMismatchError.
        """
        return flows.recall(
            self._versions,
            self.name,
            self.repository._embedder,
            at=_text(at),
            k=k,
            queries=queries,
            sample=sample,
            progress=progress,
        )

    def measures(self, at: Revision = "main") -> dict[str, Json]:
        """What was measured of a version, the newest by kind ("recall": `Recall.to_json()`).

        Of one that is damaged only `{"damaged": why}`; measuring again replaces it.
        """
        return repo.measures.load_all(self._versions.store, self.resolve(at))

    # -- versions -------------------------------------------------------------------------------

    def resolve(self, at: Revision = "main") -> str:
        """The full commit id that a revision names."""
        return self._versions.resolve(self.name, _text(at))

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
        tags: dict[str, list[str]] = {}
        for name, id in self.tags().items():
            tags.setdefault(id, []).append(name)
        heads = sorted((self._versions.commit(id) for id in tags), key=lambda commit: (commit.time, commit.id))
        for commit in repo.parents_first([head.id for head in heads], self._versions.commit):
            if commit.id in tags:
                yield commit, tags[commit.id]

    def documents(self, at: Revision = "main") -> list[str]:
        """The ids of all documents of a version, sorted."""
        return sorted(self._versions.snapshot(self.resolve(at)).documents(["document"]).column(0).to_pylist())

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

    def branch(self, name: str, at: Revision = "main") -> Move:
        """A new branch on a version. Raises ConflictError if the name is taken."""
        return repo.moves.create(self._versions, self.name, "branch", name, self.resolve(at))

    def tag(self, name: str, at: Revision = "main") -> Move:
        """A name for a version, fixed for ever. Raises ConflictError if it is taken or was ever a tag."""
        return repo.moves.create(self._versions, self.name, "tag", name, self.resolve(at))

    def delete(self, kind: Kind, name: str) -> Move:
        """Remove a branch, tag or alias; no version is lost by it. Raises NotFoundError."""
        if kind not in repo.KINDS:
            raise InvalidInputError(
                f"no kind of ref is called {kind!r}", code="invalid_kind", hint="branch, tag or alias"
            )
        return repo.moves.delete(self._versions, self.name, kind, name)

    def promote(self, alias: str, at: Revision = "main") -> Move:
        """Let an alias name a version. One small write; searches at the alias follow at once."""
        return repo.moves.promote(self._versions, self.name, alias, self.resolve(at))

    def rollback(self, ref: str, to: Revision | None = None) -> Move:
        """Take an alias back to where it was, or give a branch a commit with its old content. No vector moves."""
        return repo.moves.rollback(self._versions, self.name, ref, None if to is None else self.resolve(to))

    def moves(self, kind: Kind, name: str) -> list[Move]:
        """Every move of a ref, newest first."""
        found = list(self._versions.refs(self.name).log(kind, name))
        if not found:
            raise repo.missing(kind, name, self.name)
        return found

    def __repr__(self) -> str:
        return f"<vecver dataset {self.name} in {self.repository.url}>"


def open(
    url: str | PathLike[str] | store.Store,
    *,
    create: bool = False,
    author: str = "",
    api_key: str | None = None,
    open_bytes: int = repo.OPEN_BYTES,
) -> Repository:
    """The repository at a directory or `memory://`; `create` makes it if there is none.

    `author` signs commits and ref moves. `api_key` is given to embedders that need one, and kept nowhere.
    `open_bytes`: memory in which versions that were asked stay open, beside the files they map.
    Raises NotFoundError (no repository there), InvalidInputError (a folder with other things in it).
    """
    place = store.open_store(url if isinstance(url, store.Store) else fspath(url))
    if create and not repo.exists(place):
        with suppress(ConflictError):  # another process made it first
            repo.create(place)
    return Repository(repo.Versions(place, author=author, open_bytes=open_bytes), api_key)


def create(url: str | PathLike[str] | store.Store, *, author: str = "", api_key: str | None = None) -> Repository:
    """A new repository. Raises ConflictError if there is one already, InvalidInputError if other things lie there."""
    place = store.open_store(url if isinstance(url, store.Store) else fspath(url))
    repo.create(place)
    return Repository(repo.Versions(place, author=author), api_key)


def replay(repository: Repository | Snapshot, receipt: Json | str | PathLike[str]) -> Replay:
    """Recompute an answer from its receipt (a value, or the path of a JSON file) and this alone."""
    return repository.replay(_receipt(receipt))


def _receipt(receipt: Json | str | PathLike[str]) -> Json:
    if isinstance(receipt, Mapping):
        return dict(receipt)
    try:
        return dict(json.loads(Path(receipt).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInputError(
            f"{receipt} holds no receipt", code="invalid_receipt", hint="`vecver search --receipt FILE` writes one"
        ) from error


def _sources(source: Any, label: str | None, prefix: str, records: bool | None) -> list[Source]:
    """One `Source` a path. A list of paths is several sources, each under its own name."""
    several = isinstance(source, list | tuple) and source and all(isinstance(s, str | PathLike) for s in source)
    values = list(source) if several else [source]
    if label and len(values) > 1:
        raise InvalidInputError(
            "one label cannot name several sources", code="conflicting_options", hint="ingest them one by one"
        )
    return [Source(value, pipeline.label_of(value, label), prefix, records) for value in values]


def _text(revision: Revision) -> str:
    """A revision as its string; what `ingest` and `show` return names its commit."""
    if isinstance(revision, Report) and revision.commit:
        return revision.commit
    if isinstance(revision, Commit):
        return revision.id
    return revision  # type: ignore[return-value]
