"""Drift rules: which statistics of two sketches moved, and how far chance may carry each.

A statistic is a histogram of chunks or documents; its distance is the total variation, the share of rows in another
class than before. It moved if that is more than each of

    its own least      what ordinary versions of real documentation stay below; see LEAST
    the noise          how far chance carries it if rows come and go without a cause: each class's share then strays by
                       sqrt(share (1 - share) rows) / all, and the distance by the mean of that plus SIGMAS deviations.
                       `rows` are the chunks that differ; those of a whole document that came or went are alike, and
                       count with the square of their number, and such documents come in groups.
    three documents    a change of one or two documents is an edit, whatever they hold

Decisions
1. Versions share most rows, so the noise comes from the rows that differ alone. With the noise of two independent
   samples, which is what a population stability index assumes, 5% of 500 documents could change their language unseen.
   Chunks of a document that was edited count one by one: an edit has a cause in that document, a bug in all of them.
2. Total variation, not PSI or Jensen-Shannon: "4.9% of the chunks" needs no explanation, and it is as sensitive to a
   common class as to a new one.
3. A truncation at N characters is seen best where it leaves its mark: many texts of exactly N characters
   (`same_length`), which no histogram of a few bins shows while 5% of the documents are cut.
4. The number of rows may grow as it likes up to twice: growth is what ingests are for. A loss of more than 30% moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vecver.model import Share, Space, Statistic
from vecver.model.drifts import StatisticName
from vecver.sketching import Sketch, bins

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]

SIGMAS = 4.0
DOCUMENTS = 3
SHOWN = 3  # classes
LEAST: Final[Mapping[StatisticName, float]] = {
    "language": 0.035,
    "chunk_length": 0.05,
    "same_length": 0.006,
    "ending": 0.02,
    "duplicates": 0.03,
    "norm": 0.02,
    "vectors": 0.04,
    "document_length": 0.08,
    "document_chunks": 0.06,
}
_TOGETHER = 3  # documents that come or go at once come in folders of the like: fewer independent ones
LOSS, GROWTH = 0.3, 1.0  # of documents or chunks, relative
_SHORT = 64  # characters up to which many texts of one length are ordinary: headings, table rows
_CHANCE = math.sqrt(2 / math.pi)  # the mean of |x| of a normal x, in deviations


@dataclass(frozen=True)
class Histogram:
    """How a statistic is read from a sketch, and what its classes are called."""

    part: str  # of the sketch
    of: str  # "chunks" or "documents"
    classes: Callable[[Counts], Counts]  # the counts of a part -> those of the classes
    class_of: Callable[[Counts], Counts]  # bins of a part -> their classes
    name: Callable[[int], str]  # of a class


def _same(values: Counts) -> Counts:
    return values


def _halved(counts: Counts) -> Counts:
    """Two bins as one."""
    return np.bincount(np.arange(len(counts)) // 2, counts).astype(np.int64)


def _half(places: Counts) -> Counts:
    return places // 2


def _wide_name(place: int) -> str:
    return bins.size_name(2 * place, 2 * place + 1)


HISTOGRAMS: Final[Mapping[StatisticName, Histogram]] = {
    "language": Histogram("languages", "chunks", _same, _same, bins.language_name),
    "chunk_length": Histogram(
        "lengths",
        "chunks",
        lambda counts: _halved(bins.octave_steps(counts)),
        lambda places: _half(bins.step_of_length(places)),
        lambda place: f"{_wide_name(place)} characters",
    ),
    "ending": Histogram("endings", "chunks", _same, _same, bins.ending_name),
    "norm": Histogram("norms", "chunks", _same, _same, bins.norm_name),
    "vectors": Histogram("cells", "chunks", _same, _same, bins.cell_name),
    "document_length": Histogram(
        "document_lengths", "documents", _halved, _half, lambda place: f"{_wide_name(place)} characters"
    ),
    "document_chunks": Histogram(
        "document_chunks", "documents", _halved, _half, lambda place: f"{_wide_name(place)} chunks"
    ),
}


@dataclass(frozen=True)
class Changes:
    """How many rows two versions do not share."""

    whole: int  # documents that only one of them has
    edited: int  # documents that both have, in different versions
    chunks: int  # that only one of them has


def statistics(before: Sketch, after: Sketch, changes: Changes, spaces: tuple[Space, Space]) -> tuple[Statistic, ...]:
    """Every statistic of two versions that can be compared, the farthest above its threshold first.

    `spaces`: where their vectors lie.
    """
    noise = _Noise.of(before, after, changes)
    found = [_space(spaces), *(_size(name, before, after) for name in ("documents", "chunks"))]
    if before.chunks and after.chunks:
        same_cells = spaces[0].dim == spaces[1].dim  # others have cells of their own
        comparable = {name: each for name, each in HISTOGRAMS.items() if name != "vectors" or same_cells}
        found += [_moved(name, each, before, after, noise) for name, each in comparable.items()]
        found += [_same_length(before, after, noise), _duplicates(before, after, noise)]
    return tuple(sorted(found, key=lambda each: -each.distance / each.threshold))


@dataclass(frozen=True)
class _Noise:
    """How far chance may carry a share of rows."""

    variances: Mapping[str, float]  # of a share of the chunks and of the documents, over share * (1 - share)
    least: float  # three documents
    changed: float  # chunks that differ, to those of one version

    @classmethod
    def of(cls, before: Sketch, after: Sketch, changes: Changes) -> _Noise:
        documents, chunks = (
            (getattr(before, name) + getattr(after, name)) / 2 or 1 for name in ("documents", "chunks")
        )
        whole = _TOGETHER * changes.whole
        alike = whole * max(_mean_square(before), _mean_square(after))
        of = {"chunks": (alike + changes.chunks) / chunks**2}
        of["documents"] = (whole + 2 * changes.edited) / documents**2
        least = DOCUMENTS / max(min(before.documents, after.documents), 1)
        return cls(of, least, changes.chunks / chunks)

    def threshold(self, name: StatisticName, of: str, shares: Shares) -> float:
        """For a distance between histograms with these mean shares."""
        variances = shares * (1 - shares) * self.variances[of]
        mean = _CHANCE * np.sqrt(variances).sum() / 2
        deviation = math.sqrt(variances.sum() * (1 - _CHANCE**2)) / 2
        return float(max(LEAST[name], self.least, mean + SIGMAS * deviation))

    def of_one(self, name: StatisticName, share: float) -> float:
        """For the difference of one share of the chunks."""
        deviation = math.sqrt(share * (1 - share) * self.variances["chunks"])
        return max(LEAST[name], self.least, SIGMAS * deviation)


def _mean_square(sketch: Sketch) -> float:
    """The mean of the squared number of chunks of a document."""
    counts = sketch.parts["document_chunks"]
    return float((counts * bins.sizes_of_bins() ** 2).sum() / max(counts.sum(), 1))


def _moved(name: StatisticName, how: Histogram, before: Sketch, after: Sketch, noise: _Noise) -> Statistic:
    old, new = (_shares(how.classes(sketch.parts[how.part])) for sketch in (before, after))
    distance = float(np.abs(new - old).sum() / 2)
    shares = tuple(Share(how.name(place), float(old[place]), float(new[place])) for place in _most(new - old))
    text = "; ".join(f"{share.name} {_percent(share.before)} → {_percent(share.after)}" for share in shares)
    text = f"{text} of the {how.of}" if shares else "the same"
    return Statistic(name, distance, noise.threshold(name, how.of, (old + new) / 2), text, shares)


def grown(name: StatisticName, before: Sketch, after: Sketch) -> tuple[Counts, Counts]:
    """(classes of a histogram that grew, those that shrank), those that did most first."""
    how = HISTOGRAMS[name]
    old, new = (_shares(how.classes(sketch.parts[how.part])) for sketch in (before, after))
    gain = new - old
    order = np.argsort(-gain, kind="stable")
    worth = np.abs(gain).max() / 4
    return order[gain[order] > worth], order[::-1][gain[order[::-1]] < -worth]


def _most(gain: Shares) -> list[int]:
    """The classes that changed most: up to three that grew, the first first, then up to three that shrank."""
    order = np.argsort(-gain, kind="stable").tolist()
    up = [place for place in order[:SHOWN] if gain[place] > 0]
    down = [place for place in order[: -SHOWN - 1 : -1] if gain[place] < 0]
    most = max((abs(gain[place]) for place in (*up, *down)), default=0.0)
    return [place for place in (*up, *down) if abs(gain[place]) >= most / 4]


def _shares(counts: Counts) -> Shares:
    return counts / counts.sum()


def _percent(share: float) -> str:
    return f"{share:.1%}"


# -- statistics of their own kind -------------------------------------------------------------------


def _space(spaces: tuple[Space, Space]) -> Statistic:
    """Another model, dimension or metric: no vector of one version can be compared with one of the other."""
    same = spaces[0].id == spaces[1].id
    old, new = (f"{space.embedder[:40]}, {space.dim} dimensions, {space.metric}" for space in spaces)
    return Statistic("space", 0.0 if same else 1.0, 0.5, old if same else f"{old} → {new}")


def _size(name: StatisticName, before: Sketch, after: Sketch) -> Statistic:
    old, new = (getattr(sketch, name) for sketch in (before, after))
    change = (new - old) / old if old else float(new > 0) * 2
    threshold = max(LOSS if change < 0 else GROWTH, DOCUMENTS / max(before.documents, 1))
    return Statistic(name, abs(change), threshold, f"{old:,} → {new:,}")


def commonest_length(before: Sketch, after: Sketch) -> int:
    """The length, in characters, whose share of the chunks grew most; only lengths that have a bin of their own."""
    old, new = (_shares(sketch.parts["lengths"])[: bins.EXACT] for sketch in (before, after))
    return int(_SHORT + (new - old)[_SHORT:].argmax())


def _same_length(before: Sketch, after: Sketch, noise: _Noise) -> Statistic:
    length = commonest_length(before, after)
    old, new = (float(_shares(sketch.parts["lengths"])[length]) for sketch in (before, after))
    text = f"exactly {length:,} characters {_percent(old)} → {_percent(new)} of the chunks"
    share = Share(f"exactly {length:,} characters", old, new)
    threshold = noise.of_one("same_length", (old + new) / 2)
    return Statistic("same_length", max(new - old, 0.0), threshold, text, (share,))


def _duplicates(before: Sketch, after: Sketch, noise: _Noise) -> Statistic:
    table = max(before.table, after.table)
    old, new = before.duplicates(table), after.duplicates(table)
    counting = max(before.counting_error(table), after.counting_error(table)) * math.sqrt(min(noise.changed, 2))
    threshold = noise.of_one("duplicates", (old + new) / 2) + SIGMAS * counting
    text = f"chunks that repeat a text {_percent(old)} → {_percent(new)}"
    return Statistic("duplicates", abs(new - old), threshold, text, (Share("repeats", old, new),))
