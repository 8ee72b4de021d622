"""Which options Stalwart has for each type of store, and how it reads their values (store-formats a.1, a.2, e.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stores.types import FieldType

NONE_WORDS: Final = frozenset({"", "0", "false", "disable", "disabled", "never"})
"""What an option that may be absent can say instead of a value."""
_MACRO: Final = re.compile(r"%\{(?:env|file):[^}]*\}%")
_DURATION: Final = re.compile(r"([0-9]{1,15}) ?(d|h|m|s|ms|)", re.ASCII)
_MILLISECONDS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1, "": 1}
_RATE: Final = re.compile(r"([0-9]{1,15})/(.+)", re.ASCII)
_BOOLEANS: Final = {"true": "true", "1": "true", "false": "false", "0": "false"}


@dataclass(frozen=True, slots=True)
class Option:
    """One option under `store.<id>.` or `http-lookup.<id>.`. `noneable`: the words in NONE_WORDS switch it off."""

    name: str
    kind: FieldType = FieldType.TEXT
    required: bool = False
    noneable: bool = False
    default: str = ""
    """What Stalwart uses when it is not set; empty: the driver's own."""
    choices: tuple[str, ...] = ()
    many: bool = False
    """Takes one value or an array; kept as lines."""


_INTEGER, _BOOLEAN, _DURATION_KIND = FieldType.INTEGER, FieldType.BOOLEAN, FieldType.DURATION
_TLS: Final = (Option("tls.enable", _BOOLEAN, default="false"), Option("tls.allow-invalid-certs", _BOOLEAN, default="false"))
_LOGIN: Final = (Option("user", noneable=True), Option("password", FieldType.PASSWORD, noneable=True))

OPTIONS: Final[Mapping[str, tuple[Option, ...]]] = {
    "sqlite": (Option("path", FieldType.PATH, required=True), Option("pool.max-connections", _INTEGER), Option("pool.workers", _INTEGER)),
    "postgresql": (
        Option("database", required=True),
        Option("host", noneable=True),
        Option("port", _INTEGER, noneable=True, default="5432"),
        *_LOGIN,
        Option("timeout", _DURATION_KIND, noneable=True),
        Option("options", noneable=True),
        *_TLS,
        Option("pool.max-connections", _INTEGER, noneable=True),
    ),
    "mysql": (
        Option("host", required=True),
        Option("database", required=True),
        Option("port", _INTEGER, noneable=True, default="3306"),
        *_LOGIN,
        Option("timeout", _DURATION_KIND, noneable=True),
        Option("max-allowed-packet", _INTEGER, noneable=True),
        *_TLS,
        Option("pool.min-connections", _INTEGER, default="10"),
        Option("pool.max-connections", _INTEGER, default="100"),
    ),
    "rocksdb": (
        Option("path", FieldType.PATH, required=True),
        Option("min-blob-size", _INTEGER, default="16834"),
        Option("write-buffer-size", _INTEGER, default="134217728"),
        Option("pool.workers", _INTEGER),
    ),
    "foundationdb": (
        Option("cluster-file", FieldType.PATH, noneable=True),
        Option("transaction.timeout", _DURATION_KIND, noneable=True),
        Option("transaction.retry-limit", _INTEGER, noneable=True),
        Option("transaction.max-retry-delay", _DURATION_KIND, noneable=True),
        Option("ids.machine", noneable=True),
        Option("ids.datacenter", noneable=True),
    ),
    "redis": (
        Option("redis-type", FieldType.CHOICE, default="single", choices=("single", "cluster", "sentinel")),
        Option("urls", FieldType.URLS, required=True, many=True),
        Option("timeout", _DURATION_KIND, default="10s"),
        *_LOGIN,
        Option("pool.max-connections", _INTEGER, default="10"),
        Option("pool.create-timeout", _DURATION_KIND, noneable=True, default="30s"),
        Option("pool.wait-timeout", _DURATION_KIND, noneable=True, default="30s"),
        Option("pool.recycle-timeout", _DURATION_KIND, noneable=True, default="30s"),
        Option("retry.total", _INTEGER, noneable=True),
        Option("retry.max-wait", _DURATION_KIND, noneable=True),
        Option("retry.min-wait", _DURATION_KIND, noneable=True),
        Option("read-from-replicas", _BOOLEAN, default="false"),
        Option("protocol-version", FieldType.CHOICE, default="resp2", choices=("resp2", "resp3")),
    ),
    "sql-read-replica": (Option("primary", FieldType.STORE, required=True), Option("replicas", FieldType.STORES, many=True)),
    "sharded-in-memory": (Option("stores", FieldType.STORES, required=True, many=True),),
    "http": (
        Option("url", FieldType.URLS, required=True),
        Option("enable", _BOOLEAN, default="true"),
        Option("format", FieldType.CHOICE, required=True, choices=("list", "csv")),
        Option("index.key", _INTEGER),
        Option("index.value", _INTEGER, noneable=False),
        Option("separator", default=","),
        Option("skip-first", _BOOLEAN, default="false"),
        Option("retry", _DURATION_KIND, default="1h"),
        Option("refresh", _DURATION_KIND, default="12h"),
        Option("timeout", _DURATION_KIND, default="30s"),
        Option("gzipped", _BOOLEAN, default="false"),
        Option("limits.size", _INTEGER, default="104857600"),
        Option("limits.entries", _INTEGER, default="100000"),
        Option("limits.entry-size", _INTEGER, default="512"),
    ),
}
"""Options by type as Stalwart names both. `http` stands for `http-lookup.<id>`."""

DATA_STORES: Final = frozenset({"sqlite", "postgresql", "mysql", "rocksdb", "foundationdb", "sql-read-replica"})
"""Types that hold rows with an expiry of their own: they need a purge."""
CLUSTER_ONLY: Final = frozenset(
    {"user", "password", "retry.total", "retry.max-wait", "retry.min-wait", "read-from-replicas", "protocol-version"}
)
"""Options of a Redis store that Stalwart reads for a cluster only."""
SQL_SERVERS: Final = frozenset({"postgresql", "mysql"})
"""Types whose tables Stalwart creates only for the stores it uses itself."""
NOT_LOOKUP: Final[Mapping[str, str]] = {
    **dict.fromkeys(("fs", "s3", "azure", "distributed-blob", "sharded-blob"), "It holds only blobs: mail, never lookup keys."),
    **dict.fromkeys(("elasticsearch", "meilisearch"), "It holds only the full-text index."),
    **dict.fromkeys(("nats", "zenoh", "kafka"), "It passes messages between servers and never holds keys."),
}
"""Types that cannot be lookup stores, and why."""
BLOBS_ONLY: Final = "compression"
"""An option of every data store that has no effect on lookup keys."""
ELSEWHERE: Final = ("query.", "init.", "metrics.", "tracing.")
"""Beginnings of options under `store.<id>.` that serve directories and telemetry, not lookups."""


def options_of(type_name: str) -> Mapping[str, Option]:
    """The options of a type by name."""
    return {option.name: option for option in OPTIONS.get(type_name, ())}


def has_macro(text: str) -> bool:
    """Whether the value is only known when Stalwart starts: it names an environment variable or a file."""
    return _MACRO.search(text) is not None


def checked(option: Option, text: str) -> tuple[str, str]:
    """The value as it is kept and, when Stalwart would not take it, why. An empty value is left out.

    Values with macros are kept as they are. Durations keep the words that switch them off where their default is something.
    """
    if has_macro(text):
        return text, ""
    word = text.strip().lower()
    if option.noneable and word in NONE_WORDS:
        return (word or "never") if option.default and option.kind is FieldType.DURATION else "", ""
    if option.kind is FieldType.INTEGER:
        return (text, "") if re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) else ("", "is not a whole number")
    if option.kind is FieldType.BOOLEAN:
        return (_BOOLEANS[word], "") if word in _BOOLEANS else ("", "is neither true nor false")
    if option.kind is FieldType.DURATION:
        return (text, "") if milliseconds(text) else ("", "is not a duration such as 30s; units are d, h, m, s and ms")
    if option.kind is FieldType.CHOICE:
        return (word, "") if word in option.choices else ("", f"is not one of {', '.join(option.choices)}")
    return text, ""


def milliseconds(text: str) -> int | None:
    """A duration as Stalwart reads it: digits with d, h, m, s or ms, alone milliseconds; None for anything else, and for 0."""
    match = _DURATION.fullmatch(text.strip())
    return int(match[1]) * _MILLISECONDS[match[2]] or None if match else None


def rate(text: str) -> tuple[int, int] | None:
    """`35/1d` as number and milliseconds; None when it is not a rate."""
    match = _RATE.fullmatch(text.strip())
    period = milliseconds(match[2]) if match else None
    return (int(match[1]), period) if match and period else None


def duration_text(value: int) -> str:
    """Milliseconds as Stalwart writes durations: 15000 is `15s`."""
    for unit in ("d", "h", "m", "s"):
        if value and value % _MILLISECONDS[unit] == 0:
            return f"{value // _MILLISECONDS[unit]}{unit}"
    return f"{value}ms"
