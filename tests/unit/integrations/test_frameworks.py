"""Which frameworks the adapters accept. Needs no framework: what is installed is played."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

import pytest
from paths import ROOT

import vecver
from vecver.integrations.frameworks import BOUNDS, check_framework

EXTRAS = sorted(BOUNDS)


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_bounds_are_those_of_the_extra(extra: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    package, oldest, too_new = BOUNDS[extra]
    assert f"{package}>={oldest},<{too_new}" in extras[extra]
    assert not re.search(rf"\b{extra}\b", str(extras["all"]))


@pytest.mark.parametrize("extra", EXTRAS)
def test_versions_within_the_bounds_are_accepted(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, oldest, too_new = BOUNDS[extra]
    for version in (oldest, f"{oldest}.0", f"{oldest}.99.post1"):
        monkeypatch.setattr(metadata, "version", lambda package, version=version: version)
        check_framework(extra)
    below = {"1.4": "1.3.99", "0.14": "0.13.6", "2.3": "2.2.9", "3.4": "3.3.9", "3.17": "3.16.9"}[oldest]
    for version in (below, too_new, f"{too_new}.0rc1", f"{too_new}.1", "10000"):
        monkeypatch.setattr(metadata, "version", lambda package, version=version: version)
        with pytest.raises(vecver.InvalidInputError) as refused:
            check_framework(extra)
        assert refused.value.code == "unsupported_package" and version in refused.value.message
        assert refused.value.hint == f"pip install 'vecver[{extra}]'"


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_missing_framework_is_named_with_its_extra(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(vecver.InvalidInputError) as refused:
        check_framework(extra)
    assert refused.value.code == "missing_package" and BOUNDS[extra][0] in refused.value.message
    assert refused.value.hint == f"pip install 'vecver[{extra}]'"
