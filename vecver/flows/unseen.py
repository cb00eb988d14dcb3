"""Counts the tokens of each document that the embedder cannot read, and writes notes about them; opens no embedder.

Decisions
1. A document gets a note from 10% unknown tokens on. Of 40,000 passages in 30 languages MiniLM does not know, language
   by language, 0.0% to 0.2% (European languages, Russian, Greek, Turkish, Arabic), 1% to 3% (Bengali, Korean, Hindi),
   12% to 14% (Tamil, Japanese), 34% to 68% (Chinese).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vecver.model import Json, TokenCounts

MANY = 0.1  # share of a text's tokens that may be unknown
MULTILINGUAL = "sentence-transformers:paraphrase-multilingual-MiniLM-L12-v2"


@dataclass
class Unseen:
    """By document, the sums of its tokens: all, those that the embedder does not know, those that it cut off."""

    sums: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)

    def add(self, documents: Sequence[str], counts: TokenCounts) -> None:
        """Add the counts of some texts; `documents`: the document of each."""
        for document, row in zip(documents, _rows(counts), strict=True):
            self.sums[document] = self.sums.get(document, 0) + row

    def notes(self, embedder: str) -> dict[str, str]:
        """Document -> a note on what the embedder cannot read of it; documents that it can read have none."""
        notes = {document: note_of(embedder, *map(int, row)) for document, row in self.sums.items()}
        return {document: note for document, note in notes.items() if note}


def note_of(embedder: str, tokens: int, unknown: int, cut: int) -> str:
    """A note on what an embedder cannot read of a text; "" if that is little."""
    notes = []
    if unknown > MANY * tokens:
        notes.append(
            f"The embedder {embedder} does not know {unknown / tokens:.0%} of its tokens, so texts of that script or "
            f"with such words look alike to it: use a multilingual embedder, such as {MULTILINGUAL}."
        )
    if cut:
        notes.append(f"The embedder {embedder} does not read the last {cut:,} of its {tokens:,} tokens.")
    return " ".join(notes)


def of_query(counts: TokenCounts, row: int) -> Json | None:
    """`Answer.query`: the token counts of a query; None if the embedder read all of it."""
    return counts.to_json(row) if counts.unknown[row] or counts.cut[row] else None


def _rows(counts: TokenCounts) -> Iterable[npt.NDArray[np.int64]]:
    return np.stack([counts.tokens, counts.unknown, counts.cut], axis=1)
