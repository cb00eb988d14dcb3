"""Settings of the service: VECVER_* in the environment, or lower case in the TOML file that VECVER_SETTINGS names.

What concerns the repository (VECVER_REPO, VECVER_MILVUS, ...) is read by `vecver.settings`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from vecver.errors import InvalidInputError
from vecver.settings import settings_file
from vecver_service.state.schema import FILE_NAME

_ROOT = r"(/[\w.~-]+)+/?"
_OWN_PATHS = ("v1", "datasets", "work", "static", "sign-in", "sign-out", "docs", "metrics", "healthz", "readyz")
Names = Annotated[tuple[str, ...], NoDecode]  # comma separated where it comes from the environment


class ServiceSettings(BaseSettings):
    """How the service runs. Bytes are bytes, times are seconds."""

    model_config = SettingsConfigDict(env_prefix="VECVER_", extra="ignore", frozen=True)

    host: str = "127.0.0.1"  # address that it listens on
    port: int = Field(8000, ge=0, le=65535)  # 0: a free one
    root_path: str = ""  # what a proxy puts before every path, as /kb, whether it hands that on or not
    workers: int = Field(1, ge=1)  # processes over one repository
    state: str = ""  # folder of jobs, uploads, keys, audit log; on a local disk; "": REPO.service beside the repository
    database: SecretStr = SecretStr("")  # postgresql://USER:PASSWORD@HOST/DATABASE: what replicas share of the state
    keys: str = ""  # JSON file of API keys; "": they are in the state folder's database, service.sqlite
    no_auth: bool = False  # every caller may do everything

    folders: Names = ()  # what the server may ingest: these folders, what lies in them, links too; and s3://BUCKET/PREFIX
    embedders: Names = ("minilm", "minilm:bf16", "hashing")  # what an ingest may choose by name
    warm: Names = ()  # what is opened before the service is ready: DATASET@REVISION; none named: every alias

    max_body: int = Field(8 << 20, ge=1024)  # bytes of a request, but for an ingest
    max_upload: int = Field(1 << 30, ge=1024)  # bytes of an ingest
    max_files: int = Field(10_000, ge=1)  # of one upload
    max_k: int = Field(1000, ge=1)  # hits of one answer
    max_diverse: int = Field(200, ge=1)  # k + offset where `diversity` is asked for, whose cost is their square
    max_text: int = Field(64 << 20, ge=1)  # characters of several documents that are sent at once
    max_queries: int = Field(256, ge=1)  # of one search
    max_questions: int = Field(10_000, ge=1)  # of a question set
    max_context: int = Field(20, ge=0)  # chunks around a hit, on each side
    max_streams: int = Field(50, ge=1)  # streams of events that a key may hold open in a process
    rate: float = Field(0, ge=0)  # requests a second and key, in each process; 0: no limit
    burst: int = Field(100, ge=1)  # requests that may come at once under `rate`
    timeout: float = Field(30, gt=0)  # from the first byte of a request to the first of its answer
    upload_timeout: float = Field(3600, gt=0)  # the same for an ingest's body
    header_timeout: float = Field(10, gt=0)  # for a connection to say what it wants
    drain: float = Field(0, ge=0)  # seconds that it still answers, unready, after SIGTERM: for load balancers to notice
    shutdown_timeout: int = Field(20, ge=1)  # for requests in flight
    threads: int = Field(8, ge=1)  # requests that are worked on at once in a process
    ref_age: float = Field(2, ge=0)  # seconds that a search may know a ref of a bucket late; 0: each search asks
    open_bytes: int = Field(1 << 30, ge=0)  # memory of versions that stay open
    jobs_kept: int = Field(1000, ge=1)  # finished ones
    log_level: str = "info"  # debug, info, warning or error

    @field_validator("folders", "embedders", "warm", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("root_path")
    @classmethod
    def _root(cls, value: str) -> str:
        if value.strip("/") and (not re.fullmatch(_ROOT, value) or value.split("/")[1] in _OWN_PATHS):
            raise ValueError("a path such as /kb, and none of the service's own")
        return value.rstrip("/")

    @field_validator("log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        if value.lower() not in ("debug", "info", "warning", "error"):
            raise ValueError("one of debug, info, warning, error")
        return value.lower()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, settings_file(os.environ))

    def state_folder(self, repo: str) -> Path:
        """Where this service keeps what is not the repository's. Raises InvalidInputError (none is set, none fits)."""
        if self.state:
            return Path(self.state).expanduser().absolute()
        if "://" in repo:
            raise InvalidInputError(
                f"{repo} is no folder beside which the service could keep its jobs and keys",
                code="no_state",
                hint="name one with VECVER_STATE",
            )
        place = Path(repo).expanduser().absolute()
        return place.with_name(place.name + ".service")

    def keys_file(self, repo: str) -> Path:
        """Where the API keys are."""
        return Path(self.keys).expanduser().absolute() if self.keys else self.state_folder(repo) / FILE_NAME


def load_settings(**overrides: Any) -> ServiceSettings:
    """The settings of this process; `overrides` win. Raises InvalidInputError, which names the bad setting."""
    try:
        return ServiceSettings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"]).upper()
        raise InvalidInputError(
            f"VECVER_{name} cannot be used: {first['msg']}",
            code="invalid_settings",
            hint="mend the option, the environment or the settings file; `vecver config --all` lists all of them",
        ) from error
