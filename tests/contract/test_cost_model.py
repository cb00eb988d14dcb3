"""The page on how far vecver goes holds the tables that the model of cost makes."""

from __future__ import annotations

import subprocess
import sys

from paths import ROOT

SCRIPT = ROOT / "benchmarks/cost_model.py"


def model(*options: str) -> str:
    command = [sys.executable, str(SCRIPT), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_page_is_what_the_model_says() -> None:
    page = (ROOT / "docs/concepts/scale.md").read_text("utf-8")
    assert page.count(model()) == 1, "run python benchmarks/cost_model.py --write"


def test_prices_are_options_and_measures_are_not() -> None:
    usual, dear = model().splitlines(), model("--core-hour", "1000").splitlines()
    differ = [row.split(" | ")[0] for row, other in zip(usual, dear, strict=True) if row != other]
    assert [row[2:9] for row in differ] == ["embeddi", "a month", "a month", "a month"]
