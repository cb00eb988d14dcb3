"""Old encodings are recognised from few words, stray NULs are removed, and junk is called binary."""

from __future__ import annotations

import hashlib
import zlib

import pytest

from vecver.pipeline.parsers.detection.encodings import decode

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
UNSEEN = (  # before `guessing` minded ASCII eaten by wide characters and mainframes' encodings, 25 were wrong
    "£12.50|€7,99|1.299,00 €|5 000 €|¥ 4500|¢75|£1m – £2m|–5 °C|20°C|37,5 °C|100°F|a 45° angle|90°/180°|½|"
    '¼ inch|¾ of a cup|1½ cups|2½"|10 µg|5 µl|3 µm/s|Ø 12 mm|±0,1 mm|10 m²|25 m³|cm³|H²|x²+y²|n°5|N° 12|nº 4|'
    "2ª edición|1ª|3º piso|§ 12|§§ 3–5|§ 5 Abs. 2|¶ 3|© ACME|© 2019–2024|®|ACME®|Foo™|™ and ®|“yes”|"
    "“No,” she said.|‘maybe’|it’s|we’re|I’ve|don’t — ever|rock ’n’ roll|the ’90s|“A”|«oui»|« non »|‹a›|„ja“|"
    "»ja«|Wait…|…and then|a—b|2010–2015|pp. 5–7|• first|· item|†|‡ see below|¡Olé!|¿Cómo?|¿Dónde está?|"
    "¡Feliz año!|niño|El Niño|mañana|español|corazón|canción|información|áéíóú|Málaga|Cádiz|León|Perú|"
    "pingüino|cigüeña|AÑO|ESPAÑA|JOSÉ|MARÍA|¡ADIÓS!|ATENCIÓN|français|garçon|élève|être|hôtel|forêt|août|île|"
    "où|œuf|cœur|sœur|bœuf|ÉCOLE|À VENDRE|ÇA VA|FRANÇAIS|GARÇON|FORÊT|Œuvre|ŒUVRE|naïf|Citroën|L’eau|l’été|"
    "d’accord|aujourd’hui|Là-bas|à bientôt|très bien|fermé|réservé|Nº|Größe|größer|Äpfel|Öl|Übung|süß|heiß|"
    "weiß|Maß|Fuß|Straße|STRAßE|MÜNCHEN|KÖLN|TÜR|ÖFFNEN|SCHLÜSSEL|ÄNDERN|GRÜN|Grüße|schön|Bär|Käse|für|über|"
    "fünf|zwölf|Tschüss, schöne Grüße|Ölfilter prüfen|Gerät|Gerätenr.|hier drücken – dort lösen|São João|"
    "coração|pão|mãe|irmã|não|nações|AÇÃO|SÃO|NÃO|ATENÇÃO|INFORMAÇÕES|você|avó|avô|água|Água|três|ônibus|"
    "às 5|português|à noite|perché|è|È vero|città|più|lunedì|però|Å|å|Åse|ÅR|ÖSTERSUND|öl|ö|ä|älv|räka|smör|"
    "SMÖRGÅS|blåbær|BLÅBÆR|rødgrød|RØDGRØD|Øl|ø|ØRE|æble|Ærø|tærte|fløde|hvordan går det?|på|så|også|være|"
    "Þór|Þingvellir|Ísland|ÍSLAND|Reykjavík|þú|Eyjafjallajökull|maður|í dag|að|Við|Tämä|pyörä|äiti|"
    "hyvää päivää|ÄITI|HYVÄÄ YÖTÄ|yö|één|coördinatie|geïnd|Curaçao|Brontë|café – bar|cliché|Déjà|fiancée|"
    "Señorita|El Ángel|jalapeño|crème brûlée|CRÈME BRÛLÉE|vis-à-vis|Gödel|Schrödinger|Ångström|5 Å|Poincaré"
)  # fmt: skip
UNSEEN_OTHERS = {  # encoding -> how many may be wrong, phrases
    'cp1250': (8, (
        "Dobrý den|Příliš žluťoučký kůň|zażółć|Łódź|Wrocław jest piękny|Dziękuję|čeština|Škoda|řeka|nőstény|"
        "Köszönöm szépen|főzőkanál|Košice|ľúbim|život|Bucuresti|Ž"
    )),
    'cp1251': (2, (
        "Да|Нет|Цена|Цена 5 руб.|Здравствуйте|ВНИМАНИЕ|НАСОС|Закройте клапан|Привіт|Ціна|Благодаря|Насос № 5|"
        "Кнопка «Пуск»|масло|Вода, газ"
    )),
    'koi8-r': (0, (
        "Да|Нет|Цена 5 руб.|Здравствуйте|ВНИМАНИЕ|Закройте клапан|масло|Насос 5|Вода, газ"
    )),
    'cp1253': (2, (
        "Ναι|Όχι|Τιμή|Ευχαριστώ πολύ|ΠΡΟΣΟΧΗ|Η βαλβίδα|νερό|Αθήνα|Κλείστε την αντλία"
    )),
    'cp1254': (10, (
        "Günaydın|İstanbul|ışık|Teşekkürler|şeker|ağaç|Çıkış|GİRİŞ|Vanayı kapatın|düğme"
    )),
    'cp1255': (2, (
        "כן|לא|מחיר|תודה רבה|סגור את המשאבה|מים|זהירות!|ירושלים"
    )),
    'shift_jis': (1, (
        "水|弁を閉じる|価格|注意|ありがとう|東京都|ポンプ|電源を切る|カメラ|使い方"
    )),
    'euc_jp': (2, (
        "水|弁を閉じる|価格|注意|ありがとう|東京都|ポンプ|電源を切る|使い方"
    )),
    'gb18030': (5, (
        "水|价格|注意|谢谢|北京市|关闭阀门|请打开电源|使用说明|你好|泵"
    )),
    'big5': (1, (
        "價格|注意|謝謝|臺北市|關閉閥門|請打開電源|使用說明|你好"
    )),
    'euc_kr': (3, (
        "물|가격|주의|감사합니다|서울시|밸브를 닫으십시오|안녕하세요|전원을 끄다|사용 설명서"
    )),
}  # fmt: skip
TEXTS = ["Open the valve and wait. " * 3, "Откройте клапан. " * 3, "弁を開けて、水が静かに。\n" * 3,
         "פתח את השסתום והמתן. " * 2, "वाल्व खोलें और " * 3, "ab cd"]  # fmt: skip


def test_short_texts_in_windows_1252() -> None:
    assert [text for text in WESTERN if decode(text.encode("cp1252")) != text] == []


def wrong(texts: list[str], encoding: str) -> list[str]:
    return [text for text in texts if decode(text.encode(encoding)) != text]


def test_unseen_short_texts_in_windows_1252() -> None:
    assert wrong(UNSEEN.split("|"), "cp1252") == ["áéíóú"]  # no word: it is read as Greek


@pytest.mark.parametrize("encoding", UNSEEN_OTHERS)
def test_unseen_words_of_other_encodings(encoding: str) -> None:
    misses, texts = UNSEEN_OTHERS[encoding]
    assert len(wrong(texts.split("|"), encoding)) == misses


def test_one_sentence_of_another_script() -> None:
    misread = [
        (encoding, text, decode(text.encode(encoding)))
        for encodings, texts in OTHERS.items()
        for encoding in encodings
        for text in texts
        if decode(text.encode(encoding)) != text
    ]
    assert misread == []


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_encodings_without_a_mark(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize("text", ["# Café\n\nFermé à midi.\n", *TEXTS])
def test_stray_nuls_are_removed(text: str) -> None:
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
