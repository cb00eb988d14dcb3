"""A promotion that a second person must approve, from when it was asked until it was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vecver.model.display import described
from vecver.model.gates import HOW, without_dense
from vecver.model.spaces import Json

_INTERNAL = ("sets", "policy", "last_move")  # what decides if the measures still hold; only stored


@dataclass(frozen=True, repr=False)
class Approval:
    """A promotion that held its gates and moves its alias once somebody else approves it."""

    id: str  # names this request and no other: an approval is for what was looked at
    alias: str
    commit: str  # full id of the version to which the alias is to move
    before: str | None  # where the alias stood when the gates were measured
    author: str  # who asked
    key: str  # id of the API key that asked; "" where none was needed
    time: str  # ISO 8601, UTC, microseconds
    gating: Json | None = None  # what was measured, as `Gating.to_json`; None if there is no gate
    gates: tuple[str, ...] = ()  # those of the caller, which are not the policy's
    questions: Json | None = None  # {"name", "digest"}: the set by which the caller's gates measure
    exact: bool = False  # how the caller's gates measure, as is `engine`
    engine: str = "faiss"
    sets: Mapping[str, str] = field(default_factory=dict)  # stored set by which something was measured -> digest
    policy: str = ""  # digest of the policy
    last_move: str | None = None  # digest of the newest move of the alias
    state: Literal["waiting", "approved", "rejected"] = "waiting"
    decided_by: str = ""  # who approved or rejected it
    decided_key: str = ""
    decided: str = ""  # when
    reason: str = ""  # why it was rejected
    mode: str = "dense"  # how the caller's gates measure, as are `weight` and `fusion`
    weight: float | None = None
    fusion: str | None = None

    @property
    def how(self) -> Json:
        """How the questions of the caller's gates are asked, as options of `promote`."""
        return {name: getattr(self, name) for name in HOW}

    def to_json(self) -> Json:
        """What is stored; the mode only if it is not dense."""
        return without_dense({**self.__dict__, "gates": list(self.gates), "sets": dict(self.sets)})

    def to_dict(self) -> Json:
        """The fields as JSON values, without those that only decide if the measures still hold."""
        return {name: value for name, value in self.to_json().items() if name not in _INTERNAL}

    @classmethod
    def from_json(cls, value: Json) -> Approval:
        """The value whose `to_json` or `to_dict` this is."""
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        return cls(**{**fields, "gates": tuple(value["gates"])})

    def __repr__(self) -> str:
        return described("Approval", f"{self.alias} to {self.commit[:12]}, asked by {self.author}: {self.state}")
