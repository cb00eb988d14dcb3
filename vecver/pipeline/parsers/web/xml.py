"""Converts XML to Markdown with `#` headings: prose, tables, records and attributes.

Titles become headings, and CALS and HTML-like tables become tables. An element whose children are all short fields
becomes "name: value" lines. Attributes follow their element's name: "case (name: opens slowly)". Attributes that only
identify, point or lay out (`id`, `href`, `align`, ...) are left out.

Decisions
1. XML is parsed strictly, without DTD or network. If lxml refuses it, the tags are removed and all text is kept; lxml's
   recovery would drop everything after the error.
2. Entities that the document defines as plain text are expanded. Others stay as "&name;", and a note names them. Nested
   entities are not expanded: ten lines of them can stand for gigabytes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from vecver.pipeline.parsers.coverage import Content, Part
from vecver.pipeline.parsers.markup.markdown import fence, heading
from vecver.pipeline.parsers.web.feeds import feed_content, name_of
from vecver.pipeline.parsers.web.html import html_content, replace_by_text

Element = Any  # lxml.etree._Element; lxml has no types of its own


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


_DECLARATION: Final = re.compile(r"\s*<\?xml[^>]*\?>")
_TITLES: Final = ("title", "head", "heading", "article-title")
_TABLES: Final = ("table", "informaltable", "tgroup", "simpletable", "TABLE")
_ROWS: Final = ("row", "tr", "strow", "sthead", "TR")
_PROSE: Final = ("p", "para", "simpara", "li", "listitem", "entry", "ab", "l", "ul", "ol", "sec", "section")
_INSIDE_WORDS: Final = _names(
    "b i em strong u s sub sup subscript superscript bold italic hi emph emphasis span sc smallcaps tt code font c g"
)
_LONGEST_FIELD: Final = 500  # characters of a record's field
_EXPANDED: Final = 1_000_000  # characters that a document's own entities may stand for
_CODES: Final = _names(
    "id idref ref refid href src url uri xmlns schemaLocation noNamespaceSchemaLocation lang space base style class "
    "role rend rendition align valign cols colwidth colname colnum colspan rowspan namest nameend morerows rowsep "
    "colsep frame rowheader pgwide linkend guid uuid points transform viewBox"
)
_ADDRESS: Final = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9+.-]*://|mailto:|urn:|#)")
_TAG: Final = re.compile(r"<[/?!A-Za-z_][^<>]*>")
_VALUE: Final = re.compile(r"""=\s*(?:"([^"]*)"|'([^']*)')""")


def xml_content(document: str) -> Content:
    """The document as Markdown, with all its text and attributes to compare with."""
    root, notes = _tree(document)
    if root is None:
        return Content(_without_tags(document))
    if name_of(root) == "html":
        return html_content(document)
    feed = feed_content(root)
    if feed is not None:
        return feed
    _separate(root)
    text = "\n\n".join(_blocks(root)) or fence(document, "xml")
    attribute_values = [value for element in root.xpath("//*[@*]") for value in _attributes(element).values()]
    return Content(text, "", [Part("", " ".join(["".join(root.itertext()), *attribute_values]))], notes=notes)


def _separate(root: Element) -> None:
    """Put spaces around every element except those used inside words, so that words do not run together."""
    for element in root.iter():
        name = name_of(element)
        if name and name not in _INSIDE_WORDS:
            element.text = " " + (element.text or "")
            element.tail = " " + (element.tail or "")


def _tree(document: str) -> tuple[Element | None, Sequence[str]]:
    from lxml import etree

    declaration = _DECLARATION.match(document)
    undeclared = document[declaration.end() :] if declaration else document
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True,
                             remove_pis=True, encoding="utf-8")  # fmt: skip
    try:
        root = etree.fromstring(undeclared.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:
        return None, ()
    return root, _expand(root)


def _expand(root: Element) -> Sequence[str]:
    """Expand entities that the document defines; returns a note that names the others."""
    from lxml import etree

    references = list(root.iter(etree.Entity))
    if not references:
        return ()
    definitions = root.getroottree().docinfo.internalDTD
    texts = {each.name: each.content or "" for each in definitions.iterentities()} if definitions is not None else {}
    unknown, budget = [], _EXPANDED
    for reference in references:
        text = texts.get(reference.name, "")
        if not text or "&" in text or "<" in text or len(text) > budget:
            unknown.append(reference.name)
            continue
        budget -= len(text)
        replace_by_text(reference, text)
    names = ", ".join(f"'{name}'" for name in dict.fromkeys(unknown[:5]))
    return (
        (f"What the entities {names} stand for is not read: it is outside of the document or nested.",)
        if unknown
        else ()
    )


def _attributes(element: Element) -> dict[str, str]:
    """The attributes that carry text, by their names without namespaces."""
    attributes = element.items()
    if not attributes:
        return {}
    kept: dict[str, str] = {}
    for name, value in attributes:
        short = name.rpartition("}")[2]
        if short not in _CODES and value.strip() and not _ADDRESS.match(value):
            kept[name if short in kept else short] = " ".join(value.split())
    return kept


def _without_tags(document: str) -> str:
    """All text of a document that is not well-formed, with the quoted values in its tags."""
    text = re.sub(r"<!\[CDATA\[|\]\]>", "\n", document)
    text = _TAG.sub(lambda tag: "\n" + "\n".join(a or b for a, b in _VALUE.findall(tag[0])) + "\n", text)
    lines = html.unescape(text).split("\n")
    return "\n\n".join(line.strip() for line in lines if line.strip())


# -- blocks ------------------------------------------------------------------------------------


def _blocks(root: Element) -> Iterator[str]:
    """A heading for each title and a paragraph for each element with direct text, in document order."""
    waiting: list[tuple[Element, int]] = [(root, 1)]
    while waiting:
        element, depth = waiting.pop()
        name = name_of(element)
        if not name:
            continue
        if name in _TABLES and (block := _table(element)):
            yield block
        elif _has_text(element):
            yield _paragraph(element, name, depth)
        elif _is_record(element):
            yield _record(element)
        else:
            if label := _label(element):
                yield label
            waiting += [(child, depth + 1) for child in reversed(element)]


def _has_text(element: Element) -> bool:
    if (text := element.text) and not text.isspace():
        return True
    return len(element) > 0 and any((tail := child.tail) and not tail.isspace() for child in element)


def _label(element: Element) -> str:
    """An element's name with its attributes; "" without attributes."""
    if not (attributes := _attributes(element)):
        return ""
    pairs = "; ".join(f"{name}: {value}" for name, value in attributes.items())
    return f"{name_of(element)} ({pairs})"


def _text(element: Element) -> str:
    if not len(element):
        return " ".join((element.text or "").split())
    return " ".join("".join(element.itertext()).split())


def _inner(element: Element) -> str:
    """The text of an element, followed by the attributes inside it."""
    if not len(element):
        return _text(element)
    labels = [_label(child) for child in element.iterdescendants() if name_of(child)]
    return " ".join([_text(element), *filter(None, labels)])


def _paragraph(element: Element, name: str, depth: int) -> str:
    label, text = _label(element), _inner(element)
    if name in _TITLES:
        return heading(depth - 1 or 1, text) + (f"\n\n{label}" if label else "")
    return f"{label}: {text}" if label else text


def _is_record(element: Element) -> bool:
    if len(element) < 2:
        return False
    names = {name_of(child) for child in element}
    if len(names) < 2 or names.intersection(_PROSE):
        return False
    if names.intersection(_TITLES) and len(names) < 3:
        return False
    return all(len(child) == 0 and len(child.text or "") <= _LONGEST_FIELD for child in element)


def _record(element: Element) -> str:
    lines = [label] if (label := _label(element)) else []
    for child in element:
        name, text = _label(child) or name_of(child), _text(child)
        if text or name != name_of(child):
            lines.append(f"{name}: {text}".rstrip(" :") if text else name)
    return "\n".join(lines)


# -- tables ------------------------------------------------------------------------------------


def _table(table: Element) -> str:
    """A Markdown table under its title; "" if it holds no rows."""
    columns = {_name_of_column(spec): i for i, spec in enumerate(s for s in table.iter() if name_of(s) == "colspec")}
    rows: list[list[str]] = []
    before: list[str] = [label] if (label := _label(table)) else []
    beside = " ".join(" ".join(piece.split()) for piece in (table.text, *(child.tail for child in table)) if piece)
    before += [beside] if beside.strip() else []
    waiting = list(reversed(table))
    while waiting:
        element = waiting.pop()
        if name_of(element) in _ROWS:
            rows.append(_cells(element, columns))
        elif name_of(element) and _has_text(element):
            before.append(": ".join(filter(None, [_label(element), _inner(element)])))
        elif name_of(element):
            before += filter(None, [_label(element)])
            waiting += reversed(element)
    if not rows:
        return ""
    width = max(map(len, rows))
    lines = ["| " + " | ".join([*row, *[""] * (width - len(row))]) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * width)
    return "\n\n".join([*before, "\n".join(lines)])


def _name_of_column(spec: Element) -> str:
    return spec.get("colname") or f"c{spec.get('colnum', '')}"


def _cells(row: Element, columns: dict[str, int]) -> list[str]:
    """The texts of a row's cells; a cell over several columns is followed by empty ones."""
    cells = [label] if (label := _label(row)) else []
    for cell in row:
        if not name_of(cell):
            continue
        words = _text(cell)
        labels = filter(None, map(_label, (part for part in cell.iter() if name_of(part))))
        cells.append(" ".join(filter(None, [words, *labels])).replace("|", "\\|"))
        if cell.get("namest") in columns and cell.get("nameend") in columns:
            cells += [""] * (columns[cell.get("nameend")] - columns[cell.get("namest")])
        elif cell.get("colspan", "").isdigit():
            cells += [""] * min(int(cell.get("colspan")) - 1, 100)
    if (row.text and row.text.strip()) or any(cell.tail and cell.tail.strip() for cell in row):
        cells.append(" ".join(piece.strip() for piece in (row.text, *(cell.tail for cell in row)) if piece))
    return cells or [""]
