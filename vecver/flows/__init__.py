"""The verbs that need two wings, one file each. Each reads as a story from top to bottom."""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.flows.compiled import kernels
    from vecver.flows.evaluating.approving import approve, ask_approval, needs_approval, reject
    from vecver.flows.evaluating.bisecting import bisect
    from vecver.flows.evaluating.comparing import compare
    from vecver.flows.evaluating.drifting import drift
    from vecver.flows.evaluating.drifting import summary as sketch_summary
    from vecver.flows.evaluating.expectations import expected_recall
    from vecver.flows.evaluating.gates import Bench, attempt_of, read_gates
    from vecver.flows.evaluating.histories import measure_history, wanted_of
    from vecver.flows.evaluating.index_recall import recall
    from vecver.flows.evaluating.promoting import (
        check_promotion,
        check_way_back,
        check_with_gates,
        new_policy,
        with_measured,
    )
    from vecver.flows.evaluating.question_files import Source as Questions
    from vecver.flows.evaluating.question_files import find_questions, read_questions
    from vecver.flows.evaluating.relevance import evaluate
    from vecver.flows.evaluating.runs import PREFIX as RUNS
    from vecver.flows.evaluating.runs import Engine as EvalEngine
    from vecver.flows.evaluating.runs import rank_of
    from vecver.flows.evaluating.tuning import tune_weight
    from vecver.flows.exporting import OneVersion, check_export, export, open_export
    from vecver.flows.ingesting.comparing import status
    from vecver.flows.ingesting.deletions import delete, deletion
    from vecver.flows.ingesting.head import check_expected
    from vecver.flows.ingesting.ingestion import ingest
    from vecver.flows.ingesting.recipe import Options
    from vecver.flows.ingesting.shortfalls import KIND as SHORTFALLS
    from vecver.flows.ingesting.shortfalls import partial_reads
    from vecver.flows.ingesting.sources import ALL, Places, Source, places_of, recognised, surroundings
    from vecver.flows.ingesting.upserts import (
        ADDED,
        Rows,
        add,
        additions,
        check_space,
        nothing,
        read_rows,
        upsert,
        with_repeated,
    )
    from vecver.flows.maintaining.compaction import garbage, optimize
    from vecver.flows.maintaining.repairing import repair
    from vecver.flows.maintaining.upkeep import Upkeep
    from vecver.flows.merging import merge, merging_of
    from vecver.flows.opened_postings import index_bytes
    from vecver.flows.publishing.importing import Importer, open_storage
    from vecver.flows.publishing.publications import check_published, forget, published, unpublish
    from vecver.flows.publishing.publisher import Publisher
    from vecver.flows.reading.chunks import chunk_page, one_chunk, read_chunks
    from vecver.flows.reading.document_history import document_history
    from vecver.flows.reading.documents import checked_ids, count_matching, document_ids, get_documents
    from vecver.flows.reading.fields import fields_of
    from vecver.flows.reading.selecting import check_chunk, check_page
    from vecver.flows.replaying import replay
    from vecver.flows.searching.modes import Fusion, Mode, TextAndVector
    from vecver.flows.searching.queries import Query, query_vector
    from vecver.flows.searching.questions import Missing, Question
    from vecver.flows.searching.search import OpenMilvus, answers, search
    from vecver.progress import Progress
else:
    __getattr__, __dir__ = lazily(__name__)

__all__ = [
    "ADDED",
    "ALL",
    "RUNS",
    "SHORTFALLS",
    "Bench",
    "EvalEngine",
    "Fusion",
    "Importer",
    "Missing",
    "Mode",
    "OneVersion",
    "OpenMilvus",
    "Options",
    "Places",
    "Progress",
    "Publisher",
    "Query",
    "Question",
    "Questions",
    "Rows",
    "Source",
    "TextAndVector",
    "Upkeep",
    "add",
    "additions",
    "answers",
    "approve",
    "ask_approval",
    "attempt_of",
    "bisect",
    "check_chunk",
    "check_expected",
    "check_export",
    "check_page",
    "check_promotion",
    "check_published",
    "check_space",
    "check_way_back",
    "check_with_gates",
    "checked_ids",
    "chunk_page",
    "compare",
    "count_matching",
    "delete",
    "deletion",
    "document_history",
    "document_ids",
    "drift",
    "evaluate",
    "expected_recall",
    "export",
    "fields_of",
    "find_questions",
    "forget",
    "garbage",
    "get_documents",
    "index_bytes",
    "ingest",
    "kernels",
    "measure_history",
    "merge",
    "merging_of",
    "needs_approval",
    "new_policy",
    "nothing",
    "one_chunk",
    "open_export",
    "open_storage",
    "optimize",
    "partial_reads",
    "places_of",
    "published",
    "query_vector",
    "rank_of",
    "read_chunks",
    "read_gates",
    "read_questions",
    "read_rows",
    "recall",
    "recognised",
    "reject",
    "repair",
    "replay",
    "search",
    "sketch_summary",
    "status",
    "surroundings",
    "tune_weight",
    "unpublish",
    "upsert",
    "wanted_of",
    "with_measured",
    "with_repeated",
]
