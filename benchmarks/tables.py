"""Markdown tables of what benchmarks have measured. Nothing here measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

See = Callable[[str, str, str], None]  # takes a line of the table: measure, goal, seen


def row(cells: Iterable[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def head(names: Sequence[str]) -> str:
    """The first two lines of a table."""
    return f"{row(names)}\n{row(['---'] * len(names))}"


class Goals:
    """The lines of a table of goals: printed as they come, and once more as a table at the end."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def see(self, measure: str, goal: str, seen: str) -> None:
        """Add a line. `goal` may be empty."""
        self.lines.append((measure, goal, seen))
        print(f"{measure} | {goal} | {seen}", flush=True)

    def print_table(self) -> None:
        """All lines as a table."""
        print(f"\n{head(('measure', 'goal', 'seen'))}")
        print("\n".join(map(row, self.lines)))
