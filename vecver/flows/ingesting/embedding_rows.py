"""Makes the vectors of new chunk rows: a text whose vector is known gets that one, each other text is embedded once.

Vectors that were computed are kept by the draft at once, so that an interrupted ingest need not compute them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vecver import index
from vecver.errors import VecverError
from vecver.flows.embedding import embedded_parts
from vecver.flows.ingesting.recipe import Preparation
from vecver.flows.unseen import Unseen
from vecver.model import Vectors
from vecver.repo import Draft, NewChunks

NOT_EMBEDDED = "not_embedded"  # the code of a document of which an endpoint refuses a text


@dataclass
class EmbedCounts:
    """What became of chunk rows: how many texts were embedded, how many rows got a known vector; tokens embedded."""

    embedded: int = 0
    reused: int = 0
    tokens: int = 0
    unseen: Unseen = field(default_factory=Unseen)


@dataclass(frozen=True)
class _Refusal:
    """An endpoint refused the text of this name."""

    name: bytes
    error: VecverError


class RowEmbedding:
    """Makes the vectors of the rows of one draft. `made` is called with the number of rows that got theirs."""

    def __init__(self, draft: Draft, means: Preparation, made: Callable[[int], object] = lambda rows: None) -> None:
        self._draft, self._means, self._made = draft, means, made
        self._counts = EmbedCounts()
        self._planned = set[bytes]()  # of a dry run: names of the texts that would be embedded
        self._early = set[bytes]()  # names of the texts that were embedded before their rows were staged

    def taken(self) -> EmbedCounts:
        """What was counted since the last call."""
        counts, self._counts = self._counts, EmbedCounts()
        return counts

    def vectors(self, rows: NewChunks, texts: Sequence[str], documents: Sequence[str]) -> Vectors:
        """`(len(rows), dim)` float32. `texts`, `documents`: of all chunks that were staged, see `NewChunks.origin`."""
        names = rows.table.column("embedded").to_pylist()
        known = self._draft.vectors_of(names)
        missing = {name: i for name, i in zip(names, rows.origin, strict=True) if name not in known}
        self._made(len(rows) - len(missing))
        wanted, unnamed = [texts[i] for i in missing.values()], list(missing)
        for new in self._kept(unnamed, wanted):
            if isinstance(new, _Refusal):
                raise new.error
            known.update(new)
            self._made(len(new))
        self._count(wanted, [documents[i] for i in missing.values()])
        early = self._early.intersection(names)
        self._early -= early
        self._counts.embedded += len(missing) + len(early)
        self._counts.reused += len(rows) - len(missing) - len(early)
        return np.stack([known[name] for name in names])

    def refused(self, texts: Mapping[bytes, tuple[str, str]]) -> dict[bytes, str]:
        """Embed what is not known of these, name -> (text, document): name -> why an endpoint refused this text.

        Many documents' texts are given at once, so that many requests run at once.
        """
        known = self._draft.vectors_of(list(texts))
        missing = [name for name in texts if name not in known]
        refused: dict[bytes, str] = {}
        for new in self._kept(missing, [texts[name][0] for name in missing]):
            if isinstance(new, _Refusal):
                start = " ".join(texts[new.name][0].split())[:60]
                refused[new.name] = f"{new.error.message} (the text {start!r} …)."
        sound = [name for name in missing if name not in refused]
        self._early.update(sound)
        self._count([texts[name][0] for name in sound], [texts[name][1] for name in sound])
        return refused

    def _kept(self, names: Sequence[bytes], texts: Sequence[str]) -> Iterator[dict[bytes, Vectors] | _Refusal]:
        """Embed texts: the vectors of some of them by name, which the draft keeps by then, or the refusal of one."""
        for part, made in embedded_parts(self._means.embedder, texts) if texts else ():
            if isinstance(made, VecverError):
                yield _Refusal(names[part[0]], made)
                continue
            vectors = index.normalised(made, self._means.recipe.space.metric)
            new = {names[i]: vector for i, vector in zip(part, vectors, strict=True)}
            self._draft.keep(new)
            yield new

    def plan(self, texts: Mapping[bytes, tuple[str, str]]) -> None:
        """Count, for a dry run, which of these would be embedded. `texts`: name -> (text, document)."""
        known = self._draft.vectors_of(list(texts))
        missing = {name: text for name, text in texts.items() if name not in known and name not in self._planned}
        self._planned.update(missing)
        self._counts.embedded += len(missing)
        self._count([text for text, _ in missing.values()], [document for _, document in missing.values()])

    def _count(self, texts: Sequence[str], documents: Sequence[str]) -> None:
        """Count texts that are embedded: their tokens, and those that the embedder does not know or cuts off."""
        if texts:
            counts = self._means.embedder.token_counts(texts)
            self._counts.tokens += int(counts.tokens.sum())
            self._counts.unseen.add(documents, counts)
