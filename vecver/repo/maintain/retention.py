"""Retention: which versions keep their rows, and how long garbage waits before gc may delete it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from vecver.errors import InvalidInputError, say

if TYPE_CHECKING:
    from vecver.model import Json

GRACE = timedelta(days=1)  # that garbage waits
_OLDEST = timedelta(days=365 * 500)


@dataclass(frozen=True)
class Retention:
    """Which commits keep their rows beside those that refs name; both None: all."""

    last: int | None = None  # the newest so many commits of every branch, along first parents
    within: timedelta | None = None  # commits that are not older

    def __post_init__(self) -> None:
        sound = self.last is None or (type(self.last) is int and self.last >= 1)
        if not sound or not (self.within is None or is_age(self.within)):
            raise InvalidInputError(
                "a retention keeps at least the newest version of each branch",
                code="invalid_retention",
                hint=say(
                    "give keep_last=1 or more, keep_within=timedelta(days=30)",
                    cli="give --keep-last 1 or more, --keep-within an age such as 30d",
                ),
            )

    def to_json(self) -> Json:
        return {"last": self.last, "within": self.within.total_seconds() if self.within is not None else None}


def is_age(value: object) -> bool:
    """Is this a time span that can be subtracted from the present?"""
    return isinstance(value, timedelta) and timedelta(0) <= value <= _OLDEST
