"""Identifies where a source lies, so that two folders of the same name are different sources. It opens no document.

A place is a digest, so a repository that others read reveals no path of the machine that wrote it.

Decisions
1. A folder has two places: its real path, and its path in the Git repository that it was checked out from (by the URL
   of `origin`, without user and password). So a checkout elsewhere, such as on a CI machine, is the same source.
   Without such a remote only the path counts. Root commits are not used, because shallow clones have other ones.
2. The folders above a path are listed first as the path is written, then as it resolves: below a symlinked folder,
   documents are named through the link.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vecver.digest import key
from vecver.pipeline.sources.bucket import BucketSource, is_bucket
from vecver.pipeline.sources.origin import git, split_glob
from vecver.pipeline.sources.records import is_records

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SCP: Final = re.compile(r"(?:[^@/:]+@)?([^/:]+):(?!//)(.+)")  # git@host:path


def path_of(source: Any) -> str | None:
    """A source's absolute path or address, without the wildcards of a glob; None for values and standard input."""
    if isinstance(source, BucketSource):
        return source.url
    if not isinstance(source, str | os.PathLike) or source == "-":
        return None
    path = split_glob(os.fspath(source))[0]
    return os.path.realpath(path) if ".." in Path(path).parts else os.path.abspath(path)


def pattern_of(source: Any) -> str:
    """The part of a glob below its fixed folder; "" for other sources."""
    if isinstance(source, BucketSource):
        return "/".join(source.pattern)
    return "" if path_of(source) is None else "/".join(split_glob(os.fspath(source))[1])


def is_document(source: Any, records: bool | None) -> bool:
    """Whether the source is one file, or object of a bucket, that is one document."""
    if isinstance(source, BucketSource):
        return source.is_object and not source.holds_records(records)
    path = path_of(source)
    if path is None or not os.path.lexists(path) or os.path.isdir(path):
        return False
    return not (records if records is not None else os.path.isfile(path) and is_records(path))


def exists(source: Any) -> bool:
    """Whether there is a file, folder or object at the source's path; False for values."""
    if isinstance(source, BucketSource):
        return source.exists
    path = path_of(source)
    return path is not None and os.path.lexists(path)


def place_of(path: str) -> str:
    """The digest of a path's resolved form, 32 hex characters; the same however the path was written."""
    if is_bucket(path):
        return BucketSource(path).place
    return key(b"path", os.fsencode(os.path.realpath(path))).hex()


def places_above(path: str) -> Iterator[tuple[str, str, str]]:
    """(place, folder, path below it such as "deep/key.md") for each folder above a path, the nearest first."""
    if is_bucket(path):
        yield from BucketSource(path).above()
        return
    for written in dict.fromkeys((path, os.path.realpath(path))):
        for folder in Path(written).parents:
            yield place_of(str(folder)), str(folder), Path(written).relative_to(folder).as_posix()


def checkouts_above(path: str) -> Iterator[tuple[str, str, str]]:
    """As `places_above`, with places in the Git remote: first the path itself (with "" below it), then its folders."""
    if is_bucket(path):
        return
    real = Path(os.path.realpath(path))
    folder = str(real if real.is_dir() else real.parent)
    top, remote = git(folder, "rev-parse", "--show-toplevel"), git(folder, "config", "--get", "remote.origin.url")
    if not top or not remote or not real.is_relative_to(os.path.realpath(top.removesuffix("\n"))):
        return
    root = Path(os.path.realpath(top.removesuffix("\n")))
    name = _remote(remote.strip()).encode("utf-8", "surrogatepass")
    for above in (real, *real.parents):
        inner, below = above.relative_to(root).as_posix(), real.relative_to(above).as_posix()
        yield key(b"git", name, os.fsencode(inner)).hex(), str(above), "" if above == real else below
        if above == root:
            return


def _remote(url: str) -> str:
    """A remote's host and path, without protocol, port and user."""
    if scheme := _SCHEME.match(url):
        host, slash, path = url[scheme.end() :].partition("/")
    elif scp := _SCP.fullmatch(url):
        host, slash, path = scp[1], "/", scp[2]
    else:
        host, slash, path = "", "", url
    host = host.rpartition("@")[2].partition(":")[0].lower()
    return f"{host}{slash}{path.strip('/') if host else path}".rstrip("/").removesuffix(".git")
