"""Whether compiled code is in use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KernelUse:
    """Whether a part of vecver runs as compiled code or as slower Python; results have the same bits either way."""

    name: str  # "scores", "roots", "keywords" (keyword search) or "words" (of texts, for keyword search)
    instructions: str | None  # "AVX2", "AVX-512" ...; None: not compiled
    problem: str = ""  # why it is not used
