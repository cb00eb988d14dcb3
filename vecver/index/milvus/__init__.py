"""Milvus: connections, limits, errors, and filters as its expressions."""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.index.milvus.connection import FIELDS, Connection, address, connect
    from vecver.index.milvus.limits import FLAT, LIMIT, LIVE, alias_name, collection_name, pinned, row_id
else:
    __getattr__, __dir__ = lazily(__name__)

__all__ = [
    "FIELDS",
    "FLAT",
    "LIMIT",
    "LIVE",
    "Connection",
    "address",
    "alias_name",
    "collection_name",
    "connect",
    "pinned",
    "row_id",
]
