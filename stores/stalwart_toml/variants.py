"""The store objects of Stalwart 0.16: their variants and fields, by the option names of the TOML configuration (store-formats g)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stores.errors import BadConfig
from stores.stalwart_toml.options import checked, duration_text, options_of
from stores.stalwart_toml.parser import MAX_CHARACTERS
from stores.stalwart_toml.plan import PlannedStore, Problem, Severity
from stores.texts import say

Json = Mapping[str, Any]

_POOL: Final = {"poolMaxConnections": "pool.max-connections"}
_LOGIN: Final = {"authUsername": "user", "authSecret": "password"}
_TLS: Final = {"useTls": "tls.enable", "allowInvalidCerts": "tls.allow-invalid-certs"}
_REDIS: Final = {
    **_POOL,
    "timeout": "timeout",
    "poolTimeoutCreate": "pool.create-timeout",
    "poolTimeoutWait": "pool.wait-timeout",
    "poolTimeoutRecycle": "pool.recycle-timeout",
}
_REDIS_MANY: Final = {
    **_REDIS,
    "urls": "urls",
    "maxRetries": "retry.total",
    "maxRetryWait": "retry.max-wait",
    "minRetryWait": "retry.min-wait",
    "readFromReplicas": "read-from-replicas",
    "protocolVersion": "protocol-version",
}


@dataclass(frozen=True, slots=True)
class Variant:
    """How one `@type` maps: our type, field -> option, what is set besides, fields that are understood and not kept."""

    type: str
    fields: Mapping[str, str]
    fixed: Mapping[str, str] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()


VARIANTS: Final[Mapping[str, Variant]] = {
    "Sqlite": Variant("sqlite", {"path": "path", "poolWorkers": "pool.workers", **_POOL}, required=("path",)),
    "RocksDb": Variant(
        "rocksdb",
        {"path": "path", "blobSize": "min-blob-size", "bufferSize": "write-buffer-size", "poolWorkers": "pool.workers"},
        dropped=frozenset({"cacheSize"}),
        required=("path",),
    ),
    "PostgreSql": Variant(
        "postgresql",
        {"host": "host", "port": "port", "database": "database", "options": "options", "timeout": "timeout", **_LOGIN, **_TLS, **_POOL},
        {"database": "stalwart"},
        frozenset({"poolRecyclingMethod"}),
        ("host",),
    ),
    "MySql": Variant(
        "mysql",
        {
            "host": "host",
            "port": "port",
            "database": "database",
            "timeout": "timeout",
            "maxAllowedPacket": "max-allowed-packet",
            "poolMinConnections": "pool.min-connections",
            **_LOGIN,
            **_TLS,
            **_POOL,
        },
        {"database": "stalwart"},
        required=("host",),
    ),
    "FoundationDb": Variant(
        "foundationdb",
        {
            "clusterFile": "cluster-file",
            "machineId": "ids.machine",
            "datacenterId": "ids.datacenter",
            "transactionTimeout": "transaction.timeout",
            "transactionRetryLimit": "transaction.retry-limit",
            "transactionRetryDelay": "transaction.max-retry-delay",
        },
    ),
    "Redis": Variant("redis", {"url": "urls", **_REDIS}, {"redis-type": "single", "urls": "redis://127.0.0.1"}),
    "RedisCluster": Variant(
        "redis",
        {**_REDIS_MANY, **_LOGIN},
        {"redis-type": "cluster", "urls": "redis://127.0.0.1", "read-from-replicas": "true"},
    ),
    "RedisSentinel": Variant(
        "redis",
        {
            **_REDIS_MANY,
            **{name: name for name in ("serviceName", "authUsername", "authSecret", "sentinelUsername", "sentinelSecret")},
        },
        {"redis-type": "sentinel", "serviceName": "mymaster"},
        required=("urls",),
    ),
}
"""Stores that can hold lookup keys, by `@type`. `Default` and `Sharded` are no stores of their own."""
_DURATIONS: Final = frozenset(
    {"timeout", "poolTimeoutCreate", "poolTimeoutWait", "poolTimeoutRecycle", "maxRetryWait", "minRetryWait"}
    | {"transactionTimeout", "transactionRetryDelay", "refresh", "retry"}
)
_SECRETS: Final = frozenset({"authSecret", "sentinelSecret"})
_MASKED: Final = "****"


class Reader:
    """Turns store objects into planned stores and collects what there is to say about them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def report(self, severity: Severity, message: str, fix: str = "", store: str = "") -> None:
        self.problems.append(Problem(severity, message, fix, store=store))

    def stores(self, store_id: str, value: Json) -> Iterator[PlannedStore]:
        """The store of an object, behind its shards when it has some. Nothing, and a remark, for a type that is not known."""
        kind = str(value.get("@type", ""))
        if kind == "Sharded":
            yield from self._sharded(store_id, value)
        elif kind in VARIANTS:
            yield self._store(store_id, kind, value)
        else:
            known = ", ".join([*VARIANTS, "Sharded"])
            self.report(Severity.ERROR, f'{store_id}: "{kind[:40]}" is no type of store.', f"Types: {known}.", store_id)

    def _sharded(self, store_id: str, value: Json) -> Iterator[PlannedStore]:
        members = items(value.get("stores"))
        names = [f"{store_id}-{number}" for number in range(1, len(members) + 1)]
        for name, member in zip(names, members, strict=True):
            if isinstance(member, Mapping):
                yield self._store(name, str(member.get("@type", "")), member)
        blocked = "" if len(members) > 1 else "A sharded store has at least two members."
        yield PlannedStore(store_id, "sharded-in-memory", {"stores": "\n".join(names)}, blocked=blocked)

    def _store(self, store_id: str, kind: str, value: Json) -> PlannedStore:
        variant = VARIANTS.get(kind)
        if variant is None:
            return PlannedStore(store_id, kind.lower()[:40] or "unknown", blocked="Its type is not known.")
        settings = dict(variant.fixed)
        for name, raw in value.items():
            self._field(store_id, variant, name, raw, settings)
        hidden = frozenset(variant.fields[name] for name, raw in value.items() if name in variant.fields and _is_masked(name, raw))
        missing = [variant.fields[name] for name in variant.required if not settings.get(variant.fields[name])]
        blocked = f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing." if missing else ""
        if blocked:
            self.report(Severity.ERROR, f"{store_id}: {blocked}", "Add the field.", store_id)
        kept = {name: text for name, text in settings.items() if text}
        return PlannedStore(store_id, variant.type, kept, blocked=blocked, hidden=hidden)

    def _field(self, store_id: str, variant: Variant, name: str, raw: Any, settings: dict[str, str]) -> None:
        if name == "readReplicas":
            if items(raw):
                self.report(Severity.NOTE, f"{store_id}: read replicas are not used here, everything goes to the primary.", store=store_id)
        elif name in variant.fields:
            target = variant.fields[name]
            option = options_of(variant.type).get(target)
            found, wrong = self._text(store_id, name, raw), ""
            if option is not None and found:
                found, wrong = checked(option, found)
            if wrong:
                self.report(Severity.WARNING, f"{store_id}: {name} {wrong}.", "It is left out.", store_id)
            if found:
                settings[target] = found
        elif name != "@type" and name not in variant.dropped:
            self.report(Severity.WARNING, f"{store_id}: the field {name[:80]} is not understood.", "It is left out.", store_id)

    def _text(self, store_id: str, name: str, raw: Any) -> str:
        if name in _SECRETS:
            return self._secret(store_id, name, raw)
        if name in _DURATIONS and isinstance(raw, int) and not isinstance(raw, bool):
            return duration_text(raw)
        if name == "urls":
            return "\n".join(str(url) for url in items(raw))
        return as_text(raw)

    def _secret(self, store_id: str, name: str, raw: Any) -> str:
        """The password, or the macro that fetches it at connect time."""
        value = _as_secret(raw)
        kind = value.get("@type", "None")
        if kind == "Value":
            secret = as_text(value.get("secret"))
            if _is_masked(name, raw):
                message = f"{store_id}: Stalwart shows {name} only as {_MASKED}."
                self.report(Severity.WARNING, message, "Type the password into the store's settings after the import.", store_id)
                return ""
            return secret
        if kind == "EnvironmentVariable":
            return f"%{{env:{as_text(value.get('variableName'))}}}%"
        if kind == "File":
            return f"%{{file:{as_text(value.get('filePath'))}}}%"
        if kind != "None":
            self.report(
                Severity.WARNING, f'{store_id}: {name} of type "{str(kind)[:40]}" is not understood.', "Type the password.", store_id
            )
        return ""


def _as_secret(raw: Any) -> Json:
    return raw if isinstance(raw, Mapping) else {"@type": "Value", "secret": raw}


def _is_masked(name: str, raw: Any) -> bool:
    """Whether a secret is there and shown as asterisks only."""
    if name not in _SECRETS:
        return False
    value = _as_secret(raw)
    secret = as_text(value.get("secret")) if value.get("@type") == "Value" else ""
    return bool(secret) and not secret.strip("*")


def load(text: str) -> Any:
    """Parsed JSON of bounded size and depth. Raises BadConfig(field="file") with line and column."""
    if len(text) > MAX_CHARACTERS:
        raise BadConfig(
            say(
                "The file has %(count)s characters; up to %(max_characters)s are read.",
                count=f"{len(text):,}",
                max_characters=f"{MAX_CHARACTERS:,}",
            ),
            say("Export fewer objects."),
            "file",
        )
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BadConfig(
            say("This is not valid JSON: %(msg)s in %(place)s.", msg=error.msg, place=place),
            say("Give the file as Stalwart has it."),
            "file",
        ) from None
    except (RecursionError, ValueError):
        raise BadConfig(
            say("This JSON is nested too deeply or holds too large a number."), say("Give the file as Stalwart has it."), "file"
        ) from None


def items(value: Any) -> list[Any]:
    """A list, in either of the forms that Stalwart uses: an array, a map with numeric keys, or a map of texts to true."""
    if isinstance(value, list):
        return value
    if not isinstance(value, Mapping):
        return [value] if value not in (None, "") else []
    if all(str(key).isdecimal() for key in value):
        return [value[key] for key in sorted(value, key=lambda key: (len(str(key)), str(key)))]
    return [key for key, chosen in value.items() if chosen is True]


def as_text(value: Any) -> str:
    """A scalar as text; nothing for null, lists and objects."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else ""
