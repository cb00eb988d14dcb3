"""What the workers of an ingest on Ray run: tasks that parse and cut documents, actors that embed and write rows.

    cut_documents   a batch of documents -> their new rows, one shard for each actor, and what the driver must know
    RowWriter       shards of rows -> vectors -> segments on the store; where an endpoint may refuse a text, all texts
                    of a batch become known before a row of it is written, so that only its document is left out

A row belongs to the shard that its text names, so equal texts meet in one actor, and each is embedded once. The row of
a document lies in the shard that its batch names; it may lie in another segment than the chunks it lists.
"""

from __future__ import annotations

import os
import pickle
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecver import pipeline
from vecver.cores import usable_cores
from vecver.errors import BackendError, InvalidInputError, NotFoundError
from vecver.flows.embedding import OpenEmbedder, may_refuse
from vecver.flows.ingesting.changes import memo_of
from vecver.flows.ingesting.chunking import Readable, chunked
from vecver.flows.ingesting.embedding_rows import NOT_EMBEDDED, EmbedCounts, RowEmbedding
from vecver.flows.ingesting.new_documents import new_document
from vecver.flows.ingesting.recipe import Preparation
from vecver.model import Coverage, Embedder, Failure, Json, Metric, Original, Recipe, TokenCounts, Vectors
from vecver.repo import Draft, NewChunks, NewRows, Versions, WrittenRows, keys_array
from vecver.store import StoreAddress
from vecver.version import __version__

Keys = npt.NDArray[np.uint8]  # (n, 16)
Mask = npt.NDArray[np.bool_]  # (n,)
EMBED_ROWS = 512  # looked up and written at once, and then durable
HERE = (".".join(platform.python_version_tuple()[:2]), __version__)


@dataclass(frozen=True)
class Setup:
    """How a worker comes to the repository and the embedder."""

    store: StoreAddress
    repository: str  # its id
    open_embedder: OpenEmbedder
    embedder: str | Json
    on_node: int  # actors that share the cores of a node


@dataclass(frozen=True)
class Plan:
    """How documents become rows."""

    setup: Setup
    recipe: Recipe
    passwords: tuple[str, ...]
    shards: int
    dry_run: bool


@dataclass(frozen=True)
class CutPart:
    """What the driver must know of a batch of documents; texts stay in Ray's object store."""

    documents: list[str]  # those that have rows
    read: int  # all
    failures: list[tuple[str, Failure, Json]]  # source, failure, `memo_of`
    memos: list[Json]  # of the documents; empty where no text of theirs may be refused
    coverage: dict[str, Coverage]
    longer: int
    ids: Keys  # of the documents
    owners: npt.NDArray[np.int64]  # the place of each chunk's document among these, `(n,)`
    keys: Keys  # of their chunks
    embedded: Keys  # digests of what is embedded of these
    sizes: list[int]  # bytes of each shard
    seconds: dict[str, float]

    def sound(self, refused: Mapping[bytes, str]) -> Mask:
        """Which documents have none of the texts that were refused, `(m,)`."""
        mask = np.ones(len(self.ids), bool)
        if refused:
            mask[self.owners[[name.tobytes() in refused for name in self.embedded]]] = False
        return mask

    def only(self, sound: Mask, refused: Mapping[bytes, str]) -> CutPart:
        """The part with its `sound` documents; the others, which have a text that was refused, are failures of it."""
        if sound.all():
            return self
        chunks = sound[self.owners]
        reasons: dict[int, str] = {}
        for name, owner in zip(self.embedded[~chunks], self.owners[~chunks].tolist(), strict=True):
            if reason := refused.get(name.tobytes()):
                reasons.setdefault(owner, reason)
        failed = [(self.memos[i], Failure(self.documents[i], NOT_EMBEDDED, reason)) for i, reason in reasons.items()]
        gone = {failure.document for _, failure in failed}
        return replace(
            self,
            documents=[document for document in self.documents if document not in gone],
            failures=[*self.failures, *((memo["source"], failure, memo) for memo, failure in failed)],
            memos=[memo for memo, kept in zip(self.memos, sound, strict=True) if kept],
            coverage={name: coverage for name, coverage in self.coverage.items() if name not in gone},
            ids=self.ids[sound],
            owners=(np.cumsum(sound) - 1)[self.owners[chunks]],
            keys=self.keys[chunks],
            embedded=self.embedded[chunks],
        )


@dataclass(frozen=True)
class Chosen:
    """Which rows of a shard are written; None: all."""

    documents: Mask | None
    chunks: Mask | None


@dataclass(frozen=True)
class Shard:
    """Rows for one actor. `texts`: what is embedded, one a chunk row."""

    documents: pa.Table | None
    chunks: pa.Table
    texts: list[str]


@dataclass(frozen=True)
class Written:
    """What an actor did in one call. `refused`: why an endpoint refused a text, by the digest of what is embedded."""

    counts: EmbedCounts
    seconds: dict[str, float]
    refused: Mapping[bytes, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Described:
    """An actor's embedder, as the driver must know it."""

    name: str
    dim: int
    metric: Metric
    max_tokens: int
    recipe: Json
    fingerprint: str
    environment: Json
    may_refuse: bool


def shard_of(embedded: Keys, shards: int) -> npt.NDArray[np.int64]:
    """The shard of each row, `(n,)`."""
    return (np.ascontiguousarray(embedded[:, :8]).view("<u8").reshape(-1) % np.uint64(shards)).astype(np.int64)


def check_versions(driver: tuple[str, str]) -> None:
    """Raises BackendError unless this worker runs the Python and the vecver of the driver."""
    if driver != HERE:
        raise BackendError(
            f"a worker runs Python {HERE[0]} with vecver {HERE[1]}, and this process Python {driver[0]} with "
            f"vecver {driver[1]}: they might make other rows",
            code="worker_version",
            hint="install the same Python and vecver here and on all nodes; nothing was changed",
            node=platform.node(),
        )


def use_cores(on_node: int) -> None:
    """Let a model in this actor use the cores that are its share, all of them if it is alone on the node.

    Ray sets OMP_NUM_THREADS to 1 in an actor that asks for no core, unless the node's own environment sets it. Takes
    effect before torch is imported.
    """
    if os.environ.get("OMP_NUM_THREADS") == "1":
        del os.environ["OMP_NUM_THREADS"]
        if on_node > 1:
            os.environ["OMP_NUM_THREADS"] = str(max(1, usable_cores() // on_node))


# -- tasks ----------------------------------------------------------------------------------------


def cut_documents(driver: tuple[str, str], plan: bytes, number: int, originals: list[Original]) -> tuple[Any, ...]:
    """(`CutPart`, `Shard` for each actor) of a batch of documents; `number` of the batch. `plan`: a pickled `Plan`.

    It is pickled, so that the versions are compared before anything of another version is read.
    """
    check_versions(driver)
    here = _loaded(plan)
    since = perf_counter()
    outcomes = list(
        pipeline.parse_all(originals, chunker=here.plan.recipe.chunker, passwords=here.plan.passwords, workers=1)
    )
    parsed = perf_counter()
    cut = chunked(outcomes, here.means)
    rows = NewRows.of([new_document(*readable, here.plan.recipe) for readable in cut.readable])
    shards = _shards(rows, cut.readable, here.plan.shards, number)
    part = CutPart(
        documents=rows.documents.column("document").to_pylist(),
        read=len(originals),
        failures=[(o.source, failure, memo_of(o, here.plan.recipe)) for o, failure in cut.failures],
        memos=[memo_of(o, here.plan.recipe) for o, *_ in cut.readable] if may_refuse(here.means.embedder) else [],
        coverage={o.document: p.coverage for o, p, _ in cut.readable if p.coverage},
        longer=cut.longer,
        ids=keys_array(rows.documents.column("id")),
        owners=np.repeat(np.arange(len(cut.readable)), [len(chunks) for *_, chunks in cut.readable]),
        keys=keys_array(rows.chunks.column("key")),
        embedded=keys_array(rows.chunks.column("embedded")),
        sizes=[_size(shard) for shard in shards],
        seconds={"parse": parsed - since, "chunk": perf_counter() - parsed},
    )
    return part, *shards


def _shards(rows: NewRows, readable: Sequence[Readable], count: int, number: int) -> list[Shard]:
    texts = [chunk.embedded for _, _, chunks in readable for chunk in chunks]
    places = shard_of(keys_array(rows.chunks.column("embedded")), count)
    shards = []
    for shard in range(count):
        (which,) = np.nonzero(places == shard)
        documents = rows.documents if shard == number % count and len(rows.documents) else None
        shards.append(Shard(documents, rows.chunks.take(pa.array(which)), [texts[i] for i in which]))
    return shards


def _size(shard: Shard) -> int:
    tables = shard.chunks.nbytes + (shard.documents.nbytes if shard.documents is not None else 0)
    return int(tables) + sum(map(len, shard.texts))


@dataclass(frozen=True)
class _Loaded:
    """A plan in this process, with the embedder that counts tokens."""

    plan: Plan
    means: Preparation


_kept: dict[bytes, _Loaded] = {}  # the last plan of this process


def _loaded(plan: bytes) -> _Loaded:
    if plan not in _kept:
        opened: Plan = pickle.loads(plan)
        _kept.clear()
        _kept[plan] = _Loaded(opened, _means(opened, opened.setup.open_embedder(opened.setup.embedder)))
    return _kept[plan]


def _means(plan: Plan, embedder: Embedder) -> Preparation:
    if embedder.fingerprint != plan.recipe.space.embedder:
        raise BackendError(
            f"a worker opens {embedder.name} as another embedder than the driver's: {embedder.fingerprint[:12]}, not "
            f"{plan.recipe.space.embedder[:12]}",
            code="worker_embedder",
            hint="put the same files of the model on all nodes; what was embedded is kept",
            node=platform.node(),
        )
    return Preparation(plan.recipe, lambda: embedder, lambda _: plan.recipe.chunker)


# -- actors ---------------------------------------------------------------------------------------


class RowWriter:
    """Embeds rows and writes them to segments of its own. Vectors are durable after each EMBED_ROWS."""

    _versions: Versions
    _embedder: Embedder
    _plan: Plan
    _draft: Draft
    _embedding: RowEmbedding

    def open(self, driver: tuple[str, str], setup: bytes) -> Described:
        """Open the repository and the embedder. Raises BackendError (another version; no repository) and as these."""
        check_versions(driver)
        opened: Setup = pickle.loads(setup)
        use_cores(opened.on_node)
        self._versions = _opened(opened)
        e = self._embedder = opened.open_embedder(opened.embedder)
        refuses = may_refuse(e)
        return Described(e.name, e.dim, e.metric, e.max_tokens, e.recipe, e.fingerprint, e.environment, refuses)

    def environment(self) -> Json:
        """That of the embedder, which may be known better once it has embedded."""
        return self._embedder.environment

    def begin(self, driver: tuple[str, str], setup: bytes, plan: Plan) -> None:
        """Get ready to write rows. Raises as `open`, BackendError (the embedder is another one here)."""
        if not hasattr(self, "_embedder"):
            self.open(driver, setup)
        self._plan = plan
        self._draft = self._versions.draft(None, plan.recipe.space, dry=plan.dry_run)
        self._embedding = RowEmbedding(self._draft, _means(plan, self._embedder))

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        return self._embedder.count_tokens(texts)

    def token_counts(self, texts: Sequence[str]) -> TokenCounts:
        return self._embedder.token_counts(texts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self._embedder.embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._embedder.embed_queries(texts)

    def make_known(self, _: Sequence[Chosen], *shards: Shard) -> Written:
        """Embed the texts of these shards that an endpoint does not refuse; `write` then finds their vectors."""
        texts, since = dict[bytes, tuple[str, str]](), perf_counter()
        for shard in shards:
            names, documents = (shard.chunks.column(name).to_pylist() for name in ("embedded", "document"))
            texts.update(zip(names, zip(shard.texts, documents, strict=True), strict=True))
        refused, rows = dict[bytes, str](), iter(texts.items())
        while some := dict(islice(rows, EMBED_ROWS)):
            try:
                refused |= self._embedding.refused(some)
            finally:
                self._draft.seal()
        return Written(self._embedding.taken(), {"embed": perf_counter() - since}, refused)

    def write(self, chosen: Sequence[Chosen], *shards: Shard) -> Written:
        """Write the rows of these shards; of a dry run, count what that would embed."""
        tables, texts = list[pa.Table](), list[str]()
        for which, shard in zip(chosen, shards, strict=True):
            tables.append(_filtered(shard.chunks, which.chunks))
            texts += shard.texts if which.chunks is None else [shard.texts[i] for i in np.flatnonzero(which.chunks)]
        rows = pa.concat_tables(tables)
        new = NewChunks(rows, np.arange(len(rows)))
        if self._plan.dry_run:
            return Written(self._planned(new, texts), {})
        for which, shard in zip(chosen, shards, strict=True):
            if shard.documents is not None:
                self._draft.stage(NewRows(_filtered(shard.documents, which.documents), rows.slice(0, 0)))
        seconds = self._write(new, texts)
        return Written(self._embedding.taken(), seconds)

    def hand_over(self) -> list[WrittenRows]:
        """Make what was written durable; the segments. Only now may the shards be forgotten."""
        return self._draft.hand_over()

    def _write(self, new: NewChunks, texts: Sequence[str]) -> dict[str, float]:
        """Write rows with their vectors; seconds by phase."""
        documents, seconds = new.table.column("document").to_pylist(), {"embed": 0.0, "write": 0.0}
        for start in range(0, len(new), EMBED_ROWS):
            rows, since = new.slice(start, EMBED_ROWS), perf_counter()
            try:
                vectors = self._embedding.vectors(rows, texts, documents)
            finally:
                self._draft.seal()
            made = perf_counter()
            self._draft.add(rows, vectors)
            seconds["embed"] += made - since
            seconds["write"] += perf_counter() - made
        return seconds

    def _planned(self, new: NewChunks, texts: Sequence[str]) -> EmbedCounts:
        names, documents = (new.table.column(name).to_pylist() for name in ("embedded", "document"))
        self._embedding.plan(dict(zip(names, zip(texts, documents, strict=True), strict=True)))
        counts = self._embedding.taken()
        return replace(counts, reused=len(new) - counts.embedded)


def _filtered(rows: pa.Table, which: Mask | None) -> pa.Table:
    return rows if which is None else rows.filter(pa.array(which))


def _opened(setup: Setup) -> Versions:
    """The repository, as this worker sees it. Raises BackendError where it sees none, or another one."""
    url, node = setup.store.url, platform.node()
    advice = "keep the repository on a disk that all nodes share, under the same path, or in a bucket"
    try:
        versions = Versions(setup.store.open())
        if versions.id != setup.repository:
            raise _no_repository(f"the worker on {node} finds another repository at {url}", advice, node)
        versions.check_writable()
    except NotFoundError as error:
        raise _no_repository(f"the worker on {node} finds no repository at {url}", advice, node) from error
    except (BackendError, InvalidInputError) as error:
        if error.code == "worker_no_store":
            raise
        message = f"the worker on {node} cannot use the repository at {url}: {error.message}"
        raise _no_repository(message, f"{error.hint}; {advice}", node) from error
    return versions


def _no_repository(message: str, hint: str, node: str) -> BackendError:
    return BackendError(message, code="worker_no_store", hint=f"{hint}; nothing was changed", node=node)
