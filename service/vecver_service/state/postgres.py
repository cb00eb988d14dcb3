"""Connections to PostgreSQL, and its errors as errors of the house.

Decisions
1. The driver is pg8000: BSD-3, pure Python, two small dependencies. psycopg is LGPL; asyncpg has no calls that wait,
   and every caller here is a thread. Some hundred short statements a second do not notice which driver sends them.
2. A server that vanished without a word (its machine lost power) is noticed by TCP's keep-alive on both sides, and by
   `_ANSWER_SECONDS`: no statement here runs longer but one that waits for another transaction, at most `WAIT_SECONDS`.
3. The settings of a session are a statement: PgBouncer refuses a connection that brings them, also where it pools
   sessions.
4. Only what says that tables, columns or rows are not as we made them is damage. All else may pass: a server that
   follows another and is read-only during a failover, one without memory, a session that its administrator ended.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from vecver.errors import BackendError, IntegrityError, InvalidInputError, VecverError, missing_package, say
from vecver_service.state.postgres_address import Address
from vecver_service.state.sql import Rows

SCHEMA = "vecver"  # of our tables: other applications may use the database too
UNCLEAR = "state_unclear"  # code: whether a transaction was committed is not known
WAIT_SECONDS = 10  # for another transaction; our own take milliseconds
_ANSWER_SECONDS = 15.0
_SESSION = {
    "search_path": SCHEMA,
    "lock_timeout": f"{WAIT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{WAIT_SECONDS}s",  # a process that was stopped must not hold up the others
    "tcp_keepalives_idle": "10",  # seconds; so that locks of a machine that vanished are released in half a minute
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_SET_SESSION = "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _SESSION.items())
_GONE = ("08", "57P", "25P03")  # beginnings of SQLSTATE: the connection or the server ended
_READ_ONLY = ("25006", "55000")  # it follows another server; 55000: it gives out no numbers of transactions
_BUSY = ("55P03", "40001", "40P01", "53300", "57014")
_REFUSED = ("28", "3D000", "42501")
_FULL, _BAD_VALUE = "53100", "22"
_DAMAGED = ("23", "3F", "42", "XX001", "XX002")
_PLAIN = "send text without the character NUL"


class PostgresConnection:
    """A connection in autocommit mode, for one thread at a time. Raises errors of the house."""

    def __init__(self, address: Address) -> None:
        """Raises BackendError (it does not answer, it refuses the user, there is no such database)."""
        self._address = address
        self.broken = False  # the server or the network ended it
        self.in_transaction = self.failed = False
        self.transaction_id = ""
        driver, context = _driver(), address.ssl_context()
        self._errors = (driver.Error, OSError)
        opened = None
        try:
            opened = None if address.socket else _opened(address)
            self._raw = driver.connect(
                address.user,
                host=address.host,
                unix_sock=address.socket,
                sock=opened,
                database=address.database,
                password=address.password,
                ssl_context=context or False,  # None would mean: TLS if the server has it, whoever that is
                timeout=_ANSWER_SECONDS,  # of a unix socket
                application_name="vecver",
            )
        except self._errors as error:
            if opened:
                opened.close()
            raise house_error(error, address) from error
        self._raw.autocommit = True
        try:
            self.execute(_SET_SESSION)
        except BaseException:
            self.close()
            raise

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Rows:
        cursor = self._raw.cursor()
        try:
            cursor.execute(sql.replace("?", "%s") if parameters else sql, tuple(parameters))
        except self._errors as error:
            self.failed = True
            self.broken = self.broken or not _state_of(error) or _state_of(error).startswith((*_GONE, *_READ_ONLY))
            raise house_error(error, self._address) from error
        except BaseException:  # half of a message may have been sent: the next answer would be another statement's
            self.broken = True
            raise
        return cursor

    def close(self) -> None:
        with suppress(*self._errors):  # it was closed from the other side
            self._raw.close()


def _opened(address: Address) -> socket.socket:
    """A connection of TCP, which has less time to be made than an answer has to come. Raises OSError."""
    opened = socket.create_connection((address.host, address.port), address.connect_timeout_s)
    opened.settimeout(_ANSWER_SECONDS)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return opened


def _driver() -> Any:
    try:
        import pg8000.dbapi
    except ImportError as error:
        raise missing_package("VECVER_DATABASE needs", error.name, "vecver[postgres]") from error
    return pg8000.dbapi


def _state_of(error: Exception) -> str:
    """The SQLSTATE with which the server answered; "" if it did not."""
    fields = error.args[0] if error.args else None
    return str(fields.get("C", "")) if isinstance(fields, dict) else ""


def house_error(error: Exception, address: Address) -> VecverError:
    """The error of the house for one of the driver or the network."""
    state = _state_of(error)
    said = error.args[0].get("M", "") if state else str(error)
    if state.startswith(_REFUSED):
        return BackendError(
            f"the database {address} refuses the service: {said}",
            code="state_refused",
            hint=say(
                "check the user, password and database of VECVER_DATABASE; the user must own the database, or the "
                f"schema {SCHEMA} in it",
                http="ask the operator of the service to look at its log; searches are answered meanwhile",
            ),
        )
    if state.startswith(_READ_ONLY):
        return BackendError(
            f"the database {address} is read-only: {said}",
            code="state_unreachable",
            hint=say(
                "let VECVER_DATABASE name the server that takes writes; after a failover it does that soon by itself",
                http="repeat the request soon; searches are answered meanwhile",
            ),
            retryable=True,
            retry_after=2,
        )
    if state == _FULL:
        return BackendError(
            f"the disk of the database {address} is full",
            code="state_full",
            hint="free space there, and repeat the request; nothing was changed",
            retryable=True,
        )
    if state.startswith(_BUSY):
        return BackendError(
            f"the database {address} is busy: {said}",
            code="state_busy",
            hint="repeat the request; nothing was changed",
            retryable=True,
        )
    if state.startswith(_BAD_VALUE):
        return InvalidInputError(f"the database {address} cannot store this: {said}", code="invalid_text", hint=_PLAIN)
    if state.startswith(_DAMAGED):
        return IntegrityError(
            f"the service's tables in {address} are damaged: {said}",
            code="state_damaged",
            hint=say(
                f"stop every replica, and restore the schema {SCHEMA} from a backup",
                http="its operator must restore the database from a backup",
            ),
        )
    return unreachable(address, said)


def unreachable(address: Address, why: str) -> BackendError:
    """The error for a database that does not answer."""
    return BackendError(
        f"the database {address} does not answer: {why or 'the connection ended'}",
        code="state_unreachable",
        hint=say(
            "check that it runs and can be reached, and the sslmode of VECVER_DATABASE",
            http="repeat the request soon; searches are answered meanwhile",
        ),
        retryable=True,
        retry_after=2,
    )


def unclear(address: Address) -> BackendError:
    """The error for a transaction of which nobody can say whether it was committed."""
    return BackendError(
        f"the database {address} went away while it stored this: whether it did is not known",
        code=UNCLEAR,
        hint="look at what was to be changed before repeating the request",
    )
