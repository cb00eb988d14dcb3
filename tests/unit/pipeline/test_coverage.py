"""Coverage: the words of a reader's plain text against the Markdown that it made."""

from __future__ import annotations

from vecver.model import Coverage
from vecver.pipeline.parsers.coverage import Content, Part, coverage_of


def test_a_text_with_every_word_is_complete_in_any_order_and_markup() -> None:
    view = "Pump A 17 bar\nTotal due: 12.50 EUR"
    text = "| **Total** due | 12.50 EUR |\n\n# Pump\\_A\n\n*17* `bar`"
    assert coverage_of(Content(text, parts=[Part("page 1", view)])) == Coverage(9, 9)


def test_missing_words_are_counted_and_the_note_names_the_page() -> None:
    parts = [Part("page 1", "one two"), Part("page 2", "two three two")]
    coverage = coverage_of(Content("one two two", parts=parts))
    assert coverage == Coverage(5, 3, 0, ("2 of 3 words of page 2 could not be kept: 'two', 'three'.",))


def test_furniture_is_counted_apart() -> None:
    part = Part("page 1", "Annual report 2024\nPumps", furniture="Annual report 2024")
    coverage = coverage_of(Content("Pumps", parts=[part]))
    assert coverage == Coverage(4, 1, 3)
    assert coverage.share == 1.0


def test_scripts_without_spaces_are_compared_by_character() -> None:
    part = Part("", "水ポンプを\n止める")
    assert coverage_of(Content("水ポン\nプを止める", parts=[part])) == Coverage(8, 8)


def test_few_words_of_a_large_part_are_missing_without_a_note() -> None:
    part = Part("page 1", " ".join(f"w{n}" for n in range(1000)))
    coverage = coverage_of(Content(part.text.replace("w999", ""), parts=[part]))
    assert coverage == Coverage(1000, 999)


def test_plain_text_has_no_coverage_except_the_readers_notes() -> None:
    assert coverage_of(Content("as it is")) is None
    assert coverage_of(Content("as it is", notes=["Page 2 holds no text."])) == Coverage(
        0, 0, 0, ("Page 2 holds no text.",)
    )


def test_a_line_inside_a_longer_word_is_no_proof() -> None:
    parts = [Part("the sheet 'Prices'", "2015\n5\nbolt")]
    assert coverage_of(Content("2015 bolt", parts=parts)) == Coverage(
        3, 2, 0, ("1 of 3 words of the sheet 'Prices' could not be kept: '5'.",)
    )
