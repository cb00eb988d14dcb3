"""Words: what keyword search counts in a text. UAX #29, identifiers, languages, scripts without spaces, bad input."""

from __future__ import annotations

from itertools import product

import pytest

import vecver
from vecver import pipeline
from vecver.pipeline.tokenizers import words as rooms

pytest.importorskip("Stemmer", reason="keyword search needs PyStemmer")
ENGLISH = pipeline.Tokenizer(pipeline.tokenizer_recipe())


CLASSES = {".": "MidNumLet", "'": "Quote", ":": "MidLetter", ",": "MidNum", ";": "MidNum", "_": "Join", '"': "Double"}


def uax_29(text: str) -> list[str]:
    """The words of a text by the pairwise rules of the standard, with a letter or digit in them."""
    kinds = [CLASSES.get(sign) or _kind(sign) for sign in text]
    base = [i for i, kind in enumerate(kinds) if kind != "Mark" or i == 0 or text[i - 1] == " "]  # WB4
    stretches, start = [], 0
    for place in range(1, len(base)):
        if not _stays([kinds[i] for i in base], place):
            stretches.append(text[base[start] : base[place]])
            start = place
    return [
        stretch
        for stretch in [*stretches, text[base[start] :]]
        if any(_kind(sign) in ("Letter", "Hebrew", "Digit") for sign in stretch) and not stretch.isspace()
    ]


def _kind(sign: str) -> str:
    if sign == "\u0301":
        return "Mark"
    if sign == "\u05d0":
        return "Hebrew"
    return "Digit" if sign.isdigit() else "Letter" if sign.isalpha() else "Other"


def _stays(kinds: list[str], place: int) -> bool:
    """Is there no boundary before this place? WB5 to WB13b."""
    letters, joined = ("Letter", "Hebrew"), ("Letter", "Hebrew", "Digit", "Join")
    left, right = kinds[place - 1], kinds[place]
    second = kinds[place - 2] if place > 1 else ""
    after = kinds[place + 1] if place + 1 < len(kinds) else ""
    middle, between = ("MidLetter", "MidNumLet", "Quote"), ("MidNum", "MidNumLet", "Quote")
    return (
        (left in joined and right in joined)
        or (left in letters and right in middle and after in letters)
        or (second in letters and left in middle and right in letters)
        or (left == "Digit" and right in between and after == "Digit")
        or (second == "Digit" and left in between and right == "Digit")
        or (left == "Hebrew" and right == "Double" and after == "Hebrew")
        or (second == "Hebrew" and left == "Double" and right == "Hebrew")
    )


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The runners are running", "runner run"),
        ("HTTPServer", "httpserver http server"),
        ("get_userName", "get_usernam get user name"),
        ("os.path", "os.path os path"),
        ("mRNA of vitamin C", "mrna rna vitamin c"),
        ("3.14 and 1,000", "3.14 1,000"),
        ("the user's don't", "user don't"),
        ("user’s", "user"),
        ("__init__ --- ...", "init"),
        ("東京都", "東京 京都"),
        ("水", "水"),
        ("한국어 ｶﾞｷﾞ", "한국 국어 ガギ"),
        ("ＨＴＴＰ Straße", "http strass"),
        ("ﬁne naïve", "fine naïv"),
        ("Привет, мир_привет!", "привет мир_привет мир привет"),
        ("", ""),
        ("!? … —", ""),
        ("the of and", ""),
    ],
)
def test_terms_of_english(text: str, terms: str) -> None:
    assert ENGLISH.terms(text) == terms.split()


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("german", "Die Häuser und das Haus", "haus haus"),
        ("french", "l'avion d’aujourd'hui", "avion aujourd hui"),
        ("none", "The Runners", "the runners"),
        ("russian", "книги и книга", "книг книг"),
    ],
)
def test_terms_of_other_languages(language: str, text: str, terms: str) -> None:
    assert pipeline.Tokenizer(pipeline.tokenizer_recipe(language)).terms(text) == terms.split()


def test_every_language_has_a_stemmer() -> None:
    for language in pipeline.languages():
        assert pipeline.Tokenizer(pipeline.tokenizer_recipe(language)).terms("abc")


def test_an_unknown_language_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(vecver.InvalidInputError) as caught:
        pipeline.tokenizer_recipe("germann")
    assert caught.value.code == "unknown_language"
    assert "german" in caught.value.hint and "german" in caught.value.context["did_you_mean"]


def test_ascii_words_are_those_of_uax_29() -> None:
    """Every string of up to five signs, one for each class of ASCII signs that the standard tells apart."""
    for length in range(1, 6):
        for signs in product("aB7_.':,;\"-", repeat=length):
            text = "".join(signs)
            assert rooms.words(text) == uax_29(text), text


def test_other_words_are_those_of_uax_29() -> None:
    """Letters with marks, Hebrew with its quotation marks, digits, joiners; an e-acute keeps the slower way."""
    for length in range(1, 6):
        for signs in product("éא7_.',\"\u0301 ", repeat=length):
            text = "".join(signs)
            if not text.isascii():
                assert rooms.words(text) == uax_29(text), ascii(text)


def test_a_run_has_the_words_of_its_text() -> None:
    """White space divides words, so a text may be taken apart there first."""
    for signs in product("aé7_.' ,", repeat=5):
        text = "".join(signs)
        assert [word for run in rooms.runs(text) for word in rooms.words(run)] == uax_29(text), text


def test_many_texts_have_the_terms_of_each() -> None:
    texts = ["Red and green", "", "green getUser", "東京 red"]
    ((terms, numbers, sizes),) = pipeline.tokenised(ENGLISH, texts)
    flat = iter(terms[number] for number in numbers)
    assert [[next(flat) for _ in range(size)] for size in sizes] == [ENGLISH.terms(text) for text in texts]


def test_hostile_texts_have_terms() -> None:
    assert ENGLISH.terms("a\x00b lone\ud800surrogate") == ["b", "lone", "surrog"]
    assert len(ENGLISH.terms("word " * 10_000)) == 10_000
    assert len(ENGLISH.terms("x" * 1_000_000)) == 1
    assert len(ENGLISH.terms("語" * 100_000)) == 99_999
    assert len(ENGLISH.terms("aB" * 500_000)) == 1, "a word of a megabyte is no identifier"


def test_the_words_behind_terms() -> None:
    assert ENGLISH.matches("Running getUser, user RUN") == {
        "run": ["Running", "RUN"],
        "getus": ["getUser"],
        "get": ["getUser"],
        "user": ["getUser", "user"],
    }
