"""Measures: what was measured of a commit, kept beside it; knows nothing of what was measured, or how.

measures/<commit>/<kind>   what was measured, sealed, with the commit and the kind that it belongs to

Decisions
- 2026-11-21 the newest measure of a kind replaces the one before: it speaks of an index and a machine,
  both of which change, and the history that vecver keeps is that of the knowledge. One `put` writes it,
  so a reader finds the old one or the new one, whole.
- 2026-11-21 a damaged measure is told as such, not raised: nothing but a reader's knowledge hangs on it,
  and measuring again replaces it. `check` names it.
"""

from __future__ import annotations

from collections.abc import Iterator

from vecver.errors import IntegrityError, say
from vecver.model import Json
from vecver.repo import objects
from vecver.store import Store


def save(store: Store, commit: str, kind: str, value: Json) -> None:
    """Keep a measure beside a commit, in place of the last one of its kind."""
    store.put(path_of(commit, kind), objects.sealed({**value, "commit": commit, "kind": kind}))


def load(store: Store, commit: str, kind: str) -> Json:
    """A measure. Raises NotFoundError, and IntegrityError if its bytes or its place are not its own."""
    name = path_of(commit, kind)
    value = objects.load_sealed(store, name)
    if (value.get("commit"), value.get("kind")) != (commit, kind):
        raise IntegrityError(
            f"{name} is a measure of another commit or kind",
            code="wrong_measure",
            hint=say(f"measure again: docs.{kind}() replaces it", cli=f"measure again: `vecver {kind}` replaces it"),
            name=name,
        )
    return value


def load_all(store: Store, commit: str) -> dict[str, Json]:
    """Every measure of a commit, by kind; of a damaged one only what is wrong: `{"damaged": why}`."""
    return {kind: _told(store, commit, kind) for kind in kinds(store, commit)}


def kinds(store: Store, commit: str) -> Iterator[str]:
    """What was measured of a commit, sorted."""
    prefix = path_of(commit, "")
    return (name.removeprefix(prefix) for name in store.list(prefix))


def path_of(commit: str, kind: str) -> str:
    """The store's name of a measure."""
    return f"measures/{commit}/{kind}"


def _told(store: Store, commit: str, kind: str) -> Json:
    try:
        return load(store, commit, kind)
    except IntegrityError as error:
        return {"damaged": error.message}
