"""How the endpoints of an embedder are asked."""

from __future__ import annotations

from dataclasses import dataclass

from vecver.errors import InvalidInputError


@dataclass(frozen=True)
class Endpoints:
    """Limits for embedders behind HTTP endpoints. Budgets count what this process sends to all of them together.

    Raises InvalidInputError (a number below its least).
    """

    at_once: int = 4  # requests to each endpoint at the same time
    requests_per_minute: int = 0  # 0: no limit
    tokens_per_minute: int = 0  # estimated; 0: no limit

    def __post_init__(self) -> None:
        for name, least in (("at_once", 1), ("requests_per_minute", 0), ("tokens_per_minute", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidInputError(
                    f"{name} is {value!r}", code="invalid_endpoints", hint=f"give a whole number from {least} on"
                )
