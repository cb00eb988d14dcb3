"""Converts RSS (all versions) and Atom to Markdown: the feed's title, then each entry under its own title.

Decisions
1. Everything in an entry is read: its fields as "name: value" lines, then its texts, the fullest before the summary. A
   text that repeats or begins another one is counted as furniture.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from vecver.pipeline.parsers.coverage import Content, Part
from vecver.pipeline.parsers.markup.markdown import heading
from vecver.pipeline.parsers.web.html import html_content

Element = Any  # lxml.etree._Element; lxml has no types of its own

_ENTRIES: Final = ("item", "entry")
_TEXTS: Final = ("encoded", "content", "description", "summary", "subtitle")  # the fullest first
_SHOWN: Final = ("label", "term", "title", "text")  # attributes with text of categories, links and outlines


def feed_content(root: Element) -> Content | None:
    """A feed as Markdown, with its text to compare with; None if the XML is no feed."""
    if name_of(root) not in ("rss", "feed", "RDF"):
        return None
    channel = next((child for child in root if name_of(child) == "channel"), root)
    entries = [element for element in root.iter() if name_of(element) in _ENTRIES]
    if not entries and name_of(root) == "RDF":
        return None
    reading = _Feed()
    reading.add(1, channel)
    for element in root:
        if element is not channel and name_of(element) not in _ENTRIES and channel is not root:
            reading.add_fields([element])
    for entry in entries:
        reading.add(2, entry)
    return Content("\n\n".join(reading.blocks), "", reading.parts)


def name_of(element: Element) -> str:
    """The tag without its namespace; "" for comments and other nodes that are no elements."""
    return _short(element.tag)


@lru_cache(4096)
def _short(tag: Any) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


class _Feed:
    """The Markdown blocks of a feed, and the plain text of each entry."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.parts: list[Part] = []

    def add(self, level: int, element: Element) -> None:
        children = [child for child in element if name_of(child) and name_of(child) not in _ENTRIES]
        texts = [child for child in children if name_of(child) in _TEXTS]
        texts.sort(key=lambda child: _TEXTS.index(name_of(child)))
        titles = [child for child in children if name_of(child) == "title" and _plain(child)]
        title = _plain(titles[0]) if titles else ""
        if title:
            self._write(f"the entry '{title}'" if level > 1 else "", heading(level, title), title)
        elif level > 1:
            self.blocks.append(heading(level, "Untitled"))
        self.add_fields([child for child in children if child not in texts and child not in titles[:1]])
        self._add_texts(title, texts)

    def add_fields(self, elements: Iterable[Element]) -> None:
        values: dict[str, list[str]] = {}
        for element in elements:
            for name, value in _fields(element):
                values.setdefault(name, []).append(value)
        if values:
            lines = [f"{name}: {', '.join(dict.fromkeys(texts))}" for name, texts in values.items()]
            self._write("", "\n".join(lines), " ".join(v for texts in values.values() for v in dict.fromkeys(texts)))

    def _add_texts(self, title: str, texts: Iterable[Element]) -> None:
        first_text = ""
        for element in texts:
            body = html_content(_page(element), furniture=False)
            seen = " ".join(part.text for part in body.parts)
            repeated = bool(first_text) and " ".join(seen.split()).rstrip(".… ") in first_text
            first_text = first_text or " ".join(seen.split())
            if repeated:
                self.parts.append(Part(f"the entry '{title}'", seen, seen))
            elif body.text:
                self._write(f"the entry '{title}'", body.text, seen)

    def _write(self, name: str, block: str, seen: str) -> None:
        self.blocks.append(block)
        self.parts.append(Part(name, seen))


def _plain(element: Element) -> str:
    """The text of an element as one plain line; feeds hide HTML in titles."""
    text = "".join(element.itertext())
    if "<" in text or "&" in text:
        text = re.sub(r"<[^<>]*>", " ", html_content(text, furniture=False).text)
    return " ".join(text.split())


def _fields(element: Element) -> Iterable[tuple[str, str]]:
    """The texts of an element and its descendants, each with its name."""
    for part in element.iter():
        if not name_of(part):
            continue
        pieces = [part.text or "", *(child.tail or "" for child in part)]
        pieces += [part.get(name) or "" for name in _SHOWN]
        value = " ".join(" ".join(pieces).split())
        if value:
            yield (name_of(element) if name_of(part) in ("name", name_of(element)) else name_of(part)), value


def _page(element: Element) -> str:
    from lxml import etree

    if not len(element):
        return element.text or ""
    return str(etree.tostring(element, encoding="unicode", with_tail=False))
