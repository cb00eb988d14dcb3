"""What an ingest on Ray says where Ray is missing or the place is none; for the rest see tests/integrations."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import vecver
from vecver.cli import main


@pytest.fixture
def docs(tmp_path: Path) -> vecver.Dataset:
    return vecver.open(tmp_path / "kb", create=True).dataset("d")


def test_ray_is_not_installed(docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(vecver.InvalidInputError, match="needs the package ray") as caught:
        docs.ingest([{"id": "a", "text": "b"}], on="ray")
    assert caught.value.code == "missing_package" and "vecver[ray]" in caught.value.hint


@pytest.mark.parametrize("place", ["", "rya", "ray://", "http://host", "RAY"])
def test_a_place_that_is_none(docs: vecver.Dataset, place: str) -> None:
    with pytest.raises(vecver.InvalidInputError, match="does not run on") as caught:
        docs.ingest([{"id": "a", "text": "b"}], on=place)
    assert caught.value.code == "invalid_place" and docs.branches() == {}


def test_the_command_names_the_place(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n\ntext\n")
    place = str(tmp_path / "kb")
    vecver.open(place, create=True).close()
    outcome = CliRunner().invoke(main, ["--repo", place, "ingest", "d", str(tmp_path / "a.md"), "--ray", "somewhere"])
    assert outcome.exit_code == 2 and "does not run on 'somewhere'" in outcome.output
