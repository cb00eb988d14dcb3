"""A file's own metadata becomes fields that filters match: typed, bounded, the same on every machine."""

from __future__ import annotations

import datetime
import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx
import pytest
from helpers import open_on
from hypothesis import given, settings
from hypothesis import strategies as st
from odf import dc, meta
from odf.opendocument import OpenDocumentText
from odf.text import P
from openpyxl.packaging.custom import IntProperty
from paths import GOLDEN
from reportlab.pdfgen import canvas

import vecver
from vecver.digest import canonical_json
from vecver.model import Parsed
from vecver.pipeline.parsers import properties
from vecver.pipeline.parsers.office.package import Package
from vecver.pipeline.parsers.parse import parse
from vecver.store import LocalStore


def markdown(matter: str, text: str = "Text.") -> Parsed:
    return parse(f"---\n{matter}\n---\n{text}\n".encode(), "a.md")


def notes(parsed: Parsed) -> str:
    return " ".join(parsed.coverage.notes) if parsed.coverage else ""


def folder(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def found(docs: vecver.Dataset, filter: Any) -> set[str]:
    return {hit.document for hit in docs.search("text", k=99, filter=filter)}


# -- in a repository ------------------------------------------------------------------------------


@pytest.fixture
def docs() -> vecver.Dataset:
    return vecver.open(vecver.MemoryStore(), create=True).dataset("notes")


def test_files_are_found_by_path_folder_and_front_matter(docs: vecver.Dataset, tmp_path: Path) -> None:
    source = folder(
        tmp_path,
        {
            "a.md": "---\nauthor: Eva\ntags: [heat, water]\nyear: 2024\n---\nText a.",
            "deep/b.md": "---\nauthor: Bob\nyear: 2026\ndate: 2026-03-01\n---\nText b.",
            "deep/er/c.txt": "Text c.",
        },
    )
    docs.ingest(source, embedder="hashing", prefix="kb/")
    assert found(docs, {"author": "Eva"}) == found(docs, {"tags": "water"}) == {"kb/a.md"}
    assert found(docs, {"year": {"$gt": 2024}}) == found(docs, {"date": {"$lt": "2026-03-02"}}) == {"kb/deep/b.md"}
    assert found(docs, {"folder": "deep"}) == {"kb/deep/b.md"}
    assert found(docs, {"folder": ""}) == {"kb/a.md"}
    assert found(docs, {"path": "deep/er/c.txt"}) == {"kb/deep/er/c.txt"}
    assert not docs.ingest(source, prefix="kb/").changed
    alone = docs.ingest(source / "deep/er/c.txt", prefix="kb/")
    assert not alone.changed  # its path is that below the source, also where it is given by itself


def test_a_field_may_have_other_types_in_other_files(docs: vecver.Dataset, tmp_path: Path) -> None:
    dates = {"number": "2024", "day": "2024-05-01", "text": "soon", "list": "[2024, soon]", "object": "{from: 2024}"}
    source = folder(tmp_path, {f"{name}.md": f"---\ndate: {date}\n---\nText." for name, date in dates.items()})
    report = docs.ingest(source, embedder="hashing")
    assert (report.documents["added"], report.failures) == (5, ())
    assert found(docs, {"date": 2024}) == {"number.md", "list.md"}
    assert found(docs, {"date": "soon"}) == {"text.md", "list.md"}
    assert found(docs, {"date": {"$gte": "2024-01-01", "$lt": "2025"}}) == {"day.md"}


def test_an_older_repository_gets_metadata_without_embedding_again(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "v2", tmp_path / "v2")
    docs = open_on(LocalStore(tmp_path / "v2")).dataset("handbook")
    before = docs.resolve()
    texts = {f"day-{n}.md": f"# Day {n}\n\nToday is day {n}.\n" for n in range(9)}
    source = folder(tmp_path / "moved", texts)
    assert not any(docs.status(source, label="handbook")[what] for what in ("added", "changed"))
    report = docs.ingest(source, label="handbook", keep_missing=True)
    assert (report.documents["changed"], report.chunks["embedded"], report.changed) == (9, 0, True)
    assert "9 files are read again for their metadata" in " ".join(report.notes)
    assert found(docs, {"path": "day-3.md"}) == {"day-3.md"}
    assert not docs.ingest(source, label="handbook", keep_missing=True).changed
    assert docs.search("day", at=before, k=1)[0].metadata == {}


def test_equal_folders_have_equal_content(tmp_path: Path) -> None:
    """Whatever their names, their times and the order of the front matter's fields."""
    roots = set()
    for name, matter in (("one", "a: 1\nb: x"), ("two", "a: 1\nb: x")):
        docs = vecver.open(vecver.MemoryStore(), create=True).dataset("d")
        source = folder(tmp_path / name, {"deep/a.md": f"---\n{matter}\n---\nText.", "b.txt": "Text."})
        docs.ingest(source, embedder="hashing", label="same")
        roots.add(docs.show().content_root)
    assert len(roots) == 1


def test_omitted_metadata_is_reported(docs: vecver.Dataset, tmp_path: Path) -> None:
    many = "".join(f"field{number}: {number}\n" for number in range(500))
    report = docs.ingest(folder(tmp_path, {"a.md": f"---\n{many}---\nText."}), embedder="hashing")
    assert report.failures == () and "436 fields" in " ".join(report.coverage["a.md"].notes)
    assert len(docs.search("text")[0].metadata) == properties.MOST_FIELDS + 2  # with path and folder


# -- front matter ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("Eva", "Eva"),
        ("'2024'", "2024"),
        ("!!str 2024", "2024"),
        ("2024", 2024),
        ("-1.5e3", -1500.0),
        ("true", True),
        ("no", "no"),
        ("012", "012"),
        ("+49", "+49"),
        ("12:30", "12:30"),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("1.10", 1.1),
        ("99999999999999999999", "99999999999999999999"),
        ("2024-05-01", "2024-05-01"),
        ("2024-13-01", "2024-13-01"),
        ("[a, b]", ["a", "b"]),
        ("\n- a\n- b", ["a", "b"]),
        ("[1, a, null]", [1, "a", None]),
        ("{name: Eva, age: 3}", {"name": "Eva", "age": 3}),
        ("|\n  two\n  lines", "two\nlines"),
        ("what: a guide # of ours", "what: a guide"),
        ("'it''s'", "it's"),
        ("\u00dcbung \U0001f600", "\u00dcbung \U0001f600"),
    ],
)
def test_values_keep_the_type_they_are_written_with(written: str, value: Any) -> None:
    parsed = markdown(f"before: x\nfield: {written}\nafter: y")
    assert parsed.metadata == {"before": "x", "field": value, "after": "y"}
    assert type(parsed.metadata["field"]) is type(value) and not notes(parsed)


@pytest.mark.parametrize("written", ["", "~", "null", "# nothing"])
def test_empty_values_are_no_fields(written: str) -> None:
    assert markdown(f"field: {written}\nother: x").metadata == {"other": "x"}


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00+00:00"),
        ("2024-05-01 10:00", "2024-05-01T10:00:00+00:00"),
        ("2024-05-01 10:00:00.5 -0530", "2024-05-01T10:00:00.500000-05:30"),
        ("2024-05-01t1:00:00 +2", "2024-05-01T01:00:00+02:00"),
    ],
)
def test_a_time_is_stored_beside_its_day(written: str, time: str) -> None:
    assert markdown(f"date: {written}").metadata == {"date": "2024-05-01", "date_time": time}


def test_toml_is_read_too() -> None:
    text = '+++\ntitle = "Pumps"\nweight = 3\ndate = 2024-05-01T10:00:00+02:00\n[params]\nauthor = "Eva"\n+++\nText.'
    parsed = parse(text.encode(), "a.md")
    assert parsed.title == "Pumps" and parsed.metadata == {
        "weight": 3,
        "date": "2024-05-01",
        "date_time": "2024-05-01T10:00:00+02:00",
        "params": {"author": "Eva"},
    }
    broken = parse(b"+++\na = = 1\n+++\nText.", "a.md")
    assert broken.metadata == {} and "TOML" in notes(broken)


def test_names_with_another_meaning_get_an_underscore() -> None:
    parsed = markdown("title: T\npage: 3\nid: x\npath: /elsewhere\nheadings: [a]", "# T\n\nText.")
    assert parsed.metadata == {"page_": 3, "id_": "x", "path_": "/elsewhere", "headings_": ["a"]}


def test_a_rule_at_the_head_is_no_front_matter() -> None:
    parsed = parse(b"---\nOnly prose here.\n---\nText.", "a.md")
    assert parsed.metadata == {} and parsed.coverage is None


@pytest.mark.parametrize(
    ("matter", "said"),
    [
        ("a: &a [x, x]\nb: [*a, *a]", "refers to another part"),
        ("a: &a\n  b: *a", "refers to another part"),
        ("a: " + "[" * 5000, "nested"),
        ("a: " + "{b: " * 50, "nested"),
        ("a: [" + "1, " * 9000 + "]", "more than 1,000 values"),
        ("a: [\n  1", "no sound YAML"),
        ("a: 1\na: 2", "twice"),
        ("$or: 1", "$"),
        ("x" * 150 + ": 1", "more than 100 characters"),
        ("a: " + "x" * 9000, "cut to 4,000"),
        ("a: [" + "b, " * 300 + "]", "256 items"),
        ("\n".join(f"a{n}: {'x' * 3000}" for n in range(20)), "32,000 bytes"),
        ("\n".join(f"a{n}: {n}" for n in range(2000)), "first 1,000"),
        ("a: " + "x" * 100_001, "does not end within 100,000"),
        ("a: ? [x]\n  : y", "no sound YAML"),
    ],
)
def test_hostile_values_are_bounded_and_noted(matter: str, said: str) -> None:
    parsed = markdown(matter)
    assert said in notes(parsed)
    assert len(str(parsed.metadata)) < 2 * properties.MOST_BYTES


def test_characters_that_no_filter_can_hold_are_replaced() -> None:
    assert markdown('a: "x\\0y\\x1b[31m\\ud800"\n"b\\0": 1').metadata.get("a", "").count("\x1b") == 0
    made, notes = properties.cleaned({"a": "x\0\x1b\ud800\u202ey\n", "b\0c": 1, "d": b"raw", "e": object()}, "")
    assert made == {"a": "x\ufffd\ufffd\ufffd\ufffdy\n", "b\ufffdc": 1} and "a bytes" in " ".join(notes)


def test_a_reader_of_properties_that_fails_costs_no_document() -> None:
    def fails(source: object) -> properties.Fields:
        raise RecursionError

    made, notes = properties.cleaned(properties.attempted(fails, None), "")
    assert made == {} and "RecursionError" in notes[0]


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab01:-[]{}&*!|>'\"# \n\t,.$?%\0\u2028"), max_size=200))
def test_any_front_matter_becomes_json_metadata(matter: str) -> None:
    parsed = markdown(matter)
    assert json.loads(canonical_json(parsed.metadata)) == parsed.metadata


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes() | st.dates() | st.binary()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), VALUES))
def test_any_fields_become_json_metadata(fields: dict[str, Any]) -> None:
    made, _ = properties.cleaned(fields, "title")
    canonical_json(made).decode()
    assert not any(name.startswith("$") for name in made) and made.keys().isdisjoint(("title", "page", "id"))


# -- mail -----------------------------------------------------------------------------------------


def test_headers_of_mail() -> None:
    raw = (
        'From: "M\u00fcller, Eva" <Eva@X.org>\nTo: a@b.c, Bob <b@c.d>\nCc: Team <team@x.org>\n'
        "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nDate: Sun, 1 Mar 2026 23:30:00 -0500\n"
        "Message-ID: <1@x>\nIn-Reply-To: <0@x>\nReferences: <z@x> <0@x>\n\nBody."
    )
    assert parse(raw.encode(), "a.eml").metadata == {
        "from": ["eva@x.org", "M\u00fcller, Eva"],
        "to": ["a@b.c", "b@c.d", "Bob"],
        "cc": ["team@x.org", "Team"],
        "subject": "Gr\u00fc\u00dfe",
        "date": "2026-03-01",
        "date_time": "2026-03-01T23:30:00-05:00",
        "message_id": "1@x",
        "in_reply_to": "0@x",
        "references": ["z@x", "0@x"],
    }


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("Date: soon", {"date": "soon"}),
        ("Date: Sun, 1 Mar 2026 10:00:00 -0000", {"date": "2026-03-01", "date_time": "2026-03-01T10:00:00+00:00"}),
        ("Date: Sun, 99 Mar 2026 99:00:00 +9999", {"date": "Sun, 99 Mar 2026 99:00:00 +9999"}),
        ("From: nobody at all", {"from": ["nobody at all"]}),
        ("To: undisclosed-recipients:;", {"to": ["undisclosed-recipients:;"]}),
    ],
)
def test_broken_headers_of_mail(headers: str, expected: dict[str, Any]) -> None:
    assert parse(f"{headers}\nSubject: s\n\nBody.".encode(), "a.eml").metadata == {**expected, "subject": "s"}


# -- properties of documents ----------------------------------------------------------------------


def saved(document: Any) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def office(name: str, at: datetime.datetime) -> bytes:
    """A document with properties, last changed at a time of its own."""
    if name == "a.odt":
        text = OpenDocumentText()
        text.text.addElement(P(text="Hello."))
        for element in (meta.InitialCreator(text="Eva"), dc.Creator(text="Other"), dc.Subject(text="Money")):
            text.meta.addElement(element)
        for element in (meta.Keyword(text="a"), meta.Keyword(text="b"), meta.CreationDate(text="2024-05-01T10:00:00")):
            text.meta.addElement(element)
        text.meta.addElement(dc.Date(text=at.isoformat()))
        text.meta.addElement(meta.UserDefined(name="No", valuetype="float", text="7"))
        return saved(text)
    if name == "a.xlsx":
        book: Any = openpyxl.Workbook()
        book.active["A1"] = "Hello."
        book.custom_doc_props.append(IntProperty(name="No", value=7))
        core: Any = book.properties
        core.creator = "Eva"
    else:
        book = docx.Document() if name == "a.docx" else pptx.Presentation()
        if name == "a.docx":
            book.add_paragraph("Hello.")
        else:
            book.slides.add_slide(book.slide_layouts[0]).shapes.title.text = "Hello."
        core = book.core_properties
        core.author, core.comments = "Eva", ""
    core.subject, core.keywords, core.created, core.modified = "Money", "a, b", datetime.datetime(2024, 5, 1, 10), at
    core.description = ""
    return saved(book)


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx", "a.pptx", "a.odt"])
def test_properties_of_office_files(name: str) -> None:
    """Those that say what it is, also what a company added; never when it was changed last."""
    one, two = (parse(office(name, datetime.datetime(2025, month, 1)), name).metadata for month in (1, 2))
    wanted = {"author": "Eva", "subject": "Money", "keywords": ["a", "b"], "created": "2024-05-01"}
    assert one == two and {key: one[key] for key in wanted} == wanted
    assert one["created_time"].startswith("2024-05-01T10:00:00")
    assert one.get("No") == (7 if name in ("a.xlsx", "a.odt") else None)
    assert not any("2025" in str(value) for value in one.values())


def test_properties_of_pdf() -> None:
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer, invariant=True)
    page.setAuthor("Eva; Bob"), page.setTitle("Budget"), page.setSubject("Money"), page.setKeywords(["a", "b"])
    page.drawString(100, 700, "Hello world"), page.save()
    assert parse(buffer.getvalue(), "a.pdf").metadata == {
        "title_": "Budget",
        "author": ["Eva", "Bob"],
        "subject": "Money",
        "creator": "anonymous",
        "keywords": ["a", "b"],
        "created": "2000-01-01",
        "created_time": "2000-01-01T00:00:00+00:00",
    }


def test_properties_of_rtf_and_html() -> None:
    rtf = rb"{\rtf1\ansi{\info{\title Pumps}{\author J\'fcrgen}{\keywords a, b}{\creatim\yr2024\mo5\dy1}}Hello.\par}"
    wanted = {"title_": "Pumps", "author": "J\u00fcrgen", "keywords": ["a", "b"], "created": "2024-05-01"}
    assert parse(rtf, "a.rtf").metadata == wanted
    page = (
        '<html lang=en><head><title>T</title><meta name=author content=Eva><meta name=keywords content="a, b">'
        '<meta property="article:published_time" content="2024-05-01T10:00:00Z"></head>'
        "<body><p>Hello.</p></body></html>"
    )
    assert parse(page.encode(), "a.html").metadata == {
        "language": "en",
        "author": "Eva",
        "keywords": ["a", "b"],
        "date": "2024-05-01",
        "date_time": "2024-05-01T10:00:00+00:00",
    }


def test_broken_properties_cost_no_document() -> None:
    data = office("a.docx", datetime.datetime(2025, 1, 1))
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><x><subject>&b;</subject></x>'
    for content in ("<no xml", bomb, "<x>" + "<subject>s</subject>" * 5000 + "</x>"):
        parsed = parse(Package(data).replaced({"docProps/core.xml": content.encode()}), "a.docx")
        assert "Hello." in parsed.text and len(str(parsed.metadata)) < 10_000


# -- a mailbox ------------------------------------------------------------------------------------


def mailbox(*mails: tuple[str, str, str]) -> bytes:
    """(from, subject, text) of each mail."""
    one = "From x@x.org Sun Mar  1 10:00:00 2026\nFrom: {}\nSubject: {}\nDate: Sun, 1 Mar 2026 10:00:00 +0000\n\n{}\n\n"
    return "".join(one.format(*mail) for mail in mails).encode()


@pytest.mark.parametrize("chunker", ["structure", "whole"])
def test_each_mail_of_a_mailbox_has_its_own(docs: vecver.Dataset, tmp_path: Path, chunker: str) -> None:
    long = " ".join(f"word{number}" for number in range(300))
    mails = [("Eva <eva@x.org>", "Pumps", long), ("bob@x.org", "Valves", "Short."), ("Ann <ann@x.org>", "End", "E.")]
    box = mailbox(*mails)
    single = b"From: bob@x.org\nSubject: Alone\n\nOne mail."
    source = folder(tmp_path, {"box.mbox": box, "one.eml": single, "note.md": "---\nauthor: Eva\n---\nText."})
    docs.ingest(source, embedder="hashing", chunker=chunker)
    everything = list(docs.search("text", k=99))

    def told(filter: Any) -> set[tuple[str, str]]:
        hits = docs.search("text", k=99, filter=filter)
        return {(hit.document, str(hit.metadata["subject"])) for hit in hits}

    pumps, alone = ("box.mbox", "Pumps"), ("one.eml", "Alone")
    if chunker == "whole":
        assert told({"from": "ann@x.org"}) == {("box.mbox", "['Pumps', 'Valves', 'End']")}
        return
    short = ("box.mbox", "['Valves', 'End']")  # two mails that share a chunk
    assert told({"from": "eva@x.org"}) == {pumps}
    assert told({"from": "bob@x.org"}) == {short, alone}
    assert told({"subject": "End", "path": "box.mbox"}) == told({"from": "Ann"}) == {short}
    assert told({"date": {"$gte": "2026-03-01"}}) == {pumps, short}
    eva = sum("eva@x.org" in hit.metadata.get("from", ()) for hit in everything)
    assert len(docs.search("text", k=99, filter={"from": {"$ne": "eva@x.org"}})) == len(everything) - eva
    assert not docs.ingest(source).changed
    with pytest.raises(vecver.InvalidInputError, match="in_reply_to"):
        docs.search("text", filter={"in_reply_to": "x"})


def test_a_mailbox_keeps_its_parts_when_exported_and_compacted(docs: vecver.Dataset, tmp_path: Path) -> None:
    box = mailbox(("eva@x.org", "Pumps", "Water."), ("bob@x.org", "Valves", "Steam."))
    docs.ingest(folder(tmp_path / "in", {"box.mbox": box}), embedder="hashing")
    root = docs.show().content_root
    docs.ingest(folder(tmp_path / "in", {"b.md": "Other."}))
    docs.optimize()
    docs.snapshot("main", tmp_path / "out")
    for place in (docs, vecver.open_snapshot(tmp_path / "out")):
        (hit,) = place.search("text", k=9, filter={"from": "bob@x.org"})
        assert hit.metadata == {
            "from": ["eva@x.org", "bob@x.org"],
            "subject": ["Pumps", "Valves"],
            "date": "2026-03-01",
            "date_time": "2026-03-01T10:00:00+00:00",
            "path": "box.mbox",
            "folder": "",
        }
    assert docs.show("main~1").content_root == root


# -- light markup ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "a.rst",
            "=====\nPumps\n=====\n\n:Author: Eva\n:Date: 2024-05-01\n:Version: 3\n:orphan:\n\nText.",
            {"author": "Eva", "date": "2024-05-01", "version": 3},
        ),
        ("a.rst", ":Authors: Eva; Bob\n\nPumps\n=====\n\n:Status: not at the head", {"author": ["Eva", "Bob"]}),
        (
            "a.rst",
            "PEP: 8\nTitle: Pumps\nPost-History: 2001,\n   2002\n\nText.",
            {"pep": 8, "post_history": "2001, 2002"},
        ),
        ("a.rst", "Text first.\n\n:Author: Eva", {}),
        (
            "a.adoc",
            "= Pumps\nEva Miller <eva@x.org>; Bob\nv1.2, 2024-05-01\n:a:\n:keywords: heat, water\n\nText.\n:lang: de",
            {
                "author": ["Eva Miller", "Bob"],
                "email": "eva@x.org",
                "version": 1.2,
                "date": "2024-05-01",
                "keywords": ["heat", "water"],
            },
        ),
        ("a.adoc", ":author: Eva\n:revdate: 2024-05-01\n\n= Pumps\n\nText.", {"author": "Eva", "date": "2024-05-01"}),
        (
            "a.org",
            "#+TITLE: Pumps\n#+AUTHOR: Eva\n#+DATE: <2024-05-01 Wed>\n#+OPTIONS: toc:nil\n#+FILETAGS: :heat:water:\n\n"
            "* Head\n#+LANGUAGE: de\n",
            {"author": "Eva", "date": "2024-05-01", "tags": ["heat", "water"]},
        ),
    ],
)
def test_light_markup_fields_are_read_from_the_head(name: str, text: str, expected: dict[str, Any]) -> None:
    assert parse(text.encode(), name).metadata == expected


def test_headers_that_the_standard_library_parses_for_minutes_are_read_without_it() -> None:
    many = "".join(f"Member {number} <m{number}@x.org>, " for number in range(2000))
    parsed = parse(f"From: a@b.c\nTo: {many}\nBcc: {chr(34) * 80_000}\nSubject: s\n\nBody.".encode(), "a.eml")
    assert parsed.metadata["to"][:2] == ["m0@x.org", "m1@x.org"] and len(parsed.metadata["to"]) == properties.MOST_ITEMS
    assert "'to'" in notes(parsed) and "Member 1999 <m1999@x.org>" in parsed.text
