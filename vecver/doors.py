"""Packages whose names load on demand (PEP 562): `vecver.open` imports the room of `open` when it is first used.

A package of this kind looks like this, and reads the same for people, type checkers and at run time:

    if TYPE_CHECKING:
        from vecver.repo.maintain.gc import GRACE, Retention
    else:
        __getattr__, __dir__ = lazily(__name__)

Decisions
1. Importing such a package imports nothing else. Before, `import vecver` took 0.42 s of CPU, most of it for numpy,
   pyarrow and rooms that the command did not need.
2. The imports are written once and read from the package's source, not repeated in a table that could differ. Not
   `lazy_loader`, whose list is a .pyi file: the linter of our layers reads only .py files.
3. The source is matched with a pattern (0.1 ms a package); parsing it took 1 ms for each of eight packages.
4. `lazily` is called in `else`, since a type checker that sees a `__getattr__` accepts any misspelt name.
5. No name may be that of a room of its package: importing the room would set that name to the room.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module, util
from typing import Any

_BLOCK = re.compile(r"^if TYPE_CHECKING:\n((?:[ )].*\n|\n)*)", re.MULTILINE)
_IMPORT = re.compile(r"^    from ([\w.]+) import (?:\(([^)]*)\)|(.*))", re.MULTILINE)


def lazily(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package, for the names that it imports under `if TYPE_CHECKING:`."""
    imports = dict[str, tuple[str, str]]()

    def load(name: str) -> Any:
        if not imports:
            imports.update(imports_of(package))
        if name not in imports:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = imported(package, *imports[name])
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *imports_of(package)})

    return load, names


def imported(package: str, module: str, name: str) -> Any:
    """What `from module import name` gives to `package`: a value of the module, else a room of it."""
    room = f"{module}.{name}"
    if module == package:  # its own `__getattr__` is the one that asks
        return import_module(room)
    try:
        return getattr(import_module(module), name)
    except AttributeError:
        return import_module(room)


def imports_of(package: str) -> dict[str, tuple[str, str]]:
    """Name -> (module, name there) of everything that a package imports under `if TYPE_CHECKING:`."""
    spec = util.find_spec(package)
    source = spec.loader.get_source(package) if spec and spec.loader else None  # type: ignore[attr-defined]
    imports = dict[str, tuple[str, str]]()
    for block in _BLOCK.findall(source or ""):
        for module, several, single in _IMPORT.findall(block):
            for item in (several or single).split(","):
                if words := item.split():  # "name", or "name as other"
                    imports[words[-1]] = module, words[0]
    return imports
