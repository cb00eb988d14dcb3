"""Expected recall: read for a version from what the indexes of its segments recorded; nothing is opened or searched.

layout -> for each segment with an index: what was measured of it, else what its calibration expects -> one value

Decisions
1. A hit comes from each segment as often as live chunks lie there, so the segments' recalls are weighted with their
   live chunks. A segment without an index is scanned and misses nothing.
2. The recall of an index is taken as it was recorded, whatever part of its rows is alive: where rows died the k-th best
   lies farther away, and the search reads more lists. (Where few are alive it scans them, and finds more.)
3. The answer of a question finds less than 0.8 only if that holds in one of its segments. So the shares of such
   questions are added: an upper bound.
4. `recall` with given queries records for each segment what it found of the true hits that lie there. It replaces the
   calibration's expectation of that segment in every version, until the index is built anew.
5. What cannot be read counts as unknown instead of as an error: it is shown beside other facts, and `check` names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from vecver import index
from vecver.errors import IntegrityError, NotFoundError
from vecver.model import ExpectedRecall, Json
from vecver.repo import Snapshot, Versions

if TYPE_CHECKING:
    from vecver.model.expectations import Basis

K = 10
LOW = 0.8  # a question that finds less of its true top k is counted
ROW_BITS = 40  # a hit's place is its segment's number, shifted by so many bits, and its row

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Recorded:
    """What is recorded of the index of a segment, for one version."""

    live: int  # chunks of the version in the segment
    basis: str  # "exact", "calibration", "questions", "unknown"
    recall: float = 1.0
    below_0_8: float = 0.0
    questions: int = 0


def expected_recall(versions: Versions, commit: str) -> ExpectedRecall:
    """What recall to expect of a version. Raises NotFoundError (no such commit)."""
    chunks = int(versions.commit(commit).counts["chunks"])
    try:
        segments = versions.layout(commit).segments
        records = [_recorded(versions, live.segment, len(live.chunks)) for live in segments if live.chunks]
    except (NotFoundError, IntegrityError):
        return ExpectedRecall.unknown(K, chunks, 0)
    return combined(records)


def combined(records: Sequence[Recorded]) -> ExpectedRecall:
    """The expectation of a version from those of its segments; see the decisions above."""
    chunks = sum(record.live for record in records)
    indexed = [record for record in records if record.basis != "exact"]
    count = sum(record.live for record in indexed)
    if any(record.basis == "unknown" for record in indexed):
        return ExpectedRecall.unknown(K, chunks, count)
    missed = sum((1 - record.recall) * record.live for record in indexed)
    low = min(1.0, sum((record.below_0_8 for record in indexed), 0.0))
    bases = sorted({record.basis for record in indexed})
    return ExpectedRecall(
        k=K,
        recall=round(1 - missed / max(chunks, 1), 4),
        below_0_8=round(low, 4),
        questions=_questions(indexed),
        basis=cast("Basis", " and ".join(bases) or "exact"),
        chunks=chunks,
        indexed=count,
    )


def _questions(indexed: Sequence[Recorded]) -> int:
    """On how many vectors and queries these rest: calibrations made their own, given queries were the same for all."""
    made = sum(record.questions for record in indexed if record.basis == "calibration")
    return made + max((record.questions for record in indexed if record.basis == "questions"), default=0)


def keep_measured(versions: Versions, snapshot: Snapshot, true: Places, hits: Places) -> None:
    """Record beside each index what given queries found in it: `true`, `hits`: `(m, K)` places, -1 where there is none.

    Raises BackendError (read-only, disk full); what was recorded until then stays.
    """
    is_found = np.array([np.isin(places, answer) for places, answer in zip(true, hits, strict=True)])
    for number, segment in enumerate(snapshot.segments):
        lies_here = (true >= 0) & (true >> ROW_BITS == number)
        if lies_here.any() and versions.has_derived(segment, index.faiss.SPEC):
            measured = _measured(lies_here.sum(axis=1), (is_found & lies_here).sum(axis=1))
            versions.put_measured(segment.id, index.faiss.SPEC, {**measured, "commit": snapshot.commit.id})


def _measured(exist: npt.NDArray[np.int64], hits: npt.NDArray[np.int64]) -> Json:
    """The record of a segment: of each query, `(m,)`, how many true hits lie there, and how many were found."""
    low = (hits < LOW * exist).sum() / len(exist)
    return {
        "k": K,
        "recall": round(float(hits.sum() / exist.sum()), 4),
        "below_0_8": round(float(low), 4),
        "queries": len(exist),
    }


def _recorded(versions: Versions, segment: str, live: int) -> Recorded:
    facts = versions.derived_facts(segment, index.faiss.SPEC)
    if facts is None:
        return Recorded(live, "exact")
    measured = versions.measured(segment, index.faiss.SPEC)
    record, basis = (measured, "questions") if measured else (facts.get(index.faiss.EXPECTED), "calibration")
    if not record or record.get("k") != K:
        return Recorded(live, "unknown")
    return Recorded(live, basis, record["recall"], record["below_0_8"], record["queries"])
