"""Settings of a Redis store, named as Stalwart's own: read, checked, and turned into what the driver wants."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeVar
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from stores.errors import BadConfig
from stores.texts import say
from stores.types import FieldType, SettingField

Mode = Literal["single", "cluster", "sentinel"]
T = TypeVar("T", bound=str)
MODES: Final[tuple[Mode, ...]] = ("single", "cluster", "sentinel")
CONNECT_SECONDS: Final = 2.0
"""How long a connection may take unless the setting `timeout` says otherwise."""
READ_SECONDS: Final = 5.0
"""How long one answer may take."""
DEFAULT_PORTS: Final[Mapping[str, int]] = {"single": 6379, "cluster": 6379, "sentinel": 26379}
_SCHEMES: Final = ("redis", "rediss", "redis+unix", "unix")
_UNITS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "": 0.001}
_NONE_WORDS: Final = frozenset({"", "0", "false", "disable", "disabled", "never"})

SETTINGS: Final = (
    SettingField(
        "redis-type", FieldType.CHOICE, "Kind of set-up", default="single", choices=MODES, help="One server, a Redis Cluster, or sentinels."
    ),
    SettingField(
        "urls",
        FieldType.URLS,
        "URLs",
        required=True,
        help="redis://user:password@host:6379/0, rediss:// for TLS, redis+unix:///path?db=0 for a socket. A cluster or a set of "
        "sentinels takes several, one a line; a single server only the first.",
    ),
    SettingField(
        "user", label="User (cluster)", modes=("cluster",), help="ACL user of the cluster's nodes; a single server has it in the URL."
    ),
    SettingField(
        "password",
        FieldType.PASSWORD,
        "Password (cluster)",
        modes=("cluster",),
        help="Password of the cluster's nodes. Kept encrypted, never shown again.",
    ),
    SettingField(
        "serviceName",
        label="Service name (sentinel)",
        default="mymaster",
        modes=("sentinel",),
        help="The name the sentinels watch the primary under.",
    ),
    SettingField("authUsername", label="User (sentinel)", modes=("sentinel",), help="ACL user of the data servers."),
    SettingField("authSecret", FieldType.PASSWORD, "Password (sentinel)", modes=("sentinel",), help="Password of the data servers."),
    SettingField(
        "sentinelUsername",
        label="User of the sentinels",
        modes=("sentinel",),
        advanced=True,
        help="ACL user of the sentinels, where they ask for one.",
    ),
    SettingField(
        "sentinelSecret",
        FieldType.PASSWORD,
        "Password of the sentinels",
        modes=("sentinel",),
        advanced=True,
        help="Password of the sentinels, where they ask for one.",
    ),
    SettingField("timeout", FieldType.DURATION, "Connect timeout", advanced=True, help="Such as 10s; 2s when empty."),
    SettingField(
        "read-timeout", FieldType.DURATION, "Answer timeout", advanced=True, help="How long kvadmin waits for one answer; 5s when empty."
    ),
    SettingField(
        "tls.ca-file",
        FieldType.PATH,
        "TLS: file of trusted certificates",
        advanced=True,
        help="PEM; empty: those of the system. Certificates are verified unless a URL ends in #insecure.",
    ),
    SettingField("tls.client-cert", FieldType.PATH, "TLS: client certificate", advanced=True, help="PEM, may hold the key too."),
    SettingField(
        "tls.client-key",
        FieldType.PATH,
        "TLS: key of the client certificate",
        advanced=True,
        help="PEM; empty when the file of the certificate holds it.",
    ),
    SettingField(
        "tls.allow-invalid-certs",
        FieldType.BOOLEAN,
        "TLS: accept any certificate",
        default="false",
        advanced=True,
        help="Anyone on the way can then read the password. The same as #insecure at the end of a URL.",
    ),
    SettingField(
        "protocol-version",
        FieldType.CHOICE,
        "Protocol",
        default="resp2",
        choices=("resp2", "resp3"),
        advanced=True,
        help="The protocol of Redis that is spoken; both give the same answers.",
    ),
    SettingField(
        "read-from-replicas",
        FieldType.BOOLEAN,
        "Read from replicas",
        default="false",
        advanced=True,
        used=False,
        help="Whether Stalwart reads from replicas of a cluster.",
    ),
    SettingField(
        "retry.total",
        FieldType.INTEGER,
        "Retries",
        advanced=True,
        used=False,
        help="How often Stalwart tries a command of a cluster again.",
    ),
    SettingField(
        "retry.max-wait",
        FieldType.DURATION,
        "Longest wait between retries",
        advanced=True,
        used=False,
        help="The wait between two tries grows up to this.",
    ),
    SettingField(
        "retry.min-wait",
        FieldType.DURATION,
        "Shortest wait between retries",
        advanced=True,
        used=False,
        help="The wait before the second try.",
    ),
    SettingField(
        "pool.max-connections",
        FieldType.INTEGER,
        "Pool: connections",
        advanced=True,
        used=False,
        help="Connections that Stalwart opens at most.",
    ),
    SettingField(
        "pool.create-timeout",
        FieldType.DURATION,
        "Pool: create timeout",
        advanced=True,
        used=False,
        help="How long Stalwart waits for a new connection.",
    ),
    SettingField(
        "pool.wait-timeout",
        FieldType.DURATION,
        "Pool: wait timeout",
        advanced=True,
        used=False,
        help="How long Stalwart waits for a free connection.",
    ),
    SettingField(
        "pool.recycle-timeout",
        FieldType.DURATION,
        "Pool: recycle timeout",
        advanced=True,
        used=False,
        help="How long Stalwart checks a connection before it uses it again.",
    ),
)


@dataclass(frozen=True, slots=True)
class Address:
    """One URL, taken apart. `path` is set for a unix socket; `secure` for TLS. Its repr shows no password."""

    host: str = ""
    port: int = 0
    path: str = ""
    db: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    secure: bool = False
    insecure: bool = False
    """Accept any certificate (`#insecure`)."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RedisConfig:
    """Everything needed to connect, checked. Its repr shows no password."""

    mode: Mode
    addresses: tuple[Address, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    service: str = "mymaster"
    sentinel_user: str = ""
    sentinel_password: str = field(default="", repr=False)
    connect_seconds: float = CONNECT_SECONDS
    read_seconds: float = READ_SECONDS
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    allow_invalid: bool = False
    protocol: int = 2

    @property
    def first(self) -> Address:
        return self.addresses[0]

    @property
    def secure(self) -> bool:
        return any(address.secure for address in self.addresses)

    @property
    def verify(self) -> bool:
        return not (self.allow_invalid or any(address.insecure for address in self.addresses))

    @property
    def where(self) -> str:
        """The servers in words, without secrets: "127.0.0.1:6379"."""
        if self.mode == "sentinel":
            return say("%(service)s of the sentinels %(sentinels)s", service=self.service, sentinels=", ".join(map(str, self.addresses)))
        return ", ".join(map(str, self.addresses))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every password in use, so that texts of the server can be checked for them."""
        found = {self.password, self.sentinel_password, *(address.password for address in self.addresses)}
        return tuple(sorted((secret for secret in found if secret), key=len, reverse=True))

    def tls_arguments(self) -> dict[str, Any]:
        """The driver's TLS arguments; empty without TLS. Certificates and host names are verified unless switched off."""
        if not self.secure:
            return {}
        return {
            "ssl": True,
            "ssl_cert_reqs": "required" if self.verify else "none",
            "ssl_check_hostname": self.verify,
            "ssl_ca_certs": self.ca_file or None,
            "ssl_certfile": self.client_cert or None,
            "ssl_keyfile": self.client_key or None,
        }


def read_settings(settings: Mapping[str, str]) -> RedisConfig:
    """The checked configuration. Raises BadConfig that names the setting; opens nothing but looks whether files are there."""
    mode = _choice(settings, "redis-type", MODES, "single")
    addresses = _addresses(settings.get("urls", ""), mode)
    credentials = _credentials(settings, mode, addresses[0])
    if len({address.secure for address in addresses}) > 1:
        raise BadConfig(say("urls mixes redis:// and rediss://."), say("Use TLS for all servers or for none."), "urls")
    for name in ("tls.ca-file", "tls.client-cert", "tls.client-key"):
        _check_file(name, settings.get(name, ""))
    return RedisConfig(
        mode=mode,
        addresses=addresses,
        user=credentials[0],
        password=credentials[1],
        service=settings.get("serviceName", "").strip() or "mymaster",
        sentinel_user=settings.get("sentinelUsername", "").strip() or (addresses[0].user if mode == "sentinel" else ""),
        sentinel_password=settings.get("sentinelSecret", "") or (addresses[0].password if mode == "sentinel" else ""),
        connect_seconds=_seconds("timeout", settings.get("timeout", ""), CONNECT_SECONDS),
        read_seconds=_seconds("read-timeout", settings.get("read-timeout", ""), READ_SECONDS),
        ca_file=settings.get("tls.ca-file", "").strip(),
        client_cert=settings.get("tls.client-cert", "").strip(),
        client_key=settings.get("tls.client-key", "").strip(),
        allow_invalid=settings.get("tls.allow-invalid-certs", "").strip().lower() in ("true", "1", "yes", "on"),
        protocol=3 if _choice(settings, "protocol-version", ("resp2", "resp3"), "resp2") == "resp3" else 2,
    )


def split_urls(text: str) -> list[str]:
    """The URLs of one setting: a line each; blanks and commas between URLs are taken too."""
    return [part for part in re.split(r"\s+|,(?=[a-z+]+://)|,$", text.strip()) if part]


def read_url(text: str, mode: Mode = "single") -> Address:
    """One URL. `host:port` alone is taken as redis://. Raises BadConfig without repeating the password."""
    url = text if "://" in text else f"redis://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad_url(say("urls holds a URL with a wrong host or port.")) from None
    if parts.scheme not in _SCHEMES:
        raise _bad_url(say("urls: kvadmin does not know %(scheme)s:// URLs.", scheme=parts.scheme))
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    insecure = parts.fragment == "insecure"
    if parts.scheme in ("redis+unix", "unix"):
        return _socket_address(parts, query)
    if not parts.hostname:
        raise _bad_url(say("urls holds a URL without a host."))
    return Address(
        host=parts.hostname,
        port=port or DEFAULT_PORTS[mode],
        db=_database(parts.path.strip("/") or query.get("db", "")),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        secure=parts.scheme == "rediss",
        insecure=insecure,
    )


def _socket_address(parts: SplitResult, query: Mapping[str, str]) -> Address:
    path = unquote(parts.path)
    if not path.startswith("/") or len(path) < 2:
        raise _bad_url(say("urls holds a socket URL without an absolute path."))
    return Address(
        path=path,
        db=_database(query.get("db", "")),
        user=query.get("user", "") or unquote(parts.username or ""),
        password=query.get("pass", "") or query.get("password", "") or unquote(parts.password or ""),
    )


def _addresses(text: str, mode: Mode) -> tuple[Address, ...]:
    urls = split_urls(text)
    if not urls:
        raise BadConfig(say("urls is missing."), say("Give the URL of the server, such as redis://127.0.0.1:6379."), "urls")
    if mode == "single":
        return (read_url(urls[0], mode),)
    found = tuple(read_url(url, mode) for url in urls)
    for address in found:
        if address.path:
            raise BadConfig(
                say("urls: a %(mode)s is reached over TCP, not over a unix socket.", mode=mode), say("Use redis://host:port."), "urls"
            )
        if address.db and mode == "cluster":
            raise BadConfig(say("urls: a Redis Cluster has only database 0."), say("Remove the number at the end of the URL."), "urls")
    return tuple(replace(address, db=max(each.db for each in found)) for address in found)


def _credentials(settings: Mapping[str, str], mode: Mode, first: Address) -> tuple[str, str]:
    """User and password of the data servers. A single server takes them from its URL only, as Stalwart does."""
    if mode == "single":
        return first.user, first.password
    user = settings.get("user", "").strip() or settings.get("authUsername", "").strip()
    password = settings.get("password", "") or settings.get("authSecret", "")
    if mode == "cluster":
        return user or first.user, password or first.password
    return user, password


def _database(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise _bad_url(say("urls: the database is not a number."))
    return int(text)


def _bad_url(message: str) -> BadConfig:
    return BadConfig(message, say("Forms: redis://user:password@host:port/db, rediss://host:port, redis+unix:///path?db=0."), "urls")


def _choice(settings: Mapping[str, str], name: str, choices: Sequence[T], default: T) -> T:
    text = settings.get(name, "").strip().lower()
    for choice in choices:
        if text == choice:
            return choice
    if text:
        raise BadConfig(
            say('%(name)s cannot be "%(text)s".', name=name, text=text[:40]),
            say("Use one of %(choices)s.", choices=", ".join(choices)),
            name,
        )
    return default


def _seconds(name: str, text: str, default: float) -> float:
    """Seconds of a duration as Stalwart writes it: digits and d, h, m, s or ms; without a unit milliseconds."""
    word = text.strip().lower()
    if word in _NONE_WORDS:
        return default
    match = re.fullmatch(r"([0-9]{1,9})\s*(d|h|m|s|ms|)", word)
    if match is None or int(match[1]) == 0:
        raise BadConfig(say("%(name)s is not a duration.", name=name), say("Write a number with d, h, m, s or ms, such as 10s."), name)
    return int(match[1]) * _UNITS[match[2]]


def _check_file(name: str, text: str) -> None:
    path = text.strip()
    if not path:
        return
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise BadConfig(
            say("%(name)s: %(path)s cannot be read (%(reason)s).", name=name, path=path, reason=error.strerror),
            say("Make it readable for kvadmin's user."),
            name,
        ) from None
