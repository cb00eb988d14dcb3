"""XML and feeds: all text and all attributes with text are read, tables and records keep their shape."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from vecver.model import Parsed
from vecver.pipeline.parsers.parse import parse

WORDS = st.text("abcdefghij", min_size=3, max_size=8)
NAMES = st.sampled_from(("a", "item", "para", "title", "row", "entry", "table", "name", "head", "li"))


def read(document: str) -> Parsed:
    parsed = parse(document.encode(), "x.xml")
    assert parsed.coverage is None or parsed.coverage.kept == parsed.coverage.seen - parsed.coverage.furniture
    return parsed


def test_attributes_are_read_with_their_names() -> None:
    report = (
        '<testsuite name="valves"><testcase name="opens slowly" time="0.5"><failure message="stuck at 17 bar">trace'
        '</failure></testcase><note lang="en">All passed.</note></testsuite>'
    )
    assert read(report).text == (
        "testsuite (name: valves)\n\ntestcase (name: opens slowly; time: 0.5)\n\n"
        "failure (message: stuck at 17 bar): trace\n\nAll passed."
    )
    assert read('<r><string name="app">Pump</string></r>').text == "string (name: app): Pump"
    assert "id" not in read('<a id="x1" href="http://x.y" title="Told">b</a>').text


def test_cals_and_html_like_tables_keep_their_rows() -> None:
    cals = (
        "<article><title>Lamps</title><para>See it.</para><table><title>All</title><tgroup cols='3'>"
        "<colspec colname='a'/><colspec colname='b'/><colspec colname='c'/><thead><row><entry>Model</entry>"
        "<entry namest='b' nameend='c'>Watts</entry></row></thead><tbody><row><entry>A1</entry><entry>40</entry>"
        "<entry>9.90</entry></row></tbody></tgroup></table></article>"
    )
    rows = "| Model | Watts |  |\n| --- | --- | --- |\n| A1 | 40 | 9.90 |"
    assert read(cals).text == f"# Lamps\n\nSee it.\n\nAll\n\n{rows}"
    html = "<t><table><tr><th>a|b</th><th>c</th></tr><tr><td><p>1</p><p>2</p></td></tr></table></t>"
    assert read(html).text == "| a\\|b | c |\n| --- | --- |\n| 1 2 |  |"


def test_words_of_neighbours_do_not_run_together() -> None:
    assert (
        read("<d><p>Of H<sub>2</sub>O<list><item>one</item><item>two</item></list>end</p></d>").text
        == "Of H2O one two end"
    )


def test_records_keep_their_field_names() -> None:
    records = (
        "<shop><book><title>Pumps</title><price unit='EUR'>9</price><year>1999</year></book><book><title>Lids</title>"
    )
    records += "<price unit='EUR'>7</price><year>2001</year></book></shop>"
    assert read(records).text == (
        "title: Pumps\nprice (unit: EUR): 9\nyear: 1999\n\ntitle: Lids\nprice (unit: EUR): 7\nyear: 2001"
    )


def test_the_documents_entities_are_expanded_and_others_are_noted() -> None:
    known = read('<!DOCTYPE a [<!ENTITY p "Pump K">]><a><b>The &p; <i>runs</i> &p;.</b></a>')
    assert known.text == "The Pump K runs Pump K." and not known.coverage.notes  # type: ignore[union-attr]
    bomb = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><a>x &b;</a>'
    assert "'b'" in parse(bomb.encode(), "x.xml").coverage.notes[0]  # type: ignore[union-attr]


def test_malformed_xml_keeps_its_text_and_attributes() -> None:
    text = parse(b'<a name="One two"><b>three<c><![CDATA[four < five]]></a> 3 < 6', "x.xml").text
    assert all(word in text for word in ("One two", "three", "four < five", "3 < 6"))


def test_a_feed_keeps_all_text_of_its_entries() -> None:
    rss = (
        '<rss xmlns:c="http://purl.org/rss/1.0/modules/content/" xmlns:d="http://purl.org/dc/elements/1.1/"><channel>'
        "<title>News</title><link>http://x.y</link><item><d:creator>Ann</d:creator><category>Pumps</category>"
        "<category>Lids</category><pubDate>1 May</pubDate><description>Short words</description>"
        "<c:encoded>&lt;p&gt;The &lt;b&gt;whole&lt;/b&gt; of it.&lt;/p&gt;</c:encoded></item></channel></rss>"
    )
    assert read(rss).text == (
        "# News\n\nlink: http://x.y\n\n## Untitled\n\ncreator: Ann\ncategory: Pumps, Lids\npubDate: 1 May\n\n"
        "The **whole** of it.\n\nShort words"
    )
    atom = (
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>News</title><entry><title>One</title><author><name>Ann</name>'
        '</author><category term="Pumps"/><summary>Open</summary><content type="html">Open it</content></entry></feed>'
    )
    parsed = read(atom)
    assert parsed.text == "# News\n\n## One\n\nauthor: Ann\ncategory: Pumps\n\nOpen it"
    assert parsed.coverage is not None and parsed.coverage.furniture == 1


@st.composite
def trees(draw: st.DrawFn, depth: int = 0) -> ElementTree.Element:
    element = ElementTree.Element(draw(NAMES))
    element.text = draw(st.one_of(st.none(), WORDS))
    for name in draw(st.lists(st.sampled_from(("label", "message", "value")), max_size=2, unique=True)):
        element.set(name, draw(WORDS))
    for child in draw(st.lists(trees(depth + 1), max_size=3)) if depth < 4 else []:
        child.tail = draw(st.one_of(st.none(), WORDS))
        element.append(child)
    return element


@given(trees())
@settings(max_examples=50, deadline=None)
def test_every_word_of_random_xml_is_read(root: ElementTree.Element) -> None:
    text = read(ElementTree.tostring(root, encoding="unicode")).text
    for element in root.iter():
        for words in (element.text, *element.attrib.values(), *(child.tail for child in element)):
            assert not words or words in text
