"""What a store promises, whatever lies under it.

Names are `/`-separated, without `.` and `..`. A write becomes visible whole and in one step, and is
durable when the call returns; that is all the layers above need to survive a power failure, since
they write children before parents and make everything visible by one `swap`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import pyarrow as pa


@runtime_checkable
class Store(Protocol):
    """Named bytes. Missing names raise NotFoundError(code="object_missing"); a store that does not answer, BackendError."""

    url: str

    def put(self, name: str, data: bytes | Path) -> None:
        """Store bytes, or a finished file that lies in `scratch()` (it is moved), under `name`, replacing what is there."""

    def get(self, name: str) -> bytes:
        """All bytes of `name`."""

    def map(self, name: str) -> pa.Buffer:
        """The bytes of `name` without reading them all: memory-mapped where the store can."""

    def path(self, name: str) -> Path | None:
        """Where `name` lies as a plain file, or None where it does not."""

    def size(self, name: str) -> int | None:
        """Bytes of `name`, or None if there is no such name."""

    def list(self, prefix: str) -> Iterator[str]:
        """Every name that begins with `prefix`, which ends with `/` or is empty; sorted."""

    def delete(self, name: str) -> None:
        """Remove `name`; removing what is not there is no error."""

    def swap(self, name: str, expected: bytes | None, new: bytes) -> None:
        """Write `new` if `name` holds `expected` now (None: is absent), else ConflictError(code="swap_lost")."""

    def scratch(self) -> Path:
        """A new private directory for files that will be `put`; the caller removes it."""
