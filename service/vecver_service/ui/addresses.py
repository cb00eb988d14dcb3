"""Which paths are pages for people, and how their addresses are made."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from urllib.parse import quote, urlencode

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
NEXT = 2000  # characters of an address to go on to after signing in
_PAGES = ("/datasets/", "/work/", "/static/")
_ONE_PAGE = ("/", SIGN_IN, SIGN_OUT, "/work")
_root: ContextVar[str] = ContextVar("root", default="")  # what a proxy puts before every path; of this request


def is_page(path: str) -> bool:
    """Is this path answered with a page, and not with JSON?"""
    return path in _ONE_PAGE or path.startswith(_PAGES)


def is_open(path: str) -> bool:
    """Is this page shown to everybody?"""
    return path in (SIGN_IN, SIGN_OUT) or path.startswith("/static/")


def set_root(root: str) -> None:
    """Let the addresses that this request makes begin with `root`, as the browser asked for it."""
    _root.set(root)


def at_root(path: str) -> str:
    """The address of a path of this service."""
    return _root.get() + path


def address(*parts: str, **query: str | int | bool | None) -> str:
    """The address of a page: its path of these parts, and its query without what is None, False or empty."""
    path = _root.get() + "/" + "/".join(quote(part, safe="") for part in parts)
    kept = {name.rstrip("_"): "1" if value is True else value for name, value in query.items() if value}
    return path + ("?" + urlencode(kept) if kept else "")


def inside(target: str) -> str:
    """An address of this service to go on to after signing in; the first page in place of any other."""
    safe = target.startswith("/") and not target.startswith(("//", "/\\")) and is_page(target.partition("?")[0])
    return target if safe and target.isprintable() and "\\" not in target else "/"


def with_query(path: str, query: Mapping[str, str]) -> str:
    """A path with its query."""
    return path + ("?" + urlencode(query) if query else "")
