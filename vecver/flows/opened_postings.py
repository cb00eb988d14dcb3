"""Opened postings: each segment's, opened or made once a process, and each version's view of them under its masks.

An entry lives as long as the opened segment or version that it belongs to.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from vecver import index, pipeline
from vecver.digest import canonical_json
from vecver.flows import opened_indexes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vecver.model import Json, Recipe
    from vecver.progress import Progress
    from vecver.repo import Segment, Snapshot

_COUNTED = 1024  # texts between two calls of progress, which are safe points of the upkeep
_POSTINGS: WeakKeyDictionary[Segment, dict[str, index.keywords.Postings]] = WeakKeyDictionary()  # by spec
_VERSIONS: WeakKeyDictionary[Snapshot, index.keywords.KeywordVersion] = WeakKeyDictionary()


def tokenizer_recipe_of(recipe: Recipe) -> Json:
    """The tokenizer of versions with this recipe."""
    return recipe.keywords or pipeline.tokenizer_recipe()


def tokenizer_of(recipe: Json) -> pipeline.Tokenizer:
    """The tokenizer of a recipe; made once, so that it remembers the words it met. Raises InvalidInputError."""
    return _tokenizer(canonical_json(recipe))


@cache
def _tokenizer(recipe: bytes) -> pipeline.Tokenizer:
    import json

    return pipeline.Tokenizer(json.loads(recipe))


def spec_of(tokenizer: Json) -> str:
    """The kind of derived file that holds postings of this tokenizer."""
    return f"{tokenizer['name']}-{tokenizer['version']}-{tokenizer['language']}"


def specs() -> list[str]:
    """The kinds of all tokenizers."""
    return [spec_of(pipeline.tokenizer_recipe(language)) for language in pipeline.languages()]


def postings_of(segment: Segment, spec: str) -> index.keywords.Postings | None:
    """The segment's postings of this kind, if they were opened or made."""
    return _POSTINGS.get(segment, {}).get(spec)


def keep(segment: Segment, spec: str, postings: index.keywords.Postings) -> None:
    """Answer from these from now on."""
    _POSTINGS.setdefault(segment, {})[spec] = postings


def make(segment: Segment, tokenizer: Json, progress: Progress | None = None) -> index.keywords.Postings:
    """Postings of all rows of a segment, from their texts; not kept."""
    texts = segment.texts() if progress is None else _counted(segment, progress)
    return index.keywords.build(pipeline.tokenised(tokenizer_of(tokenizer), texts))


def _counted(segment: Segment, progress: Progress) -> Iterator[str]:
    for number, text in enumerate(segment.texts()):
        if number % _COUNTED == 0:
            progress("rows tokenised", min(_COUNTED, segment.chunk_count - number), segment.chunk_count)
        yield text


def version_of(snapshot: Snapshot) -> tuple[index.keywords.KeywordVersion, list[int]]:
    """A version as keyword search sees it, and the segment number of each part.

    Segments whose postings were not opened are tokenised here, 8,000 passages in 0.2 s of CPU.
    """
    numbers = [number for number, live in enumerate(snapshot.layout.segments) if live.chunks]
    version = _VERSIONS.get(snapshot)
    if version is None:
        tokenizer = tokenizer_recipe_of(snapshot.commit.recipe)
        version = index.keywords.KeywordVersion([_part(snapshot, number, tokenizer) for number in numbers])
        _VERSIONS[snapshot] = version
    return version, numbers


def _part(snapshot: Snapshot, number: int, tokenizer: Json) -> index.keywords.KeywordPart:
    segment, live, spec = snapshot.segments[number], snapshot.layout.segments[number], spec_of(tokenizer)
    postings = postings_of(segment, spec)
    if postings is None:
        postings = make(segment, tokenizer)
        keep(segment, spec, postings)
    count = len(live.chunks)
    bits = None if count == segment.chunk_count else snapshot.live_bits(number)
    return index.keywords.KeywordPart(postings, bits, count, segment.keys)


def index_bytes(segment: Segment) -> int:
    """Memory that the segment's index and postings hold beside mapped files."""
    postings = sum(each.nbytes for each in list(_POSTINGS.get(segment, {}).values()))
    return postings + opened_indexes.index_bytes(segment)
