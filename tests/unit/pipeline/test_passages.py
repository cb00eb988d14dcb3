"""Which passage of a chunk is shown, and which of its words are marked."""

from __future__ import annotations

import pytest

from vecver.cli.screens.passages import Query, excerpt, is_code, passage, whole

MANUAL = (
    "## Bleeding radiators\n\nBefore the season look at each radiator of the house, on every floor. "
    "Turn the brass radiator key a quarter turn to the left until air hisses out, and close it as soon as water "
    "comes. Keep a cloth ready, since the first water is dirty. Afterwards refill the system to 1.5 bar."
)


def marked(text: str, question: str, width: int = 60, lines: int = 3) -> tuple[str, list[str]]:
    query = Query.over(question, [text])
    shown = passage(text, query, width, lines)
    return shown.text, [shown.text[start:end] for start, end in shown.marks]


def test_it_begins_at_the_sentence_with_most_of_the_words() -> None:
    text, marks = marked(MANUAL, "How do I let air out of a radiator?")
    assert text == (
        "… Turn the brass radiator key a quarter turn to the left until air hisses out, and close it as soon as water "
        "comes. Keep a cloth ready, since the first water is dirty. …"
    )
    assert marks == ["radiator", "air"]


def test_a_vector_has_no_words_and_gets_the_start() -> None:
    query = Query.over(None, [MANUAL])
    shown = passage(MANUAL, query, 60, 1)
    assert shown.text.startswith("Before the season look at each") and shown.marks == ()


def test_a_long_sentence_is_shown_around_its_densest_words() -> None:
    sentence = "one two three " * 40 + "the valve of the pump is closed " + "four five six " * 40
    text, marks = marked(sentence, "pump valve")
    assert "valve of the pump is closed" in text and text.startswith("… ") and text.endswith(" …")
    assert marks == ["valve", "pump"] and len(text) <= 60 * 3 + 2


@pytest.mark.parametrize(
    ("text", "question", "marks"),
    [
        ("Bleeding the radiators helps.", "bleed radiator", ["Bleeding", "radiators"]),
        ("Die Heizungen werden entlüftet.", "Heizung entlüften", ["Heizungen", "entlüftet"]),
        ("暖房の空気を抜く方法。水を足す。", "空気を抜く", ["空気を抜く"]),
        ("The state of a station.", "statement", []),
        ("It is what it is.", "what is it", ["It is what it is"]),
        ("Use ISO 9001 here.", "iso 9001", ["ISO", "9001"]),
        ("Straße 5", "STRASSE", ["Straße"]),
    ],
)
def test_marked_words(text: str, question: str, marks: list[str]) -> None:
    shown = marked(text, question)[1]
    assert "".join(shown).replace(" ", "") == "".join(marks).replace(" ", "")


@pytest.mark.parametrize("text", ["", "   \n", "x" * 5000, "\n\n\n", "# Only a heading", "é́" * 300, "a b " * 5000])
@pytest.mark.parametrize("width", [1, 7, 80])
def test_any_text_gives_a_bounded_passage(text: str, width: int) -> None:
    shown = passage(text, Query.over("only x b", [text]), width)
    assert len(shown.text) <= max(3 * width, 10) + 4
    assert all(0 <= start < end <= len(shown.text) for start, end in shown.marks)


def test_whole_texts_keep_their_lines() -> None:
    lines = whole("\na pump\n  the valve\n", Query.over("valve", []))
    assert [(line.text, line.start) for line in lines] == [("a pump", 1), ("  the valve", 8)]
    assert lines[1].marks == ((6, 11),)


def test_the_lines_of_a_paragraph_are_joined() -> None:
    text = "# Title\nOne\ntwo (three)\n(four).\n\n- a\n- b\n\n```\nx = 1\ny = 2\n```\n| c |\nEnd."
    lines = [line.text for line in whole(text, Query.over(None, []), reflow=True)]
    assert lines == [
        *("# Title", "One two (three) (four).", "", "- a", "- b", "", "```", "x = 1", "y = 2", "```", "| c |", "End."),
    ]


CODE = """class Pages:
    def close(self):
        if self.pager is None:
            return False
        self.pager.close()
\tself.wait_for(pager)
        return True
"""


def test_code_keeps_its_lines() -> None:
    assert is_code(CODE) and not is_code(MANUAL) and not is_code("One line that ends so:")
    shown = excerpt(CODE, Query.over("wait for the pager", [CODE]))
    assert [line.text for line in shown] == [
        *("    if self.pager is None:", "        return False", "    self.pager.close()", "self.wait_for(pager)"),
    ]
    assert CODE[shown[0].start :].startswith("        if self") and CODE.count("\n", 0, shown[0].start) == 2
    assert [[line.text[start:end] for start, end in line.marks] for line in shown] == [
        *(["pager"], [], ["pager"], ["wait", "pager"]),
    ]


@pytest.mark.parametrize("text", ["", "\n", "x", "  a\n\n", "{\n}"])
def test_any_text_has_an_excerpt(text: str) -> None:
    shown = excerpt(text, Query.over(None, []))
    assert shown and (shown[-1].text.strip() or not text.strip())
