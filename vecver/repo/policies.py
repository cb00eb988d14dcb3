"""Policies: the gates that are fastened to an alias, so that every promotion of it runs them.

policies/<dataset>/<alias>   the policies that the alias has and had; see `repo.entries`
"""

from __future__ import annotations

from vecver.model import Policy
from vecver.repo import entries
from vecver.store import Store

FOLDER = "policies"
_WHAT = "alias"


def load(store: Store, key: str, alias: str) -> Policy | None:
    """The policy of an alias; None if it has none. `key`: of the dataset. Raises IntegrityError."""
    value = entries.read(store, _WHAT, FOLDER, key, alias).newest
    return Policy.from_json(value) if value else None


def save(store: Store, key: str, alias: str, policy: Policy | None) -> None:
    """Fasten a policy to an alias, in place of the one before; None: it has none from now on.

    Raises InvalidInputError (the alias's name), ConflictError (another process changed it at this moment).
    """
    entries.read(store, _WHAT, FOLDER, key, alias).append(policy.to_json() if policy else None)


def all_of(store: Store, key: str) -> dict[str, Policy]:
    """alias -> its policy, of every alias that has one, sorted by name. Raises IntegrityError."""
    policies = ((alias, load(store, key, alias)) for alias in entries.names(store, FOLDER, key))
    return {alias: policy for alias, policy in policies if policy}
