"""Decodes bytes to text, whatever encoding they are in. It knows no formats.

It tries in order: a byte-order mark; UTF-16 or UTF-32 without one, recognised by the positions of NUL bytes; strict
UTF-8, unless there is an ISO-2022 escape; nearly valid UTF-8, with U+FFFD for broken bytes; the charset that the
document declares, strictly; `guessing`. A text with many control characters is binary, whatever decoded it.

Decisions
1. Stray NULs are removed before UTF-8 is tried, since chardet answers UTF-16 for any text that holds one. A run of
   NULs becomes a space, since it pads a field.
2. UTF-8 comes before the declared charset: pages that declare gb2312 and are UTF-8 are common, and text in an old
   charset that happens to be valid UTF-8 is not.
3. "Nearly valid" means at most 5% broken characters among the *non-ASCII* ones. Measured among all characters, a long
   Latin-1 text with few accents would pass.
4. A declared charset is read as the superset that is in use (gb2312 as gb18030, latin-1 as cp1252, as in the WHATWG
   Encoding Standard), and only if ASCII bytes are ASCII in it.
5. Line ends become "\\n" (a lone "\\r" too), so that a checkout on Windows gives the same text, spans and digests.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from typing import Final

from vecver.pipeline.parsers.detection.guessing import guess

SAMPLE_BYTES: Final = 200_000  # bytes that chardet gets
NEARLY: Final = 0.05  # share of broken characters among the non-ASCII ones

LOOKED_AT: Final = 5_000  # characters among which junk is counted
JUNK: Final = 0.06  # share of junk above which a text is binary
NULS: Final = 0.2  # share of NULs above which ASCII text is UTF-16; other scripts also show control characters

_USED: Final = "\t\n\v\f\r\b\x1b\x1a\x1c\x1d\x1e\x1f"  # man pages, terminals and old record formats hold these
_CONTROLS: Final = bytes(n for n in range(32) if chr(n) not in _USED)
_UNUSUAL: Final = re.compile(r"[^\t-\r\x1a-~\xa0-\u0370\u0391-\u04ff\u4e00-\u9fa5]")
_PADDING: Final = re.compile(rb"\0{2,}+")
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: it begins with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ISO_2022: Final = re.compile(rb"\x1b(?:\$|\([BIJ])")
_NON_ASCII: Final = re.compile(rb"[\x80-\xff\x1b]")
_DECLARED: Final = re.compile(
    rb"""<\?xml[^>]{1,200}?encoding\s*=\s*["']([\w.:-]+)"""
    rb"""|<meta[^>]{1,400}?charset\s*=\s*["']?\s*([\w.:-]+)"""
    rb"""|^[ \t\f]*\#.{0,100}?coding[:=][ \t]*([-\w.]+)""",
    re.I | re.M,
)
_SUPERSETS: Final = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}


def decode(data: bytes, declared: str | None = None) -> str | None:
    """The text of `data` without byte-order mark and with "\\n" line ends; None if it is binary.

    `declared`: the charset named by the container (a mail's header); by default the one named by the text itself.
    """
    text = _by_mark(data) or _by_nuls(data)
    if text is None:
        data = _without_nuls(data)
        text = _by_utf8(data)
    if text is None:
        text = _by_name(data, declared or _declared(data))
    if text is None:
        text = _by_guess(data)
    if text is None or _is_binary(text):
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _by_mark(data: bytes) -> str | None:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    return None


def _by_nuls(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a byte-order mark, if nearly all NULs are at one position of each code unit."""
    sample = data[: SAMPLE_BYTES & ~3]
    nuls = sample.count(0)
    if not nuls or len(data) < 4:
        return None
    at = [sample[n::4].count(0) for n in range(4)]
    quarter = max(1, len(sample) // 4)
    for encoding, empty, full in (("utf-32-le", at[3], at[0]), ("utf-32-be", at[0], at[3])):
        if empty > 0.95 * quarter and full < 0.05 * quarter:
            return _wide(data, encoding, 4)
    odd, even = at[1] + at[3], at[0] + at[2]
    if min(odd, even) > 0.1 * nuls or (nuls < NULS * len(sample) and not _controls(sample)):
        return None
    return _wide(data, "utf-16-le" if odd > even else "utf-16-be", 2)


def _controls(sample: bytes) -> bool:
    """Whether bytes look like halves of UTF-16 code units: many control characters, or little valid UTF-8."""
    without_nuls = sample.replace(b"\0", b"")
    if len(without_nuls) - len(without_nuls.translate(None, _CONTROLS)) > 0.05 * len(without_nuls):
        return True
    text = codecs.utf_8_decode(without_nuls, "replace", False)[0]  # the sample may end inside a character
    return text.count("\ufffd") > NEARLY * len(text)


def _wide(data: bytes, encoding: str, width: int) -> str | None:
    """The text, if its characters exist and mostly belong to a few scripts, as in any language."""
    try:
        text = data[: len(data) // width * width].decode(encoding)
    except UnicodeDecodeError:
        return None
    sample = text[:LOOKED_AT]
    blocks = Counter(0x4E if 0x2E <= ord(char) >> 8 < 0xD8 else ord(char) >> 8 for char in sample)
    few = sum(count for _, count in blocks.most_common(3)) >= 0.9 * len(sample)
    return text.replace("\0", "") if few and not _is_binary(text) else None


def _without_nuls(data: bytes) -> bytes:
    return _PADDING.sub(b" ", data).replace(b"\0", b"") if b"\0" in data else data


def _is_binary(text: str) -> bool:
    """Whether more than `JUNK` of the characters are controls, broken or unassigned."""
    sample = text[:LOOKED_AT]
    if not _UNUSUAL.search(sample):
        return False
    junk = sum(char not in _USED and unicodedata.category(char) in ("Cc", "Cn", "Co") for char in sample)
    return junk + sample.count("\ufffd") > JUNK * len(sample)


def _by_utf8(data: bytes) -> str | None:
    if _ISO_2022.search(data):
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    foreign = len(text) - len(text.encode("ascii", "ignore"))
    return text if text.count("\ufffd") <= NEARLY * foreign else None


def _declared(data: bytes) -> str | None:
    """The charset that the head of an HTML, XML or source file names."""
    match = _DECLARED.search(data, 0, 4096)
    return next((name.decode("ascii") for name in match.groups() if name), None) if match else None


def _by_name(data: bytes, declared: str | None) -> str | None:
    encoding = _codec(declared) if declared else None
    try:
        return data.decode(encoding) if encoding else None
    except UnicodeError:
        return None


def _codec(name: str) -> str | None:
    """The codec for a charset; None if Python has none, or if ASCII bytes are not ASCII in it."""
    try:
        encoding = codecs.lookup(name).name
        encoding = _SUPERSETS.get(encoding, encoding)
        return encoding if b"<a>\\n+-".decode(encoding) == "<a>\\n+-" else None
    except (LookupError, UnicodeError, ValueError):
        return None


def _by_guess(data: bytes) -> str | None:
    sample = _telling_part(data)
    encoding = guess(sample)
    try:
        return data.decode(encoding, "replace") if encoding else None
    except LookupError:
        return None


def _telling_part(data: bytes) -> bytes:
    """Up to `SAMPLE_BYTES`, from shortly before the first byte that is not ASCII."""
    first = _NON_ASCII.search(data)
    start = max(0, first.start() - 1000) if first else 0
    return data[start : start + SAMPLE_BYTES]
