"""Remotes: the other places of a repository, by name.

    remotes    sealed: name -> {"url", and "partial" where versions come without rows until they are needed}

Decisions
1. They are kept in the repository, as Git keeps them, not in the settings of a user: whoever opens it pushes to the
   same place. They do not travel: a clone has one, the place that it was cloned from.
2. Credentials come from where the tools of that store take them, the key of a service from the caller. An address with
   a user, a password or options is refused, since these would be stored and shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from vecver.errors import ConflictError, InvalidInputError, NotFoundError, say
from vecver.http_rules import is_base_url
from vecver.model import Json
from vecver.near import near
from vecver.repo import objects
from vecver.repo.refs import tracking
from vecver.repo.refs.refs import check_name
from vecver.store import Store, get_or_none

NAME = "remotes"
ORIGIN = "origin"
_SECRET = re.compile(r"^[^/]*@|[?#]")  # after the scheme
LOCKED = "locked"  # what is tracked under this name are the versions that lock files name


def read(store: Store) -> dict[str, Json]:
    """name -> {"url"} and perhaps {"partial": True}, sorted by name. Raises IntegrityError."""
    body = get_or_none(store, NAME)
    return {} if body is None else _parse(body)


def url_of(store: Store, name: str) -> str:
    """The address of a remote. Raises NotFoundError."""
    known = read(store)
    if name not in known:
        raise _missing(name, list(known))
    return str(known[name]["url"])


def add(store: Store, name: str, url: str, *, partial: bool = False) -> None:
    """Name another place. Raises InvalidInputError (the name, a secret in the address), ConflictError (taken)."""
    check_name("remote", name)
    check_address(url)
    if name == LOCKED:
        raise InvalidInputError(
            f"{name!r} names what lock files name", code="invalid_name", hint="choose another name", name=name
        )

    def added(known: dict[str, Json]) -> dict[str, Json]:
        if name in known and known[name]["url"] != url:
            raise ConflictError(
                f"there is a remote {name!r} already: {known[name]['url']}",
                code="remote_exists",
                hint=say(
                    f"choose another name, or repo.remove_remote({name!r}) first",
                    cli=f"choose another name, or `vecver remote remove {name}` first",
                ),
                name=name,
            )
        return {**known, name: {"url": url, **({"partial": True} if partial else {})}}

    _change(store, added)


def remove(store: Store, name: str) -> None:
    """Forget a remote and what was tracked of it. Raises NotFoundError."""

    def removed(known: dict[str, Json]) -> dict[str, Json]:
        if name not in known:
            raise _missing(name, list(known))
        return {other: value for other, value in known.items() if other != name}

    _change(store, removed)
    tracking.forget(store, name)


def check_address(url: str) -> None:
    """Raises InvalidInputError if an address holds a user, a password or options, one of which may be a token.

    And if it is that of no service, though it begins as one.
    """
    if "://" in url and _SECRET.search(url.partition("://")[2]):
        raise InvalidInputError(
            "the address of a remote holds a user, a password or options, which would be stored",
            code="credentials_in_url",
            hint=say(
                "leave it out: credentials come from where the cloud's own tools take them, and the key of a service "
                "is given as remote_key",
                cli="leave it out: credentials come from where the cloud's own tools take them, and the key of a "
                "service from VECVER_KEY",
            ),
        )
    if url.startswith(("http://", "https://")) and not is_base_url(url):
        raise InvalidInputError(
            "the address of a service has http or https, a host and perhaps a path",
            code="invalid_url",
            hint="write what stands before /v1: https://host or http://localhost:8000",
        )


def _change(store: Store, change: Callable[[dict[str, Json]], dict[str, Json]]) -> None:
    body = get_or_none(store, NAME)
    before = {} if body is None else _parse(body)
    if (after := change(before)) == before:
        return
    try:
        store.swap(NAME, body, objects.sealed({"remotes": after}))
    except ConflictError as error:
        raise ConflictError(
            "another process changed the remotes at this moment",
            code="remotes_moved",
            hint="look at them, and try again; nothing was changed",
        ) from error


def _parse(body: bytes) -> dict[str, Json]:
    try:
        known = objects.parse_sealed(NAME, body)["remotes"]
        return {name: {**known[name], "url": str(known[name]["url"])} for name in sorted(known)}
    except (KeyError, TypeError, AttributeError) as error:
        raise objects.malformed(NAME) from error


def _missing(name: str, known: list[str]) -> NotFoundError:
    there = f"there are: {', '.join(known)}" if known else "there is none yet"
    return NotFoundError(
        f"there is no remote {name!r}",
        code="remote_not_found",
        hint=say(
            f"repo.add_remote({name!r}, URL) names one; {there}",
            cli=f"`vecver remote add {name} URL` names one; {there}",
        ),
        name=name,
        did_you_mean=near(name, known),
    )
