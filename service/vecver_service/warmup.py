"""Opening versions before anybody waits for them, and sparing callers the pauses of Python's garbage collector.

Decisions
- 2026-11-26 what libraries have loaded is frozen out of garbage collection: a full collection of torch's objects
  stopped every request for 0.11 to 0.17 s, 15 times while 50 uploads were read.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import vecver
from vecver.errors import VecverError

_log = logging.getLogger("vecver.service")
_modules_frozen = 0


def freeze_modules() -> None:
    """Exempt all objects from garbage collection, where libraries were imported since this was last done."""
    global _modules_frozen
    if len(sys.modules) > _modules_frozen:
        _modules_frozen = len(sys.modules)
        gc.freeze()


def warm(docs: vecver.Dataset, at: str) -> None:
    """Open a version and its index, and search it once. Raises what a search at it would."""
    dim = docs.show(at).recipe.space.dim
    docs.search([1.0, *[0.0] * (dim - 1)], at=at, k=1)


def warm_all(repository: vecver.Repository, named: tuple[str, ...]) -> None:
    """Open the versions that are named ("DATASET@REVISION"), or every alias; and load what embeds their questions."""
    for name, at in [version_of(one) for one in named] or _aliases(repository):
        with _told(name, at):
            docs = repository.dataset(name)
            warm(docs, at)
            if not docs.show(at).recipe.embedder.get("given"):
                docs.search("warm", at=at, k=1)


def version_of(name: str) -> tuple[str, str]:
    """What DATASET@REVISION names; without a revision it is `main`."""
    dataset, _, revision = name.partition("@")
    return dataset, revision or "main"


def _aliases(repository: vecver.Repository) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name in repository.datasets():
        with _told(name, "its aliases"):
            found += [(name, alias) for alias in repository.dataset(name).aliases()]
    return found


@contextmanager
def _told(name: str, at: str) -> Iterator[None]:
    """What is not opened is in the log: the others can be served, and who asks this one is told the same."""
    try:
        yield
    except VecverError as error:
        _log.error("not warmed", extra={"dataset": name, "revision": at, "code": error.code, "why": error.message})
    except Exception as error:
        _log.error("not warmed", exc_info=error, extra={"dataset": name, "revision": at})
