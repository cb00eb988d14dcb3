"""The verbs that need two wings, one file each. Each reads as a story from top to bottom."""

from vecver.flows.export import OneVersion, check_export, export, open_export
from vecver.flows.indexing import Progress
from vecver.flows.ingest import ingest
from vecver.flows.preparation import Options
from vecver.flows.publications import check_published, forget, published, unpublish
from vecver.flows.publish import Publisher
from vecver.flows.recall import recall
from vecver.flows.repair import repair
from vecver.flows.replay import replay
from vecver.flows.search import Query, Through, answers, check_question, query_vector, search
from vecver.flows.shortfalls import KIND as SHORTFALLS
from vecver.flows.shortfalls import partial_reads
from vecver.flows.sources import ALL, Places, Source, places_of, recognised, surroundings
from vecver.flows.status import status
from vecver.flows.tidying import garbage, optimize

__all__ = [
    "ALL",
    "SHORTFALLS",
    "OneVersion",
    "Options",
    "Places",
    "Progress",
    "Publisher",
    "Query",
    "Source",
    "Through",
    "answers",
    "check_export",
    "check_published",
    "check_question",
    "export",
    "forget",
    "garbage",
    "ingest",
    "open_export",
    "optimize",
    "partial_reads",
    "places_of",
    "published",
    "query_vector",
    "recall",
    "recognised",
    "repair",
    "replay",
    "search",
    "status",
    "surroundings",
    "unpublish",
]
