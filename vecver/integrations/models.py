"""Embedding models of frameworks: the name of their space, and what they make of texts. Knows no framework.

Decisions
1. Vectors are made here and sent with the documents, so that a store behaves alike on a folder and on a service, which
   cannot run the caller's object.
2. The space is named by the fingerprint that the caller gives, else by the object's own `fingerprint`, else by its
   class and the name of its model. A version refuses vectors of another space, so a change of models is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import vecver

_MODEL_NAMES = ("model", "model_name", "model_id", "deployment", "repo_id")  # attributes that name the model


def space_of(model: Any, fingerprint: str | None = None) -> str | None:
    """The name of the space in which a model's vectors lie; None without a model and a name.

    Raises InvalidInputError (a fingerprint that is no text).
    """
    name = fingerprint if fingerprint is not None else getattr(model, "fingerprint", None)
    if name is None:
        return None if model is None else " ".join([type(model).__name__, *_model_name(model)])
    if not isinstance(name, str) or not name.strip():
        raise vecver.InvalidInputError(
            f"a model's fingerprint is a text, not {name!r:.80}",
            code="bad_embedder",
            hint='name the model and its settings: fingerprint="bge-small-v1.5 mean"',
        )
    return name


def query_of(text: str | None, vector: Sequence[float] | None, how: Mapping[str, Any]) -> Any:
    """What `Dataset.search` is asked with the options `how`: a vector if there is one, else the text; both where both
    are read (hybrid search, a reranker).

    Raises InvalidInputError (no text, and something reads one).
    """
    mode = how.get("mode", "dense")
    reads_text = mode != "dense" or how.get("reranker") is not None
    if text is None and (vector is None or reads_text):
        raise vecver.InvalidInputError("the query has no text", code="empty_query", hint="give it its text")
    if vector is None or mode == "keyword":
        return text
    array = np.asarray(vector, np.float32)
    return {"text": text, "vector": array} if reads_text else array


def _model_name(model: Any) -> list[str]:
    values = (getattr(model, name, None) for name in _MODEL_NAMES)
    return [value for value in values if isinstance(value, str) and value][:1]
