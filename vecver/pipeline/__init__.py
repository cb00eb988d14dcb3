"""From documents to chunks and vectors: sources, parsers, chunkers, embedders. Knows nothing of versions."""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.pipeline import ray
    from vecver.pipeline.chunkers.chunk import DEFAULT as DEFAULT_CHUNKER
    from vecver.pipeline.chunkers.chunk import chunk, chunker_recipe
    from vecver.pipeline.chunkers.parts import parts_of
    from vecver.pipeline.embedders.batching import Together
    from vecver.pipeline.embedders.endpoint_recipes import continued
    from vecver.pipeline.embedders.objects import ObjectEmbedder, adapted, embedder, found_among
    from vecver.pipeline.embedders.open import DEFAULT as DEFAULT_EMBEDDER
    from vecver.pipeline.embedders.open import open_embedder
    from vecver.pipeline.parsers.parse import is_current_parser, parser_of
    from vecver.pipeline.parsers.properties import REVISION as METADATA_REVISION
    from vecver.pipeline.rerankers.open import open_reranker
    from vecver.pipeline.sources.additions import Additions, check_rows, read_additions
    from vecver.pipeline.sources.bucket import BucketSource, as_source, is_bucket
    from vecver.pipeline.sources.files import SourceLike, how_many, is_parsed, label_of, read
    from vecver.pipeline.sources.globs import matches
    from vecver.pipeline.sources.ids import shown
    from vecver.pipeline.sources.origin import origin_of
    from vecver.pipeline.sources.places import (
        checkouts_above,
        exists,
        is_document,
        path_of,
        pattern_of,
        place_of,
        places_above,
    )
    from vecver.pipeline.tokenizers.kernel import use as words_kernel_use
    from vecver.pipeline.tokenizers.many_texts import tokenised
    from vecver.pipeline.tokenizers.words import DEFAULT_LANGUAGE, Tokenizer, can_tokenise, languages, made_with
    from vecver.pipeline.tokenizers.words import recipe as tokenizer_recipe
    from vecver.pipeline.workers.pool import parse_all
    from vecver.pipeline.workers.processes import start_server as start_workers
else:
    __getattr__, __dir__ = lazily(__name__)

__all__ = [
    "DEFAULT_CHUNKER",
    "DEFAULT_EMBEDDER",
    "DEFAULT_LANGUAGE",
    "METADATA_REVISION",
    "Additions",
    "BucketSource",
    "ObjectEmbedder",
    "SourceLike",
    "Together",
    "Tokenizer",
    "adapted",
    "as_source",
    "can_tokenise",
    "check_rows",
    "checkouts_above",
    "chunk",
    "chunker_recipe",
    "continued",
    "embedder",
    "exists",
    "found_among",
    "how_many",
    "is_bucket",
    "is_current_parser",
    "is_document",
    "is_parsed",
    "label_of",
    "languages",
    "made_with",
    "matches",
    "open_embedder",
    "open_reranker",
    "origin_of",
    "parse_all",
    "parser_of",
    "parts_of",
    "path_of",
    "pattern_of",
    "place_of",
    "places_above",
    "ray",
    "read",
    "read_additions",
    "shown",
    "start_workers",
    "tokenised",
    "tokenizer_recipe",
    "words_kernel_use",
]
