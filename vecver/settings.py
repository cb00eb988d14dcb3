"""Settings from the environment and one file; read by the command line and the service, never by the library.

    VECVER_REPO      URL of the repository        default: `.vecver` here or in a parent folder
    VECVER_AUTHOR    who signs commits and moves  default: the login name
    VECVER_API_KEY   for an embedder that needs one (also OPENAI_API_KEY)
    VECVER_KEY       key of a service (`vv_…`) that versions are cloned, fetched or pulled from
    VECVER_VERIFY    when stored rows are hashed: "once" (where a file is new here or was changed), "always", "never"
    VECVER_RERANKERS models that searches may be reranked by, by name: {"bge": "tei:http://localhost:8080/rerank"}, or a
                     table each: {"bge": {"model": …, "api_key" or "api_key_variable": …, "timeout": 5,
                     "on_failure": "keep"}}; in the file [rerankers.bge]. See `vecver.Reranker`
    VECVER_CACHE     folder for copies of what lies in a bucket (s3://, gs://, az://)
                                                   default: vecver in the user's folder for caches
    VECVER_CACHE_BYTES  how much of it is kept      default: 32 GiB; 0: nothing
    VECVER_ENDPOINTS_AT_ONCE  requests to each endpoint of an embedder at the same time     default: 4
    VECVER_ENDPOINTS_REQUESTS · _TOKENS  that all of them may have a minute              default: 0, no limit
    VECVER_PRICE     of a million tokens to embed, for what `ingest --dry-run` says
    VECVER_PUBLISH   branches whose new versions, and aliases whose promotions, are published at once: "main, prod"

    VECVER_MILVUS    URI of the Milvus             default: where a dataset is published, else one in the repository
    VECVER_MILVUS_DATABASE · _TOKEN · _USER · _PASSWORD · _CA · _CERTIFICATE · _KEY · _SERVER_NAME · _TIMEOUT
                     credentials and TLS: see `vecver.Milvus`; with VECVER_MILVUS they are for that server only

The same names in lower case without the prefix (`repo = "…"`) may stand in the TOML file that
VECVER_SETTINGS names (default `~/.config/vecver/settings.toml`); the environment wins.
"""

from __future__ import annotations

import getpass
import json
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from vecver.errors import InvalidInputError
from vecver.model import Endpoints, Milvus, Reranker, Verify
from vecver.near import near

REPOSITORY = ".vecver"


@dataclass(frozen=True)
class Settings:
    """What the command line and the service need to open a repository. The key is never printed."""

    repo: str
    author: str
    named: bool  # the caller named the repository
    api_key: str = field(default="", repr=False)
    key: str = field(default="", repr=False)  # of a service
    milvus: Milvus = field(default_factory=Milvus)
    publish: tuple[str, ...] = ()
    verify: Verify = "once"
    cache: str = ""  # "": the platform's own folder
    cache_bytes: int | None = None
    rerankers: Mapping[str, Reranker] = field(default_factory=dict)  # by name
    endpoints: Endpoints = field(default_factory=Endpoints)
    price: float | None = None  # of a million tokens


@dataclass(frozen=True)
class Setting:
    """One setting as it is now. `value` of a secret is never the secret."""

    name: str
    value: str
    origin: str  # "environment", "file", "default", or another name of the environment
    secret: bool = False


SECRETS = ("api_key", "key", "milvus_token", "milvus_password", "milvus_key")
NAMES = (
    *("repo", "author", "api_key", "key", "verify", "cache", "cache_bytes", "publish", "rerankers"),
    *("endpoints_at_once", "endpoints_requests", "endpoints_tokens", "price", "milvus"),
    *(f"milvus_{one.name}" for one in fields(Milvus) if one.name != "uri"),
)


def explain(environment: Mapping[str, str] = os.environ, here: Path | None = None) -> list[Setting]:
    """Every setting with its value and the origin of that. Raises InvalidInputError if the file cannot be read."""
    file, settings = settings_in_file(environment), load_settings(environment, here)
    milvus = {f"milvus_{field.name}": str(getattr(settings.milvus, field.name)) for field in fields(Milvus)}
    values = {
        **{"repo": settings.repo, "author": settings.author, "verify": settings.verify},
        **{"api_key": settings.api_key, "key": settings.key},
        **{"publish": ", ".join(settings.publish), "rerankers": ", ".join(settings.rerankers)},
        **{"milvus": settings.milvus.uri, **milvus},
        **{"cache": settings.cache, "cache_bytes": "" if settings.cache_bytes is None else str(settings.cache_bytes)},
    }
    values |= _endpoint_values(settings)
    # these are left out where they are not set, as programs know it
    newer = ("rerankers", "cache", "cache_bytes", "key", *_endpoint_values(settings))
    names = [name for name in NAMES if name not in newer or values[name]]
    return [_explained(name, values[name], environment, file) for name in names]


def _endpoint_values(settings: Settings) -> dict[str, str]:
    """The settings of endpoints that are not as they are by default, as texts; the others are ""."""
    given, default = settings.endpoints, Endpoints()
    values = {
        "endpoints_at_once": given.at_once if given.at_once != default.at_once else "",
        "endpoints_requests": given.requests_per_minute or "",
        "endpoints_tokens": given.tokens_per_minute or "",
        "price": "" if settings.price is None else f"{settings.price:g}",
    }
    return {name: str(value) for name, value in values.items()}


def _explained(name: str, value: str, environment: Mapping[str, str], file: Mapping[str, object]) -> Setting:
    origin = "default"
    if environment.get(f"VECVER_{name.upper()}"):
        origin = "environment"
    elif file.get(name):
        origin = "file"
    elif name == "api_key" and environment.get("OPENAI_API_KEY"):
        origin = "OPENAI_API_KEY"
    secret = name in SECRETS
    return Setting(name, "****" if secret and value else value, origin, secret)


def load_settings(environment: Mapping[str, str] = os.environ, here: Path | None = None) -> Settings:
    """Settings of this process. Raises InvalidInputError if the file cannot be read."""
    file = settings_in_file(environment)

    def setting(name: str, default: str) -> str:
        return environment.get(f"VECVER_{name.upper()}") or str(file.get(name, "")) or default

    named = setting("repo", "")
    return Settings(
        repo=named or _nearest(here or Path.cwd()),
        named=bool(named),
        author=setting("author", "") or _login(),
        api_key=setting("api_key", environment.get("OPENAI_API_KEY", "")),
        key=setting("key", ""),
        milvus=_milvus(lambda name: setting(f"milvus_{name}", ""), setting("milvus", "")),
        publish=tuple(name.strip() for name in setting("publish", "").split(",") if name.strip()),
        verify=_verify(setting("verify", "once")),
        cache=setting("cache", ""),
        cache_bytes=_bytes("cache_bytes", setting("cache_bytes", "")),
        rerankers=_rerankers(environment.get("VECVER_RERANKERS") or file.get("rerankers") or {}, environment),
        endpoints=Endpoints(
            at_once=_number("endpoints_at_once", setting("endpoints_at_once", ""), Endpoints().at_once),
            requests_per_minute=_number("endpoints_requests", setting("endpoints_requests", ""), 0),
            tokens_per_minute=_number("endpoints_tokens", setting("endpoints_tokens", ""), 0),
        ),
        price=_price(setting("price", "")),
    )


def _rerankers(value: object, environment: Mapping[str, str]) -> dict[str, Reranker]:
    """Rerankers by name. Raises InvalidInputError, which quotes no key."""
    try:
        tables: Any = json.loads(value) if isinstance(value, str) else value
        return {str(name): _reranker(table, environment) for name, table in tables.items()}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        problem = f"{type(error).__name__} at {error}" if isinstance(error, KeyError) else type(error).__name__
        raise InvalidInputError(
            f"VECVER_RERANKERS cannot be used: {problem}",
            code="invalid_settings",
            hint='write {"NAME": {"model": "tei:http://localhost:8080/rerank", "timeout": 5}}',
        ) from None


def _reranker(table: object, environment: Mapping[str, str]) -> Reranker:
    """Raises TypeError, KeyError (a field that is missing, or the environment lacks the variable of its key)."""
    fields = {"model": table} if isinstance(table, str) else dict(table)  # type: ignore[call-overload]
    if variable := fields.pop("api_key_variable", None):
        fields["api_key"] = environment[variable]
    if not isinstance(fields["model"], str):
        raise TypeError
    return Reranker(**fields)


def _bytes(name: str, value: str) -> int | None:
    """A number of bytes; None where none is set."""
    if value and not value.isdecimal():
        raise InvalidInputError(
            f"VECVER_{name.upper()} is {value!r}", code="invalid_settings", hint="write a number of bytes: 34359738368"
        )
    return int(value) if value else None


def _number(name: str, value: str, default: int) -> int:
    """A whole number; `default` where none is set."""
    if value and not value.isdecimal():
        raise InvalidInputError(
            f"VECVER_{name.upper()} is {value!r}", code="invalid_settings", hint="write a whole number, such as 4"
        )
    return int(value) if value else default


def _price(value: str) -> float | None:
    """The price of a million tokens; None where none is set."""
    try:
        price = float(value) if value else None
    except ValueError:
        price = -1.0
    if price is not None and not 0 <= price < float("inf"):
        raise InvalidInputError(
            f"VECVER_PRICE is {value!r}", code="invalid_settings", hint="write what a million tokens cost, such as 0.02"
        )
    return price


def _verify(value: str) -> Verify:
    for mode in get_args(Verify):
        if value == mode:
            return mode
    raise InvalidInputError(
        f"VECVER_VERIFY is {value!r}",
        code="invalid_settings",
        hint=f"write one of: {', '.join(get_args(Verify))}",
        did_you_mean=near(value, get_args(Verify)),
    )


def _milvus(setting: Callable[[str], str], uri: str) -> Milvus:
    values = {field.name: setting(field.name) for field in fields(Milvus) if field.name not in ("uri", "timeout")}
    seconds = setting("timeout") or str(Milvus().timeout)
    try:
        return Milvus(uri=uri, timeout=float(seconds), **values)
    except ValueError as error:
        raise InvalidInputError(
            f"VECVER_MILVUS_TIMEOUT is no number of seconds: {seconds!r}", code="invalid_settings", hint="write 60"
        ) from error


def settings_file(environment: Mapping[str, str]) -> Path:
    """The file of settings, which need not exist."""
    named = environment.get("VECVER_SETTINGS")
    return Path(named) if named else Path(environment.get("HOME", "~")).expanduser() / ".config/vecver/settings.toml"


def settings_in_file(environment: Mapping[str, str]) -> dict[str, object]:
    """The values in the settings file; empty if there is none. Raises InvalidInputError if it cannot be read."""
    path = settings_file(environment)
    if not environment.get("VECVER_SETTINGS") and not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"the settings file {path} cannot be read: {getattr(error, 'strerror', None) or error}",
            code="invalid_settings",
            hint='write lines such as repo = "/data/kb", or unset VECVER_SETTINGS',
        ) from error


def _nearest(here: Path) -> str:
    """`.vecver` in the nearest folder upwards that has one, else here."""
    return str(next((p / REPOSITORY for p in (here, *here.parents) if (p / REPOSITORY).is_dir()), here / REPOSITORY))


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
