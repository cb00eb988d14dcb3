"""Objects on a store: written once and verified whenever they are read; and the commits among them.

The name of an object is its digest (`load`), or its first line holds the digest (`load_sealed`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from vecver.digest import canonical_json, digest
from vecver.errors import ConflictError, IntegrityError, check_first, say
from vecver.model import Commit, Json

if TYPE_CHECKING:
    from vecver.store import Store

FORMAT = 1  # of all objects


def load(store: Store, name: str, id: str) -> Json:
    """The JSON object called `name`, whose digest is `id`. Raises NotFoundError, IntegrityError."""
    return parse(name, id, store.get(name, fixed=True))


def parse(name: str, id: str, body: bytes) -> Json:
    """The JSON object in these bytes, whose digest is `id`; `name` is for errors. Raises IntegrityError."""
    if digest(body) != id:
        raise mismatch(name)
    return known(name, json.loads(body))


def load_sealed(store: Store, name: str) -> Json:
    """The JSON object that `sealed` made. Raises NotFoundError, IntegrityError."""
    return parse_sealed(name, store.get(name))


def parse_sealed(name: str, content: bytes) -> Json:
    """The JSON object in the bytes that `sealed` made; `name` is for errors. Raises IntegrityError."""
    stated, _, body = content.partition(b"\n")
    if digest(body).encode() != stated:
        raise mismatch(name)
    return known(name, json.loads(body))


def sealed(value: Json) -> bytes:
    """A JSON object as stored: its digest on the first line, the object on the second."""
    body = canonical_json({**value, "format": FORMAT})
    return digest(body).encode() + b"\n" + body


def known(name: str, value: Any) -> Json:
    """`value`, if it is an object of the format that this vecver reads. Raises IntegrityError."""
    format = value.get("format") if isinstance(value, dict) else None
    if format != FORMAT:
        raise IntegrityError(
            f"{name} has format {format}, this vecver reads {FORMAT}",
            code="unknown_format",
            hint="upgrade vecver",
            name=name,
        )
    return dict(value)


def malformed(name: str) -> IntegrityError:
    """The error for bytes that no vecver wrote."""
    return IntegrityError(
        f"{name} cannot be read", code="malformed", hint="restore the file from a copy of the repository", name=name
    )


def mismatch(name: str) -> IntegrityError:
    """The error for bytes that do not match their digest."""
    return IntegrityError(
        f"{name} does not match its digest",
        code="digest_mismatch",
        hint=check_first("restore the file from a copy of the repository"),
        name=name,
    )


def misplaced(name: str) -> IntegrityError:
    """The error for a sound object that lies under the name of another."""
    return IntegrityError(
        f"{name} holds what belongs under another name",
        code="misplaced",
        hint=check_first("restore the file from a copy of the repository"),
        name=name,
    )


def collected(units: list[str]) -> ConflictError:
    """The error for units that gc deletes, or has deleted, while a writer was about to name them."""
    return ConflictError(
        f"gc has deleted {units[0]}, or is about to",
        code="collected",
        hint=say(
            "finish with repo.gc(apply=True), then call it again: what it needs is written again",
            cli="finish with `vecver gc --apply`, then repeat the command: what it needs is written again",
        ),
        names=units,
    )


# -- commits ------------------------------------------------------------------------------------


def path_of(commit: str) -> str:
    """The store's name of a commit."""
    return f"commits/{commit[:2]}/{commit}"


def save_commit(store: Store, commit: Commit) -> None:
    """Write a commit; its layout must be written before."""
    store.put(path_of(commit.id), canonical_json(commit.to_json()))


def load_commit(store: Store, id: str) -> Commit:
    """Read and verify a commit. Raises NotFoundError, IntegrityError."""
    return _commit(id, load(store, path_of(id), id))


def parse_commit(id: str, body: bytes) -> Commit:
    """The commit in the bytes that are stored of it. Raises IntegrityError."""
    return _commit(id, parse(path_of(id), id, body))


def _commit(id: str, value: Json) -> Commit:
    commit = Commit.from_json(value)
    vars(commit)["id"] = id  # its digest, as was proved: to take it again is half the time of a long log
    return commit


def commit_ids(store: Store, prefix: str = "") -> Iterator[str]:
    """The ids of all commits on the store that begin with `prefix`, sorted."""
    folder = f"commits/{prefix[:2]}/" if len(prefix) >= 2 else "commits/"
    for path in store.list(folder):
        id = path.rsplit("/", 1)[1]
        if id.startswith(prefix):
            yield id


def parents_first(heads: Iterable[str], read: Callable[[str], Commit | None]) -> Iterator[Commit]:
    """Every commit behind `heads`, each once and after its parents; `read` gives None for those to leave out."""
    waiting: dict[str, Commit] = {}  # read, but not yet yielded
    done: set[str] = set()
    stack = list(heads)[::-1]
    while stack:
        id = stack[-1]
        if id in waiting:
            yield waiting.pop(stack.pop())
        elif id in done or not (commit := read(id)):
            stack.pop()
        else:
            waiting[id] = commit
            stack += commit.parents[::-1]
        done.add(id)
