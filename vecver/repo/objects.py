"""Commits as objects on a store: written once under their digest, verified when read."""

from __future__ import annotations

import json
from collections.abc import Iterator

from vecver.digest import canonical_json, digest
from vecver.errors import IntegrityError
from vecver.model import Commit
from vecver.store import Store

FORMAT = 1


def path_of(commit: str) -> str:
    """The store's name of a commit."""
    return f"commits/{commit[:2]}/{commit}"


def save_commit(store: Store, commit: Commit) -> None:
    """Write a commit; its layout must be there before."""
    store.put(path_of(commit.id), canonical_json(commit.to_json()))


def load_commit(store: Store, id: str) -> Commit:
    """Read and verify a commit. Raises NotFoundError, IntegrityError."""
    body = store.get(path_of(id))
    if digest(body) != id:
        raise IntegrityError(
            f"commit {id[:12]} does not match its digest",
            code="digest_mismatch",
            hint="run `vecver check`, then restore the file from a copy of the repository",
            commit=id,
        )
    value = json.loads(body)
    if value["format"] != FORMAT:
        raise IntegrityError(
            f"commit {id[:12]} has format {value['format']}, this vecver reads {FORMAT}",
            code="unknown_format",
            hint="upgrade vecver",
            commit=id,
        )
    return Commit.from_json(value)


def commit_ids(store: Store, prefix: str = "") -> Iterator[str]:
    """The ids of all commits on the store that begin with `prefix`, sorted."""
    folder = f"commits/{prefix[:2]}/" if len(prefix) >= 2 else "commits/"
    for path in store.list(folder):
        id = path.rsplit("/", 1)[1]
        if id.startswith(prefix):
            yield id
