"""What a Redis server or the way to it can answer, as errors of this product: each with the fix, none with a password."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from redis import exceptions as driver
from redis.sentinel import MasterNotFoundError

from stores.backends.redis_settings import RedisConfig
from stores.errors import ReadOnly, StoreError, StoreRefused, StoreUnavailable
from stores.texts import Text, say

DriverError: Final = (driver.RedisError, driver.RedisClusterException, OSError)
"""Everything the driver raises."""

_COMMAND: Final = re.compile(r"the '([^']+)' command")
_CODE: Final = re.compile(r"^(?:-|Error running script[^:]*: |@user_script:? ?\d*:? ?|user_script:\d+: )*")

_DOWN_IN_SCRIPT: Final = "while the cluster is down"
"""How a script's first command is refused; it has no code of its own."""
_NOT_APPLIED_CODES: Final = frozenset({"LOADING", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "MASTERDOWN"})
_NOT_APPLIED: Final = (
    driver.BusyLoadingError,
    driver.ReadOnlyError,
    driver.ClusterDownError,
    driver.SlotNotCoveredError,
    driver.TryAgainError,
    driver.AskError,
    MasterNotFoundError,
)


def not_applied(error: BaseException) -> bool:
    """Whether the servers said that nothing was done for a reason that may be over soon: a failover, a slot on the move, a start."""
    if isinstance(error, _NOT_APPLIED) or code_of(error) in _NOT_APPLIED_CODES:
        return True
    return "previous master is now a slave" in str(error) or _DOWN_IN_SCRIPT in str(error)


def connection_lost(error: BaseException) -> bool:
    """Whether the way to the server failed, so that a command that was sent may or may not have run."""
    lost = isinstance(error, (driver.ConnectionError, driver.TimeoutError, driver.RedisClusterException, OSError))
    return lost and not not_applied(error)


def code_of(error: BaseException) -> str:
    """The error word of the reply: "NOPERM", "OOM", "ERR" or empty."""
    status = getattr(error, "status_code", None)
    if status:
        return str(status)
    word = _CODE.sub("", str(error)).partition(" ")[0]
    return word if word.isupper() else ""


def forbids_scripts(error: BaseException) -> bool:
    """Whether the reply says that EVAL or EVALSHA may not be used here at all."""
    text = str(error).lower()
    named = _COMMAND.search(text)
    if code_of(error) == "NOPERM" and named:
        return named[1].partition("|")[0] in ("eval", "evalsha", "eval_ro", "evalsha_ro", "script")
    return "unknown command" in text and "eval" in text


def about_tls(error: BaseException) -> bool:
    """Whether the encryption of a connection failed."""
    return _says("certificate", "hostname mismatch", "ssl", "wrong version number", "eof occurred in violation")(error)


def lacks_command(error: BaseException, name: str) -> bool:
    """Whether the reply says that this command is unknown to the server or forbidden to the user."""
    text = str(error).lower()
    named = _COMMAND.search(text)
    return bool(named and named[1] == name) or ("unknown command" in text and name in text)


def unnamed_in_script(error: BaseException) -> bool:
    """Whether a script met a command that is unknown or forbidden, without being told which."""
    text = str(error).lower()
    return "unknown redis command" in text or "can't run this command" in text


def translate(error: BaseException, config: RedisConfig) -> StoreError:
    """The product's error for a driver's. Unknown replies are passed on as StoreRefused, passwords blotted out."""
    cause = _innermost(error)
    for test, make in _RULES:
        if test(cause):
            return make(cause, config)
    text = scrub(str(cause), config)
    return StoreRefused(
        say("Redis at %(where)s answered: %(text)s", where=config.where, text=text[:300]), say("Look into the server's log.")
    )


@contextmanager
def translated(config: RedisConfig) -> Iterator[None]:
    """Turns every driver error of the block into a StoreError."""
    try:
        yield
    except DriverError as error:
        raise translate(error, config) from None


def scrub(text: str, config: RedisConfig) -> str:
    """The text without any password in use."""
    for secret in config.secrets:
        text = text.replace(secret, "***")
    return text


def _innermost(error: BaseException) -> BaseException:
    """What a cluster client wraps: the reason why the nodes could not be used."""
    while isinstance(error, driver.RedisClusterException) and not isinstance(error, driver.SlotNotCoveredError):
        inner = error.__cause__ or error.__context__
        if not isinstance(inner, DriverError):
            break
        error = inner
    return error


def _says(*texts: str) -> Callable[[BaseException], bool]:
    return lambda error: any(text in str(error).lower() for text in texts)


def _is(*types: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, types)


def _coded(*codes: str) -> Callable[[BaseException], bool]:
    return lambda error: code_of(error) in codes


Make = Callable[[BaseException, RedisConfig], StoreError]


def _unavailable(message: Text, fix: Text) -> Make:
    return lambda error, config: StoreUnavailable(message.filled(where=config.where), fix)


def _refused(message: Text, fix: Text) -> Make:
    return lambda error, config: StoreRefused(message.filled(where=config.where), fix)


def _no_permission(error: BaseException, config: RedisConfig) -> StoreError:
    user = _user(config)
    text = str(error).lower()
    named = _COMMAND.search(text)
    if named:
        return StoreRefused(
            say("The Redis user %(user)s may not run %(value)s.", user=user, value=named[1].replace("|", " ").upper()),
            say("Allow it: ACL SETUSER %(user)s +%(named)s", user=user, named=named[1]),
        )
    if "access" in text and "key" in text:
        return StoreRefused(
            say("The Redis user %(user)s may not use this key.", user=user), say("Allow all keys: ACL SETUSER %(user)s ~*", user=user)
        )
    return StoreRefused(
        say("The Redis user %(user)s lacks a permission.", user=user), say("The connection test lists the commands that are needed.")
    )


def _wrong_password(error: BaseException, config: RedisConfig) -> StoreError:
    if code_of(error) == "NOAUTH":
        return StoreRefused(say("Redis at %(where)s asks for a password and none is set.", where=config.where), _password_fix(config))
    if "without any password configured" in str(error) or "no password is set" in str(error):
        return StoreRefused(
            say("Redis at %(where)s has no password, but one is set here.", where=config.where),
            say("Remove the password from the settings."),
        )
    return StoreRefused(
        say("Redis at %(where)s refused user %(user)s or its password.", where=config.where, user=_user(config)), _password_fix(config)
    )


def _no_primary(error: BaseException, config: RedisConfig) -> StoreError:
    sentinels = ", ".join(map(str, config.addresses))
    if "AuthenticationError" in str(error):
        return StoreRefused(
            say("The sentinels %(sentinels)s refused the user or password.", sentinels=sentinels),
            say("Correct sentinelUsername and sentinelSecret."),
        )
    return StoreUnavailable(
        say("No sentinel of %(sentinels)s names a working primary for %(service)s.", sentinels=sentinels, service=config.service),
        say("Check serviceName and that the sentinels run; during a failover try again in a few seconds."),
    )


def _timeout(error: BaseException, config: RedisConfig) -> StoreError:
    connecting = "connecting" in str(error).lower()
    seconds = config.connect_seconds if connecting else config.read_seconds
    return StoreUnavailable(
        say("Redis at %(where)s did not accept a connection within %(seconds)s s.", where=config.where, seconds=f"{seconds:g}")
        if connecting
        else say("Redis at %(where)s did not answer within %(seconds)s s.", where=config.where, seconds=f"{seconds:g}"),
        say("Check the network and whether the server is overloaded, then try again."),
    )


def _lost(error: BaseException, config: RedisConfig) -> StoreError:
    return StoreUnavailable(
        say("The connection to Redis at %(where)s broke.", where=config.where), say("Check that the server runs, then try again.")
    )


def _bad_certificate(error: BaseException, config: RedisConfig) -> StoreError:
    found = re.search(r"verify failed: ([^(\]]+)", str(error))
    reason = f": {found[1].strip()}" if found else ""
    return StoreRefused(
        say("The TLS certificate of Redis at %(where)s was not accepted%(reason)s.", where=config.where, reason=reason),
        say("Give the authority that signed it as tls.ca-file, or end the URL in #insecure to accept any certificate."),
    )


def _user(config: RedisConfig) -> str:
    return config.user or "default"


def _password_fix(config: RedisConfig) -> str:
    if config.mode == "single":
        return say("Put user and password in the URL: redis://user:password@host:port.")
    if config.mode == "cluster":
        return say("Put user and password in the settings user and password.")
    return say("Put them in the settings authUsername and authSecret (sentinelUsername and sentinelSecret for the sentinels).")


_RULES: Final[Sequence[tuple[Callable[[BaseException], bool], Make]]] = (
    (_coded("NOPERM"), _no_permission),
    (_says("can't run this command", "acl failure in script"), _no_permission),
    (_is(driver.AuthenticationError), _wrong_password),
    (_coded("NOAUTH"), _wrong_password),
    (_is(MasterNotFoundError), _no_primary),
    (
        _is(driver.ReadOnlyError),
        lambda error, config: ReadOnly(
            say("Redis at %(where)s is a replica and takes no writes.", where=config.where),
            say("Point urls at the primary, or use redis-type sentinel."),
        ),
    ),
    (
        _coded("MISCONF"),
        _refused(
            say("Redis at %(where)s cannot save to disk and therefore refuses writes."),
            say("Free space or fix its data folder; see its log."),
        ),
    ),
    (_is(driver.OutOfMemoryError), _refused(say("Redis at %(where)s is full (maxmemory) and refuses writes."), say("Raise maxmemory."))),
    (_is(driver.BusyLoadingError), _unavailable(say("Redis at %(where)s is still loading its data."), say("Try again in a moment."))),
    (_coded("BUSY"), _unavailable(say("Redis at %(where)s is busy running a script."), say("Try again in a moment."))),
    (_coded("NOREPLICAS"), _refused(say("Redis at %(where)s has too few replicas and refuses writes."), say("Check its replicas."))),
    (
        _is(driver.MasterDownError),
        _unavailable(say("Redis at %(where)s is a replica that has lost its primary."), say("Check the primary.")),
    ),
    (
        _is(driver.ClusterDownError, driver.SlotNotCoveredError),
        _unavailable(say("Part of the cluster at %(where)s is down."), say("Wait for a failover or check its nodes: CLUSTER INFO.")),
    ),
    (
        _says(_DOWN_IN_SCRIPT),
        _unavailable(say("Part of the cluster at %(where)s is down."), say("Wait for a failover or check its nodes: CLUSTER INFO.")),
    ),
    (_is(driver.TryAgainError), _unavailable(say("The cluster at %(where)s is moving this key."), say("Try again in a moment."))),
    (
        _is(driver.AskError),
        lambda error, config: (
            StoreUnavailable(say("The cluster at %(where)s is moving this key.", where=config.where), say("Try again in a moment."))
            if config.mode == "cluster"
            else StoreRefused(say("Redis at %(where)s is part of a cluster.", where=config.where), say("Set redis-type to cluster."))
        ),
    ),
    (
        _says("cluster mode is not enabled", "cluster support disabled"),
        _refused(say("Redis at %(where)s is not part of a cluster."), say("Set redis-type to single.")),
    ),
    (
        _says("db index is out of range"),
        _refused(say("Redis at %(where)s has no database of this number."), say("Correct the end of the URL.")),
    ),
    (
        _says("select is not allowed in cluster"),
        _refused(say("Redis at %(where)s is part of a cluster."), say("Set redis-type to cluster.")),
    ),
    (
        _coded("DENIED"),
        _refused(say("Redis at %(where)s runs in protected mode."), say("Give it a password, or use an address it listens on locally.")),
    ),
    (_says("protected mode"), _refused(say("Redis at %(where)s runs in protected mode."), say("Give it a password."))),
    (
        _says("max number of clients"),
        _unavailable(say("Redis at %(where)s has no connection left (maxclients)."), say("Raise maxclients.")),
    ),
    (_says("certificate", "hostname mismatch"), _bad_certificate),
    (
        _says("name or service not known", "nodename nor servname", "temporary failure in name resolution", "no address associated"),
        _unavailable(say("The host name of %(where)s cannot be resolved."), say("Correct the host in urls or the name service.")),
    ),
    (
        _says("connection refused"),
        _unavailable(say("Redis at %(where)s refused the connection."), say("Check that it runs and listens there.")),
    ),
    (
        _says("no such file or directory"),
        _unavailable(say("There is no socket at %(where)s."), say("Check the path and that the server runs.")),
    ),
    (
        _says("permission denied"),
        _refused(say("The socket %(where)s may not be opened."), say("Add kvadmin's user to the socket's group.")),
    ),
    (_says("network is unreachable", "no route to host"), _unavailable(say("There is no way to %(where)s."), say("Check the network."))),
    (
        _says("ssl", "tls", "wrong version number", "eof occurred in violation"),
        _refused(say("TLS with Redis at %(where)s failed."), say("Use redis:// if the server has no TLS there, rediss:// if it has.")),
    ),
    (_is(driver.TimeoutError), _timeout),
    (_is(TimeoutError), _timeout),
    (
        _is(driver.MaxConnectionsError),
        _unavailable(say("All connections to Redis at %(where)s are in use."), say("Try again in a moment.")),
    ),
    (_is(driver.ConnectionError), _lost),
    (_is(OSError), _lost),
    (
        _is(driver.RedisClusterException),
        _unavailable(say("The cluster at %(where)s cannot be reached."), say("Check its nodes: CLUSTER NODES.")),
    ),
)
