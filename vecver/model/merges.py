"""The outcome of a merge: what it brought to a branch, and what both sides changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from vecver.model.display import ROWS_HTML, clipped, counted, described, html_table
from vecver.model.frames import data_frame
from vecver.model.spaces import Json

if TYPE_CHECKING:
    import pandas as pd

SideChange = Literal["added", "changed", "removed", "absent"]  # absent: it may never have been there
MergeSide = Literal["ours", "theirs"]
MergeKind = Literal["merge", "fast_forward", "up_to_date"]
ConflictKind = Literal["document", "source", "keywords", "hybrid"]
_CHANGES = ("added", "changed", "removed")


@dataclass(frozen=True)
class MergeConflict:
    """What both sides changed, and not alike: a document, where a source lies, or how the dataset is searched."""

    kind: ConflictKind
    name: str  # of a document its id, of a source its label; else the kind
    ours: str  # of a document what the branch did: a `SideChange`; else what it says
    theirs: str
    settled: MergeSide | None = None  # whose holds; None: it must be settled

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, value: Json) -> MergeConflict:
        """The value whose `to_json` this is."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True, repr=False)
class Merge:
    """What a merge did, or would do (`dry_run`). Names a version wherever a revision is taken."""

    dataset: str
    branch: str  # that gets the changes
    kind: MergeKind  # fast_forward: the branch moved to `theirs`; up_to_date: it held all of `theirs` already
    commit: str  # where the branch stands now: full id
    changed: bool  # False: nothing was to do, or a dry run
    ours: str  # where the branch stood: full id
    theirs: str  # the version that was merged
    bases: tuple[str, ...]  # the newest common ancestors
    documents: Mapping[str, int]  # added, changed, removed
    chunks: Mapping[str, int]  # live, added, removed; none is embedded
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # document ids: added, changed, removed
    conflicts: tuple[MergeConflict, ...] = ()  # also those that were settled
    dry_run: bool = False
    notes: tuple[str, ...] = ()

    @property
    def unsettled(self) -> tuple[MergeConflict, ...]:
        """The conflicts that nobody settled; only of a dry run."""
        return tuple(conflict for conflict in self.conflicts if conflict.settled is None)

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return {
            **self.__dict__,
            "bases": list(self.bases),
            "documents": dict(self.documents),
            "chunks": dict(self.chunks),
            "names": {change: list(ids) for change, ids in self.names.items()},
            "conflicts": [conflict.to_json() for conflict in self.conflicts],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, value: Json) -> Merge:
        """The value whose `to_json` this is."""
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        fields["names"] = {change: tuple(ids) for change, ids in value["names"].items()}
        fields["conflicts"] = tuple(map(MergeConflict.from_json, value["conflicts"]))
        return cls(**{**fields, "bases": tuple(value["bases"]), "notes": tuple(value["notes"])})

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    def to_pandas(self) -> pd.DataFrame:
        """A row for each document that changes, and for each conflict. Raises InvalidInputError without pandas."""
        return data_frame(self._rows(), ("document", "change", "settled"))

    def _rows(self) -> list[Json]:
        changes = [{"document": id, "change": kind, "settled": None} for kind in _CHANGES for id in self.names[kind]]
        both = [{"document": c.name, "change": "conflict", "settled": c.settled} for c in self.conflicts]
        return [*changes, *both]

    def _head(self) -> str:
        counts = ", ".join(f"{self.documents[kind]:,} {kind}" for kind in _CHANGES if self.documents[kind])
        open_conflicts = f"; {counted(len(self.unsettled), 'conflict')} to settle" if self.unsettled else ""
        verb = {"merge": "merges", "fast_forward": "moves forward to", "up_to_date": "holds already"}[self.kind]
        what = f"{self.theirs[:12]}: {counts or 'no document differs'}{open_conflicts}"
        return clipped(f"{self.dataset}@{self.branch} {self.ours[:12]} {verb} {what}", 200)

    def __repr__(self) -> str:
        return described("Merge", self._head())

    def _repr_html_(self) -> str:
        rows = [(row["change"], row["document"], row["settled"]) for row in self._rows()[:ROWS_HTML]]
        return html_table(self._head(), ("change", "document", "settled"), rows)
