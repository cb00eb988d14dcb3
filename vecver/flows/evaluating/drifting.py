"""Drifting: compares the sketches of two versions, and finds chunks that show what moved.

Sketches are read from the layouts (`vecver.sketching`); a version that has none, because an older vecver made it, is
counted now, and the sketch is kept with it where the repository can be written. Only the rows that one version has and
the other lacks are read for examples, and only until there are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from vecver import repo
from vecver.errors import NotFoundError
from vecver.flows.evaluating.drift_rules import HISTOGRAMS, Changes, Histogram, commonest_length, grown, statistics
from vecver.model import Drift, Example, Report, SketchSummary, Space, Statistic
from vecver.repo import Place, Segment, Snapshot, Versions
from vecver.sketching import DOCUMENT_PARTS, Sketch, bins, chunk_bins, document_bins

Bins = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Pick = Callable[[Bins], Flags]

EXAMPLES = 3  # chunks of one statistic, of different documents
_NOTED = 4  # statistics that a note names
_LONGEST = 2000  # characters of an example


def drift(versions: Versions, dataset: str, before: str, after: str) -> Drift:
    """What moved between two versions, with example chunks.

    Raises NotFoundError (a revision; code version_forgotten where gc let the rows of a version go), IntegrityError.
    """
    old, new = (versions.snapshot(versions.resolve(dataset, revision)) for revision in (before, after))
    sketches = versions.sketch(old), versions.sketch(new)
    diff = repo.diff(old, new)
    changes = Changes(len(diff.added) + len(diff.removed), len(diff.changed), diff.chunks_added + diff.chunks_removed)
    found = statistics(*sketches, changes, (old.commit.recipe.space, new.commit.recipe.space))
    finder = _Finder(old, new, *sketches)
    return Drift(
        dataset,
        old.commit.id,
        new.commit.id,
        (old.layout.document_count, new.layout.document_count),
        (old.layout.chunk_count, new.layout.chunk_count),
        len(diff.added) + len(diff.changed) + len(diff.removed),
        tuple(finder.shown(each) if each.moved else each for each in found),
    )


def note(place: Place, space: Space, report: Report) -> list[str]:
    """A line on what moved from a version's parent to it; none where nothing did, or where either was not counted."""
    parent, sketch = place.parent, place.layout.sketch
    if parent is None or parent.layout.sketch is None or sketch is None:
        return []
    documents, chunks = report.documents, place.layout.chunk_count - parent.layout.chunk_count + 2 * place.removed
    changes = Changes(documents["added"] + documents["removed"], documents["changed"], chunks)
    spaces = parent.commit.recipe.space, space
    moved = [each for each in statistics(parent.layout.sketch, sketch, changes, spaces) if each.moved]
    if not moved:
        return []
    named = "; ".join(f"{each.name.replace('_', ' ')}: {each.text}" for each in moved[:_NOTED])
    more = f"; and {len(moved) - _NOTED} more" if len(moved) > _NOTED else ""
    return [f"drift from {parent.commit.id[:12]}: {named}{more} (`vecver drift` shows examples)"]


def summary(versions: Versions, commit: str) -> SketchSummary | None:
    """What the sketch of a version says; None where it was not counted, or gc let its rows go. Reads no row."""
    with suppress(NotFoundError):
        if sketch := versions.layout(commit).sketch:
            return _summary(sketch)
    return None


def _summary(sketch: Sketch) -> SketchSummary:
    languages = sketch.parts["languages"]
    order = np.argsort(-languages, kind="stable").tolist()
    shares = {bins.language_name(place): float(languages[place] / sketch.chunks) for place in order if languages[place]}
    middle, longest = (bins.length_of(_quantile(sketch.parts["lengths"], part)) for part in (0.5, 0.95))
    norm = bins.norm_name(_quantile(sketch.parts["norms"], 0.5))
    return SketchSummary(
        sketch.documents, sketch.chunks, middle, longest, shares, sketch.duplicates(sketch.table), norm
    )


def _quantile(counts: Bins, part: float) -> int:
    """The bin in which this part of the rows is reached."""
    return int(np.searchsorted(np.cumsum(counts), part * counts.sum()))


@dataclass(frozen=True)
class _Finder:
    """Finds chunks that show what moved between two versions."""

    old: Snapshot
    new: Snapshot
    before: Sketch
    after: Sketch

    def shown(self, statistic: Statistic) -> Statistic:
        """The statistic with examples, as far as there are any."""
        name = statistic.name
        if name == "duplicates":
            return statistic.with_examples(tuple(_repeated(self.new)), ())
        if name == "same_length":
            length = commonest_length(self.before, self.after)
            return statistic.with_examples(self._find(self.new, self.old, "lengths", lambda it: it == length), ())
        if name not in HISTOGRAMS:  # all rows show it
            return statistic.with_examples(*(self._find(*pair, "lengths", _every) for pair in self._pairs))
        how = HISTOGRAMS[name]
        classes = grown(name, self.before, self.after)
        picks = [partial(_of_classes, how, each) for each in classes]
        came, went = (self._find(*pair, how.part, pick) for pair, pick in zip(self._pairs, picks, strict=True))
        return statistic.with_examples(came, went)

    @property
    def _pairs(self) -> tuple[tuple[Snapshot, Snapshot], tuple[Snapshot, Snapshot]]:
        return (self.new, self.old), (self.old, self.new)

    def _find(self, one: Snapshot, other: Snapshot, part: str, pick: Pick) -> tuple[Example, ...]:
        """Chunks of rows that only `one` has and that `pick` takes by their bins of a part, of different documents."""
        examples: dict[str, Example] = {}
        places = _documents if part in DOCUMENT_PARTS else _chunks
        for segment, row in places(one, other, part, pick):
            name = segment.owner(row)
            examples.setdefault(name, Example(name, segment.keys[row].tobytes().hex(), segment.text(row)[:_LONGEST]))
            if len(examples) == EXAMPLES:
                break
        return tuple(examples.values())


def _every(places: Bins) -> Flags:
    return np.ones(len(places), bool)


def _of_classes(how: Histogram, classes: Bins, places: Bins) -> Flags:
    return np.isin(how.class_of(places), classes)


def _chunks(one: Snapshot, other: Snapshot, part: str, pick: Pick) -> Iterator[tuple[Segment, int]]:
    for segment, chunks, _ in repo.lacking(one, other):
        for rows, texts, vectors in repo.chunk_blocks(segment, chunks):
            for row in rows[pick(chunk_bins(texts, vectors)[part])].tolist():
                yield segment, row


def _documents(one: Snapshot, other: Snapshot, part: str, pick: Pick) -> Iterator[tuple[Segment, int]]:
    """The first chunks of documents."""
    for segment, _, documents in repo.lacking(one, other):
        for row in documents[pick(document_bins(*repo.document_sizes(segment, documents))[part])].tolist():
            keys = segment.documents.column("chunks")[row].as_py()[:1]
            for number, chunk in zip(
                *one.find_chunks(np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16)), strict=True
            ):
                yield one.segments[number], int(chunk)


def _repeated(one: Snapshot) -> Iterator[Example]:
    """Chunks whose texts came before in the version, each text once."""
    seen, shown = set[int](), set[int]()
    for segment, live in zip(one.segments, one.layout.segments, strict=True):
        for rows, texts, _ in repo.chunk_blocks(segment, repo.rows_of(live.chunks)):
            for row, text in zip(rows.tolist(), texts.to_pylist(), strict=True):
                name = hash(text)
                if name in seen and name not in shown:
                    shown.add(name)
                    yield Example(segment.owner(row), segment.keys[row].tobytes().hex(), text[:_LONGEST])
                    if len(shown) == EXAMPLES:
                        return
                seen.add(name)
