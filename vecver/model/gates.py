"""Gates: what a version must be worth before an alias moves to it, and how it came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vecver.model.display import described
from vecver.model.spaces import Json

HOW = ("engine", "exact", "mode", "weight", "fusion")  # how the questions of gates are asked


def without_dense(value: Json) -> Json:
    """These fields as they were before there were modes, if the mode is dense: without it, its weight and fusion."""
    unused = {"mode": "dense", "weight": None, "fusion": None}
    return {name: each for name, each in value.items() if name not in unused or each != unused[name]}


@dataclass(frozen=True)
class GateResult:
    """One gate: `value` of the version against `bound`."""

    gate: str  # as it was written: "nDCG@10 >= prod - 0.01"
    value: float
    bound: float
    passed: bool
    against: str | None = None  # the full commit id with which it compares; None for a number alone
    low: float | None = None  # of the value at 95%; of a gate that compares, of the difference
    high: float | None = None
    mode: str | None = None  # by what chunks were ranked: "keyword" or "hybrid"; None: by their vectors

    def to_json(self) -> Json:
        """The fields that are set."""
        return {name: value for name, value in self.__dict__.items() if value is not None}

    @classmethod
    def from_json(cls, value: Json) -> GateResult:
        """The value whose `to_json` this is."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__ if name in value})


@dataclass(frozen=True)
class Policy:
    """The gates of an alias, and by which questions they measure."""

    gates: tuple[str, ...]  # as they are written
    questions: str | None  # the name of a stored set; what it means when the alias is promoted counts
    exact: bool = False
    engine: str = "faiss"
    author: str = ""  # who fastened it
    time: str = ""  # ISO 8601, UTC, microseconds
    approval: bool = False  # must a second person approve a promotion?
    mode: str = "dense"  # by what chunks are ranked
    weight: float | None = None  # of the vectors in hybrid mode; None: what the recipe of each version says
    fusion: str | None = None  # None: convex

    @property
    def how(self) -> Json:
        """How its questions are asked, as options of `promote`."""
        return {name: getattr(self, name) for name in HOW}

    def to_json(self) -> Json:
        """The fields as JSON values; what came later only where it is used: `approval`, a mode that is not dense."""
        value = without_dense({**self.__dict__, "gates": list(self.gates)})
        return {name: each for name, each in value.items() if each or name != "approval"}

    @classmethod
    def from_json(cls, value: Json) -> Policy:
        """The value whose `to_json` this is."""
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        return cls(**{**fields, "gates": tuple(value["gates"])})


@dataclass(frozen=True, repr=False)
class Gating:
    """All gates of a promotion. It is kept with the move of the alias that it allowed."""

    commit: str  # full id of the version that was measured
    before: str | None  # where the alias stood then
    gates: tuple[GateResult, ...]
    questions: Json | None  # {"name", "digest", ...}; None where no gate needs any
    engine: Json  # {"name", "exact"}: how the questions were searched; "mode", "weight", "fusion" as `Policy` has them
    measures: Mapping[str, float] = field(default_factory=dict)  # of the version, by name
    worse: tuple[Json, ...] = ()  # {"query", "measure", "from", "to"}: what lost most against the alias's version
    override: str | None = None  # why the alias was moved without looking at its gates
    overridden: tuple[str, ...] = ()  # those gates
    approval: Json | None = None  # {"request", "asked_by", "asked_key", "asked", "approved_by", "approved_key"}
    job: str | None = None  # id of the service's job that measured it

    @property
    def passed(self) -> bool:
        """Does every gate hold?"""
        return all(gate.passed for gate in self.gates)

    def to_json(self) -> Json:
        """The fields as JSON values."""
        value = {**self.__dict__, "gates": [gate.to_json() for gate in self.gates]}
        value |= {"measures": dict(self.measures), "worse": list(self.worse), "overridden": list(self.overridden)}
        value = {name: each for name, each in value.items() if self.override or not name.startswith("overrid")}
        return {name: each for name, each in value.items() if each is not None or name not in ("approval", "job")}

    @classmethod
    def from_json(cls, value: Json) -> Gating:
        """The value whose `to_json` this is."""
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        gates = tuple(GateResult.from_json(gate) for gate in value["gates"])
        return cls(
            **{
                **fields,
                "gates": gates,
                "worse": tuple(value.get("worse", ())),
                "overridden": tuple(value.get("overridden", ())),
            }
        )

    def __repr__(self) -> str:
        failed = sum(not gate.passed for gate in self.gates)
        return described("Gating", f"{self.commit[:12]}: {len(self.gates)} gates, {failed} failed")
