"""What PostgreSQL's errors mean for the reader: one typed error each, with what to do."""

from __future__ import annotations

import re
from typing import Final

import psycopg
from psycopg import errors

from stores.backends.sql import LockHeld
from stores.backends.sqlchecks import missing_table
from stores.backends.sqlserver import ConnectionRefused, ServerConfig
from stores.errors import BadConfig, ReadOnly, StoreError, StoreRefused, StoreUnavailable
from stores.texts import Text, say


def translate(error: psycopg.Error, config: ServerConfig, version: str, *, connected: bool) -> StoreError:
    """The typed error of a driver's error; `connected` says whether it came from an open connection."""
    if isinstance(error, errors._WaitTimeout):
        return StoreUnavailable(
            say("%(server)s does not answer.", server=config.server), say("Check the network and the server; try again later.")
        )
    if isinstance(error, errors.UndefinedTable):
        return missing_table(_named_table(error) or "m", version)
    known = _KNOWN.get(error.sqlstate or "")
    if known is not None:
        kind, message, fix = known
        return kind(message.filled(user=config.user, database=config.database), fix)
    if error.sqlstate is None and not connected:
        return _not_connected(config, str(error))
    if isinstance(error, psycopg.OperationalError):
        return StoreUnavailable(
            say("The connection to %(server)s broke.", server=config.server),
            say("Check the server and try again; if this was a change, look first whether it was made."),
        )
    return StoreRefused(
        say("PostgreSQL refuses: %(first_line)s.", first_line=_first_line(error)), say("Check that the database is a store of Stalwart.")
    )


_Known = tuple[type[StoreRefused] | type[StoreUnavailable] | type[ReadOnly] | type[BadConfig], Text, Text]
_RIGHTS: Final = say("GRANT SELECT, INSERT, UPDATE, DELETE on both tables to the login.")
_KNOWN: Final[dict[str, _Known]] = {
    "42501": (StoreRefused, say("The login %(user)s has no right to do this."), _RIGHTS),
    "25006": (ReadOnly, say("The database takes no writes now."), say("Point the store at the primary, or end its read-only mode.")),
    "55P03": (LockHeld, say("Another transaction holds this row."), say("Try again in a moment.")),
    "57014": (StoreUnavailable, say("The server took longer than 5 s for one statement."), say("Try again when it is less busy.")),
    "53100": (StoreUnavailable, say("The server's disk is full; nothing was written."), say("Make room on it.")),
    "53300": (StoreUnavailable, say("The server has no free connection."), say("Raise max_connections, or try again later.")),
    "57P01": (
        StoreUnavailable,
        say("The server has ended the connection: it is shutting down, or an administrator ended it."),
        say("Try again."),
    ),
    "57P02": (StoreUnavailable, say("The server is restarting."), say("Try again in a moment.")),
    "57P03": (StoreUnavailable, say("The server is starting up."), say("Try again in a moment.")),
    "54000": (BadConfig, say("The key is too long for the server's index."), say("Shorten the key.")),
}
"""By SQLSTATE."""

_LOGIN_FIX: Final = say("Correct user and password in the settings, or the server's pg_hba.conf.")
_REFUSALS: Final = (
    (
        r"certificate|SSL|TLS",
        "TLS",
        say("The encrypted connection failed: %(line)s."),
        say("Check tls.enable, tls.ca-file and the server's certificate."),
    ),
    (
        r"no pg_hba\.conf entry",
        say("Login"),
        say("The server admits no such connection: %(line)s."),
        say("Add a line for this host to pg_hba.conf, or switch on TLS."),
    ),
    (r"password|authentication|role ", say("Login"), say("The server refuses the login %(user)s."), _LOGIN_FIX),
    (
        r"database .* does not exist",
        say("Database"),
        say("There is no database %(database)s."),
        say("Correct the database in the settings."),
    ),
    (
        r"permission denied for database",
        say("Database"),
        say("The login %(user)s may not use %(database)s."),
        say("GRANT CONNECT on the database."),
    ),
)
_AWAY: Final = (
    (r"starting up|shutting down|recovery", say("The server at %(server)s is starting up or shutting down.")),
    (r"too many|connection slots", say("The server at %(server)s has no free connection.")),
    (r"resolve|translate host|Name or service", say("The host %(host)s cannot be resolved.")),
)


def _not_connected(config: ServerConfig, text: str) -> StoreError:
    """What a failed connection means. libpq gives no code for it, only the server's words; unknown words are passed on."""
    line = _cause(text, config.password)
    words = {"line": line, "user": config.user, "database": config.database, "server": config.server, "host": config.host}
    for pattern, message in _AWAY:
        if re.search(pattern, line):
            return StoreUnavailable(message.filled(**words), say("Try again in a moment."))
    if "FATAL" not in text and not re.search(r"certificate|SSL", line):
        return StoreUnavailable(
            say("%(server)s cannot be reached: %(line)s.", server=config.server, line=line),
            say("Check that the server runs, and host and port in the settings."),
        )
    for pattern, step, message, fix in _REFUSALS:
        if re.search(pattern, line):
            return ConnectionRefused(step, message.filled(**words), fix)
    return ConnectionRefused(say("Login"), say("The server refuses the connection: %(line)s.", line=line), _LOGIN_FIX)


def _cause(text: str, password: str) -> str:
    """The last line of libpq's report without its preamble; never with the password in it."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("Is the server running")]
    line = re.sub(r"^.*?(FATAL|failed|bad|error|ERROR):\s+", "", lines[-1]) if lines else say("no reason given")
    line = re.sub(r"^(FATAL|ERROR):\s+", "", line)
    return (line.replace(password, "***") if password else line).rstrip(".")


def _first_line(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).splitlines()[0].rstrip(".")


def _named_table(error: psycopg.Error) -> str:
    match = re.search(r'"(\w+)"', error.diag.message_primary or "")
    return match[1] if match else ""
