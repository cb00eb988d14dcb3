"""Which document rows of a segment list each of its chunk rows, as integer columns; a version's mask says which live.

Decisions
1. The columns are made once so many chunks of a segment had their documents looked up by id (4 us each) that this took
   as long as making them. A process that searches once never pays for them.
2. A chunk may be listed by several document rows of its segment (the versions of its document), or by none (a later
   segment changed its document); then its document is looked up by its id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vecver.repo.rows.sorted_keys import Keys, Rows


@dataclass(frozen=True, eq=False)
class ListedBy:
    """The document rows that list chunk row i: `documents[first[i]:first[i + 1]]`."""

    first: npt.NDArray[np.int32]  # (chunks + 1,)
    documents: npt.NDArray[np.int32]  # (entries,)

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return self.first.nbytes + self.documents.nbytes

    def __call__(self, row: int) -> list[int]:
        """The document rows that list a chunk row, ascending."""
        return self.documents[self.first[row] : self.first[row + 1]].tolist()


def listed_by(
    offsets: npt.NDArray[Any], listed: Keys, keys: Keys, find: Callable[[Keys], tuple[Rows, Rows]]
) -> ListedBy:
    """From the lists of a segment's documents.

    `offsets`: `(documents + 1,)`, where each list begins in `listed`, `(entries, 16)`; `keys`: `(chunks, 16)`;
    `find`: gives (i, chunk row) for every row whose key is the i-th of some keys.
    """
    documents = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
    if len(listed) == len(keys) and np.array_equal(listed, keys):  # as one ingest writes them
        return ListedBy(np.arange(len(keys) + 1, dtype=np.int32), documents)
    entries, rows = find(listed)
    order = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[order], np.arange(len(keys) + 1)).astype(np.int32)
    return ListedBy(first, documents[entries[order]])
