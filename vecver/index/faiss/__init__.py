"""FAISS: one index over all rows of a segment, shared by every version of them. It proposes; `scoring` decides.

    library     the FAISS package and its threads
    costs       when a segment gets an index, and when a search uses it
    effort      how far a search looks; calibration measures it
    expectation the recall that it is expected to reach
    building    building, growing and calibrating an index
    opened      an index in memory, and the view that one version has of it
    proposing   the candidates of a query

Decisions
1. IVF over 4-bit product codes instead of HNSW. It builds in 2 s instead of 24 (100,000 x 384) and takes a thirtieth
   of the vectors' bytes instead of 30%. A mask costs it little: with half of the rows dead, 101 us a query at recall
   0.95, where HNSW,SQ8 takes 161, and a masked HNSW lost up to 0.8 of its recall where whole clusters had died.
2. An index is read into memory, not mapped: it is small, and checking its digest reads all of it anyway.
"""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.index.faiss import costs
    from vecver.index.faiss.building import build, build_flat, grows, raised, recalibrated
    from vecver.index.faiss.costs import SPEC, proposes, wanted
    from vecver.index.faiss.effort import Effort
    from vecver.index.faiss.expectation import EXPECTED, has_expectation
    from vecver.index.faiss.library import one_thread, products, version
    from vecver.index.faiss.opened import Index, View, is_calibrated, load
    from vecver.index.faiss.proposing import candidates
else:
    __getattr__, __dir__ = lazily(__name__)

__all__ = [
    "EXPECTED",
    "SPEC",
    "Effort",
    "Index",
    "View",
    "build",
    "build_flat",
    "candidates",
    "costs",
    "grows",
    "has_expectation",
    "is_calibrated",
    "load",
    "one_thread",
    "products",
    "proposes",
    "raised",
    "recalibrated",
    "version",
    "wanted",
]
