"""Cuts parsed documents into chunks; those that cannot be read, or hold nothing to embed, become failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vecver import pipeline
from vecver.flows.embedding import is_given
from vecver.flows.ingesting.new_documents import unfit_vector
from vecver.flows.ingesting.parsed_groups import Outcome
from vecver.flows.ingesting.recipe import Preparation
from vecver.model import Chunk, Failure, Original, Parsed

Readable = tuple[Original, Parsed, list[Chunk]]


@dataclass(frozen=True)
class Chunked:
    """A group of documents: those that can be embedded with their chunks, and the others."""

    readable: list[Readable]
    failures: list[tuple[Original, Failure]]
    longer: int  # documents that are one chunk, of which the embedder does not read the end


def chunked(group: Sequence[Outcome], means: Preparation) -> Chunked:
    """The chunks of each document of a group."""
    sound, failures = list[tuple[Original, Parsed]](), list[tuple[Original, Failure]]()
    for original, parsed in group:
        failure = parsed if isinstance(parsed, Failure) else unfit_vector(original, means.recipe)
        if failure:
            failures.append((original, failure))
        elif not isinstance(parsed, Failure):
            sound.append((original, parsed))
    readable = list[Readable]()
    for (original, parsed), chunks in zip(sound, _chunks([parsed for _, parsed in sound], means), strict=True):
        if chunks:
            readable.append((original, parsed, chunks))
        else:
            failures.append((original, Failure(original.document, "no_text", "it holds no text to embed")))
    return Chunked(readable, failures, _longer(readable, means))


def _chunks(texts: Sequence[Parsed], means: Preparation) -> list[list[Chunk]]:
    if is_given(means.recipe):
        return [[Chunk(0, len(parsed.text), parsed.text, parsed.text)] for parsed in texts]
    return pipeline.chunk(texts, means.recipe.chunker, means.embedder.count_tokens)


def _longer(readable: Sequence[Readable], means: Preparation) -> int:
    if means.recipe.chunker["name"] != "whole" or not readable:
        return 0
    counts = means.embedder.count_tokens([chunks[0].embedded for _, _, chunks in readable])
    return int((counts > means.embedder.max_tokens).sum())
