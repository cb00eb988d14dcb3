"""Old encodings are told from few words, stray NULs do no harm, and junk is called binary."""

from __future__ import annotations

import hashlib
import zlib

import pytest

from vecver.pipeline.parsers.encodings import decode

WESTERN = [
    "€ 99", "Turn it by 90° × 2.", "Set it to 50 µm ± 2.", "See § 4.", "The price is €20 – “not more”.", "naïve café",
    "Größe", "señor", "£5", "don’t", "Ça va où?", "Straße 5 – Köln", "90°", "½ cup", "© 2024 Kestrel", "It’s 5…",
    "“quoted”", "‘single’", "«Bonjour»", "Ålesund", "Øre", "façade", "Müller & Söhne", "à la carte", "10 €", "• item",
    "¿Qué?", "¡Hola, señor!", "été", "Noël", "über", "Æther", "déjà vu", "• one\n• two", "São Paulo", "résumé",
    "Zürich", "piñata", "10 ± 0.5 µA", "±5", "×", "£", "™", "a – b", "L’été à Orléans", "¥100", "GRÖSSE", "ÉTÉ",
    "CAFÉ FERMÉ", "Smörgåsbord på Åland", "kråkebær", "não", "Ação", "º", "1º", "2ª vez", "mañana…",
    "Das Ventil öffnen und schließen",
]  # fmt: skip
OTHERS = {
    ("cp1251", "koi8-r", "cp866"): ["Привет", "мир", "Насос стоит у стены", "Откройте клапан и подождите"],
    ("cp1253", "iso8859-7"): ["Καλημέρα", "Η αντλία είναι κλειστή", "Άνοιξε τη βαλβίδα"],
    ("cp1255",): ["שלום", "פתח את השסתום"],
    ("shift_jis", "euc_jp"): ["日本語", "設定を開く", "弁を閉めてください"],
    ("gbk",): ["中文", "打开阀门", "请关闭水泵"],
    ("big5",): ["打開閥門", "請關閉水泵"],
    ("euc_kr",): ["한국어", "밸브를 여십시오"],
    ("cp1250",): ["Proszę zamknąć zawór"],
}
TEXTS = ["Open the valve and wait. " * 3, "Откройте клапан. " * 3, "弁を開けて、水が静かに。\n" * 3,
         "פתח את השסתום והמתן. " * 2, "वाल्व खोलें और " * 3, "ab cd"]  # fmt: skip


def test_short_texts_in_windows_1252() -> None:
    assert [text for text in WESTERN if decode(text.encode("cp1252")) != text] == []


def test_one_sentence_of_another_script() -> None:
    wrong = [
        (encoding, text, decode(text.encode(encoding)))
        for encodings, texts in OTHERS.items()
        for encoding in encodings
        for text in texts
        if decode(text.encode(encoding)) != text
    ]
    assert wrong == []


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_encodings_without_a_mark(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize("text", ["# Café\n\nFermé à midi.\n", *TEXTS])
def test_a_nul_does_no_harm(text: str) -> None:
    data = text.encode()
    for at in (0, len(data)):
        assert decode(data[:at] + b"\0" + data[at:]) == text
    assert decode(b"name\0\0\0caf\xc3\xa9") == "name café"  # a padded field


def test_junk_is_binary() -> None:
    junk = [hashlib.shake_128(b"%d" % n).digest(600) for n in range(50)]
    junk += [zlib.compress(b"".join(junk)), b"\0\1\2\xff\xfe\0binary" * 20, b"\xff\xfe" + junk[0], bytes(range(256))]
    assert [data for data in junk if decode(data) is not None] == []


def test_terminal_and_manual_pages_are_text() -> None:
    assert decode(b"\x1b[32mok\x1b[0m " * 9) is not None
    assert decode(b"N\bNA\bAM\bME\bE " * 9) is not None
