"""Guesses an undeclared old encoding: takes chardet's answer, unless Windows-1252 reads more plausibly.

`plausibility` scores a decoded text by what stands around each non-ASCII character. Letters of one script in a word
raise the score; a symbol inside a word, mixed scripts, or a capital after a small letter lower it.

Decisions
1. chardet alone is wrong on short texts: it gets 137 of the 252 Windows-1252 phrases in `UNSEEN` of test_encodings.py
   right ("€ 99", "naïve café"), and answers Hebrew, Greek, Cyrillic or MacRoman for the others. So its answer counts
   only if its text is more plausible than Windows-1252's. With that rule 251 are right.
2. Single words of other encodings that also read as Windows-1252 ("Vanayı") are decoded as Windows-1252. Two thirds of
   the phrases in `UNSEEN_OTHERS` are right; Turkish ones and those of one or two Chinese characters mostly are not.
3. A text with few non-ASCII bytes is also tried in the commonest encoding of each script: chardet needs a sentence
   where one word is enough to prefer "мир" to "ìèð".
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final

DEFAULT: Final = "cp1252"
SCORED: Final = 2_000  # characters of a text around foreign ones that are scored
SHORT: Final = 40  # characters of a word whose score is cached
FEW: Final = 60  # foreign bytes up to which the commonest encodings are tried beside chardet's answer
MARGIN: Final = 0.75  # by how much, per foreign character at most, an encoding must beat Windows-1252

_ASCII: Final = bytes(range(0x20, 0x7F))
_COMMONEST: Final = ("cp1251", "koi8-r", "cp866", "cp1253", "cp1255", "cp932", "gb18030", "cp949",
                     "big5hkscs", "euc_jp", "cp1250")  # fmt: skip
_FOREIGN_WORD: Final = re.compile(r"[^\x00-\x20]*[^\x00-\x7f][^\x00-\x20]*")
_USUAL: Final = frozenset(
    "àâäáãåæçéèêëíìîïñóòôöõøœúùûüßæÆâÂÀÄÅÇÉÈÊÍÎÑÓÔÖØÚÜŒ€£§°±×µ·«»„“”‘’–—…•®©™¥ªº¿¡½¼¾²³†‡¶þÞðÐ"  # Western Europe
    "оеаинтсрвлкмдпуяыОЕАИНТСРВЛКМДПУ"  # Russian
    "αιοεσητνρκλπυμςάίόέήύΑΚΠΣΜΤΕ"  # Greek
    "יוהלאמרתשבנםקדעפחכצןךטגסזףץ"  # Hebrew
    "ąćęłńśźżčďěňřšťůžýőűăâîșțşţĄĆĘŁŚŹŻČŘŠŽ"  # Central Europe
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实"
    "日設定本語文字新版使用開始終了確認入力出力説明書圧弁水閉"
)
_FINAL: Final = frozenset("ךםןףץς")  # at the end of a word only
_VOWELS: Final = frozenset("аеёиоуыэюяіїєАЕЁИОУЫЭЮЯІЇЄαεηιουωάέήίόύώΑΕΗΙΟΥΩ")
_SYMBOLS_IN_WORDS: Final = frozenset("’‘×–—-…°µ®™©²³ªº")


def guess(sample: bytes) -> str | None:
    """The likeliest encoding of `sample`; None if chardet calls it binary."""
    import chardet

    answer = chardet.detect(sample)["encoding"]
    if answer is None and b"\0" in sample:
        return None
    foreign = len(sample) - len(sample.translate(None, bytes(range(0x80, 0x100))))
    if not foreign or b"\x1b$" in sample or b"\x1b(" in sample:
        return answer
    rivals = [answer] if answer and _keeps_ascii(answer) else []
    rivals += [encoding for encoding in _COMMONEST if foreign <= FEW]
    best, most = DEFAULT, _score(sample, DEFAULT) + MARGIN * min(1.0, foreign / 4)
    if answer is None and most < 0:
        return None
    for rival in rivals:
        score = _score(sample, rival)
        if score > most:
            best, most = rival, score
    return best


def _score(sample: bytes, encoding: str) -> float:
    try:
        text = sample.decode(encoding, "replace")
    except LookupError:
        return float("-inf")
    return float("-inf") if encoding != DEFAULT and _eats_ascii(sample, text) else plausibility(text)


@cache
def _keeps_ascii(encoding: str) -> bool:
    """Whether ASCII bytes are ASCII in an encoding; in mainframe encodings they are not."""
    try:
        return _ASCII.decode(encoding) == _ASCII.decode("ascii")
    except (LookupError, UnicodeError):
        return False


def _eats_ascii(sample: bytes, text: str) -> bool:
    """Whether each wide character is isolated and consumed an ASCII byte: "20°C" read as Chinese."""
    if len(text) > SCORED:
        return False
    wide = [_kind(char) == "CJK" for char in text]
    foreign = sum(byte > 0x7F for byte in sample)
    return 0 < sum(wide) >= foreign and not any(left and right for left, right in pairwise(wide))


def plausibility(text: str) -> float:
    """A score of how well the non-ASCII characters of a text fit their neighbours; above 0 if they do."""
    total = 0.0
    counted = 0
    for word in _FOREIGN_WORD.finditer(text):
        length = len(word[0])
        total += (_of_short_word if length <= SHORT else _of_word)(word[0])
        counted += length
        if counted > SCORED:
            break
    return total


def _of_word(word: str) -> float:
    kinds = [_kind(char) for char in word]
    total = 0.0
    for i, (char, kind) in enumerate(zip(word, kinds, strict=True)):
        if char < "\x80":
            continue
        before, after = (kinds[i - 1] if i else ""), (kinds[i + 1] if i + 1 < len(kinds) else "")
        if kind.isupper():
            total += _of_letter(word[i - 1 : i] if i else "", char, word[i + 1 : i + 2])
        else:
            total += _of_symbol(char, kind, before, after)
    return total + _of_latin(word, kinds)


_of_short_word: Final = lru_cache(5_000)(_of_word)  # words recur, within a document and between documents


@lru_cache(20_000)
def _of_letter(before: str, char: str, after: str) -> float:
    """A letter's score: high beside its own script, low beside another one or as a capital after a small letter.

    `before` and `after` are "" at an end of the word.
    """
    kind = _kind(char)
    if kind == "RARE":
        return -1.0
    score = (1.0 if char in _USUAL else 0.4) + (1.0 if kind == "CJK" else 0.0)  # CJK: two bytes
    neighbours = [k for k in (_kind(before) if before else "", _kind(after) if after else "") if k.isupper()]
    score -= 2.0 * sum(other != kind for other in neighbours)
    if kind not in ("LATIN", "CJK") and not any(other == kind for other in neighbours):
        score -= 1.5  # one letter of another script, alone
    if (char.isupper() and before.islower()) or (char in _FINAL and after.isalpha()):
        score -= 2.0
    if char.isupper() and after.isupper() and kind != "LATIN":
        score -= 0.1
    return score


def _of_symbol(char: str, kind: str, before: str, after: str) -> float:
    if kind == "bad":
        return -4.0
    inside = before.isupper() and after.isupper()
    if inside and char not in _SYMBOLS_IN_WORDS:
        return -2.0
    if inside and char not in "’–—-·…×":
        return -0.5
    if char in "‘„" and before.isupper():
        return -1.0
    if char in "”»¶" and after.isupper():
        return -1.0
    return 1.0 if char in _USUAL else -0.2


def _of_latin(word: str, kinds: list[str]) -> float:
    """A penalty for three accented letters in a row: another script read as Latin."""
    if "LATIN" not in kinds:
        return -_of_vowels(word, kinds)
    run = total = 0
    for char, kind in zip(word, kinds, strict=True):
        run = run + 1 if kind == "LATIN" and char > "\x7f" else 0
        total += 2 if run >= 3 else 0
    letters = sum(kind == "LATIN" for kind in kinds)
    accented = sum(kind == "LATIN" and char > "\x7f" for char, kind in zip(word, kinds, strict=True))
    if letters >= 3 and accented > 0.7 * letters:
        total += accented
    return -float(total) - _of_vowels(word, kinds)


def _of_vowels(word: str, kinds: list[str]) -> float:
    """A penalty for four or more Cyrillic or Greek letters without a vowel, 1 a letter."""
    letters = [char for char, kind in zip(word, kinds, strict=True) if kind in ("CYRILLIC", "GREEK")]
    return float(len(letters)) if len(letters) >= 4 and _VOWELS.isdisjoint(letters) else 0.0


@cache
def _kind(char: str) -> str:
    """A letter's script in capitals, "symbol", or "bad" for characters that occur in no text."""
    category = unicodedata.category(char)
    if category in ("Cc", "Cn", "Co", "Cs") or char == "\ufffd":
        return "bad" if char > "\x7f" else "symbol"
    if not char.isalpha() and category not in ("Mn", "Mc"):
        return "symbol"
    if char in "µªºƒˆ˜":
        return "symbol"
    script = unicodedata.name(char, "").partition(" ")[0]
    if script in ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "IDEOGRAPHIC"):
        return "CJK"
    if script in ("HALFWIDTH", "BOPOMOFO"):
        return "RARE"
    return script if script.isupper() and script.isalpha() else "RARE"
