"""A small handbook on disk, and an embedder that records what it embeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vecver.model import Embedder

PAGES = {
    "valve.md": "# Valve\n\nOpen the valve slowly until water comes.\n",
    "pump.md": "# Pump\n\nThe pump moves water through the house.\n",
    "deep/key.md": "# Key\n\nThe key hangs beside the door.\n",
}


class Counting:
    """The hashing embedder, keeping the texts that it was given; may fail at one of them."""

    def __init__(self, inner: Embedder) -> None:
        self.inner, self.texts, self.fail_at = inner, list[str](), ""

    def embed(self, texts: Sequence[str]) -> Any:
        if self.fail_at and any(self.fail_at in text for text in texts):
            raise KeyboardInterrupt
        self.texts += texts
        return self.inner.embed(texts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
