"""The invented mail server behind the demo stores: who writes to whom, from where, how often. Deterministic for a seed.

Addresses are from the ranges reserved for documentation, domains from names reserved for examples; nobody real is in here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from stores.codecs.numbers import put_u32, put_u64
from stores.codecs.rows import marker_row, value_row
from stores.keyclasses.words import ip_bytes
from stores.types import Entry, Kind

MINUTE, HOUR, DAY = 60, 3600, 86_400

FIRST: Final = (
    "anna", "ben", "carla", "david", "elif", "frank", "greta", "hugo", "ines", "jonas", "kira", "leo", "mara", "nils", "olga", "paul",
    "rosa", "sven", "tara", "udo", "vera", "willem", "yusuf", "zoe",
)  # fmt: skip
OWN: Final = ("example.org", "mail.example.org")
GOOD: Final = (
    "partner.example", "school.example", "library.example", "bakery.example", "city.example", "news.example", "shop.example",
    "travel.example", "bank.example", "choir.example", "clinic.example", "forum.example",
)  # fmt: skip
BAD: Final = ("cheap-pills.test", "win-big.test", "invoice-4471.test", "crypto-gain.test", "parcel-fee.test", "login-check.test")
ROLES: Final = ("info", "news", "office", "orders", "noreply", "support", "hello", "team", "billing")
GUESSES: Final = ("admin", "root", "test", "postmaster", "info", "backup", "scanner", "sales", "oracle", "guest")
HAM_WORDS: Final = (
    "meeting", "minutes", "agenda", "invoice", "thanks", "regards", "tuesday", "school", "recipe", "garden", "train", "ticket", "project",
    "review", "holiday", "birthday", "dinner", "library", "concert", "rehearsal", "delivery", "address", "question", "draft", "budget",
    "contract", "photo", "weekend", "bicycle", "station", "lecture", "homework", "choir", "keys", "rent", "insurance", "doctor",
)  # fmt: skip
SPAM_WORDS: Final = (
    "viagra", "lottery", "winner", "crypto", "bitcoin", "urgent", "verify", "suspended", "unclaimed", "inherit", "casino", "jackpot",
    "discount", "limited", "offer", "click", "unsubscrib", "refund", "parcel", "customs", "wallet",
    "invest", "guarante", "miracle", "weight",
)  # fmt: skip


_shuffled = random.Random(7)  # noqa: S311
_ATTACKERS: Final = tuple(f"203.0.113.{n}" for n in _shuffled.sample(range(1, 255), 60))
_SERVERS: Final = tuple(f"198.51.100.{n}" for n in _shuffled.sample(range(1, 255), 80))
_HOMES: Final = (
    *(f"192.0.2.{n}" for n in _shuffled.sample(range(1, 255), 40)),
    *(f"2001:db8:5:{n:x}::17" for n in range(1, 25)),
)


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One key as Stalwart would write it, before the form of a store is chosen. `expires_at` Unix seconds, None = never."""

    key: bytes
    value: bytes | None = None
    """Payload of a value; empty for a lock."""
    counter: int | None = None
    expires_at: int | None = None
    lock: bool = False

    def data_entry(self) -> Entry:
        """As rows of a data store (store-formats b.1)."""
        if self.counter is not None:
            marker = None if self.expires_at is None else marker_row(self.expires_at)
            return Entry(self.key, Kind.COUNTER, None, self.counter, self.expires_at, marker)
        payload = self.value or b""
        kind = Kind.LOCK if self.lock else Kind.VALUE
        return Entry(self.key, kind, payload, None, self.expires_at, value_row(payload, self.expires_at))

    def redis_entry(self) -> Entry:
        """As a Redis string: bare payload, counters and locks as decimal text, expiry the server's own (store-formats a.6)."""
        number = (self.expires_at or 0) if self.lock else None
        number = number if self.counter is None else self.counter
        text = (self.value or b"") if number is None else b"%d" % number
        until = None if self.expires_at is None else self.expires_at * 1000
        return Entry(self.key, Kind.UNKNOWN, text, None, self.expires_at, text, until)


class World:
    """The invented server at one moment. `now` is Unix seconds."""

    def __init__(self, now: int, version: str, seed: int = 1) -> None:
        self.random = random.Random(seed)  # noqa: S311  (invented data has to be the same every time)
        self.now = now
        self.version = version
        self.accounts = tuple(range(2, 26))
        self.attackers, self.servers, self.homes = _ATTACKERS, _SERVERS, _HOMES

    def attacker(self) -> str:
        """A few come back again and again, most are seen once or twice."""
        return self.attackers[min(int(self.random.expovariate(0.12)), len(self.attackers) - 1)]

    def own_address(self) -> str:
        return f"{self.random.choice(FIRST)}@{OWN[0]}"

    def sender(self, *, good: bool = True) -> str:
        domain = self.random.choice(GOOD if good else BAD)
        return f"{self.random.choice(ROLES if self.random.random() < 0.6 else FIRST)}@{domain}"

    def token(self, length: int) -> str:
        return "".join(self.random.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", k=length))

    def ago(self, longest: int) -> int:
        """A moment in the past, recent ones more often."""
        return self.now - int(longest * self.random.random() ** 2)

    def window(self, byte: int, subject: bytes, period: int, count: int, at: int) -> DemoRow:
        """A counter of the window of `period` seconds in which `at` lies; it expires with the window (store-formats b.2)."""
        index = at // period
        return DemoRow(bytes([byte]) + subject + put_u64(index), counter=count, expires_at=(index + 1) * period)


def ip(text: str) -> bytes:
    """The raw address, 4 or 16 bytes."""
    raw = ip_bytes(text)
    assert raw is not None, text
    return raw


def account(number: int) -> bytes:
    return put_u32(number)
