"""Keyword search: postings of segments, and BM25 with the statistics of one version of them. Knows no words.

    terms      a term is known by 64 bits of its digest
    postings   which rows have a term, and how often: built, as bytes, opened
    scoring    the only room that defines a keyword score, and its reproducible bits
    ranking    the best rows of a version for some terms

Decisions
1. The statistics are those of the version: rows, their mean length, and in how many live rows a term is. A filter does
   not change them. So a version answers as an index built on just its rows would, whatever else lies in its segments.
2. Rows with a term are counted when it is asked for, under the version's mask. Stored counts would have to be changed
   by every commit, for every term that it touches.
"""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.index.keywords.kernel import use as kernel_use
    from vecver.index.keywords.postings import Postings, build, load
    from vecver.index.keywords.ranking import KeywordPart, KeywordVersion
    from vecver.index.keywords.terms import Terms, term_numbers
else:
    __getattr__, __dir__ = lazily(__name__)

__all__ = ["KeywordPart", "KeywordVersion", "Postings", "Terms", "build", "kernel_use", "load", "term_numbers"]
