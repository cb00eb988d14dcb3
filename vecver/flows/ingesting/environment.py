"""The programs and the CPU of this process, which a commit records because its rows may depend on them."""

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
def current_environment() -> Json:
    """Versions of Python and libraries, and the CPU, on which the last bits of vectors depend."""
    facts: Json = {"python": platform.python_version(), "machine": platform.machine(), "cpu": _cpu_flags()}
    for library in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            facts[library] = metadata.version(library)
    return facts


def _cpu_flags() -> list[str]:
    """The CPU's extensions, as numpy names them; empty if numpy does not say."""
    with suppress(ImportError, AttributeError):
        from numpy._core._multiarray_umath import __cpu_features__

        return sorted(name for name, present in __cpu_features__.items() if present)
    return []
