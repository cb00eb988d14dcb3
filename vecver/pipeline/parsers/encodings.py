"""Bytes to text, whatever old encoding they are in; knows nothing of formats.

The cascade: byte-order mark; strict UTF-8 if there is no NUL and no ISO-2022 escape; nearly valid
UTF-8, with U+FFFD for what is broken; the charset that the document declares, strictly; `chardet`.

Decisions
- 2026-11-21 UTF-8 before the declared charset: pages that declare gb2312 and are UTF-8 are common,
  text in an old charset that happens to be valid UTF-8 is not.
- 2026-11-21 "Nearly valid" counts broken bytes among the *non-ASCII* characters (at most 5%). Among
  all characters, a long Latin-1 text with few accents would pass.
- 2026-11-21 A declared charset is read as its superset in use (gb2312 as gb18030, latin-1 as cp1252,
  as the WHATWG Encoding Standard has it), and only where it is ASCII-compatible text.
- 2026-11-21 Line ends become "\\n" everywhere (also a lone "\\r"), so that a checkout on Windows gives
  the text, spans and digests of any other.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

SAMPLE_BYTES: Final = 200_000  # what chardet is shown
NEARLY: Final = 0.05  # share of broken characters among the non-ASCII ones

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

    `declared` is what the container says (a mail's header); without it, what the text itself says.
    """
    text = _by_mark(data)
    if text is None:
        text = _by_utf8(data)
    if text is None:
        text = _by_name(data, declared or _declared(data))
    if text is None:
        text = _by_guess(data)
    return None if text is None else text.replace("\r\n", "\n").replace("\r", "\n")


def _by_mark(data: bytes) -> str | None:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    return None


def _by_utf8(data: bytes) -> str | None:
    if b"\0" in data or _ISO_2022.search(data):
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    foreign = len(text) - len(text.encode("ascii", "ignore"))
    return text if text.count("\ufffd") <= NEARLY * foreign else None


def _declared(data: bytes) -> str | None:
    """The charset that the head of an HTML, XML or source file names."""
    found = _DECLARED.search(data, 0, 4096)
    return next((name.decode("ascii") for name in found.groups() if name), None) if found else None


def _by_name(data: bytes, declared: str | None) -> str | None:
    encoding = _codec(declared) if declared else None
    try:
        return data.decode(encoding) if encoding else None
    except UnicodeError:
        return None


def _codec(name: str) -> str | None:
    """The codec to read a charset with; None if Python has none, or none in which ASCII is ASCII."""
    try:
        encoding = codecs.lookup(name).name
        encoding = _SUPERSETS.get(encoding, encoding)
        return encoding if b"<a>\\n+-".decode(encoding) == "<a>\\n+-" else None
    except (LookupError, UnicodeError, ValueError):
        return None


def _by_guess(data: bytes) -> str | None:
    import chardet

    encoding = chardet.detect(_telling_part(data))["encoding"]
    try:
        return data.decode(encoding, "replace") if encoding else None
    except LookupError:
        return None


def _telling_part(data: bytes) -> bytes:
    """Up to `SAMPLE_BYTES`, from shortly before the first byte that is not ASCII."""
    found = None if b"\0" in data[:SAMPLE_BYTES] else _NON_ASCII.search(data)
    start = max(0, found.start() - 1000) if found else 0
    return data[start : start + SAMPLE_BYTES]
