"""How an ingest turns documents into vectors: as its options say, else as the parent version did, else the default."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from vecver import index, pipeline
from vecver.errors import InvalidInputError, SpaceMismatchError, say
from vecver.flows.embedding import OpenEmbedder, is_given
from vecver.model import Embedder, Failure, Json, Metric, Original, Recipe, Records, Space, Unread

Stream = Iterator[Original | Failure | Records | Unread]


@dataclass(frozen=True)
class Options:
    """How to ingest. None: as the parent version did, else the default."""

    message: str = ""
    branch: str = "main"
    embedder: str | Json | None = None  # named, or by its recipe
    space: str | None = None  # the records bring vectors, in the space of this name
    metric: Metric | None = None  # of a new space of vectors that records bring; default: cosine
    chunker: str | None = None
    chunk_tokens: int | None = None
    language: str | None = None  # of keyword search; None: as the parent version, else English
    passwords: tuple[str, ...] = ()
    dry_run: bool = False
    keep_missing: bool = False
    allow_removals: bool = False  # of any number of documents
    strict: bool = False
    workers: int | None = None  # processes that parse, None: 2; on Ray: that embed, None: one a GPU, else one a node
    on: str | None = None  # where documents are read and embedded: see `pipeline.ray`; None: here
    job: str = ""  # the caller's id of this run
    origin: Json | None = None  # of all sources; None: look it up; {}: they have none
    adds: bool = False  # an upsert: documents are added or replaced, and none is removed
    expected: str | None = None  # commit id on which the branch must stand, "absent" for a new dataset; None: any

    def say_how(self) -> bool:
        """True if one of the options says how documents become vectors."""
        return any(option is not None for option in (self.embedder, self.space, self.chunker, self.chunk_tokens))


class Preparation:
    """A recipe and its embedder, which is loaded when something must be counted or embedded."""

    def __init__(
        self, recipe: Recipe | None, open_embedder: Callable[[], Embedder], chunker: Callable[[int], Json]
    ) -> None:
        self._known, self._open, self._chunker = recipe, open_embedder, chunker
        self._loaded: Embedder | None = None

    @property
    def embedder(self) -> Embedder:
        """The embedder, which is loaded the first time."""
        if self._loaded is None:
            embedder = self._open()
            index.check_metric(embedder.metric)
            self._loaded = embedder
        return self._loaded

    @property
    def environment(self) -> Json:
        """What the vectors of this ingest depend on beside their recipe; nothing where no embedder was loaded."""
        return {} if self._loaded is None else self._loaded.environment

    @cached_property
    def recipe(self) -> Recipe:
        if self._known:
            return self._known
        embedder = self.embedder
        space = Space(embedder.fingerprint, embedder.dim, embedder.metric)
        return Recipe(self._chunker(embedder.max_tokens), embedder.recipe, space)

    def load(self) -> None:
        """Load the embedder, unless vectors are given."""
        if not is_given(self.recipe):
            _ = self.embedder


def prepare(
    old: Recipe | None, streams: list[Stream], options: Options, open_embedder: OpenEmbedder
) -> tuple[list[Stream], Preparation]:
    """The streams (of which the first record is read if vectors are given) and how to prepare their documents.

    Raises InvalidInputError for options that contradict each other or the first record.
    """
    kept = old.embedder["name"] if old and is_given(old) and not options.embedder else None
    name = kept if options.space is None else options.space
    _check(options, old, name)
    if name is None:
        return streams, _embedding(old, options, open_embedder)
    if options.embedder or options.chunker or options.chunk_tokens is not None:
        raise InvalidInputError(
            "records that bring their own vectors are neither chunked nor embedded",
            code="conflicting_options",
            hint=say(
                "leave out embedder= and chunker=, or space=", cli="leave out --embedder and --chunker, or --space"
            ),
        )
    if old and is_given(old) and old.embedder["name"] == name:
        return streams, Preparation(old, _no_embedder, lambda _: old.chunker)
    dim, streams = _dimension(streams)
    metric = options.metric or "cosine"
    index.check_metric(metric)
    recipe = Recipe({"name": "given"}, {"name": name, "given": True}, Space(f"given:{name}", dim, metric))
    return streams, Preparation(recipe, _no_embedder, lambda _: recipe.chunker)


def _embedding(old: Recipe | None, options: Options, open_embedder: OpenEmbedder) -> Preparation:
    old = None if old and is_given(old) else old
    asked = options.embedder and pipeline.continued(options.embedder, old.embedder if old else None)
    spec: str | Json = asked or (old.embedder if old else pipeline.DEFAULT_EMBEDDER)
    rechunked = options.chunker is not None or options.chunk_tokens is not None

    def chunker(limit: int) -> Json:
        if old and not rechunked and old.chunker.get("max_tokens", 0) <= limit:
            return old.chunker  # else the new embedder would cut these chunks off: its own size is taken
        name = options.chunker or (old.chunker["name"] if old else pipeline.DEFAULT_CHUNKER)
        return pipeline.chunker_recipe(name, tokens=options.chunk_tokens, max_tokens=limit)

    known = None if options.embedder or rechunked else old
    return Preparation(known, lambda: open_embedder(spec), chunker)


def _check(options: Options, old: Recipe | None, space: str | None) -> None:
    """Raises InvalidInputError for an option that cannot be honoured."""
    if options.space is not None and not options.space.strip():
        raise InvalidInputError(
            "the space has no name", code="invalid_space", hint=say('name it: space="NAME"', cli="write --space NAME")
        )
    known = old and is_given(old) and old.embedder["name"] == space
    if options.metric and (space is None or (old and known and old.space.metric != options.metric)):
        raise InvalidInputError(
            f"the metric {options.metric!r} cannot be chosen here: an embedder or an existing space has its own",
            code="conflicting_options",
            hint=say(
                "metric= goes with the first ingest into a new space=",
                cli="--metric goes with the first ingest into a new --space",
            ),
        )


def _dimension(streams: list[Stream]) -> tuple[int, list[Stream]]:
    """The dimension of the first record's vector, and the streams with that record still in them."""
    for number, stream in enumerate(streams):
        seen: list[Original | Failure | Records | Unread] = []
        for item in stream:
            seen.append(item)
            if not isinstance(item, Failure):
                document, dim = _first_vector(item)
                if not dim:
                    raise InvalidInputError(
                        f"the record {document!r} brings no vector",
                        code="no_vector",
                        hint=say(
                            "space= names the space of vectors that records bring; leave it out to embed texts",
                            cli="--space names the space of vectors that records bring; leave it out to embed texts",
                        ),
                        document=document,
                    )
                return dim, [*streams[:number], chain(seen, stream), *streams[number + 1 :]]
        streams[number] = iter(seen)
    return 0, streams


def _first_vector(item: Original | Records | Unread) -> tuple[str, int]:
    """(the first document, the dimension of its vector, 0 if it brings none)."""
    if isinstance(item, Unread):
        return item.document, 0
    if isinstance(item, Records):
        return item.documents[0].as_py(), item.dim
    return item.document, 0 if item.vector is None else len(item.vector)


def _no_embedder() -> Embedder:
    raise SpaceMismatchError(
        "this dataset's vectors were given, not embedded", code="needs_vector", hint="bring a vector with each record"
    )
