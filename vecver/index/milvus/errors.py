"""Milvus errors: translates what pymilvus, gRPC and milvus-lite raise, by code first, then by whole phrases."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from vecver.errors import BackendError, IntegrityError, NotFoundError, VecverError, publish_again

NOT_LOADED = "collection_not_loaded"  # our code: the caller loads the collection and repeats its call

_KINDS: tuple[tuple[str, frozenset[object], str], ...] = (  # kind, Milvus' numbers and gRPC's names, phrases
    ("missing", frozenset((100,)), "can't find collection|collection not found"),
    ("database", frozenset((800,)), r"database\S* not found"),
    (NOT_LOADED, frozenset((101, 103)), "not loaded|state 'released'|not fully loaded"),
    (
        "refused",
        frozenset(("UNAUTHENTICATED", "PERMISSION_DENIED")),
        "auth check failure|missing authorization|privilege",
    ),
    ("old", frozenset(("UNIMPLEMENTED",)), "unknown method|not implemented"),
    ("large", frozenset(("RESOURCE_EXHAUSTED",)), "message larger than max"),
    ("unreachable", frozenset(("UNAVAILABLE", "DEADLINE_EXCEEDED", 2)), "deadline exceeded|retry timeout"),
    ("locked", frozenset(()), "open local milvus failed|opened by another"),
)


@contextlib.contextmanager
def translated(place: str, name: str) -> Iterator[None]:
    """Translates the client's failures inside the block to vecver's errors; `name`: the collection of the call.

    Raises BackendError (no answer, or a failed call), IntegrityError (no such collection), NotFoundError (no such
    database).
    """
    import grpc
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except (MilvusException, grpc.RpcError) as error:
        raise _house_error(place, name, error) from error
    except (OSError, RuntimeError, ValueError) as error:  # of milvus-lite, and of the channel
        raise BackendError(
            f"the Milvus at {place} failed: {_sentence(error)}", code="milvus_failed", hint="see its log, and try again"
        ) from error


def _house_error(place: str, name: str, error: Any) -> VecverError:
    kind, where = _kind(error, name), f"the Milvus at {place}"
    if kind == "missing":
        return IntegrityError(
            f"the collection {name} is not in {where}: somebody else dropped it",
            code="collection_missing",
            hint=publish_again(),
            collection=name,
        )
    if kind == "database":
        return NotFoundError(
            f"{where} has no such database", code="database_not_found", hint="create it, or name another"
        )
    code, what, hint, retryable = _FAILURES.get(kind, _FAILURES[""])
    return BackendError(f"{where} {what.format(_sentence(error))}", code=code, hint=hint, retryable=retryable)


_FAILURES = {  # kind -> code, what, hint, may it help to try again
    NOT_LOADED: (
        NOT_LOADED,
        "has not loaded the collection",
        "wait until the server has started, then try again",
        True,
    ),
    "refused": (
        "milvus_refused",
        "refused us: {}",
        "check VECVER_MILVUS_TOKEN, or user and password, and what they may do",
        False,
    ),
    "old": ("milvus_too_old", "does not know this call", "upgrade it", False),
    "large": ("milvus_busy", "takes no more at once: {}", "try again, or raise its limits", True),
    "unreachable": (
        "milvus_unreachable",
        "does not answer",
        "start it, or check the address; nothing was changed in the repository",
        True,
    ),
    "locked": (
        "milvus_locked",
        "cannot be opened: another process has it open, or its folder cannot be written",
        "milvus-lite serves one process at a time: end the other one, or use a server",
        True,
    ),
    "": ("milvus_failed", "failed: {}", "see its log; publish again: what is half there is swept first", False),
}


def _kind(error: Any, name: str) -> str:
    """What happened, from the error and the one below it (gRPC's, where a client could not enter)."""
    both = [error, *(below for below in (error.__cause__ or error.__context__,) if below not in (None, error))]
    codes = {code for each in both for code in [_code(each)]}
    message = " ".join(_sentence(each) for each in both).replace(name or "\0", "").lower()
    exact = [kind for kind, codes_of_kind, _ in _KINDS if codes_of_kind & (codes - {2})]
    by_phrase = [kind for kind, _, phrases in _KINDS if re.search(phrases, message)]
    return next(iter([*exact, *by_phrase, *(["unreachable"] if 2 in codes else [])]), "")


def _code(error: Any) -> object:
    """Milvus' number, or gRPC's name of a status."""
    code = getattr(error, "code", None)
    code = code() if callable(code) else code
    return getattr(code, "name", code)


def _sentence(error: Any) -> str:
    """What a foreign error says, on one line."""
    details = getattr(error, "details", None)
    sentence = details() if callable(details) else getattr(error, "message", "")
    return " ".join(str(sentence or error).split())[:300]
