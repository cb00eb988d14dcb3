"""Refs: names that point at commits, moved only by compare-and-swap, every move kept.

    refs/<dataset>/<kind>/<name>   canonical JSON: the commit, and the digest of the newest move
    moves/<digest>                 one move, naming the move before it

Decisions
- 2026-11-21 the log of a ref is a chain of immutable moves whose head lies in the ref itself, so one
  swap moves the ref *and* extends its log: they cannot disagree, whatever is interrupted, and an
  object store needs no append. The road not taken is Git's: a log file beside the ref.
- 2026-11-21 a deleted ref stays as a ref to no commit, so that its log survives and a tag's name is
  never used again.
- 2026-11-26 a new ref is reserved (a file that names no commit and no move) before its first move is written.
  So a first move without a file at its ref's place is always of a ref that was lost, never of a writer that
  was cut off, and `check` and gc can tell. The road not taken marks a move as landed after the swap: one
  write more for every ref, and repositories made before would have no marks.
- 2026-11-26 what is read under a name must be of that name: every move says whose it is, and a ref whose
  newest move is another ref's, or ends at another commit, is not believed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Literal
from urllib.parse import quote, unquote

from vecver.digest import canonical_json, digest, digest_json
from vecver.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError, say
from vecver.model import Json, Move
from vecver.near import near
from vecver.repo import objects
from vecver.repo.refs import names
from vecver.store import Store

Kind = Literal["branch", "tag", "alias"]
KINDS: tuple[Kind, ...] = ("branch", "tag", "alias")
_WITHDRAWN = "withdrawn: the name was taken meanwhile"
_FOLDER = {"branch": "branches", "tag": "tags", "alias": "aliases"}
_NAME = re.compile(r"\w[\w.+-]{0,99}")
_ID = re.compile(r"[0-9a-f]{64}")  # always a commit
_NAME_BYTES = 240  # percent-encoded; file systems take 255
RESERVED = canonical_json({"format": objects.FORMAT, "commit": None, "move": None})  # a ref that is being made


class Refs:
    """The refs of one dataset. `key`: where they are kept; `dataset`: what it is called; see `repo.refs.names`."""

    def __init__(self, store: Store, key: str, dataset: str | None = None) -> None:
        self._store = store
        self.key = key
        self.dataset = dataset or key

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
        found = {name: self.get(kind, name) for name in self.names(kind)}
        return {name: commit for name, commit in found.items() if commit}

    def live_names(self) -> list[str]:
        """The names of all refs that there are, of every kind."""
        return [name for kind in KINDS for name in self.all(kind)]

    def names(self, kind: Kind) -> list[str]:
        """The names of all refs of a kind that there are or were, sorted."""
        prefix = self.path(kind, "")
        return sorted(unquote(path[len(prefix) :]) for path in self._store.list(prefix))

    def move_names(self, kind: Kind, name: str) -> Iterator[str]:
        """The store's names of a ref's moves, newest first."""
        body = self._body(kind, name)
        id = None if body is None else parse(self.path(kind, name), body)["move"]
        while id:
            yield move_path(id)
            id = self._move(kind, name, id).previous

    def last_move(self, kind: Kind, name: str) -> Move | None:
        """The newest move of a ref, deletions included."""
        body = self._body(kind, name)
        return None if body is None else self._newest(kind, name, body)

    def log(self, kind: Kind, name: str) -> Iterator[Move]:
        """Every move of a ref, newest first."""
        move = self.last_move(kind, name)
        while move:
            yield move
            move = self._move(kind, name, move.previous) if move.previous else None

    def move(
        self, kind: Kind, name: str, *, before: str | None, after: str | None, author: str, time: str, reason: str
    ) -> Move:
        """Move a ref from the commit that the caller saw. Raises ConflictError if it stands elsewhere by now."""
        check_name(kind, name)
        old = self._body(kind, name)
        last = None if old is None else self._newest(kind, name, old)
        found = last.after if last else None
        if found != before:
            raise ref_moved(kind, name, found)
        old = self._reserved(kind, name) if old is None else old
        previous = digest_json(last.to_json()) if last else None
        move = Move(self.key, kind, name, before, after, author, time, reason, previous)
        body = canonical_json(move.to_json())
        self._store.put(move_path(digest(body)), body)
        new = canonical_json({"format": objects.FORMAT, "commit": after, "move": digest(body)})
        try:
            self._store.swap(self.path(kind, name), old, new)
        except ConflictError as error:
            raise ref_moved(kind, name, self.get(kind, name)) from error
        return move

    def create(self, kind: Kind, name: str, commit: str, *, author: str, time: str, reason: str) -> Move:
        """A new ref. Raises ConflictError if the name is taken by any kind, or was once a tag."""
        check_name(kind, name)
        if found := self.find(name):
            raise _taken(name, found, self.dataset)
        burnt = self.last_move("tag", name)
        if burnt and burnt.reason != _WITHDRAWN:
            raise ConflictError(
                f"{name!r} was a tag of {self.dataset}; a tag's name is never used again",
                code="tag_fixed",
                hint="choose another name",
                name=name,
            )
        move = self.move(kind, name, before=None, after=commit, author=author, time=time, reason=reason)
        for other in KINDS:  # another writer may have made the name as another kind since we looked
            if other != kind and (theirs := self.get(other, name)):
                self.move(kind, name, before=commit, after=None, author=author, time=time, reason=_WITHDRAWN)
                raise _taken(name, (other, theirs), self.dataset)
        return move

    def path(self, kind: Kind, name: str) -> str:
        """The store's name of a ref."""
        return f"refs/{quote(self.key, safe='')}/{_FOLDER[kind]}/{quote(name, safe='')}"

    def _body(self, kind: Kind, name: str) -> bytes | None:
        if not is_name(name):  # it may have no path either
            return None
        path = self.path(kind, name)
        return self._store.get(path) if self._store.size(path) is not None else None

    def _reserved(self, kind: Kind, name: str) -> bytes:
        """Take the place of a ref that is about to be made. Raises ConflictError if it was made meanwhile."""
        try:
            self._store.swap(self.path(kind, name), None, RESERVED)
        except ConflictError as error:
            if self._body(kind, name) != RESERVED:
                raise ref_moved(kind, name, self.get(kind, name)) from error
        return RESERVED

    def _newest(self, kind: Kind, name: str, body: bytes) -> Move | None:
        """The move that a ref stands on; None where it is only reserved. Raises IntegrityError."""
        path = self.path(kind, name)
        ref = parse(path, body)
        if ref["move"] is None:
            return None
        move = self._move(kind, name, ref["move"])
        if move.after != ref["commit"]:
            raise _not_its_own(path, f"it names {str(ref['commit'])[:12]}, its newest move ended elsewhere")
        return move

    def _move(self, kind: Kind, name: str, id: str) -> Move:
        """A move of this ref. Raises IntegrityError for one of another."""
        move = load_move(self._store, id)
        if (move.dataset, move.kind, move.name) != (self.key, kind, name):
            raise _not_its_own(
                self.path(kind, name), f"its log holds a move of the {move.kind} {move.name!r} of {move.dataset}"
            )
        return move


def parse(path: str, body: bytes) -> Json:
    """A ref's bytes as `{"commit", "move"}`. Raises IntegrityError."""
    try:
        value = objects.known(path, json.loads(body))
        if value["commit"] and not value["move"]:
            raise ValueError("a ref that no move made")
        return {"commit": value["commit"], "move": value["move"]}
    except (ValueError, KeyError) as error:
        raise objects.malformed(path) from error


def load_move(store: Store, id: str) -> Move:
    """Read and verify a move. Raises NotFoundError, IntegrityError."""
    return Move.from_json(objects.load(store, move_path(id), id))


def move_path(id: str) -> str:
    """The store's name of a move."""
    return f"moves/{id}"


def is_name(name: str) -> bool:
    """Can `name` name a dataset or a ref?"""
    sound = _NAME.fullmatch(name) and not name.endswith(".") and ".." not in name and not _ID.fullmatch(name)
    return bool(sound) and len(quote(name, safe="")) <= _NAME_BYTES


def check_name(what: str, name: str) -> None:
    """Raises InvalidInputError unless `name` can name a dataset or a ref."""
    if not is_name(name):
        raise InvalidInputError(
            f"{name!r} cannot name a {what}",
            code="invalid_name",
            hint="use up to 100 letters (26 Chinese ones), digits, `_`, `-`, `+`, single `.`; a letter or digit first",
            name=name,
        )


def dataset_names(store: Store) -> list[str]:
    """The key of every dataset that has a ref, be it a deleted one; not of datasets that were deleted."""
    found, gone = set[str](), names.read(store).deleted
    for path in store.list("refs/"):
        name = unquote(path.split("/")[1])
        if name not in found and name not in gone and store.get(path) != RESERVED:
            found.add(name)
    return sorted(found)


def lost(store: Store, moves: Iterable[Move]) -> list[Move]:
    """Of moves that no ref's log holds, those that took place: others follow them, or their ref is not there."""
    gone = names.read(store).deleted
    strays = [move for move in moves if move.dataset not in gone]
    followed = {move.previous for move in strays}
    return [
        move
        for move in strays
        if digest_json(move.to_json()) in followed
        or store.size(Refs(store, move.dataset).path(move.kind, move.name)) is None
    ]


def _not_its_own(path: str, why: str) -> IntegrityError:
    """The error for a ref with what belongs to another."""
    return IntegrityError(
        f"{path} is not the ref of that name: {why}",
        code="wrong_ref",
        hint=say(
            "run repo.check(repair=True): it puts refs back as their moves say",
            cli="run `vecver check --repair`: it puts refs back as their moves say",
        ),
        name=path,
    )


def _taken(name: str, found: tuple[Kind, str], dataset: str) -> ConflictError:
    return ConflictError(
        f"{name!r} is already {_article(found[0])} of {dataset}",
        code="name_taken",
        hint="choose another name: a tag stays for ever; a name that moves is an alias"
        if found[0] == "tag"
        else f"choose another name, or delete the {found[0]} first: no version is lost by that",
        name=name,
        kind=found[0],
        commit=found[1],
    )


def ref_moved(kind: Kind, name: str, found: str | None) -> ConflictError:
    """The error for a ref that does not stand where the caller saw it."""
    return ConflictError(
        f"the {kind} {name!r} was moved by somebody else" if found else f"the {kind} {name!r} does not exist any more",
        code="ref_moved",
        hint="look at where it stands now, and try again; what was embedded is kept",
        name=name,
        found=found,
    )


def _article(kind: str) -> str:
    return f"an {kind}" if kind == "alias" else f"a {kind}"


def missing(kind: Kind, name: str, refs: Refs) -> NotFoundError:
    """The error for a ref that is not there."""
    plural = _FOLDER[kind]
    return NotFoundError(
        f"{refs.dataset} has no {kind} {name!r}",
        code=f"{kind}_not_found",
        hint=say(
            f"docs.{plural}() lists them",
            cli=f"`vecver {kind} {refs.dataset}` lists them",
            http=f"GET /v1/datasets/{refs.dataset}/{plural} lists them",
        ),
        name=name,
        dataset=refs.dataset,
        did_you_mean=near(name, refs.all(kind)),
    )
