"""Which settings of a running server, or of its data store, an import looks at: nothing else has to be asked for or kept."""

from __future__ import annotations

from typing import Final

from stores.stalwart_toml.limits import is_limit
from stores.stalwart_toml.versions import SINCE, UNTIL

LOOKUP_SETTINGS: Final = (
    "store.",
    "storage.",
    "lookup.",
    "http-lookup.",
    "queue.limiter.",
    "server.auto-ban.",
    "form.",
    "http.",
    "imap.",
    "jmap.",
    "report.",
    "oauth.expiry.",
    "spam-filter.reputation.",
    "spam-filter.grey-list.",
    "spam-filter.trusted-reply.",
)
"""Beginnings of the settings that define stores, lookups and limits."""

VERSION_HINTS: Final = (
    "account.",
    "changes.",
    "email.",
    "queue.connection.",
    "queue.outbound.",
    "queue.route.",
    "queue.schedule.",
    "queue.strategy.",
    "queue.virtual.",
    "remote.",
    "server.http.",
    "webadmin.",
)
"""Beginnings of settings whose names tell the version; their values are of no use, and some are secret."""

_USED: Final = ("store.", "storage.", "lookup.", "http-lookup.")


def is_used(name: str) -> bool:
    """Whether an import looks at the value of a setting."""
    return name.startswith(_USED) or is_limit(name)


def tells_version(name: str) -> bool:
    """Whether the name alone says something about the version."""
    return name.startswith((*SINCE, *UNTIL))
