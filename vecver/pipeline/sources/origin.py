"""Names a source and its documents, and finds the Git commit they belong to. It opens no document.

Decisions
1. An id is stored exactly as it is, without Unicode normalisation: two ids are equal when their code points are.
   Empty path parts ("https://...") are allowed, since an id may be a URI.
2. `git status` runs as a program, with its porcelain format. It is the authority on what is dirty, and GitPython runs
   the same program. It takes no optional lock, so it writes nothing in the work tree, and starts no file-system
   monitor that the work tree's configuration names.
3. A folder that looks like a bare repository (HEAD, objects, refs, config) is not treated as one: the author of such
   files could choose programs (filters, for example) that `git status` runs. Git before 2.38 lacks this option.
4. A source that Git ignores as a whole has no origin, since the commit does not describe its files.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vecver.digest import digest
from vecver.errors import InvalidInputError
from vecver.model import Json

if TYPE_CHECKING:
    import pyarrow as pa

SourceLike: TypeAlias = (
    "str | os.PathLike[str] | pa.Table | pa.RecordBatchReader | Iterable[Mapping[str, Any]] | Iterable[pa.RecordBatch]"
)

_ID_LENGTH: Final = 1024
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # controls, line ends, half characters
_WILD: Final = re.compile(r"[*?\[]")
_SECONDS: Final = 60  # time limit of a git command
_GUARDED: Final = ("-c", "core.fsmonitor=false", "-c", "safe.bareRepository=explicit")


def check_id(document: str) -> str | None:
    """The reason why `document` cannot be a document's id; `None` if it can.

    An id has 1 to 1024 characters. It may be a relative path or a URI. Otherwise it is kept exactly
    as it is, in any script, without normalisation.
    """
    if not document:
        return "an id must not be empty"
    if len(document) > _ID_LENGTH:
        return f"an id has at most {_ID_LENGTH} characters, this one has {len(document)}"
    if _FORBIDDEN.search(document):
        return "an id holds no control characters, line ends or undecodable bytes"
    if document.startswith("/"):
        return "an id does not begin with a slash"
    if not {".", ".."}.isdisjoint(document.split("/")):
        return "an id has no '.' or '..' between its slashes"
    return None


def shown(name: str) -> str:
    """Any name made printable and storable: escaped, and cut to 200 characters.

    A cut name ends in a part of its digest, so that two long names stay different.
    """
    cut = name if len(name) <= 200 else f"{name[:183]}…{digest(name.encode('utf-8', 'surrogatepass'))[:16]}"
    return _FORBIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), cut)


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
    committed; new files count unless Git ignores them. `None` outside a work tree, before its first
    commit, for values in memory and where `git` is absent.
    """
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
