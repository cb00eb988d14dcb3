"""vecver: version control for what a RAG application retrieves from.

import vecver

repo = vecver.open("./kb", create=True)
docs = repo.dataset("handbook")

june = docs.ingest("handbook/", message="June handbook")
docs.tag("2026-06", june)
docs.promote("prod", "2026-06")

answer = docs.search("How do I bleed the valve?", at="prod", k=5)
for hit in answer:
    print(f"{hit.score:.3f}  {hit.document}  {hit.text[:60]}")

docs.ingest("handbook/", message="July handbook")     # embeds only what changed
print(docs.diff("2026-06", "main"))
docs.rollback("prod")                                 # to where it was; a ref move
assert vecver.replay(repo, answer.receipt).identical
docs.publish("main", to="http://localhost:19530")     # Milvus
"""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.arguments import replay
    from vecver.errors import (
        AccessError,
        ApprovalError,
        BackendError,
        ConflictError,
        GateError,
        IntegrityError,
        InvalidInputError,
        NotFoundError,
        NotPublishedError,
        SpaceMismatchError,
        VecverError,
    )
    from vecver.flows import kernels
    from vecver.local.dataset import Dataset
    from vecver.local.locking import Locked, open_locked, sync
    from vecver.local.repository import Repository, clone, create, open
    from vecver.local.snapshot import Snapshot, open_snapshot
    from vecver.model import (
        Answer,
        Approval,
        Bisection,
        Change,
        Check,
        Chunks,
        Commit,
        Compared,
        Comparison,
        Count,
        DatasetRemoval,
        Delta,
        Diff,
        Document,
        DocumentDiff,
        Drift,
        Endpoints,
        Evaluated,
        Evaluation,
        Example,
        ExpectedRecall,
        Export,
        Failure,
        Field,
        Fields,
        Garbage,
        GateResult,
        Gating,
        Hit,
        JudgedQuestion,
        KernelUse,
        Lock,
        LockedVersion,
        Log,
        Mean,
        MeasuredVersion,
        MeasureHistory,
        Merge,
        MergeConflict,
        Milvus,
        Move,
        Optimized,
        Policy,
        Publication,
        QuestionSet,
        RankedDocument,
        Recall,
        RecallAt,
        Remote,
        Replay,
        Report,
        Reranked,
        Reranker,
        Share,
        SharedRef,
        Side,
        SketchSummary,
        Space,
        Statistic,
        StoredChunk,
        StoredMeasure,
        Synced,
        Tested,
        Transferred,
        Tuning,
    )
    from vecver.pipeline import ObjectEmbedder, embedder
    from vecver.progress import listening
    from vecver.remote.repository import RemoteDataset, RemoteRepository, connect
    from vecver.store import MemoryStore, Store
    from vecver.version import __version__
else:
    __getattr__, __dir__ = lazily(__name__)

__all__ = [
    "AccessError",
    "Answer",
    "Approval",
    "ApprovalError",
    "BackendError",
    "Bisection",
    "Change",
    "Check",
    "Chunks",
    "Commit",
    "Compared",
    "Comparison",
    "ConflictError",
    "Count",
    "Dataset",
    "DatasetRemoval",
    "Delta",
    "Diff",
    "Document",
    "DocumentDiff",
    "Drift",
    "Endpoints",
    "Evaluated",
    "Evaluation",
    "Example",
    "ExpectedRecall",
    "Export",
    "Failure",
    "Field",
    "Fields",
    "Garbage",
    "GateError",
    "GateResult",
    "Gating",
    "Hit",
    "IntegrityError",
    "InvalidInputError",
    "JudgedQuestion",
    "KernelUse",
    "Lock",
    "Locked",
    "LockedVersion",
    "Log",
    "Mean",
    "MeasureHistory",
    "MeasuredVersion",
    "MemoryStore",
    "Merge",
    "MergeConflict",
    "Milvus",
    "Move",
    "NotFoundError",
    "NotPublishedError",
    "ObjectEmbedder",
    "Optimized",
    "Policy",
    "Publication",
    "QuestionSet",
    "RankedDocument",
    "Recall",
    "RecallAt",
    "Remote",
    "RemoteDataset",
    "RemoteRepository",
    "Replay",
    "Report",
    "Repository",
    "Reranked",
    "Reranker",
    "Share",
    "SharedRef",
    "Side",
    "SketchSummary",
    "Snapshot",
    "Space",
    "SpaceMismatchError",
    "Statistic",
    "Store",
    "StoredChunk",
    "StoredMeasure",
    "Synced",
    "Tested",
    "Transferred",
    "Tuning",
    "VecverError",
    "__version__",
    "clone",
    "connect",
    "create",
    "embedder",
    "kernels",
    "listening",
    "open",
    "open_locked",
    "open_snapshot",
    "replay",
    "sync",
]
