"""What tuning found: how well each weight of hybrid search answers questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vecver.model.spaces import Json


@dataclass(frozen=True)
class Tuning:
    """The weight of the vectors in hybrid search that a question set chose, and what that is worth."""

    dataset: str
    commit: str  # that was measured
    questions: Json  # {"name", "digest", ...} of the set
    measure: str
    curve: tuple[tuple[float, float], ...]  # (weight, mean of the measure over all questions), by weight
    weight: float  # to take: 0 or 1, a side alone, unless the best mixture gains more than `gain_error`
    folds: int
    cross_validated: float  # the mean where the weight of each question was chosen by the questions of other folds
    dense: float  # the mean by vectors alone
    keyword: float  # the mean by words alone
    applied: str | None = None  # the commit whose recipe says this weight
    gain: float | None = None  # of the best mixture on the better side, above 0 is better; None: of an older service
    gain_error: float | None = None  # the standard error of `gain`

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return {**self.__dict__, "curve": [list(point) for point in self.curve]}

    @classmethod
    def from_json(cls, value: Json) -> Tuning:
        """The value whose `to_json` this is."""
        names = [name for name in cls.__dataclass_fields__ if name != "curve"]
        curve = tuple((float(weight), float(mean)) for weight, mean in value["curve"])
        fields: Json = {name: value.get(name) for name in names}
        return cls(**fields, curve=curve)
