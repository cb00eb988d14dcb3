"""Frozen values that pass between the packages. They do no I/O.

A document becomes, in this order: `Original` (bytes or text of its source), `Parsed` (Markdown), `Chunk`s (spans of
that Markdown), rows of a segment, `Hit`s of an `Answer`. Many records at once are `Records`, in columns.
"""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.model.answers import Answer, Hit, Part, Replay, Side
    from vecver.model.approvals import Approval
    from vecver.model.bisections import Bisection, Tested
    from vecver.model.comparisons import Change, Compared, Comparison, Delta, Why
    from vecver.model.datasets import DatasetRemoval
    from vecver.model.differences import ChunkDiff, DocumentDiff
    from vecver.model.documents import Chunk, Coverage, Failure, Mark, Original, Parsed, Unread
    from vecver.model.drifts import Drift, Example, Share, SketchSummary, Statistic
    from vecver.model.embedder import Embedder, PartEmbedder, TokenCounts
    from vecver.model.endpoints import Endpoints
    from vecver.model.evaluations import Evaluated, Evaluation, Mean
    from vecver.model.expectations import ExpectedRecall
    from vecver.model.gates import GateResult, Gating, Policy
    from vecver.model.kernels import KernelUse
    from vecver.model.locks import Lock, LockedVersion
    from vecver.model.measure_histories import MeasuredVersion, MeasureHistory, StoredMeasure
    from vecver.model.merges import Merge, MergeConflict
    from vecver.model.positions import NOWHERE, Position
    from vecver.model.publications import Milvus, Publication, PublishedRows
    from vecver.model.question_sets import JudgedQuestion, QuestionSet, RankedDocument
    from vecver.model.records import Records, singly
    from vecver.model.reports import Check, Export, Garbage, Optimized, Problem, Recall, RecallAt, Report
    from vecver.model.rerankers import OpenedReranker, Reranked, Reranker
    from vecver.model.sharing import RefState, Remote, SharedRef, Synced, Transferred
    from vecver.model.spaces import Json, Metric, Recipe, Space, Vectors, Verify
    from vecver.model.stored import MISSING, Count, Document, Field, Fields, StoredChunk
    from vecver.model.streams import Chunks, Log
    from vecver.model.tunings import Tuning
    from vecver.model.versions import ChunkCounts, Commit, Diff, Move
else:
    __getattr__, __dir__ = lazily(__name__)

__all__ = [
    "MISSING",
    "NOWHERE",
    "Answer",
    "Approval",
    "Bisection",
    "Change",
    "Check",
    "Chunk",
    "ChunkCounts",
    "ChunkDiff",
    "Chunks",
    "Commit",
    "Compared",
    "Comparison",
    "Count",
    "Coverage",
    "DatasetRemoval",
    "Delta",
    "Diff",
    "Document",
    "DocumentDiff",
    "Drift",
    "Embedder",
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
    "GateResult",
    "Gating",
    "Hit",
    "Json",
    "JudgedQuestion",
    "KernelUse",
    "Lock",
    "LockedVersion",
    "Log",
    "Mark",
    "Mean",
    "MeasureHistory",
    "MeasuredVersion",
    "Merge",
    "MergeConflict",
    "Metric",
    "Milvus",
    "Move",
    "OpenedReranker",
    "Optimized",
    "Original",
    "Parsed",
    "Part",
    "PartEmbedder",
    "Policy",
    "Position",
    "Problem",
    "Publication",
    "PublishedRows",
    "QuestionSet",
    "RankedDocument",
    "Recall",
    "RecallAt",
    "Recipe",
    "Records",
    "RefState",
    "Remote",
    "Replay",
    "Report",
    "Reranked",
    "Reranker",
    "Share",
    "SharedRef",
    "Side",
    "SketchSummary",
    "Space",
    "Statistic",
    "StoredChunk",
    "StoredMeasure",
    "Synced",
    "Tested",
    "TokenCounts",
    "Transferred",
    "Tuning",
    "Unread",
    "Vectors",
    "Verify",
    "Why",
    "singly",
]
