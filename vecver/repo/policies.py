"""Policies: the gates that are fastened to an alias, so that every promotion of it runs them.

policies/<dataset>/<alias>   the policies that the alias has and had; see `repo.entries`
"""

from __future__ import annotations

from collections.abc import Callable

from vecver.model import Policy
from vecver.repo import entries
from vecver.store import Store

FOLDER = "policies"
_WHAT = "alias"


def path_of(key: str, alias: str) -> str:
    """The store's name of an alias's policy."""
    return entries.path_of(FOLDER, key, alias)


def load(store: Store, key: str, alias: str) -> Policy | None:
    """The policy of an alias; None if it has none. `key`: of the dataset. Raises IntegrityError."""
    value = entries.read(store, _WHAT, FOLDER, key, alias).newest
    return Policy.from_json(value) if value else None


def change(store: Store, key: str, alias: str, make: Callable[[Policy | None], Policy | None]) -> Policy | None:
    """Fasten to an alias what `make` makes of its policy; None: it has none from now on.

    Raises InvalidInputError (the alias's name), ConflictError (another process changed it at this moment), and what
    `make` raises.
    """
    kept = entries.read(store, _WHAT, FOLDER, key, alias)
    policy = make(Policy.from_json(kept.newest) if kept.newest else None)
    kept.append(policy.to_json() if policy else None)
    return policy


def all_of(store: Store, key: str) -> dict[str, Policy]:
    """alias -> its policy, of every alias that has one, sorted by name. Raises IntegrityError."""
    policies = ((alias, load(store, key, alias)) for alias in entries.names(store, FOLDER, key))
    return {alias: policy for alias, policy in policies if policy}
