"""What every command begins with: the repository of this call, and the version that an argument names."""

from __future__ import annotations

import vecver
from vecver.errors import InvalidInputError
from vecver.settings import Settings


def opened(settings: Settings) -> vecver.Repository:
    """The repository of this call."""
    return vecver.open(settings.repo, author=settings.author, api_key=settings.api_key)


def version_of(name: str, default: str = "main") -> tuple[str, str]:
    """`handbook@prod` -> ("handbook", "prod")."""
    dataset, at, revision = name.partition("@")
    if at and not revision:
        raise InvalidInputError(
            f"{name!r} names no revision after the @", code="invalid_revision", hint=f"write {dataset}@main"
        )
    return dataset, revision or default
