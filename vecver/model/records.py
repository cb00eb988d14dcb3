"""Records of one source as columns: what an ingest makes of many records at once, instead of an `Original` each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from vecver.model.documents import Failure, Original
from vecver.model.spaces import Vectors

if TYPE_CHECKING:
    import pyarrow as pa

Matrix = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Records:
    """Usable records, each of another id, in the order of their source; the columns run in parallel.

    documents    string, the ids                     keys       (n, 16): the key of each id
    texts        string, not blank                   digests    (n, 32): sha256 of each canonical record
    titles       string                              vectors    (n, dim) float32, finite; None: they bring none
    metadata     field -> its values: a column of strings, int64, float64 or booleans, or a list of other JSON values;
                 null where a record lacks it
    """

    source: str
    documents: pa.Array
    keys: Matrix
    digests: Matrix
    texts: pa.Array
    titles: pa.Array
    metadata: Mapping[str, pa.Array | list[Any]]
    vectors: Vectors | None

    def __len__(self) -> int:
        return len(self.digests)

    @property
    def dim(self) -> int:
        """The dimension of the vectors, 0 if there are none."""
        return 0 if self.vectors is None else self.vectors.shape[1]

    def take(self, rows: npt.NDArray[np.int64]) -> Records:
        """Some of the records, in this order."""
        if len(rows) == len(self) and (np.diff(rows) == 1).all():
            return self
        import pyarrow as pa

        numbers = pa.array(rows)
        return replace(
            self,
            documents=self.documents.take(numbers),
            keys=self.keys[rows],
            digests=self.digests[rows],
            texts=self.texts.take(numbers),
            titles=self.titles.take(numbers),
            metadata={
                name: [values[i] for i in rows] if isinstance(values, list) else values.take(numbers)
                for name, values in self.metadata.items()
            },
            vectors=None if self.vectors is None else self.vectors[rows],
        )

    def originals(self) -> Iterator[Original]:
        """The records one at a time."""
        fields = {name: v if isinstance(v, list) else v.to_pylist() for name, v in self.metadata.items()}
        columns = (self.documents.to_pylist(), self.texts.to_pylist(), self.titles.to_pylist())
        for row, (document, text, title) in enumerate(zip(*columns, strict=True)):
            metadata = {name: values[row] for name, values in fields.items() if values[row] is not None}
            vector = None if self.vectors is None else self.vectors[row]
            digest = self.digests[row].tobytes().hex()
            yield Original(document, self.source, digest, None, text, title, metadata, vector)


@overload
def singly(items: Iterable[Original | Records]) -> Iterator[Original]: ...
@overload
def singly(items: Iterable[Original | Failure | Records]) -> Iterator[Original | Failure]: ...
def singly(items: Iterable[Original | Failure | Records]) -> Iterator[Original | Failure]:
    """The items, with records in columns one at a time."""
    for item in items:
        if isinstance(item, Records):
            yield from item.originals()
        else:
            yield item
