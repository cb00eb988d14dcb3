"""Says which Git commit a source's files belong to, by asking `git`; without `git` it knows nothing.

Decisions
- 2026-11-21 `git status` by its one porcelain call, not a library: it is the judge of what is dirty, and
  GitPython runs the same program. An optional lock is not taken, so nothing is written in the work tree,
  and no file-system monitor of that work tree's configuration is started.
- 2026-11-21 A source that Git ignores as a whole has no origin: the commit says nothing of its files.
"""

from __future__ import annotations

import os
import subprocess

from vecver.model import Json
from vecver.pipeline.sources import SourceLike, split_glob

_SECONDS = 60


def origin_of(source: SourceLike) -> Json | None:
    """`{"kind": "git", "commit", "branch", "dirty"}` of the work tree that a path or a glob's folder lies in.

    `branch` is `None` where HEAD is detached. `dirty` says that something under the path is not as
    committed; new files count unless Git ignores them. `None` outside a work tree, before its first
    commit, for values in memory and where `git` is absent.
    """
    if not isinstance(source, str | os.PathLike) or source == "-":
        return None
    path = os.path.abspath(split_glob(os.fspath(source))[0])
    folder, name = (path, ".") if os.path.isdir(path) else os.path.split(path)
    status = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", f":(literal){name}")
    if status is None or _git(folder, "check-ignore", "--quiet", "--", name) is not None:
        return None
    lines = status.splitlines()
    head = dict(line.removeprefix("# ").split(" ", 1) for line in lines if line.startswith("# "))
    if head["branch.oid"] == "(initial)":
        return None
    branch = head["branch.head"]
    return {
        "kind": "git",
        "commit": head["branch.oid"],
        "branch": None if branch == "(detached)" else branch,
        "dirty": any(not line.startswith("# ") for line in lines),
    }


def _git(folder: str, *command: str) -> str | None:
    """What `git` says in `folder`; `None` where it is absent, declines or takes too long."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # set inside hooks
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *command],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
