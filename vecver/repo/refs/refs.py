"""Refs: names that point at commits. They move only by compare-and-swap, and every move is kept.

    refs/<dataset>/<kind>/<name>   canonical JSON: the commit, and the digest of the newest move
    moves/<digest>                 one move, which names the move before it
    gatings/<digest>               what was measured for that move, if its promotion had gates

Decisions
1. The log of a ref is a chain of immutable moves whose head lies in the ref itself. So one swap moves the ref *and*
   extends its log: they cannot disagree, whatever is interrupted, and an object store needs no append. Git keeps a log
   file beside the ref instead.
2. A deleted ref stays as a ref to no commit, so that its log survives and a tag's name is never used again.
3. A new ref is reserved (a file that names no commit and no move) before its first move is written. So a first move
   without a file in its ref's place always belongs to a lost ref, never to a writer that was cut off: `check` and gc
   can tell them apart. Marking a move as landed after the swap would cost one more write for every ref, and older
   repositories would have no marks.
4. What was measured for a move lies beside it, not in it: an older vecver, which knows no gates, must still be able to
   make the next move, whose `previous` it computes from the fields that it knows.
5. Who makes a ref holds the lock of its name from before it looks whether a ref of another kind has that name until the
   ref is made. In a bucket that lock is a lease, and one that may have passed on proves nothing: then it looks again
   afterwards, and takes the ref back if another kind has the name by now. To look afterwards in any case, without the
   lock, would cost every new ref a round trip.
6. What is read under a name must belong to it: every move says whose it is, and a ref is refused if its newest move is
   another ref's or ends at another commit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, unquote

from vecver.digest import canonical_json, digest_json
from vecver.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError, say
from vecver.model import Json, Move
from vecver.near import near
from vecver.repo import objects
from vecver.repo.refs import names
from vecver.store.api import get_or_none

if TYPE_CHECKING:
    from vecver.store import Store
    from vecver.store.api import Still

Kind = Literal["branch", "tag", "alias"]
KINDS: tuple[Kind, ...] = ("branch", "tag", "alias")
_WITHDRAWN = "withdrawn: the name was taken meanwhile"
FOLDERS = {"branch": "branches", "tag": "tags", "alias": "aliases"}
_NAME = re.compile(r"\w[\w.+-]{0,99}")
_ID = re.compile(r"[0-9a-f]{64}")  # can only be a commit
_NAME_BYTES = 240  # percent-encoded; file systems take 255
_SECONDS = 30.0  # to wait for another log to be written
KEPT_MOVES = 1024  # newest moves that one process keeps
Named = Callable[[list[str], Callable[[], None]], None]  # with the objects of the move, and what takes the ref back
NewestMoves = dict[tuple[str, Kind, str, bytes], Move]  # by key, kind, name and bytes of a ref
RESERVED = canonical_json({"format": objects.FORMAT, "commit": None, "move": None})  # a ref that is being made


class Refs:
    """The refs of one dataset, stored under its `key`; `dataset` is its present name; see `repo.refs.names`.

    `newest`: keeps the newest moves of refs by the refs' bytes, which name them; None: each is read again.
    """

    def __init__(self, store: Store, key: str, dataset: str | None = None, newest: NewestMoves | None = None) -> None:
        self.store = store
        self.key = key
        self.dataset = dataset or key
        self._newest_moves = newest

    def get(self, kind: Kind, name: str) -> str | None:
        """The commit that a ref names now; None if there is no such ref."""
        move = self.last_move(kind, name)
        return move.after if move else None

    def find(self, name: str) -> tuple[Kind, str] | None:
        """(kind, commit) of the ref with this name."""
        for kind, body in zip(KINDS, self._bodies(name), strict=True):
            move = self._newest(kind, name, body) if body is not None else None
            if move and move.after:
                return kind, move.after
        return None

    def all(self, kind: Kind) -> dict[str, str]:
        """Every ref of a kind: name -> commit, sorted by name."""
        commits = ((name, self.get(kind, name)) for name in self.names(kind))
        return {name: commit for name, commit in commits if commit}

    def live_names(self) -> list[str]:
        """The names of all refs that exist, of every kind."""
        return [name for kind in KINDS for name in self.all(kind)]

    def names(self, kind: Kind) -> list[str]:
        """The names of all refs of a kind that exist or existed, sorted."""
        prefix = self.path(kind, "")
        return sorted(unquote(path[len(prefix) :]) for path in self.store.list(prefix))

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
        self,
        kind: Kind,
        name: str,
        *,
        before: str | None,
        after: str | None,
        author: str,
        time: str,
        reason: str,
        gating: Json | None = None,
        hold: Callable[[], None] | None = None,
        named: Named | None = None,
    ) -> Move:
        """Move a ref from the commit that the caller saw. Raises ConflictError if it has moved since.

        `gating`: what was measured for this move; it is stored beside it. `hold` is called before anything leads to
        `after`, `named` when the ref has moved.
        """
        check_name(kind, name)
        old = self._body(kind, name)
        if old == RESERVED:
            with self.bringing_log():  # unless it is being brought now
                self._drop_leftovers(kind, name)
        last = None if old is None else self._newest(kind, name, old)
        current = last.after if last else None
        if current != before:
            raise ref_moved(kind, name, current)
        old = self._reserved(kind, name) if old is None else old
        if before is None and after is not None:
            self._check_free(kind, name)
        previous = last.id if last else None
        move = Move(self.key, kind, name, before, after, author, time, reason, previous)
        if gating is not None:
            self.store.put(gating_path(move.id), objects.sealed({"gating": gating, "move": move.id}))
        self.store.put(move_path(move.id), canonical_json(move.to_json()))
        new = _ref_body(after, move.id)
        if hold:  # while the move is sent: without the ref it leads nowhere
            hold()
        try:
            self.store.swap(self.path(kind, name), old, new)
        except ConflictError as error:
            raise ref_moved(kind, name, self.get(kind, name)) from error
        if named:
            units = [move_path(move.id), *([] if gating is None else [gating_path(move.id)])]
            named(units, lambda: self.store.swap(self.path(kind, name), new, old))
        return move if gating is None else replace(move, gating=gating)

    def create(
        self,
        kind: Kind,
        name: str,
        commit: str,
        *,
        author: str,
        time: str,
        reason: str,
        gating: Json | None = None,
        hold: Callable[[], None] | None = None,
        named: Named | None = None,
    ) -> Move:
        """A new ref. Raises ConflictError if the name is taken by any kind, or was once a tag."""
        self._check_new(kind, name)
        signed: dict[str, Any] = {"author": author, "time": time, "reason": reason}
        with self._claimed(kind, name) as still:
            move = self.move(kind, name, before=None, after=commit, **signed, gating=gating, hold=hold, named=named)
            self._withdraw_if_taken(move, still)
            return move

    def name_lock(self, name: str) -> str:
        """The lock under which a ref of this name is made, of whatever kind."""
        return f"name-{digest_json([self.key, name])[:32]}"

    @contextmanager
    def _claimed(self, kind: Kind, name: str) -> Iterator[Still]:
        """Nobody else makes a ref of this name; the refs of other kinds that have it are read anew."""
        with self.store.lock(self.name_lock(name), _SECONDS) as still:
            others = [self.path(other, name) for other in KINDS if other != kind]
            with self.store.moment(others, anew=True):
                yield still

    def bringing_log(self) -> AbstractContextManager[object]:
        """A lock: one process at a time writes the logs that new refs have elsewhere. Raises ConflictError (locked)."""
        return self.store.lock("logs", _SECONDS)

    def reserve(self, kind: Kind, name: str) -> None:
        """Reserve a new ref, so that the log which it has elsewhere can be written. Raises ConflictError as `create`.

        To be called within `bringing_log`. `adopt` makes the ref. Until then no move of it took place here, however
        many are written; those that an earlier attempt left are deleted.
        """
        self._check_new(kind, name)
        if self._body(kind, name) == RESERVED:
            self._drop_leftovers(kind, name)
        else:
            self._reserved(kind, name)

    def adopt(self, newest: Move) -> None:
        """Make a reserved ref that ends its log, which is written, with this move. Raises ConflictError."""
        kind, name = newest.kind, newest.name
        with self._claimed(kind, name) as still:
            self._check_free(kind, name)
            try:
                self.store.swap(self.path(kind, name), RESERVED, _ref_body(newest.after, newest.id))
            except ConflictError as error:
                raise ref_moved(kind, name, self.get(kind, name)) from error
            self._withdraw_if_taken(newest, still)

    def _drop_leftovers(self, kind: Kind, name: str) -> None:
        """Delete the moves of a log that was cut off, of a ref that is still reserved: they would look like lost ones.

        A move that follows none stays: another writer may be about to make the ref by it.
        """
        if self._body(kind, name) != RESERVED:
            return
        for path in self.store.list("moves/"):
            with suppress(NotFoundError, IntegrityError):
                move = load_move(self.store, path.partition("/")[2])
                if move.previous and (move.dataset, move.kind, move.name) == (self.key, kind, name):
                    self.store.delete(path)

    def _check_new(self, kind: Kind, name: str) -> None:
        check_name(kind, name)
        if holder := self.find(name):
            raise _taken(name, holder, self.dataset)
        tagged = self.last_move("tag", name)
        if tagged and tagged.reason != _WITHDRAWN:
            raise ConflictError(
                f"{name!r} was a tag of {self.dataset}; a tag's name is never used again",
                code="tag_fixed",
                hint="choose another name",
                name=name,
            )

    def _check_free(self, kind: Kind, name: str) -> None:
        """Raises ConflictError if a ref of another kind has the name."""
        for other in KINDS:
            if other != kind and (commit := self.get(other, name)):
                raise _taken(name, (other, commit), self.dataset)

    def _withdraw_if_taken(self, move: Move, still: Still) -> None:
        """Undo the first move of a ref if its name was taken by another kind since we looked. Raises ConflictError.

        Nobody can have taken it if the lock of the name is `still` held.
        """
        with suppress(ConflictError):
            still()
            return
        kind, name = move.kind, move.name
        signed: dict[str, Any] = {"author": move.author, "time": move.time}
        others = {other: self.path(other, name) for other in KINDS if other != kind}
        with self.store.moment(others.values(), anew=True):
            holders = {other: self.get(other, name) for other in others}
        for other, commit in holders.items():
            if commit:
                self.move(kind, name, before=move.after, after=None, **signed, reason=_WITHDRAWN)
                raise _taken(name, (other, commit), self.dataset)

    def paths(self, name: str) -> list[str]:
        """The store's names of the refs that have this name or might have it: one of each kind."""
        return [self.path(kind, name) for kind in KINDS] if is_name(name) else []

    def path(self, kind: Kind, name: str) -> str:
        """The store's name of a ref."""
        return f"{self.folder(self.key)}{FOLDERS[kind]}/{quote(name, safe='')}"

    @staticmethod
    def folder(key: str) -> str:
        """The store's folder of a dataset's refs, with a `/`."""
        return f"refs/{quote(key, safe='')}/"

    def _bodies(self, name: str) -> Sequence[bytes | None]:
        """The refs of this name, one of each kind, as they are stored."""
        return self.store.get_all(self.paths(name)) if is_name(name) else [None] * len(KINDS)

    def _body(self, kind: Kind, name: str) -> bytes | None:
        if not is_name(name):  # such a name may make no path
            return None
        return get_or_none(self.store, self.path(kind, name))

    def _reserved(self, kind: Kind, name: str) -> bytes:
        """Reserve the place of a new ref. Raises ConflictError if the ref was made meanwhile."""
        try:
            self.store.swap(self.path(kind, name), None, RESERVED)
        except ConflictError as error:
            if self._body(kind, name) != RESERVED:
                raise ref_moved(kind, name, self.get(kind, name)) from error
        return RESERVED

    def _newest(self, kind: Kind, name: str, body: bytes) -> Move | None:
        """The newest move of a ref; None while it is only reserved. Raises IntegrityError."""
        moves, place = self._newest_moves, (self.key, kind, name, body)
        if moves is None:
            return self._read_newest(kind, name, body)
        kept = moves.get(place)  # another thread may clear `moves` at any time
        if kept is not None:
            return kept
        if len(moves) >= KEPT_MOVES:
            moves.clear()
        move = self._read_newest(kind, name, body)
        if move is not None:
            moves[place] = move
        return move

    def _read_newest(self, kind: Kind, name: str, body: bytes) -> Move | None:
        path = self.path(kind, name)
        ref = parse(path, body)
        if ref["move"] is None:
            return None
        move = self._move(kind, name, ref["move"])
        if move.after != ref["commit"]:
            raise _not_its_own(path, f"it names {str(ref['commit'])[:12]}, its newest move ended elsewhere")
        return move

    def _move(self, kind: Kind, name: str, id: str) -> Move:
        """A move of this ref. Raises IntegrityError if it belongs to another one."""
        move = load_move(self.store, id)
        if (move.dataset, move.kind, move.name) != (self.key, kind, name):
            raise _not_its_own(
                self.path(kind, name), f"its log holds a move of the {move.kind} {move.name!r} of {move.dataset}"
            )
        return move


def _ref_body(commit: str | None, move: str) -> bytes:
    """A ref as it is stored."""
    return canonical_json({"format": objects.FORMAT, "commit": commit, "move": move})


def parse(path: str, body: bytes) -> Json:
    """A ref's bytes as `{"commit", "move"}`. Raises IntegrityError."""
    try:
        value = objects.known(path, json.loads(body))
        if value["commit"] and not value["move"]:
            raise ValueError("a ref without a move")
        return {"commit": value["commit"], "move": value["move"]}
    except (ValueError, KeyError) as error:
        raise objects.malformed(path) from error


def load_move(store: Store, id: str) -> Move:
    """Read and verify a move. Raises NotFoundError, IntegrityError."""
    return _loaded(objects.load(store, move_path(id), id), id)


def parse_move(id: str, body: bytes) -> Move:
    """The move that is stored in these bytes. Raises IntegrityError."""
    return _loaded(objects.parse(move_path(id), id, body), id)


def _loaded(value: Json, id: str) -> Move:
    move = Move.from_json(value)
    vars(move)["id"] = id  # as was proved
    return move


def with_gating(store: Store, move: Move) -> Move:
    """The move with what was measured for it, where something was. Raises IntegrityError."""
    path = gating_path(move.id)
    body = get_or_none(store, path)
    if body is None:
        return move
    value = objects.parse_sealed(path, body)
    if value.get("move") != move.id:
        raise objects.misplaced(path)
    gated = replace(move, gating=value["gating"])
    vars(gated)["id"] = move.id
    return gated


def gating_path(move: str) -> str:
    """The store's name of what was measured for a move (its digest)."""
    return f"gatings/{move}"


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
    """The keys of all datasets that have a ref, even a deleted one; without deleted datasets."""
    keys, deleted = set[str](), names.read(store).deleted
    for path in store.list("refs/"):
        key = unquote(path.split("/")[1])
        if key not in keys and key not in deleted and store.get(path) != RESERVED:
            keys.add(key)
    return sorted(keys)


def lost(store: Store, moves: Iterable[Move]) -> list[Move]:
    """Of moves that no log holds, those that took place: another move follows them, or their ref is missing."""
    gone = names.read(store).deleted
    strays = [move for move in moves if move.dataset not in gone]
    followed = {move.previous for move in strays}
    return [move for move in strays if _took_place(store, move, move.id in followed)]


def _took_place(store: Store, move: Move, is_followed: bool) -> bool:
    """Did a move that no log holds take place? Of a ref that is only reserved none did, see `Refs.reserve`."""
    path = Refs(store, move.dataset).path(move.kind, move.name)
    if store.size(path) is None:
        return True
    return is_followed and store.get(path) != RESERVED


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


def check_free(refs: Refs, kind: Kind, name: str) -> None:
    """Raises ConflictError if a ref of another kind has the name, InvalidInputError if it can be no name."""
    check_name(kind, name)
    if (holder := refs.find(name)) and holder[0] != kind:
        raise _taken(name, holder, refs.dataset)


def _taken(name: str, holder: tuple[Kind, str], dataset: str) -> ConflictError:
    return ConflictError(
        f"{name!r} is already {_article(holder[0])} of {dataset}",
        code="name_taken",
        hint="choose another name: a tag stays for ever; a name that moves is an alias"
        if holder[0] == "tag"
        else f"choose another name, or delete the {holder[0]} first: no version is lost by that",
        name=name,
        kind=holder[0],
        commit=holder[1],
    )


def ref_moved(kind: Kind, name: str, commit: str | None) -> ConflictError:
    """The error for a ref that left the commit where the caller saw it; `commit`: where it stands, None if deleted."""
    return ConflictError(
        f"the {kind} {name!r} was moved by somebody else" if commit else f"the {kind} {name!r} does not exist any more",
        code="ref_moved",
        hint="look at where it stands now, and try again; what was embedded is kept",
        name=name,
        found=commit,
    )


def _article(kind: str) -> str:
    return f"an {kind}" if kind == "alias" else f"a {kind}"


def missing(kind: Kind, name: str, refs: Refs) -> NotFoundError:
    """The error for a ref that does not exist."""
    plural = FOLDERS[kind]
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
