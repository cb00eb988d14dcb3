"""The verbs that need two wings, one file each. Each reads as a story from top to bottom."""

from vecver.flows.arrivals import Source
from vecver.flows.export import OneVersion, check_export, export, open_export
from vecver.flows.indexing import Progress
from vecver.flows.ingest import ingest
from vecver.flows.preparation import Options
from vecver.flows.recall import recall
from vecver.flows.replay import replay
from vecver.flows.search import Query, answers, search
from vecver.flows.status import status
from vecver.flows.tidying import garbage, optimize

__all__ = [
    "OneVersion",
    "Options",
    "Progress",
    "Query",
    "Source",
    "answers",
    "check_export",
    "export",
    "garbage",
    "ingest",
    "open_export",
    "optimize",
    "recall",
    "replay",
    "search",
    "status",
]
