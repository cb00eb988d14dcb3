"""Opens the bucket at an address with obstore. Credentials come from where the cloud's own tools take them.

    s3://BUCKET/PREFIX   AWS_* variables, the profile in ~/.aws, roles of machines and containers; AWS_ENDPOINT_URL for
                         a service that is compatible with S3
    gs://BUCKET/PREFIX   GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, roles of machines
    az://CONTAINER/PREFIX   AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY,
                         AZURE_STORAGE_SAS_TOKEN, a service principal (AZURE_CLIENT_ID …), or `az login`

No credential is kept here, in the address, in an error or in anything that is written.

Decisions
1. An address with a user or password is refused without being quoted: addresses end up in logs and receipts.
2. A profile of AWS with keys in its file is read here. One that signs in otherwise (SSO, roles) needs boto3, which
   obstore asks: reading those by ourselves would mean to follow every new way of AWS.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from vecver.errors import BackendError, InvalidInputError
from vecver.http_rules import is_base_url

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSCredential, ObjectStore, RetryConfig

SCHEMES = ("s3", "gs", "az")
_OPTIONS: ClientConfig = {"allow_http": True, "connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
_RETRIES: RetryConfig = {
    "max_retries": 6,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
}


@dataclass(frozen=True)
class Bucket:
    """An opened bucket. `endpoint`: where the service is, "" for the cloud's own; it tells equal addresses apart."""

    objects: ObjectStore
    url: str
    endpoint: str


def open_bucket(url: str, environment: Mapping[str, str] = os.environ) -> Bucket:
    """The bucket at an address; asks nothing of it yet.

    Raises InvalidInputError (no bucket in the address, credentials in it, settings that cannot be used), BackendError
    (obstore is not installed).
    """
    scheme, bucket, prefix = _parts(url)
    try:
        import obstore  # noqa: F401 (the classes below come from it)
    except ImportError as error:
        raise BackendError(
            f"{scheme}:// needs the package obstore",
            code="obstore_missing",
            hint="pip install 'vecver[object-store]'",
        ) from error
    make = {"s3": _s3, "gs": _gcs, "az": _azure}[scheme]
    try:
        objects, endpoint = make(bucket, prefix, environment)
    except (ValueError, _foreign_errors()) as error:
        raise InvalidInputError(
            f"the settings for {scheme}:// cannot be used ({type(error).__name__})",
            code="invalid_store_settings",
            hint=_CREDENTIALS[scheme],
        ) from None  # its text may hold a credential
    return Bucket(objects, f"{scheme}://{bucket}" + (f"/{prefix}" if prefix else ""), endpoint)


def credentials_hint(url: str) -> str:
    """Where the credentials for an address come from."""
    return _CREDENTIALS.get(url.partition("://")[0], "check the address and the credentials")


_CREDENTIALS = {
    "s3": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION; AWS_ENDPOINT_URL for others",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`",
    "az": "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or run `az login`",
}


def _parts(url: str) -> tuple[str, str, str]:
    """(scheme, bucket, prefix) of an address. Raises InvalidInputError, which quotes no credential."""
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidInputError(
            f"an address of {parts.scheme}:// holds a bucket and a prefix, no credentials and no options",
            code="credentials_in_url",
            hint=_CREDENTIALS[parts.scheme],
        )
    prefix = unquote(parts.path).strip("/")
    if not parts.netloc or any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
        raise InvalidInputError(
            f"{url!r} names no bucket and prefix",
            code="invalid_url",
            hint=f"write {parts.scheme}://BUCKET or {parts.scheme}://BUCKET/PREFIX",
            url=url,
        )
    return parts.scheme, parts.netloc, prefix


def _s3(bucket: str, prefix: str, environment: Mapping[str, str]) -> tuple[ObjectStore, str]:
    from obstore.store import S3Store

    profile = _aws_profile(environment)
    options: dict[str, Any] = {}
    endpoint = (
        environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or profile.get("endpoint_url", "")
    )
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or profile.get("region")
    options |= {"endpoint": _checked_endpoint(endpoint)} if endpoint else {}
    options |= {"region": region} if region else {"region": "us-east-1"} if endpoint else {}
    if not environment.get("AWS_ACCESS_KEY_ID") and not _has_aws_role(environment):
        options |= _aws_keys(profile)
    objects = S3Store(bucket, prefix=prefix or None, client_options=_OPTIONS, retry_config=_RETRIES, **options)
    return objects, endpoint


def _checked_endpoint(endpoint: str) -> str:
    """Raises InvalidInputError: obstore would panic at the first request."""
    if not is_base_url(endpoint):
        raise InvalidInputError(
            "the endpoint of the object store is no address",
            code="invalid_store_settings",
            hint="write http://HOST:PORT or https://HOST, in AWS_ENDPOINT_URL for example",
        )
    return endpoint


def _has_aws_role(environment: Mapping[str, str]) -> bool:
    """Does this machine or container say whom it speaks for?"""
    names = (
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    )
    return any(environment.get(name) for name in names)


def _aws_profile(environment: Mapping[str, str]) -> dict[str, str]:
    """The fields of the chosen profile in the files of AWS; empty where there is none. Raises ValueError."""
    name, home = environment.get("AWS_PROFILE", "default"), Path(environment.get("HOME", "~")).expanduser() / ".aws"
    config = configparser.RawConfigParser()
    for variable, file in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        try:
            config.read(environment.get(variable) or home / file, "utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise ValueError(file) from error
    sections = [section for section in (f"profile {name}", name) if config.has_section(section)]
    if not sections and environment.get("AWS_PROFILE"):
        raise ValueError("no such profile")
    fields = {key: value for section in sections for key, value in config.items(section)}
    return {"name": name, **fields} if sections else {}


def _aws_keys(profile: Mapping[str, str]) -> dict[str, Any]:
    """The keys of a profile, or a provider that asks boto3 for them."""
    if "aws_access_key_id" in profile:
        fields = {
            "access_key_id": "aws_access_key_id",
            "secret_access_key": "aws_secret_access_key",
            "session_token": "aws_session_token",
        }
        return {ours: profile[theirs] for ours, theirs in fields.items() if theirs in profile}
    if not profile.keys() & {"sso_session", "sso_start_url", "role_arn", "credential_process"}:
        return {}
    from importlib.util import find_spec

    if find_spec("boto3") is None:
        raise BackendError(
            f"the profile {profile['name']!r} of AWS signs in by SSO, a role or a process",
            code="boto3_missing",
            hint="pip install boto3, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    import boto3
    from obstore.auth.boto3 import Boto3CredentialProvider

    return {"credential_provider": Boto3CredentialProvider(boto3.session.Session(profile_name=profile["name"]))}


def _gcs(bucket: str, prefix: str, environment: Mapping[str, str]) -> tuple[ObjectStore, str]:
    from obstore.store import GCSStore

    endpoint = environment.get("STORAGE_EMULATOR_HOST", "")
    options: dict[str, Any] = {}
    if endpoint:
        endpoint = _checked_endpoint(endpoint if "://" in endpoint else f"http://{endpoint}")
        options = {"base_url": endpoint, "credential_provider": _no_token}
    objects = GCSStore(bucket, prefix=prefix or None, client_options=_OPTIONS, retry_config=_RETRIES, **options)
    return objects, endpoint


def _no_token() -> GCSCredential:
    """An emulator asks for none, and obstore would ask the machine for one."""
    return {"token": "none", "expires_at": None}


def _azure(container: str, prefix: str, environment: Mapping[str, str]) -> tuple[ObjectStore, str]:
    from obstore.store import AzureStore

    options = _azure_options(environment)
    objects = AzureStore(
        container_name=container, prefix=prefix or None, client_options=_OPTIONS, retry_config=_RETRIES, **options
    )
    return objects, str(options.get("endpoint") or options.get("account_name", ""))


def _azure_options(environment: Mapping[str, str]) -> dict[str, Any]:
    """The account and how to sign in to it, under obstore's names. Raises ValueError (no account is named)."""
    options: dict[str, Any] = {}
    if text := environment.get("AZURE_STORAGE_CONNECTION_STRING"):
        fields = dict(field.split("=", 1) for field in text.strip().strip(";").split(";") if "=" in field)
        names = {"AccountName": "account_name", "AccountKey": "account_key", "SharedAccessSignature": "sas_key"}
        options = {ours: fields[theirs] for theirs, ours in names.items() if theirs in fields}
        if "BlobEndpoint" in fields:
            options["endpoint"] = _checked_endpoint(fields["BlobEndpoint"])
    else:
        names = {"ACCOUNT": "account_name", "KEY": "account_key", "SAS_TOKEN": "sas_key"}
        values = {ours: environment.get(f"AZURE_STORAGE_{theirs}") for theirs, ours in names.items()}
        options = {name: value for name, value in values.items() if value}
    if "account_name" not in options and not environment.get("AZURE_STORAGE_ACCOUNT_NAME"):
        raise ValueError("no account is named")
    principals = ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_STORAGE_ACCOUNT_KEY")
    signs_in = options.keys() & {"account_key", "sas_key"} or any(environment.get(name) for name in principals)
    if not signs_in and (Path(environment.get("HOME", "~")).expanduser() / ".azure").is_dir():
        options["use_azure_cli"] = True
    return options


def _foreign_errors() -> type[Exception]:
    from obstore.exceptions import BaseError

    return BaseError
