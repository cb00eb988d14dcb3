"""Versions: segments, layouts, commits, refs. The door of the wing; it knows nothing of text or search engines."""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.repo import approvals, datasets, measures, policies, question_sets, recipes, ref_moves
    from vecver.repo.ancestry import common_ancestors
    from vecver.repo.landing import Landing, Place, land, turn_at
    from vecver.repo.maintain.checking import check
    from vecver.repo.maintain.repairing import advice, drop_derived, repair
    from vecver.repo.maintain.retention import GRACE, Retention
    from vecver.repo.maintain.rewrite import Rewrite
    from vecver.repo.objects import parents_first
    from vecver.repo.opened import OPEN_BYTES
    from vecver.repo.published import ledger
    from vecver.repo.published.ledger import (
        UNCOUNTED,
        Again,
        Collection,
        Import,
        Intent,
        Ledger,
        Part,
        Publications,
        State,
    )
    from vecver.repo.published.rows import Places, changes, keys_at, live_places, read_rows, roots_of
    from vecver.repo.read.differences import diff, diff_document, diff_documents, lacking
    from vecver.repo.read.documents import KnownDocument, KnownRows, find_absent, find_known, known_rows
    from vecver.repo.read.export import ROW_FILES, open_rows, prove_rows, write_rows
    from vecver.repo.read.listing import ChunkList, DocumentOrder, chunk_list, listed_keys
    from vecver.repo.read.row_documents import RowDocuments
    from vecver.repo.read.snapshot import ChunkRow, Owner, SearchPart, Snapshot
    from vecver.repo.read.three_way import Comparison, ThreeWay
    from vecver.repo.refs import names, remotes
    from vecver.repo.refs.refs import KINDS, Kind, check_free, check_name, missing, ref_moved, with_gating
    from vecver.repo.root import create, exists
    from vecver.repo.rows.cells import METADATA, POSITION, document_id
    from vecver.repo.rows.kernel.loading import use as kernel_use
    from vecver.repo.rows.layout import Layout, rows_of
    from vecver.repo.rows.positions import chunk_owners, named_positions
    from vecver.repo.rows.roots import Roots
    from vecver.repo.rows.schema import keys_array, metadata_columns, metadata_of, metadata_of_all, origin_of
    from vecver.repo.rows.segment import Segment, segment_ids
    from vecver.repo.rows.sketched import chunk_blocks, document_sizes
    from vecver.repo.rows.verifier import PENDING
    from vecver.repo.sync.exchange import Options as SyncOptions
    from vecver.repo.sync.handing_out import DatasetObjects
    from vecver.repo.sync.lent import lent
    from vecver.repo.sync.partial import bring_rows, has_rows, pin, prove, unpin
    from vecver.repo.sync.pushing import push
    from vecver.repo.sync.receiving import begin_clone, clone, fetch, pull
    from vecver.repo.sync.service import check_takes_push, open_remote
    from vecver.repo.sync.vouching import check_remote
    from vecver.repo.versions import Clock, Versions
    from vecver.repo.write.draft import Draft, WrittenRows
    from vecver.repo.write.joining import Joined, join
    from vecver.repo.write.new_rows import NewChunks, NewDocument, NewRows, record_rows
    from vecver.repo.write.object_facts import ObjectFacts
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
    "Comparison",
    "DatasetObjects",
    "DocumentOrder",
    "Draft",
    "Import",
    "Intent",
    "Joined",
    "Kind",
    "KnownDocument",
    "KnownRows",
    "Landing",
    "Layout",
    "Ledger",
    "NewChunks",
    "NewDocument",
    "NewRows",
    "ObjectFacts",
    "Owner",
    "Part",
    "Place",
    "Places",
    "Publications",
    "Retention",
    "Rewrite",
    "Roots",
    "RowDocuments",
    "SearchPart",
    "Segment",
    "Snapshot",
    "State",
    "SyncOptions",
    "ThreeWay",
    "Versions",
    "WrittenRows",
    "advice",
    "approvals",
    "begin_clone",
    "bring_rows",
    "changes",
    "check",
    "check_free",
    "check_name",
    "check_remote",
    "check_takes_push",
    "chunk_blocks",
    "chunk_list",
    "chunk_owners",
    "clone",
    "common_ancestors",
    "create",
    "datasets",
    "diff",
    "diff_document",
    "diff_documents",
    "document_id",
    "document_sizes",
    "drop_derived",
    "exists",
    "fetch",
    "find_absent",
    "find_known",
    "has_rows",
    "join",
    "kernel_use",
    "keys_array",
    "keys_at",
    "known_rows",
    "lacking",
    "land",
    "ledger",
    "lent",
    "listed_keys",
    "live_places",
    "measures",
    "metadata_columns",
    "metadata_of",
    "metadata_of_all",
    "missing",
    "named_positions",
    "names",
    "open_remote",
    "open_rows",
    "origin_of",
    "parents_first",
    "pin",
    "policies",
    "prove",
    "prove_rows",
    "pull",
    "push",
    "question_sets",
    "read_rows",
    "recipes",
    "record_rows",
    "ref_moved",
    "ref_moves",
    "remotes",
    "repair",
    "roots_of",
    "rows_of",
    "segment_ids",
    "turn_at",
    "unpin",
    "with_gating",
    "write_rows",
]
