"""What callers pass to the handles: revisions, queries, sources, engines. Checks each once and puts it in one form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from os.path import abspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict, get_args

from vecver import flows, pipeline, repo
from vecver.errors import InvalidInputError, say
from vecver.near import near

if TYPE_CHECKING:
    import numpy as np

    from vecver.model import Commit, Json, Merge, Replay, Report, Reranker

Revision: TypeAlias = "str | Report | Commit | Merge"
Kind = Literal["branch", "tag", "alias"]
Engine = Literal["faiss", "milvus"]
_ENGINES = get_args(Engine)
Row = str | Mapping[str, Any] | Any  # of `upsert`: a text, a dict; or what a table is iterated into


# What `search` takes: one query, or several. (In quotes: numpy takes 0.1 s to import.)
OneQuery: TypeAlias = "str | np.ndarray[tuple[int], np.dtype[Any]] | Sequence[float] | flows.TextAndVector"
_Matrix: TypeAlias = "np.ndarray[tuple[int, int], np.dtype[Any]]"
_Arrays: TypeAlias = "Sequence[np.ndarray[Any, np.dtype[Any]]] | Sequence[Sequence[float]] | list[flows.TextAndVector]"
Queries: TypeAlias = "list[str] | tuple[str, ...] | _Matrix | _Arrays"


class AskingOne(TypedDict, total=False):
    """The options of `Snapshot.search` and `more_like`."""

    k: int
    exact: bool
    filter: Json | None
    context: int
    space: str | None
    vectors: bool
    diversity: float | None
    per_document: int | None
    min_score: float | None
    offset: int
    missing: flows.Missing
    mode: flows.Mode
    weight: float | None
    fusion: flows.Fusion | None
    reranker: str | Reranker | None
    rerank_top: int | None


class Asking(AskingOne, total=False):
    """The options of `Dataset.search` and `more_like`: those, the version and the engine."""

    at: Revision
    engine: Engine


class Mixing(TypedDict, total=False):
    """By what chunks are ranked; see `Dataset.search`."""

    mode: flows.Mode
    weight: float | None
    fusion: flows.Fusion | None


class Through(Mixing, total=False):
    """How questions are asked that measure a version; see `Dataset.search`."""

    exact: bool
    engine: Engine


class Reranking(TypedDict, total=False):
    """What orders the hits at last; see `Dataset.search`."""

    reranker: str | Reranker | None
    rerank_top: int | None


class ByQuestions(TypedDict):
    """What a measurement cannot do without."""

    questions: flows.Questions


class Measuring(ByQuestions, Through, Reranking, total=False):
    """The options of `Dataset.eval` and `compare`; see `eval`."""

    measures: Iterable[str] | str | None
    qrels: str | PathLike[str] | None
    progress: flows.Progress | None


class HistoryOptions(Through, Reranking, total=False):
    """The options of `Dataset.measure_history`."""

    measures: Iterable[str] | str | None
    questions: flows.Questions | None
    qrels: str | PathLike[str] | None
    limit: int | None


class PromoteOptions(Through, total=False):
    """The options of `Dataset.promote`."""

    expected: str | None
    gates: Sequence[str]
    questions: flows.Questions | None
    override: str | None
    progress: flows.Progress | None


class BisectOptions(Mixing, total=False):
    """The options of `Dataset.bisect`."""

    query: flows.Query | None
    expect: str | None
    contains: str | None
    k: int
    filter: Json | None
    questions: flows.Questions | None
    gate: str | None
    exact: bool
    progress: flows.Progress | None


def check_options(call: str, options: Any, given: Mapping[str, Any]) -> None:
    """Raises TypeError, as a call with named arguments does: a name that is none of a TypedDict's, or one missing."""
    if unknown := sorted(given.keys() - (options.__required_keys__ | options.__optional_keys__)):
        raise TypeError(f"{call}() got an unexpected keyword argument {unknown[0]!r}")
    if missing := sorted(options.__required_keys__ - given.keys()):
        raise TypeError(f"{call}() missing a required keyword argument: {missing[0]!r}")


def engine_of(given: Mapping[str, Any], open_milvus: Callable[[], flows.OpenMilvus] | None = None) -> flows.EvalEngine:
    """How these options ask questions that measure a version; other options are passed over.

    Raises InvalidInputError for one of `Through` or `Reranking` that is wrong or does not fit the others.
    """
    names = Through.__optional_keys__ | Reranking.__optional_keys__
    check_engine(given.get("engine", "faiss"))
    asked = flows.Question.of(["a question"], **{name: value for name, value in given.items() if name in names})
    how = {name: getattr(asked, name) for name in ("exact", "mode", "weight", "fusion", "reranker", "rerank_top")}
    return flows.EvalEngine(asked.engine, open_milvus=open_milvus, **how)


def sources_of(
    source: Any, label: str | None, prefix: str, records: bool | None, *, shared: bool = False
) -> list[flows.Source]:
    """One `Source` a path. A list of paths is several sources, each under its own name, or a `shared` label.

    Raises InvalidInputError (one label for several sources).
    """
    several = isinstance(source, list | tuple) and source and all(isinstance(path, str | PathLike) for path in source)
    values = [pipeline.as_source(value) for value in (source if several else [source])]
    if label and len(values) > 1 and not shared:
        raise InvalidInputError(
            "one label cannot name several sources", code="conflicting_options", hint="ingest them one by one"
        )
    return [
        flows.Source(value, pipeline.label_of(value, label), prefix, records, label is not None) for value in values
    ]


def tagged_of(tags: dict[str, str], load: Callable[[str], Commit]) -> Iterator[tuple[Commit, list[str]]]:
    """The versions of these tags (name -> commit id), parents before children."""
    names: dict[str, list[str]] = {}
    for name, id in tags.items():
        names.setdefault(id, []).append(name)
    heads = sorted(map(load, names), key=lambda commit: (commit.time, commit.id))
    for commit in repo.parents_first([head.id for head in heads], load):
        if commit.id in names:
            yield commit, names[commit.id]


def check_kind(kind: str) -> None:
    """Raises InvalidInputError unless this is a kind of ref."""
    if kind not in repo.KINDS:
        raise InvalidInputError(
            f"no kind of ref is called {kind!r}",
            code="invalid_kind",
            hint="branch, tag or alias",
            did_you_mean=near(kind, repo.KINDS),
        )


def check_no_ref(ids: Any, refused: Sequence[Any]) -> None:
    """Raises InvalidInputError for the old call `delete(kind, name)`, which removed a branch, tag or alias."""
    if refused:
        ref = ids if ids in repo.KINDS else "branch"
        raise InvalidInputError(
            "delete takes documents: one id, or a list of ids; nothing was deleted",
            code="invalid_ids",
            hint=f'a {ref} goes with docs.delete_{ref}({refused[0]!r}); documents with docs.delete(["a.md", "b.md"])',
        )


def check_engine(engine: str) -> None:
    """Raises InvalidInputError unless this is a search engine."""
    if engine not in _ENGINES:
        raise InvalidInputError(
            f"no search engine is called {engine!r}",
            code="unknown_engine",
            hint="use faiss or milvus",
            did_you_mean=near(engine, get_args(Engine)),
        )


def text_of(revision: Revision) -> str:
    """A revision as its string; a `Report`, `Merge` or `Commit` stands for its commit id."""
    if isinstance(revision, str):
        return revision
    from vecver.model import Commit, Merge, Report

    if isinstance(revision, Report | Merge) and revision.commit:
        return revision.commit
    if isinstance(revision, Commit):
        return revision.id
    return revision  # type: ignore[return-value]


def embedder_name(embedder: Any) -> str | None:
    """The name of an embedder for a service. Raises InvalidInputError for an object, which cannot be sent."""
    if embedder is not None and not isinstance(embedder, str):
        raise InvalidInputError(
            f"an embedder object ({type(embedder).__name__}) cannot travel to a service",
            code="embedder_not_named",
            hint="name one that the service can open, or embed here and send each row with its vector and space=NAME",
        )
    return embedder


def absolute(folder: str | PathLike[str]) -> Path:
    """The absolute path, without `~`, `.` and `..`."""
    return Path(abspath(Path(folder).expanduser()))


def question_of(query: Any, **how: Any) -> flows.Question:
    """The question of a search. `query`: a text, a vector, both, or a list of these; `how`: the options of `Asking`."""
    return _question(list(query) if is_batch(query) else [query], **how)


def like_question_of(like: Any, **how: Any) -> flows.Question:
    """What `more_like` asks. `like`: a document's id, a chunk's key, or a hit, whose chunk is meant.

    Raises InvalidInputError (no id and no key).
    """
    from vecver.model import Hit

    name = like.key if isinstance(like, Hit) else like
    if not isinstance(name, str) or not name:
        raise InvalidInputError(
            f"{name!r} is neither a document's id nor a chunk's key",
            code="invalid_document",
            hint="name a document by its id, or a chunk by the key of its hit",
        )
    return _question([], like=name, **how)


def _question(queries: list[Any], **how: Any) -> flows.Question:
    check_engine(how.get("engine", "faiss"))
    if "at" in how:
        how["at"] = text_of(how["at"])
    return flows.Question.of(queries, **how)


def is_batch(query: Any) -> bool:
    """True for several queries, False for one text or vector."""
    import numpy as np

    if isinstance(query, str):
        return False
    if isinstance(query, np.ndarray):
        return query.ndim == 2
    return isinstance(query, list | tuple) and bool(query) and not isinstance(query[0], int | float | np.number)


def check_promotion(how: PromoteOptions) -> None:
    """Raises TypeError, InvalidInputError for options of `promote` that are wrong, or that no gate would use."""
    check_options("promote", PromoteOptions, how)
    engine = engine_of(how)
    mode = None if engine.mode == "dense" else engine.mode
    flows.check_with_gates(how.get("gates") or None, mode=mode, weight=engine.weight, fusion=engine.fusion)


class CanReplay(Protocol):
    """What can recompute an answer: a repository in a folder or behind a service, an exported version."""

    def replay(self, receipt: Json) -> Replay: ...


def replay(repository: CanReplay, receipt: Json | str | PathLike[str]) -> Replay:
    """Recompute an answer from its receipt (a value, or the path of a JSON file) and this alone.

    Raises InvalidInputError (no receipt), NotFoundError (its dataset or commit is not there).
    """
    return repository.replay(_receipt_of(receipt))


def _receipt_of(receipt: Json | str | PathLike[str]) -> Json:
    if isinstance(receipt, Mapping):
        return dict(receipt)
    try:
        return dict(json.loads(Path(receipt).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        problem = "there is no file" if isinstance(error, FileNotFoundError) else "there is no receipt in"
        raise InvalidInputError(
            f"{problem} {receipt}",
            code="invalid_receipt",
            hint=say(
                "answer.receipt is one: json.dump it into a file", cli="`vecver search --receipt FILE` writes one"
            ),
        ) from error
