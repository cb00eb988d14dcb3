"""Finds the furniture of an HTML page: navigation, link farms, breadcrumbs, pagers, consent banners.

The contents and position of an element decide, never its id or class. Furniture is short text in links with hardly a
word beside them: in a `nav`, before the page's first heading or paragraph, after its last one, or in a layout block
beside the content. A list of links that follows a heading or a paragraph in the same block is content. Doubtful
elements are kept, and the whole page is kept if more than half of its text outside links would be removed.

Decisions
1. Names decide nothing: Sphinx gives the heading "Navigation" `id="navigation"`, and the preset "aggressive" of
   html-to-markdown dropped such sections.
2. One walk over the elements sums text by block, so the cost is linear at any nesting depth. Text is measured in
   characters, which is cheaper than words.
3. Reading messy/dev (11 pages) takes 52 ms; html-to-markdown alone with its own cleaning takes 27
   (benchmarks/html_furniture.py). Of the 52, converting what is kept takes 18, parsing 8, and this module 14.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, Final

Element = Any  # lxml.etree._Element; lxml has no types of its own

_SENTENCE: Final = 40  # characters outside links from which a block is prose
_LINK: Final = 40  # characters of a navigation's link on average, at most
_BESIDE: Final = 40  # characters beside the links of a navigation, at most, where they are not fewer than in links
_BANNER: Final = 700  # characters of a consent banner, at most
_LEGAL_LINE: Final = 160  # characters of a copyright line, at most
_TOO_MUCH: Final = 0.5  # share of the text outside links that furniture may hold at most


def _tags(names: str) -> frozenset[str]:
    return frozenset(names.split())


_HEADINGS: Final = _tags("h1 h2 h3 h4 h5 h6")
_BLOCKS: Final = _HEADINGS | _tags(
    "html body div p ul ol li dl dt dd table thead tbody tfoot tr td th caption section article main nav aside header "
    "footer form fieldset legend blockquote pre figure figcaption details summary address center menu dialog"
)
_CONTAINERS: Final = _tags("div ul ol nav aside header footer section form center menu dialog p dl")
_WRAPPERS: Final = _tags("html body div form center")  # what layout is made of
_FLOW: Final = _tags("p pre ul ol dl table blockquote figure details")  # prose in them is their parent's text
_CONTENT: Final = _tags("main article section blockquote li td dd details figure")
_ROLES: Final = {"navigation": "nav", "contentinfo": "footer", "banner": "header", "complementary": "aside",
                 "main": "main", "dialog": "dialog", "alertdialog": "dialog"}  # fmt: skip
_CONTROLS: Final = frozenset(("button", "select", "textarea", "datalist", "label"))

_COLONS: Final = (":", "：")
_ENDS: Final = ".!?。！？…"
_WIDE: Final = "\u2e80"  # a character from here on says as much as three Latin ones
_SPACES: Final = 2  # of a sentence, at least
_WORD: Final = re.compile(r"\w")
_SEPARATORS: Final = re.compile(r"[>/»›→|:·•\\⁄❯▸]")
_LEGAL: Final = re.compile(r"©|\(c\)\s*\d{4}|\bcopyright\b|all rights reserved", re.I)
_AGREE: Final = re.compile(
    r"(?:i\s+)?(?:accept|agree|allow|reject|decline|deny|got it|ok|okay|understood|consent|akzeptieren|zustimmen|"
    r"ablehnen|einverstanden|accepter|refuser|aceptar|rechazar|accett|rifiut|aceitar|akkoord|accepteer|zgadzam|akceptuj|принять|"
    r"согласен|同意|接受|동의)",
    re.I,
)
_CONSENT: Final = re.compile(
    r"cookie|consent|gdpr|dsgvo|rgpd|privacy|datenschutz|einwillig|tracking|кук|クッキー|隐私|쿠키", re.I
)
_PAGER: Final = re.compile(
    r"\W*(?:prev|previous|next|older|newer|zurück|weiter|vorherige|nächste|suivante?|précédente?|siguiente|anterior|"
    r"precedente|successivo|próxim[ao]|volgende|vorige|назад|далее|вперёд|上一页|下一页|前へ|次へ|이전|다음)"
    r"(?:\s+(?:page|post|posts|article|chapter|topic|entry|entries|seite|page|página))?\W*(?:[:»›→>]|\Z)|\s*[«»‹›←→]+\s*\Z",
    re.I,
)
_TURNS: Final = frozenset(word[:2] for word in re.findall(r"[^\W\d_]{2,}", _PAGER.pattern))  # a quick look first
_PAGER_LINKS: Final = 12


def furniture_of(root: Element) -> list[Element]:
    """The outermost elements that are furniture, in document order; none if too much would be removed."""
    page = _Page(root)
    dropped = list(_outermost(page))
    if not dropped:
        return []
    remaining = page.total(0) - sum(page.total(i) for i in dropped)
    plain = sum(page.plain[i] for i in dropped if not page.agreeing[i])
    if remaining <= 0 or plain > _TOO_MUCH * page.plain[0]:
        return []
    return [page.elements[i] for i in dropped]


def _outermost(page: _Page) -> Iterator[int]:
    beyond = kept = 0  # the ends of the last dropped element, and of the last list of links that is content
    for i in page.containers:
        if i < beyond or not page.total(i) or (i < kept and page.kinds[i] != "nav"):
            continue
        if _is_furniture(page, i):
            beyond = page.end[i] + 1
            yield i
        elif page.links[i] and not page.prose[i] and _mostly_links(page, i):
            kept = page.end[i] + 1


def _is_furniture(page: _Page, i: int) -> bool:
    kind = page.kinds[i]
    if page.h1[i] or kind == "main":
        return False
    if page.agreeing[i] and _is_banner(page, i):
        return True
    if page.prose[i]:
        return False
    if kind == "nav":
        return _is_nav(page, i)
    if page.legal[i] and _is_legal(page, i):
        return True
    return page.links[i] > 0 and _is_bar(page, i, kind)


def _is_nav(page: _Page, i: int) -> bool:
    if page.heads[i] and not page.links[i]:
        return False
    return page.plain[i] - page.titles[i] <= max(page.link[i], _BESIDE // 2)


def _is_banner(page: _Page, i: int) -> bool:
    """Whether it is short text about consent with a button to agree, in the layout around the content."""
    if page.total(i) > _BANNER or page.content[i] or not page.is_layout(page.parent[i]):
        return False
    return bool(_CONSENT.search(" ".join(page.elements[i].itertext())))


def _is_legal(page: _Page, i: int) -> bool:
    """Whether it is a copyright line, alone or with links, after all content."""
    if page.content[i] or page.heads[i] or page.plain[i] > max(page.link[i], _BESIDE):
        return False
    return page.kinds[i] == "footer" or (i > page.last and page.is_layout(page.parent[i]))


def _mostly_links(page: _Page, i: int) -> bool:
    beside = page.plain[i] - page.titles[i]
    return beside <= page.link[i] / 2 or (beside <= _BESIDE and page.separated[i] > 0)


def _is_bar(page: _Page, i: int, kind: str) -> bool:
    """Whether it holds short links with hardly a word beside them, in a place for navigation."""
    links, parent = page.links[i], page.parent[i]
    if page.link[i] > _LINK * links or not _mostly_links(page, i):
        return False
    if page.heads[i]:
        return _is_box(page, i, kind)
    if page.is_introduced(i):
        return False
    if page.turning[i] and links <= _PAGER_LINKS and 2 * (page.turning[i] + page.numbers[i]) >= links:
        return True
    if i <= page.first:
        return links > 1 or page.jumps[i] > 0
    if links < 2 or page.content[i] or kind in ("p", "section"):
        return False
    if page.flow[parent]:
        return i > page.last and page.is_layout(parent) and kind not in _FLOW
    return True


def _is_box(page: _Page, i: int, kind: str) -> bool:
    """Whether its links have their own headings, as in a sidebar or a footer in a layout block beside the content."""
    if kind in ("section", "p") or page.content[i] or (page.flow[page.parent[i]] and kind != "footer"):
        return False
    return kind in ("aside", "footer", "header") or i < page.first or page.heads[i] > 1


class _Page:
    """The blocks in document order, with sums over each subtree: characters or counts."""

    def __init__(self, root: Element) -> None:
        self.elements = list(root.iter(*_BLOCKS)) or [root]
        size = len(self.elements)
        self.parent = [0] * size  # the nearest block around it
        self.kinds = [""] * size  # the tag, or the tag that its role stands for
        self.content = [False] * size  # whether it is inside an element that holds content
        self.containers: list[int] = []
        self.link, self.plain, self.titles, self.control, self.legal = ([0] * size for _ in range(5))
        self.links, self.jumps, self.turning, self.numbers, self.agreeing = ([0] * size for _ in range(5))
        self.prose, self.separated, self._own = ([0] * size for _ in range(3))
        self._walk(root)
        self.heads = [int(kind in _HEADINGS) for kind in self.kinds]
        self.h1 = [int(kind == "h1") for kind in self.kinds]
        self.flow = [False] * size  # a block that itself holds headings or paragraphs of text
        self.end = list(range(size))  # the last block inside
        self._mark_blocks()
        self._add_up()

    def total(self, i: int) -> int:
        return self.plain[i] + self.link[i] + self.control[i] + self.legal[i]

    def is_layout(self, i: int) -> bool:
        """Whether block `i` and everything around it is only layout."""
        return self.kinds[i] in _WRAPPERS and not self.content[i]

    def is_introduced(self, i: int) -> bool:
        """Whether a heading, or a paragraph that ends in a colon, stands right before it."""
        element = self.elements[i]
        before, parent = element.getprevious(), element.getparent()
        if before is None:
            return parent is not None and (parent.text or "").rstrip()[-1:] in _COLONS
        if before.tag in _HEADINGS:
            return True
        text = (before.tail or "").rstrip() or _last_text(before)
        return text[-1:] in _COLONS

    def _walk(self, root: Element) -> None:
        """Count the text of each block, without the blocks inside it."""
        places: dict[Element, tuple[int, str]] = {
            None: (0, "")
        }  # an element -> the block its text belongs to, and its context
        link, plain, prose, last = self.link, self.plain, self.prose, -1
        for element in root.iter():
            tag = element.tag
            around = place = places[element.getparent()]
            if tag == "a":
                if self._note_link(element, place[0]) and not place[1]:
                    place = (place[0], "a")
            elif tag in _BLOCKS or last < 0:
                last += 1
                place = self._add(last, element, tag, *place)
            elif tag in _CONTROLS:
                if tag == "button" and _AGREE.match(_label(element)):
                    self.agreeing[place[0]] += 1
                place = (place[0], place[1] or "b")
            places[element] = place
            if (text := element.text) and (text := text.strip()):
                if place[1] == "a" and text[0] < _WIDE:
                    link[place[0]] += len(text)
                else:
                    self._count(text, *place)
            if (text := element.tail) and (text := text.strip()):
                if not around[1] and prose[around[0]]:
                    plain[around[0]] += len(text)
                else:
                    self._count(text, *around)

    def _add(self, i: int, element: Element, tag: str, parent: int, context: str) -> tuple[int, str]:
        role = element.get("role")
        kind = _ROLES.get(role, tag) if role else tag
        if kind in _CONTAINERS:
            self.containers.append(i)
        self.content[i] = i > 0 and (self.content[parent] or self.kinds[parent] in _CONTENT)
        self.parent[i] = parent
        self.kinds[i] = kind
        return i, context or ("h" if tag in _HEADINGS else "")

    def _note_link(self, element: Element, block: int) -> bool:
        """Count a link by its purpose, from its label; returns whether it leads anywhere."""
        href = element.get("href")
        if not href or href[0] == "#":
            if _AGREE.match(label := _label(element)):
                self.agreeing[block] += 1
            if href is None:
                return False
            self.jumps[block] += href != ""
        elif self.prose[block]:
            return True  # counts for nothing beside prose
        else:
            label = _label(element)
        self.links[block] += 1
        if not label[:1].isalnum() or label[:2].lower() in _TURNS:
            self.turning[block] += bool(_PAGER.match(label)) or element.get("rel") in ("next", "prev")
        else:
            self.turning[block] += element.get("rel") in ("next", "prev")
            self.numbers[block] += label.isdigit()
        return True

    def _count(self, text: str, block: int, context: str) -> None:
        size = len(text)
        if text[0] >= _WIDE:
            size *= 3
        if context == "a":
            self.link[block] += size
        elif context == "b":
            self.control[block] += size
        elif size <= _LEGAL_LINE and _hints_at_law(text) and _LEGAL.search(text):
            self.legal[block] += size
        else:
            self._count_plain(block, text, size, context)

    def _count_plain(self, block: int, text: str, size: int, context: str) -> None:
        if size <= _BESIDE and _SEPARATORS.search(text):
            self.separated[block] += 1
            if not _WORD.search(text):
                return
        self.plain[block] += size
        if context == "h":
            self.titles[block] += size
            return
        self._own[block] += size
        if self._own[block] >= _SENTENCE or (text[-1] in _ENDS and text.count(" ") >= _SPACES):
            self.prose[block] = 1

    def _mark_blocks(self) -> None:
        """Mark prose, and find the first and last block of content."""
        content = []
        for i, own_size in enumerate(self._own):
            tag = self.kinds[i]
            if self.prose[i] or (own_size and tag in ("p", "pre", "td", "dd")) or (tag == "h1" and self.titles[i]):
                content.append(i)
        titles = content or [i for i, head in enumerate(self.heads) if head]
        self.first = titles[0] if titles else -1
        self.last = titles[-1] if titles else len(self.elements)

    def _add_up(self) -> None:
        """Sum the counts inside each container: its blocks follow it, so two running totals give the sum."""
        for i in range(len(self.elements) - 1, 0, -1):
            parent = self.parent[i]
            if self.heads[i]:
                self.flow[parent] = True
            if self.end[i] > self.end[parent]:
                self.end[parent] = self.end[i]
        running = list(accumulate(self.prose, initial=0))
        for i, kind in enumerate(self.kinds):
            if self._own[i] >= _SENTENCE:
                self.flow[i] = True
            if kind in _FLOW and running[self.end[i] + 1] > running[i]:
                self.flow[self.parent[i]] = True
        sizes = (self.link, self.plain, self.titles, self.control, self.legal)
        counts = (self.links, self.jumps, self.turning, self.numbers, self.agreeing, self.prose, self.heads, self.h1)
        for column in (*sizes, *counts, self.separated):
            running = list(accumulate(column, initial=0))
            if running[-1]:
                for i in (0, *self.containers):
                    column[i] = running[self.end[i] + 1] - running[i]


def _hints_at_law(text: str) -> bool:
    """Whether `_LEGAL` may match; in half the time of `any` over a list of these hints."""
    return "©" in text or "(c)" in text or "(C)" in text or "opyright" in text or "OPYRIGHT" in text or "ights " in text


def _label(element: Element) -> str:
    """The first words of a link or button; "" if they are long."""
    label: str = (element.text or (element[0].text if len(element) else None) or "").strip()
    return label if len(label) <= _LINK else ""


def _last_text(element: Element) -> str:
    """The text at the end of an element, without trailing spaces."""
    while True:
        for child in element.iterchildren(reversed=True):
            if text := (child.tail or "").rstrip():
                return text
            if child.text or len(child):
                element = child
                break
        else:
            return (element.text or "").rstrip()
