"""The messy documents of ../shared/data: each is read or reported, with its encoding and its password."""

from __future__ import annotations

import json

import pytest
from paths import SHARED

from vecver.pipeline.parsers.parse import Unreadable, parse

MESSY = SHARED / "data/messy/dev"


# -- the messy files ---------------------------------------------------------------------------

messy = pytest.mark.skipif(not MESSY.is_dir(), reason=f"the messy documents are not at {MESSY}")


UNREADABLE = {
    "bad1.pdf": "malformed",
    "empty.pdf": "empty",
    "empty.txt": "empty",
    "empty_protected.pdf": "needs_ocr",
    "fake-text-all-whitespace.txt": "no_text",
    "imagemagick-images.pdf": "needs_ocr",
    "issue-263.pdf": "malformed",
    "password_protected.xlsx": "encrypted",
    "poppler-395-0-fuzzed.pdf": "malformed",
    "random.bin": "binary",
    "simple.zip": "unsupported",
    "testODTnotaZipFile.odt": "malformed",
    "testWORD_truncated.docx": "malformed",
    "testZIP_corrupted_oom.zip": "unsupported",
}


PASSWORDS = {
    "libreoffice-writer-password.pdf": "openpassword",
    "r6-user-password.pdf": "asdfzxcv",
    "testWORD_protected_passtika.docx": "tika",
}


WORDS = {  # a word or two of each old encoding, as its readers write it
    "russian.cp866.txt": "Однажды",
    "money.rin.ru.xml": "Экономика и финансы",
    "info.org.il.xml": "בעברית",
    "linyijen.blogspot.com.xml": "短髮俏麗",
    "overcube.com.xml": "はんなり",
    "poliplus.egloos.com.xml": "명계 백옥루",
    "test_mskanji.csv": "髙橋淳",
    "umlauts-non-utf8.md": "äöüß",
    "fake-text-utf-16-le.txt": "Doylestown",
    "fake-html-cp1252.html": "€",
    "example-steelJIS-datasheet-utf-16.html": "日本語",
    "stanley-cups-utf-16.csv": "Stanley Cups",
    "testArabicMisleadingCharset.html": "القرى",
    "japanese_iso_2022.eml": "まみむめも",
    "utf8_headers.eml": "Säying Hello",
    "testRTFJapanese.rtf": "尾崎",
    "hukumusume-source.html": "福娘",
    "qq-source.html": "腾讯",
    "multilang.pdf": "مرحبا",
    "korean-text-with-tables.pdf": "커피전문점",
    "test_outlook_msg.msg": "Kurtuluş",
}


def outcome(name: str, passwords: tuple[str, ...] = ()) -> str:
    """The code of the failure, or the text."""
    try:
        return parse((MESSY / name).read_bytes(), name, passwords).text
    except Unreadable as error:
        return error.code


@messy
def test_every_messy_file_is_read_or_reported() -> None:
    names = [json.loads(line)["file"] for line in (MESSY / "manifest.jsonl").read_text().splitlines()]
    assert len(names) == 108
    outcomes = {name: outcome(name, (PASSWORDS[name],) if name in PASSWORDS else ()) for name in names}
    assert {name: code for name, code in outcomes.items() if name in UNREADABLE} == UNREADABLE
    readable = {name: text for name, text in outcomes.items() if name not in UNREADABLE}
    assert [name for name, text in readable.items() if len(text.split()) < 1 or text in UNREADABLE.values()] == []
    assert 700_000 < sum(map(len, readable.values())) < 1_000_000  # 846,122 with the versions of 2026-11


@messy
@pytest.mark.parametrize(("name", "word"), WORDS.items())
def test_messy_encodings(name: str, word: str) -> None:
    text = outcome(name)
    assert word in text
    assert "\ufffd" not in text


@messy
@pytest.mark.parametrize(("name", "password"), PASSWORDS.items())
def test_messy_passwords(name: str, password: str) -> None:
    assert outcome(name) == "encrypted"
    assert outcome(name, ("wrong",)) == "wrong_password"
    assert "encrypt" in outcome(name, ("wrong", password)) or "Lorem" in outcome(name, (password,))
    assert "encryption test" in outcome("r6-empty-password.pdf", ("needless",))
