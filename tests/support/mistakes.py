"""For tests of mistakes: no settings from the environment, and the state that a mistake must not change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import vecver


def without_settings(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("VECVER_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)


def state(place: Path) -> dict[str, Any]:
    docs = vecver.open(place / ".vecver").dataset("handbook")
    names = vecver.open(place / ".vecver").datasets()
    return {"datasets": names, "refs": [docs.branches(), docs.tags(), docs.aliases()]}
