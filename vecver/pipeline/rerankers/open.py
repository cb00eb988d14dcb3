"""Opens a reranker by its name: a model on this machine, or an endpoint. Ranks nothing.

Decisions
1. An opened reranker is kept for the process: a model takes seconds to load. At most `_KEPT` are, the last used.
"""

from __future__ import annotations

from functools import lru_cache

from vecver.errors import InvalidInputError
from vecver.http_rules import model_and_url
from vecver.model import OpenedReranker, Reranker
from vecver.near import near
from vecver.pipeline.rerankers.endpoint import APIS, Endpoint

SPECS = "FOLDER_OR_HUB_NAME, cohere:MODEL[@URL], jina:MODEL[@URL], vllm:MODEL@URL, tei:URL"
_KEPT = 8


@lru_cache(maxsize=_KEPT)
def open_reranker(reranker: Reranker) -> OpenedReranker:
    """The reranker that `Reranker.model` names, ready to score. An endpoint is not asked yet.

    Raises InvalidInputError (no such name or folder, a bad URL, a missing package), BackendError (a model that cannot
    be loaded).
    """
    kind, colon, target = reranker.model.partition(":")
    if kind in ("http", "https"):
        raise _unknown(reranker.model, f"say which API it has: tei:{reranker.model} or vllm:MODEL@{reranker.model}")
    if colon and kind in APIS:
        if kind == "tei":
            return Endpoint(kind, "", target, reranker.api_key)
        try:
            model, url = model_and_url(target)
        except ValueError as error:
            raise InvalidInputError(
                f"the address of the {kind} endpoint begins with neither http:// nor https://",
                code="bad_reranker_url",
                hint=f"write {kind}:MODEL@http://HOST:PORT/rerank",
            ) from error
        return Endpoint(kind, model, url or APIS[kind], reranker.api_key)
    if colon and near(kind, APIS):
        raise _unknown(reranker.model, f"did you mean {near(kind, APIS)[0]}:{target}?")
    if not reranker.model.strip():
        raise _unknown(reranker.model, f"one of: {SPECS}")
    from vecver.pipeline.rerankers.cross_encoder import CrossEncoderReranker

    return CrossEncoderReranker(reranker.model)


def _unknown(model: str, hint: str) -> InvalidInputError:
    return InvalidInputError(f"no reranker is called {model!r}", code="unknown_reranker", hint=hint)
