"""Milvus: connections, limits, errors, and filters as its expressions."""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.index.milvus.connection import DONE, FAILED, FIELDS, Connection, Importing, address, connect
    from vecver.index.milvus.files import parquet_of, table_of
    from vecver.index.milvus.limits import FLAT, LIMIT, LIVE, alias_name, collection_name, pinned, row_id
else:
    __getattr__, __dir__ = lazily(__name__)

__all__ = [
    "DONE",
    "FAILED",
    "FIELDS",
    "FLAT",
    "LIMIT",
    "LIVE",
    "Connection",
    "Importing",
    "address",
    "alias_name",
    "collection_name",
    "connect",
    "parquet_of",
    "pinned",
    "row_id",
    "table_of",
]
