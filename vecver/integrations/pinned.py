"""A dataset that is read at one revision and written on one branch: what the adapters of all frameworks share.

Decisions
1. Frameworks ask stores that hold nothing yet, and expect no hits instead of an error. So a branch without versions,
   and a field that no document has, answer with nothing. A pinned revision that is not there is an error, always.
2. Writing through a store that is pinned to a tag or a commit is an error: what was written could never be read back
   through it. One that follows an alias may write: its readers see that when the alias is promoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import vecver

Dataset: TypeAlias = "vecver.Dataset | vecver.RemoteDataset"


@dataclass(frozen=True)
class Pinned:
    """A dataset, the revision that is read, and the branch that is written."""

    dataset: Dataset
    ref: str = "main"
    branch: str = "main"

    def search(self, query: Any, **how: Any) -> vecver.Answer:
        """As `Dataset.search` at the revision; no hits where nothing was written yet. Raises as that."""
        answer: vecver.Answer = self.dataset.search(query, at=self.ref, missing="empty", **how)
        if not answer.commit:
            self._resolved()
        return answer

    def get(self, ids: Sequence[str]) -> list[vecver.Document]:
        """The documents of the revision with these ids; unknown ids are left out. Raises as `Dataset.get`."""
        return self.dataset.get(list(ids), at=commit, missing="skip") if ids and (commit := self._resolved()) else []

    def matching(self, where: Any = None) -> list[vecver.Document]:
        """The documents of the revision that match a filter, by id. Raises as `Dataset.documents`."""
        commit = self._resolved()
        if commit is None:
            return []
        return self.dataset.get(self.dataset.documents(commit, where=where), at=commit)

    def fields(self) -> set[str]:
        """The fields that filters may name at the revision."""
        commit = self._resolved()
        return set() if commit is None else {field.name for field in self.dataset.fields(commit)}

    def head(self) -> vecver.Commit | None:
        """The newest version of the branch; None for a dataset without versions. Raises NotFoundError (branch)."""
        return Pinned(self.dataset, self.branch, self.branch).read()

    def upsert(self, rows: list[dict[str, Any]], **how: Any) -> None:
        """Add or replace documents on the branch, as one commit. Raises as `Dataset.upsert` with `strict`."""
        self._check_writable()
        if rows:
            self.dataset.upsert(rows, branch=self.branch, strict=True, **how)

    def delete(self, ids: Sequence[str] | None = None, *, where: Any = None) -> None:
        """Remove documents of the branch: by ids, by a filter, or all, as one commit. Raises as `Dataset.delete`."""
        self._check_writable()
        try:
            if ids is None and where is None:
                ids = self.dataset.documents(self.branch)
            if ids or where is not None:
                self.dataset.delete(ids, where=where, branch=self.branch)
        except vecver.NotFoundError as error:
            if error.code != "dataset_not_found":  # which holds nothing that could be deleted
                raise

    def read(self) -> vecver.Commit | None:
        """The version that is read; None where the branch has no version yet. Raises NotFoundError."""
        commit = self._resolved()
        return None if commit is None else self.dataset.show(commit)

    def _resolved(self) -> str | None:
        """The commit that is read; None where the branch has no version yet. Raises NotFoundError."""
        try:
            return self.dataset.resolve(self.ref)
        except vecver.NotFoundError as error:
            if error.code != "dataset_not_found" or self.ref != self.branch:
                raise
            return None

    def _check_writable(self) -> None:
        """Raises ConflictError if no write can ever change what is read."""
        if self.ref == self.branch or self.ref in {*self.dataset.branches(), *self.dataset.aliases()}:
            return
        raise vecver.ConflictError(
            f"this store is pinned to {self.ref!r}, which stays as it is: nothing was written",
            code="pinned_store",
            hint=f"write through a store that reads the branch: ref={self.branch!r}, branch={self.branch!r}",
        )
