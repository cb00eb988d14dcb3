"""Replay: recompute an answer from its receipt and the repository alone, and say what differs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from vecver import index
from vecver.digest import digest_json
from vecver.errors import InvalidInputError, VecverError
from vecver.flows.preparation import OpenEmbedder, is_given
from vecver.flows.search import embedded, filtered, find, signature
from vecver.model import Json, Replay, Vectors
from vecver.repo import Snapshot, Versions

_FIELDS = ("dataset", "commit", "content_root", "vector_root", "engine", "query", "k", "filter", "hits", "digest")
_SAME_TEXT = 0.999  # cosine between the text's vector here and the receipt's; machines differ by some 1e-7


def replay(versions: Versions, receipt: Json, open_embedder: OpenEmbedder) -> Replay:
    """Prove an answer: exact ones in full, approximate ones hit by hit, with their recall against exact.

    The search runs on the vector that the receipt holds; where the query was a text and its embedder
    is at hand, that the text gives this vector is proved as well. Raises InvalidInputError if
    `receipt` is none, NotFoundError if its commit is not in this repository.
    """
    _check(receipt)
    snapshot = versions.snapshot(versions.resolve(receipt["dataset"], receipt["commit"]))
    differences = [*_identity(receipt, snapshot)]
    vector = _vector(receipt, differences)
    notes = _text(receipt, snapshot, vector, open_embedder, differences)
    parts = filtered(snapshot, receipt["filter"])
    true = signature(find(snapshot, parts, vector, receipt["k"], exact=True))
    claimed = receipt["hits"]
    if receipt["engine"]["name"] == "exact":
        differences += _compared(claimed, true)
        return Replay(not differences, tuple(differences), None, notes)
    differences += _scored(claimed, snapshot, vector)
    recall = len({hit[0] for hit in claimed} & {hit[0] for hit in true}) / max(len(true), 1)
    return Replay(not differences, tuple(differences), recall, notes)


def _check(receipt: Any) -> None:
    if not isinstance(receipt, dict) or any(name not in receipt for name in _FIELDS):
        raise InvalidInputError(
            "this is not a receipt of vecver",
            code="invalid_receipt",
            hint="`vecver search --receipt FILE` writes one; `answer.receipt` is one",
        )


def _identity(receipt: Json, snapshot: Snapshot) -> Sequence[str]:
    differences = []
    if digest_json({name: value for name, value in receipt.items() if name != "digest"}) != receipt["digest"]:
        differences.append("the receipt was changed: it does not match its digest")
    for name in ("content_root", "vector_root"):
        if receipt[name] != getattr(snapshot.commit, name):
            differences.append(f"the {name} of commit {snapshot.commit.id[:12]} is another one")
    return differences


def _vector(receipt: Json, differences: list[str]) -> Vectors:
    data = base64.b64decode(receipt["query"]["vector"])
    if hashlib.sha256(data).hexdigest() != receipt["query"]["digest"]:
        differences.append("the query vector does not match its digest")
    return np.frombuffer(data, "<f4").astype(np.float32)


def _text(
    receipt: Json, snapshot: Snapshot, vector: Vectors, open_embedder: OpenEmbedder, differences: list[str]
) -> tuple[str, ...]:
    """Does the query's text give the receipt's vector? What could not be said is a note."""
    text, recipe = receipt["query"]["text"], snapshot.commit.recipe
    if text is None or is_given(recipe):
        return ()
    try:
        here = embedded(text, recipe.embedder, recipe.space, open_embedder, given=False)
    except VecverError as error:
        return (f"the query's text was not embedded again: {error.message}",)
    if here.tobytes() == vector.tobytes():
        return ()
    cosine = float(here @ vector) / max(float(np.linalg.norm(here) * np.linalg.norm(vector)), 1e-30)
    if cosine < _SAME_TEXT:
        differences.append("the query's text does not give the receipt's query vector")
        return ()
    return (f"this machine embeds the query's text with other last bits (cosine {cosine:.7f})",)


def _compared(claimed: list[list[str]], true: list[list[str]]) -> list[str]:
    if len(claimed) != len(true):
        return [f"the receipt has {len(claimed)} hits, the repository gives {len(true)}"]
    return [
        f"hit {rank}: the receipt says {old[0][:12]} with {old[2]}, the repository {new[0][:12]} with {new[2]}"
        for rank, (old, new) in enumerate(zip(claimed, true, strict=True), 1)
        if old != new
    ]


def _scored(claimed: list[list[str]], snapshot: Snapshot, vector: Vectors) -> list[str]:
    """Every claimed hit is live in the version, with this text and this score, and they stand in order."""
    keys = np.frombuffer(bytes.fromhex("".join(hit[0] for hit in claimed)), np.uint8).reshape(-1, 16)
    true, order = [], []
    for key, number, row in zip(claimed, *snapshot.find_chunks(keys), strict=True):
        if number < 0:
            return [f"the chunk {key[0][:12]} is not in this version"]
        score = index.scores(vector, snapshot.vectors(number)[[row]], snapshot.commit.recipe.space.metric)[0]
        text = hashlib.sha256(snapshot.text(number, row).encode()).hexdigest()
        true.append([key[0], text, index.bits(score)])
        order.append((-score, key[0]))
    out_of_order = [] if order == sorted(order) else ["the hits are not in the order of their scores"]
    return _compared(claimed, true) + out_of_order
