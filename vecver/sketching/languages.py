"""Languages: the language class of each text, from its script and its function words. Guesses; loads no model.

    words    the script is Latin or Cyrillic: the language whose function words come up most in the text's beginning
    script   else: the script alone, which for Chinese, Japanese, Korean, Greek, Hebrew and Thai is the language

Decisions
1. A version's sketch counts classes; it does not label documents. So one rule that takes 1 us a text and errs alike
   in two versions is worth more than a model that takes 100 us and errs less. Of 282,112 passages with known languages
   `benchmarks/drift.py` counts how many it names rightly.
2. Only the first `READ` characters are read. A text with fewer than two function words there (code, tables, names,
   headings) is `unclear` and says nothing about the language.
3. Languages that share nearly all function words are one class: Danish and Norwegian, Czech and Slovak, Croatian and
   its neighbours in Latin script, Indonesian and Malay. Arabic script is one class, and so is Devanagari.
4. The classes are numbers in stored sketches: append only. A changed rule needs a new `sketching.sketches.RULES`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from vecver.json_columns import content_of

if TYPE_CHECKING:
    import pyarrow as pa

READ = 100  # characters of a text
UNCLEAR = 0
_LEAST = 2  # function words
_SHARE = 0.3  # letters of another script, against the Latin ones, from which on the script decides
_DENSE = 3  # Latin letters that a character of Chinese, Japanese or Korean stands for

_WORDS = {
    "English": "the of and to in a is that for it with as be on by this are or from at an not can you your will have",
    "German": "der die das und ist in den von zu mit sich des auf für nicht ein eine dem im werden wird oder sie es an "
    "als auch bei einer wenn kann durch nach",
    "French": "le la les de des et en du un une est dans pour que qui sur par pas au avec vous ce il ne se sont ou "
    "cette votre être plus si",
    "Spanish": "el la los las de del y en que un una es para por con se no su al lo como más o este esta son puede si",
    "Portuguese": "o a os as de do da dos das e em um uma que para com não por se na no é ao você mais ou como seu sua "
    "ser pode são está",
    "Italian": "il lo la i gli le di del della e in un una è che per con non si da al dei sono come nel più o se "
    "questo delle può anche",
    "Dutch": "de het een en van in is dat op te voor met zijn niet aan er om ook als bij wordt of die naar kan deze u "
    "door worden maar",
    "Swedish": "och att det i en på är som för av med den till inte har om de kan ett från eller vi du när ska",
    "Danish or Norwegian": "og at det i en på er som for af av med den til ikke har om de kan et fra eller vi du når "
    "skal",
    "Finnish": "ja on ei se että oli hän mutta ovat joka kun tai myös sen voi kuin jos niin ole mukaan",
    "Polish": "i w na z do się nie to jest że jak o dla po od przez są oraz lub za może tego które który ze można",
    "Czech or Slovak": "a v na se je že s z do o to pro jako k by nebo ale které jsou po při sa sú alebo ktoré pre som "
    "podle být",
    "Hungarian": "a az és hogy nem egy is van ez meg de csak vagy ha mint már kell azt el még lehet",
    "Romanian": "și în de la a cu pe nu este un o din care să pentru sau mai ca prin sunt fi se că",
    "Turkish": "ve bir bu için ile da de olarak olan gibi daha en çok veya ya ne kadar her değil sonra ki var",
    "Croatian or a neighbour": "i je u na se da za od su s koji ne ili kao što iz a biti može koje sa po",
    "Indonesian or Malay": "yang dan di untuk dengan dari ini pada dalam adalah tidak itu anda akan atau ke dapat oleh "
    "bisa juga telah kita sebagai",
    "Vietnamese": "và của là có cho không được các trong một với để này những khi từ bạn đã người về sẽ hoặc như",
    "Russian": "и в не на что с для по это как к из от или при если а вы может все также его будет но чтобы",
    "Ukrainian": "і в не на що з для та це як до або від у ви якщо при є може за також із й його цей",
    "Bulgarian": "и в на не да се за от е с по като са или това при до може ще със както който",
}
_SCRIPTS = (
    "Cyrillic script",
    "Greek",
    "Hebrew",
    "Arabic script",
    "Devanagari script",
    "Thai",
    "Chinese",
    "Japanese",
    "Korean",
    "another script",
)
NAMES = ("unclear", *_WORDS, *_SCRIPTS)
_CYRILLIC = ("Russian", "Ukrainian", "Bulgarian")
_FIRST_SCRIPT = NAMES.index(_SCRIPTS[0])
_LATIN, _SIGN = len(_SCRIPTS), len(_SCRIPTS) + 1  # beside the scripts: Latin letters, and what is no letter
_IS_LETTER = np.array([chr(byte).isalpha() for byte in range(128)] + [False] * 128)


class _Tables(NamedTuple):
    words: pa.Array
    languages: npt.NDArray[np.int64]  # of all words, one after the other: classes
    starts: npt.NDArray[np.int64]  # where those of each word begin, and the end


def language_classes(texts: pa.Array) -> npt.NDArray[np.int64]:
    """The class of each text, `(n,)`: an index into NAMES. `texts`: strings without nulls."""
    import pyarrow.compute as pc

    beginnings = pc.utf8_slice_codeunits(texts, 0, READ)
    votes = _votes(beginnings)
    scripts = _scripts(beginnings)
    if scripts is not None:
        is_cyrillic = scripts == _FIRST_SCRIPT
        cyrillic = [NAMES.index(name) for name in _CYRILLIC]
        spoken = np.isin(np.arange(votes.shape[1]), cyrillic)
        votes[np.ix_(is_cyrillic, ~spoken)] = 0
        votes[np.ix_(~is_cyrillic, spoken)] = 0
    classes = votes.argmax(axis=1)
    classes[votes.max(axis=1, initial=0) < _LEAST] = UNCLEAR
    if scripts is not None:
        by_script = (scripts > 0) & ~((scripts == _FIRST_SCRIPT) & (classes > 0))
        classes[by_script] = scripts[by_script]
    return classes


def _votes(beginnings: pa.Array) -> npt.NDArray[np.int64]:
    """How many function words of each language a text has, `(n, languages + 1)`."""
    import pyarrow.compute as pc

    tables, count, width = _tables(), len(beginnings), len(_WORDS) + 1
    words = pc.ascii_split_whitespace(pc.ascii_lower(beginnings))
    found = pc.fill_null(pc.index_in(words.values, value_set=tables.words), len(tables.words)).to_numpy()
    (places,) = np.nonzero(found < len(tables.words))
    hits = found[places]
    offsets = np.frombuffer(words.offsets.buffers()[1], np.int32)[words.offset : words.offset + count + 1]
    rows = np.repeat(np.arange(count), np.diff(offsets))[places]
    firsts, counts = tables.starts[hits], tables.starts[hits + 1] - tables.starts[hits]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    languages = tables.languages[np.repeat(firsts, counts) + within]
    votes = np.bincount(np.repeat(rows * width, counts) + languages, minlength=count * width)
    return votes.reshape(count, width)


@cache
def _tables() -> _Tables:
    import pyarrow as pa

    languages: dict[str, list[int]] = {}
    for number, words in enumerate(_WORDS.values(), 1):
        for word in words.split():
            languages.setdefault(word, []).append(number)
    starts = np.cumsum([0, *map(len, languages.values())])
    return _Tables(pa.array(list(languages)), np.concatenate(list(languages.values())), starts)


def _scripts(beginnings: pa.Array) -> npt.NDArray[np.int64] | None:
    """The class of the script that decides over each text, `(n,)`, 0 for Latin; None if all of them are ASCII."""
    content, ends = content_of(beginnings)
    letters = np.frombuffer(content, np.uint8)
    (places,) = np.nonzero(letters[:-1] >= 0xC2)
    if not len(places):
        return None
    starts = np.concatenate([[0], ends[:-1]])
    count, width = len(ends), len(_SCRIPTS) + 2
    rows = np.searchsorted(ends, places, side="right")
    kinds = _kinds()[letters[places].astype(np.int64) * 256 + letters[places + 1]]
    counts = np.bincount(rows * width + kinds, minlength=count * width).reshape(count, width)
    before = np.concatenate([[0], np.cumsum(_IS_LETTER[letters])])
    latin = before[ends] - before[starts] + counts[:, _LATIN]
    counts = counts[:, : len(_SCRIPTS)]
    chinese, japanese, korean = (_SCRIPTS.index(name) for name in ("Chinese", "Japanese", "Korean"))
    counts[:, chinese : korean + 1] *= _DENSE
    has_kana = counts[:, japanese] * 20 > counts[:, chinese]  # Chinese has none; Japanese has some in every sentence
    counts[has_kana, japanese] += counts[has_kana, chinese]
    counts[has_kana, chinese] = 0
    best = counts.argmax(axis=1)
    decides = counts[np.arange(count), best] > _SHARE * latin
    return np.where(decides, best + _FIRST_SCRIPT, 0)


@cache
def _kinds() -> npt.NDArray[np.int64]:
    """The script, Latin or no letter, of a character by its first two bytes in UTF-8, `(65536,)`."""
    kinds = np.full((256, 256), _SIGN, np.int64)
    other = _SCRIPTS.index("another script")
    kinds[0xC3:0xCA] = _LATIN
    kinds[0xD4:0xE2] = other
    for name, first, last in (
        ("Greek", 0xCD80, 0xCFBF),
        ("Cyrillic script", 0xD080, 0xD4AF),
        ("Hebrew", 0xD690, 0xD7BF),
        ("Arabic script", 0xD880, 0xDBBF),
        ("Arabic script", 0xDD90, 0xDDBF),
        ("Devanagari script", 0xE0A4, 0xE0A5),
        ("Thai", 0xE0B8, 0xE0B9),
        ("Greek", 0xE1BC, 0xE1BF),
        ("Japanese", 0xE381, 0xE383),
        ("Chinese", 0xE390, 0xE9BF),
        ("Korean", 0xEAB0, 0xED9F),
        ("Chinese", 0xF0A0, 0xF0B3),
    ):
        kinds.reshape(-1)[first : last + 1] = _SCRIPTS.index(name)
    kinds.reshape(-1)[0xE1B8 : 0xE1BB + 1] = _LATIN
    return kinds.reshape(-1)
