"""Opened indexes: a segment's index in memory, and the view that one version has of it under its mask of live rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vecver.errors import IntegrityError, index_again
from vecver.index.faiss.effort import Effort, class_of
from vecver.index.faiss.library import library, one_thread, version
from vecver.index.masks import list_sizes

if TYPE_CHECKING:
    from vecver.model import Json, Metric, Vectors

# FAISS's number for reading the lists of each query alone. Its other implementations share work between the queries
# of a batch, so a query's candidates could depend on the other queries.
IMPLEMENTATION = 11
_PARAMETERS = 64  # that a view keeps: about 0.5 kB each, and a version may read any number of lists
_PIECE_BYTES = 1 << 18
_QUICK_ROWS = 16_384  # rows among which an index without stored effort is calibrated when it is opened


class Index:
    """An index, opened: shared by all versions whose rows lie in its segment."""

    def __init__(self, index: Any, effort: Effort, nbytes: int) -> None:
        index.implem = IMPLEMENTATION
        self.faiss, self.effort = index, effort
        self._file_bytes = nbytes
        self.count: int = index.ntotal
        self.list_count: int = index.nlist

    @cached_property
    def lists(self) -> npt.NDArray[np.uint16]:
        """The list in which each row lies, `(n,)`."""
        return lists_of(self.faiss)

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """The number of rows in each list, `(lists,)`."""
        lists = self.faiss.invlists
        return np.array([lists.list_size(number) for number in range(self.list_count)], np.int64)

    @cached_property
    def centroids(self) -> Vectors:
        """`(lists, dim)`."""
        return np.ascontiguousarray(self.faiss.quantizer.reconstruct_n(0, self.list_count))

    @property
    def nbytes(self) -> int:
        """About the memory that it holds: its file, and the arrays made of it so far."""
        arrays = [self.__dict__[name] for name in ("lists", "sizes", "centroids") if name in self.__dict__]
        return self._file_bytes + sum(array.nbytes for array in arrays)

    @cached_property
    def is_l2(self) -> bool:
        """True where rows are compared by distance, False where by product."""
        return bool(self.faiss.metric_type == library().METRIC_L2)


@dataclass(frozen=True)
class View:
    """An index as one version sees it: under a mask of `(ceil(n / 8),)` little-endian bits, or None for all rows."""

    index: Index
    live: npt.NDArray[np.uint8] | None
    live_count: int
    _probes: dict[int, int] = field(default_factory=dict, init=False, repr=False)  # by class of k
    _parameters: dict[int, Any] = field(default_factory=dict, init=False, repr=False)  # by number of lists
    proposes: dict[int, bool] = field(default_factory=dict, init=False, repr=False)  # by class of k, see `costs`

    @cached_property
    def slots(self) -> int | None:
        """How many lists every search names, missing ones too; None: each names those that it reads.

        So one object with parameters serves all searches: making another takes 25 us. For l2 FAISS fills a table for
        each list, missing or not.
        """
        return None if self.index.is_l2 else self.index.list_count

    def parameters(self, lists: int) -> Any:
        """FAISS's parameters of a search that names so many lists, under the mask."""
        if lists not in self._parameters:
            if len(self._parameters) >= _PARAMETERS:
                self._parameters.clear()
            self._parameters[lists] = library().SearchParametersIVF(nprobe=lists, sel=self._selector)
        return self._parameters[lists]

    @cached_property
    def _selector(self) -> Any:
        return None if self.live is None else library().IDSelectorBitmap(self.live)

    @cached_property
    def live_sizes(self) -> npt.NDArray[np.int64]:
        """The number of live rows in each list, `(lists,)`."""
        if self.live is None:
            return self.index.sizes
        return list_sizes(self.index.lists, self.live, self.index.list_count)

    @cached_property
    def empty_lists(self) -> npt.NDArray[np.bool_] | None:
        """Which lists have no live row, `(lists,)`; None if all have some."""
        empty = self.live_sizes == 0
        return empty if empty.any() else None

    def probes(self, k: int) -> int:
        """How many lists a typical query reads for `k` live rows, if rows died evenly."""
        size = class_of(k)
        if size not in self._probes:
            lists = self.index.effort.probes_for(size * self.index.count / max(self.live_count, 1))
            self._probes[size] = min(int(np.ceil(lists)), self.index.list_count)
        return self._probes[size]

    def width(self, k: int) -> int:
        """How many candidates a typical query takes for `k` rows."""
        return min(self.index.effort.width_for(class_of(k)), max(self.live_count, 1))


def load(content: memoryview, facts: Json, vectors: Vectors | None = None, metric: Metric = "cosine") -> Index:
    """Open an index whose digest was checked.

    `vectors`: its rows `(n, dim)`, to calibrate an index whose facts lack the effort of each query (`is_calibrated`);
    without them such an index reads every list.

    Raises IntegrityError (this FAISS is too old for the index, or cannot read it).
    """
    if _numbers(facts["faiss"]) > _numbers(version()):
        raise _unreadable(f"was built by FAISS {facts['faiss']}, this is {version()}", "index_version")
    try:
        index = _read(content)
        effort = Effort.from_json(facts)
    except (RuntimeError, KeyError, TypeError) as error:
        raise _unreadable("cannot be read", "index_damaged") from error
    if not is_calibrated(facts):
        if vectors is None or len(vectors) != index.ntotal:
            return Index(index, effort.unlimited(), len(content))
        effort = _quickly_calibrated(index, vectors, metric)
    return Index(index, effort, len(content))


def _read(content: memoryview) -> Any:
    """FAISS's index in these bytes, copied piece by piece.

    `deserialize_index` copies them once more, 22 ms instead of 13 for 1,000,000 rows in a new process. With FAISS's
    `ZeroCopyIOReader` the centroids would stay in `content`.
    """
    faiss, pieces = library(), _Pieces(content)
    return faiss.read_index(faiss.PyCallbackIOReader(pieces.read, _PIECE_BYTES))


class _Pieces:
    """Reads bytes from the first to the last."""

    def __init__(self, content: memoryview) -> None:
        self._content, self._start = content, 0

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer at the end."""
        start, self._start = self._start, self._start + size
        return bytes(self._content[start : start + size])


def is_calibrated(facts: Json) -> bool:
    """True unless the facts come from a vecver that used one effort for all queries."""
    return bool(facts.get("reach"))


def lists_of(index: Any) -> npt.NDArray[np.uint16]:
    """The list in which each row of FAISS's index lies, `(n,)`."""
    faiss, lists = library(), np.zeros(index.ntotal, np.uint16)
    for number in range(index.nlist):
        if size := index.invlists.list_size(number):
            lists[faiss.rev_swig_ptr(index.invlists.get_ids(number), size)] = number
    return lists


def _quickly_calibrated(index: Any, vectors: Vectors, metric: Metric) -> Effort:
    """The effort, measured within some tenths of a second whatever the index's size."""
    from vecver.index.faiss.calibration import calibrate

    index.implem = IMPLEMENTATION
    with one_thread():
        return calibrate(index, lists_of(index), vectors, metric, rows=_QUICK_ROWS)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _unreadable(reason: str, code: str) -> IntegrityError:
    return IntegrityError(f"a segment's index {reason}", code=code, hint=index_again())
