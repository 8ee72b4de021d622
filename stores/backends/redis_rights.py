"""Which commands kvadmin needs on a Redis server, whether the user may run them, and the ACL line that allows just those."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import redis
from redis.exceptions import ResponseError

from stores.backends.redis_errors import code_of
from stores.backends.redis_link import Command
from stores.backends.redis_settings import RedisConfig

_NO_SCRIPT: Final = "0" * 40

READING: Final[Mapping[str, Command]] = {
    "ping": ("PING",),
    "info": ("INFO", "server"),
    "time": ("TIME",),
    "scan": ("SCAN", "0", "COUNT", "1"),
    "get": ("GET", b"%b"),
    "getrange": ("GETRANGE", b"%b", "0", "0"),
    "strlen": ("STRLEN", b"%b"),
    "type": ("TYPE", b"%b"),
    "exists": ("EXISTS", b"%b"),
    "pttl": ("PTTL", b"%b"),
    "pexpiretime": ("PEXPIRETIME", b"%b"),
    "eval_ro": ("EVAL_RO", "return 1", "0"),
    "evalsha_ro": ("EVALSHA_RO", _NO_SCRIPT, "0"),
}
"""Name in ACL rules -> a call without any effect; %b is a key that does not exist."""

CLUSTER: Final[Mapping[str, Command]] = {
    "cluster|slots": ("CLUSTER", "SLOTS"),
    "cluster|nodes": ("CLUSTER", "NODES"),
    "cluster|info": ("CLUSTER", "INFO"),
    "cluster|countkeysinslot": ("CLUSTER", "COUNTKEYSINSLOT", "0"),
    "cluster|getkeysinslot": ("CLUSTER", "GETKEYSINSLOT", "0", "0"),
}

WRITING: Final[Mapping[str, Command]] = {
    "set": ("SET", b"%b", "", "XX"),
    "persist": ("PERSIST", b"%b"),
    "pexpireat": ("PEXPIREAT", b"%b", "1"),
    "unlink": ("UNLINK", b"%b"),
    "incrby": ("INCRBY", b"%b", "0"),
    "eval": ("EVAL", "return 1", "0"),
    "evalsha": ("EVALSHA", _NO_SCRIPT, "0"),
    "multi": ("MULTI",),
    "discard": ("DISCARD",),
    "exec": ("EXEC",),
    "watch": ("WATCH", b"%b"),
}

MODERN: Final = frozenset({"pexpiretime", "eval_ro", "evalsha_ro"})
"""Unknown to Redis 6; kvadmin then uses PTTL and EVAL."""
_OPTIONAL: Final = frozenset({"info", "time", "pttl", "eval", "evalsha", "eval_ro", "evalsha_ro", "cluster|info"})
"""Reading works without them, with less comfort."""
_SCRIPTS: Final = frozenset({"eval", "evalsha"})
_TRANSACTION: Final = frozenset({"multi", "discard", "exec", "watch"})


@dataclass(frozen=True, slots=True)
class Rights:
    """Which of the commands the user may run. `unknown` are those the server does not have."""

    forbidden: frozenset[str]
    unknown: frozenset[str]
    cluster: bool = False

    @property
    def modern(self) -> bool:
        """Redis 7 or Valkey."""
        return "pexpiretime" not in self.unknown

    @property
    def scripts(self) -> bool:
        """A census may run as a script."""
        lacking = self.forbidden | self.unknown
        return not {"eval_ro", "evalsha_ro"} & lacking or not _SCRIPTS & lacking

    @property
    def write_scripts(self) -> bool:
        return not _SCRIPTS & self.forbidden

    @property
    def missing_to_read(self) -> tuple[str, ...]:
        """Commands to allow before everything can be read."""
        names = [*READING, *(CLUSTER if self.cluster else ())]
        if self.modern:
            names.remove("pttl")
        elif _SCRIPTS & self.forbidden:
            names += sorted(_SCRIPTS)
        return tuple(name for name in names if name in self.forbidden)

    @property
    def blocking(self) -> tuple[str, ...]:
        """Those of `missing_to_read` without which nothing can be read."""
        optional = _OPTIONAL
        if not {"time", "pttl", "eval"} & self.forbidden:
            optional |= {"pexpiretime"}
        elif not self.modern:
            optional -= {"time", "pttl", "eval"}
        return tuple(name for name in self.missing_to_read if name not in optional)

    @property
    def missing_to_write(self) -> tuple[str, ...]:
        """Commands to allow before everything can be written: scripts, or transactions in their place."""
        lacking = [name for name in WRITING if name in self.forbidden]
        if self.write_scripts:
            return tuple(name for name in lacking if name not in _TRANSACTION)
        if not _TRANSACTION & self.forbidden and self.modern:
            return tuple(name for name in lacking if name not in _SCRIPTS)
        return tuple(name for name in lacking if name not in _TRANSACTION)


def try_rights(client: redis.Redis, cluster: bool) -> Rights:
    """Call each command once in a form that has no effect. Raises driver errors when the connection fails.

    A node of a cluster checks the rights before it says MOVED, so the key may live elsewhere.
    """
    commands = {**READING, **(CLUSTER if cluster else {}), **WRITING}
    key = b"kvadmin:" + secrets.token_hex(12).encode()
    replies = _try_all(client, {name: _with_key(command, key) for name, command in commands.items()})
    forbidden = {name for name, reply in replies.items() if reply is not None and code_of(reply) == "NOPERM"}
    unknown = {name for name, reply in replies.items() if reply is not None and "unknown command" in str(reply).lower()}
    return Rights(frozenset(forbidden), frozenset(unknown), cluster)


def acl_line(config: RedisConfig, modern: bool = True, writes: bool = False) -> str:
    """The `ACL SETUSER` command for a user that may do exactly what kvadmin does, in capitals what to fill in."""
    names = [name for name in READING if modern or name not in MODERN]
    names += [] if modern else ["eval", "evalsha"]
    names += CLUSTER if config.mode == "cluster" else []
    names += ["select"] if config.first.db else []
    if writes:
        names += [name for name in WRITING if name not in names]
    return f"ACL SETUSER {config.user or 'kvadmin'} on >PASSWORD ~* -@all {' '.join('+' + name for name in names)}"


def _try_all(client: redis.Redis, commands: Mapping[str, Command]) -> dict[str, ResponseError | None]:
    """The refusal of each command, None when it was accepted. INCRBY would create its key, so it is only queued, then discarded."""
    found: dict[str, ResponseError | None] = {}
    connection: Any = client.connection_pool.get_connection()
    try:
        for name, command in commands.items():
            if name not in ("multi", "incrby"):
                found[name] = _refusal(connection, command)
        if found["discard"] is None or code_of(found["discard"]) != "NOPERM":
            found["multi"] = _refusal(connection, commands["multi"])
            if found["multi"] is None:
                found["incrby"] = _refusal(connection, commands["incrby"])
                _refusal(connection, commands["discard"])
    finally:
        connection.disconnect()
        client.connection_pool.release(connection)
    return found


def _refusal(connection: Any, command: Command) -> ResponseError | None:
    connection.send_command(*command)
    try:
        connection.read_response()
    except ResponseError as error:
        return error
    return None


def _with_key(command: Command, key: bytes) -> Command:
    return tuple(key if part == b"%b" else part for part in command)
