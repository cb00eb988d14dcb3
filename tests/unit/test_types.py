"""Public calls have the types that an editor and a type checker should show."""

from __future__ import annotations

from pathlib import Path

import pytest
from paths import ROOT, SUPPORT

api = pytest.importorskip("mypy.api", reason="no mypy: install vecver[test]")


def test_mypy_infers_what_each_call_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the cache that the type check of this project leaves; alone it takes a minute."""
    monkeypatch.chdir(ROOT)
    config = str(ROOT / "pyproject.toml")
    told, failed, code = api.run([f"--config-file={config}", "--warn-unused-ignores", str(SUPPORT / "typed_calls.py")])
    assert code == 0, told + failed


@pytest.mark.parametrize("package", ["vecver", "vecver_service"])
def test_the_packages_say_that_they_are_typed(package: str) -> None:
    """Hatch packs every file of a package that git does not ignore."""
    from importlib.util import find_spec

    spec = find_spec(package)
    assert spec and spec.origin and (Path(spec.origin).parent / "py.typed").exists()
