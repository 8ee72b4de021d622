"""What the errors of MySQL and MariaDB mean for the reader: one typed error each, with what to do."""

from __future__ import annotations

import re
from typing import Final

import pymysql

from stores.backends.sql import LockHeld
from stores.backends.sqlchecks import missing_table
from stores.backends.sqlserver import ConnectionRefused, ServerConfig
from stores.errors import BadConfig, ReadOnly, StoreError, StoreRefused, StoreUnavailable
from stores.texts import say

_NO_TABLE: Final = 1146
RACES: Final = frozenset({1020, 1062, 1213})
"""Row changed, duplicate key, deadlock."""
_BROKEN: Final = frozenset({0, 1053, 1152, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 2014, 2027, 2055})
_LOGIN_FIX: Final = say("Correct user and password in the settings, or the rights of the login.")
_REFUSED: Final = {
    1044: (
        say("Database"),
        say("The login %(user)s may not use the database %(database)s."),
        say("GRANT the rights on this database to the login."),
    ),
    1045: (say("Login"), say("The server refuses the login %(user)s."), _LOGIN_FIX),
    1049: (say("Database"), say("There is no database %(database)s."), say("Correct the database in the settings.")),
    1129: (say("Login"), say("The server has blocked this host after failed connections."), say("Run FLUSH HOSTS on the server.")),
    1130: (say("Login"), say("The server admits no connection from this host."), say("Create the login for this host.")),
    1251: (
        say("Login"),
        say("The login %(user)s uses a kind of password that kvadmin does not know."),
        say("Use mysql_native_password or caching_sha2_password."),
    ),
    1698: (say("Login"), say("The server refuses the login %(user)s."), _LOGIN_FIX),
    2059: (
        say("Login"),
        say("The login %(user)s uses a kind of password that kvadmin does not know."),
        say("Use mysql_native_password or caching_sha2_password."),
    ),
    3159: ("TLS", say("The server takes only encrypted connections."), say("Switch on TLS in the settings.")),
}
_Known = tuple[type[StoreRefused] | type[StoreUnavailable] | type[ReadOnly] | type[BadConfig], str, str]
_RIGHTS: Final = "GRANT SELECT, INSERT, UPDATE, DELETE on both tables to the login."
_NO_RIGHT: Final[_Known] = (StoreRefused, say("The login has no right to do this."), _RIGHTS)
_READ_ONLY: Final[_Known] = (
    ReadOnly,
    say("The server takes no writes now."),
    say("Point the store at the primary, or end its read-only mode."),
)
_SLOW: Final[_Known] = (StoreUnavailable, say("The server took longer than 5 s for one statement."), say("Try again when it is less busy."))
_FULL: Final[_Known] = (StoreUnavailable, say("The server's disk is full; nothing was written."), say("Make room on it."))
_TOO_LARGE: Final[_Known] = (BadConfig, say("The value is larger than the server takes."), say("Shorten it, or raise max_allowed_packet."))
_KNOWN: Final[dict[int, _Known]] = {
    **dict.fromkeys((1142, 1143, 1227, 1370), _NO_RIGHT),
    **dict.fromkeys((1290, 1792, 1836, 1209), _READ_ONLY),
    **dict.fromkeys((1317, 1969, 3024), _SLOW),
    **dict.fromkeys((3, 1021, 1114), _FULL),
    **dict.fromkeys((1153, 1301), _TOO_LARGE),
    1040: (StoreUnavailable, say("The server has no free connection."), say("Raise max_connections, or try again later.")),
    1203: (StoreUnavailable, say("The login has no free connection."), say("Raise max_user_connections, or try again later.")),
    1226: (
        StoreUnavailable,
        say("The login has reached a limit that the server sets it: its connections, or its statements in an hour."),
        say("Raise MAX_USER_CONNECTIONS or the hourly limits of the login, or try again later."),
    ),
    1205: (LockHeld, say("Another transaction holds this row."), say("Try again in a moment.")),
    1406: (BadConfig, say("The key or the value is too long for the table."), say("Shorten it.")),
}
"""By the server's error number."""


def code_of(error: Exception) -> int:
    """The server's or the client's error number, 0 when there is none."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def broken(error: Exception) -> bool:
    """Whether the connection is of no further use."""
    return code_of(error) in _BROKEN or isinstance(error, pymysql.InterfaceError)


def translate(error: Exception, config: ServerConfig, version: str, *, connected: bool) -> StoreError:
    """The typed error of a driver's error; `connected` says whether it came from an open connection."""
    code, text = code_of(error), _plain(error, config.password)
    if code == _NO_TABLE:
        named = re.search(r"\.(\w+)'", text)
        return missing_table(named[1] if named else "m", version)
    if code in _KNOWN:
        kind, message, fix = _KNOWN[code]
        return kind(message, fix)
    if not connected:
        return _not_connected(code, text, config)
    if broken(error):
        slow = "timed out" in text
        return StoreUnavailable(
            say("%(server)s does not answer.", server=config.server)
            if slow
            else say("The connection to %(server)s broke.", server=config.server),
            say("Check the server and try again; if this was a change, look first whether it was made."),
        )
    return StoreRefused(
        say("The server refuses (%(code)s): %(text)s.", code=code, text=text), say("Check that the database is a store of Stalwart.")
    )


def _not_connected(code: int, text: str, config: ServerConfig) -> StoreError:
    if code in _REFUSED:
        step, message, fix = _REFUSED[code]
        return ConnectionRefused(step, message.filled(user=config.user, database=config.database), fix)
    if re.search(r"SSL|certificate|TLS", text):
        fix = say("Check tls.enable, tls.ca-file and the server's certificate.")
        return ConnectionRefused("TLS", say("The encrypted connection failed: %(text)s.", text=text), fix)
    if code in _BROKEN or 2000 <= code < 2100:
        cause = re.search(r"\(\[Errno -?\d+\] ([^)]*)\)|\((timed out)\)", text)
        fix = say("Check that the server runs, and host and port in the settings.")
        if not cause:
            return StoreUnavailable(say("%(server)s cannot be reached.", server=config.server), fix)
        return StoreUnavailable(say("%(server)s cannot be reached: %(line)s.", server=config.server, line=cause[1] or cause[2]), fix)
    return ConnectionRefused(say("Login"), say("The server refuses the connection: %(text)s.", text=text), _LOGIN_FIX)


def _plain(error: Exception, password: str) -> str:
    """The server's words on one line, never with the password in them."""
    line = " ".join(str(error.args[-1] if error.args else error).split()).rstrip(".")
    return line.replace(password, "***") if password else line
