"""From documents to chunks and vectors: sources, parsers, chunkers, embedders. Knows nothing of versions."""

from vecver.pipeline.chunkers import chunk, chunker_recipe
from vecver.pipeline.embedders import DEFAULT as DEFAULT_EMBEDDER
from vecver.pipeline.embedders import open_embedder
from vecver.pipeline.origin import origin_of
from vecver.pipeline.parsers import parser_of
from vecver.pipeline.processes import start_server as start_workers
from vecver.pipeline.sources import SourceLike, how_many, is_parsed, label_of, read
from vecver.pipeline.together import Together
from vecver.pipeline.workers import parse_all

DEFAULT_CHUNKER = "structure"

__all__ = [
    "DEFAULT_CHUNKER",
    "DEFAULT_EMBEDDER",
    "SourceLike",
    "Together",
    "chunk",
    "chunker_recipe",
    "how_many",
    "is_parsed",
    "label_of",
    "open_embedder",
    "origin_of",
    "parse_all",
    "parser_of",
    "read",
    "start_workers",
]
