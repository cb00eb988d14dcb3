"""The private members of the product that tests of several rooms need, each read in one place.

versions_of     a handle's `repo.Versions`: layouts, segments and drafts, which the public interface does not show
session_of      what the handles of a repository share: its upkeep, its embedders, its connections to Milvus
waiting_jobs    the branches whose upkeep is running or waiting
contents_of     the objects of a store by name; through the public interface of stores
"""

from __future__ import annotations

from collections.abc import Mapping

import vecver
from vecver import repo
from vecver.local.session import Session
from vecver.store import MemoryStore, Store

Handle = vecver.Repository | vecver.Dataset


def versions_of(handle: Handle) -> repo.Versions:
    """The versions behind a repository or a dataset, with what they hold open."""
    return handle._versions


def session_of(handle: Handle) -> Session:
    """The session behind a repository or a dataset."""
    return handle._session


def waiting_jobs(handle: Handle) -> list[tuple[str, str]]:
    """(dataset, branch) of every job that was handed to the thread and has not ended; the running one first."""
    return [(job.dataset, job.branch) for job in session_of(handle).upkeep._jobs() if not job.ended.is_set()]


def contents_of(store: Store) -> dict[str, bytes]:
    """Every object of a store."""
    return {name: store.get(name) for name in store.list("")}


def store_of(contents: Mapping[str, bytes]) -> MemoryStore:
    """A new store in memory that holds these objects."""
    store = MemoryStore()
    for name, body in contents.items():
        store.put(name, body)
    return store
