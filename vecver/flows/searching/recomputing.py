"""Recomputing: computes an answer again, exactly, and compares it with the hits that a receipt claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vecver import index
from vecver.flows.searching import hybrid
from vecver.flows.searching.filtering import filtered, leaving_out
from vecver.flows.searching.fusion import Bounds
from vecver.flows.searching.hits import read_hits
from vecver.flows.searching.milvus import Ranked
from vecver.flows.searching.questions import Shape
from vecver.flows.searching.ranking import Ask, AskWithout, rank
from vecver.flows.searching.receipts import signature
from vecver.flows.searching.search import asking_here
from vecver.flows.searching.selections import Selection
from vecver.flows.searching.titles import Row, Score, best_passages, title_scores
from vecver.model import Json, Part, Vectors
from vecver.repo import Snapshot

Claims = list[list[str]]  # [key, digest of the text, score bits] of each hit, first hit first


def signature_of(snapshot: Snapshot, selection: Selection | None, vector: Vectors, shape: Shape) -> Claims:
    """The hits that a receipt of the true answer to a query holds."""

    def without(documents: Sequence[str]) -> Ask:
        return asking_here(snapshot, filtered(snapshot, leaving_out(snapshot, selection, documents)), exact=True)

    return _signature(snapshot, rank(snapshot, selection, vector[None, :], shape, without(()), without))


def signature_by_words(
    snapshot: Snapshot, selection: Selection | None, vector: Vectors, shape: Shape, receipt: Json
) -> tuple[Claims, Bounds | None]:
    """The same in keyword and hybrid mode, and between which scores a convex sum runs."""

    def without(documents: Sequence[str]) -> Ask:
        return asking_here(snapshot, filtered(snapshot, leaving_out(snapshot, selection, documents)), exact=True)

    ranker = _ranker(snapshot, selection, vector, receipt, without)
    ((rows, engine),) = hybrid.ranked(snapshot, selection, ranker, shape, 1)
    return signature(read_hits(snapshot, rows)), hybrid.bounds_in(engine) if "bounds" in engine else None


def _ranker(
    snapshot: Snapshot, selection: Selection | None, vector: Vectors, receipt: Json, without: AskWithout
) -> hybrid.Words | hybrid.Both:
    options, text = receipt["options"], receipt["query"]["text"]
    return hybrid.ranker_of(
        snapshot, selection, options["mode"], [text], vector[None, :], options.get("weight"), without
    )


def signature_of_claimed_hybrid(
    snapshot: Snapshot,
    selection: Selection | None,
    vector: Vectors,
    shape: Shape,
    claimed: Claims,
    receipt: Json,
) -> Claims:
    """The hits that a receipt of hybrid search holds if the index found only the claimed rows.

    The bounds of its convex sum are taken from the receipt; what rrf counted cannot be computed from these rows alone.
    """
    ranker = _ranker(snapshot, selection, vector, receipt, lambda _: lambda queries, k: [])
    assert isinstance(ranker, hybrid.Both)
    ranker.assume(bounds_in_receipt(receipt))
    score: Score = lambda _, numbers, rows: ranker.scores(np.array([0]), numbers, rows)  # noqa: E731
    keys = np.frombuffer(bytes.fromhex("".join(hit[0] for hit in claimed)), np.uint8).reshape(-1, 16)
    numbers, rows = snapshot.find_chunks(keys)
    there = numbers >= 0
    if selection is not None:
        there &= selection.holds(numbers, rows)
    numbers, rows, keys = numbers[there], rows[there], keys[there]
    scores = score(None, numbers, rows)
    order = index.ranked(scores, keys, len(keys)).tolist()
    found: Ranked = [((int(numbers[i]), int(rows[i])), float(scores[i])) for i in order]
    return _as_claimed(snapshot, selection, vector, shape, claimed, found, receipt["engine"], score)


def bounds_in_receipt(receipt: Json) -> Bounds:
    """The bounds that a receipt states."""
    return hybrid.bounds_in(receipt["engine"])


def _signature(snapshot: Snapshot, answers: list[tuple[list[Row], Json]]) -> Claims:
    ((rows, _),) = answers
    return signature(read_hits(snapshot, rows))


def signature_of_claimed(
    snapshot: Snapshot,
    selection: Selection | None,
    parts: Sequence[Part],
    vector: Vectors,
    shape: Shape,
    claimed: Claims,
) -> Claims:
    """The hits that a receipt holds if the index found only the claimed rows.

    With `diversity` they keep the receipt's order, since they were chosen among rows that the receipt does not name.
    """
    ask = asking_here(snapshot, [_only(part, claimed) for part in parts], exact=True)
    ((rows, engine),) = ask(vector[None, :], len(claimed))
    return _as_claimed(snapshot, selection, vector, shape, claimed, rows, engine)


def _as_claimed(
    snapshot: Snapshot,
    selection: Selection | None,
    vector: Vectors,
    shape: Shape,
    claimed: Claims,
    rows: Ranked,
    engine: Json,
    score: Score | None = None,
) -> Claims:
    if shape.title_lifts_passage:
        rows = _lifted_as_claimed(snapshot, selection, vector, rows, claimed, score)
    own = replace(shape, k=len(claimed), offset=0, diversity=None, title_lifts_passage=False)
    found = _signature(snapshot, rank(snapshot, selection, vector[None, :], own, lambda *_: [(rows, engine)]))
    if shape.diversity is not None:
        places = {hit[0]: place for place, hit in enumerate(claimed)}
        found.sort(key=lambda hit: places[hit[0]])
    return found


def _lifted_as_claimed(
    snapshot: Snapshot,
    selection: Selection | None,
    vector: Vectors,
    rows: Ranked,
    claimed: Claims,
    score_rows: Score | None,
) -> Ranked:
    """These rows, with a title's score where the receipt claims one and the title can give it.

    The index may have missed a title, so a passage may also have its own score. Titles of documents that have a passage
    are left out, since they are no hits.
    """
    bits = {hit[0]: hit[2] for hit in claimed}
    ranked: list[tuple[float, bytes, tuple[int, int]]] = []
    owners = snapshot.owners([place for place, _ in rows])
    passages = best_passages(snapshot, selection, vector, owners, score_rows)
    for (place, score), owner in zip(rows, owners, strict=True):
        key = snapshot.segments[place[0]].keys[place[1]].tobytes()
        best = passages[owner.document]
        if best is not None and snapshot.is_title(place, owner):
            continue
        possible = {index.bits(score): (score, key)}
        if best == place:
            titles = title_scores(snapshot, selection, vector, owner, score_rows)
            possible = {index.bits(value): (value, title) for value, title in titles} | possible
        ranked.append((*possible.get(bits[key.hex()], (score, key)), place))
    return [(place, score) for score, _, place in sorted(ranked, key=lambda row: (-row[0], row[1]))]


def _only(part: Part, claimed: Claims) -> Part:
    """The part with only those live rows that the receipt claims as hits."""
    keys = np.frombuffer(bytes.fromhex("".join(hit[0] for hit in claimed)), "<u8").reshape(-1, 2)
    rows = np.ascontiguousarray(part.keys).view("<u8").reshape(-1, 2)
    live = np.packbits(np.isin(rows[:, 0], keys[:, 0]) & np.isin(rows[:, 1], keys[:, 1]), bitorder="little")
    live &= 255 if part.live is None else part.live
    return replace(part, live=live, live_count=int(np.bitwise_count(live).sum()))


def share(claimed: Claims, true: Claims) -> float:
    """The share of the true top k among the claimed hits; 1 if the true answer has no hits."""
    return len({hit[0] for hit in claimed} & {hit[0] for hit in true}) / len(true) if true else 1.0


def differences_of(claimed: Claims, true: Claims) -> list[str]:
    """A sentence for each hit in which a receipt and the repository differ."""
    if len(claimed) != len(true):
        return [f"the receipt has {len(claimed)} hits, the repository gives {len(true)}"]
    return [
        f"hit {rank}: the receipt says {old[0][:12]} with {old[2]}, the repository {new[0][:12]} with {new[2]}"
        for rank, (old, new) in enumerate(zip(claimed, true, strict=True), 1)
        if old != new
    ]
