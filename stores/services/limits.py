"""Which limits hold, as far as that is known: an imported configuration, the settings in a data store, else Stalwart's defaults."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from stores.backends.base import Backend
from stores.keyclasses import Limiter, Rate, class_rates, limiters_of
from stores.models import ImportedLimits, Store
from stores.services.every import ask_each
from stores.stalwart_toml.plan import ImportPlan, Limit
from stores.types import Clock

BANS: Final = "server.blocked-ip."
PREFIXES: Final = (
    "queue.limiter.", "server.auto-ban.", "form.rate-limit", "jmap.rate-limit.", "http.rate-limit.", "imap.rate-limit.",
    "spam-filter.grey-list.", BANS,
)  # fmt: skip
"""Names of the server's settings that say something about limits and bans. None of them holds a secret."""
SMTP: Final = "rate-smtp"


@dataclass(frozen=True, slots=True)
class Ban:
    """A blocked address or network in the settings of a data store."""

    store_id: str
    setting: str
    network: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What is known of limits. `rates` by class slug; a class that is switched off is missing."""

    rates: Mapping[str, Rate] = field(default_factory=class_rates)
    limiters: tuple[Limiter, ...] = ()
    bans: tuple[Ban, ...] = ()
    readable: tuple[str, ...] = ()
    """Stores whose settings could be read; only for them does an empty `bans` mean that nothing is banned."""
    source: str = ""
    """Name of the imported file, empty without one."""
    imported_at: datetime | None = None

    def limiter_of(self, period: int | None) -> Limiter | None:
        """The one limiter with windows of so many seconds; None when there is none or more than one."""
        found = {(limiter.direction, limiter.id): limiter for limiter in self.limiters if limiter.enabled and limiter.rate.period == period}
        return next(iter(found.values())) if len(found) == 1 else None

    def bans_of(self, address: str) -> tuple[Ban, ...]:
        """Bans that cover an address."""
        ip = ipaddress.ip_address(address)
        return tuple(ban for ban in self.bans if ip in ipaddress.ip_network(ban.network, strict=False))


def known(stores: Sequence[Store], clock: Clock = time.time) -> Limits:
    """Ask every data store for the server's settings and add the imported ones. A store that does not answer is left out."""
    answers = ask_each(stores, _settings, clock)
    tables = {store_id: found for store_id, found in answers.items() if isinstance(found, dict)}
    imported = ImportedLimits.objects.first()
    limits = list(imported.limits) if imported else []
    merged: dict[str, str] = {}
    for table in tables.values():
        merged |= table
    limiters = {_identity(limiter): limiter for limiter in (*limiters_of(merged), *_limiters(limits))}
    return Limits(
        rates=_combined(class_rates(merged), limits),
        limiters=tuple(limiters.values()),
        bans=tuple(_bans(tables)),
        readable=tuple(tables),
        source=imported.source if imported else "",
        imported_at=imported.at if imported else None,
    )


def keep(plan: ImportPlan) -> None:
    """Keep the limits of an imported configuration; one without any leaves the present ones."""
    if plan.limits:
        ImportedLimits.objects.update_or_create(id=1, defaults={"source": plan.source, "limits": [_kept(limit) for limit in plan.limits]})


def _settings(store: Store, backend: Backend) -> dict[str, str] | None:
    return backend.server_settings(PREFIXES)


def _kept(limit: Limit) -> dict[str, Any]:
    return {
        "key": limit.key,
        "classes": list(limit.classes),
        "count": limit.count,
        "period": limit.period,
        "disabled": limit.disabled,
        "parts": list(limit.parts),
        "direction": limit.direction,
        "name": limit.name,
    }


def _rates(limits: Iterable[Mapping[str, Any]]) -> dict[str, Rate]:
    return {
        slug: Rate(int(limit["count"]), int(limit["period"]), limit["key"])
        for limit in limits
        for slug in limit["classes"]
        if slug != SMTP and limit["count"] and limit["period"] >= 1 and not limit["disabled"]
    }


def _combined(rates: Mapping[str, Rate], limits: Sequence[Mapping[str, Any]]) -> dict[str, Rate]:
    """Rates of the settings, or of Stalwart, under those of the file, which wins; what the file switches off goes."""
    off = {slug for limit in limits if limit["disabled"] for slug in limit["classes"]}
    return {slug: rate for slug, rate in rates.items() if slug not in off} | _rates(limits)


def _limiters(limits: Iterable[Mapping[str, Any]]) -> list[Limiter]:
    return [
        Limiter(
            limit["name"], limit["direction"], frozenset(limit["parts"]), Rate(int(limit["count"]), int(limit["period"]), limit["key"]),
            not limit["disabled"],
        )
        for limit in limits
        if limit["direction"] and limit["parts"] and limit["count"] and limit["period"] >= 1
    ]  # fmt: skip


def _identity(limiter: Limiter) -> tuple[object, ...]:
    return limiter.direction, limiter.id, limiter.parts, limiter.rate.requests, limiter.rate.period


def _bans(tables: Mapping[str, Mapping[str, str]]) -> Iterable[Ban]:
    for store_id, table in tables.items():
        for name in table:
            text = name.removeprefix(BANS)
            if not name.startswith(BANS) or name == BANS:
                continue
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError:
                continue
            yield Ban(store_id, name, text)
