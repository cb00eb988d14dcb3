"""Checks that a framework is installed, in a version that its adapter was tested with. It imports no framework.

Decisions
1. A newer major version is an error: its classes may call an adapter in another way, and an answer from another
   version of the documents than the pinned one would be worse than none.
"""

from __future__ import annotations

import re
from importlib import metadata
from typing import Final

import vecver

# extra -> package, oldest version, first version that is too new; the same bounds as in pyproject.toml
BOUNDS: Final = {
    "langchain": ("langchain-core", "1.4", "2"),
    "llamaindex": ("llama-index-core", "0.14", "0.15"),
    "haystack": ("haystack-ai", "3.4", "4"),
    "mcp": ("mcp", "2.3", "3"),
    "mlflow": ("mlflow-skinny", "3.17", "4"),
}


def check_framework(extra: str) -> None:
    """Raises InvalidInputError unless the framework of this extra is installed in a version within its bounds."""
    package, oldest, too_new = BOUNDS[extra]
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise _unusable(extra, f"{package} is not installed", "missing_package") from error
    if not _numbers(oldest) <= _numbers(version) < _numbers(too_new):
        problem = f"{package} {version} is installed, and this adapter is for {oldest} up to, but not, {too_new}"
        raise _unusable(extra, problem, "unsupported_package")


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: (1, 8, 4) of 1.8.4rc1."""
    leading = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, leading[0].split("."))) if leading else ()


def _unusable(extra: str, problem: str, code: str) -> vecver.InvalidInputError:
    package = BOUNDS[extra][0]
    return vecver.InvalidInputError(problem, code=code, hint=f"pip install 'vecver[{extra}]'", package=package)
