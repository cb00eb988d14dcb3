"""What was tried, how often, and what failed: the lines of the table that the deep form prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class Tally:
    """One line of the table: something that was tried again and again. All is tried before the first failure fails."""

    what: str
    where: str  # the test, as pytest names it
    tried: int = 0
    failures: list[str] = field(default_factory=list)

    def attempt(self, name: str, act: Callable[[], Any]) -> None:
        """Try once; a failure is kept under this name."""
        self.tried += 1
        try:
            act()
        except (Exception, pytest.fail.Exception) as error:
            self.failures.append(f"{name}: {type(error).__name__}: {error}")

    def line(self) -> str:
        return f"| {self.what} | {self.tried:,} | {len(self.failures)} | `{self.where}` |"


Begin = Callable[[str], Tally]  # begins a line
