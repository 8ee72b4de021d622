"""Limits of the configuration, and the keys that SMTP limiters count under (store-formats c.1, c.6).

The subject of an SMTP limit is behind a BLAKE3 hash. It cannot be read back, but with the limiter's definition the hash of a candidate
can be computed and looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Final, Literal

from blake3 import blake3

from stores.codecs.numbers import put_u64
from stores.keyclasses.base import minor, patch
from stores.keyclasses.words import ip_bytes, ip_text

Direction = Literal["inbound", "outbound"]

PARTS: Final[tuple[str, ...]] = (
    "rcpt", "rcpt_domain", "sender", "sender_domain", "helo_domain", "authenticated_as", "listener", "mx", "remote_ip", "local_ip",
)  # fmt: skip
"""What a limiter can count by, in the order of hashing."""
NULL_SENDER: Final = "<>"
MOST_KEYS: Final = 500
"""Keys computed for one limiter, against many candidates for many parts."""

_DURATION: Final = re.compile(r"([0-9]{1,12})\s*(d|h|m|s|ms)?", re.IGNORECASE)
_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_OFF: Final = frozenset({"", "0", "false", "disable", "disabled", "never", "none", "unlimited"})


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a window of `period` seconds, and the setting it comes from (empty: Stalwart's default)."""

    requests: int
    period: int
    setting: str = ""

    @property
    def words(self) -> str:
        return f"{self.requests}/{self.period}s"


@dataclass(frozen=True, slots=True)
class Limiter:
    """A rule of the SMTP queue: what it counts by, and how much it lets pass."""

    id: str
    direction: Direction
    parts: frozenset[str]
    rate: Rate
    enabled: bool = True


def parse_rate(text: str, setting: str = "") -> Rate | None:
    """ "1000/1h" -> Rate(1000, 3600). None for a rate that is switched off; ValueError for what is no rate."""
    if text.strip().lower() in _OFF:
        return None
    requests, _, period = text.partition("/")
    found = _DURATION.fullmatch(period.strip())
    if not found or not requests.strip().isascii() or not requests.strip().isdigit():
        raise ValueError(f"{text!r} is not a rate such as 100/1d")
    seconds = int(found[1]) * _UNITS[(found[2] or "ms").lower()] // 1000
    if seconds < 1 or int(requests) < 1:
        raise ValueError(f"{text!r} is not a rate such as 100/1d")
    return Rate(int(requests), seconds, setting)


_CLASS_RATES: Final[Mapping[str, tuple[tuple[str, ...], Rate]]] = {
    "rate-rcpt": (("server.auto-ban.abuse.rate",), Rate(35, 86400)),
    "rate-scan": (("server.auto-ban.scan.rate",), Rate(30, 86400)),
    "rate-loiter": (("server.auto-ban.loiter.rate",), Rate(150, 86400)),
    "rate-auth": (("server.auto-ban.auth.rate",), Rate(100, 86400)),
    "rate-contact": (("form.rate-limit",), Rate(5, 3600)),
    "rate-http-authenticated": (("http.rate-limit.account", "jmap.rate-limit.account"), Rate(1000, 60)),
    "rate-http-anonymous": (("http.rate-limit.anonymous", "jmap.rate-limit.anonymous"), Rate(100, 60)),
    "rate-imap": (("imap.rate-limit.requests",), Rate(2000, 60)),
}


def class_rates(settings: Mapping[str, str] | None = None) -> dict[str, Rate]:
    """Limit of each class by slug: from flat settings (`name -> text`) where they say one, else Stalwart's default.

    A limit that is switched off, or that cannot be read, is left out.
    """
    found: dict[str, Rate] = {}
    for slug, (names, default) in _CLASS_RATES.items():
        name = next((name for name in names if settings and name in settings), "")
        try:
            rate = parse_rate(settings[name], name) if settings and name else default
        except ValueError:
            continue
        if rate is not None:
            found[slug] = rate
    return found


_LIMITER: Final = re.compile(r"queue\.limiter\.(?P<direction>inbound|outbound)\.(?P<id>.+?)\.(?P<option>rate|enable|key(?:\.[0-9]+)?)")


def limiters_of(settings: Mapping[str, str]) -> list[Limiter]:
    """Limiters of flat settings (`queue.limiter.inbound.<id>.rate`, `.key`, `.key.0000`, `.enable`), of a file or of table `s`.

    Those without a readable rate count nothing and are left out; so is `match`, which decides when a limiter applies, not its keys.
    """
    rules: dict[tuple[Direction, str], dict[str, str]] = {}
    for name, value in settings.items():
        if found := _LIMITER.fullmatch(name):
            direction: Direction = "inbound" if found["direction"] == "inbound" else "outbound"
            rules.setdefault((direction, found["id"]), {})[found["option"]] = value
    return [limiter for (direction, id), options in rules.items() if (limiter := _limiter(id, direction, options))]


def _limiter(id: str, direction: Direction, options: Mapping[str, str]) -> Limiter | None:
    try:
        rate = parse_rate(options.get("rate", ""), f"queue.limiter.{direction}.{id}.rate")
    except ValueError:
        return None
    parts = frozenset(part for name, value in options.items() if name.startswith("key") for part in _names(value))
    enabled = options.get("enable", "true").strip().lower() in ("true", "1")
    return Limiter(id, direction, parts, rate, enabled) if rate and parts else None


def _names(value: str) -> Iterator[str]:
    """Names of parts; 0.16 writes them in camel case."""
    for name in re.split(r"[,\s]+", value):
        plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        if plain in PARTS:
            yield plain


def smtp_limit_hash(
    parts: Mapping[str, str],
    *,
    requests: int,
    period: int,
    direction: Direction,
    version: str = "0.11",
    concurrency: int | None = None,
) -> bytes:
    """The 32 bytes that a limiter counts a subject under.

    `parts` are the limiter's own, by name (`rcpt`, `remote_ip`, ...); an empty sender is the null sender; addresses in any spelling.
    `period` in seconds. Up to 0.11.3 the recipe is another one and takes `concurrency` too; "0.11" alone means a later patch.
    """
    hasher = blake3()
    for name in PARTS:
        if name in parts:
            hasher.update(_part(name, parts[name]).encode())
    if _old_recipe(version):
        hasher.update(period.to_bytes(8, "little") + requests.to_bytes(8, "little"))
        if concurrency is not None:
            hasher.update(concurrency.to_bytes(8, "little"))
    else:
        hasher.update(put_u64(period) + put_u64(requests) + direction.encode())
    return hasher.digest()


def report_limit_hash(recipient: str, report: Literal["dkim", "spf", "dmarc"], *, requests: int, period: int) -> bytes:
    """The 32 bytes that sent reports to a recipient are counted under (little-endian, as on x86 and ARM)."""
    return blake3(recipient.encode() + report.encode() + period.to_bytes(8, "little") + requests.to_bytes(8, "little")).digest()


def limit_key(digest: bytes, version: str, window: int | None = None) -> bytes:
    """The key of a hashed limit; without a window the prefix of all its windows."""
    return (b"" if minor(version) == 10 else b"\x06") + digest + (b"" if window is None else put_u64(window))


def smtp_limit_key(
    parts: Mapping[str, str],
    *,
    requests: int,
    period: int,
    direction: Direction,
    version: str = "0.11",
    window: int | None = None,
    concurrency: int | None = None,
) -> bytes:
    """The key a limiter counts a subject under: see `smtp_limit_hash`; `window` = floor(Unix seconds / period), None for the prefix."""
    digest = smtp_limit_hash(parts, requests=requests, period=period, direction=direction, version=version, concurrency=concurrency)
    return limit_key(digest, version, window)


def limiter_keys(limiter: Limiter, candidates: Mapping[str, Sequence[str]], version: str) -> Iterable[tuple[dict[str, str], bytes]]:
    """(subject by part, key prefix) for every combination of candidates that fills all parts of a limiter; at most 500.

    The null sender is always tried where a limiter counts by sender.
    """
    choices: list[Sequence[str]] = []
    names = [name for name in PARTS if name in limiter.parts]
    for name in names:
        values = list(candidates.get(name, ()))
        if name in ("sender", "sender_domain") and "" not in values:
            values.append("")
        choices.append(values)
    for combination in islice(product(*choices), MOST_KEYS):
        parts = dict(zip(names, combination, strict=True))
        rate = limiter.rate
        yield parts, smtp_limit_key(parts, requests=rate.requests, period=rate.period, direction=limiter.direction, version=version)


def _part(name: str, value: str) -> str:
    if name in ("sender", "sender_domain"):
        return value or NULL_SENDER
    if name in ("remote_ip", "local_ip") and (raw := ip_bytes(value)) is not None:
        return ip_text(raw)
    return value


def _old_recipe(version: str) -> bool:
    level = patch(version)
    return minor(version) == 10 or (minor(version) == 11 and level is not None and level <= 3)
