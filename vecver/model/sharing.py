"""What push, fetch, pull and clone did: the bytes that were sent and the refs that moved."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from vecver.model.locks import Lock
from vecver.model.spaces import Json

RefState = Literal["new", "moved", "current", "behind", "deleted", "refused"]


@dataclass(frozen=True)
class SharedRef:
    """A ref as one transfer found or left it.

    "new" and "moved": it names `after` now. "current": it did already. "behind" (the receiver is ahead) and "deleted"
    (the receiver has deleted it): it was left alone. "refused": moving it would lose versions; `reason` says why.
    """

    dataset: str
    kind: Literal["branch", "tag", "alias"]
    name: str
    state: RefState
    before: str | None  # commit id that the receiver's ref named; None: it had no such ref
    after: str | None  # commit id that the sender's ref names
    reason: str = ""

    def to_json(self) -> Json:
        """The fields as JSON values; `reason` only where there is one."""
        return {name: value for name, value in self.__dict__.items() if name != "reason" or value}


@dataclass(frozen=True)
class Remote:
    """Another place of a repository."""

    name: str
    url: str

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Transferred:
    """What was sent between a repository and a remote."""

    remote: str
    url: str
    objects: int  # that were written; refs and their logs are not counted
    bytes: int
    refs: tuple[SharedRef, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def changed(self) -> tuple[SharedRef, ...]:
        """The refs that are new or were moved."""
        return tuple(ref for ref in self.refs if ref.state in ("new", "moved"))

    def with_refs(self, *refs: SharedRef) -> Transferred:
        """The same with these refs."""
        return replace(self, refs=refs)

    def to_json(self) -> Json:
        """The fields as JSON values; only refs that were not current."""
        shown = [ref.to_json() for ref in self.refs if ref.state != "current"]
        counts = {"remote": self.remote, "url": self.url, "objects": self.objects, "bytes": self.bytes}
        return {**counts, "refs": shown, "notes": list(self.notes)}


@dataclass(frozen=True)
class Synced:
    """What `sync` made available, and what it fetched for that."""

    lock: Lock
    url: str  # of the repository that has the versions now
    objects: int
    bytes: int

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return {"url": self.url, "objects": self.objects, "bytes": self.bytes, **self.lock.to_json()}
