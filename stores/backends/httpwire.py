"""One HTTP exchange, bounded in time and reach: a deadline for all of it, and a policy of which machines may be connected to.

Time: one deadline for connection, request and answer; a sender that drips is cut off in the middle. Name servers take their own time.
Reach: the machine that is connected to is checked, not the name, and it is the one that was checked. Addresses of this machine, of
private and of link-local networks are refused unless they are allowed. Redirects are never followed here.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from stores.errors import BadConfig, StoreError, StoreRefused, StoreUnavailable
from stores.texts import say

USER_AGENT: Final = "kvadmin"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of an exchange."""

    seconds: float
    """The whole time, for messages; what counts is the deadline."""
    allow_private: bool = False
    """Whether addresses of this machine and of private networks may be reached."""
    private_fix: str = "Give another URL."
    """What to do where such an address is meant."""
    unchecked: bool = False
    """Whether certificates that cannot be verified are taken."""


def checked(url: str) -> SplitResult:
    """The parts of a URL of http or https. Raises BadConfig(field="url")."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadConfig(say("The URL cannot be read."), say("Write https://host/path."), "url") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise BadConfig(say("The URL, or where it redirects to, is not one of http or https."), say("Write https://host/path."), "url")
    return parts


def shown(parts: SplitResult) -> str:
    """The URL without user, password and query."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def exchange(
    parts: SplitResult, limits: Limits, deadline: float, headers: Mapping[str, str], method: str = "GET", body: bytes | None = None
) -> Iterator[http.client.HTTPResponse]:
    """The answer to one request; the connection is cut when the deadline (monotonic seconds) passes, whatever it is doing.

    Raises StoreUnavailable and StoreRefused, also for what fails while the answer is being read.
    """
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise too_slow(parts, limits)
    with closing(_connection(parts, limits, remaining)) as connection:
        wire, expired = connection.sock, threading.Event()

        def cut() -> None:
            expired.set()
            with suppress(OSError):
                socket.socket.shutdown(wire, socket.SHUT_RDWR)

        timer = threading.Timer(max(0.0, deadline - time.monotonic()), cut)
        timer.daemon = True
        timer.start()
        try:
            connection.request(method, _target(parts), body, {"User-Agent": USER_AGENT, **headers})
            yield connection.getresponse()
        except (OSError, http.client.HTTPException, zlib.error) as error:
            if expired.is_set() or isinstance(error, TimeoutError):
                raise too_slow(parts, limits) from None
            raise _translated(error, parts) from None
        finally:
            timer.cancel()
        if expired.is_set():
            raise too_slow(parts, limits)


def too_slow(parts: SplitResult, limits: Limits) -> StoreError:
    """The error of an exchange that took too long."""
    return StoreUnavailable(
        say("%(shown)s was not read within %(seconds)s s.", shown=shown(parts), seconds=f"{limits.seconds:g}"),
        say("Try later, or raise the timeout."),
    )


def _target(parts: SplitResult) -> str:
    safe = "/%:@!$&'()*+,;=-._~?[]"
    return (quote(parts.path, safe) or "/") + (f"?{quote(parts.query, safe)}" if parts.query else "")


def _connection(parts: SplitResult, limits: Limits, timeout: float) -> http.client.HTTPConnection:
    """A connection to an address that may be reached; the name is used for the certificate and the Host line only."""
    assert parts.hostname is not None
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    addresses = _addresses(parts, port, limits)
    context = _context(limits) if secure else None
    connection = (
        http.client.HTTPSConnection(parts.hostname, port, timeout=timeout, context=context)
        if secure
        else http.client.HTTPConnection(parts.hostname, port, timeout=timeout)
    )
    began = time.monotonic()
    for number, address in enumerate(addresses):
        try:
            plain = socket.create_connection((address, port), max(0.1, timeout - (time.monotonic() - began)))
            connection.sock = context.wrap_socket(plain, server_hostname=parts.hostname) if context is not None else plain
            return connection
        except OSError as error:
            if number == len(addresses) - 1:
                raise _translated(error, parts) from None
    raise AssertionError


def _context(limits: Limits) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if limits.unchecked:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _addresses(parts: SplitResult, port: int, limits: Limits) -> list[str]:
    assert parts.hostname is not None
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise StoreUnavailable(
            say("The name %(hostname)s is not known.", hostname=parts.hostname), say("Check the URL and this machine's name server.")
        ) from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        why = forbidden(address, limits.allow_private)
        if why:
            fix = say("Give another URL.") if limits.allow_private else limits.private_fix
            raise StoreRefused(say("%(hostname)s leads to %(address)s, %(why)s.", hostname=parts.hostname, address=address, why=why), fix)
    return addresses


def forbidden(address: str, allow_private: bool) -> str:
    """Why an address must not be fetched from, in words; empty when it may.

    Addresses that carry an IPv4 address inside (mapped, 6to4, Teredo, NAT64) are judged by that one.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    inner = _inner(parsed)
    if inner is not None:
        return forbidden(str(inner), allow_private)
    if parsed.is_multicast or parsed.is_unspecified:
        return say("which is no address of a machine")
    if allow_private or (parsed.is_global and not parsed.is_reserved):
        return ""
    if parsed.is_loopback:
        return say("an address of this machine")
    return say("an address of a link-local network") if parsed.is_link_local else say("an address of a private network")


def _inner(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _translated(error: Exception, parts: SplitResult) -> StoreError:
    if isinstance(error, ssl.SSLCertVerificationError):
        said = say("The certificate of %(host)s is not trusted: %(reason)s.", host=parts.hostname, reason=error.verify_message)
        return StoreRefused(said, say("Use a URL whose certificate is."))
    if isinstance(error, zlib.error):
        return StoreRefused(say("%(shown)s is not packed with gzip.", shown=shown(parts)), say("Switch gzipped off."))
    if isinstance(error, ConnectionRefusedError):
        return StoreUnavailable(say("%(server)s refuses connections.", server=parts.netloc.rpartition("@")[2]), say("Check host and port."))
    if isinstance(error, TimeoutError):
        return StoreUnavailable(
            say("%(server)s does not answer.", server=parts.netloc.rpartition("@")[2]), say("Try later, or raise the timeout.")
        )
    return StoreUnavailable(
        say("%(shown)s could not be read: %(fault)s.", shown=shown(parts), fault=type(error).__name__), say("Try later.")
    )
