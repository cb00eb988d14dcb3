"""What stores have in common that answer without a round trip: nothing is worth asking ahead, together or beside."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager


class NoRoundTrips(ABC):
    """See `Store`: a part of its calls, by two others."""

    @abstractmethod
    def size(self, name: str) -> int | None: ...

    @abstractmethod
    def list(self, prefix: str) -> Iterator[str]: ...

    def has_all(self, names: Iterable[str]) -> Sequence[bool]:
        return [self.size(name) is not None for name in names]

    def list_all(self, prefixes: Iterable[str]) -> Sequence[Sequence[str]]:
        return [[*self.list(prefix)] for prefix in prefixes]

    def holds(self, name: str, content: memoryview) -> bool:
        return False

    def moment(
        self,
        bodies: Iterable[str] = (),
        sizes: Iterable[str] = (),
        *,
        locks: Iterable[str] = (),
        anew: bool = False,
        age_s: float = 0.0,
    ) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def aside(self, work: Callable[[], None]) -> None:
        work()

    def knows(self, bodies: Iterable[str], age_s: float) -> bool:
        return True
