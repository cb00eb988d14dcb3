"""Opens versions before requests wait for them, and keeps garbage collection from pausing requests.

Decisions
1. Objects of imported libraries are frozen, so that garbage collection skips them: a full collection of torch's
   objects stopped every request for 0.11 to 0.17 s, 15 times while 50 uploads were read.
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
    """Exempt all objects from garbage collection, if libraries were imported since the last call."""
    global _modules_frozen
    if len(sys.modules) > _modules_frozen:
        _modules_frozen = len(sys.modules)
        gc.freeze()


def warm(docs: vecver.Dataset, at: str) -> None:
    """Open a version and its index by searching it once. Raises what the search raises."""
    dim = docs.show(at).recipe.space.dim
    docs.search([1.0, *[0.0] * (dim - 1)], at=at, k=1)


def warm_all(repository: vecver.Repository, versions: tuple[str, ...]) -> None:
    """Open these versions ("DATASET@REVISION"), or every alias where there are none, and load their embedders."""
    for name, at in [version_of(version) for version in versions] or _aliases(repository):
        with _errors_logged(name, at):
            docs = repository.dataset(name)
            warm(docs, at)
            if not docs.show(at).recipe.embedder.get("given"):
                docs.search("warm", at=at, k=1)


def version_of(name: str) -> tuple[str, str]:
    """(dataset, revision) of DATASET@REVISION; without a revision it is `main`."""
    dataset, _, revision = name.partition("@")
    return dataset, revision or "main"


def _aliases(repository: vecver.Repository) -> list[tuple[str, str]]:
    aliases: list[tuple[str, str]] = []
    for name in repository.datasets():
        with _errors_logged(name, "its aliases"):
            aliases += [(name, alias) for alias in repository.dataset(name).aliases()]
    return aliases


@contextmanager
def _errors_logged(name: str, at: str) -> Iterator[None]:
    """Logs what cannot be opened and goes on: other versions can be served, and a search of this one raises again."""
    try:
        yield
    except VecverError as error:
        _log.error("not warmed", extra={"dataset": name, "revision": at, "code": error.code, "why": error.message})
    except Exception as error:
        _log.error("not warmed", exc_info=error, extra={"dataset": name, "revision": at})
