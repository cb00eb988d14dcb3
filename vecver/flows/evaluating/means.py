"""Means: keeps the mean of each measure of a stored run beside it, so that a history of versions reads no runs.

run, values of measures -> means -> kept

    measures/<commit>/eval-<digest>-means   {questions, engine, depth, time, measures: {name: {mean, low, high}}}

Decisions
1. `eval` keeps the means that it computed, a history those that it needs beside them. To read a run of 100 questions
   and to take the four default means of it costs 30 ms of CPU, its means 0.2 ms; a page needs those of 140 versions.
2. The name begins as a run's does, which every vecver hides from `measures`; one that does not know it leaves it alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from vecver import repo
from vecver.errors import VecverError
from vecver.flows.evaluating.runs import MEANS, Run
from vecver.model import Json, Mean
from vecver.repo import Versions


@dataclass(frozen=True)
class Means:
    """The means of a stored run, as far as they were computed."""

    questions: Json  # {"name", "digest"}
    engine: Json
    depth: int
    time: str
    measures: Mapping[str, Mean] = field(default_factory=dict)

    def to_json(self) -> Json:
        """What is stored."""
        fields = {name: getattr(self, name) for name in ("questions", "engine", "depth", "time")}
        return {**fields, "measures": {name: mean.to_json() for name, mean in self.measures.items()}}

    @classmethod
    def from_json(cls, value: Json) -> Means:
        """The value whose `to_json` this is."""
        measures = {name: Mean.from_json(mean) for name, mean in value["measures"].items()}
        return cls(value["questions"], value["engine"], value["depth"], value["time"], measures)

    @classmethod
    def of(cls, run: Run, measures: Mapping[str, Mean] | None = None) -> Means:
        """Of a run these."""
        return cls(run.questions, run.engine, run.depth, run.time, measures or {})


def load_means(versions: Versions, commit: str, kind: str, kinds: Sequence[str]) -> Means | None:
    """The means that are kept beside a run; of a run without them, none of its measures. None if it is damaged."""
    with suppress(VecverError):
        if f"{kind}{MEANS}" in kinds:
            return Means.from_json(repo.measures.load(versions.store, commit, f"{kind}{MEANS}"))
    with suppress(VecverError):
        run = Run.from_json(repo.measures.load(versions.store, commit, kind))
        means = Means.of(run)
        keep_means(versions, commit, kind, means)
        return means
    return None


def keep_means(versions: Versions, commit: str, kind: str, means: Means) -> None:
    """Keep means beside their run; where nothing can be written they are computed again the next time."""
    with suppress(VecverError):
        repo.measures.save(versions.store, commit, f"{kind}{MEANS}", means.to_json())
