"""Refs: names that point at commits, moved only by compare-and-swap, every move kept.

    refs/<dataset>/<kind>/<name>   canonical JSON: the commit, and the digest of the newest move
    moves/<digest>                 one move, naming the move before it

Decisions
- 2026-11-21 the log of a ref is a chain of immutable moves whose head lies in the ref itself, so one
  swap moves the ref *and* extends its log: they cannot disagree, whatever is interrupted, and an
  object store needs no append. The road not taken is Git's: a log file beside the ref.
- 2026-11-21 a deleted ref stays as a ref to no commit, so that its log survives and a tag's name is
  never used again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Literal
from urllib.parse import quote, unquote

from vecver.digest import canonical_json, digest
from vecver.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from vecver.model import Move
from vecver.store import Store

Kind = Literal["branch", "tag", "alias"]
KINDS: tuple[Kind, ...] = ("branch", "tag", "alias")
_FOLDER = {"branch": "branches", "tag": "tags", "alias": "aliases"}
_NAME = re.compile(r"[\w][\w.+-]{0,99}")


class Refs:
    """The refs of one dataset."""

    def __init__(self, store: Store, dataset: str) -> None:
        self._store = store
        self.dataset = dataset

    def get(self, kind: Kind, name: str) -> str | None:
        """The commit that a ref points at now, or None if there is no such ref."""
        move = self.last_move(kind, name)
        return move.after if move else None

    def find(self, name: str) -> tuple[Kind, str] | None:
        """The ref with this name, whatever its kind, and its commit."""
        for kind in KINDS:
            if commit := self.get(kind, name):
                return kind, commit
        return None

    def all(self, kind: Kind) -> dict[str, str]:
        """Every ref of a kind: name -> commit, sorted by name."""
        prefix = self._path(kind, "")
        names = [unquote(path[len(prefix) :]) for path in self._store.list(prefix)]
        found = {name: self.get(kind, name) for name in sorted(names)}
        return {name: commit for name, commit in found.items() if commit}

    def last_move(self, kind: Kind, name: str) -> Move | None:
        """The newest move of a ref, deletions included."""
        path = self._path(kind, name)
        if self._store.size(path) is None:
            return None
        return self._load(json.loads(self._store.get(path))["move"])

    def log(self, kind: Kind, name: str) -> Iterator[Move]:
        """Every move of a ref, newest first."""
        move = self.last_move(kind, name)
        while move:
            yield move
            move = self._load(move.previous) if move.previous else None

    def move(
        self, kind: Kind, name: str, *, before: str | None, after: str | None, author: str, time: str, reason: str
    ) -> Move:
        """Move a ref from the commit that the caller saw. Raises ConflictError if it stands elsewhere by now."""
        check_name(kind, name)
        path = self._path(kind, name)
        old = self._store.get(path) if self._store.size(path) is not None else None
        last = self._load(json.loads(old)["move"]) if old else None
        found = last.after if last else None
        if found != before:
            raise _moved(kind, name, found)
        previous = json.loads(old)["move"] if old else None
        move = Move(self.dataset, kind, name, before, after, author, time, reason, previous)
        body = canonical_json(move.to_json())
        self._store.put(f"moves/{digest(body)}", body)
        try:
            self._store.swap(path, old, canonical_json({"format": 1, "commit": after, "move": digest(body)}))
        except ConflictError as error:
            raise _moved(kind, name, self.get(kind, name)) from error
        return move

    def create(self, kind: Kind, name: str, commit: str, *, author: str, time: str, reason: str) -> Move:
        """A new ref. Raises ConflictError if the name is taken by any kind, or was once a tag."""
        check_name(kind, name)
        if found := self.find(name):
            raise ConflictError(
                f"{name!r} is already {_article(found[0])} of {self.dataset}",
                code="name_taken",
                hint=f"choose another name, or delete the {found[0]} first",
                name=name,
                kind=found[0],
                commit=found[1],
            )
        if self.last_move("tag", name):
            raise ConflictError(
                f"{name!r} was a tag of {self.dataset}; a tag's name is never used again",
                code="tag_fixed",
                hint="choose another name",
                name=name,
            )
        return self.move(kind, name, before=None, after=commit, author=author, time=time, reason=reason)

    def _load(self, id: str) -> Move:
        body = self._store.get(f"moves/{id}")
        if digest(body) != id:
            raise IntegrityError(
                f"move {id[:12]} does not match its digest",
                code="digest_mismatch",
                hint="run `vecver check`, then restore the file from a copy of the repository",
                move=id,
            )
        return Move.from_json(json.loads(body))

    def _path(self, kind: Kind, name: str) -> str:
        return f"refs/{quote(self.dataset, safe='')}/{_FOLDER[kind]}/{quote(name, safe='')}"


def check_name(what: str, name: str) -> None:
    """Raises InvalidInputError unless `name` can name a dataset or a ref."""
    if not _NAME.fullmatch(name) or name.endswith(".") or ".." in name:
        raise InvalidInputError(
            f"{name!r} cannot name a {what}",
            code="invalid_name",
            hint="use 1 to 100 letters, digits, `_`, `-`, `+` and single `.`, beginning with a letter or digit",
            name=name,
        )


def dataset_names(store: Store) -> list[str]:
    """Every dataset that has a ref."""
    return sorted({unquote(path.split("/")[1]) for path in store.list("refs/")})


def _moved(kind: Kind, name: str, found: str | None) -> ConflictError:
    return ConflictError(
        f"the {kind} {name!r} was moved by somebody else" if found else f"the {kind} {name!r} does not exist any more",
        code="ref_moved",
        hint="look at it again and repeat the command; what was embedded is kept",
        name=name,
        found=found,
    )


def _article(kind: str) -> str:
    return f"an {kind}" if kind == "alias" else f"a {kind}"


def missing(kind: str, name: str, dataset: str) -> NotFoundError:
    """The error for a ref that is not there."""
    return NotFoundError(
        f"{dataset} has no {kind} {name!r}",
        code=f"{kind}_not_found",
        hint=f"`vecver {kind} {dataset}` lists them",
        name=name,
        dataset=dataset,
    )
