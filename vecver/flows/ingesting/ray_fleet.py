"""An ingest on Ray, seen from its driver: batches of documents go out, counts and finished segments come back.

    open       the first actor opens the embedder and says what it is; the driver never loads a model
    outcomes   documents -> tasks that cut -> `accept` says which rows are new -> actors that embed and write
               where an endpoint may refuse texts, actors embed them before `accept`, which gets the sound documents

The driver holds names and digests. A document's bytes pass through it when its digest is compared, and texts stay in
Ray's object store: at most IN_FLIGHT bytes of documents wait for a task, and `pipeline.ray.crew` bounds the rest. Ray
keeps an object of less than 100 kB in the memory of the process that asked for it, here until it is handed over. Shards
of PART_DOCUMENTS are larger, but for documents of a line: 0.5 kB each up to 100,000 (benchmarks/scale_ray.py).

Decisions
1. What is embedded twice was in flight: an actor makes vectors durable after each EMBED_ROWS. So after a kill of
   anything, in this run or the next, at most so many texts an actor are embedded again.
2. If the driver is killed, Ray ends its workers. The next run parses what was not committed again, which is cheap
   beside embedding, and finds its vectors.
3. One ingest of a source at a time runs on Ray: a second would pay for the same vectors. It is refused while the first
   one lives; what the first one does is then found done.
4. Batches are accepted in the order of the documents, so failures are listed as in a local ingest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from vecver import pipeline
from vecver.digest import digest_json
from vecver.errors import ConflictError, InvalidInputError
from vecver.flows.embedding import OpenEmbedder
from vecver.flows.ingesting.changes import grouped, size_of
from vecver.flows.ingesting.embedding_rows import EmbedCounts
from vecver.flows.ingesting.ray_workers import (
    HERE,
    Chosen,
    CutPart,
    Described,
    Mask,
    Plan,
    RowWriter,
    Setup,
    Written,
    cut_documents,
    shard_of,
)
from vecver.flows.unseen import Unseen
from vecver.model import Json, Original, Recipe, TokenCounts, Vectors
from vecver.progress import step
from vecver.repo import Versions, WrittenRows
from vecver.store import address_of

if TYPE_CHECKING:
    from vecver.flows.ingesting.recipe import Options
    from vecver.flows.ingesting.sources import Source

Accept = Callable[[CutPart], npt.NDArray[np.bool_]]

PART_DOCUMENTS: Final = 256  # of a batch, for each actor
MOST_DOCUMENTS: Final = 8192
PART_BYTES: Final = 1 << 20  # likewise
MOST_BYTES: Final = 16 << 20
IN_FLIGHT: Final = 256 << 20  # bytes of documents that wait for a task or are in one


@dataclass
class Progressed:
    """What was done since the last one. `unseen`: of documents all of whose rows were counted."""

    counts: EmbedCounts = field(default_factory=EmbedCounts)
    seconds: dict[str, float] = field(default_factory=dict)
    written: Sequence[WrittenRows] = ()


@contextmanager
def fleet_on(
    place: str, versions: Versions, dataset: str, sources: Sequence[Source], options: Options, opener: OpenEmbedder
) -> Iterator[Fleet]:
    """A fleet on the cluster at `place`, for one ingest.

    Raises as `connected`, InvalidInputError (a repository in memory), ConflictError (another process does the same).
    """
    pipeline.ray.check_place(place)
    setup = Setup(address_of(versions.store), versions.id, opener, "", on_node=1)
    with ExitStack() as stack:
        if not options.dry_run:
            for label in sorted({source.label for source in sources}):
                stack.enter_context(_alone(versions, dataset, options.branch, label))
        yield Fleet(stack, place, setup, options.workers)


@contextmanager
def _alone(versions: Versions, dataset: str, branch: str, label: str) -> Iterator[None]:
    """Hold the source; it is let go when this process ends, however it ends."""
    name = f"ingest-{digest_json([versions.key(dataset), branch, label])[:32]}"
    with ExitStack() as stack:
        try:
            stack.enter_context(versions.store.lock(name, 0))
        except ConflictError as error:
            if error.code != "locked":
                raise
            raise ConflictError(
                f"another process is ingesting the source {label!r} into {dataset}@{branch} on Ray",
                code="source_busy",
                hint="wait until it has finished: what it commits need not be ingested again; nothing was changed",
                source=label,
            ) from error
        yield


@dataclass(eq=False)
class _Part:
    """A batch that was cut, and how many of its pieces an actor has still to do."""

    cutting: _Cutting
    cut: CutPart
    left: int = 0
    unseen: Unseen = field(default_factory=Unseen)
    refused: dict[bytes, str] = field(default_factory=dict)

    def seats_of(self, seats: int) -> Iterator[tuple[int, Any, Mask, bool]]:
        """Of each seat: its number, its shard, which chunks are in it, `(n,)`, and whether the documents are."""
        places, home = shard_of(self.cut.embedded, seats), self.cutting.number % seats
        for seat, ref in enumerate(self.cutting.refs[1:]):
            yield seat, ref, places == seat, seat == home


@dataclass(frozen=True)
class _Cutting:
    """A task that cuts a batch. `refs`: to its `CutPart` and its shards."""

    number: int
    refs: list[Any]
    size: int  # bytes of the documents


class Fleet:
    """The workers of one ingest. They start with the first document that must be read, so none if nothing changed."""

    def __init__(self, stack: ExitStack, place: str, setup: Setup, workers: int | None) -> None:
        """`stack`: at its end the workers are ended, and the connection to Ray that was made for them."""
        self._stack, self._place = stack, place
        self._setup = setup
        self._workers = workers
        self._seats = 0
        self._cluster: pipeline.ray.Cluster
        self._actors: dict[int, Any] = {}  # that opened the embedder, and do not sit in their seats yet
        self._crew: pipeline.ray.Crew | None = None
        self._cutting: deque[_Cutting] = deque()
        self._unaccepted: deque[_Part] = deque()  # whose texts are being embedded
        self._parts: dict[str, _Part] = {}  # by document; those that are not embedded yet
        self._embedder: FleetEmbedder | None = None
        self._may_refuse = False

    # -- the embedder -----------------------------------------------------------------------------

    def open_embedder(self, spec: str | Json) -> FleetEmbedder:
        """Start the workers, and open the embedder in the first one.

        The others then open it by its recipe: an endpoint is asked once what it is, and may not change meanwhile.

        Raises as `pipeline.ray.connected`, what the first one raises, InvalidInputError (the embedder cannot travel).
        """
        with step("connecting to Ray"):
            self._cluster = self._stack.enter_context(pipeline.ray.connected(self._place))
        self._stack.callback(self._end_workers)
        self._seats = self._workers or self._cluster.gpus or self._cluster.nodes
        self._setup = replace(self._setup, on_node=-(-self._seats // self._cluster.nodes))
        setup = _pickled(replace(self._setup, embedder=spec))
        with step(f"starting {self._seats} workers on Ray"):
            self._actors = {number: self._new_actor() for number in range(self._seats)}
            known: Described = _got(self._actors[0].open.remote(HERE, setup))
            self._setup = replace(self._setup, embedder=known.recipe)
            self._embedder, self._may_refuse = FleetEmbedder(self._actors[0], known), known.may_refuse
        return self._embedder

    def _new_actor(self) -> Any:
        import ray

        share = min(1.0, self._cluster.gpus / self._seats)  # several actors may share a GPU
        options = {"num_cpus": 0, "num_gpus": share if share else 0, "max_restarts": 0}
        return ray.remote(RowWriter).options(scheduling_strategy="SPREAD", **options).remote()

    # -- documents ----------------------------------------------------------------------------------

    def outcomes(
        self, documents: Iterable[Original], recipe: Recipe, options: Options, accept: Accept
    ) -> Iterator[Progressed]:
        """Cut, embed and write documents. `accept` gets each `CutPart`, and says which of its rows are new, `(n,)`.

        Raises what a worker raises, BackendError (too many workers are lost).
        """
        import ray

        plan = Plan(self._setup, recipe, options.passwords, self._seats, options.dry_run)
        crew, batches = self._begin(plan), _batches(documents, self._seats)
        packed, number, more = ray.put(_pickled(plan)), 0, True
        while True:
            while more and self._may_read(crew):
                batch = next(batches, None)
                if batch is None:
                    more = False
                else:
                    self._cutting.append(self._cut(packed, number, batch))
                    number += 1
            is_last = not more and not self._cutting
            waiting = crew.start(is_last=is_last, ends=is_last and not self._unaccepted)
            if self._cutting and not crew.is_full:
                waiting.append(self._cutting[0].refs[0])
            if not waiting:
                break
            ready = ray.wait(waiting, num_returns=1)[0][0]
            if self._cutting and ready == self._cutting[0].refs[0]:
                yield from self._cut_one(crew, accept, options)
            elif done := crew.finish(ready):
                yield from self._finished(done)
                while self._unaccepted and not self._unaccepted[0].left:
                    yield from self._accepted(crew, accept, self._unaccepted.popleft())
        if self._embedder:
            self._embedder.refresh(crew.actors[0])

    def _begin(self, plan: Plan) -> pipeline.ray.Crew:
        setup = _pickled(plan.setup)

        def make(number: int) -> tuple[Any, Any]:
            actor = self._actors.pop(number, None) or self._new_actor()
            return actor, actor.begin.remote(HERE, setup, plan)

        self._crew = pipeline.ray.Crew(make, self._seats)
        return self._crew

    def _may_read(self, crew: pipeline.ray.Crew) -> bool:
        if crew.is_full:
            return False
        room = len(self._cutting) < 2 * self._cluster.cpus + 2
        return not self._cutting or (room and sum(cutting.size for cutting in self._cutting) < IN_FLIGHT)

    def _cut(self, plan: Any, number: int, batch: list[Original]) -> _Cutting:
        import ray

        task = ray.remote(cut_documents).options(num_returns=1 + self._seats, num_cpus=1)
        return _Cutting(number, task.remote(HERE, plan, number, batch), sum(map(size_of, batch)))

    def _cut_one(self, crew: pipeline.ray.Crew, accept: Accept, options: Options) -> Iterator[Progressed]:
        """Take the oldest batch that was cut."""
        cutting = self._cutting.popleft()
        part = _Part(cutting, _got(cutting.refs[0]))
        self._parts.update(dict.fromkeys(part.cut.documents, part))
        yield Progressed(seconds=part.cut.seconds)
        if self._may_refuse and not options.dry_run:
            self._make_known(crew, part)
        else:
            yield from self._accepted(crew, accept, part)

    def _make_known(self, crew: pipeline.ray.Crew, part: _Part) -> None:
        """Let the texts of a batch wait for their actors."""
        for seat, ref, here, _ in part.seats_of(self._seats):
            if rows := int(here.sum()):
                crew.add(seat, pipeline.ray.Piece(ref, rows, part.cut.sizes[seat], None, part, method="make_known"))
                part.left += 1
        self._unaccepted.append(part)

    def _accepted(self, crew: pipeline.ray.Crew, accept: Accept, part: _Part) -> Iterator[Progressed]:
        """Let the new rows of a batch wait for their actors."""
        sound = part.cut.sound(part.refused)
        new = np.zeros(len(part.cut.keys), bool)
        new[sound[part.cut.owners]] = accept(part.cut.only(sound, part.refused))
        documents = int(sound.sum())
        for seat, ref, here, has_documents in part.seats_of(self._seats):
            if rows := int(new[here].sum()) + documents * has_documents:
                chosen = Chosen(None if sound.all() else sound, None if new[here].all() else new[here])
                crew.add(seat, pipeline.ray.Piece(ref, rows, part.cut.sizes[seat], chosen, part))
                part.left += 1
        if not part.left:
            yield from self._settled(part)

    def _finished(self, done: pipeline.ray.Done) -> Iterator[Progressed]:
        """What an actor did in a call."""
        if done.handed_over:
            yield Progressed(written=done.result)
        if not isinstance(done.result, Written):
            return
        counts = done.result.counts
        for document, sums in counts.unseen.sums.items():
            if part := self._parts.get(document):
                part.unseen.sums[document] = part.unseen.sums.get(document, 0) + sums
        if done.pieces:
            yield Progressed(replace(counts, unseen=Unseen()), done.result.seconds)
        for piece in done.pieces:
            part, piece.owner = piece.owner, None  # the piece stays until it is handed over
            part.left -= 1
            part.refused.update(done.result.refused)
            if not part.left and piece.method == pipeline.ray.WRITE:
                yield from self._settled(part)

    def _settled(self, part: _Part) -> Iterator[Progressed]:
        """A batch is done: what is known of its documents."""
        for document in part.cut.documents:
            del self._parts[document]
        yield Progressed(EmbedCounts(unseen=part.unseen))

    def _end_workers(self) -> None:
        """End the workers, whatever they do."""
        import ray

        for cutting in self._cutting:
            with suppress(Exception):  # Ray raises what it likes where the cluster is gone
                ray.cancel(cutting.refs[0], force=True)
        for actor in self._actors.values():
            pipeline.ray.kill(actor)
        if self._crew:
            self._crew.close()


class FleetEmbedder:
    """The embedder of the workers: it is known here, and works there."""

    at_once = 1

    def __init__(self, actor: Any, described: Described) -> None:
        self._actor = actor
        self.name, self.dim, self.metric = described.name, described.dim, described.metric
        self.max_tokens, self.recipe = described.max_tokens, described.recipe
        self.fingerprint, self.environment = described.fingerprint, described.environment

    def refresh(self, actor: Any) -> None:
        """Take over what is known of the environment once something was embedded."""
        self._actor = actor
        self.environment = _got(actor.environment.remote())

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        counts: npt.NDArray[np.int64] = _got(self._actor.count_tokens.remote(list(texts)))
        return counts

    def token_counts(self, texts: Sequence[str]) -> TokenCounts:
        counts: TokenCounts = _got(self._actor.token_counts.remote(list(texts)))
        return counts

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = _got(self._actor.embed.remote(list(texts)))
        return vectors

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = _got(self._actor.embed_queries.remote(list(texts)))
        return vectors


def _batches(documents: Iterable[Original], seats: int) -> Iterator[list[Original]]:
    """Batches large enough that each actor gets some rows of each."""
    return grouped(
        documents, size_of, min(MOST_DOCUMENTS, PART_DOCUMENTS * max(2, seats)), min(MOST_BYTES, PART_BYTES * seats)
    )


def _got(ref: Any) -> Any:
    """The value of a reference. Raises what the worker raised."""
    import ray

    try:
        return ray.get(ref)
    except ray.exceptions.RayError as error:
        raise pipeline.ray.translated(error) from error


def _pickled(value: Any) -> bytes:
    """A value for the workers. Raises InvalidInputError if it holds what cannot travel, such as an open connection."""
    from ray import cloudpickle

    try:
        content: bytes = cloudpickle.dumps(value)
    except Exception as error:  # a caller's object may raise anything
        raise InvalidInputError(
            f"the embedder cannot be sent to the workers: {type(error).__name__}: {error}",
            code="not_sendable",
            hint="an object of your own must be picklable: open connections and models in its first call, not before",
        ) from error
    return content
