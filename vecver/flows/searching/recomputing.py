"""Recomputing: computes an answer again, exactly, and compares it with the hits that a receipt claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vecver import index
from vecver.flows.searching.filtering import filtered, leaving_out
from vecver.flows.searching.hits import read_hits
from vecver.flows.searching.milvus import Ranked
from vecver.flows.searching.questions import Shape
from vecver.flows.searching.ranking import Ask, rank
from vecver.flows.searching.receipts import signature
from vecver.flows.searching.search import asking_here
from vecver.flows.searching.selections import Selection
from vecver.flows.searching.titles import Row, best_passages, title_scores
from vecver.model import Json, Part, Vectors
from vecver.repo import Snapshot

Claims = list[list[str]]  # [key, digest of the text, score bits] of each hit, first hit first


def signature_of(snapshot: Snapshot, selection: Selection | None, vector: Vectors, shape: Shape) -> Claims:
    """The hits that a receipt of the true answer to a query holds."""

    def without(documents: Sequence[str]) -> Ask:
        return asking_here(snapshot, filtered(snapshot, leaving_out(snapshot, selection, documents)), exact=True)

    return _signature(snapshot, rank(snapshot, selection, vector[None, :], shape, without(()), without))


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
    if shape.title_lifts_passage:
        rows = _lifted_as_claimed(snapshot, selection, vector, rows, claimed)
    own = replace(shape, k=len(claimed), offset=0, diversity=None, title_lifts_passage=False)
    found = _signature(snapshot, rank(snapshot, selection, vector[None, :], own, lambda *_: [(rows, engine)]))
    if shape.diversity is not None:
        places = {hit[0]: place for place, hit in enumerate(claimed)}
        found.sort(key=lambda hit: places[hit[0]])
    return found


def _lifted_as_claimed(
    snapshot: Snapshot, selection: Selection | None, vector: Vectors, rows: Ranked, claimed: Claims
) -> Ranked:
    """These rows, with a title's score where the receipt claims one and the title can give it.

    The index may have missed a title, so a passage may also have its own score. Titles of documents that have a passage
    are left out, since they are no hits.
    """
    bits = {hit[0]: hit[2] for hit in claimed}
    ranked: list[tuple[float, bytes, tuple[int, int]]] = []
    owners = snapshot.owners([place for place, _ in rows])
    passages = best_passages(snapshot, selection, vector, owners)
    for (place, score), owner in zip(rows, owners, strict=True):
        key = snapshot.segments[place[0]].keys[place[1]].tobytes()
        best = passages[owner.document]
        if best is not None and snapshot.is_title(place, owner):
            continue
        possible = {index.bits(score): (score, key)}
        if best == place:
            titles = title_scores(snapshot, selection, vector, owner)
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
