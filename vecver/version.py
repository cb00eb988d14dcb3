"""The installed version of vecver."""

from __future__ import annotations

from importlib import metadata

__version__: str = metadata.version("vecver")
