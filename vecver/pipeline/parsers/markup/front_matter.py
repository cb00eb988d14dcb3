"""Reads the front matter of Markdown (YAML between `---`, TOML between `+++`) as typed fields.

It reads hostile text in linear time: one field at a time, without tags or expanded references.

Decisions
1. YAML is read from parser events instead of a loader. A loader follows merge keys and aliases, which a few lines
   expand into billions of values, and builds cycles. Here an alias is replaced only by a plain value.
2. Numbers and booleans are those of YAML 1.2, without signs or leading zeros: `no`, `012`, `+49`, `1_000` and `12:30`
   are text, as their authors mean them. So is a number that no filter could compare (`.inf`).
3. Each field is read separately, so that `title: What: a guide`, which is invalid YAML, costs no other field. A
   single-line field that is invalid becomes the text after its colon.
"""

from __future__ import annotations

import datetime
import math
import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final

from vecver.pipeline.parsers.properties import DEEPEST, MOST_VALUES, Fields, Unsound

MATTER: Final = re.compile(r"\s*(---|\+\+\+)[ \t]*\n(.*?)\n(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.S)
HEAD: Final = 100_000  # characters within which front matter must end
MOST_READ: Final = 1_000  # fields read at most

_FIELD: Final = re.compile(r"""(?:(["'])(.{1,200}?)\1|([^\s\-?#&*!|>%@`"'\[\]{},:][^\n]{0,200}?))[ \t]*+:(?=\s|\Z)""")
_BEGINS: Final = re.compile(r"\s*(?:---|\+\+\+)[ \t]*\n[\w-]+[ \t]*[:=]")
_COMMENT: Final = re.compile(r"[ \t]#.*\Z")
_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,18})\Z")
_FLOAT: Final = re.compile(r"-?(?:0|[1-9]\d{0,30})(?:\.\d{1,40}(?:[eE][-+]?\d{1,3})?|[eE][-+]?\d{1,3})\Z")
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:(?:[Tt]|[ \t]{1,4})(\d\d?):(\d\d)(?::(\d\d)(\.\d{1,9})?)?"
    r"[ \t]{0,4}(?:[Zz]|([-+])(\d\d?):?(\d\d)?)?)?\Z"
)
_NOTHING: Final = ("", "~", "null", "Null", "NULL")
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def front_matter(text: str) -> Fields:
    """The fields at the head of a Markdown text; empty without front matter."""
    matter = MATTER.match(text, 0, HEAD)
    if not matter:
        long = len(text) > HEAD and _BEGINS.match(text)
        return {"": Unsound(f"what stands before the text does not end within {HEAD:,} characters")} if long else {}
    return _toml(matter[2]) if matter[1] == "+++" else _yaml(matter[2])


def _toml(text: str) -> Fields:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        return {"": Unsound(f"the TOML before the text is not sound ({' '.join(str(error).split())[:100]})")}


# -- YAML ----------------------------------------------------------------------------------------


def _yaml(text: str) -> Fields:
    fields: dict[str, Any] = {}
    for number, (name, block) in enumerate(_blocks(text)):
        if number == MOST_READ:
            fields.setdefault("", Unsound(f"those after the first {MOST_READ:,} were not looked at"))
            break
        value = _field(name, block)
        fields[name] = Unsound("it is there twice") if name in fields else value
    return fields


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Each field with its lines; lines before the first field are skipped."""
    name, lines = "", list[str]()
    for line in text.split("\n"):
        field = _FIELD.match(line)
        if field:
            if lines:
                yield name, "\n".join(lines)
            name, lines = (field[2] or field[3]).strip(), [line]
        elif lines:
            lines.append(line)
    if lines:
        yield name, "\n".join(lines)


def _field(name: str, block: str) -> Any:
    """The value of one field, read as YAML; on a single line that is invalid YAML, the text after the colon."""
    import yaml

    try:
        values = _value(block)
        if isinstance(values, dict) and len(values) == 1:
            return next(iter(values.values()))
    except (yaml.YAMLError, _Beyond, ValueError) as error:
        lines = [line for line in block.split("\n") if line.strip()]
        if len(lines) > 1 or isinstance(error, _Beyond):
            return Unsound(str(error) if isinstance(error, _Beyond) else "it is no sound YAML")
    match = _FIELD.match(block)
    text = _COMMENT.sub("", block[match.end() :]).strip() if match else ""
    return text or None


class _Beyond(Exception):
    """The value exceeds the limits of what is read."""


def _value(text: str) -> Any:
    """The value of one YAML document. Raises `_Beyond`, and yaml.YAMLError."""
    import yaml

    nest: list[tuple[bool, list[Any]]] = []  # containers that are open: whether it is a mapping, and what it holds
    anchors: dict[str, str] = {}
    for count, event in enumerate(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))):
        if count > 4 * MOST_VALUES:
            raise _Beyond(f"it has more than {MOST_VALUES:,} values")
        if isinstance(event, yaml.CollectionStartEvent):
            nest.append((isinstance(event, yaml.MappingStartEvent), []))
            if len(nest) > DEEPEST + 2:
                raise _Beyond(f"it is nested more than {DEEPEST} deep")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            value = _closed(*nest.pop())
        elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            raw = _raw(event, anchors)
            is_key = bool(nest) and nest[-1][0] and len(nest[-1][1]) % 2 == 0
            value = raw if is_key or not getattr(event, "implicit", (True,))[0] else typed(raw)
        else:
            continue
        if not nest:
            return value
        nest[-1][1].append(value)
    return None


def _raw(event: Any, anchors: dict[str, str]) -> str:
    """The text of a scalar, or of the scalar that an alias names."""
    if hasattr(event, "value"):
        if event.anchor:
            anchors[event.anchor] = event.value
        return event.value
    if event.anchor not in anchors:
        raise _Beyond("it refers to another part of the front matter")
    return anchors[event.anchor]


def _closed(is_mapping: bool, items: list[Any]) -> Any:
    if not is_mapping:
        return items
    names = items[::2]
    if not all(isinstance(name, str) for name in names):
        raise _Beyond("it has a name that is no text")
    return dict(zip(names, items[1::2], strict=True))


def typed(text: str) -> Any:
    """A scalar without quotes as what it is."""
    if text in _NOTHING:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if not text[0].isdigit() and text[0] != "-":
        return text
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text):
        return text if math.isinf(number := float(text)) else number
    return _time(text)


def _time(text: str) -> Any:
    """A day or a moment; a moment without an offset is one of UTC, as YAML says. Other texts as they are."""
    match = _TIME.match(text)
    if not match:
        return text
    day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    try:
        if hour is None:
            return datetime.date.fromisoformat(day)
        zone = f"{sign}{hours:0>2}:{minutes or '00'}" if sign else "+00:00"
        return datetime.datetime.fromisoformat(
            f"{day}T{hour:0>2}:{minute}:{second or '00'}{(fraction or '')[:7]}{zone}"
        )
    except ValueError:
        return text
