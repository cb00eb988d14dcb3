"""Which elements of an HTML page are its furniture: navigation, link farms, breadcrumbs, pagers, consent banners.

Decided by what an element holds and where it stands, never by its id or class. Furniture is short text in
links with hardly a word beside them, in a `nav`, before the page's first heading or paragraph, after its
last one, or in a layout block of its own beside the content. A list of links that follows a heading or a
paragraph in the same block is content. In doubt an element is kept, and the whole page is where more than
half of the text outside links would go.

Decisions
- 2026-11-26 Names decide nothing: Sphinx makes `id="navigation"` of the heading "Navigation", and preset
  "aggressive" of html-to-markdown dropped such sections.
- 2026-11-26 One walk over the elements collects sums from the leaves up, so the cost is linear however
  deep the page is nested; text is measured in characters, which costs less than words.
- 2026-11-26 It costs: html-to-markdown alone read messy/dev in 28 ms, all of this takes 56 ms.
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
_SPACES: Final = 2  # of a sentence, at least
_WORD: Final = re.compile(r"\w")
_SEPARATORS: Final = re.compile(r"[>/»›→|:·•\\⁄❯▸]")
_LEGAL: Final = re.compile(r"©|\(c\)\s*\d{4}|\bcopyright\b|all rights reserved", re.I)
_LEGAL_HINTS: Final = ("©", "(c)", "(C)", "opyright", "OPYRIGHT", "ights ")  # found faster than the pattern
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
    """The outermost elements that are furniture, in document order; none where too much would go."""
    page = _Page(root)
    dropped = list(_outermost(page))
    if not dropped:
        return []
    rest = page.total(0) - sum(page.total(i) for i in dropped)
    plain = sum(page.plain[i] for i in dropped if not page.agreeing[i])
    if rest <= 0 or plain > _TOO_MUCH * page.plain[0]:
        return []
    return [page.elements[i] for i in dropped]


def _outermost(page: _Page) -> Iterator[int]:
    beyond = kept = 0  # the ends of what was dropped, and of a list of links that is content
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
    """Short text with a button to agree, in the layout around the content."""
    if page.total(i) > _BANNER or page.content[i] or not page.is_layout(page.parent[i]):
        return False
    return bool(_CONSENT.search(" ".join(page.elements[i].itertext())))


def _is_legal(page: _Page, i: int) -> bool:
    """A copyright line, alone or with links, after all content."""
    if page.content[i] or page.heads[i] or page.plain[i] > max(page.link[i], _BESIDE):
        return False
    return page.kinds[i] == "footer" or (i > page.last and page.is_layout(page.parent[i]))


def _mostly_links(page: _Page, i: int) -> bool:
    beside = page.plain[i] - page.titles[i]
    return beside <= page.link[i] / 2 or (beside <= _BESIDE and page.separated[i] > 0)


def _is_bar(page: _Page, i: int, kind: str) -> bool:
    """Short links with hardly a word beside them, where navigation stands."""
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
    """Links under headings of their own: a sidebar or a footer, in a layout block beside the content."""
    if kind in ("section", "p") or page.content[i] or (page.flow[page.parent[i]] and kind != "footer"):
        return False
    return kind in ("aside", "footer", "header") or i < page.first or page.heads[i] > 1


class _Page:
    """The elements in document order, and sums over each one's subtree: characters, or counts."""

    def __init__(self, root: Element) -> None:
        self.elements: list[Element] = []
        self.parent: list[int] = []
        self.kinds: list[str] = []  # the tag, or the one that the role stands for
        self.content: list[bool] = []  # inside of something that holds content
        self.containers: list[int] = []
        self._context: list[str] = []  # "a" in links, "b" in buttons and fields, "h" in headings, or ""
        self._block: list[int] = []  # the nearest block around it, or itself
        self._list(root)
        size = len(self.elements)
        self.link, self.plain, self.titles, self.control, self.legal = ([0] * size for _ in range(5))
        self.links, self.jumps, self.turning, self.numbers, self.agreeing = ([0] * size for _ in range(5))
        self.prose, self.heads, self.h1, self.separated = ([0] * size for _ in range(4))
        self._own = [0] * size
        self.flow = [False] * size  # a block that itself holds headings or paragraphs of text
        self.end = list(range(size))  # the last element inside
        self._measure()
        self._mark_blocks()
        self._add_up()

    def total(self, i: int) -> int:
        return self.plain[i] + self.link[i] + self.control[i] + self.legal[i]

    def is_layout(self, i: int) -> bool:
        """Whether nothing but layout is around the children of element `i`."""
        return self.kinds[i] in _WRAPPERS and not self.content[i]

    def is_introduced(self, i: int) -> bool:
        """Whether a heading, or a paragraph that ends in a colon, stands right before it."""
        before = self.elements[i].getprevious()
        if before is None:
            return (self.elements[self.parent[i]].text or "").rstrip()[-1:] in _COLONS
        text = before.tail if before.tail and before.tail.strip() else "".join(before.itertext())
        return before.tag in _HEADINGS or text.rstrip()[-1:] in _COLONS

    def _list(self, root: Element) -> None:
        number: dict[Element, int] = {}
        for i, element in enumerate(root.iter()):
            number[element] = i
            parent = number[element.getparent()] if i else 0
            tag, context = element.tag, self._context[parent] if i else ""
            if tag == "a":
                context = context or ("a" if element.get("href") is not None else "")
            elif tag in _CONTROLS:
                context = context or "b"
            elif tag in _HEADINGS:
                context = context or "h"
            if tag in _BLOCKS:
                role = element.get("role")
                kind = _ROLES.get(role, tag) if role else tag
                if kind in _CONTAINERS:
                    self.containers.append(i)
            else:
                kind = tag
            self.elements.append(element)
            self.parent.append(parent)
            self.kinds.append(kind)
            self._context.append(context)
            self._block.append(i if tag in _BLOCKS or not i else self._block[parent])
            self.content.append(bool(i) and (self.content[parent] or self.kinds[parent] in _CONTENT))

    def _measure(self) -> None:
        for i, element in enumerate(self.elements):
            if text := element.text:
                self._count(i, text)
            if i and (text := element.tail):
                self._count(self.parent[i], text)

    def _count(self, i: int, text: str) -> None:
        text = text.strip()
        size = len(text)
        if not size:
            return
        if text[0] >= "\u2e80":  # a character there says as much as three Latin ones
            size *= 3
        context = self._context[i]
        if context == "a":
            self.link[i] += size
        elif context == "b":
            self.control[i] += size
        elif size <= _LEGAL_LINE and any(map(text.__contains__, _LEGAL_HINTS)) and _LEGAL.search(text):
            self.legal[i] += size
        else:
            self._count_plain(i, text, size, context)

    def _count_plain(self, i: int, text: str, size: int, context: str) -> None:
        if size <= _BESIDE and _SEPARATORS.search(text):
            self.separated[i] += 1
            if not _WORD.search(text):
                return
        self.plain[i] += size
        if context == "h":
            self.titles[i] += size
            return
        block = self._block[i]
        self._own[block] += size
        if text[-1] in _ENDS and text.count(" ") >= _SPACES:
            self.prose[block] = 1

    def _mark_blocks(self) -> None:
        """Which blocks are prose, and where the first and last of the page's content are."""
        content = []
        for i, own in enumerate(self._own):
            if own >= _SENTENCE:
                self.prose[i] = 1
            tag = self.kinds[i]
            if self.prose[i] or (own and tag in ("p", "pre", "td", "dd")) or (tag == "h1" and self.titles[i]):
                content.append(i)
        titles = content or [i for i, kind in enumerate(self.kinds) if kind in _HEADINGS]
        self.first = titles[0] if titles else -1
        self.last = titles[-1] if titles else len(self.elements)

    def _add_up(self) -> None:
        """Sum what is inside of each container: elements inside of one follow it, so two running totals tell."""
        for i in range(len(self.elements) - 1, 0, -1):
            parent, kind = self.parent[i], self.kinds[i]
            if kind in ("a", "button"):
                self._note_control(i, kind)
            elif kind in _HEADINGS:
                self.heads[i] = 1
                self.h1[i] = int(kind == "h1")
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
            for i in (0, *self.containers):
                column[i] = running[self.end[i] + 1] - running[i]

    def _note_control(self, i: int, kind: str) -> None:
        """What a link or a button is for, by its label."""
        element = self.elements[i]
        label = (element.text or (element[0].text if len(element) else None) or "").strip()
        href = element.get("href") if kind == "a" else None
        if (href is None or href[:1] in ("#", "")) and len(label) <= _LINK and _AGREE.match(label):
            self.agreeing[i] = 1
        if href is None:
            return
        self.links[i] = 1
        self.jumps[i] = href.startswith("#")
        turns = label[:2].lower() in _TURNS or not label[:1].isalnum()
        self.turning[i] = (turns and bool(_PAGER.match(label))) or element.get("rel") in ("next", "prev")
        self.numbers[i] = label.isdigit()
