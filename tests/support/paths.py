"""Where tests find what they read: this repository, and corpora that may lie beside it."""

import os
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
GOLDEN = TESTS / "golden"
SUPPORT = TESTS / "support"
# Corpora with their histories, on the machines that have them: beside this repository, or where a variable says.
SHARED = Path(os.environ.get("VECVER_TEST_SHARED") or ROOT.parent / "shared")
