"""Parsers of single values: text in, typed value out; ValueError says what is wrong, in a few words, without the value."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

LEVELS = ("debug", "info", "warning", "error")
_HOST = re.compile(r"^(\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])$")
_DATABASES = ("sqlite", "postgres", "postgresql", "mysql")
_BROKERS = ("redis", "rediss", "sentinel", "redis+socket")


def text(value: str) -> str:
    """Anything without control characters."""
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("it holds control characters")
    return value


def folder(value: str) -> Path:
    path = Path(text(value)).expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError("it is not a folder")
    return path


def secret_key(value: str) -> str:
    if len(value) < 50:
        raise ValueError(f"it has {len(value)} characters")
    return text(value)


def token(value: str) -> str:
    """A secret that is sent in a header: printable ASCII without blanks."""
    if len(value) < 16:
        raise ValueError(f"it has {len(value)} characters")
    if not all(33 <= ord(character) <= 126 for character in value):
        raise ValueError("it holds blanks or other characters than ASCII")
    return value


def field_keys(value: str) -> tuple[str, ...]:
    keys = tuple(part.strip() for part in value.split(",") if part.strip())
    for number, key in enumerate(keys, 1):
        try:
            raw = base64.b64decode(key, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"key {number} is not base64") from None
        if len(raw) != 32:
            raise ValueError(f"key {number} has {len(raw)} bytes instead of 32")
    if not keys:
        raise ValueError("it holds no key")
    return keys


def database_url(value: str) -> str:
    try:
        parts = urlsplit(text(value))
        scheme, _port = parts.scheme, parts.port
    except ValueError:
        raise ValueError("it is not a URL") from None
    if scheme not in _DATABASES:
        raise ValueError("the scheme is not one of the accepted ones")
    if scheme == "sqlite" and not parts.path.strip("/"):
        raise ValueError("it names no file")
    if scheme != "sqlite" and not parts.path.strip("/"):
        raise ValueError("it names no database")
    return value


def broker_url(value: str) -> str:
    for part in text(value).split(";"):
        try:
            parts = urlsplit(part)
            host, _port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("it is not a URL") from None
        if parts.scheme not in _BROKERS:
            raise ValueError("the scheme is not one of the accepted ones")
        if parts.scheme == "redis+socket":
            if len(parts.path) < 2:
                raise ValueError("it names no socket")
        elif not host:
            raise ValueError("it names no host")
        if ";" in value and parts.scheme != "sentinel":
            raise ValueError("only sentinels can be several")
    return value


def provider_url(value: str) -> str:
    """An address of an OpenID Connect provider; plain http only on this machine, for tests."""
    try:
        parts = urlsplit(text(value.rstrip("/")))
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("it is not a URL") from None
    if not host or parts.query or parts.fragment or parts.username:
        raise ValueError("it is not the address of a server")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in ("127.0.0.1", "localhost", "::1")):
        raise ValueError("it does not begin with https://")
    return value.rstrip("/")


def role_map(value: str) -> tuple[tuple[str, str], ...]:
    """`admins=admin,staff=viewer` as pairs; the last = of a part divides it, so that values may hold one."""
    found: list[tuple[str, str]] = []
    for part in text(value).split(","):
        claim, divided, role = part.strip().rpartition("=")
        if not divided or not claim.strip() or role.strip() not in ("viewer", "operator", "admin"):
            raise ValueError(f"part {len(found) + 1} is not VALUE=ROLE with one of the roles")
        found.append((claim.strip(), role.strip()))
    return tuple(found)


def email_url(value: str) -> str:
    try:
        parts = urlsplit(text(value))
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("it is not a URL") from None
    if parts.scheme not in ("smtp", "smtp+starttls", "smtps"):
        raise ValueError("the scheme is not one of the accepted ones")
    if not host or parts.path.strip("/") or parts.query:
        raise ValueError("it names no host, or more than a host")
    return value


def email_address(value: str) -> str:
    if not re.fullmatch(r"[^\s@<>,;]+@[^\s@<>,;]+", text(value)):
        raise ValueError("it is not an address")
    return value


def origin(value: str) -> str:
    """One origin, without a slash at its end."""
    names = origins(value.rstrip("/"))
    if len(names) != 1:
        raise ValueError("it is more than one")
    return names[0]


def hosts(value: str) -> tuple[str, ...]:
    names = _list(value)
    for name in names:
        if not _HOST.match(name):
            raise ValueError(f"{name!r} is not a host name (no scheme, no port)")
    return names


def own_hosts(bound: str) -> tuple[str, ...]:
    """Names that reach this machine without asking a name server: loopback, its host name, the address it serves on."""
    names = ["localhost", "127.0.0.1", "[::1]", socket.gethostname().lower()]
    if bound not in ("0.0.0.0", "::", ""):  # noqa: S104  (wildcards are addresses to bind, not names)
        names.append(f"[{bound}]" if ":" in bound else bound.lower())
    return tuple(dict.fromkeys(name for name in names if _HOST.match(name)))


def networks(value: str) -> tuple[str, ...]:
    names = _list(value)
    for name in names:
        try:
            ipaddress.ip_network(name)
        except ValueError:
            raise ValueError(f"{name!r} is not an address or network") from None
    return names


def origins(value: str) -> tuple[str, ...]:
    names = _list(value)
    for name in names:
        parts = urlsplit(name)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query or parts.username:
            raise ValueError(f"{name!r} is not an origin")
    return names


def port(value: str) -> int:
    return between(0, 65535)(value)


def between(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers of that range, both ends included."""

    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit()):
            raise ValueError("it is not a whole number")
        if not low <= int(value) <= high:
            raise ValueError("it is out of range")
        return int(value)

    return parse


def switch(value: str) -> bool:
    word = value.strip().lower()
    if word in ("on", "true", "yes", "1"):
        return True
    if word in ("off", "false", "no", "0"):
        return False
    raise ValueError("it is neither on nor off")


def user_name(value: str) -> str:
    if not re.fullmatch(r"[\w.@+-]{1,150}", value):
        raise ValueError("it holds other characters or is too long")
    return value


def time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (LookupError, ValueError, OSError):
        raise ValueError("there is no such zone") from None
    return value


def log_level(value: str) -> str:
    word = value.lower()
    if word not in LEVELS:
        raise ValueError("there is no such level")
    return word


def _list(value: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text(value).split(",") if part.strip())
    if not names:
        raise ValueError("it is empty")
    return names
