"""Plans from Stalwart 0.16: `config.json`, which is the data store alone, and the registry's objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from stores.codecs.staticlookup import escape, is_glob
from stores.cron import Cron
from stores.stalwart_toml.limits import lifetime, rate_limit
from stores.stalwart_toml.options import DATA_STORES, checked, duration_text, options_of
from stores.stalwart_toml.plan import ImportPlan, Limit, PlannedStore, Severity
from stores.stalwart_toml.variants import VARIANTS, Json, Reader, as_text, items

VERSION: Final = "0.16"
DATA_STORE: Final = "datastore"
"""Id given to the data store, which has none in 0.16."""
IN_MEMORY: Final = "in-memory"
"""Id given to the in-memory store when it is a store of its own."""
STORES: Final = frozenset({"DataStore", "InMemoryStore", "StoreLookup"})
LOOKUPS: Final = frozenset({"MemoryLookupKey", "MemoryLookupKeyValue", "HttpLookup"})
_RATES: Final = {
    ("Security", "abuseBanRate"): "rate-rcpt",
    ("Security", "authBanRate"): "rate-auth",
    ("Security", "loiterBanRate"): "rate-loiter",
    ("Security", "scanBanRate"): "rate-scan",
    ("Http", "rateLimitAuthenticated"): "rate-http-authenticated",
    ("Http", "rateLimitAnonymous"): "rate-http-anonymous",
    ("HttpForm", "rateLimit"): "rate-contact",
    ("Imap", "maxRequestRate"): "rate-imap",
}
_LIFETIMES: Final = {
    ("SpamSettings", "greylistFor"): "greylist",
    ("OidcProvider", "authCodeExpiry"): "oauth",
    ("OidcProvider", "userCodeExpiry"): "oauth",
    ("Jmap", "uploadTtl"): "quota-blob",
}
LIMIT_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    kind: frozenset(field for owner, field in (*_RATES, *_LIFETIMES) if owner == kind) for kind, _ in (*_RATES, *_LIFETIMES)
}
"""Singletons that hold limits -> the fields that are read; others in them are secret."""
_HTTP: Final = {
    "url": "url",
    "enable": "enable",
    "isGzipped": "gzipped",
    "maxSize": "limits.size",
    "maxEntries": "limits.entries",
    "maxEntrySize": "limits.entry-size",
    "refresh": "refresh",
    "retry": "retry",
    "timeout": "timeout",
}
_CSV: Final = {"indexKey": "index.key", "indexValue": "index.value", "separator": "separator", "skipFirst": "skip-first"}

Object = tuple[str, Json]
"""Type of a registry object without `x:`, and its fields."""


def plan_from_config_json(value: Json, source: str) -> ImportPlan:
    """The plan of a 0.16 `config.json`: its data store, which is the default lookup store unless the registry says otherwise."""
    return plan_from_objects([("DataStore", value)], source, "config.json")


def plan_from_objects(objects: Iterable[Object], source: str, dialect: Literal["objects", "config.json"] = "objects") -> ImportPlan:
    """The plan of registry objects, in order of creation. Pure: the objects may come from a file or from a running server."""
    found = list(objects)
    reader = Reader()
    stores = _own_stores(reader, found)
    default = _default(reader, found, stores, dialect)
    schedule = _schedule(reader, found)
    if schedule and default in stores and stores[default].type in DATA_STORES:
        stores[default] = _with_purge(stores[default], schedule)
    for extra in (*_lookup_stores(reader, found), *_lists(reader, found), *_urls(reader, found)):
        if extra.id in stores:
            message = f"There are two lookups of the namespace {extra.id}; Stalwart says nothing and lets one of them answer."
            reader.report(Severity.ERROR, message, "The second one is left out.", extra.id)
        else:
            stores[extra.id] = extra
    used = {"DataStore", "InMemoryStore", "StoreLookup", "DataRetention", *LOOKUPS, *(kind for kind, _ in (*_RATES, *_LIFETIMES))}
    used |= {"MtaInboundThrottle", "MtaOutboundThrottle"}
    ignored: dict[str, int] = {}
    for kind, _ in found:
        if kind not in used:
            ignored[kind] = ignored.get(kind, 0) + 1
    return ImportPlan(
        source=source,
        dialect=dialect,
        stores=tuple(stores.values()),
        default=default,
        roles={"lookup": default} if default else {},
        version=VERSION,
        version_note="This is a configuration of Stalwart 0.16.",
        limits=tuple(_limits(found)),
        problems=tuple(reader.problems),
        ignored=dict(sorted(ignored.items())),
    )


def registry_objects(data: Any) -> list[Object] | None:
    """The objects in an export, a list of requests with their answers, or a JMAP request or response; None for other JSON.

    Updates of the same singleton are put together; what the server did not create is left out.
    """
    if isinstance(data, Mapping):
        calls = data.get("methodResponses", data.get("methodCalls"))
        if isinstance(calls, list):
            return _of_calls(calls)
        if isinstance(data.get("objects"), list):
            return _joined((item.get("object"), item.get("value")) for item in data["objects"] if _done(item))
    if isinstance(data, list) and data and all(isinstance(item, Mapping) and "method" in item for item in data):
        pairs: list[tuple[Any, Any]] = []
        for item in data:
            pairs += _of_set(item["method"], item.get("args"), item.get("response"))
        return _joined(pairs)
    return None


def _done(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get("ok") is not False


def _of_calls(calls: list[Any]) -> list[Object]:
    pairs: list[tuple[Any, Any]] = []
    for call in calls:
        if isinstance(call, list) and len(call) >= 2 and isinstance(call[0], str):
            kind, _, verb = call[0].removeprefix("x:").partition("/")
            if verb == "get" and isinstance(call[1], Mapping):
                pairs += [(kind, value) for value in items(call[1].get("list"))]
            elif verb == "set":
                pairs += _of_set(call[0], call[1], None)
    return _joined(pairs)


def _of_set(method: Any, arguments: Any, response: Any) -> list[tuple[Any, Any]]:
    kind, _, verb = str(method).removeprefix("x:").partition("/")
    if verb != "set" or not isinstance(arguments, Mapping):
        return []
    answer = _mapping(response)
    refused = {*_mapping(answer.get("notCreated")), *_mapping(answer.get("notUpdated"))}
    changes = {**_mapping(arguments.get("create")), **_mapping(arguments.get("update"))}
    return [(kind, value) for name, value in changes.items() if name not in refused]


def _mapping(value: Any) -> Json:
    return value if isinstance(value, Mapping) else {}


_MANY: Final = STORES - {"DataStore", "InMemoryStore"} | LOOKUPS | {"MtaInboundThrottle", "MtaOutboundThrottle"}


def _joined(pairs: Iterable[tuple[Any, Any]]) -> list[Object]:
    singles: dict[str, dict[str, Any]] = {}
    found: list[Object] = []
    for kind, value in pairs:
        if not isinstance(kind, str) or not isinstance(value, Mapping):
            continue
        name = kind.removeprefix("x:")
        fields = {key: item for key, item in value.items() if key != "id"}
        if name in _MANY or name not in singles:
            singles.setdefault(name, fields)
            found.append((name, fields))
        elif "@type" in fields and fields["@type"] != singles[name].get("@type"):
            singles[name].clear()
            singles[name].update(fields)
        else:
            singles[name].update(fields)
    return found


def _own_stores(reader: Reader, objects: list[Object]) -> dict[str, PlannedStore]:
    """The data store, and the in-memory store when it is one of its own."""
    found: dict[str, PlannedStore] = {}
    for kind, value in objects:
        if kind == "DataStore":
            found.update((store.id, store) for store in reader.stores(DATA_STORE, value))
        elif kind == "InMemoryStore" and value.get("@type") != "Default":
            found.update((store.id, store) for store in reader.stores(IN_MEMORY, value))
    return found


def _default(reader: Reader, objects: list[Object], stores: dict[str, PlannedStore], dialect: str) -> str:
    if IN_MEMORY in stores:
        return IN_MEMORY
    if dialect == "config.json":
        message = f"Stalwart 0.16 gives its data store no id; it is called {DATA_STORE} here. It is the default lookup store unless the "
        reader.report(Severity.NOTE, f"{message}setting In-Memory Store names another one.", store=DATA_STORE)
        return DATA_STORE if DATA_STORE in stores else ""
    if any(kind in ("InMemoryStore", "DataStore") for kind, _ in objects):
        if DATA_STORE not in stores:
            message = "The default lookup store is the data store, which is defined in Stalwart's config.json."
            reader.report(Severity.NOTE, message, "Import that file too.")
        return DATA_STORE
    return ""


def _lookup_stores(reader: Reader, objects: list[Object]) -> Iterable[PlannedStore]:
    for kind, value in objects:
        if kind != "StoreLookup":
            continue
        store = _mapping(value.get("store"))
        namespace = as_text(value.get("namespace"))
        yield from reader.stores(namespace, store)
        if store.get("@type") in ("RedisSentinel", "Sharded"):
            message = f"{namespace}: Stalwart up to 0.16.18 cannot load a lookup store of type {store['@type']}."
            reader.report(Severity.WARNING, message, "It is imported all the same.", namespace)
        elif (variant := VARIANTS.get(as_text(store.get("@type")))) and variant.type in DATA_STORES:
            message = f"Stalwart creates no tables in {namespace}; until m and y exist, every lookup in it fails."
            reader.report(Severity.NOTE, message, store=namespace)


def _lists(reader: Reader, objects: list[Object]) -> Iterable[PlannedStore]:
    """Static lists by namespace, entries in order of creation; a sign that is to be taken literally gets a backslash."""
    entries: dict[str, dict[str, str]] = {}
    kinds: dict[str, set[str]] = {}
    for kind, value in objects:
        if kind not in ("MemoryLookupKey", "MemoryLookupKeyValue"):
            continue
        namespace, key = as_text(value.get("namespace")), as_text(value.get("key"))
        kinds.setdefault(namespace, set()).add(kind)
        if value.get("isGlobPattern") is not True and is_glob(key):
            key = escape(key)
        if key in entries.setdefault(namespace, {}):
            reader.report(Severity.WARNING, f"{namespace} holds a key twice; the first one is kept.", store=namespace)
        entries[namespace].setdefault(key, as_text(value.get("value")))
    for namespace, found in entries.items():
        if len(kinds[namespace]) > 1:
            message = f"{namespace} mixes keys with and without values; Stalwart then does not find those without."
            reader.report(Severity.WARNING, message, "Give all of them values.", namespace)
        yield PlannedStore(namespace, "static", entries=tuple(found.items()))


def _urls(reader: Reader, objects: list[Object]) -> Iterable[PlannedStore]:
    options = options_of("http")
    for kind, value in objects:
        if kind != "HttpLookup":
            continue
        namespace, shape = as_text(value.get("namespace")), _mapping(value.get("format"))
        raw = {_HTTP[name]: _plain(name, field) for name, field in value.items() if name in _HTTP}
        raw |= {_CSV[name]: as_text(field) for name, field in shape.items() if name in _CSV}
        raw["format"] = as_text(shape.get("@type")).lower()
        settings: dict[str, str] = {}
        for name, text in raw.items():
            settings[name], wrong = checked(options[name], text)
            if wrong and text:
                reader.report(Severity.WARNING, f'{namespace}: {name} "{text[:40]}" {wrong}.', "It is left out.", namespace)
        blocked = "" if settings.get("format") else "Its format is neither List nor Csv."
        yield PlannedStore(namespace, "http", {name: text for name, text in settings.items() if text}, blocked=blocked)


def _plain(name: str, value: Any) -> str:
    if name in ("refresh", "retry", "timeout") and isinstance(value, int) and not isinstance(value, bool):
        return duration_text(value)
    return as_text(value)


def _schedule(reader: Reader, objects: list[Object]) -> str:
    """The server's clean-up schedule as a purge schedule; it is the one of the default lookup store."""
    for kind, value in objects:
        schedule = _mapping(value.get("dataCleanupSchedule"))
        if kind != "DataRetention" or not schedule:
            continue
        name, minute, hour, day = (schedule.get(part) for part in ("@type", "minute", "hour", "day"))
        if isinstance(minute, int) and 0 <= minute <= 59 and name == "Hourly":
            return str(Cron(minute))
        if isinstance(minute, int) and isinstance(hour, int) and 0 <= minute <= 59 and 0 <= hour <= 23:
            if name == "Daily":
                return str(Cron(minute, hour))
            if name == "Weekly" and isinstance(day, int) and 0 <= day <= 6:
                return str(Cron(minute, hour, day or 7))
        reader.report(Severity.WARNING, "The clean-up schedule of Stalwart is not understood.", "Set a schedule after the import.")
    return ""


def _with_purge(store: PlannedStore, purge: str) -> PlannedStore:
    return replace(store, purge=purge)


def _limits(objects: list[Object]) -> Iterable[Limit]:
    for kind, value in objects:
        for name, field in value.items():
            text = _rate_text(field) if isinstance(field, Mapping) else duration_text(field) if isinstance(field, int) else ""
            found: Limit | None = None
            if (kind, name) in _RATES:
                found = rate_limit(f"{kind}.{name}", (_RATES[kind, name],), text)
            elif (kind, name) in _LIFETIMES:
                found = lifetime(f"{kind}.{name}", (_LIFETIMES[kind, name],), text)
            if found is not None:
                yield found
        if kind in ("MtaInboundThrottle", "MtaOutboundThrottle") and (throttle := _throttle(kind, value)) is not None:
            yield throttle


def _throttle(kind: str, value: Json) -> Limit | None:
    rate = value.get("rate")
    found = rate_limit(f"{kind}.rate", ("rate-smtp",), _rate_text(rate)) if isinstance(rate, Mapping) else None
    if found is None:
        return None
    parts = tuple(_snake(str(part)) for part in items(value.get("key")))
    direction: Literal["inbound", "outbound"] = "inbound" if kind == "MtaInboundThrottle" else "outbound"
    return Limit(
        found.key,
        found.classes,
        found.text,
        found.count,
        found.period,
        disabled=value.get("enable", True) is not True,
        parts=parts,
        direction=direction,
        name=as_text(value.get("description")),
    )


def _rate_text(rate: Mapping[str, Any]) -> str:
    count, period = rate.get("count"), rate.get("period")
    return f"{count}/{duration_text(period)}" if isinstance(count, int) and isinstance(period, int) else ""


def _snake(name: str) -> str:
    return "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in name)
