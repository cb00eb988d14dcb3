"""Datasets for filters, and the documents that a filter selects."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from helpers import open_on, vector_of

import vecver
from vecver.store import MemoryStore

ONES = np.ones(8, np.float32)
WIDE = ["12345678901234567.89", "12345678901234567.91", "-98765432109876543210", "0.1000000000000000000001"]
BERLIN = ZoneInfo("Europe/Berlin")
INSTANTS = [
    "2026-10-25T02:30:00+02:00",
    "2026-10-25T02:30:00+01:00",
    "2026-10-25T00:30:00Z",
    "2026-10-25 01:29:59.999999+00",
    "2026-10-24T20:30:00-0400",
]


def dataset(*versions: dict[str, dict[str, Any]]) -> vecver.Dataset:
    docs = open_on(MemoryStore()).dataset("d")
    for documents in versions:
        records = [{"id": id, "text": id, "vector": vector_of(id), **fields} for id, fields in documents.items()]
        docs.ingest(records, space="test", metric="ip")
    return docs


def found(docs: vecver.Dataset, filter: Any, **how: Any) -> str:
    """The documents that match, as one word in order."""
    return "".join(sorted(hit.document for hit in docs.search(ONES, k=100, filter=filter, **how)))
