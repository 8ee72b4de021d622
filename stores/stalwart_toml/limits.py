"""Rates and lifetimes of a configuration, by the key classes they bound (store-formats c.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal

from stores.stalwart_toml.document import Document
from stores.stalwart_toml.options import NONE_WORDS, milliseconds, rate
from stores.stalwart_toml.plan import Limit

RATES: Final[Mapping[str, tuple[str, ...]]] = {
    "server.auto-ban.abuse.rate": ("rate-rcpt",),
    "server.auto-ban.scan.rate": ("rate-scan",),
    "server.auto-ban.loiter.rate": ("rate-loiter",),
    "server.auto-ban.auth.rate": ("rate-auth",),
    "form.rate-limit": ("rate-contact",),
    "jmap.rate-limit.account": ("rate-http-authenticated",),
    "http.rate-limit.account": ("rate-http-authenticated",),
    "jmap.rate-limit.anonymous": ("rate-http-anonymous",),
    "http.rate-limit.anonymous": ("rate-http-anonymous",),
    "imap.rate-limit.requests": ("rate-imap",),
    "report.dkim.send": ("rate-smtp",),
    "report.spf.send": ("rate-smtp",),
    "report.dmarc.send": ("rate-smtp",),
}
LIFETIMES: Final[Mapping[str, tuple[str, ...]]] = {
    "oauth.expiry.auth-code": ("oauth",),
    "oauth.expiry.user-code": ("oauth",),
    "spam-filter.reputation.expiry": ("reputation-ip", "reputation-from", "reputation-domain", "reputation-asn"),
    "spam-filter.grey-list.duration": ("greylist",),
    "spam-filter.trusted-reply.duration": ("trusted-reply",),
}
SWITCHES: Final[Mapping[str, str]] = {"spam-filter.reputation.expiry": "spam-filter.reputation.enable"}
"""Lifetimes that matter only when another setting is true."""
_LIMITER: Final = re.compile(r"queue\.limiter\.(inbound|outbound)\.(.+)\.rate")


def is_limit(key: str) -> bool:
    """Whether a setting says something about limits."""
    return key in RATES or key in LIFETIMES or key in SWITCHES.values() or key.startswith("queue.limiter.")


def limits_of(document: Document) -> Iterator[Limit]:
    """Every limit that can be read, in the order of the settings; expressions and words that are no rate are passed over."""
    settings = document.settings
    for key, setting in settings.items():
        if key in RATES:
            found = rate_limit(key, RATES[key], setting.value, setting.line)
        elif key in LIFETIMES:
            switch = settings.get(SWITCHES.get(key, ""))
            off = key in SWITCHES and (switch is None or switch.value.lower() not in ("true", "1"))
            found = lifetime(key, LIFETIMES[key], setting.value, setting.line, off=off)
        elif match := _LIMITER.fullmatch(key):
            direction: Literal["inbound", "outbound"] = "inbound" if match[1] == "inbound" else "outbound"
            found = _limiter(document, key, direction, match[2])
        else:
            continue
        if found is not None:
            yield found


def rate_limit(key: str, classes: tuple[str, ...], text: str, line: int = 0) -> Limit | None:
    """A rate such as `35/1d`; the words that switch it off give a disabled limit."""
    if text.strip().lower() in NONE_WORDS:
        return Limit(key, classes, text, disabled=True, line=line)
    found = rate(text)
    return Limit(key, classes, text, found[0], found[1] / 1000, line=line) if found else None


def lifetime(key: str, classes: tuple[str, ...], text: str, line: int = 0, *, off: bool = False) -> Limit | None:
    """A duration such as `30d`; the words that switch it off, or another setting (`off`), give a disabled limit."""
    if text.strip().lower() in NONE_WORDS:
        return Limit(key, classes, text, disabled=True, line=line)
    period = milliseconds(text)
    return Limit(key, classes, text, period=period / 1000, disabled=off, line=line) if period else None


def _limiter(document: Document, key: str, direction: Literal["inbound", "outbound"], name: str) -> Limit | None:
    settings, base = document.settings, key.removesuffix(".rate")
    found = rate(settings[key].value)
    if found is None:
        return None
    switch = settings.get(f"{base}.enable")
    parts = document.many(f"{base}.key")
    off = switch is None or switch.value.lower() not in ("true", "1")
    return Limit(
        key,
        ("rate-smtp",),
        settings[key].value,
        found[0],
        found[1] / 1000,
        disabled=off,
        parts=tuple(dict.fromkeys(settings[part].value for part in parts)),
        direction=direction,
        name=name,
        line=settings[key].line,
    )
