"""The rules that both HTTP clients follow."""

from __future__ import annotations

import pytest

from vecver.http_rules import is_base_url, masked, retry_after


@pytest.mark.parametrize("url", ["http://localhost:8000", "https://api.example.com/v1/", "http://[::1]:80", "HTTP://h"])
def test_a_base_url_has_a_host(url: str) -> None:
    assert is_base_url(url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:8000", "ftp://host", "http://", "http://[", "http://h:0", "http://h:99999", "http://a\nb"),
        *("http://user@host", "http://user:secret@host", "http://host?key=1", "http://host#part", None, 3),
        f"http://{'a' * 64}.example",
    ],
)
def test_what_is_no_base_url(url: object) -> None:
    assert not is_base_url(url)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("-1", 0.0), ("Fri, 27 Nov 2026 10:00:00 GMT", 7.0), ("", 7.0)],
)
def test_retry_after_is_in_seconds(value: str, seconds: float) -> None:
    assert retry_after({"retry-after": value}, 7.0) == seconds
    assert retry_after({}, 7.0) == 7.0


def test_a_key_is_masked_in_every_text() -> None:
    value = {"a": "Bearer vv_1", "b": ["vv_1", 1, None, {"c": "x"}]}
    assert masked(value, "vv_1") == {"a": "Bearer ***", "b": ["***", 1, None, {"c": "x"}]}
    assert masked(value, "") == value
