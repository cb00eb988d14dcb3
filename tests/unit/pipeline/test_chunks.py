"""Versions 2 and 4 of the chunker's recipe: the position and headings of a chunk, and what of them is embedded."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecver.digest import digest_json
from vecver.model import Chunk, Json, Mark, Parsed
from vecver.pipeline.chunkers.chunk import chunk, chunker_recipe
from vecver.pipeline.chunkers.code import installed
from vecver.pipeline.chunkers.normalise import normalise
from vecver.pipeline.chunkers.sentences import sentence_ends

MakeRecipe = Callable[[int], Json]


def words(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.array([len(re.findall(r"\w+|[^\w\s]", text)) for text in texts], np.int64)


def recipe_2(tokens: int) -> Json:
    """As datasets have it that were made before version 4."""
    context = tokens // 3
    least = round((tokens - context) * 2 / 7)
    return {
        "name": "structure", "version": 2, "min_tokens": least, "max_tokens": tokens, "context_tokens": context,
        "title": "passage", "code": installed(),
    }  # fmt: skip


def chunks_of(
    text: str, tokens: int, title: str = "", media_type: str = "text/markdown", make_recipe: MakeRecipe = recipe_2
) -> list[Chunk]:
    """The chunks of a text, without that of its title."""
    document = Parsed(text, title, media_type, "test 1")
    made = chunk([document], make_recipe(tokens), words)[0]
    return [one for one in made if one.end]


class TestHeadings:
    TEXT = f"# Guide\n\n{'a ' * 12}\n\n## Install\n\n{'b ' * 12}\n\n{'c ' * 12}\n\n### Linux\n\n{'d ' * 14}\n"

    def test_a_chunk_knows_its_headings_and_embeds_them_once(self) -> None:
        made = chunks_of(self.TEXT, 27, "Guide")
        assert [chunk.headings for chunk in made] == [(), ("Install",), ("Install",), ("Install", "Linux")]
        assert [chunk.embedded.split("\n")[:-1] for chunk in made] == [
            ["Guide"], ["Install"], ["Install"], ["Install", "Linux"],
        ]  # fmt: skip

    def test_headings_that_a_chunk_begins_with_are_not_put_in_front_again(self) -> None:
        made = chunks_of(f"# Guide\n\n# Preface\n\n{'a ' * 12}", 60, "Guide")
        assert made[0].headings == ("Preface",) and made[0].embedded.split("\n")[:2] == ["Guide", "Preface"]

    def test_the_title_has_a_vector_of_its_own(self) -> None:
        recipe = recipe_2(30)
        for text, rest in (("a b", [Chunk(0, 3, "a b", "a b")]), (" ", [])):
            made = chunk([Parsed(text, "T", "text/markdown", "test 1")], recipe, words)[0]
            assert made == [Chunk(0, 0, "T", "T"), *rest]

    def test_a_long_path_is_shortened_to_its_share(self) -> None:
        text = f"# {'x ' * 50}\n\n## End\n\n{'a ' * 18}\n\n{'b ' * 18}"
        made = chunks_of(text, 30, "word " * 50)
        assert made[-1].embedded.startswith("x\nEnd\n") and words([chunk.embedded for chunk in made]).max() <= 30


class TestTables:
    ROWS = "".join(f"| part {n} | size {n} |\n" for n in range(30))

    def test_each_part_of_a_table_has_its_header_row(self) -> None:
        made = chunks_of(f"| name | of |\n|------|----|\n{self.ROWS}", 45)
        assert len(made) > 5 and made[0].header == ""
        assert {chunk.header for chunk in made[1:]} == {"| name | of |"}
        assert all(chunk.embedded.startswith("| name | of |\n") for chunk in made[1:])
        assert "".join(chunk.text for chunk in made).count("part") == 30
        assert all(chunk.text.startswith("|") and chunk.text.endswith("|\n") for chunk in made)

    def test_the_rule_alone_is_no_chunk_and_a_table_without_one_has_no_header(self) -> None:
        assert chunks_of("|---|---|\n", 30) == []
        assert {chunk.header for chunk in chunks_of(self.ROWS, 45)} == {""}


def test_pages_sheets_and_lines() -> None:
    text = "\n".join(f"line {n} is here." for n in range(1, 41))
    marks = (Mark(0, "page", 1), Mark(text.index("line 20"), "page", 2))
    document = Parsed(text, "", "text/plain", "test 1", marks=marks)
    made = chunk([document], chunker_recipe(tokens=30, max_tokens=99), words)[0]
    first = [int(re.findall(r"\d+", one.text)[0]) for one in made]
    assert [one.line for one in made] == first and len(first) > 5
    assert [one.page for one in made] == [1 if line < 20 else 2 for line in first]
    assert chunks_of(text, 30)[-1].line is None and made[0].sheet is None


@pytest.mark.parametrize(
    "text",
    [
        "As Smith et al. Found it is so. |Then more.",
        "See Fig. 3 and No. 4 of J. R. Tolkien. |Next.",
        "It is 3.5 m, e.g. Long. |“Really?” |Yes!) |So.",
        "A claim.[[1]](#cite_1) |Another one.[2] |End.",
        "一。|二！|三」。|四",
        "ماذا؟ |نعم. |",
        "एक। |दो",
        "wrapped\nat a line\n|Not this",
    ],
)
def test_sentences_end_where_they_end(text: str) -> None:
    parts = text.split("|")
    whole = "".join(parts)
    cuts = [0, *sentence_ends(whole), len(whole)]
    assert [whole[a:b] for a, b in itertools.pairwise(cuts) if a < b] == [part for part in parts if part]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a <https://b.c/d> e", "a e"),
        ('<img src="https://x/y.png" alt="A pump"> runs', "A pump runs"),
        ("so[[1]](#cite) it is", "so it is"),
        ("[![alt](a.png)](b) `<https://kept>`", "alt `<https://kept>`"),
    ],
)
def test_addresses_are_not_embedded(raw: str, text: str) -> None:
    assert normalise(raw, "plain", 2) == text


def test_version_2_does_not_change() -> None:
    """A golden: whoever changes these chunks makes a new version of the recipe."""
    text = f"{TestHeadings.TEXT}\n| a | b |\n|---|---|\n{TestTables.ROWS}\nSo it ends. Or not, e.g. here."
    made = [
        [chunk.start, chunk.end, chunk.embedded, chunk.headings, chunk.header] for chunk in chunks_of(text, 42, "T")
    ]
    assert digest_json(made)[:16] == "674dbc9168e8ea76"


def recipe_4(tokens: int) -> Json:
    return chunker_recipe(tokens=tokens, max_tokens=1000)


class TestPlainText:
    """From version 4 on its chunks are twice as long as those of Markdown, with the title in front."""

    def test_the_title_stands_in_front_of_each_chunk(self) -> None:
        document = Parsed(f"{'a ' * 20}\n\n{'b ' * 20}\n\n{'c ' * 20}", "Guide", "text/plain", "test 1")
        made = chunk([document], recipe_4(30), words)[0]
        assert [one.embedded.split("\n")[:2] for one in made] == [["Guide", f"{x} " * 19 + x] for x in "abc"]
        assert [one.headings for one in made] == [(), (), ()]

    @pytest.mark.parametrize(
        ("text", "title", "media_type"),
        [("a b", "many words " * 9, "text/plain"), (" ", "T", "text/plain"), ("a b", "T", "text/markdown")],
    )
    def test_a_title_too_long_for_the_front_keeps_its_own_vector(self, text: str, title: str, media_type: str) -> None:
        made = chunk([Parsed(text, title, media_type, "test 1")], recipe_4(30), words)[0]
        titles = [one for one in made if one.end == 0]
        assert " ".join(one.embedded for one in titles) == title.strip() and made[: len(titles)] == titles

    def test_chunks_of_markdown_are_half_as_long(self) -> None:
        text = "".join(f"{x} " * 12 + "\n\n" for x in "abcd")
        plain, markdown = (chunks_of(text, 30, "", kind, recipe_4) for kind in ("text/plain", "text/markdown"))
        assert max(len(chunk.text.split()) for chunk in plain) == 24
        assert max(len(chunk.text.split()) for chunk in markdown) == 12


def test_version_4_does_not_change() -> None:
    """A golden: whoever changes these chunks makes a new version of the recipe."""
    text = f"{TestHeadings.TEXT}\n| a | b |\n|---|---|\n{TestTables.ROWS}\nSo it ends. Or not, e.g. here."
    documents = [Parsed(text, "T", media_type, "test 1") for media_type in ("text/markdown", "text/plain")]
    recipe = chunker_recipe(tokens=70, max_tokens=1000, grammars={})
    made = [
        [[one.start, one.end, one.embedded, one.headings, one.header] for one in row]
        for row in chunk(documents, recipe, words)
    ]
    assert digest_json(made)[:16] == "8898ce0325691313"


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 8), st.integers(30, 80))
def test_rows_are_not_cut_and_every_word_is_embedded(rows: int, cells: int, tokens: int) -> None:
    lines = ["|" + "|".join(f" r{n}c{c} " for c in range(min(cells, 4))) + "|" for n in range(rows)]
    text = "| h |" + " i |" * (min(cells, 4) - 1) + "\n|" + "---|" * min(cells, 4) + "\n" + "\n".join(lines)
    for recipe in (recipe_2, recipe_4):
        made = chunks_of(text, tokens, "A title", make_recipe=recipe)
        assert all(chunk.text.endswith(("|\n", "|")) for chunk in made)
        embedded = " ".join(chunk.embedded for chunk in made)
        assert set(re.findall(r"r\d+c\d", text)) <= set(re.findall(r"r\d+c\d", embedded))
        assert words([chunk.embedded for chunk in made]).max() <= tokens
