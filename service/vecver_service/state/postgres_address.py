"""The address of a PostgreSQL: reads `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=...`, and says no password.

Decisions
1. Where no `sslmode` is given, a server on another machine must show a certificate that proves its name. libpq's own
   default goes on in plain text if the server has no TLS, and so would send a password to whoever answers.
2. A parameter that is not known here is refused: ignoring `sslrootcert` of a misspelt name would change what is proved.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

from vecver.errors import InvalidInputError
from vecver.near import near

SCHEMES = ("postgresql", "postgres")
_MODES = ("disable", "require", "verify-ca", "verify-full")
_PARAMETERS = ("sslmode", "sslrootcert", "host", "connect_timeout")
_EXAMPLE = "postgresql://USER:PASSWORD@HOST:5432/DATABASE"


@dataclass(frozen=True)
class Address:
    """Where a PostgreSQL is, and how it is reached. Its text and `repr` have no password."""

    user: str
    password: str | None = field(repr=False)
    host: str
    port: int
    database: str
    socket: str | None  # path of a unix socket, in place of host and port
    mode: str  # one of `_MODES`
    root_certificate: str | None
    connect_timeout_s: float

    def __str__(self) -> str:
        place = self.socket or f"{self.host}:{self.port}"
        return f"postgresql://{self.user}@{place}/{self.database}"

    def ssl_context(self) -> ssl.SSLContext | None:
        """What the server must prove; None: plain text. Raises InvalidInputError (the certificate cannot be read)."""
        if self.mode == "disable":
            return None
        try:
            context = ssl.create_default_context(cafile=self.root_certificate)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(f"sslrootcert cannot be read: {error}") from error
        if self.mode != "verify-full":
            context.check_hostname = False
        if self.mode == "require":
            context.verify_mode = ssl.CERT_NONE
        return context


def parse(url: str) -> Address:
    """Raises InvalidInputError, which does not quote the address: it has a password."""
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:
        raise _unusable("it is no address") from None
    if parts.scheme not in SCHEMES:
        raise _unusable("it must begin with postgresql://")
    try:
        options = {
            name: values[-1]
            for name, values in parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)).items()
        }
    except ValueError:
        raise _unusable("what follows its ? cannot be read") from None
    for name in options:
        if name not in _PARAMETERS:
            raise _unusable(f"the parameter {name!r} is not known", near(name, _PARAMETERS))
    place = options.get("host") or unquote(parts.hostname or "localhost")
    if not parts.username:
        raise _unusable("it names no user")
    socket = f"{place}/.s.PGSQL.{port}" if place.startswith("/") else None
    local = socket is not None or _is_loopback(place)
    return Address(
        user=unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        host=place,
        port=port,
        database=unquote(parts.path.strip("/")) or unquote(parts.username),
        socket=socket,
        mode=_mode(options.get("sslmode", "disable" if local else "verify-full")),
        root_certificate=options.get("sslrootcert"),
        connect_timeout_s=_seconds(options.get("connect_timeout", "5")),
    )


def _mode(mode: str) -> str:
    if mode not in _MODES:
        raise _unusable(f"sslmode must be one of {', '.join(_MODES)}", near(mode, _MODES))
    return mode


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 60:
        raise _unusable("connect_timeout must be a number of seconds, up to 60")
    return seconds


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unusable(why: str, did_you_mean: list[str] | None = None) -> InvalidInputError:
    return InvalidInputError(
        f"VECVER_DATABASE cannot be used: {why}",
        code="invalid_settings",
        hint=f"write {_EXAMPLE}, with ?sslmode=disable where the network is private and the server has no TLS",
        did_you_mean=did_you_mean or [],
    )
