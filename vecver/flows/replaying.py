"""Replay: recomputes an answer from its receipt and the repository alone, and reports what differs.

Decisions
1. Whoever changes a receipt can also recompute its digest; only a signature prevents that. So every field is compared
   with the repository. Four fields that no repository can prove (the repository that made it, the vecver, the revision
   that was asked for, how rows were verified) give notes, not differences.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from vecver import index
from vecver.digest import digest_json
from vecver.errors import InvalidInputError, NotFoundError, VecverError, say
from vecver.flows.embedding import OpenEmbedder, is_given
from vecver.flows.exporting import OneVersion
from vecver.flows.maintaining.postings import open_postings
from vecver.flows.searching import hybrid
from vecver.flows.searching.filtering import filtered, matching
from vecver.flows.searching.fusion import Bounds
from vecver.flows.searching.likes import find_like
from vecver.flows.searching.modes import FUSIONS, is_fraction
from vecver.flows.searching.queries import vectors_of
from vecver.flows.searching.questions import Shape, is_number, is_whole
from vecver.flows.searching.receipts import ENGINES, RECEIPT_FORMAT, version
from vecver.flows.searching.recomputing import (
    Claims,
    bounds_in_receipt,
    differences_of,
    share,
    signature_by_words,
    signature_of,
    signature_of_claimed,
    signature_of_claimed_hybrid,
)
from vecver.flows.searching.reranking import before_reranking, wrong_order
from vecver.flows.searching.selections import Selection
from vecver.model import Json, Replay, Vectors, Verify
from vecver.repo import PENDING, Snapshot, Versions, check_name

_SAME_TEXT = 0.999  # least cosine between the text's vector here and the receipt's; machines differ by 1e-7
_HIT = (re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{16}"))
_TEXTS = ["vecver", "repository", "dataset", "revision", "commit", "content_root", "vector_root", "space", "digest"]
_OTHERS = ("format", "engine", "query", "k", "filter", "hits")


def replay(versions: Versions | OneVersion, receipt: Json, open_embedder: OpenEmbedder) -> Replay:
    """Prove an exact answer completely, an approximate one hit by hit with its recall against exact search.

    The search uses the vector in the receipt. If the query was a text and its embedder is available, it is also proved
    that the text gives this vector. Raises InvalidInputError (no receipt), NotFoundError (its dataset or commit is not
    in this repository).
    """
    vector = _checked(receipt)
    dataset = versions.name_of(receipt["dataset"])
    if dataset is None:
        raise NotFoundError(
            f"the dataset of this receipt, {receipt['dataset']}, was deleted here",
            code="dataset_deleted",
            hint="replay it on a copy of the repository from before, or on a snapshot that was exported from it",
            dataset=receipt["dataset"],
        )
    snapshot = versions.snapshot(versions.resolve(dataset, receipt["commit"]))
    versions.settle(snapshot)
    options = receipt.get("options", {})
    mode = options.get("mode", "dense")
    if mode != "dense" and isinstance(versions, Versions):
        open_postings(versions, snapshot)
    if len(vector) != (0 if mode == "keyword" else snapshot.commit.recipe.space.dim):
        raise _no_receipt(f"its vector has {len(vector)} dimensions, the version {snapshot.commit.recipe.space.dim}")
    differences = list(_identity(receipt, snapshot))
    notes = list(_unproved(receipt, dataset, versions, snapshot))
    if mode != "keyword":
        _text(receipt, snapshot, vector, open_embedder, differences, notes)
    allow_unknown = options.get("missing") == "empty"
    selection = matching(snapshot, receipt["filter"], refuse=False, allow_unknown=allow_unknown)
    if "like" in options:
        selection = _without_like(snapshot, options["like"], vector, selection, differences)
    parts, shape = filtered(snapshot, selection), _shape(receipt)
    if mode == "dense":
        true = signature_of(snapshot, selection, vector, shape)
    else:
        true, bounds = signature_by_words(snapshot, selection, vector, shape, receipt)
        differences += _keyword_differences(receipt, snapshot, bounds)
    claimed, recall = receipt["hits"], None
    if "rerank" in options:
        claimed, true = before_reranking(receipt), _read_or_shown(receipt, true)
        differences += filter(None, [wrong_order(receipt)])
        notes.append(
            f"the reranker {options['rerank']['model']} was not run again: of its scores it was proved that "
            "they give this order"
        )
    if mode != "keyword" and not _is_exact(receipt):
        recall = share(claimed, true)
        if options.get("fusion") == "rrf":
            notes.append("ranks by an index cannot be computed again from the hits: their scores were not proved")
            true = _in_order([hit for hit in claimed if _is_hit_of(snapshot, selection, hit)], shape)
        elif claimed and len(claimed) == len(true) and mode == "hybrid":
            true = signature_of_claimed_hybrid(snapshot, selection, vector, shape, claimed, receipt)
        elif claimed and len(claimed) == len(true):
            true = signature_of_claimed(snapshot, selection, parts, vector, shape, claimed)
    differences += differences_of(claimed, true)
    return Replay(not differences, tuple(differences), recall, tuple(notes))


def _is_exact(receipt: Json) -> bool:
    """True if the receipt claims the true top k."""
    return receipt["engine"]["name"] == "exact" or receipt["engine"].get("exact") is True


def _keyword_differences(receipt: Json, snapshot: Snapshot, bounds: Bounds | None) -> Iterator[str]:
    """What a receipt says of words and of the bounds of a convex sum, where this version says something else."""
    if receipt["options"]["keywords"] != (here := hybrid.tokenizer_facts(snapshot)):
        yield f"words are made by {here} here, the receipt says {receipt['options']['keywords']}"
    is_convex = receipt["options"].get("fusion") == "convex"
    if is_convex and _is_exact(receipt) and bounds_in_receipt(receipt) != bounds:
        yield "the scores between which the convex sum runs are others"


def _is_hit_of(snapshot: Snapshot, selection: Selection | None, hit: list[str]) -> bool:
    """True if a claimed hit is a selected chunk of the version with the text that its digest says."""
    numbers, rows = snapshot.find_chunks(np.frombuffer(bytes.fromhex(hit[0]), np.uint8).reshape(-1, 16))
    if (
        not math.isfinite(index.from_bits(hit[2]))
        or numbers[0] < 0
        or (selection is not None and not selection.holds(numbers, rows)[0])
    ):
        return False
    text = snapshot.segments[int(numbers[0])].text(int(rows[0]))
    return hashlib.sha256(text.encode()).hexdigest() == hit[1]


def _in_order(hits: Claims, shape: Shape) -> Claims:
    """The most hits that an answer of this shape has, each once, by the scores that they claim."""
    once = list({hit[0]: hit for hit in hits}.values())
    if shape.diversity is None:
        once.sort(key=lambda hit: -index.from_bits(hit[2]))
    return once[: shape.k]


def _read_or_shown(receipt: Json, ranking: Claims) -> Claims:
    """The part of the ranking before reranking that a receipt names: what the reranker read, and the answer's page."""
    top, offset = receipt["options"]["rerank"]["top"], receipt["options"].get("offset", 0)
    return [*ranking[:top], *ranking[max(top, offset) :]]


# -- the form of a receipt --------------------------------------------------------------------


def _checked(receipt: Any) -> Vectors:
    """The query vector of a receipt, `(dim,)`. Raises InvalidInputError unless every field has its form."""
    if not isinstance(receipt, dict) or any(name not in receipt for name in (*_TEXTS, *_OTHERS)):
        raise _no_receipt("it lacks fields of one")
    if type(receipt["format"]) is not int or receipt["format"] != RECEIPT_FORMAT:
        raise _no_receipt(f"its format is {receipt['format']!r}, this vecver reads {RECEIPT_FORMAT}")
    if not all(isinstance(receipt[name], str) for name in _TEXTS):
        raise _no_receipt("its names and digests have another form")
    check_name("dataset", receipt["dataset"].partition("~")[0])  # a reused name has a number appended
    if receipt.get("verified", PENDING) not in (PENDING, *get_args(Verify)):
        raise _no_receipt("it says in another form how the rows were verified")
    k, filter, engine, hits = (receipt[name] for name in ("k", "filter", "engine", "hits"))
    if type(k) is not int or k < 1 or not isinstance(filter, dict | None):
        raise _no_receipt("its k or filter has another form")
    if not _are_options(receipt.get("options", {})):
        raise _no_receipt("its options have another form, or this vecver does not know them: upgrade it")
    if not isinstance(engine, dict) or not isinstance(engine.get("name"), str):
        raise _no_receipt("its engine has another form")
    if receipt.get("options", {}).get("fusion") == "convex" and not _are_bounds(engine.get("bounds")):
        raise _no_receipt("its engine does not say between which scores its sum runs")
    if not isinstance(hits, list) or not all(_is_hit(hit) for hit in hits):
        raise _no_receipt("its hits have another form")
    read = receipt.get("reranked")
    if ("rerank" in receipt.get("options", {})) != (read is not None):
        raise _no_receipt("it lacks what its reranker read, or has that without a reranker")
    if read is not None and not (isinstance(read, list) and all(map(_is_read, read))):
        raise _no_receipt("what its reranker read has another form")
    vector = _query(receipt["query"])
    if receipt.get("options", {}).get("mode") and receipt["query"]["text"] is None:
        raise _no_receipt("it searched by words, and its query has no text")
    return vector


def _are_options(options: Any) -> bool:
    """True if the options have the form that `receipts` writes."""
    forms: dict[str, Callable[[Any], bool]] = {
        "titles": lambda value: value == "passage",
        "missing": lambda value: value == "empty",
        "offset": lambda value: is_whole(value, 0),
        "per_document": lambda value: is_whole(value, 1),
        "min_score": is_number,
        "diversity": lambda value: is_number(value) and 0 < value <= 1,
        "like": _is_like,
        "rerank": _is_rerank,
        "mode": lambda value: value in ("keyword", "hybrid"),
        "fusion": lambda value: value in FUSIONS,
        "weight": is_fraction,
        "keywords": lambda value: isinstance(value, dict),
        "vector": lambda value: value == "given",
    }
    if not isinstance(options, dict) or not all(name in forms and forms[name](it) for name, it in options.items()):
        return False
    mode, fusion = options.get("mode"), options.get("fusion")
    fits = ("keywords" in options) == (mode is not None) and (fusion is not None) == (mode == "hybrid")
    return fits and ("weight" in options) == (fusion == "convex")


def _are_bounds(value: Any) -> bool:
    """True for the bits of three finite scores."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(bits, str) and _HIT[-1].fullmatch(bits) for bits in value)
        and all(math.isfinite(index.from_bits(bits)) for bits in value)
    )


def _is_rerank(value: Any) -> bool:
    """True if it names a reranker and how many hits that read."""
    return (
        isinstance(value, dict)
        and set(value) == {"top", "model", "fingerprint"}
        and is_whole(value["top"], 1)
        and isinstance(value["model"], str)
        and isinstance(value["fingerprint"], str)
    )


def _is_read(entry: Any) -> bool:
    """True for a hit and the reranker's score of it, which is finite."""
    return (
        isinstance(entry, list)
        and len(entry) == len(_HIT) + 1
        and _is_hit(entry[:-1])
        and isinstance(entry[-1], str)
        and _HIT[-1].fullmatch(entry[-1]) is not None
        and math.isfinite(index.from_bits(entry[-1]))
    )


def _is_like(value: Any) -> bool:
    """True if it names one document or one chunk."""
    return (
        isinstance(value, dict)
        and list(value) in (["document"], ["chunk"])
        and all(isinstance(name, str) for name in value.values())
    )


def _is_hit(hit: Any) -> bool:
    return (
        isinstance(hit, list)
        and len(hit) == len(_HIT)
        and all(isinstance(value, str) and form.fullmatch(value) for form, value in zip(_HIT, hit, strict=True))
    )


def _query(query: Any) -> Vectors:
    try:
        text, data = query["text"], base64.b64decode(query["vector"], validate=True)
        vector = np.frombuffer(data, "<f4").astype(np.float32)
    except (TypeError, KeyError, ValueError) as error:
        raise _no_receipt("its query has another form") from error
    if not (text is None or (isinstance(text, str) and text.strip())) or not np.isfinite(vector).all():
        raise _no_receipt("its query is empty or not finite")
    return vector


def _no_receipt(why: str) -> InvalidInputError:
    return InvalidInputError(
        f"this is not a receipt of vecver: {why}",
        code="invalid_receipt",
        hint=say("answer.receipt is one", cli="`vecver search --receipt FILE` writes one"),
    )


# -- its facts --------------------------------------------------------------------


def _identity(receipt: Json, snapshot: Snapshot) -> Iterator[str]:
    try:
        digest = digest_json({name: value for name, value in receipt.items() if name != "digest"})
    except ValueError as error:  # NaN and infinities, which JSON lacks
        raise _no_receipt("it holds what JSON cannot say") from error
    if digest != receipt["digest"]:
        yield "the receipt was changed: it does not match its digest"
    commit = snapshot.commit
    here = {
        "dataset": commit.dataset,
        "commit": commit.id,
        "content_root": commit.content_root,
        "vector_root": commit.vector_root,
        "space": commit.recipe.space.id,
    }
    for name, value in here.items():
        if receipt[name] != value:
            yield f"the {name} of commit {commit.id[:12]} is another one"
    if hashlib.sha256(base64.b64decode(receipt["query"]["vector"])).hexdigest() != receipt["query"].get("digest"):
        yield "the query vector does not match its digest"
    engine, mode = receipt["engine"]["name"], receipt.get("options", {}).get("mode", "dense")
    if engine not in ENGINES:
        yield f"no search engine is called {engine!r}"
    elif (engine == hybrid.BM25["name"]) != (mode == "keyword"):
        yield f"the engine {engine} does not rank in mode {mode}"


def _unproved(receipt: Json, dataset: str, versions: Versions | OneVersion, snapshot: Snapshot) -> Iterator[str]:
    if receipt["repository"] != versions.id:
        yield f"the receipt was made in repository {receipt['repository'][:12]}, this is {versions.id[:12]}"
    if receipt["vecver"] != version():
        yield f"the receipt was made by vecver {receipt['vecver']}, this is {version()}"
    try:
        if versions.resolve(dataset, receipt["revision"]) != receipt["commit"]:
            yield f"{receipt['revision']!r} does not name this version any more"
    except (NotFoundError, InvalidInputError):
        yield f"{receipt['revision']!r} names no version here"
    if (then := receipt.get("verified", now := snapshot.verified())) != now:  # older receipts lack it
        yield f"the rows were verified {then!r} when it was answered, here {now!r}"
    lifts = receipt.get("options", {}).get("titles") == "passage"
    if lifts != snapshot.commit.recipe.title_lifts_passage:
        yield f"titles {'helped' if lifts else 'did not help'} their documents' passages, unlike in a search today"
    if (made := receipt["engine"].get("faiss", index.faiss.version())) != index.faiss.version():
        yield f"the candidates were proposed by FAISS {made}, this is {index.faiss.version()}"


def _text(
    receipt: Json,
    snapshot: Snapshot,
    vector: Vectors,
    open_embedder: OpenEmbedder,
    differences: list[str],
    notes: list[str],
) -> None:
    """Compare the vector of the query's text with the receipt's; a note where that is not possible."""
    text, recipe = receipt["query"]["text"], snapshot.commit.recipe
    if text is None:
        return
    if receipt.get("options", {}).get("vector") == "given":
        notes.append("the query's vector was given beside its text, so the text was not embedded")
        return
    if is_given(recipe):
        differences.append("the receipt has a query text, but the version's vectors were given, not embedded")
        return
    try:
        (here,) = vectors_of([text], recipe, open_embedder)
    except VecverError as error:
        notes.append(f"the query's text was not embedded again: {error.message}")
        return
    if here.tobytes() == vector.tobytes():
        return
    cosine = float(here @ vector) / max(float(np.linalg.norm(here) * np.linalg.norm(vector)), 1e-30)
    if cosine < _SAME_TEXT:
        differences.append("the query's text does not give the receipt's query vector")
    else:
        notes.append(f"this machine embeds the query's text with other last bits (cosine {cosine:.7f})")


# -- its question ---------------------------------------------------------------------------


def _shape(receipt: Json) -> Shape:
    """The part of the ranking that the receipt says it holds."""
    options = receipt.get("options", {})
    limits = {name: options.get(name) for name in ("per_document", "min_score", "diversity")}
    lifts = options.get("titles") == "passage"
    relative = options.get("mode") == "keyword"
    shape = Shape(receipt["k"], options.get("offset", 0), **limits, title_lifts_passage=lifts, relative=relative)
    top = options["rerank"]["top"] if "rerank" in options else 0
    return replace(shape, k=max(top, shape.end), offset=0) if top else shape


def _without_like(
    snapshot: Snapshot, name: Json, vector: Vectors, selection: Selection | None, differences: list[str]
) -> Selection | None:
    """The selection without the chunks that were the query; compares their vector with the receipt's."""
    ((kind, id),) = name.items()
    try:
        like = find_like(snapshot, id)
    except VecverError as error:
        differences.append(f"the answer is about what is like {id!r}: {error.message}")
        return selection
    if like.name != name or like.vector.tobytes() != vector.tobytes():
        differences.append(f"the {kind} {id!r} does not give the receipt's query vector")
    return like.left_out(snapshot, selection)
