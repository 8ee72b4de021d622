"""How a store is reached, in words for its page: encrypted or not, and whether anybody checks whom it is."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from stores.hostrules import hosts_of
from stores.models import Store
from stores.registry import MEMBERS
from stores.texts import say

_ON = ("true", "1", "yes", "on")


@dataclass(frozen=True, slots=True)
class Transport:
    """`state` is ok, warn where others on the way could listen or pretend to be the store, off where there is no way."""

    state: Literal["ok", "warn", "off"]
    text: str
    fix: str = ""


def transport(store: Store) -> Transport:
    """From the definition alone; asks nothing."""
    values = store.settings
    if store.type == "http":
        return _of_list(values.get("url", ""))
    if store.type in ("static", "memory", *MEMBERS):
        return Transport(
            "off", say("Kept in kvadmin itself") if store.type not in MEMBERS else say("Through the stores that it is made of")
        )
    if store.type == "foundationdb":
        return Transport("off", say("As its cluster file says"))
    if store.type not in ("redis", "postgresql", "mysql"):
        return Transport("off", say("A file of this machine"))
    hosts = list(hosts_of(store.type, values))
    if not hosts:
        return Transport("ok", say("Over a socket of this machine"))
    if not _encrypted(store):
        if all(_is_here(host) for host in hosts):
            return Transport("ok", say("Not encrypted, within this machine"))
        fix = say("Passwords and keys can be read on the way. Switch TLS on where it leaves a trusted network.")
        return Transport("warn", say("Not encrypted"), fix)
    if _on(values.get("tls.allow-invalid-certs", "")):
        fix = say("Somebody on the way can pretend to be the store. Give the file of the authority instead.")
        return Transport("warn", say("TLS, any certificate is accepted"), fix)
    return Transport("ok", say("TLS, the certificate is checked"))


def _encrypted(store: Store) -> bool:
    if store.type == "redis":
        return "rediss://" in store.settings.get("urls", "").lower()
    return _on(store.settings.get("tls.enable", ""))


def _of_list(url: str) -> Transport:
    if urlsplit(url).scheme == "https":
        return Transport("ok", say("HTTPS, the certificate is checked"))
    fix = say("Somebody on the way can change the list. Use https:// where the server has it.")
    return Transport("warn", say("HTTP, not encrypted"), fix)


def _on(text: str) -> bool:
    return text.strip().lower() in _ON


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
