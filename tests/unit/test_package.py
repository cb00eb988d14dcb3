"""Zip archives with parts replaced: spliced by hand, they are what `zipfile` makes of them."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecver.pipeline.parsers.office.package import Package

NAMES = st.sampled_from(["a.xml", "b.xml", "deep/\u00e9.xml", "new.xml"])
PARTS = st.dictionaries(NAMES, st.binary(max_size=200), max_size=4)


def archive(parts: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in parts.items():
            file.writestr(name, content)
        file.comment = comment
    return buffer.getvalue()


METHODS = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])


@settings(max_examples=50, deadline=None)
@given(PARTS, PARTS, METHODS, st.binary(max_size=5), st.sampled_from([b"", b"junk before"]))
def test_replaced_parts_are_there_and_the_others_stay(
    parts: dict[str, bytes], new: dict[str, bytes], method: int, comment: bytes, before: bytes
) -> None:
    made = Package(before + archive(parts, method, comment)).replaced(new)
    with zipfile.ZipFile(io.BytesIO(made)) as file:
        assert file.testzip() is None
        assert {name: file.read(name) for name in file.namelist()} == parts | new
    package = Package(made)
    assert {name: package.read(name) for name in package.names} == parts | new


@pytest.mark.parametrize("damage", ["crc", "cut", "size"])
def test_a_damaged_part_is_none(damage: str) -> None:
    data = bytearray(archive({"a.xml": b"text " * 100}, zipfile.ZIP_STORED))
    if damage == "crc":
        data[60] ^= 1
    elif damage == "cut":
        data[30 + 5 : 30 + 105] = b""
    else:
        data[26] = 200  # the length of its name
    try:
        package = Package(bytes(data))
    except zipfile.BadZipFile:
        return
    assert package.read("a.xml") == b""
