"""The root object of a repository: makes it, and reads which repository it is.

vecver.json   format, id and their digest; written first, so that an unfinished repository is none
"""

from __future__ import annotations

import json

from vecver.digest import canonical_json, digest_json
from vecver.errors import ConflictError, InvalidInputError, NotFoundError, say
from vecver.repo import objects, spare
from vecver.store import Store, get_or_none

ROOT = "vecver.json"


def create(store: Store, id: str | None = None) -> None:
    """Make a repository on an empty store; a copy of one has its `id`, so that receipts replay there.

    Raises ConflictError (there is one), InvalidInputError (other things).
    """
    check_empty(store)
    import secrets

    try:
        store.swap(ROOT, None, encoded(id or secrets.token_hex(16)))
    except ConflictError as error:
        raise ConflictError(
            f"{store.url} is a repository already",
            code="repository_exists",
            hint=say(
                "vecver.open(URL) opens it; or choose another place",
                cli="use it as it is: `vecver ingest DATASET FOLDER`; or choose another place",
            ),
            url=store.url,
        ) from error
    spare.keep(store)


def check_empty(store: Store) -> None:
    """Raises InvalidInputError if other things than a repository lie on a store."""
    foreign = next(store.list(""), None)
    if foreign and not exists(store):
        raise InvalidInputError(
            f"{store.url} is not empty: it holds {foreign}",
            code="not_empty",
            hint="choose an empty or new folder, for example `.vecver` in it",
            url=store.url,
        )


def encoded(id: str) -> bytes:
    """The root object of the repository with this id, as it is stored."""
    value = {"format": objects.FORMAT, "id": id}
    return canonical_json({**value, "digest": digest_json(value)})


def exists(store: Store) -> bool:
    """Is there a repository on this store?"""
    return store.size(ROOT) is not None


def identity(store: Store) -> str:
    """A repository's id. Raises NotFoundError (there is none), IntegrityError."""
    body = get_or_none(store, ROOT)
    if body is None:
        raise NotFoundError(
            f"{store.url} is not a vecver repository",
            code="repository_not_found",
            hint=say(
                "vecver.open(URL, create=True) makes one",
                cli="`vecver init` makes one here; `--repo URL` before the command, or VECVER_REPO, names another",
            ),
            url=store.url,
        )
    try:
        value = objects.known(ROOT, json.loads(body))
        if value.pop("digest") != digest_json(value):
            raise ValueError("another digest")
        return str(value["id"])
    except (ValueError, KeyError) as error:
        raise objects.malformed(ROOT) from error
