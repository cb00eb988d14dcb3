"""Words: from texts to the terms that keyword search counts. Knows neither versions nor scores.

    text -> NFKC -> runs without white space -> words (UAX #29) -> parts of identifiers -> fold, stop words, stem
                                             -> two characters at a time, of scripts that write no spaces

A tokenizer is named by its recipe, `{"name": "words", "version": 1, "language": "english"}`. It is part of a version's
recipe and says which terms its rows have; rows, vectors and ids do not depend on it.

    HTTPServer, get_user.name    httpserver http server, get_user.name get user name: whole, and in their parts
    running, Runner's            run, runner
    東京都                       東京 京都
    don't, l'avion               don't (English), avion (other languages: what stands before ' is often an article)

Decisions
1. Runs without white space are looked up before they are taken apart: a text of 100 words repeats words that were met
   before. At most `_CACHED` short runs are kept, and those of `_BLOCK` texts while these are tokenised.
2. NFKC comes first, so that no word holds white space (some signs decompose to it), and full-width letters are letters.
3. An identifier counts once as a whole and once for each part. On mbpp, whose questions are English and whose documents
   are code, this gives nDCG@10 0.46 where words alone give 0.12.
4. Korean is cut into pairs too: it writes spaces, but words carry endings and no stemmer is at hand.
5. Unicode data come from Python and `regex`, stems from PyStemmer. `made_with` names what can change a term, so that
   postings of another stemmer are not mistaken for these. Characters that were assigned after Unicode 14 (Python 3.11)
   may be read differently by another Python.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from threading import local
from typing import TYPE_CHECKING, Any, Final

from vecver.errors import InvalidInputError, missing_package, say
from vecver.near import near
from vecver.pipeline.tokenizers.stop_words import STOP_WORDS

if TYPE_CHECKING:
    from vecver.model import Json

DEFAULT_LANGUAGE: Final = "english"
VERSION: Final = 1
_NAME: Final = "words"
_CACHED: Final = 1 << 16  # runs that a thread remembers, some 10 MB
_CACHED_LENGTH: Final = 40  # characters; longer runs seldom repeat
_SPLIT_LENGTH: Final = 128  # characters; longer words are no identifiers
_LANGUAGES: Final = (
    *("arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "finnish", "french", "german", "greek"),
    *("hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian", "portuguese"),
    *("romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish", "none"),
)

# UAX #29 (WB5-WB13) for ASCII: letters, digits and _ join; . ' : stay between letters, . ' , ; between digits.
_ASCII_WORD: Final = re.compile(
    r"[A-Za-z0-9_]+(?:(?:(?<=[A-Za-z])[.':](?=[A-Za-z])|(?<=[0-9])[.',;](?=[0-9]))[A-Za-z0-9_]+)*"
)
_UNSPACED: Final = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}ー々〆]"
_JOINTS: Final = re.compile(r"_+|(?<=[^\W\d])[.:](?=[^\W\d])")
_HUMPS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Words of ASCII that need not be looked at sign by sign: without parts; and with those that `_PIECE` finds.
_PLAIN: Final = re.compile(r"[A-Z]?+[a-z0-9]*+|[A-Z]++")
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_]++|[A-Za-z_]++(?:(?<=[A-Za-z])[.:](?=[A-Za-z])[A-Za-z_]++)++")
_PIECE: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]*[a-z0-9]+|[A-Z]+")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def recipe(language: str = DEFAULT_LANGUAGE) -> Json:
    """The tokenizer for a language, with all its parameters. Raises InvalidInputError (no such language)."""
    name = language.strip().lower()
    if name not in _LANGUAGES:
        raise InvalidInputError(
            f"keyword search knows no language {language!r}",
            code="unknown_language",
            hint=say(
                f'use one of: {", ".join(_LANGUAGES)}; language="none" takes words as they are',
                cli=f"use one of: {', '.join(_LANGUAGES)}; `--language none` takes words as they are",
            ),
            did_you_mean=near(name, _LANGUAGES),
        )
    return {"name": _NAME, "version": VERSION, "language": name}


def languages() -> tuple[str, ...]:
    """The languages that have a tokenizer; "none" neither stems nor leaves out words."""
    return _LANGUAGES


def made_with() -> Json:
    """The version of what a term depends on beside its recipe. Raises InvalidInputError (PyStemmer is missing)."""
    return {"stemmer": ".".join(_library().version().split(".")[:2])}


def can_tokenise() -> bool:
    """Is the library of stems installed?"""
    return find_spec("Stemmer") is not None


class Tokenizer:
    """The terms of texts, by a recipe. May be used from several threads."""

    def __init__(self, recipe: Json) -> None:
        if (recipe.get("name"), recipe.get("version")) != (_NAME, VERSION) or recipe.get("language") not in _LANGUAGES:
            raise InvalidInputError(
                "this tokenizer is not known here",
                code="unknown_tokenizer",
                hint="use the vecver that wrote this recipe",
                recipe=recipe,
            )
        self.recipe = recipe
        self._language: str = recipe["language"]
        self._stop = STOP_WORDS.get(self._language, frozenset())
        self._own = local()  # a stemmer must not be used by two threads at once

    def terms(self, text: str) -> list[str]:
        """The terms of a text, in their order; of an identifier the whole first, then its parts."""
        return [term for terms in self.unit_terms(runs(text)) for term in terms]

    def run_terms(self, run: str) -> tuple[str, ...]:
        """The terms of a run without white space; `runs` gives them."""
        return self.unit_terms([run])[0]

    def unit_terms(self, units: Iterable[str]) -> list[tuple[str, ...]]:
        """The terms of each unit, or of each run; `units` and `runs` give them."""
        thread = self._thread()
        seen: dict[str, tuple[str, ...]] = thread.seen
        folded: _Folded = thread.folded
        found = list[tuple[str, ...]]()
        for unit in units:
            terms = seen.get(unit)
            if terms is None:
                if _PLAIN.fullmatch(unit):
                    terms = folded[unit.lower()]
                elif len(unit) <= _SPLIT_LENGTH and _IDENTIFIER.fullmatch(unit):
                    terms = _of_identifier(unit, folded)
                else:
                    terms = tuple([term for _, some in self._words(unit) for term in some])
                if len(unit) <= _CACHED_LENGTH:
                    if len(seen) >= _CACHED:
                        seen.clear()
                    seen[unit] = terms
            found.append(terms)
        return found

    def folded_terms(self, folded: Sequence[str]) -> list[str | None]:
        """The term of each folded word; None of a stop word."""
        stop, stemmer = self._stop, self._thread().stemmer
        kept = [word for word in folded if word not in stop]
        stems = iter(stemmer.stemWords(kept) if stemmer else kept)
        return [None if word in stop else next(stems) for word in folded]

    # -- words ----------------------------------------------------------------------------------

    def _words(self, run: str) -> list[tuple[str, Sequence[str]]]:
        """The words of a run, each with its terms."""
        if run.isascii():
            return [(word, self._of_word(word)) for word in _ASCII_WORD.findall(run)]
        found = list[tuple[str, Sequence[str]]]()
        for number, piece in enumerate(_unspaced().split(run)):
            if number % 2:
                found += [(pair, [pair.casefold()]) for pair in _pairs(piece)]
            else:
                found += [(word, self._of_word(word)) for word in words(piece)]
        return found

    def _of_word(self, word: str) -> Sequence[str]:
        """The terms of a word."""
        word = word.strip("_")
        if not word:
            return []
        word = word.replace("’", "'")
        if "'" in word and self._language != "english":
            return [term for part in word.split("'") for term in self._of_word(part)]
        if word.isascii() and (word.islower() or word.isdigit()) and word.isalnum():
            return self._term(word)
        parts = _parts(word) if len(word) <= _SPLIT_LENGTH else []
        return [term for part in (word, *parts) for term in self._term(part.casefold())]

    def _term(self, word: str) -> tuple[str, ...]:
        folded: _Folded = self._thread().folded
        return folded[word]

    def _thread(self) -> Any:
        if not hasattr(self._own, "seen"):
            self._own.seen = {}
            self._own.stemmer = None if self._language == "none" else _stemmer(self._language)
            self._own.folded = _Folded(self._own.stemmer, self._stop)
        return self._own


class _Folded(dict[str, tuple[str, ...]]):
    """The term of each folded word that was met; none of a stop word."""

    def __init__(self, stemmer: Any, stop: frozenset[str]) -> None:
        self._stemmer, self._stop = stemmer, stop

    def __missing__(self, word: str) -> tuple[str, ...]:
        terms = () if word in self._stop else (self._stemmer.stemWord(word) if self._stemmer else word,)
        if len(word) <= _CACHED_LENGTH:
            if len(self) >= _CACHED:
                self.clear()
            self[word] = terms
        return terms


def normal(text: str) -> str:
    """A text as NFKC, with U+FFFD for lone surrogates."""
    return text if text.isascii() else unicodedata.normalize("NFKC", _SURROGATES.sub("\ufffd", text))


def runs(text: str) -> list[str]:
    """What a text has between white space, after NFKC."""
    return normal(text).split()


def units(run: str) -> list[str]:
    """The words of a run of ASCII; another run as it is. `run_terms` gives the terms of either."""
    return _ASCII_WORD.findall(run) if run.isascii() else [run]


def words(text: str) -> list[str]:
    """The words of a text by UAX #29 that hold a letter or digit; for scripts that write spaces."""
    if text.isascii():
        return [word for word in _ASCII_WORD.findall(text) if word.strip("_")]
    return [word for word in _word().findall(text) if any(character.isalnum() for character in word)]


def _of_identifier(word: str, folded: _Folded) -> tuple[str, ...]:
    """The terms of a word that `_IDENTIFIER` matches, as `Tokenizer._of_word` has them."""
    word = word.strip("_")
    if not word:
        return ()
    pieces = _PIECE.findall(word)
    terms = list(folded[word.lower()])
    for piece in pieces if len(pieces) > 1 else ():
        if len(piece) > 1:
            terms += folded[piece.lower()]
    return tuple(terms)


def _parts(word: str) -> list[str]:
    """The parts of an identifier, without single characters: get_userName -> get user Name; none of a plain word."""
    pieces = [piece for joined in _JOINTS.split(word) if joined for piece in _HUMPS.split(joined)]
    return [piece for piece in pieces if len(piece) > 1] if len(pieces) > 1 else []


def _pairs(run: str) -> Iterable[str]:
    """Each two neighbours; a character that stands alone, alone."""
    return [run] if len(run) == 1 else [first + second for first, second in pairwise(run)]


def _stemmer(language: str) -> Any:
    return _library().Stemmer(language, 0)  # words are cached, so stems need not be


def _library() -> Any:
    try:
        import Stemmer
    except ImportError as missing:
        raise missing_package("keyword search needs", "PyStemmer", "PyStemmer") from missing
    return Stemmer


@cache
def _word() -> Any:
    """Words by the rules WB3c-WB13b of UAX #29, by the Word_Break property of each character.

    Not the default word boundaries of `regex`: it divides at an apostrophe before a vowel, as an older UAX #29 did.
    """
    import regex

    letter, digit, hebrew = r"[\p{WB=ALetter}\p{WB=Hebrew_Letter}]", r"\p{WB=Numeric}", r"\p{WB=Hebrew_Letter}"
    marks = r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*"
    joined = rf"(?:[\p{{WB=ALetter}}\p{{WB=Hebrew_Letter}}\p{{WB=Numeric}}\p{{WB=ExtendNumLet}}]{marks})+"
    in_letters = r"[\p{WB=MidLetter}\p{WB=MidNumLet}\p{WB=Single_Quote}]"
    in_digits = r"[\p{WB=MidNum}\p{WB=MidNumLet}\p{WB=Single_Quote}]"
    sides = ((letter, in_letters), (digit, in_digits), (hebrew, r"\p{WB=Double_Quote}"))
    between = "|".join(f"(?<={side}{marks}){sign}{marks}(?={side})" for side, sign in sides)
    return regex.compile(f"{joined}(?:(?:{between}){joined})*", regex.V1)


@cache
def _unspaced() -> Any:
    import regex

    return regex.compile(rf"({_UNSPACED}[{_UNSPACED}\p{{M}}]*)", regex.V1)
