"""Planted causes: pairs of versions in which it is known why a document changed its place, and what `compare` says.

    PYTHONPATH=.:tests/support python tests/support/planted_causes.py [--cases 200]

edited, added, removed, rival   every question has documents of its own around it, at chosen closeness; one is edited
                                (up, down, out or in), added or removed, and the rival is what that pushed out or let in
rechunked                       the same pages, cut into chunks of another size; some are edited as well
embedder                        the same pages by another embedder, MiniLM and then hashing; some are edited as well
approximation                   vectors under a real index, which misses some of the exact answer in one version alone
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from helpers import open_on

import vecver
from vecver.model import Vectors
from vecver.store import MemoryStore

OWN = ("edited", "added", "removed", "rival")
DIM = 64
NEIGHBOURS = 14  # documents around each question
WORDS = [
    f"{one}{two}"
    for one in ["ba", "de", "fi", "go", "lu", "mo", "ne", "pa", "ri", "so", "tu", "va", "ze"]
    for two in ["den", "ler", "min", "rak", "sol", "tan", "vik", "zor"]
]


@dataclass(frozen=True)
class Case:
    """A document that changed its place for a known reason, and the reason that `compare` gives."""

    document: str
    planted: str
    said: str

    @property
    def is_right(self) -> bool:
        """Does `compare` name the reason that was planted?"""
        return self.said == self.planted


def own_changes(count: int, seed: int = 1) -> Iterator[Case]:
    """Cases of the kinds in `OWN`, in turns, each around a question of its own."""
    draw = np.random.default_rng(seed)
    before: list[dict[str, Any]] = []
    after: list[dict[str, Any]] = []
    asked, planted = [], []
    for number in range(count):
        kind, query = OWN[number % len(OWN)], _unit(draw.standard_normal(DIM))
        old = {f"q{number}-{n:02}": 0.95 - 0.012 * n for n in range(NEIGHBOURS)}
        new, document = _changed(old, kind, f"q{number}", draw)
        vectors = {(id, at): _near(query, at, draw) for id, at in {**old, **new}.items()}
        vectors |= {(id, at): _near(query, at, draw) for id, at in old.items() if (id, at) not in vectors}
        for rows, values in ((before, old), (after, new)):
            rows += [{"id": id, "text": f"{id} at {at}", "vector": vectors[id, at]} for id, at in values.items()]
        asked.append({"vector": query.tolist()})
        planted.append((document, kind))
    docs = open_on(MemoryStore()).dataset("own")
    for tag, rows in (("a", before), ("b", after)):
        docs.ingest(rows, space="planted", metric="cosine", label="rows", allow_removals=True)
        docs.tag(tag)
    for each, (document, kind) in zip(docs.compare("a", "b", questions=asked).per_question, planted, strict=True):
        yield Case(document, kind, _whys(each).get(document, "nothing"))


def _changed(old: dict[str, float], kind: str, prefix: str, draw: np.random.Generator) -> tuple[dict[str, float], str]:
    """The documents of the second version, and the one whose reason is asked for."""
    names, place = list(old), int(draw.integers(0, 9))
    chosen, new, between = names[place], dict(old), 0.95 - 0.012 * (int(draw.integers(0, 9)) + 0.5)
    if kind == "edited":
        chosen = names[int(draw.integers(0, NEIGHBOURS))]
        inside = names.index(chosen) < 10
        others = [n for n in range(10) if not inside or abs(n - names.index(chosen)) > 1]
        to = 0.95 - 0.012 * (int(draw.choice(others)) + 0.5)
        return {**new, chosen: 0.2 if inside and draw.random() < 0.5 else to}, chosen
    if kind == "removed":
        del new[chosen]
        return new, chosen
    if kind == "added":
        return {**new, f"{prefix}-new": between}, f"{prefix}-new"
    if draw.random() < 0.5:
        return {**new, f"{prefix}-new": between}, names[9]  # pushed out
    del new[chosen]
    return new, names[10]  # let in


def rechunked(count: int, seed: int = 2, embedder: str = "hashing") -> list[Case]:
    """Cases in which pages are cut otherwise, and every tenth page is edited."""
    return _of_recipe(count, seed, "rechunked", [{"embedder": embedder, "chunk_tokens": n} for n in (128, 48)])


def other_embedder(count: int, seed: int = 3, words: int = 150) -> list[Case]:
    """Cases in which another embedder made the vectors, and every tenth page is edited."""
    recipes = [{"embedder": name, "chunk_tokens": 64} for name in ("minilm", "hashing")]
    return _of_recipe(count, seed, "embedder", recipes, words)


def _of_recipe(count: int, seed: int, kind: str, recipes: list[dict[str, Any]], words: int = 150) -> list[Case]:
    draw = np.random.default_rng(seed)
    pages = {f"p{n:03}": " ".join(draw.choice(WORDS, words)) + "." for n in range(40)}
    edited = {id: " ".join(draw.choice(WORDS, words)) + "." for id in list(pages)[::10]}
    docs = open_on(MemoryStore()).dataset("pages")
    for tag, texts, recipe in zip("ab", (pages, {**pages, **edited}), recipes, strict=True):
        docs.ingest([{"id": id, "text": text} for id, text in texts.items()], label="pages", **recipe)
        docs.tag(tag)
    questions = [" ".join(draw.choice(WORDS, 3, replace=False)) for _ in range(count)]
    cases = []
    for each in docs.compare("a", "b", questions=questions).per_question:
        whys = _whys(each)
        cases += [Case(id, "edited" if id in edited else kind, why) for id, why in list(whys.items())[:2]]
    return [case for case in cases if case.planted == kind][:count] + [
        case for case in cases if case.planted == "edited"
    ][: count // 6]


def approximation(count: int, seed: int = 4, rows: int = 10_000, dim: int = 128) -> list[Case]:
    """Cases in which a real index missed a document of the exact answer in the first version.

    The second version lacks half of the rows, but none that an exact answer holds: so whatever changed its place, the
    index alone moved it. Fewer rows stand before a true hit among the candidates of the index there.
    """
    draw = np.random.default_rng(seed)
    vectors = draw.standard_normal((rows, dim)).astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1)
    questions = draw.standard_normal((8 * count, dim)).astype(np.float32)
    kept = draw.random(rows) < 0.5
    kept[np.argsort(-(questions @ vectors.T) / lengths, axis=1)[:, :11]] = True
    records = [{"id": f"d{n:05}", "text": f"{n}", "vector": vector} for n, vector in enumerate(vectors)]
    docs = open_on(MemoryStore()).dataset("indexed")
    for tag, some in (("a", records), ("b", [each for each, keep in zip(records, kept, strict=True) if keep])):
        docs.ingest(some, space="random", metric="cosine", label="rows", allow_removals=True)
        docs.tag(tag)
    docs.optimize()
    asked = [{"vector": vector.tolist()} for vector in questions]
    exact, through = docs.compare("a", "b", questions=asked, exact=True), docs.compare("a", "b", questions=asked)
    assert not any(each.changes for each in exact.per_question)
    seen = [(id, why) for each in through.per_question for id, why in _whys(each).items()]
    return [Case(id, "approximation", why) for id, why in seen][:count]


def _whys(each: vecver.Compared) -> dict[str, str]:
    return {change.document: change.why for change in (*each.entered, *each.left, *each.moved)}


def _unit(vector: Any) -> Vectors:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _near(query: Vectors, closeness: float, draw: np.random.Generator) -> Vectors:
    """A unit vector whose product with the unit vector `query` is `closeness`."""
    noise = draw.standard_normal(len(query))
    other = _unit(noise - (noise @ query) * query)
    return _unit(closeness * query + np.sqrt(1 - closeness**2) * other)


def planted(count: int) -> list[Case]:
    """About `count` cases over all kinds."""
    each = max(1, count // 7)
    return [
        *own_changes(len(OWN) * each),
        *rechunked(each, embedder="minilm"),
        *other_embedder(each),
        *approximation(count - 6 * each),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200)
    cases = planted(parser.parse_args().cases)
    said = defaultdict[str, Counter[str]](Counter)
    for case in cases:
        said[case.planted][case.said] += 1
    for kind, counts in said.items():
        others = {why: number for why, number in counts.items() if why != kind}
        print(f"{kind:<15}{counts.total():>4} planted  {counts[kind]:>4} right  {others or ''}")
    right = sum(case.is_right for case in cases)
    print(f"right: {right} of {len(cases)}, {right / len(cases):.1%}")


if __name__ == "__main__":
    main()
