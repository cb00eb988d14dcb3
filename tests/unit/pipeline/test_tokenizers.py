"""Words: what keyword search counts in a text. UAX #29, identifiers, languages, scripts without spaces, bad input."""

from __future__ import annotations

import random
from hashlib import sha256
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vecver
from vecver import index, pipeline
from vecver.pipeline.tokenizers import kernel, many_texts
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


# -- many texts -----------------------------------------------------------------------------------

compiled = pytest.mark.skipif(kernel.kernel() is None, reason="the kernel was not compiled")


def units(texts: list[str], finder: kernel.Kernel | None) -> tuple[list[str], list[int], list[int]]:
    """The distinct units of texts, their numbers and counts, by a kernel or by Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(many_texts, "kernel", lambda: finder)
        words, numbers, counts = many_texts._units(texts)
    return words, numbers.tolist(), counts.tolist()


def postings_bytes(texts: list[str], finder: kernel.Kernel | None) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(many_texts, "kernel", lambda: finder)
        return index.keywords.build(pipeline.tokenised(ENGLISH, texts)).to_bytes()


@compiled
def test_the_kernel_finds_the_words_of_every_short_ascii_text() -> None:
    signs = [("a\x00B7_.':,;\"- \t\x1c~", 4), ("aB7_.', ;", 5)]
    texts = [
        "".join(text) for some, longest in signs for size in range(longest + 1) for text in product(some, repeat=size)
    ]
    assert units(texts, kernel.kernel()) == units(texts, None)


@compiled
def test_the_kernel_knows_every_ascii_sign_and_all_white_space() -> None:
    texts = [f"a{chr(sign)}b{chr(sign)}1{chr(sign)}2" for sign in range(128)]
    texts += [f"a.b{chr(sign)}c" for sign in range(0x10FFFF) if chr(sign).isspace() or sign % 97 == 0]
    assert units(texts, kernel.kernel()) == units(texts, None)


@compiled
@given(st.lists(st.text(st.characters(exclude_categories=())) | st.text("aA1_.' é\u2028\u0085語\ud800’"), max_size=8))
@settings(deadline=None)
def test_the_kernel_finds_the_words_of_any_texts(texts: list[str]) -> None:
    assert units(texts, kernel.kernel()) == units(texts, None)
    assert postings_bytes(texts, kernel.kernel()) == postings_bytes(texts, None)


@compiled
def test_the_kernel_finds_the_words_of_hostile_texts() -> None:
    texts = ["x" * 1_000_000, "", "a\x00b", "lone\ud800one", "\u2028", "é" * 100_000, "a." * 300_000, "A" * 1_000_000]
    texts += [" ".join(f"w{number}" for number in range(50_000)), "x" * 999_999, "x" * 1_000_000]
    assert units(texts, kernel.kernel()) == units(texts, None)
    assert units([], kernel.kernel()) == units([], None) == ([], [], [])


@pytest.mark.parametrize("finder", [pytest.param(kernel.kernel(), marks=compiled), None], ids=["compiled", "python"])
def test_postings_have_the_bytes_that_they_had_before_words_were_compiled(finder: kernel.Kernel | None) -> None:
    rng = random.Random(3)
    words = [
        "the",
        "Running",
        "getUserName",
        "os.path",
        "3.14",
        "don't",
        "l’été",
        "東京都庁",
        "_x_",
        "HTTPServer2",
        "B",
        "ﬁne",
    ]
    texts = [rng.choice([" ", ", ", "-", "\u2028"]).join(rng.choices(words, k=rng.randrange(12))) for _ in range(3000)]
    assert sha256(postings_bytes(texts, finder)).hexdigest()[:16] == "acb7a782d584db0a"


@pytest.mark.parametrize("language", ["english", "french", "none"])
def test_identifiers_have_the_terms_that_a_look_at_each_sign_gives(language: str) -> None:
    """Every run of up to six signs: words with a short way have the terms of the long one."""
    tokenizer = pipeline.Tokenizer(pipeline.tokenizer_recipe(language))
    runs = ["".join(signs) for size in range(1, 7) for signs in product("aB7_.'", repeat=size)]
    runs += ["".join(signs) for signs in product("aB7", repeat=8)] + ["aB" * 64, "aB" * 65]
    for run, terms in zip(runs, tokenizer.unit_terms(runs), strict=True):
        assert list(terms) == [term for _, some in tokenizer._words(run) for term in some], run


@compiled
@pytest.mark.parametrize("language", ["english", "french", "none"])
def test_the_kernel_finds_the_parts_of_every_short_word(language: str) -> None:
    """Every word of up to six signs, and words about as long as identifiers may be: the terms that Python finds."""
    tokenizer = pipeline.Tokenizer(pipeline.tokenizer_recipe(language))
    texts = ["".join(signs) for size in range(1, 7) for signs in product("aB7_.'", repeat=size)]
    texts += ["".join(signs) for signs in product("aB7:,", repeat=6)] + ["The", "OF", "__", "aé", "東京", "a_é"]
    texts += [sign * size for sign in ("a", "A", "aB", "a_", "a.", "A1") for size in (63, 64, 65, 127, 128, 129)]
    words, _, _ = many_texts._units(texts)
    terms, starts, numbers = many_texts._terms(tokenizer, words)
    assert sorted(set(numbers.tolist())) == list(range(len(terms))) and len(set(terms)) == len(terms)
    of_words = [[terms[number] for number in numbers[start:end]] for start, end in pairwise(starts.tolist())]
    assert of_words == [list(found) for found in tokenizer.unit_terms(words)]
    assert len(words) > 9_000 and many_texts._terms(tokenizer, [])[0] == []


def test_blocks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["red green", "blue", "red " * 30, "", "green"]
    whole = index.keywords.build(pipeline.tokenised(ENGLISH, texts)).to_bytes()
    monkeypatch.setattr(many_texts, "_BLOCK", 2)
    monkeypatch.setattr(many_texts, "_CHARACTERS", 40)
    blocks = list(pipeline.tokenised(ENGLISH, texts))
    assert [sizes.tolist() for _, _, sizes in blocks] == [[2, 1], [30], [0, 1]]
    assert index.keywords.build(blocks).to_bytes() == whole


def test_a_file_that_is_no_kernel_of_words_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "k.so").write_bytes(b"no library")
    assert kernel.load(tmp_path / "k.so") is None and kernel.load(tmp_path / "absent.so") is None
