"""What Milvus accepts: names, ids and expressions, and the sizes that its fields can hold. Does no I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vecver.digest import canonical_json
from vecver.errors import IntegrityError, InvalidInputError, publish_again
from vecver.model import Json

FLAT = "FLAT"  # the index that reads every row
LIVE = 2**63 - 1  # `died` of a live row
LIMIT = 16384  # most hits of one query
TEXT_BYTES = 65535
_JSON_BYTES, _DIMENSIONS = 65536, 32768
_KEY_CHARACTERS = 32
_ID = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")


def pinned(ordinal: int) -> str:
    """The expression for a published state."""
    return f"born <= {ordinal} and died > {ordinal}"


def collection_name(dataset: str, token: str) -> str:
    """A name that Milvus accepts: the accepted characters of the dataset's name, and a token that makes it unique."""
    return f"{_identifier(dataset)[:80]}_{token}"


def alias_name(dataset: str, revision: str, owner: str) -> str:
    """The alias of one version in a collection of its own, as `collection_name`."""
    return f"{_identifier(f'{dataset}_{revision}')[:120]}_{owner}"


def row_id(key: bytes, life: int) -> str:
    """The id of a chunk's row; `life`: how many rows with this key have died before."""
    return f"{key.hex()}-{life}" if life else key.hex()


def keys_of(ids: Sequence[str]) -> npt.NDArray[np.uint8]:
    """The chunk keys of rows' ids, `(n, 16)`. Raises IntegrityError for an id that none of ours has."""
    if strange := next((id for id in ids if not _ID.fullmatch(id)), None):
        raise IntegrityError(
            f"a row with the id {strange[:80]!r} is not one of ours: somebody else wrote into the collection",
            code="publication_damaged",
            hint=publish_again(),
        )
    return np.frombuffer(bytes.fromhex("".join(id[:_KEY_CHARACTERS] for id in ids)), np.uint8).reshape(-1, 16)


def check_dimensions(dim: int) -> None:
    """Raises InvalidInputError for vectors that are too long."""
    if dim > _DIMENSIONS:
        raise _limit(f"a vector of {dim} numbers", f"{_DIMENSIONS} numbers", "use an embedder with fewer numbers")


def check_texts(document: str, title: str, text: str) -> None:
    """Raises InvalidInputError for a text that is too long."""
    for what, value in (("name", document), ("title", title), ("chunk", text)):
        if len(value) > TEXT_BYTES // 4 and len(value.encode()) > TEXT_BYTES:
            raise _limit(
                f"the {what} of {document[:100]!r} with {len(value.encode())} bytes",
                f"{TEXT_BYTES}",
                "ingest with a chunker that cuts it, 'structure'" if what == "chunk" else "shorten it",
            )


def metadata_bytes(metadata: Json) -> int:
    """What metadata take as JSON. Raises InvalidInputError if Milvus cannot hold them."""
    size = len(canonical_json(metadata))
    if size > _JSON_BYTES:
        raise _limit(
            f"metadata of {size} bytes ({', '.join(list(metadata)[:5])})",
            f"{_JSON_BYTES} bytes of JSON for one document",
            "move what is long into the text, and ingest again",
        )
    if name := next((name for name, value in metadata.items() if not _is_json(value)), None):
        raise _limit(
            f"the number in the metadata field {name!r}",
            "integers of 64 bits",
            "store it as a string, and ingest again",
        )
    return size


def _is_json(value: Any) -> bool:
    """Can every Milvus read this back as it is?"""
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    if isinstance(value, list):
        return all(map(_is_json, value))
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _limit(what: str, most: str, hint: str) -> InvalidInputError:
    return InvalidInputError(f"Milvus cannot hold {what}: it takes {most}", code="milvus_limit", hint=hint)


def _identifier(name: str) -> str:
    identifier = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "dataset"
    return identifier if identifier[0].isalpha() else f"d{identifier}"
