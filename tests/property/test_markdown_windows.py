"""A window over a Markdown text finds what a look at the whole text finds, in memory that does not grow with it."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecver.pipeline.chunkers import blocks

LINES = [
    "# a", "## b ##", "a\n===", "b\n---", "***", "```", "```py", "~~~~", "    code", "<div>", "</div>", "<!-- c", "-->",
    "<script>", "</script>", "<b>x</b>", "- a", "  - b", "    - c", "1. a", "   # in a list", "  ```", "> a", "> # b",
    "> ```", "> - c", "text", "  text", "", " ", "", "| a | b |", "|---|---|", "[a]: b", "\t# x", "+++", "---",
]  # fmt: skip


@pytest.mark.parametrize("examples", [200, pytest.param(20_000, marks=pytest.mark.deep)])
@pytest.mark.timeout(3600)
def test_windows_find_the_same_blocks(examples: int) -> None:
    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(st.lists(st.sampled_from(LINES), max_size=40).map("\n".join), st.integers(1, 60))
    def check(text: str, window: int) -> None:
        whole = blocks.blocks(text, "text/markdown")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(blocks, "WINDOW", window)
            assert blocks.blocks(text, "text/markdown") == whole

    check()


@pytest.mark.parametrize("unit", ["# a heading\n", "a\n\n", "```\n```\n"])
def test_memory_does_not_grow_with_the_text(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "WINDOW", 5_000)
    once, four = (peak(unit * (n // len(unit))) for n in (10_000, 40_000))
    assert four < 1.5 * once


def peak(text: str) -> int:
    """Bytes taken while the landmarks of a text are looked for, none of them kept."""
    tracemalloc.start()
    try:
        for _ in blocks._landmarks(text, 0):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
