"""Repair: make again what is derived, then check, and say of what is left what helps.

refs, layouts, look-ups, the list of what waits -> indexes -> check everything, whatever was believed before
"""

from __future__ import annotations

from dataclasses import replace

from vecver import repo
from vecver.errors import VecverError
from vecver.flows.maintaining.indexing import index_segments
from vecver.model import Check, Problem
from vecver.progress import Progress
from vecver.repo import Segment, Versions


def repair(versions: Versions, progress: Progress | None = None) -> Check:
    """What `check` finds once all that can be made again was: `repaired` says what, `problems` what is left."""
    store = versions.store
    repaired = [*repo.repair(store), *_indexes(versions)]
    versions.forget_verified()
    found = repo.check(store, progress)
    left = tuple(Problem(one.object, f"{one.problem}; {repo.advice(one.object)}") for one in found.problems)
    return replace(found, problems=left, repaired=tuple(repaired))


def _indexes(versions: Versions) -> list[Problem]:
    """Build the indexes that cannot be read, of segments whose rows are sound; set other derived files aside."""
    done: list[Problem] = []
    for id in repo.segment_ids(versions.store):
        try:
            segment = Segment(versions.store, id)
            segment.verify()
        except VecverError:
            continue
        if index_segments(versions, [segment], mend=True):
            done.append(Problem(f"segments/{id}", "its index was built again"))
        done += repo.drop_derived(versions.store, id)
    return done
