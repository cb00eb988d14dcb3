"""Doors of packages that open on demand: what is behind them is imported when it is first asked for (PEP 562).

A door looks like this, and is the same for readers, for type checkers and at run time:

    if TYPE_CHECKING:
        from vecver.repo.maintain.gc import GRACE, Retention
    else:
        __getattr__, __dir__ = lazily(__name__)

Decisions
- 2026-11-26 `import vecver` took 0.42 s of CPU, most of it numpy, pyarrow and rooms that the command at hand does not
  enter; `vecver --help` 0.50. So a door imports nothing by itself.
- 2026-11-26 The imports of a door are written once. They are read from its source (1 ms) rather than repeated in a
  table, which would be one more list to keep. Not `lazy_loader`, whose list is a .pyi file: the linter that keeps our
  layers apart reads only .py files.
- 2026-11-26 In `else`, since a type checker that sees a `__getattr__` takes any misspelt name for one that exists.
- 2026-11-26 A door may not give out a name that one of its rooms has: importing the room sets that name to the room.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module, util
from typing import Any


def lazily(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package, for the names that it imports under `if TYPE_CHECKING:`."""
    places = dict[str, tuple[str, str]]()

    def load(name: str) -> Any:
        if not places:
            places.update(imports_of(package))
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = places[name]
        value = import_module(f"{module}.{original}") if module == package else getattr(import_module(module), original)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *imports_of(package)})

    return load, names


def imports_of(package: str) -> dict[str, tuple[str, str]]:
    """Name -> (module, name there) of everything that a package imports under `if TYPE_CHECKING:`."""
    spec = util.find_spec(package)
    source = spec.loader.get_source(package) if spec and spec.loader else None  # type: ignore[attr-defined]
    return {
        alias.asname or alias.name: (statement.module or "", alias.name)
        for block in ast.parse(source or "").body
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom) and statement.module != "typing"
        for alias in statement.names
    }
