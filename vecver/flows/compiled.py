"""Compiled code: which kernels this process uses. Loads them; opens no repository."""

from __future__ import annotations

from vecver import index, pipeline, repo
from vecver.model import KernelUse


def kernels() -> tuple[KernelUse, ...]:
    """The compiled kernels of scores, roots, keywords and words: the instruction set of each, or why it is not used."""
    return index.kernel_use(), repo.kernel_use(), index.keywords.kernel_use(), pipeline.words_kernel_use()
