"""Compiled code: which kernels this process uses. Loads both; opens no repository."""

from __future__ import annotations

from vecver import index, repo
from vecver.model import KernelUse


def kernels() -> tuple[KernelUse, ...]:
    """The compiled kernels of scores and of roots: the instruction set of each, or why it is not used."""
    return index.kernel_use(), repo.kernel_use()
