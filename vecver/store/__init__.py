"""Stores bytes under names, with one conditional write."""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.store.api import Store, get_or_none, writing
    from vecver.store.folder import measured, new_folder, verify_folder
    from vecver.store.local import LocalStore
    from vecver.store.memory import MemoryStore
    from vecver.store.opening import BUCKETS, StoreAddress, address_of, open_store
    from vecver.store.requests import Entry, Tag, UnreadableName
    from vecver.store.source_bucket import SourceBucket, Unlisted
else:
    __getattr__, __dir__ = lazily(__name__)

__all__ = [
    "BUCKETS",
    "Entry",
    "LocalStore",
    "MemoryStore",
    "SourceBucket",
    "Store",
    "StoreAddress",
    "Tag",
    "Unlisted",
    "UnreadableName",
    "address_of",
    "get_or_none",
    "measured",
    "new_folder",
    "open_store",
    "verify_folder",
    "writing",
]
