"""XML and feeds to Markdown with `#` headings; the only module that knows lxml.

Decisions
- 2026-11-21 XML is read strictly, without entities, DTD or network. XML that lxml refuses loses its
  tags and keeps all its text; recovery would drop whatever follows the error.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any, Final

from vecver.pipeline.parsers.html import html_text
from vecver.pipeline.parsers.markdown import fence, heading

Element = Any  # lxml.etree._Element; lxml has no types of its own

_DECLARATION: Final = re.compile(r"\s*<\?xml[^>]*\?>")
_ENTRIES: Final = ("item", "entry")
_CONTENT: Final = ("encoded", "content", "description", "summary")  # of a feed's entry, the best first
_TITLES: Final = ("title", "head", "heading")


def xml_text(document: str) -> str:
    root = _tree(document)
    if root is None:
        return _without_tags(document)
    if _name(root) in ("rss", "feed", "RDF"):
        return _feed(root)
    return "\n\n".join(_blocks(root)) or fence(document, "xml")  # all in attributes: kept as it is


def _tree(document: str) -> Element | None:
    from lxml import etree

    declaration = _DECLARATION.match(document)
    undeclared = document[declaration.end() :] if declaration else document
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True,
                             remove_pis=True, encoding="utf-8")  # fmt: skip
    try:
        return etree.fromstring(undeclared.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:
        return None


def _name(element: Element) -> str:
    """The tag without its namespace; "" for what is no element."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _without_tags(document: str) -> str:
    lines = html.unescape(re.sub(r"<[^<>]*>", "\n", document)).split("\n")
    return "\n\n".join(line.strip() for line in lines if line.strip())


def _blocks(root: Element) -> Iterator[str]:
    """A heading for each title, a paragraph for each element with text of its own, in document order."""
    waiting = [(root, 1)]
    while waiting:
        element, depth = waiting.pop()
        if _has_text(element):
            text = " ".join("".join(element.itertext()).split())
            yield heading(depth - 1, text) if _name(element) in _TITLES else text
        else:
            waiting += [(child, depth + 1) for child in reversed(element)]


def _has_text(element: Element) -> bool:
    return any(piece and piece.strip() for piece in (element.text, *(child.tail for child in element)))


# -- feeds -------------------------------------------------------------------------------------


def _feed(root: Element) -> str:
    """RSS (all versions) and Atom: the feed's title, then each entry under its own."""
    channel = next((child for child in root if _name(child) == "channel"), root)
    parts = [heading(1, _child_text(channel, "title")), _child_text(channel, "description", "subtitle")]
    for entry in (e for e in root.iter() if _name(e) in _ENTRIES):
        parts += [heading(2, _child_text(entry, "title") or "Untitled"), _entry_body(entry)]
    return "\n\n".join(part for part in parts if part.strip(" #"))


def _child_text(element: Element, *names: str) -> str:
    """The text of the first child called by one of `names`, as plain text on one line."""
    for name in names:
        for child in element:
            if _name(child) == name and "".join(child.itertext()).strip():
                plain = re.sub(r"<[^<>]*>", " ", html.unescape("".join(child.itertext())))
                return " ".join(plain.split())
    return ""


def _entry_body(entry: Element) -> str:
    from lxml import etree

    for name in _CONTENT:
        for child in entry:
            if _name(child) != name:
                continue
            page = etree.tostring(child, encoding="unicode", with_tail=False) if len(child) else child.text or ""
            if body := html_text(page):
                return body
    return ""
