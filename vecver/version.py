"""Which vecver this is, as its installation says; read when it is first asked for."""

from __future__ import annotations

from importlib import metadata

__version__: str = metadata.version("vecver")
