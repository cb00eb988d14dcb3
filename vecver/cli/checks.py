"""The checks of `vecver doctor`: each yields a finding (ok, warning or problem) with advice."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from time import perf_counter
from typing import Literal
from urllib.parse import urlsplit

import vecver
from vecver.cli import common
from vecver.cli.screens.wording import count, duration, size
from vecver.errors import VecverError, hint_for
from vecver.settings import Settings, settings_file, settings_in_file

Status = Literal["ok", "warning", "problem"]
LITTLE, TOO_LITTLE = 2e9, 2e8  # bytes of free disk
REACH = 3.0  # seconds that a Milvus may take to answer
CORE = ("numpy", "pyarrow", "faiss-cpu", "click")
EXTRAS = {  # extra of the package -> (modules that it brings, what it is for)
    "embed": (("onnxruntime", "tokenizers"), "embedding text with a model on this machine"),
    "models": (("torch", "sentence_transformers"), "embedding with every other model"),
    "documents": (("anydoc", "liteparse", "pypdfium2"), "reading PDF, office files and mails"),
    "milvus": (("pymilvus",), "publishing to Milvus"),
    "eval": (("ir_measures",), "measuring relevance"),
    "client": (("httpx2",), "vecver.connect and embedding services"),
    "service": (("fastapi", "uvicorn", "pydantic_settings"), "vecver serve"),
}


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    name: str
    status: Status
    message: str
    advice: str = ""


def examine(settings: Settings, *, quick: bool = False) -> Iterator[Finding]:
    """Run all checks, one after the other; `quick` loads no model."""
    yield Finding("version", "ok", f"vecver {_version('vecver')}, Python {platform.python_version()}, {sys.platform}")
    yield _guarded("packages", _packages)
    yield _kernels()
    for extra in EXTRAS:
        yield _extra(extra)
    yield _guarded("settings", _settings)
    yield from _repository(settings)
    yield _guarded("disk", lambda: _disk("disk", _existing(Path(settings.repo))))
    yield _guarded("temporary files", lambda: _disk("temporary files", Path(tempfile.gettempdir())))
    yield _guarded("milvus server", lambda: _milvus(settings))
    yield _terminal()
    yield _searching("hashing")
    if not quick:
        yield _searching("minilm")


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    """The finding of a check; an error is a finding too."""
    try:
        return check()
    except VecverError as error:
        return Finding(name, "problem", error.message, hint_for("cli", error.hint))
    except OSError as error:
        return Finding(name, "problem", f"{error.filename or name}: {error.strerror or error}", "check its permissions")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _packages() -> Finding:
    versions = {package: _version(package) for package in CORE}
    if missing := [package for package, version in versions.items() if not version]:
        return Finding("packages", "problem", f"not installed: {', '.join(missing)}", "pip install --upgrade vecver")
    return Finding("packages", "ok", ", ".join(f"{package} {version}" for package, version in versions.items()))


_SLOW = {  # without its kernel
    "scores": "searches",
    "roots": "commits and checks",
    "keywords": "keyword and hybrid searches, about ten times",
    "words": "commits, which list the words of texts, and first keyword searches",
}


def _kernels() -> Finding:
    """Which kernels are compiled, with which instruction set; why not, and what is slower for it."""
    uses = vecver.kernels()
    message = "; ".join(f"{use.name} compiled, {use.instructions}" for use in uses if use.instructions)
    problems = [f"{use.name} not compiled: {use.problem}" for use in uses if use.problem]
    if not problems:
        return Finding("kernels", "ok", message)
    slow = "; ".join(_SLOW[use.name] for use in uses if use.problem)
    install = "with a C compiler, pip install --force-reinstall --no-binary vecver vecver"
    advice = f"the same results, slower ({slow}): {install}"
    return Finding("kernels", "warning", "; ".join([*filter(None, [message]), *problems]), advice)


def _extra(extra: str) -> Finding:
    modules, purpose = EXTRAS[extra]
    missing = [module for module in modules if util.find_spec(module) is None]
    if not missing:
        return Finding(extra, "ok", f"installed ({purpose})")
    advice = f"pip install 'vecver[{extra}]' if you need it"
    return Finding(extra, "warning", f"not installed ({purpose}): {', '.join(missing)}", advice)


def _settings() -> Finding:
    file = settings_file(os.environ)
    if not file.is_file():
        return Finding("settings", "ok", f"no settings file ({file})")
    secret = any(name in ("api_key", "milvus_token", "milvus_password") for name in settings_in_file(os.environ))
    if secret and file.stat().st_mode & 0o077:
        return Finding("settings", "warning", f"{file} holds a secret that others can read", f"chmod 600 {file}")
    return Finding("settings", "ok", str(file))


def _repository(settings: Settings) -> Iterator[Finding]:
    """Is there a repository, can it be read and written, and what is in it?"""
    try:
        repository = common.opened(settings)
        names = repository.datasets()
    except VecverError as error:
        absent = error.code == "repository_not_found" and not settings.named
        status: Status = "warning" if absent else "problem"
        yield Finding("repository", status, error.message, hint_for("cli", error.hint))
        return
    yield Finding("repository", "ok", f"{repository.url}: {count(len(names), 'dataset')}")
    place = Path(settings.repo)
    if place.is_dir():
        locked = [path for path in (place, *place.iterdir()) if not os.access(path, os.R_OK | os.W_OK)]
        if locked:
            advice = "run as the user who owns it, or change its permissions; it can be searched if it can be read"
            yield Finding("permissions", "problem", f"{locked[0]} cannot be written by this user", advice)
        else:
            yield Finding("permissions", "ok", "this user can read and write the repository")


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.exists())


def _disk(name: str, place: Path) -> Finding:
    free = shutil.disk_usage(place).free
    message = f"{size(free)} free at {place}"
    if free < TOO_LITTLE:
        return Finding(name, "problem", message, "free some space: vecver gc shows what no version needs")
    return Finding(name, "warning" if free < LITTLE else "ok", message)


def _milvus(settings: Settings) -> Finding:
    uri = settings.milvus.uri
    if not uri:
        return Finding("milvus server", "ok", "none is named: `vecver publish` uses a file in the repository")
    if "://" not in uri:
        return Finding("milvus server", "ok", f"a file: {uri}")
    parts = urlsplit(uri)
    where = (parts.hostname or "localhost", parts.port or (443 if parts.scheme == "https" else 19530))
    try:
        since = perf_counter()
        with socket.create_connection(where, timeout=REACH):
            return Finding("milvus server", "ok", f"{uri} answers in {duration(perf_counter() - since)}")
    except OSError as error:
        advice = "start it, or correct VECVER_MILVUS; searches through FAISS work without it"
        return Finding("milvus server", "problem", f"{uri} does not answer: {error.strerror or error}", advice)


def _terminal() -> Finding:
    encoding = (sys.stdout.encoding or "").lower()
    if encoding.replace("-", "") == "utf8":
        return Finding("terminal", "ok", "it shows UTF-8")
    advice = "set LC_ALL to a UTF-8 locale such as C.UTF-8; until then other characters are shown as escapes"
    return Finding("terminal", "warning", f"it shows {encoding or 'an unknown encoding'}", advice)


def _searching(embedder: str) -> Finding:
    """Ingest a text into a repository in memory, and find it again."""
    name = "search" if embedder == "hashing" else "model"
    since = perf_counter()
    try:
        docs = vecver.open("memory://", create=True).dataset("doctor")
        docs.ingest([{"id": "a", "text": "Bleed the radiator."}, {"id": "b", "text": "Keys."}], embedder=embedder)
        document = docs.search("How do I bleed a radiator?", k=1)[0].document
    except VecverError as error:
        return Finding(name, "problem", error.message, hint_for("cli", error.hint))
    except Exception as error:  # a broken package may raise anything
        advice = "reinstall it: pip install --force-reinstall 'vecver[embed]'"
        return Finding(name, "problem", f"{type(error).__name__}: {error}".split("\n")[0][:200], advice)
    if document != "a":
        advice = "reinstall it: pip install --force-reinstall 'vecver[embed]'"
        return Finding(name, "problem", f"{embedder} finds the wrong text", advice)
    outcome = "a text is ingested and found" if name == "search" else f"{embedder} embeds and finds a text"
    return Finding(name, "ok", f"{outcome} ({duration(perf_counter() - since)})")
