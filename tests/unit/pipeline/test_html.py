"""HTML: which elements are furniture, and that every word outside scripts is read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecver.model import Parsed
from vecver.pipeline.parsers.coverage import coverage_of
from vecver.pipeline.parsers.parse import parse
from vecver.pipeline.parsers.web.html import html_content, html_text

ITEMS = "<li><a href=/a>Homeward</a></li><li><a href=/b>Products</a></li><li><a href=/c>About us</a></li>"
PROSE = "<p>Close the valve before you open the lid of the pump.</p>"
BODY = f"<h1>Pump</h1>{PROSE}"


def read(body: str) -> Parsed:
    page = f"<!doctype html><html><head><title>Site</title></head><body>{body}</body></html>"
    return parse(page.encode(), "page.html")


FURNITURE = {
    "list before": f"<div><ul>{ITEMS}</ul></div><div>{BODY}</div>",
    "list in body": f"<ul>{ITEMS}</ul>{BODY}<p>End.</p>",
    "list after": f"{BODY}<div><ul>{ITEMS}</ul></div>",
    "nav in header": f"<header><h1>Pump</h1><nav><ul>{ITEMS}</ul></nav></header>{PROSE}",
    "role": f"<div role=navigation><h3>Topics</h3><ul>{ITEMS}</ul></div>{BODY}",
    "breadcrumb": f"<div><a href=/>Homeward</a> &gt; <a href=/p>Pumps</a> &gt; Model K</div>{BODY}",
    "breadcrumb in p": f"<p><a href=/>Homeward</a> / <a href=/p>Pumps</a></p>{BODY}",
    "bar": f"{BODY}<div><a href=/>Homeward</a> | <a href=/p>Imprint</a></div>",
    "pager": f"<main>{BODY}<div><a href=/1>Previous: Homeward</a> <a href=/2>Next</a></div></main>",
    "banner": f"<div><p>We use cookies to bring you Homeward.</p><button>Accept all</button></div><main>{BODY}</main>",
    "banner after": f"<main>{BODY}</main><div><div><p>Cookies take you Homeward.</p></div><a href='#'>OK</a></div>",
    "link farm": f"<div>{BODY}</div><div><div><h4>Firm</h4><ul>{ITEMS}</ul></div><div><h4>Help</h4><ul>{ITEMS}</ul>"
    "</div><p>© 2024 Acme Inc. All rights reserved.</p></div>",
    "footer": f"<main>{BODY}</main><footer><ul>{ITEMS}</ul><p>© 2024 Acme</p></footer>",
    "sidebar": f"<div><div><h3>Topics</h3><ul>{ITEMS}</ul></div><div>{BODY}</div></div>",
    "aside": f"<div><div>{BODY}</div><aside><h3>Topics</h3><ul>{ITEMS}</ul></aside></div>",
}
KEPT = {
    "labels side by side": f"{BODY}<label>One</label><label>MARK</label><label>Two</label>",
    "names of ids": f"<section id=navigation><h2>Menu</h2><p>Set course MARK.</p></section>{BODY}",
    "heading ids": "<h1>Inn</h1><h2 id=menu>Menu</h2><p>Soup</p><h2 id=cookie>Cookies</h2><p>Two MARK</p>",
    "classes": f"<div class='sidebar toolbar banner footer'><p>Drag MARK.</p></div>{BODY}",
    "header": f"<header><h1>Recall</h1><p>Return MARK.</p></header>{PROSE}",
    "nav with prose": f"{BODY}<nav><h2>Navigation</h2><p>Set MARK.</p></nav>",
    "page in a form": f"<form>{BODY}<select><option>Red<option>MARK</select><button>Send</button></form>",
    "field": f"{BODY}<input value='MARK'><input type=hidden value=secret>",
    "placeholder": f"{BODY}<input placeholder='MARK words'>",
    "hidden": f"{BODY}<div hidden><p>MARK</p></div>",
    "display none": f"{BODY}<div style='display:none'>MARK</div>",
    "details": f"{BODY}<details><summary>More</summary><p>MARK</p></details>",
    "template": f"{BODY}<template><p>MARK</p></template>",
    "noscript": f"{BODY}<noscript><p>MARK</p></noscript>",
    "dialog": f"{BODY}<dialog>MARK</dialog>",
    "aside": f"<main>{BODY}<aside class=warning><p>Never MARK.</p></aside></main>",
    "footer of a quote": f"{BODY}<blockquote><p>So it is.</p><footer>MARK</footer></blockquote>",
    "footer of an article": f"<article>{BODY}<footer>By MARK</footer></article>",
    "frame": f"{BODY}<iframe srcdoc='&lt;p&gt;MARK&lt;/p&gt;'></iframe>",
    "fallback of a frame": f"{BODY}<iframe src=x><p>MARK</p></iframe>",
    "drawing": f"{BODY}<svg><style>x</style><text>MARK</text></svg>",
    "image": f"{BODY}<img src=x alt='MARK'>",
    "linked image": f"{BODY}<a href=/x><img src=x alt='MARK'></a>",
    "caption": f"{BODY}<figure><img src=x><figcaption>MARK</figcaption></figure>",
    "table in a table": f"{BODY}<table><tr><td>a<table><tr><td>MARK</table></table>",
    "definition": f"{BODY}<dl><dt>a<dd>MARK</dl>",
    "links under a heading": f"{BODY}<h2>See also</h2><div><div><ul>{ITEMS}<li><a href=/m>MARK</a></ul></div></div>",
    "links in the text": f"{BODY}<ul>{ITEMS}<li><a href=/m>MARK</a></li></ul>",
    "a page of links": f"<h1>Links</h1><ul>{ITEMS}<li><a href=/m>MARK</a></li></ul>",
    "nothing but navigation": f"<nav><ul>{ITEMS}<li><a href=/m>MARK</a></li></ul></nav>",
    "downloads": f"<div>{BODY}</div><div><h2>Downloads</h2><ul>{ITEMS}<li><a href=/m>MARK</a></ul></div>",
    "a stray sign": "<p>if a<MARK then b</p>",
    "an unclosed tag": f"{BODY}<p>3 <4 MARK",
    "after a comment": f"{BODY}<!-- a > b -->MARK",
    "CDATA": f"{BODY}<p><![CDATA[a < MARK]]></p>",
    "soft hyphen": f"{BODY}<p>MA&shy;R&#8203;K</p>",
    "wbr": f"{BODY}<p>MA<wbr>RK</p>",
    "empty title": f"<title/>{BODY}MARK",
}


@pytest.mark.parametrize("name", FURNITURE)
def test_furniture_is_left_out_and_counted(name: str) -> None:
    parsed = read(FURNITURE[name])
    assert "# Pump\n\nClose the valve" in parsed.text and "Homeward" not in parsed.text
    assert parsed.coverage is not None and parsed.coverage.furniture and not parsed.coverage.notes
    assert "Homeward" in html_text(FURNITURE[name])


@pytest.mark.parametrize("name", KEPT)
def test_content_is_kept_regardless_of_ids_and_classes(name: str) -> None:
    parsed = read(KEPT[name])
    assert "MARK" in parsed.text and "secret" not in parsed.text
    assert parsed.coverage is not None and parsed.coverage.notes == ()


def test_scripts_and_titles_are_no_text() -> None:
    parsed = read(f"<script type=application/ld+json>{{'a': 'b'}}</script><style>p {{}}</style>{BODY}")
    assert parsed.text == "# Pump\n\nClose the valve before you open the lid of the pump."


def test_a_card_in_a_link_keeps_its_heading_and_anchor_marks_are_removed() -> None:
    assert read("<a href=/x><h3>Card</h3><p>Text</p></a>").text == "### Card\n\nText"
    assert read("<h2>Bleeding <a href='#b'>¶</a></h2><p>Text</p>").text == "## Bleeding\n\nText"


def test_xhtml_with_an_empty_title_is_read_whole() -> None:
    page = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body><p>Text</p></body></html>'
    assert {parse(page.encode(), name).text for name in ("a.html", "a.xhtml", "a.xml")} == {"Text"}


JOINED = {
    "inline elements": ("<p><i>al</i><b>ph</b><em>a</em> beta</p>", "alpha beta"),
    "adjacent code": ("<p><code>al</code><code>pha</code> be<kbd>ta</kbd></p>", "alpha be ta"),
    "marks in pre": ("<pre><mark>al</mark>pha <i>be</i>ta</pre>", "alpha beta"),
    "links": ("<p>al<a href=/x>pha</a>beta <a>ga</a>mma</p>", "al pha beta gamma"),
    "field after a word": ("<p>alpha<input value=beta>gamma</p>", "alpha beta gamma"),
    "label after a word": ("<h2>alpha<label>beta</label>gamma</h2>", "alpha beta gamma"),
    "image after a word": ("<p>alpha<img alt=beta>gamma</p>", "alpha beta gamma"),
    "options": ("<select><option label=alpha><option>beta<option value=gamma></select>", "alpha beta gamma"),
    "frames": ("<div>alpha</div><iframe srcdoc='&lt;b&gt;be&lt;/b&gt;ta'></iframe>", "alpha beta"),
    "drawing": ("<svg><text>alpha</text><text>beta</text></svg>", "alpha beta"),
}


@pytest.mark.parametrize("name", JOINED)
def test_text_and_view_have_the_words_that_a_browser_shows(name: str) -> None:
    body, shown = JOINED[name]
    content = html_content(f"<html><head><title>T</title></head><body>{body}</body></html>")
    assert content.parts[0].text.split() == shown.split()
    coverage = coverage_of(content)
    assert coverage is not None and coverage.kept == coverage.seen == len(shown.split()) and not coverage.notes


WORDS = st.lists(st.text("abcdefghij", min_size=3, max_size=8), min_size=1, max_size=8).map(" ".join)
TEXTS = st.builds(lambda tag, text: f"<{tag}>{text}</{tag}>", st.sampled_from(("p", "pre", "dt", "label")), WORDS)
LINKS = st.lists(WORDS, min_size=1, max_size=4).map(
    lambda texts: "<ul>" + "".join(f"<li><a href=/{text[:2]}>{text}</a></li>" for text in texts) + "</ul>"
)
ROWS = st.lists(WORDS, min_size=1, max_size=3).map(
    lambda cells: "<table><tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr></table>"
)
PAGES = st.recursive(
    st.one_of(TEXTS, LINKS, ROWS),
    lambda inner: st.builds(
        lambda tag, title, parts: f"<{tag}>{title}{''.join(parts)}</{tag}>",
        st.sampled_from(("div", "section", "article", "nav", "header", "footer", "aside", "form", "blockquote")),
        st.one_of(st.just(""), WORDS.map(lambda text: f"<h2>{text}</h2>")),
        st.lists(inner, min_size=1, max_size=4),
    ),
    max_leaves=12,
)


@given(st.lists(PAGES, min_size=1, max_size=5).map("".join))
@settings(max_examples=50, deadline=None)
def test_every_word_of_a_random_page_is_read_or_counted_as_furniture(body: str) -> None:
    coverage = read(body).coverage
    assert coverage is not None and coverage.kept + coverage.furniture == coverage.seen and not coverage.notes
    assert set(re.findall(r"[a-j]{3,}", re.sub(r"<[^<>]*>", " ", body))) <= set(re.findall(r"\w+", html_text(body)))


@given(WORDS, WORDS, st.lists(PAGES, max_size=3).map("".join))
@settings(max_examples=30, deadline=None)
def test_a_heading_keeps_the_paragraph_below_it(title: str, text: str, around: str) -> None:
    read_text = read(f"{around}<section id=navigation><h2>Q{title}</h2><p>Q{text}</p></section>{around}").text
    assert f"## Q{title}\n\nQ{text}" in read_text
