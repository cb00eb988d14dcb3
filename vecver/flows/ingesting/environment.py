"""What a version was made with: the programs and the CPU on which its rows may depend."""

from __future__ import annotations

import platform
from contextlib import suppress
from functools import lru_cache
from importlib import metadata

from vecver.model import Json

_LIBRARIES = (
    *("vecver", "numpy", "pyarrow", "faiss-cpu", "torch", "sentence-transformers", "transformers", "tokenizers"),
    *("markdown-it-py", "html-to-markdown", "lxml", "chardet"),
    *("firecrawl-anydoc", "liteparse", "msoffcrypto-tool", "python-oxmsg", "tree-sitter"),
)


@lru_cache
def environment() -> Json:
    """What the rows may depend on beside the recipe: versions, and the CPU for the last bits of a vector."""
    found: Json = {"python": platform.python_version(), "machine": platform.machine(), "cpu": _cpu_flags()}
    for library in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found[library] = metadata.version(library)
    return found


def _cpu_flags() -> list[str]:
    """The CPU's extensions, as numpy names them; empty where it does not tell."""
    with suppress(ImportError, AttributeError):
        from numpy._core._multiarray_umath import __cpu_features__

        return sorted(name for name, there in __cpu_features__.items() if there)
    return []
