"""Modes: by what a question ranks chunks (vectors, words, both), and a reranker after that. Checks them; ranks nothing.

A query is a text, a vector, or both: {"text": ..., "vector": ...}, for a version whose vectors were given.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypedDict, get_args

from vecver.errors import InvalidInputError, say
from vecver.model import Reranker
from vecver.model.rerankers import RERANK_FAILURES
from vecver.near import near

if TYPE_CHECKING:
    from collections.abc import Sequence

Mode = Literal["dense", "keyword", "hybrid"]
Fusion = Literal["convex", "rrf"]
MODES: Final[tuple[str, ...]] = get_args(Mode)
FUSIONS: Final[tuple[str, ...]] = get_args(Fusion)
RERANK_TOP: Final = 50  # hits that a reranker reads by default
_MOST_RERANKED: Final = 1000
_PAIR: Final = {"text", "vector"}


class TextAndVector(TypedDict):
    """A query of both."""

    text: str
    vector: Any  # (dim,)


def reranker_of(value: Any) -> Reranker | None:
    """A reranker as a value; a text is its name. Raises InvalidInputError."""
    reranker = Reranker(value) if isinstance(value, str) else value
    if reranker is None:
        return None
    if not isinstance(reranker, Reranker) or not isinstance(reranker.model, str):
        raise _invalid(
            "reranker", f"a reranker is its name, or a vecver.Reranker, not {value!r}", 'use reranker="tei:URL"'
        )
    if not is_fraction(reranker.timeout, math.inf) or not 0 < reranker.timeout < math.inf:
        raise _invalid("reranker", f"a reranker's timeout is seconds, not {reranker.timeout!r}", "use timeout=10")
    if reranker.on_failure not in RERANK_FAILURES:
        raise _invalid(
            "reranker",
            f"on_failure is 'error' or 'keep', not {reranker.on_failure!r}",
            "use on_failure='keep' for the order before",
        )
    return reranker


class Asked(Protocol):
    """What this room reads of a `Question`."""

    @property
    def queries(self) -> Sequence[Any]: ...
    @property
    def mode(self) -> str: ...
    @property
    def weight(self) -> float | None: ...
    @property
    def fusion(self) -> str | None: ...
    @property
    def reranker(self) -> Reranker | None: ...
    @property
    def rerank_top(self) -> int | None: ...
    @property
    def engine(self) -> str: ...
    @property
    def like(self) -> str | None: ...
    @property
    def diversity(self) -> float | None: ...


def check_mode(question: Asked) -> None:
    """Raises InvalidInputError for a mode, fusion, weight or reranker that this question cannot have."""
    if question.mode not in MODES:
        raise _invalid(
            "mode", f"no mode of search is called {question.mode!r}", "use dense, keyword or hybrid", question.mode
        )
    _check_fusion(question)
    _check_reranker(question)
    if question.mode == "keyword" and question.engine == "milvus":
        hint = say("leave out engine, or use hybrid", cli="leave out --engine, or use --mode hybrid")
        raise _conflict("keywords are searched in the repository, not in a Milvus", hint)
    if question.like is not None and (question.mode != "dense" or question.reranker):
        raise _conflict(
            "what is like a document is found by its vector: there is no text to search for",
            "leave out mode and reranker",
        )
    for query in question.queries:
        _check_query(query, question)


def _check_fusion(question: Asked) -> None:
    if question.mode != "hybrid" and (question.weight is not None or question.fusion is not None):
        given = "weight" if question.weight is not None else "fusion"
        hint = say("use mode='hybrid'", cli="use --mode hybrid", http='send "mode": "hybrid"')
        raise _conflict(f"{given} is for hybrid search, and this one is {question.mode}", hint)
    if question.fusion is not None and question.fusion not in FUSIONS:
        raise _invalid("fusion", f"no fusion is called {question.fusion!r}", "use convex or rrf", question.fusion)
    if question.weight is None:
        return
    if not is_fraction(question.weight):
        message = f"weight is that of the vectors, from 0 (words alone) to 1, not {question.weight!r}"
        raise _invalid("weight", message, say("use weight=0.6", cli="use --weight 0.6", http='send "weight": 0.6'))
    if question.fusion == "rrf":
        hint = say("leave out weight, or use fusion='convex'", cli="leave out --weight, or use --fusion convex")
        raise _conflict("rrf counts ranks, and weighs nothing", hint)


def _check_reranker(question: Asked) -> None:
    top = question.rerank_top
    if top is not None and question.reranker is None:
        hint = say("give a reranker", cli="name one with --rerank")
        raise _conflict("rerank_top says how many hits a reranker reads, and there is none", hint)
    if top is not None and (isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= _MOST_RERANKED):
        message = f"rerank_top is how many hits the reranker reads, 1 to {_MOST_RERANKED:,}, not {top!r}"
        hint = say(f"use rerank_top={RERANK_TOP}", cli=f"use --rerank-top {RERANK_TOP}")
        raise _invalid("rerank_top", message, hint)
    if question.reranker is not None and question.diversity:
        raise _conflict("diversity and a reranker each give an order of their own", "use one of them")


def _check_query(query: Any, question: Asked) -> None:
    """Raises InvalidInputError for a query without what its mode reads, or with what it does not."""
    is_pair, by_words = isinstance(query, dict), question.mode != "dense"
    if is_pair and (set(query) != _PAIR or not isinstance(query["text"], str)):
        raise _invalid("query", "a query of both is {'text': ..., 'vector': ...}", "give both, and nothing else")
    if is_pair and (question.mode == "keyword" or not (by_words or question.reranker)):
        unread = "vector" if by_words else "text"
        raise _conflict(f"{question.mode} search does not read the {unread} beside it", f"leave out the {unread}")
    text = query["text"] if is_pair else query
    if not (by_words or question.reranker) or (isinstance(text, str) and text.strip()):
        return
    if isinstance(text, str):
        raise InvalidInputError("the query is empty", code="empty_query", hint="ask something")
    reader = f"{question.mode} search" if by_words else "a reranker"
    raise InvalidInputError(
        f"{reader} reads the words of a query, and this one is a vector alone",
        code="needs_text",
        hint=say(
            "ask with the text"
            + ("" if question.mode == "keyword" else ', or with both: {"text": ..., "vector": ...}'),
            http="send `query`" + ("" if question.mode == "keyword" else ", or both `query` and `vector`"),
        ),
    )


def is_fraction(value: Any, most: float = 1.0) -> bool:
    """True for a number from 0 to `most` that is no boolean."""
    import numpy as np

    kinds = int | float | np.integer | np.floating
    return isinstance(value, kinds) and not isinstance(value, bool) and bool(0 <= value <= most)


def _invalid(option: str, message: str, hint: str, name: Any = None) -> InvalidInputError:
    known = {"mode": MODES, "fusion": FUSIONS}.get(option, ())
    meant = near(name, known) if isinstance(name, str) else []
    return InvalidInputError(message, code=f"invalid_{option}", hint=hint, did_you_mean=meant)


def _conflict(message: str, hint: str) -> InvalidInputError:
    return InvalidInputError(message, code="conflicting_options", hint=hint)
