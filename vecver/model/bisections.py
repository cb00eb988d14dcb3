"""The outcome of a bisection: the version that broke an answer or a measure."""

from __future__ import annotations

from dataclasses import dataclass

from vecver.model.display import described
from vecver.model.spaces import Json
from vecver.model.versions import Diff


@dataclass(frozen=True)
class Tested:
    """A version that was tried."""

    commit: str  # full id
    passed: bool
    value: float | None  # the rank at which what was expected was found, or the measure; None: not found

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, value: Json) -> Tested:
        """The value whose `to_json` this is."""
        return cls(value["commit"], value["passed"], value["value"])


@dataclass(frozen=True, repr=False)
class Bisection:
    """The first version that fails, and the last one before it that passes."""

    dataset: str
    commit: str  # the first that fails: full id
    good: str  # the last that passes
    tested: tuple[Tested, ...]  # in the order in which they were tried
    between: int  # versions between `good` and `commit` whose rows gc deleted, so that they could not be tried
    diff: Diff  # from `good` to `commit`

    @property
    def evaluations(self) -> int:
        """How many versions were tried."""
        return len(self.tested)

    def to_json(self) -> Json:
        """The fields as JSON values, and the number of evaluations."""
        tested = [each.to_json() for each in self.tested]
        value = {"dataset": self.dataset, "commit": self.commit, "good": self.good, "evaluations": self.evaluations}
        return {**value, "between": self.between, "tested": tested, "diff": self.diff.to_json()}

    @classmethod
    def from_json(cls, value: Json) -> Bisection:
        """The value whose `to_json` this is."""
        tested, diff = tuple(map(Tested.from_json, value["tested"])), Diff.from_json(value["diff"])
        return cls(value["dataset"], value["commit"], value["good"], tested, value["between"], diff)

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    def __repr__(self) -> str:
        return described("Bisection", f"{self.commit[:12]} fails, {self.good[:12]} passes; {self.evaluations} tried")
