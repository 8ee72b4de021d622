"""What somebody may mean by the text in a search box: an address, a login, a domain, a number."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, Literal, NamedTuple

from stores.codecs.numbers import U32_MAX, U64_MAX, from_base32_id
from stores.keyclasses.locks import id_time
from stores.keyclasses.words import ip_bytes, ip_text

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Sort = Literal["ip", "network", "address", "login", "domain", "asn", "message-id", "queue-id", "account"]

_ASN: Final = re.compile(r"as\s*([0-9]{1,10})", re.IGNORECASE)
_ACCOUNT: Final = re.compile(r"(?:account\s*|#)([0-9]{1,10})", re.IGNORECASE)
_HEX: Final = re.compile(r"(?:0x)?([0-9a-fA-F]{1,16})")
_DOMAIN: Final = re.compile(r"(?=.{1,253}\Z)[^\W_](?:[\w-]{0,61}[^\W_])?(?:\.[^\W_](?:[\w-]{0,61}[^\W_])?)+\.?")


class Meaning(NamedTuple):
    """One way to read a subject."""

    sort: Sort
    text: str
    """In Stalwart's spelling: compressed addresses, domains in lower case."""
    number: int = 0
    """Of an AS number, a queue id, an account."""


def understand(subject: str) -> tuple[Meaning, ...]:
    """All ways to read a subject, the likeliest first; empty for an empty one."""
    text = subject.strip()
    if not text:
        return ()
    if raw := ip_bytes(text.strip("[]")):
        return (Meaning("ip", ip_text(raw)),)
    if found := network(text):
        return (Meaning("network", str(found)),)
    if (match := _ASN.fullmatch(text)) and int(match[1]) <= U32_MAX:
        return (Meaning("asn", f"AS{int(match[1])}", int(match[1])), Meaning("login", text))
    if (match := _ACCOUNT.fullmatch(text)) and int(match[1]) <= U32_MAX:
        return (Meaning("account", f"account {int(match[1])}", int(match[1])),)
    if "@" in text:
        return _with_sign(text)
    return (*_ids(text), *_names(text))


def network(text: str) -> Network | None:
    """The network of a CIDR notation; host bits are dropped."""
    if "/" not in text:
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _with_sign(text: str) -> tuple[Meaning, ...]:
    bare = text.removeprefix("<").removesuffix(">")
    message = Meaning("message-id", bare)
    if text.startswith("@"):
        return (Meaning("domain", text[1:].rstrip(".").lower()),) if _DOMAIN.fullmatch(text[1:]) else ()
    if re.search(r"\s", bare):
        return (Meaning("login", text), message)
    local, _, domain = bare.rpartition("@")
    address = Meaning("address", f"{local}@{domain.lower()}")
    if text != bare:
        return (message, address)
    return (address, Meaning("login", bare), message)


def _ids(text: str) -> list[Meaning]:
    found: list[Meaning] = []
    if text.isascii() and text.isdigit():
        number = int(text)
        if number <= U64_MAX:
            found.append(Meaning("queue-id", text, number))
        if number <= U32_MAX:
            found.append(Meaning("account", f"account {number}", number))
    elif (match := _HEX.fullmatch(text)) and (text[:2].lower() == "0x" or len(text) >= 14):
        found.append(Meaning("queue-id", text, int(match[1], 16)))
    if not text.isdigit():
        try:
            number = from_base32_id(text.lower())
        except ValueError:
            return found
        if id_time(number) is not None:
            found.append(Meaning("queue-id", text, number))
    return found


def _names(text: str) -> list[Meaning]:
    if _DOMAIN.fullmatch(text) and not text.replace(".", "").isdigit():
        return [Meaning("domain", text.rstrip(".").lower()), Meaning("login", text)]
    return [Meaning("login", text)]
