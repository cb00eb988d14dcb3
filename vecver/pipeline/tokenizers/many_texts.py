"""Many texts: the terms of each as numbers, for postings. Knows neither rows nor scores.

    texts -> NFKC, joined -> units (`kernel`, or Python): a word of ASCII, or a run with other characters
          -> folded words of each distinct unit (`kernel`), their stems -> terms of each unit -> terms of each text

Decisions
1. Words are found by compiled code, since a text of 100 words repeats words that were met before: Python sees some two
   new ones of each text, and takes only these apart. On 100,000 passages that is a tenth of the time.
2. The kernel divides at white space, runs of ASCII by UAX #29, and words of ASCII into the parts of identifiers; Python
   does all that needs data of Unicode. So there are no such data to be kept equal in two places.
3. A block holds `_BLOCK` texts or `_CHARACTERS`, so that memory is bounded: some 100 MB.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count

import numpy as np
import numpy.typing as npt

from vecver.pipeline.tokenizers.kernel import kernel
from vecver.pipeline.tokenizers.words import Tokenizer, normal, units

_BLOCK = 32768  # texts
_CHARACTERS = 1 << 24

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]
Tokenised = tuple[list[str], Numbers, Integers]


def tokenised(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[Tokenised]:
    """The terms of many texts, a block of texts at a time: the distinct terms of these; each text's terms as numbers of
    these, all texts joined, int32; and how many each text has, `(texts,)` int64.
    """
    for block in _blocks(texts):
        words, occurrences, counts = _units(block)
        terms, starts, numbers = _terms(tokenizer, words)
        yield terms, *_joined(occurrences, counts, starts, numbers)


def _blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    block, size = list[str](), 0
    for text in texts:
        block.append(text)
        size += len(text)
        if len(block) >= _BLOCK or size >= _CHARACTERS:
            yield block
            block, size = [], 0
    if block:
        yield block


def _units(texts: Sequence[str]) -> tuple[list[str], Numbers, Integers]:
    """The distinct units of texts, the number of each unit of each text, and how many each text has."""
    compiled = kernel()
    if compiled is None:
        return _units_by_python(texts)
    encoded = [normal(text).encode() for text in texts]
    return compiled.units(b"".join(encoded), np.cumsum([len(text) for text in encoded], dtype=np.int64))


def _units_by_python(texts: Sequence[str]) -> tuple[list[str], Numbers, Integers]:
    runs = _Runs()
    occurrences, counts = array("i"), np.zeros(len(texts), np.int64)
    for number, text in enumerate(texts):
        before = len(occurrences)
        occurrences.extend(chain.from_iterable(map(runs.__getitem__, normal(text).split())))
        counts[number] = len(occurrences) - before
    return list(runs.numbers), np.array(occurrences, np.int32), counts


class _Runs(dict[str, tuple[int, ...]]):
    """The numbers of the units of each run that was met."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __missing__(self, run: str) -> tuple[int, ...]:
        numbers = self.numbers
        found = self[run] = tuple([numbers.setdefault(unit, len(numbers)) for unit in units(run)])
        return found


def _terms(tokenizer: Tokenizer, words: Sequence[str]) -> tuple[list[str], Integers, Numbers]:
    """The distinct terms of units; where the terms of each unit lie in the numbers that follow; these."""
    compiled = kernel()
    if compiled is not None:
        return _terms_of_folded(tokenizer, words, *compiled.folded(words))
    of_units = tokenizer.unit_terms(words)
    flat = list(chain.from_iterable(of_units))
    numbers = dict(zip(dict.fromkeys(flat), count(), strict=False))
    starts = np.zeros(len(words) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, of_units), np.int64, len(words)), out=starts[1:])
    return list(numbers), starts, np.fromiter(map(numbers.__getitem__, flat), np.int32, len(flat))


def _terms_of_folded(
    tokenizer: Tokenizer, words: Sequence[str], folded: Sequence[str], parts: Numbers, counts: Integers
) -> tuple[list[str], Integers, Numbers]:
    """The same from the numbers of each unit's folded words; a unit that has -1 of them is taken apart here."""
    ids, left = dict[str, int](), counts < 0
    of_folded = [-1 if term is None else ids.setdefault(term, len(ids)) for term in tokenizer.folded_terms(folded)]
    of_left = tokenizer.unit_terms([words[number] for number in np.flatnonzero(left).tolist()])
    found = np.array(of_folded, np.int32)[parts]
    edges = np.concatenate([[0], np.cumsum(found >= 0)])[np.concatenate([[0], np.cumsum(np.maximum(counts, 0))])]
    sizes = np.diff(edges)
    sizes[left] = [len(terms) for terms in of_left]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    numbers, is_left = np.empty(starts[-1], np.int32), np.repeat(left, sizes)
    numbers[~is_left] = found[found >= 0]
    numbers[is_left] = [ids.setdefault(term, len(ids)) for terms in of_left for term in terms]
    return list(ids), starts, numbers


def _joined(occurrences: Numbers, counts: Integers, starts: Integers, numbers: Numbers) -> tuple[Numbers, Integers]:
    """The terms of each text's units, and how many each text has."""
    compiled = kernel()
    if compiled is not None:
        return compiled.terms(occurrences, counts, starts, numbers)
    lengths = np.diff(starts)[occurrences]
    first = np.repeat(starts[occurrences] - np.cumsum(lengths) + lengths, lengths)
    edges = np.concatenate([[0], np.cumsum(lengths)])[np.concatenate([[0], np.cumsum(counts)])]
    return numbers[first + np.arange(len(first))], np.diff(edges)
