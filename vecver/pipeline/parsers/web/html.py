"""Converts HTML to Markdown with `#` headings, with lxml and html-to-markdown.

lxml parses the page. This module removes scripts and page furniture, rewrites what html-to-markdown would skip (image
texts, form fields, SVG, frames) as plain elements, and converts the rest.

Decisions
1. Table cells are not padded: one longer cell must not rewrite every row of the next version.
2. html-to-markdown skips elements nested deeper than 1,024 and only warns. A text with a hole is worse than none, so
   the page is reported as malformed.
3. html-to-markdown's own cleaning is off, since it removes elements by name. `furniture` decides what is removed, and
   the removed words are counted. Text that a browser hides (tabs, `details`, `template`) is kept.
4. lxml's HTML parser reads XHTML too: `<title/>` is closed and does not swallow the page.
5. Soft hyphens and zero-width spaces are dropped: no search matches a word that contains one.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from vecver.pipeline.parsers.coverage import Content, Part
from vecver.pipeline.parsers.detection.media_types import Unreadable
from vecver.pipeline.parsers.properties import Fields, attempted, keywords, moment
from vecver.pipeline.parsers.web.furniture import furniture_of
from vecver.pipeline.parsers.web.page_text import page_text

Element = Any  # lxml.etree._Element; lxml has no types of its own

_TITLE: Final = re.compile(r"<title[^<>]*(?<!/)>([^<]*)</title", re.I)
_HEAD: Final = 200_000  # characters in which <title> is looked for
_LOST: Final = ("depth_limit_exceeded", "truncated_input")  # html-to-markdown's warnings that text is missing
_DEEPEST: Final = 3  # frames inside frames that are read

_MOST_META: Final = 200
_META: Final = {  # names in <meta> -> field names
    **dict.fromkeys(("author", "dc.creator", "dcterms.creator", "article:author", "citation_author"), "author"),
    **dict.fromkeys(("description", "dc.description", "dcterms.description", "og:description"), "description"),
    **dict.fromkeys(("keywords", "dc.subject", "dcterms.subject", "article:tag", "citation_keywords"), "keywords"),
    **dict.fromkeys(("date", "dc.date", "dcterms.date", "article:published_time", "citation_date"), "date"),
    **dict.fromkeys(("dcterms.created", "dc.date.created"), "created"),
    **dict.fromkeys(("language", "dc.language", "dcterms.language"), "language"),
}
_DATES: Final = ("date", "created")

_STRAY: Final = re.compile(r"<(?=[A-Za-z][^<>\"'=/]*(?:<|\Z))")  # "a <b and c</p>": no tag
_INVISIBLE: Final = ("\xad", "\u200b", "\u2060", "\ufeff", "\x00")  # soft hyphen, zero-width spaces, NUL

_NO_TEXT: Final = ("script", "style", "link", "meta", "base")
_NEUTRAL: Final = ("span", "font", "wbr", "u", "small", "big", "sub", "sup", "nobr", "bdi", "bdo", "ins", "tbody",
                   "cite", "time", "data", "acronym")  # fmt: skip
_WRITTEN: Final = ("alt", "label", "placeholder")  # attributes that `_write_field` has written as text
_HIDING: Final = ("hidden", "style", "aria-hidden", "id", *_WRITTEN)
_UNUSED: Final = (
    "src",
    "srcset",
    "width",
    "height",
    "target",
    "rel",
    "role",
    "onclick",
    "align",
    "valign",
    "aria-label",
)
_SHORT: Final = "//a[* or not(text()[string-length(normalize-space(.)) > 2])]"  # links to look at
_SKIPPED: Final = {  # elements that html-to-markdown skips, and what they are written as
    **dict.fromkeys(("noscript", "template", "dialog", "object", "canvas", "video", "audio"), "div"),
    **dict.fromkeys(("iframe", "noframes", "noembed", "frame"), "div"),
}
_FRAMES: Final = ("iframe", "noframes", "noembed")  # their text is a page as it stands
_FIELDS: Final = ("img", "area", "input", "option", "optgroup", "select", "button", "label", "textarea", "track")
_LABELS: Final = ("button", "label")  # help to recognise furniture; later they are plain words
_BUTTONS: Final = ("submit", "button", "reset", "image")
_SILENT: Final = ("hidden", "password", "checkbox", "radio", "file", "color", "range")
_BLOCKS: Final = frozenset(("h1", "h2", "h3", "h4", "h5", "h6", "p", "div", "ul", "ol", "table", "pre", "section"))


def html_text(page: str) -> str:
    """A page or a part of one as Markdown, with its furniture. Raises as `html_content`."""
    return html_content(page, furniture=False).text


def html_title(page: str) -> str:
    match = _TITLE.search(page, 0, _HEAD)
    return html.unescape(match[1]) if match else ""


def html_content(page: str, furniture: bool = True) -> Content:
    """A page or a part of one as Markdown, with its title, its metadata, and its plain text to compare with.

    `furniture`: leave out navigation and the like. Raises Unreadable if the page is nested so deeply that
    text would be lost.
    """
    from lxml import etree

    seen: list[str] = []
    root = _parsed(page)
    if root is None:
        return Content("", html_title(page))
    fields = attempted(_fields, root) if furniture else {}
    _prepare(root, seen, 0)
    dropped = furniture_of(root) if furniture else []
    for element in dropped:
        replace_by_text(element)
    left_out = "\n".join(" ".join(_plain(page_text(element)).split()) for element in dropped)
    classes = () if next(root.iter("pre", "code"), None) is not None else ("class",)  # they name a code's language
    etree.strip_attributes(root, *_UNUSED, *classes)
    etree.strip_tags(root, "span", *_LABELS)
    text = _markdown(etree.tostring(root, encoding="unicode", method="html"))
    return Content(_plain(text), html_title(page), [Part("", _plain(" ".join(seen)), left_out)], metadata=fields)


def _fields(root: Element) -> Fields:
    """The metadata in the head of a page: author, description, keywords, dates, language."""
    fields: dict[str, Any] = {"language": root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang")}
    for meta in root.findall("head/meta")[:_MOST_META]:
        name = _META.get((meta.get("name") or meta.get("property") or "").strip().lower())
        text = " ".join((meta.get("content") or "").split())
        if name and text:
            value = keywords(text) if name == "keywords" else moment(text) if name in _DATES else text
            before = fields.get(name)
            fields[name] = (
                [*before, *value] if isinstance(before, list) and isinstance(value, list) else before or value
            )
    return fields


def _plain(text: str) -> str:
    if not text.isascii():
        for mark in _INVISIBLE:
            text = text.replace(mark, "")
    return text.strip()


def _markdown(page: str) -> str:
    from html_to_markdown import ConversionOptions, PreprocessingOptions, convert

    cleaning = PreprocessingOptions(enabled=False)
    options = ConversionOptions(
        extract_metadata=False, skip_images=True, compact_tables=True, preprocessing=cleaning, autolinks=False
    )
    result = convert(page, options)
    if any(str(warning.kind) in _LOST for warning in result.warnings):
        raise _too_deep()
    return result.content or ""


def _too_deep() -> Unreadable:
    return Unreadable("malformed", "The HTML is nested so deeply that part of its text would be lost.")


# -- the page as a tree of plain elements ------------------------------------------------------


def _tree(page: str, seen: list[str], depth: int = 0) -> Element | None:
    """The page as plain elements, None if it is empty; its plain text is added to `seen`."""
    root = _parsed(page)
    if root is not None:
        _prepare(root, seen, depth)
    return root


def _parsed(page: str) -> Element | None:
    from lxml import etree

    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    marked = _STRAY.sub("&lt;", _without_cdata(page.replace("\0", "")))
    if not marked.strip():
        return None
    root = etree.fromstring(marked.encode("utf-8", "replace"), parser)
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise _too_deep()
    return root


def _prepare(root: Element, seen: list[str], depth: int) -> None:
    seen.append(page_text(root))
    _simplify(root, seen, depth)


def _without_cdata(page: str) -> str:
    """CDATA sections (XHTML) replaced by their text; an HTML parser would read them as comments."""
    pieces = page.split("<![CDATA[")
    for i, piece in enumerate(pieces[1:], 1):
        text, end, markup = piece.partition("]]>")
        pieces[i] = (html.escape(text, quote=False) + markup) if end else piece
    return "".join(pieces)


def _simplify(root: Element, seen: list[str], depth: int) -> None:
    from lxml import etree

    etree.strip_elements(root, *_NO_TEXT, with_tail=False)
    for title in root.findall("head/title"):
        replace_by_text(title)
    etree.strip_tags(root, *_NEUTRAL)  # first, since links without elements in them need no look
    tables = []
    for element in list(root.iter("svg", "table", "dt", "dd", *_FIELDS, *_SKIPPED)):
        tag = element.tag  # read now: it may have changed inside a drawing
        if tag in _WRITERS:
            _WRITERS[tag](element)
        elif tag in _SKIPPED:
            _write_frame(element, seen, depth)
        elif tag == "table":
            tables.append(element)
    etree.strip_attributes(root, *_HIDING)
    for link in _links()(root):
        _simplify_link(link)
    for table in tables:
        _simplify_layout(table)


@cache
def _links() -> Any:
    from lxml import etree

    return etree.XPath(_SHORT)


def _simplify_drawing(drawing: Element) -> None:
    for element in drawing.iter():
        if element.text:
            element.text = f" {element.text} "
            element.tail = " " + (element.tail or "")
        if element.tag != "a":
            element.tag = "span"


def _free_item(item: Element) -> None:
    """Outside of a `dl`, make a `dt` or `dd` a paragraph, so that its words do not join the text before it."""
    parent = item.getparent()
    if not any(around.tag == "dl" for around in (parent, parent.getparent()) if around is not None):
        item.tag = "p"


def _write_field(element: Element) -> None:
    """Write the words that a field, an image or an option shows as its text."""
    tag, kind = element.tag, (element.get("type") or "").lower()
    if tag == "img" or tag == "area":
        names: tuple[str, ...] = ("alt",)
    elif tag == "input":
        names = () if kind in _SILENT else ("value", "placeholder", "alt")
    elif tag in ("select", "button", "label"):
        names = ()
    else:
        names = ("label", "placeholder") if tag != "option" or element.text else ("label", "value")
    text = " ".join(words for name in names if (words := element.get(name)))
    if text or tag in _LABELS:
        element.text = f" {text} {element.text or ''}"
    if tag in ("img", "area", "track"):
        element.tag = "span"
        return
    if tag == "input":
        element.tag = "button" if kind in _BUTTONS else "label"
    elif tag == "textarea":
        element.tag = "div"
    element.tail = " " + (element.tail or "")


def _write_frame(element: Element, seen: list[str], depth: int) -> None:
    """Turn an element that html-to-markdown skips into a `div`, and parse a page inside it."""
    inner = [element.get("srcdoc") or ""]
    if element.tag in _FRAMES and "<" in (element.text or ""):
        inner.append(element.text)
        element.text = None
    element.tag = _SKIPPED[element.tag]
    for page in inner:
        root = _tree(page, seen, depth + 1) if page and depth < _DEEPEST else None
        if root is not None:
            element.append(root)
            root.tag = "div"
            for part in root.findall("body"):
                part.tag = "div"


def _simplify_link(link: Element) -> None:
    """Unwrap links around blocks, so that headings stay headings, and remove anchor marks at headings."""
    text = "".join(link.itertext())
    if not text.strip():
        link.tag = "span"
    elif (link.get("href") or "").startswith("#") and len(text) < 3 and not any(map(str.isalnum, text)):
        replace_by_text(link)
    elif len(link) and any(child.tag in _BLOCKS for child in _children(link)):
        link.tag = "div"


def _children(element: Element) -> Iterator[Element]:
    for child in element:
        yield child
        yield from child


def _simplify_layout(table: Element) -> None:
    """Turn a table that holds headings, and so lays out the page, into blocks."""
    if table.tag == "table" and next(table.iter("h1", "h2", "h3", "h4", "h5", "h6"), None) is not None:
        for element in list(table.iter("table", "thead", "tfoot", "tr", "td", "th", "caption")):
            element.tag = "div"


_WRITERS: Final = {
    **dict.fromkeys(_FIELDS, _write_field),
    **dict.fromkeys(("dt", "dd"), _free_item),
    "svg": _simplify_drawing,
}


def replace_by_text(element: Element, text: str = "") -> None:
    """Replace an element by `text`, followed by the element's tail."""
    parent, before, text = element.getparent(), element.getprevious(), text + (element.tail or "")
    if parent is None:
        return
    if text:
        if before is None:
            parent.text = (parent.text or "") + text
        else:
            before.tail = (before.tail or "") + text
    element.tail = None
    parent.remove(element)
