"""Doors (packages whose names load on demand) provide what they list, and import nothing heavy before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from vecver.doors import imported as imported_name
from vecver.doors import imports_of

DOORS = [
    "vecver",
    "vecver.flows",
    "vecver.index",
    "vecver.index.faiss",
    "vecver.index.keywords",
    "vecver.model",
    "vecver.pipeline",
    "vecver.repo",
    "vecver.store",
]


@pytest.mark.parametrize("door", DOORS)
def test_a_door_gives_out_what_it_lists(door: str) -> None:
    package = import_module(door)
    imported = imports_of(door)
    assert sorted(package.__all__) == sorted(imported) and set(imported) <= set(dir(package))
    for name, (module, original) in imported.items():
        there = imported_name(door, module, original)
        assert getattr(package, name) is there
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = package.no_such_name


def test_a_room_of_another_package_is_given_out_though_nothing_imported_it_before() -> None:
    program = "import vecver.repo; print(vecver.repo.ledger.__name__, vecver.repo.names.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["vecver.repo.published.ledger", "vecver.repo.refs.names"]


@pytest.mark.parametrize("door", [*DOORS, "vecver.index.milvus"])
def test_the_pattern_reads_what_python_reads(door: str) -> None:
    tree = ast.parse(Path(str(import_module(door).__file__)).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    statements = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(statements) == len(block.body)
    imported = {each.asname or each.name: (node.module, each.name) for node in statements for each in node.names}
    assert imports_of(door) == imported


@pytest.mark.parametrize("door", DOORS)
def test_no_name_of_a_door_is_that_of_a_room(door: str) -> None:
    """Importing the module would replace the function of that name."""
    rooms = {path.stem for path in Path(str(import_module(door).__file__)).parent.iterdir()}
    given = {name for name, (module, _) in imports_of(door).items() if module != door}
    assert given & rooms == set()
