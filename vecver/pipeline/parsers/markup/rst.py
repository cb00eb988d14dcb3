"""Converts reStructuredText to Markdown with `#` headings. No input raises, and every step is linear.

Headings, code, tables, admonitions and the commonest inline markup are converted, and defined substitutions expanded.
Comments are dropped. Everything else stays as written.

Decisions
1. Only substitutions of at most `LONGEST_SUBSTITUTE` characters are expanded, and only an admonition's body of at most
   `LONGEST_MOVED` lines is moved to the left: without limits both could cost more than linear time.
2. Comments are dropped, since they are notes to the writers. An unknown directive stays as written.
3. Heading levels follow the order in which adornments appear, from 1 down to at most 6.
"""

from __future__ import annotations

import re
from typing import Final

from vecver.pipeline.parsers.markup.markdown import fence, heading, joined, table
from vecver.pipeline.parsers.markup.rst_tables import (
    closes_simple_table,
    csv_table,
    grid_table,
    list_table,
    opens_simple_table,
    simple_table,
)

LONGEST_SUBSTITUTE: Final = 200  # characters
LONGEST_MOVED: Final = 300  # lines of an admonition

_ADORNMENT: Final = re.compile(r"([!-/:-@\[-`{-~])\1{2,}+\s*+$")
_RST_CODE: Final = re.compile(
    r"(\s*+)\.\. (?:code-block|code|sourcecode|highlight|parsed-literal)::\s*+([\w+-]*+)\s*+$"
)
_RST_TARGET: Final = re.compile(r"\s*+\.\. _[^:]++:\s*+$")
_RST_LINK: Final = re.compile(r"`([^`<>]++)<([^`<>]++)>`__?")
_RST_ROLE: Final = re.compile(r":([a-zA-Z][\w:.+-]{0,60}):`([^`<]*+)(?:<([^`>]*+)>)?`")
_RST_NAMED_ROLES: Final = {"pep": "PEP", "rfc": "RFC"}
_RST_FIELD: Final = re.compile(r":?([A-Z][\w-]{0,40}):[ \t]++(\S.*)")


_DIRECTIVE: Final = re.compile(r"(\s*+)\.\.[ \t]++([A-Za-z][\w-]*+(?::[\w-]++)*+)::(?:[ \t]++(.*))?$")
_DEFINED: Final = re.compile(r"\s*+\.\.[ \t]++\|([^|\s][^|\n]*+)\|[ \t]++(replace|unicode|image)::[ \t]*+(.*)$")
_NOTE: Final = re.compile(r"(\s*+)\.\.[ \t]++(\[[^\]\s]++\])[ \t]++(\S.*)$")
_COMMENT: Final = re.compile(r"(\s*+)\.\.(?:[ \t]++(?![_|\[]|__)(\S.*))?[ \t]*+$")
_OPTION: Final = re.compile(r"\s*+:([\w-]++):(?:[ \t]++(.*))?$")
_USE: Final = re.compile(r"\|([^|\s][^|\n]{0,100}+)\|_{0,2}")
_CODE_POINT: Final = re.compile(r"(?:0x|x|\\x|U\+|u|\\u|&#x)([0-9A-Fa-f]{2,6});?")
_ADMONITIONS: Final = {
    **{name: name.capitalize() for name in ("note", "warning", "tip", "caution", "danger", "important", "hint",
                                            "attention", "error", "todo")},
    "seealso": "See also", "versionadded": "Added in version", "versionchanged": "Changed in version",
    "deprecated": "Deprecated since version", "versionremoved": "Removed in version",
}  # fmt: skip
_TITLED: Final = ("admonition", "topic", "sidebar", "rubric", "table", "container", "epigraph", "highlights", "figure",
                  "pull-quote", "compound", "image")  # fmt: skip


def rst(text: str) -> str:
    lines = text.replace("\0", "").split("\n")
    defined = _substitutes(lines)
    last_border = max((i for i in range(len(lines)) if closes_simple_table(lines, i)), default=-1)
    title = _rst_field_title(lines)
    levels: dict[tuple[str, bool], int] = {}  # (adornment, overlined) -> level, in order of appearance
    deeper = 1 if title else 0
    out: list[str] = [heading(1, title), ""] if title else []
    i = 0
    while i < len(lines):
        line = lines[i]
        if section := _rst_heading(lines, i):
            name, style, taken = section
            level = levels.setdefault(style, len(levels) + 1) + deeper
            out += [heading(level, _rst_inline(name, defined)), ""]
            i += taken
        elif tabled := _rst_table(lines, i, last_border):
            rows, i = tabled
            out += ["", table([[_rst_inline(cell, defined) for cell in row] for row in rows])]
        elif line.lstrip().startswith(".."):
            pieces, i = _rst_explicit(lines, i, defined)
            out += pieces
        elif literal := _rst_literal(lines, i):
            paragraph, body, i = literal
            out += [_rst_inline(paragraph, defined), "", fence(body)]
        else:
            out += [_rst_inline(line, defined)]
            i += 1
    return joined(out)


def _rst_table(lines: list[str], i: int, last_border: int) -> tuple[list[list[str]], int] | None:
    if i < last_border and opens_simple_table(lines[i]):
        return simple_table(lines, i)
    return grid_table(lines, i) if lines[i].lstrip().startswith("+") else None


def _rst_explicit(lines: list[str], i: int, defined: dict[str, str]) -> tuple[list[str], int]:
    """The Markdown lines for the explicit markup (`..`) at line i, and the line after it."""
    line = lines[i]
    if code := _RST_CODE.match(line):
        body, i = _indented(lines, i + 1, len(code[1]))
        return ([fence(_without_options(body), code[2])] if body else []), i
    if directive := _DIRECTIVE.match(line):
        return _rst_directive(lines, i, directive, defined)
    if substitute := _DEFINED.match(line):
        margin = len(line) - len(line.lstrip())
        return ([], _indented(lines, i + 1, margin)[1]) if substitute[1] in defined else ([line], i + 1)
    if note := _NOTE.match(line):
        return [f"{note[1]}{note[2]} {_rst_inline(note[3], defined)}"], i + 1
    if _RST_TARGET.match(line):
        return [], i + 1
    if comment := _COMMENT.match(line):
        followed = comment[2] or (i + 1 < len(lines) and lines[i + 1].strip())
        return [], _indented(lines, i + 1, len(comment[1]))[1] if followed else i + 1
    return [_rst_inline(line, defined)], i + 1


def _rst_directive(lines: list[str], i: int, opening: re.Match[str], defined: dict[str, str]) -> tuple[list[str], int]:
    """A directive as Markdown: tables as tables, admonitions under their label, others as written."""
    margin, name, argument = len(opening[1]), opening[2].lower(), (opening[3] or "").strip()
    title = _rst_inline(argument, defined)
    titled = [f"**{title}**", ""] if title else []
    if name in ("list-table", "csv-table"):
        body, after = _indented(lines, i + 1, margin)
        options = _options(body)
        body = _without_options(body)
        if not body:
            return [lines[i], *lines[i + 1 : after]], after
        cells = list_table(body) if name == "list-table" else _csv(options, body)
        return [*titled, table([[_rst_inline(cell, defined) for cell in row] for row in cells])], after
    if name not in _ADMONITIONS and name not in _TITLED:
        return [_rst_inline(lines[i], defined)], i + 1
    after = i + 1
    while after < len(lines) and lines[after][: margin + 1].isspace() and _OPTION.match(lines[after]):
        after += 1
    options = _options("\n".join(line.strip() for line in lines[i + 1 : after]))
    _move_left(lines, after, margin)
    if name in ("figure", "image"):
        return [f"![{options.get('alt', '')}]({argument})", ""], after
    label = f"**{_ADMONITIONS[name]}:** {title}".rstrip() if name in _ADMONITIONS else ""
    return ([label] if label else titled), after


def _csv(options: dict[str, str], body: str) -> list[list[str]]:
    return csv_table(options.get("header", ""), body, options.get("delim", ""))


def _move_left(lines: list[str], i: int, margin: int) -> None:
    """Dedent the block from line i on, in place, if it has at most `LONGEST_MOVED` lines."""
    after = i
    while after < len(lines) and (not lines[after].strip() or lines[after][: margin + 1].isspace()):
        after += 1
        if after - i > LONGEST_MOVED:
            return
    block = lines[i:after]
    depth = min((len(line) - len(line.lstrip()) for line in block if line.strip()), default=margin)
    lines[i:after] = [line[:margin] + line[depth:] for line in block]


def _options(body: str) -> dict[str, str]:
    """The `:option: value` lines at the top of a directive's body."""
    options: dict[str, str] = {}
    for line in body.split("\n"):
        option = _OPTION.match(line)
        if not option:
            break
        options[option[1]] = (option[2] or "").strip()
    return options


def _substitutes(lines: list[str]) -> dict[str, str]:
    """The replacement of each `|name|` that the document defines."""
    defined: dict[str, str] = {}
    for i, line in enumerate(lines):
        if "|" not in line or not (entry := _DEFINED.match(line)):
            continue
        name, kind, value = entry[1], entry[2], entry[3].strip()
        if kind == "replace":
            following = lines[i + 1 : i + 4]
            more = next((n for n, later in enumerate(following) if not later[:1].isspace() or not later.strip()), 3)
            value = " ".join([value, *(later.strip() for later in following[:more])]).strip()
        elif kind == "unicode":
            words = value.partition(" .. ")[0].split()
            value = "".join(chr(int(code[1], 16)) if (code := _CODE_POINT.fullmatch(w)) and int(code[1], 16) < 0xD800
                            else w for w in words)  # fmt: skip
        else:
            alt = next((o[2] for later in lines[i + 1 : i + 6] if (o := _OPTION.match(later)) and o[1] == "alt"), None)
            value = alt or value.rpartition("/")[2]
        if value and len(value) <= LONGEST_SUBSTITUTE:
            defined[name] = value
    return defined


def _rst_field_title(lines: list[str]) -> str:
    """The title that a document's first lines name in a field list or in headers like a mail's (as PEPs do), or ""."""
    title: list[str] = []
    for line in lines[:40]:
        if title and line[:1].isspace() and line.strip():
            title.append(line.strip())
        elif title:
            break
        elif (field := _RST_FIELD.match(line)) and field[1].lower() == "title":
            title.append(field[2])
        elif line.strip() and not field and not line[0].isspace() and not line.startswith((":", "..")):
            break
    return " ".join(title)


def _rst_heading(lines: list[str], i: int) -> tuple[str, tuple[str, bool], int] | None:
    """(title, style, lines taken) if a section title begins at line i."""
    line = lines[i]
    following = lines[i + 1] if i + 1 < len(lines) else ""
    if not line.strip() or not following.strip() or (i and lines[i - 1].strip()):
        return None
    if _ADORNMENT.match(line):
        closed = i + 2 < len(lines) and lines[i + 2].rstrip() == line.rstrip() and not _ADORNMENT.match(following)
        return (following.strip(), (line[0], True), 3) if closed else None
    under = following.rstrip()
    long_enough = len(under) >= min(4, len(line.rstrip()))
    if line[0].isspace() or not _ADORNMENT.match(under) or not long_enough:
        return None
    return line.strip(), (under[0], False), 2


def _rst_literal(lines: list[str], i: int) -> tuple[str, str, int] | None:
    """(the line, the literal block that its "::" opens, the line after) if line i opens one."""
    line = lines[i].rstrip()
    if not line.endswith("::") or line.lstrip().startswith(".. "):
        return None
    body, after = _indented(lines, i + 1, len(line) - len(line.lstrip()))
    return (line[:-1] if line.strip() != "::" else "", body, after) if body else None


def _indented(lines: list[str], i: int, margin: int) -> tuple[str, int]:
    """The block that is indented deeper than `margin` from line i on, dedented; and the line after it."""
    start = i
    while i < len(lines) and (not lines[i].strip() or lines[i][: margin + 1].isspace()):
        i += 1
    block = lines[start:i]
    depth = min((len(line) - len(line.lstrip()) for line in block if line.strip()), default=0)
    while i > start and not lines[i - 1].strip():
        i -= 1
    return "\n".join(line[depth:] for line in block).strip("\n"), i


def _without_options(body: str) -> str:
    """A directive's body without the `:option: value` lines at its top."""
    return re.sub(r"\A(?::[\w-]+:[^\n]*\n)+\n?", "", body + "\n").strip("\n")


def _rst_inline(line: str, defined: dict[str, str]) -> str:
    if defined and "|" in line:
        line = _USE.sub(lambda use: defined.get(use[1], use[0]), line)
    if "`" not in line:
        return line
    return _RST_ROLE.sub(_rst_role, _RST_LINK.sub(_rst_link, line))


def _rst_role(match: re.Match[str]) -> str:
    text = match[2].strip() or (match[3] or "").strip()
    named = _RST_NAMED_ROLES.get(match[1].lower().rpartition(":")[2])
    if named and match[3] is None:
        return f"{named} {text}"
    return text if named else f"`{text}`"


def _rst_link(match: re.Match[str]) -> str:
    return f"[{match[1].rstrip() or match[1][:1]}]({match[2]})"
