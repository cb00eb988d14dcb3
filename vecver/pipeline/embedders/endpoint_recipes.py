"""The recipes of models behind endpoints: what `KIND:MODEL@URL,URL` names. Asks nothing, and imports no client.

Every search reads a recipe, and few have an endpoint in it.
"""

from __future__ import annotations

import re

from vecver.errors import InvalidInputError
from vecver.http_rules import model_and_url
from vecver.model import Json
from vecver.pipeline.embedders.shapes import SHAPES

_BETWEEN_URLS = re.compile(r",\s*(?=https?://)", re.IGNORECASE)
UNSEEN = {"urls", "probe"}  # fields of a recipe that are not part of the fingerprint


def continued(spec: str | Json, old: Json | None) -> str | Json:
    """`spec`, or `old` under other URLs if `spec` names its model at one of its addresses: the space stays the same."""
    new = recipe_of(spec) if isinstance(spec, str) else None
    if not new or not old or (old.get("name"), old.get("model")) != (new["name"], new["model"]):
        return spec
    urls = new.get("urls") or [new["url"]]
    if not {*urls} & {old.get("url"), *old.get("urls", ())} or (urls == [old.get("url")] and "urls" not in old):
        return spec
    return {**old, "urls": urls}


def recipe_of(spec: str) -> Json | None:
    """The recipe, without dimension, that `KIND:MODEL@URL,URL` names; None if it is of another kind.

    Raises InvalidInputError (an address without http://: the rest would be asked at the kind's usual address).
    """
    kind, _, target = spec.partition(":")
    if kind not in SHAPES or not target:
        return None
    try:
        model, addresses = model_and_url(target)
    except ValueError as error:
        raise InvalidInputError(
            f"the address of the {kind} endpoint begins with neither http:// nor https://",
            code="bad_embedder_url",
            hint=f"write {kind}:MODEL@http://HOST:PORT/PATH",
        ) from error
    listed = _BETWEEN_URLS.split(addresses) if addresses else [SHAPES[kind].url]
    urls = list(dict.fromkeys(url.strip().rstrip("/") for url in listed))
    if not model or not urls[0]:
        return None
    return {"name": kind, "model": model, **({"url": urls[0]} if len(urls) == 1 else {"urls": urls})}
