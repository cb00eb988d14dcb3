"""Prepares Word documents (.docx) for anydoc, and lists every paragraph of every part to check the result against.

anydoc loses rows inside content controls and customXml, base text under ruby, alternative-format parts and the
non-breaking hyphen, and keeps rows and paragraphs that a tracked change deleted or moved away. If a part holds such
elements, its XML is first rewritten without them.

Decisions
1. anydoc converts the rewritten document, so its headings, lists and code stay as they are. The alternative was a
   converter of our own.
2. A non-breaking hyphen becomes "-", as anydoc does in RTF: people search for it so.
3. Page headers and footers are appended to the text, once: a letterhead holds what the letter is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from vecver.pipeline.parsers.office.package import Package, all_plain, paragraphs
from vecver.pipeline.parsers.restoring import View

if TYPE_CHECKING:
    from lxml.etree import _Element

_SKIPPED: Final = rb"(?:\s|<w:(?!(?:p|r|tc|tbl|tr|sdt|sdtContent|customXml|ins)\b)[^<>]*+>)*+"
_ODD: Final = re.compile(
    rb"<w:(?:customXml|smartTag|ruby|noBreakHyphen|sym|altChunk|moveFrom|cellDel|del)[\s/>]"
    rb"|<mc:Choice\b[^<>]*+>\s*+<(?!w:drawing|/)"
    rb"|<w:sdtContent>" + _SKIPPED + rb"<w:(?:tr|sdt|customXml)\b|<w:ins\b[^<>]*+>" + _SKIPPED + rb"<w:(?:p|tbl)\b"
)
_NOTES: Final = {"footnotes": "the footnotes", "endnotes": "the endnotes"}
_READ: Final = (*_NOTES, "comments", "header", "footer")
_NAMESPACE: Final = re.compile(
    rb"""xmlns:w=["'](http://schemas\.openxmlformats\.org/wordprocessingml/2006/main|http://purl\.oclc\.org/ooxml/wordprocessingml/main)["']"""
)
_TOKEN: Final = "\ue7d0chunk{}\ue7d1"  # marks the position of an alternative-format part in the text
TOKEN: Final = re.compile("\ue7d0chunk([0-9]++)\ue7d1")
_CACHE: Final = re.compile(rb"<c:(strCache|numCache)>.*?(?:</c:\1>|\Z)", re.S)
_TEXT: Final = re.compile(
    rb"<(?:w:t|(m:t))(?:\s[^<>]*+)?+>([^<]*+)|(</w:p>)|<w:(tab|br|cr|ptab|footnoteReference|endnoteReference|object|pict|drawing)\b|<(/?)mc:(AlternateContent|Choice|Fallback)\b"
)


@dataclass
class Document:
    """A document ready to be converted."""

    data: bytes
    views: list[View] = field(default_factory=list)
    chunks: list[tuple[str, bytes]] = field(default_factory=list)  # name and bytes, in the order of their tokens
    notes: list[str] = field(default_factory=list)


def prepared(package: Package) -> Document:
    """The document rewritten so that anydoc reads all of it, and its paragraphs to compare with."""
    done = Document(package.data)
    changed: dict[str, bytes] = {}
    kinds = package.kinds()
    ends: set[str] = set()  # lines of page headers and footers seen so far; often three parts repeat them
    for name, kind in kinds.items():
        if kind.endswith(".main") or kind in _READ:
            xml = package.read(name)
            if _ODD.search(xml):
                rewritten = _normalised(xml, package, name, done)
                if rewritten is not None:
                    changed[name] = xml = rewritten
            done.views += _views(kind, xml, ends)
    done.views += drawings(package, kinds)
    done.data = package.replaced(changed)
    return done


def drawings(package: Package, kinds: dict[str, str], *, in_cells: bool = False) -> Iterator[View]:
    """The texts of diagrams (SmartArt) and charts; `in_cells`: without copies of a workbook's cells."""
    for name, kind in kinds.items():
        if kind == "diagramData":
            yield View("a diagram", "Diagrams", paragraphs(package.read(name)))
        elif kind == "chart":
            xml = package.read(name)
            if in_cells:
                xml = _CACHE.sub(b"", xml)
            yield View("a chart", "Charts", paragraphs(xml, b"a:t|c:v", b"a:p|c:pt|c:tx"))


def _views(kind: str, xml: bytes, ends: set[str]) -> Iterator[View]:
    texts = _paragraphs(xml)
    if kind in _NOTES:
        yield View(_NOTES[kind], "Notes", texts)
    elif kind == "comments":
        yield View("the comments", "Comments", texts, apart=True)
    elif kind in ("header", "footer"):
        new = [text for text in dict.fromkeys(map(str.strip, texts)) if text and text not in ends]
        ends.update(new)
        yield View("the page headers and footers", "Page headers and footers", new, apart=True)
    else:
        yield View("", "Other text", texts)


def _paragraphs(xml: bytes) -> list[str]:
    """The text of each paragraph: of alternatives the first with text, without formulas, which become LaTeX."""
    raw_texts: list[bytes] = []
    run: list[bytes] = []
    choices: list[bool] = []  # for each open alternative, whether its first choice has text
    skipping = 0  # depth of the alternative whose fallback is skipped, 0 if none
    for match in _TEXT.finditer(xml):
        formula, text, end, space, closes, alternative = match.groups()
        if alternative:
            skipping = _step(choices, skipping, bool(closes), alternative)
        elif skipping:
            continue
        elif text is not None:
            if text and not formula:
                run.append(text)
                _mark_filled(choices)
        elif end:
            if run:
                raw_texts.append(b"".join(run))
            run = []
        elif space:
            run.append(b" ")
    texts = all_plain(raw_texts + ([b"".join(run)] if run else []))
    return [TOKEN.sub(" ", text) if "\ue7d0" in text else text for text in texts]


def _mark_filled(choices: list[bool]) -> None:
    """Mark all open alternatives as having text; if an inner one is marked, so are the outer ones."""
    at = len(choices)
    while at and not choices[at - 1]:
        at -= 1
        choices[at] = True


def _step(choices: list[bool], skipping: int, closes: bool, tag: bytes) -> int:
    """Enter or leave alternatives; returns the depth at which text is skipped, 0 if text counts."""
    if tag == b"AlternateContent":
        if not closes:
            choices.append(False)
        elif choices:
            choices.pop()
    elif tag == b"Fallback" and choices and not skipping and not closes and choices[-1]:
        return len(choices)
    elif tag == b"Fallback" and closes and skipping == len(choices):
        return 0
    return skipping


# -- the rewriting -----------------------------------------------------------------------------


def _normalised(xml: bytes, package: Package, name: str, done: Document) -> bytes | None:
    """The part's XML without elements that anydoc does not know; None if it is not well-formed."""
    from lxml import etree

    namespace = _NAMESPACE.search(xml)
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(xml, parser)
    except etree.XMLSyntaxError:
        return None
    if not namespace:
        return None
    w = "{" + namespace[1].decode() + "}"
    _without_deletions(root, w)
    _without_alternatives(root, w)
    _without_wrappers(root, w)
    for ruby in reversed(list(root.iter(w + "ruby"))):  # the last first: each sibling moves once
        _lift_base(ruby, w)
    for mark in list(root.iter(w + "noBreakHyphen", w + "sym")):
        _spell(mark, w)
    _mark_chunks(root, w, package.relations(name), package, done)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


def _without_deletions(root: _Element, w: str) -> None:
    for element in list(root.iter(w + "del", w + "moveFrom", w + "cellDel")):
        parent = element.getparent()
        if parent is None:
            continue
        if parent.tag == w + "trPr":
            row = parent.getparent()
            if row is not None:
                _remove(row)
        elif element.tag == w + "cellDel":
            cell = parent.getparent()
            for child in list(cell)[1:] if cell is not None else ():
                cell.remove(child)
        elif parent.tag != w + "rPr":
            _remove(element)
    for table in list(root.iter(w + "tbl")):
        if next(table.iter(w + "tc"), None) is None:
            _remove(table)


def _remove(element: _Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _without_alternatives(root: _Element, w: str) -> None:
    """Keep the first alternative with text. Drawings are left alone: anydoc chooses their alternative itself."""
    mc = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
    for element in reversed(list(root.iter(mc + "AlternateContent"))):
        first = next((child[0].tag for child in element if len(child)), "")
        parent = element.getparent()
        kept = next((child for child in element if any(text.text for text in child.iter(w + "t"))), None)
        if kept is None or parent is None or first == w + "drawing":
            continue
        for child in list(kept):
            element.addprevious(child)
        parent.remove(element)


def _without_wrappers(root: _Element, w: str) -> None:
    """Replace wrappers by their content, in reverse document order, so that each element moves once."""
    wrappers = (w + "sdt", w + "sdtContent", w + "customXml", w + "smartTag", w + "ins", w + "moveTo")
    properties = {w + name for name in ("sdtPr", "sdtEndPr", "customXmlPr", "smartTagPr")}
    for element in reversed(list(root.iter(*wrappers))):
        parent = element.getparent()
        if parent is None or parent.tag in (w + "rPr", w + "trPr"):
            continue
        for child in list(element):
            if child.tag not in properties:
                element.addprevious(child)
        parent.remove(element)


def _lift_base(ruby: _Element, w: str) -> None:
    """Split the run that holds the ruby, and put the runs of the base text between the halves."""
    import copy

    run = ruby.getparent()
    base = ruby.find(w + "rubyBase")
    parent = run.getparent() if run is not None else None
    if run is None or base is None or parent is None or run.tag != w + "r":
        return
    second_run = run.makeelement(run.tag)
    look = run[0]  # properties come first; searching further would cost a scan for each ruby
    if look.tag == w + "rPr":
        second_run.append(copy.deepcopy(look))
    second_run.extend(list(ruby.itersiblings()))
    run.remove(ruby)
    for element in (second_run, *reversed(base)):
        run.addnext(element)


_SYMBOLS: Final = {
    **dict(zip(range(0x41, 0x5B), "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ", strict=True)),
    **dict(zip(range(0x61, 0x7B), "αβχδεφγηιϕκλμνοπθρστυϖωξψζ", strict=True)),
    **{0xA3: "≤", 0xB3: "≥", 0xB1: "±", 0xB4: "×", 0xB8: "÷", 0xB9: "≠", 0xBB: "≈", 0xA5: "∞", 0xAE: "→"},
    **{0xAC: "←", 0xD6: "√", 0xE5: "∑", 0xB0: "°", 0xB7: "•", 0x6D: "μ", 0xD7: "⋅", 0xB6: "∂", 0xF2: "∫"},
}  # of the font Symbol
_WINGDINGS: Final = {0xFC: "✓", 0xFB: "✗", 0xFE: "☑", 0xFD: "☒", 0xA8: "☐", 0x6F: "☐", 0xE0: "→", 0xDF: "←", 0xA7: "▪"}


def _spell(mark: _Element, w: str) -> None:
    """Replace an element by its text: "-", or the Unicode character for a symbol font's."""
    mark_text = "-"
    if mark.tag == w + "sym":
        code, font = mark.get(w + "char", ""), mark.get(w + "font", "")
        try:
            number = int(code, 16)
        except ValueError:
            return
        if 0xF000 <= number <= 0xF0FF or number < 0x20:
            shapes = _WINGDINGS if font.startswith("Wingdings") else _SYMBOLS if font == "Symbol" else {}
            mark_text = shapes.get(number - 0xF000, "")
        else:
            mark_text = chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else ""
    mark.clear()
    mark.tag, mark.text = w + "t", mark_text


def _mark_chunks(
    root: _Element, w: str, relations: dict[str, tuple[str, str]], package: Package, done: Document
) -> None:
    """Put a paragraph with a token in place of each alternative-format part."""
    for chunk in list(root.iter(w + "altChunk")):
        id_of = next((value for key, value in chunk.attrib.items() if str(key).endswith("}id")), "")
        target = relations.get(str(id_of), ("", ""))[1]
        content = package.read(target) if target else b""
        if not content:
            done.notes.append(f"The inserted document '{target or id_of}' could not be opened.")
            continue
        chunk.clear()
        chunk.tag = w + "p"
        text = chunk.makeelement(w + "t")
        text.text = _TOKEN.format(len(done.chunks))
        run = chunk.makeelement(w + "r")
        run.append(text)
        chunk.append(run)
        done.chunks.append((target, content))
