"""Reads the fields at the head of reStructuredText, AsciiDoc and Org documents, each with its type.

Decisions
1. Only names that describe the document are taken: most attributes of AsciiDoc and keywords of Org are settings
   (`:toc:`, `#+OPTIONS:`).
2. An RST field list counts if it stands first or right after the title, as in docutils, and so do the header lines of a
   PEP.
"""

from __future__ import annotations

import re
from typing import Any, Final

from vecver.pipeline.parsers.markup.front_matter import typed
from vecver.pipeline.parsers.properties import Fields, keywords, people

LINES: Final = 200  # lines read at the head of a text

_RST_FIELD: Final = re.compile(r":([A-Za-z][\w -]{0,60}):(?:[ \t]+(.*))?$")
_PEP_FIELD: Final = re.compile(r"([A-Z][\w-]{0,40}):[ \t]+(.*)$")
_ADOC_FIELD: Final = re.compile(r":([A-Za-z][\w-]{0,60}):[ \t]+(\S.*)$")
_ADOC_AUTHOR: Final = re.compile(r"([^\W\d_][\w.'-]*(?: [\w.'-]+){0,2})(?:[ \t]+<([^<>\s]+@[^<>\s]+)>)?$")
_ADOC_REVISION: Final = re.compile(r"(?:v?(\d[\w.]*),?)?[ \t]*(\d{4}-\d\d-\d\d)?(?::.*)?$")
_ORG_FIELD: Final = re.compile(r"#\+([A-Za-z_]+):[ \t]+(\S.*)$")
_ORG_DATE: Final = re.compile(r"[<\[](\d{4}-\d\d-\d\d)\b[^<>\[\]]*[>\]]$")
_UNDERLINE: Final = re.compile(r"([=\-~^\"'`#*+:.<>_])\1{2,}[ \t]*$")

_NAMES: Final = {  # names in the formats -> field names
    **{name: name for name in ("author", "date", "version", "status", "organization", "contact", "copyright", "email")},
    **{name: name for name in ("description", "keywords", "language", "address", "revision", "category", "tags")},
    **{"authors": "author", "revdate": "date", "revnumber": "version", "lang": "language", "filetags": "tags"},
}


def rst_fields(text: str) -> Fields:
    lines = text.split("\n", LINES)[:LINES]
    at = _after_title(lines)
    pattern = _RST_FIELD
    if at == 0 and _PEP_FIELD.match(lines[0]) and len(lines) > 1 and _PEP_FIELD.match(lines[1]):
        pattern = _PEP_FIELD
    fields: dict[str, str] = {}
    name = ""
    for line in lines[at:]:
        if field := pattern.match(line):
            name = field[1].strip().lower()
            fields[name] = (field[2] or "").strip()
        elif name and line[:1] in (" ", "\t") and line.strip():
            fields[name] += f" {line.strip()}"
        else:
            break
    if pattern is _PEP_FIELD:
        return {name.replace("-", "_"): _valued(name, value) for name, value in fields.items() if value}
    return _usual(fields)


def _after_title(lines: list[str]) -> int:
    """The line at which a field list may begin: after blank lines and one title."""
    at = _past_blank(lines, 0)
    if at + 2 < len(lines) and _UNDERLINE.match(lines[at]) and _UNDERLINE.match(lines[at + 2]):
        return _past_blank(lines, at + 3)
    if at + 1 < len(lines) and lines[at][:1].isalnum() and _UNDERLINE.match(lines[at + 1]):
        return _past_blank(lines, at + 2)
    return at


def _past_blank(lines: list[str], at: int) -> int:
    while at < len(lines) and not lines[at].strip():
        at += 1
    return at


def adoc_fields(text: str) -> Fields:
    """The fields of the header: the lines from the title to the first blank line, or attributes without a title."""
    lines = text.split("\n", LINES)[:LINES]
    at = _past_blank(lines, 0)
    fields: dict[str, str] = {}
    since_title = 0 if at < len(lines) and lines[at].startswith("= ") else LINES
    for line in lines[at + (since_title == 0) :]:
        since_title += 1
        if field := _ADOC_FIELD.match(line.rstrip()):
            fields[field[1].lower()] = field[2]
        elif not line.strip():
            break
        elif since_title == 1 and line[:1].isalpha():
            authors = [_ADOC_AUTHOR.match(part.strip()) for part in line.split(";")]
            if all(authors):
                fields["author"] = "; ".join(author[1] for author in authors if author)
                mails = [author[2] for author in authors if author and author[2]]
                fields |= {"email": mails[0]} if mails else {}
        elif since_title == 2 and (revision := _ADOC_REVISION.match(line)):
            fields |= {name: value for name, value in (("version", revision[1]), ("date", revision[2])) if value}
    return _usual(fields)


def org_fields(text: str) -> Fields:
    """The fields of keywords before the first headline."""
    fields: dict[str, str] = {}
    for line in text.split("\n", LINES)[:LINES]:
        if line.startswith("* "):
            break
        if field := _ORG_FIELD.match(line.rstrip()):
            fields[field[1].lower()] = field[2]
    if date := _ORG_DATE.match(fields.get("date", "")):
        fields["date"] = date[1]
    if "filetags" in fields:
        fields["filetags"] = fields["filetags"].strip(":").replace(":", ",").replace(" ", ",")
    return _usual(fields)


def _usual(fields: dict[str, str]) -> Fields:
    return {_NAMES[name]: _valued(_NAMES[name], value) for name, value in fields.items() if name in _NAMES and value}


def _valued(name: str, value: str) -> Any:
    if name in ("keywords", "tags"):
        return keywords(value)
    return people(value) if name == "author" else typed(value)
