"""What recall to expect of a version before it is searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from vecver.model.spaces import Json

Basis = Literal["exact", "calibration", "questions", "calibration and questions", "unknown"]


@dataclass(frozen=True)
class ExpectedRecall:
    """The share of its true best `k` hits that a search of a version through FAISS is expected to find.

    Read from what the indexes of the version's segments recorded; nothing is searched. An index records what it finds
    of question-like vectors when it is built ("calibration"), and what `recall` measures of given queries
    ("questions"), which then counts instead.
    """

    k: int
    recall: float | None  # 0 to 1: the segments' values, weighted with their live chunks; None: unknown
    below_0_8: float | None  # at most this share of questions finds less than 0.8: the sum over the segments
    questions: int  # on which the values rest; 0 where every row is scanned
    basis: Basis  # "exact": no segment has an index; "unknown": an index recorded nothing, or cannot be read
    chunks: int  # live, of the version
    indexed: int  # of them those that lie in a segment with an index

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """The value whose `to_json` this is."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})

    @classmethod
    def unknown(cls, k: int, chunks: int, indexed: int) -> Self:
        """That of a version of which nothing, or not enough, is recorded."""
        return cls(k, None, None, 0, "unknown", chunks, indexed)

    def __str__(self) -> str:
        if self.basis == "exact":
            return "exact: every row is scanned"
        if self.recall is None:
            return "unknown"
        origin = {"calibration": "question-like vectors", "questions": "given queries"}
        queries = f"{self.questions:,} {origin.get(self.basis, 'question-like vectors and given queries')}"
        return f"{self.recall:.3f} of the true {self.k} hits; below 0.8 at most {self.below_0_8:.1%} of {queries}"
