"""Names a source, and finds the Git commit that its documents belong to. It opens no document.

Decisions
1. `git status` runs as a program, with its porcelain format. It is the authority on what is dirty, and GitPython runs
   the same program. It takes no optional lock, so it writes nothing in the work tree, and starts no file-system
   monitor that the work tree's configuration names.
2. A folder that looks like a bare repository (HEAD, objects, refs, config) is not treated as one: the author of such
   files could choose programs (filters, for example) that `git status` runs. Git before 2.38 lacks this option.
3. A source that Git ignores as a whole has no origin, since the commit does not describe its files.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vecver.errors import InvalidInputError
from vecver.model import Json
from vecver.pipeline.sources.bucket import BucketSource
from vecver.pipeline.sources.ids import check_id, shown

if TYPE_CHECKING:
    import pyarrow as pa

SourceLike: TypeAlias = (
    "str | os.PathLike[str] | BucketSource | pa.Table | pa.RecordBatchReader | Iterable[Mapping[str, Any]] "
    "| Iterable[pa.RecordBatch]"
)

_WILD: Final = re.compile(r"[*?\[]")
_SECONDS: Final = 60  # time limit of a git command
_GUARDED: Final = ("-c", "core.fsmonitor=false", "-c", "safe.bareRepository=explicit")


def label_of(source: SourceLike, label: str | None = None) -> str:
    """The source label that documents store: `label`, or the name of the folder or file.

    "stdin" for "-", "records" for values in memory, the name of its fixed folder for a glob.
    Raises InvalidInputError (a label that cannot be one).
    """
    if label is not None:
        if reason := check_id(label):
            message = f"The label {shown(label)!r} cannot be used: {reason}."
            raise InvalidInputError(message, code="invalid_label", hint="Use a plain name, such as 'handbook'.")
        return label
    if isinstance(source, BucketSource):
        return shown(source.name)
    if not isinstance(source, str | os.PathLike):
        return "records"
    if source == "-":
        return "stdin"
    return shown(os.path.basename(os.path.abspath(split_glob(os.fspath(source))[0]))) or "root"


def split_glob(path: str) -> tuple[str, list[str]]:
    """The part of `path` without wildcards, and the parts of the pattern below it (none if the path itself exists)."""
    parts = Path(path).parts
    wild = next((i for i, part in enumerate(parts) if _WILD.search(part)), None)
    if wild is None or os.path.lexists(path):
        return path, []
    return str(Path(*parts[:wild])), list(parts[wild:])


def origin_of(source: SourceLike) -> Json | None:
    """`{"kind": "git", "commit", "branch", "dirty"}` of the work tree that a path or a glob's folder lies in.

    `branch` is `None` where HEAD is detached. `dirty` says that something under the path is not as
    committed; new files count unless Git ignores them. `{"kind": "bucket", "url"}` for a source in a bucket. `None`
    outside a work tree, before its first commit, for values in memory and where `git` is absent.
    """
    if isinstance(source, BucketSource):
        return {"kind": "bucket", "url": str(source)}
    if not isinstance(source, str | os.PathLike) or source == "-":
        return None
    path = os.path.abspath(split_glob(os.fspath(source))[0])
    folder, name = (path, ".") if os.path.isdir(path) else os.path.split(path)
    status = git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", f":(literal){name}")
    if status is None or git(folder, "check-ignore", "--quiet", "--", name) is not None:
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


def git(folder: str, *command: str) -> str | None:
    """The output of `git` run in `folder`; `None` if it is missing, fails or takes too long."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # set inside hooks
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *_GUARDED, *command],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
