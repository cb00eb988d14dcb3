"""Questions: the queries and options of one search, checked once when the caller passes them. Searches nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from vecver import index
from vecver.errors import InvalidInputError, say
from vecver.flows.searching.modes import RERANK_TOP, Fusion, Mode, check_mode, reranker_of

if TYPE_CHECKING:
    from vecver.flows.searching.queries import Query
    from vecver.model import Json, Reranker

Missing = Literal["error", "empty"]
MISSING: Final[tuple[str, ...]] = get_args(Missing)


@dataclass(frozen=True)
class Shape:
    """Which part of a version's ranking is the answer, in the order in which the rules apply.

    `title_lifts_passage` -> `min_score` -> `per_document` -> `diversity` -> the hits `offset` to `offset + k`.
    """

    k: int
    offset: int = 0
    per_document: int | None = None  # chunks of one document, at most
    min_score: float | None = None
    diversity: float | None = None  # above 0, up to 1; None: the ranking as it is
    title_lifts_passage: bool = False  # a title chunk helps its document's best passage
    relative: bool = False  # `diversity` counts each score as a part of the best one

    @property
    def is_plain(self) -> bool:
        """True if the answer is a piece of the engine's ranking: no rule changes it."""
        return not self.title_lifts_passage and self.min_score is self.per_document is self.diversity is None

    @property
    def end(self) -> int:
        """How many hits of the ranking the answer needs, from the first on."""
        return self.offset + self.k

    @property
    def rows(self) -> int:
        """From how many rows of the ranking these hits are chosen."""
        return self.end if self.diversity is None else index.candidates_for(self.end)

    @property
    def asked(self) -> int:
        """How many rows the engine is first asked for: two a hit (its own, its title's) where titles rank passages."""
        return 2 * self.rows if self.title_lifts_passage else self.rows

    def to_json(self) -> Json:
        """The options that a receipt records beside `k`; options that are not used are absent."""
        titles = {"titles": "passage"} if self.title_lifts_passage else {}
        values = {name: getattr(self, name) for name in ("per_document", "min_score", "diversity")}
        used = {name: value for name, value in values.items() if value is not None}
        return {**titles, **({"offset": self.offset} if self.offset else {}), **used}


@dataclass(frozen=True, eq=False)
class Question:
    """The queries and options of a search, made by `Question.of`; see `Dataset.search` for the options."""

    queries: tuple[Query, ...]  # none where `like` is given
    at: str = "main"
    k: int = 10
    exact: bool = False
    filter: Json | None = None  # as JSON says it
    context: int = 0
    space: str | None = None
    engine: str = "faiss"
    vectors: bool = False
    diversity: float | None = None
    per_document: int | None = None
    min_score: float | None = None
    offset: int = 0
    missing: Missing = "error"
    like: str | None = None  # a document's id or a chunk's key: its stored vector is the query
    mode: Mode = "dense"
    weight: float | None = None  # of the vectors in hybrid search, 0 to 1; None: what the version's recipe says
    fusion: Fusion | None = None  # None: convex
    reranker: Reranker | None = None
    rerank_top: int | None = None  # None: RERANK_TOP

    @classmethod
    def of(cls, queries: Sequence[Query], **how: Any) -> Question:
        """A question whose options fit every version. Raises InvalidInputError (an option, no query)."""
        like = how.get("like")
        if not len(queries) and like is None:
            raise InvalidInputError("there is no query", code="empty_query", hint="ask something")
        how["filter"] = index.json_filter(filter) if (filter := how.get("filter")) is not None else None
        if how.get("reranker") is not None:
            how["reranker"] = reranker_of(how["reranker"])
        question = cls._made(queries, how)
        _check(question)
        if not question.is_simple:
            check_mode(question)
        return question._plain()

    @classmethod
    def _made(cls, queries: Sequence[Query], how: dict[str, Any]) -> Question:
        """The same as `cls(tuple(queries), **how)`, which sets each of 20 fields of a frozen value by a call."""
        if unknown := how.keys() - _DEFAULTS:
            raise TypeError(f"a question has no option {', '.join(sorted(unknown))}")
        question = object.__new__(cls)
        question.__dict__.update(_DEFAULTS, queries=tuple(queries), **how)
        return question

    @property
    def count(self) -> int:
        """The number of answers."""
        return len(self.queries) or 1

    @property
    def is_simple(self) -> bool:
        """True for a search by vectors alone, of queries that are each a text or a vector."""
        unused = self.reranker is None and self.weight is None and self.fusion is None and self.rerank_top is None
        return unused and self.mode == "dense" and dict not in map(type, self.queries)

    @property
    def reranked(self) -> int:
        """How many hits of the ranking a reranker reads; 0: there is none."""
        return (self.rerank_top or RERANK_TOP) if self.reranker else 0

    def text(self, row: int) -> str | None:
        """The text of a query; None for a vector and for `like`."""
        query = self.queries[row] if self.queries else None
        if isinstance(query, dict):
            return str(query["text"])
        return query if isinstance(query, str) else None

    def _plain(self) -> Question:
        """The same question with plain Python numbers; a diversity of 0 is None."""
        plain = type(self.k) is type(self.offset) is int and self.weight is None
        if plain and self.per_document is self.min_score is self.diversity is None:
            return self  # most questions; a copy takes 10 us
        return replace(
            self,
            k=int(self.k),
            offset=int(self.offset),
            per_document=None if self.per_document is None else int(self.per_document),
            min_score=None if self.min_score is None else float(self.min_score),
            diversity=float(self.diversity) if self.diversity else None,
            weight=None if self.weight is None else float(self.weight),
        )

    def options(self) -> Json:
        """The options in use that choose the ranking, select a part of it, or add to the hits."""
        of_hits = ("vectors", "diversity", "per_document", "min_score", "offset", "missing")
        names = (*of_hits, "mode", "weight", "fusion", "rerank_top")
        values = {name: (getattr(self, name), self.__dataclass_fields__[name].default) for name in names}
        return {name: value for name, (value, default) in values.items() if value != default}

    def shape(self, *, title_lifts_passage: bool) -> Shape:
        """The rules that select the answer from the ranking."""
        how = (self.per_document, self.min_score, self.diversity, bool(title_lifts_passage), self.mode == "keyword")
        return Shape(self.k, self.offset, *how)


_DEFAULTS: Final = {name: item.default for name, item in Question.__dataclass_fields__.items() if name != "queries"}


def _check(question: Question) -> None:
    """Raises InvalidInputError for an option that no version can honour."""
    if not is_whole(question.k, 1):
        raise _invalid("k", f"k is the number of hits, 1 or more, not {question.k!r}", say("use k=10", cli="use -k 10"))
    if isinstance(question.context, np.integer) or not is_whole(question.context, 0):
        message = f"context is a number of neighbouring chunks, 0 or more, not {question.context!r}"
        raise _invalid("context", message, "use context=1")
    if not is_whole(question.offset, 0):
        message = f"offset is how many hits to leave out at the beginning, 0 or more, not {question.offset!r}"
        raise _invalid("offset", message, "the second page of k=10 has offset=10")
    if question.per_document is not None and not is_whole(question.per_document, 1):
        message = f"per_document is the most hits of one document, 1 or more, not {question.per_document!r}"
        raise _invalid("per_document", message, "use per_document=1, or leave it out for as many as there are")
    if question.min_score is not None and not is_number(question.min_score):
        message = f"min_score is a finite number, not {question.min_score!r}"
        raise _invalid("min_score", message, "higher is better: use min_score=0.3 where scores are cosines")
    if question.diversity is not None and not (is_number(question.diversity) and 0 <= question.diversity <= 1):
        message = f"diversity is a number from 0 (only the score counts) to 1, not {question.diversity!r}"
        raise _invalid("diversity", message, "use diversity=0.3")
    if not isinstance(question.vectors, bool):
        raise _invalid("vectors", f"vectors is True or False, not {question.vectors!r}", "use vectors=True")
    if question.missing not in MISSING:
        message = f"missing says what to do where nothing is there: 'error' or 'empty', not {question.missing!r}"
        raise _invalid("missing", message, "use missing='empty' for an answer without hits")


def is_whole(value: Any, least: int) -> bool:
    """True for a whole number of at least `least` that is no boolean."""
    if type(value) is int:
        return value >= least
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= least


def is_number(value: Any) -> bool:
    """True for a finite number that a float can hold and that is no boolean."""
    kinds = int | float | np.integer | np.floating
    try:
        return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number that is larger than any float
        return False


def _invalid(option: str, message: str, hint: str) -> InvalidInputError:
    return InvalidInputError(message, code=f"invalid_{option}", hint=hint)
