"""How `sphinx-build docs docs/_build` makes the pages. The reference is written from the code at every build."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from reference_pages import write_reference  # noqa: E402

project, author, release = "vecver", "The vecver authors", metadata.version("vecver")
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "images"]
default_role = "code"  # a name in `backticks` in a docstring
html_theme = "furo"
html_title = "vecver"
html_static_path: list[str] = []
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
nitpicky = False

write_reference(HERE / "reference")
