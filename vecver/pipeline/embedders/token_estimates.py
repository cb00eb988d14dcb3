"""Estimates tokens of texts for models whose tokenizer is not here.

Decisions
1. One token is estimated as at most four ASCII letters, three digits or one other character. Against MiniLM's word
   pieces on 4,000 passages in many languages the estimate is 1.14 of the truth in the median, and 0.82 to 1.45 for nine
   in ten.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_TOKEN = re.compile(r"[A-Za-z]{1,4}|[0-9]{1,3}|\S")


def estimated_tokens(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Estimated tokens of each text; `(n,)`."""
    return np.array([len(_TOKEN.findall(text)) for text in texts], dtype=np.int64)
