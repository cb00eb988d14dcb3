"""RSS (all versions) and Atom to Markdown: the feed's title, then each entry under its own.

Decisions
- 2026-11-26 All that an entry says is read: its fields as "name: value" lines, then its texts, the whole one
  before the summary. A text that another one begins with or repeats is counted as furniture.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from vecver.pipeline.parsers.coverage import Content, Part
from vecver.pipeline.parsers.html import html_content
from vecver.pipeline.parsers.markdown import heading

Element = Any  # lxml.etree._Element; lxml has no types of its own

_ENTRIES: Final = ("item", "entry")
_TEXTS: Final = ("encoded", "content", "description", "summary", "subtitle")  # the fullest first
_SHOWN: Final = ("label", "term", "title", "text")  # attributes with text of categories, links and outlines


def feed_content(root: Element) -> Content | None:
    """A feed with what it says; None for XML that is none."""
    if _name(root) not in ("rss", "feed", "RDF"):
        return None
    channel = next((child for child in root if _name(child) == "channel"), root)
    entries = [element for element in root.iter() if _name(element) in _ENTRIES]
    if not entries and _name(root) == "RDF":
        return None
    reading = _Feed()
    reading.add(1, channel)
    for element in root:
        if element is not channel and _name(element) not in _ENTRIES and channel is not root:
            reading.add_fields([element])
    for entry in entries:
        reading.add(2, entry)
    return Content("\n\n".join(reading.blocks), "", reading.parts)


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


class _Feed:
    """The blocks of the text, and what each entry says."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.parts: list[Part] = []

    def add(self, level: int, element: Element) -> None:
        children = [child for child in element if _name(child) and _name(child) not in _ENTRIES]
        texts = [child for child in children if _name(child) in _TEXTS]
        texts.sort(key=lambda child: _TEXTS.index(_name(child)))
        titles = [child for child in children if _name(child) == "title" and _plain(child)]
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
        told = ""
        for element in texts:
            body = html_content(_page(element), furniture=False)
            seen = " ".join(part.text for part in body.parts)
            repeated = bool(told) and " ".join(seen.split()).rstrip(".… ") in told
            told = told or " ".join(seen.split())
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
    """The texts of an element and those below it, each with its name."""
    for part in element.iter():
        if not _name(part):
            continue
        pieces = [part.text or "", *(child.tail or "" for child in part)]
        pieces += [part.get(name) or "" for name in _SHOWN]
        value = " ".join(" ".join(pieces).split())
        if value:
            yield (_name(element) if _name(part) in ("name", _name(element)) else _name(part)), value


def _page(element: Element) -> str:
    from lxml import etree

    if not len(element):
        return element.text or ""
    return str(etree.tostring(element, encoding="unicode", with_tail=False))
