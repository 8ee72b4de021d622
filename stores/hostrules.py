"""Which machines stores may be on, so that nobody uses a definition to reach what only this machine reaches.

Loopback and private networks are where stores live and are allowed; the lists of KVADMIN_STORE_NETWORKS and
KVADMIN_STORE_NETWORKS_DENIED narrow that. Never allowed are link-local addresses and those at which clouds hand out credentials.
Names are resolved here right before the driver connects; `guard_sockets` looks again at the address that is really connected to.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings

from stores.errors import StoreRefused
from stores.texts import say

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

NEVER: Final[tuple[IPNetwork, ...]] = tuple(
    ipaddress.ip_network(name)
    for name in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")
)
"""Link-local networks, where clouds have their metadata services, and the addresses of those that have it elsewhere."""
_REMEMBERED_SECONDS: Final = 30


def require_allowed(type_name: str, values: Mapping[str, str]) -> None:
    """Raise StoreRefused when a setting leads to a machine where no store may be. A name that is not known is the driver's to report."""
    for host in hosts_of(type_name, values):
        for address in _addresses(host, int(time.monotonic() // _REMEMBERED_SECONDS)):
            why = forbidden(address)
            if why:
                raise StoreRefused(
                    say("%(host)s leads to %(address)s, %(why)s.", host=host, address=address, why=why),
                    say("Give another host, or change KVADMIN_STORE_NETWORKS and KVADMIN_STORE_NETWORKS_DENIED."),
                )


def hosts_of(type_name: str, values: Mapping[str, str]) -> Iterator[str]:
    """Hosts that the settings of a store name. Sockets, files and lists of HTTP lookups, which have a policy of their own, are none."""
    if type_name in ("postgresql", "mysql") and values.get("host"):
        yield values["host"].strip()
    if type_name == "redis":
        for url in re.split(r"[\s,]+", values.get("urls", "")):
            try:
                host = urlsplit(url).hostname
            except ValueError:
                host = None
            if host:
                yield host


def forbidden(address: str) -> str:
    """Why no store may be at an address, in words; empty when one may. An IPv4 address inside an IPv6 one counts."""
    parsed = _plain(address)
    if parsed is None:
        return ""
    if _within(parsed, NEVER) or parsed.is_multicast:
        return say("where only this machine's own services are")
    if _within(parsed, _networks(tuple(settings.KVADMIN_STORE_NETWORKS_DENIED))):
        return say("which KVADMIN_STORE_NETWORKS_DENIED forbids")
    allowed = _networks(tuple(settings.KVADMIN_STORE_NETWORKS))
    return "" if not allowed or _within(parsed, allowed) else say("which is not among KVADMIN_STORE_NETWORKS")


def is_never(address: str) -> bool:
    """Whether an address is never reached, whatever is allowed: link-local ones, and those at which clouds hand out credentials."""
    parsed = _plain(address)
    return parsed is not None and (_within(parsed, NEVER) or parsed.is_multicast)


def guard_sockets() -> None:
    """From now on no socket of this process connects to an address of NEVER, whatever a name or a server's answer leads to.

    For the life of the process. Raises PermissionError where the connection is made, which drivers report as unreachable. The
    PostgreSQL driver opens its sockets outside of Python; for it there is `require_allowed` alone.
    """
    if not _guarded:
        _guarded.append(True)
        sys.addaudithook(_look)


_guarded: Final[list[bool]] = []


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        place = arguments[1]
        if isinstance(place, tuple) and isinstance(place[0], str):
            parsed = _plain(place[0])
            if parsed is not None and _within(parsed, NEVER):
                raise PermissionError(13, f"connections to {place[0]} are not allowed")


def _plain(address: str) -> IPAddress | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _within(address: IPAddress, networks: Iterable[IPNetwork]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


@lru_cache(maxsize=16)
def _networks(names: tuple[str, ...]) -> tuple[IPNetwork, ...]:
    return tuple(ipaddress.ip_network(name) for name in names)


@lru_cache(maxsize=256)
def _addresses(host: str, moment: int) -> tuple[str, ...]:
    """What a name leads to; asked again after half a minute."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
