"""Commands that a page shows to be copied into a terminal: whatever ids and questions hold, they stay arguments."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

_ESCAPED = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t"}


def command(verb: str, *values: str, options: Sequence[str] = ()) -> str:
    """A call of `vecver` as a shell takes it: its values, then its options; options first where a value begins with
    a dash, which only stands behind `--`.
    """
    dashed = any(value.startswith("-") for value in values)
    words = ["vecver", verb, *options, "--", *values] if dashed else ["vecver", verb, *values, *options]
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """A word as one argument. What cannot be printed is escaped: a terminal obeys control characters that are pasted,
    inside quotes too.
    """
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(character: str) -> str:
    if character in _ESCAPED or character.isprintable():
        return _ESCAPED.get(character, character)
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
