"""Public names have docstrings, and functions that raise an error of ours name it behind "Raises"."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

import vecver
from vecver import errors

ERRORS = {name for name, value in vars(errors).items() if inspect.isclass(value)}
SERVICE = ROOT / "service/vecver_service"
PROTOCOLS: dict[type, type] = {vecver.MemoryStore: vecver.Store}  # a method of the first is documented at the second


def test_every_public_name_has_a_docstring() -> None:
    missing = [name for name, value in public_names() if not inspect.getdoc(value)]
    assert not missing, f"without a docstring: {', '.join(missing)}"


def test_every_public_function_names_the_errors_that_it_raises() -> None:
    unnamed = [
        f"{place} raises {', '.join(sorted(raised))}"
        for place, function in library_functions()
        for raised in [errors_raised_by(function) - errors_named_by(function)]
        if raised
    ]
    assert not unnamed, 'not named behind "Raises" in its docstring: ' + "; ".join(unnamed)


def test_every_setting_of_the_service_has_a_comment() -> None:
    """The reference shows it as the meaning of the setting."""
    source = (SERVICE / "settings.py").read_text("utf-8")
    (settings,) = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    fields = [node for node in settings.body if isinstance(node, ast.AnnAssign)]
    bare = [ast.unparse(field.target) for field in fields if "  # " not in source.splitlines()[field.lineno - 1]]
    assert fields and not bare, f"without a comment: {', '.join(bare)}"


def test_every_route_has_a_docstring() -> None:
    """The OpenAPI schema shows it as the description of the route."""
    pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
    routes = [route for room in (SERVICE / "routes").glob("[a-z]*.py") for route in routes_of(room.stem)]
    bare = [route.path for route in routes if route.include_in_schema and not route.endpoint.__doc__]
    assert routes and not bare, f"without a docstring: {', '.join(bare)}"


def public_names() -> Iterator[tuple[str, Any]]:
    """The names that `import vecver` gives, and the public members of its classes."""
    for name in vecver.__all__:
        value = getattr(vecver, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            yield name, value
        if inspect.isclass(value):
            yield from members_of(value)


def members_of(owner: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class that this project wrote, inherited ones too."""
    for base in owner.__mro__:
        if base.__module__.startswith("vecver"):
            for name, value in vars(base).items():
                value = getattr(PROTOCOLS.get(owner), name, value)
                member = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                    yield f"{owner.__name__}.{name}", member


def routes_of(room: str) -> list[Any]:
    router = getattr(import_module(f"vecver_service.routes.{room}"), "router", None)
    return [route for route in router.routes if hasattr(route, "endpoint")] if router else []


def library_functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """The public functions and methods of both packages, but for those whose docstrings are help or OpenAPI text."""
    for package in (ROOT / "vecver", SERVICE):
        for room in sorted(package.rglob("*.py")):
            place = room.relative_to(ROOT)
            if "cli" not in place.parts and "routes" not in place.parts:
                for function in public_functions(ast.parse(room.read_text("utf-8"))):
                    yield f"{place}:{function.lineno} {function.name}", function


def public_functions(owner: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    for node in owner.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node)
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


def errors_raised_by(function: ast.FunctionDef) -> set[str]:
    """The names of our errors that stand in `raise` statements of the function's own body."""
    raised = [node.exc for node in own_nodes(function) if isinstance(node, ast.Raise) and node.exc]
    made = [node.func if isinstance(node, ast.Call) else node for node in raised]
    return {node.id for node in made if isinstance(node, ast.Name)} & ERRORS


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """All nodes below, but for those of functions within the function."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield child
            yield from own_nodes(child)


def errors_named_by(function: ast.FunctionDef) -> set[str]:
    """The names of our errors that stand behind "Raises" in the docstring."""
    _, _, listed = (ast.get_docstring(function) or "").partition("Raises")
    return {name for name in ERRORS if name in listed}


def test_the_walk_sees_what_it_must() -> None:
    """A function of each kind, so that an empty walk does not pass for a clean one."""
    source = '''
def documented():
    """Raises NotFoundError (always)."""
    raise NotFoundError("x")

def silent():
    """Does it."""
    def inner():
        raise BackendError("of the inner one")
    raise NotFoundError("x")
'''
    documented, silent = public_functions(ast.parse(source))
    assert errors_raised_by(documented) == errors_named_by(documented) == {"NotFoundError"}
    assert errors_raised_by(silent) == {"NotFoundError"} and errors_named_by(silent) == set()
    assert {"Dataset.search", "Answer.to_json", "open"} <= {name for name, _ in public_names()}
    assert Path(inspect.getfile(vecver)).parent == ROOT / "vecver"
