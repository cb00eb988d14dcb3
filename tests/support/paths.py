"""Where tests find what they read: this repository, and corpora that may lie beside it."""

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
GOLDEN = TESTS / "golden"
SUPPORT = TESTS / "support"
SHARED = ROOT.parent / "shared"  # corpora with their histories; on the machines that have them
