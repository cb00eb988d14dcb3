"""Converts AsciiDoc and Org to Markdown with `#` headings.

It converts what a chunker and a reader need: headings with their levels, code blocks, and the commonest inline markup.
Everything else stays as written. No input raises, and every step is linear.

Decisions
1. An AsciiDoc attribute of at most `LONGEST_ATTRIBUTE` characters replaces `{name}` in text and tables. Many uses of a
   longer one would cost more than linear time. In code it is not replaced, as in Asciidoctor.
2. A regular expression is linear if no two of its repetitions can match the same run of characters, and no attempt
   runs past the place where the next could begin. So repetitions are possessive, and what stands at the end of a line
   (closing marks, tags, spaces) is removed by string methods instead of a lazy `.*?`.
3. These small converters get 125 of 133 headings of RST, AsciiDoc and Org right on converted documentation pages.
   pandoc would do better, but it is GPL and 155 MB.
4. Heading levels are those the document uses, from 1 down to at most 6, one deeper if an Org document has a title.
"""

from __future__ import annotations

import re
from typing import Final

from vecver.pipeline.parsers.markup.asciidoc_tables import opens_table, table_rows
from vecver.pipeline.parsers.markup.markdown import fence, heading, joined, table, unclosed

LONGEST_ATTRIBUTE: Final = 200  # characters of an attribute that is expanded

# -- AsciiDoc ----------------------------------------------------------------------------------

_ADOC_HEADING: Final = re.compile(r"(={1,6})[ \t]++(\S.*)")
_ADOC_SOURCE: Final = re.compile(r"\[(?:source)?\s*+,\s*+([\w+-]++)[^\]]*+\]\s*+$")
_ADOC_BLOCK: Final = re.compile(r"(-{4,}+|\.{4,}+|`{3,}+)\s*+([\w+-]*+)\s*+$")
_ADOC_DELIMITER: Final = re.compile(r"(?:={4,}+|\*{4,}+|_{4,}+|\+{4,}+|--|!={3,}+)\s*+$")
_ADOC_DROPPED: Final = re.compile(r"(?://(?!/).*|:!?[\w-]+!?:.*|\[[^\]]*\]|\[\[[^\]]*\]\])\s*$")
_ADOC_LINK: Final = re.compile(r"(?:\b(?:link|xref):|\b(?=https?://))([^\s\[\]]{1,500}+)\[([^\]]*+)\]")
_ADOC_XREF: Final = re.compile(r"<<[^<>,]++,([^<>]++)>>")
_ADOC_ATTRIBUTE: Final = re.compile(r":([A-Za-z_][\w-]*+):[ \t]++(\S.*)")
_ADOC_USE: Final = re.compile(r"(?<!\\)\{([A-Za-z_][\w-]{0,60}+)\}")
_ADOC_LABEL: Final = re.compile(r"\[(NOTE|TIP|IMPORTANT|WARNING|CAUTION)(?:[.#,%][^\]]*+)?\]\s*+$")
_ADOC_QUOTED: Final = re.compile(r"\[(?:quote|verse)\s*+,([^\]]++)\]\s*+$")
_ADOC_UNDERLINES: Final = "=-~^+"


def asciidoc(text: str) -> str:
    lines = text.split("\n")
    out: list[str] = []
    language = attributes = ""
    defined: dict[str, str] = {}
    i = 0
    while i < len(lines):
        line = lines[i]
        if "{" in line:
            line = lines[i] = _ADOC_USE.sub(lambda use: defined.get(use[1].lower(), use[0]), line)
        before = attributes
        attributes = line if line.startswith("[") else attributes if line.startswith(".") else ""
        if titled := _adoc_heading(lines, i):
            level, title, taken = titled
            out += [heading(level, title), ""]
            i += taken
        elif line.startswith("////"):
            _, i = _until(lines, i + 1, line.rstrip())
        elif opens_table(line):
            body, i = _until(lines, i + 1, line.rstrip())
            body = _ADOC_USE.sub(lambda use: defined.get(use[1].lower(), use[0]), body) if defined else body
            rows = table_rows(line, before, body)
            out += [
                "",
                table([_adoc_inline(cell) if "[" in cell or "<<" in cell else cell for cell in row] for row in rows),
            ]
        elif block := _ADOC_BLOCK.match(line):
            body, i = _until(lines, i + 1, block[1])
            out += [fence(body, language or block[2])]
            language = ""
        else:
            source = _ADOC_SOURCE.match(line)
            out += _adoc_attribute_lines(line, defined) if line.startswith((":", "[")) else []
            language = source[1] if source else ("" if line.strip() else language)
            if not (source or _ADOC_DELIMITER.match(line) or _ADOC_DROPPED.match(line)):
                out += [_adoc_inline(line)]
            i += 1
    return joined(out)


def _adoc_attribute_lines(line: str, defined: dict[str, str]) -> list[str]:
    """The Markdown of a line of settings; a definition of an attribute is added to `defined`."""
    if (setting := _ADOC_ATTRIBUTE.match(line)) and len(setting[2]) <= LONGEST_ATTRIBUTE:
        defined[setting[1].lower()] = setting[2].rstrip()
    elif label := _ADOC_LABEL.match(line):
        return [f"**{label[1].capitalize()}:**", ""]
    elif quoted := _ADOC_QUOTED.match(line):
        return [f"Quoted from {', '.join(filter(None, map(str.strip, quoted[1].split(','))))}:", ""]
    return []


def _adoc_heading(lines: list[str], i: int) -> tuple[int, str, int] | None:
    """(level, title, lines taken) of a `== Title` or an old underlined one at line i."""
    if match := _ADOC_HEADING.match(lines[i]):
        return len(match[1]), unclosed(match[2], "="), 1
    title = lines[i].rstrip()
    under = lines[i + 1].rstrip() if i + 1 < len(lines) else ""
    alone = i == 0 or not lines[i - 1].strip()
    lined = len(title) > 2 and abs(len(under) - len(title)) <= 1 and under == under[0] * len(under)
    if alone and lined and under[0] in _ADOC_UNDERLINES and title[0] not in ".[|:" + under[0]:
        return 1 + _ADOC_UNDERLINES.index(under[0]), title, 2
    return None


def _until(lines: list[str], i: int, delimiter: str) -> tuple[str, int]:
    """The lines from i up to the one that is `delimiter`, and the line after it."""
    start = i
    while i < len(lines) and lines[i].rstrip() != delimiter:
        i += 1
    return "\n".join(lines[start:i]), i + 1


def _adoc_inline(line: str) -> str:
    if line.startswith(".") and line[1:2].isalnum():
        return f"**{line[1:].strip()}**"  # a block's title
    last = line.rfind("]") + 1  # no link ends after it, and none of those that begin before runs further
    line = _ADOC_LINK.sub(r"[\2](\1)", line[:last]) + line[last:]
    return _ADOC_XREF.sub(lambda m: m[1].lstrip() or m[1][-1:], line)


# -- Org ---------------------------------------------------------------------------------------

_ORG_HEADING: Final = re.compile(r"(\*++)[ \t]++(?:(?:TODO|DONE)[ \t]++)?+(?:\[#\w\][ \t]*+)?+(.*)")
_ORG_TAGS: Final = re.compile(r":[\w@#%:]++")
_ORG_TITLE: Final = re.compile(r"#\+TITLE:(.*)", re.I)
_ORG_BLOCK: Final = re.compile(r"\s*#\+BEGIN_(SRC|EXAMPLE)\b[ \t]*([\w+-]*)", re.I)
_ORG_DROPPED: Final = re.compile(r"\s*(?:#\+\w+.*|#( .*)?|:[A-Za-z_-]+:( .*)?)$")
_ORG_KEYWORD: Final = re.compile(r"\s*+#\+(SUBTITLE|AUTHOR|DATE|DESCRIPTION|CAPTION|INCLUDE):[ \t]*+(\S.*)", re.I)
_ORG_TABLE: Final = re.compile(r"\s*+\|")
_ORG_RULE: Final = re.compile(r"\s*+\|-[-+|\s]*+$")
_ORG_LINK: Final = re.compile(r"\[\[([^\[\]]+)\](?:\[([^\[\]]+)\])?\]")


def org(text: str) -> str:
    lines = text.split("\n")
    titles = (match[1].lstrip(" \t").rstrip() for line in lines[:100] if (match := _ORG_TITLE.match(line)))
    title = next(filter(None, titles), "")
    deeper = 1 if title else 0
    out = [heading(1, title), ""] if title else []
    i = 0
    while i < len(lines):
        if match := _ORG_HEADING.match(lines[i]):
            out += [heading(len(match[1]) + deeper, _org_inline(_org_untagged(match[2]))), ""]
        elif block := _ORG_BLOCK.match(lines[i]):
            body, i = _org_block(lines, i + 1, block[1].upper())
            out += [fence(body, block[2] if block[1].upper() == "SRC" else "")]
            continue
        elif _ORG_TABLE.match(lines[i]):
            rows, i = _org_table(lines, i)
            out += ["", table(rows)]
            continue
        elif keyword := _ORG_KEYWORD.match(lines[i]):
            name, value = keyword[1].capitalize(), _org_inline(keyword[2].rstrip())
            out += [f"**{value}**" if name == "Caption" else f"{name}: {value}", ""]
        elif not _ORG_DROPPED.match(lines[i]):
            out += [_org_inline(lines[i])]
        i += 1
    return joined(out)


def _org_table(lines: list[str], i: int) -> tuple[list[list[str]], int]:
    """The rows of the table that begins at line i, and the line after it."""
    rows = []
    while i < len(lines) and _ORG_TABLE.match(lines[i]):
        if not _ORG_RULE.match(lines[i]):
            rows.append([cell.strip() for cell in _org_inline(lines[i].strip()).strip("|").split("|")])
        i += 1
    return rows, i


def _org_untagged(title: str) -> str:
    """A heading without the tags at its end."""
    title = title.rstrip(" \t")
    at = max(title.rfind(" "), title.rfind("\t")) + 1
    tags = at > 0 and len(title) - at > 2 and title.endswith(":") and _ORG_TAGS.fullmatch(title, at)
    return title[:at].rstrip(" \t") if tags else title


def _org_block(lines: list[str], i: int, kind: str) -> tuple[str, int]:
    start = i
    while i < len(lines) and lines[i].strip().upper() != f"#+END_{kind}":
        i += 1
    block = lines[start:i]
    depth = min((len(line) - len(line.lstrip()) for line in block if line.strip()), default=0)
    return "\n".join(line[depth:] for line in block), i + 1


def _org_inline(line: str) -> str:
    return _ORG_LINK.sub(lambda m: f"[{m[2]}]({m[1]})" if m[2] else m[1], line)
