"""Repair: rebuild what can be derived from sound files, then check, and advise on the problems that are left.

refs, layouts, look-up orders, the list of what waits for gc -> indexes -> check everything from its bytes
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
    """Rebuild what can be rebuilt, then check: `repaired` lists what was rebuilt, `problems` what is left."""
    store = versions.store
    repaired = [*repo.repair(store), *_indexes(versions)]
    versions.forget_verified()
    check = repo.check(store, progress)
    problems = [Problem(left.object, f"{left.problem}; {repo.advice(left.object)}") for left in check.problems]
    return replace(check, problems=tuple(problems), repaired=tuple(repaired))


def _indexes(versions: Versions) -> list[Problem]:
    """Rebuild the unreadable indexes of segments whose rows are sound, and drop their other derived files."""
    repaired: list[Problem] = []
    for id in repo.segment_ids(versions.store):
        try:
            segment = Segment(versions.store, id)
            segment.verify()
        except VecverError:
            continue
        if index_segments(versions, [segment], mend=True):
            repaired.append(Problem(f"segments/{id}", "its index was built again"))
        repaired += repo.drop_derived(versions.store, id)
    return repaired
