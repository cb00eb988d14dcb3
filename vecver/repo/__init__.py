"""Versions: segments, layouts, commits, refs. The door of the wing; it knows nothing of text or search engines."""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.repo import datasets, measures, moves, names, publications
    from vecver.repo.checking import check
    from vecver.repo.differences import diff, diff_document
    from vecver.repo.documents import KnownDocument
    from vecver.repo.draft import Draft, NewChunks, NewDocument
    from vecver.repo.exported import ROW_FILES, open_rows, prove_rows, write_rows
    from vecver.repo.landing import Landing, Place, land, turn_at
    from vecver.repo.layout import Layout
    from vecver.repo.objects import parents_first
    from vecver.repo.positions import PREFIX as POSITION
    from vecver.repo.positions import named as named_positions
    from vecver.repo.positions import owners_of as chunk_owners
    from vecver.repo.publications import UNCOUNTED, Again, Collection, Intent, Ledger, Publications, State
    from vecver.repo.published import Places, changes, keys_at, live_places, read_rows, roots_of
    from vecver.repo.reading import ChunkList, DocumentOrder, chunk_list
    from vecver.repo.refs import KINDS, Kind, check_name, missing, ref_moved
    from vecver.repo.relay import Relay
    from vecver.repo.repairing import advice, drop_derived, repair
    from vecver.repo.repository import OPEN_BYTES, Clock, Versions, create, exists
    from vecver.repo.retention import GRACE, Retention
    from vecver.repo.roots import Roots
    from vecver.repo.rows import METADATA, document_id, metadata_columns, metadata_of, metadata_of_all
    from vecver.repo.segment import Segment, segment_ids
    from vecver.repo.snapshot import ChunkRow, Owner, SearchPart, Snapshot
    from vecver.repo.verify import PENDING
else:
    __getattr__, __dir__ = lazily(__name__)

__all__ = [
    "GRACE",
    "KINDS",
    "METADATA",
    "OPEN_BYTES",
    "PENDING",
    "POSITION",
    "ROW_FILES",
    "UNCOUNTED",
    "Again",
    "ChunkList",
    "ChunkRow",
    "Clock",
    "Collection",
    "DocumentOrder",
    "Draft",
    "Intent",
    "Kind",
    "KnownDocument",
    "Landing",
    "Layout",
    "Ledger",
    "NewChunks",
    "NewDocument",
    "Owner",
    "Place",
    "Places",
    "Publications",
    "Relay",
    "Retention",
    "Roots",
    "SearchPart",
    "Segment",
    "Snapshot",
    "State",
    "Versions",
    "advice",
    "changes",
    "check",
    "check_name",
    "chunk_list",
    "chunk_owners",
    "create",
    "datasets",
    "diff",
    "diff_document",
    "document_id",
    "drop_derived",
    "exists",
    "keys_at",
    "land",
    "live_places",
    "measures",
    "metadata_columns",
    "metadata_of",
    "metadata_of_all",
    "missing",
    "moves",
    "named_positions",
    "names",
    "open_rows",
    "parents_first",
    "prove_rows",
    "publications",
    "read_rows",
    "ref_moved",
    "repair",
    "roots_of",
    "segment_ids",
    "turn_at",
    "write_rows",
]
