"""Which Stalwart a configuration was written for, told from settings that came or went with a version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

VERSIONS: Final = ("0.10", "0.11", "0.12", "0.13", "0.14", "0.15")
"""Versions with a TOML configuration, oldest first."""
_FAMILIES: Final = (("0.10",), ("0.11",), VERSIONS[2:])
"""Within a family, keys and values are encoded alike for all that a wrong guess would matter."""

SINCE: Final = {
    "queue.limiter.": "0.11",
    "spam-filter.": "0.11",
    "webadmin.": "0.11",
    "http.": "0.12",
    "email.folders.": "0.12",
    "email.encryption.": "0.12",
    "email.auto-expunge": "0.12",
    "account.purge.frequency": "0.12",
    "changes.max-history": "0.12",
    "cluster.coordinator": "0.12",
    "queue.virtual.": "0.13",
    "queue.route.": "0.13",
    "queue.strategy.": "0.13",
    "queue.schedule.": "0.13",
    "queue.connection.": "0.13",
}
"""Beginnings of settings -> the first version that knows them."""
UNTIL: Final = {
    "lookup.spam-": "0.10",
    "config.resource.": "0.10",
    "authentication.rate-limit": "0.10",
    "session.throttle.": "0.10",
    "queue.throttle.": "0.10",
    "server.http.": "0.11",
    "jmap.folders.": "0.11",
    "jmap.account.purge.frequency": "0.11",
    "jmap.email.auto-expunge": "0.11",
    "jmap.protocol.changes.max-history": "0.11",
    "storage.encryption.": "0.11",
    "lookup.default.": "0.11",
    "queue.outbound.next-hop": "0.12",
    "remote.": "0.12",
}
"""Beginnings of settings -> the last version that knows them."""


@dataclass(frozen=True, slots=True)
class Guess:
    """The version, or empty when the settings fit several that differ; and why, in words."""

    version: str
    note: str


def guess(keys: Iterable[str]) -> Guess:
    """The version that a set of setting names fits. Old names that a newer server merely ignores do not count against it."""
    names = list(keys)
    oldest, because = _bound(names, SINCE, newest=True)
    newest, until = _bound(names, UNTIL, newest=False)
    if oldest and newest and VERSIONS.index(newest) < VERSIONS.index(oldest):
        newest, until = "", ""
    if not oldest and not newest:
        return Guess("", "Nothing in the file tells Stalwart's version; it is detected when the store is opened.")
    fitting = VERSIONS[VERSIONS.index(oldest or VERSIONS[0]) : VERSIONS.index(newest or VERSIONS[-1]) + 1]
    reason = " and ".join(f"`{name.rstrip('.')}`" for name in dict.fromkeys((because, until)) if name)
    family = next((family for family in _FAMILIES if set(fitting) <= set(family)), None)
    if family is None:
        return Guess(
            "", f"The settings fit Stalwart {fitting[0]} to {fitting[-1]} ({reason}); the version is detected when a store is opened."
        )
    if len(fitting) == 1:
        return Guess(fitting[0], f"Written for Stalwart {fitting[0]}, told by {reason}.")
    return Guess(fitting[-1], f"The settings fit Stalwart {fitting[0]} to {fitting[-1]} ({reason}); taken as {fitting[-1]}.")


def _bound(names: list[str], table: dict[str, str], *, newest: bool) -> tuple[str, str]:
    """The strictest version that a name in the table demands, and that name."""
    ranked = sorted(table, key=lambda name: VERSIONS.index(table[name]), reverse=newest)
    for beginning in ranked:
        if any(name.startswith(beginning) for name in names):
            return table[beginning], beginning
    return "", ""
