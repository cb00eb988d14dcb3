"""Settings from the environment and one file; read by the command line and the service, never by the library.

    VECVER_REPO      URL of the repository        default: `.vecver` here or in a parent folder
    VECVER_AUTHOR    who signs commits and moves  default: the login name
    VECVER_API_KEY   for an embedder that needs one (also OPENAI_API_KEY)

The same names in lower case without the prefix (`repo = "…"`) may stand in the TOML file that
VECVER_SETTINGS names (default `~/.config/vecver/settings.toml`); the environment wins.
"""

from __future__ import annotations

import getpass
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vecver.errors import InvalidInputError

REPOSITORY = ".vecver"


@dataclass(frozen=True)
class Settings:
    """What a face needs to open a repository. The key is never printed."""

    repo: str
    author: str
    named: bool  # the repository was named, not found or defaulted
    api_key: str = field(default="", repr=False)


def load_settings(environment: Mapping[str, str] = os.environ, here: Path | None = None) -> Settings:
    """Settings of this process. Raises InvalidInputError if the file cannot be read."""
    file = _file(environment)

    def setting(name: str, default: str) -> str:
        return environment.get(f"VECVER_{name.upper()}") or str(file.get(name, "")) or default

    named = setting("repo", "")
    return Settings(
        repo=named or _nearest(here or Path.cwd()),
        named=bool(named),
        author=setting("author", "") or _login(),
        api_key=setting("api_key", environment.get("OPENAI_API_KEY", "")),
    )


def _file(environment: Mapping[str, str]) -> dict[str, object]:
    named = environment.get("VECVER_SETTINGS")
    path = Path(named) if named else Path(environment.get("HOME", "~")).expanduser() / ".config/vecver/settings.toml"
    if not named and not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"the settings file {path} cannot be read: {error}",
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
