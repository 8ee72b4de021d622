"""From a subject to the keys that hold its traces: look-ups and prefixes wherever the key's bytes allow, a bounded scan else.

A prefix reaches every window of a rate class, but on Redis a prefix is a walk of the whole store. There the exact keys of the
current windows help: give `now`, and `rates` where the configuration is known.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from stores.codecs.numbers import put_u32, put_u64
from stores.keyclasses import acme_oauth, bayes, dav_sieve, greylist_reply, locks, quota, rate_limits, reputation
from stores.keyclasses.base import KeyClass, Trace, minor
from stores.keyclasses.limits import Limiter, Rate, class_rates, limiter_keys
from stores.keyclasses.subjects import Meaning, Network, network, understand
from stores.keyclasses.words import ip_bytes, to_bytes
from stores.texts import say

_QUEUES: Final = (b"local", b"remote", b"dsn", b"report", b"default")
"""Names of the virtual queues that an unchanged configuration has."""
MOST_LIMIT_KEYS: Final = 1000
"""Keys of SMTP limiters computed for one search."""

_BY_IP: Final = (
    (rate_limits.AUTH, say("failed logins from this address"), say("failed logins from this network")),
    (rate_limits.RCPT, say("unknown recipients tried from this address"), say("unknown recipients tried from this network")),
    (rate_limits.SCAN, say("scans from this address"), say("scans from this network")),
    (rate_limits.LOITER, say("idle connections from this address"), say("idle connections from this network")),
    (rate_limits.HTTP_ANONYMOUS, say("anonymous requests from this address"), say("anonymous requests from this network")),
    (rate_limits.CONTACT, say("forms sent from this address"), say("forms sent from this network")),
)


def traces(
    subject: str,
    version: str,
    *,
    now: float | None = None,
    rates: Mapping[str, Rate] | None = None,
    limiters: Sequence[Limiter] = (),
) -> list[Trace]:
    """Where to look for an IP, CIDR, login, address, domain, AS number, Message-ID, queue id or account; cheapest first.

    `now` in Unix seconds adds the exact keys of the rate windows that run then, with the periods of `rates` (default: Stalwart's own).
    `limiters` adds the hashed keys of SMTP limits that this subject alone determines; see `smtp_traces` for several subjects.
    """
    meanings = understand(subject)
    found: list[Trace] = []
    for meaning in meanings:
        found += _TRACERS[meaning.sort](meaning, minor(version))
    if now is not None:
        found += _current(found, now, rates if rates is not None else class_rates(), minor(version))
    found += smtp_traces([subject], limiters, version, now=now)
    found += _own_keys(subject.strip())
    order = {"exact": 0, "prefix": 1, "scan": 2}
    unique: dict[tuple[str, bytes, str | None], Trace] = {}
    for trace in found:
        unique.setdefault((trace.kind, trace.key, trace.slug), trace)
    return sorted(unique.values(), key=lambda trace: order[trace.kind])


def smtp_traces(subjects: Sequence[str], limiters: Iterable[Limiter], version: str, *, now: float | None = None) -> list[Trace]:
    """Keys of SMTP limits for subjects in any combination: an IP and an address fill a limiter that counts by both.

    With `now` the exact key of the running window, without it the prefix of all windows.
    """
    candidates = _candidates(meaning for subject in subjects for meaning in understand(subject))
    found: list[Trace] = []
    for limiter in limiters:
        for parts, prefix in limiter_keys(limiter, candidates, version):
            if len(found) >= MOST_LIMIT_KEYS:
                return found
            what = ", ".join(f"{name} {value or '<>'}" for name, value in parts.items())
            why = say(
                "%(direction)s limiter %(limiter_id)s: %(what)s, %(words)s",
                direction=limiter.direction,
                limiter_id=limiter.id,
                what=what,
                words=limiter.rate.words,
            )
            if now is None:
                found.append(_prefix(rate_limits.SMTP, prefix, why, _longer_by(8, prefix)))
            else:
                key = prefix + put_u64(int(now) // limiter.rate.period)
                found.append(_exact(rate_limits.SMTP, key, why))
    return found


def _candidates(meanings: Iterable[Meaning]) -> dict[str, list[str]]:
    """Values by limiter part. A domain may be any of four, an address is also its domain."""
    found: dict[str, list[str]] = {}

    def add(value: str, *names: str) -> None:
        for name in names:
            if value not in found.setdefault(name, []):
                found[name].append(value)

    for meaning in meanings:
        if meaning.sort == "ip":
            add(meaning.text, "remote_ip", "local_ip")
        elif meaning.sort == "address":
            lower = meaning.text.lower()
            add(lower, "rcpt", "sender", "authenticated_as")
            add(lower.rpartition("@")[2], "rcpt_domain", "sender_domain")
        elif meaning.sort == "domain":
            add(meaning.text, "rcpt_domain", "sender_domain", "helo_domain", "mx")
        elif meaning.sort == "login":
            add(meaning.text, "authenticated_as", "listener", "helo_domain")
    return found


# one tracer for each way to read a subject


def _ip(meaning: Meaning, version: int) -> Iterator[Trace]:
    raw = ip_bytes(meaning.text)
    assert raw is not None  # understand() has parsed it
    for cls, why, _ in _BY_IP:
        yield from _windows(cls, raw, meaning.text.encode(), why, version)
    if version == 10:
        yield _exact(reputation.IP, b"i:" + meaning.text.encode(), say("reputation of this address"))
        prefix = b"g:" + meaning.text.encode() + b"."
        yield _prefix(greylist_reply.GREYLIST, prefix, say("greylist pairs from this address"))
        return
    yield _exact(reputation.IP, b"\x0c" + raw, say("reputation of this address"))
    for kind in (4, 10) if len(raw) < bayes.LONGEST else ():
        yield _exact(bayes.GLOBAL, b"\x11" + raw + bytes([kind]), say("spam filter weight of this address"))


def _network(meaning: Meaning, version: int) -> Iterator[Trace]:
    net = network(meaning.text)
    assert net is not None  # understand() has parsed it
    size, whole = net.max_prefixlen // 8, net.network_address.packed[: net.prefixlen // 8]
    classes = [(cls, why) for cls, _, why in _BY_IP]
    for cls, why in (*classes, (reputation.IP, say("reputation of addresses of this network"))):
        if version == 10:
            for text in cls.texts:
                yield _scan(cls, text, why, _in_text_network(net, len(text), None if cls is reputation.IP else -rate_limits.WINDOW))
            continue
        assert cls.byte is not None
        tail = 0 if cls is reputation.IP else rate_limits.WINDOW
        yield _prefix(cls, bytes([cls.byte]) + whole, why, _in_network(net, size, tail))


def _in_network(net: Network, size: int, tail: int) -> Callable[[bytes], bool]:
    def matches(key: bytes) -> bool:
        return len(key) == 1 + size + tail and ipaddress.ip_address(key[1 : 1 + size]) in net

    return matches


def _in_text_network(net: Network, start: int, end: int | None) -> Callable[[bytes], bool]:
    def matches(key: bytes) -> bool:
        raw = ip_bytes(key[start:end].decode(errors="replace"))
        return raw is not None and ipaddress.ip_address(raw) in net

    return matches


def _address(meaning: Meaning, version: int) -> Iterator[Trace]:
    domain = meaning.text.rpartition("@")[2]
    for text in _spellings(meaning.text):
        yield from _windows(rate_limits.RCPT, text, text, say("mail to this address that is unknown here"), version)
        if version == 10:
            yield _exact(reputation.FROM, b"f:" + text, say("reputation of this sender"))
        else:
            yield _exact(reputation.FROM, b"\x0d" + text, say("reputation of this sender"))
    yield from _reputation_of(domain, version)
    lower = to_bytes(meaning.text.lower())
    if version == 10:
        yield _scan(greylist_reply.GREYLIST, b"g:", say("greylist pairs with this address"), _holds(lower, 2))
    else:
        yield _prefix(greylist_reply.GREYLIST, b"\x10" + lower, say("greylist pairs from this sender"))
        yield _scan(greylist_reply.GREYLIST, b"\x10", say("greylist pairs to this recipient"), _ends(lower, 1))
    if version > 10 and len(lower) < bayes.LONGEST:
        yield _exact(bayes.GLOBAL, b"\x11" + lower + b"\x01", say("spam filter weight of this sender"))


def _login(meaning: Meaning, version: int) -> Iterator[Trace]:
    for text in _spellings(meaning.text):
        yield from _windows(rate_limits.AUTH, text, text, say("failed logins of this name"), version)
    if "@" not in meaning.text:
        yield from _word(meaning, version)


def _word(meaning: Meaning, version: int) -> Iterator[Trace]:
    token = bayes.hashed_token(meaning.text) if version == 10 else bayes.token_of(meaning.text)
    if token is not None:
        yield _exact(bayes.GLOBAL, (b"" if version == 10 else b"\x11") + token, say("spam filter weight of this word"))


def _domain(meaning: Meaning, version: int) -> Iterator[Trace]:
    name = meaning.text.encode()
    yield from _reputation_of(meaning.text, version)
    if version == 10:
        yield _exact(acme_oauth.ACME, b"acme:" + name, say("certificate challenge of this domain"))
        yield _scan(greylist_reply.GREYLIST, b"g:", say("greylist pairs with this domain"), _holds(b"@" + name, 2))
        return
    yield _exact(acme_oauth.ACME, b"\x00" + name, say("certificate challenge of this domain"))
    yield _scan(locks.QUEUE_REPORT, b"\x16", say("report to this domain"), _ends(name, 10))
    yield _scan(greylist_reply.GREYLIST, b"\x10", say("greylist pairs with this domain"), _holds(b"@" + name, 1))
    yield _scan(rate_limits.RCPT, b"\x02", say("mail to unknown addresses of this domain"), _ends_before_window(b"@" + name))
    yield _scan(rate_limits.AUTH, b"\x05", say("failed logins of this domain's names"), _ends_before_window(b"@" + name))
    yield _scan(reputation.FROM, b"\x0d", say("reputation of senders of this domain"), _ends(b"@" + name, 1))
    if len(name) < bayes.LONGEST:
        for kind in (2, 9, 11):
            yield _exact(bayes.GLOBAL, b"\x11" + name + bytes([kind]), say("spam filter weight of this domain"))


def _reputation_of(domain: str, version: int) -> Iterator[Trace]:
    """Reputation is kept for the registrable domain, which is one of the domain's own endings; a few look-ups try them all."""
    labels = domain.lower().split(".")
    for start in range(max(0, len(labels) - 6), max(1, len(labels) - 1)):
        name = to_bytes(".".join(labels[start:]))
        if version == 10:
            yield _exact(reputation.DOMAIN, b"d:" + name, say("reputation of the domain"))
            yield _exact(reputation.FROM, b"f:_" + name, say("reputation of the domain's senders"))
            continue
        yield _exact(reputation.DOMAIN, b"\x0e" + name, say("reputation of the domain, DMARC pass"))
        yield _exact(reputation.DOMAIN, b"\x0e_" + name, say("reputation of the domain, no DMARC pass"))
        yield _exact(reputation.FROM, b"\x0d_" + name, say("reputation of the domain's senders, no DMARC pass"))


def _asn(meaning: Meaning, version: int) -> Iterator[Trace]:
    if version == 10:
        yield _exact(reputation.ASN, b"a:%d" % meaning.number, say("reputation of this network"))
        return
    number = put_u32(meaning.number)
    yield _exact(reputation.ASN, b"\x0f" + number, say("reputation of this network"))
    yield _exact(bayes.GLOBAL, b"\x11" + number + b"\x03", say("spam filter weight of this network"))


def _message_id(meaning: Meaning, version: int) -> Iterator[Trace]:
    text = to_bytes(meaning.text)
    yield _exact(greylist_reply.TRUSTED_REPLY, (b"m:" if version == 10 else b"\x13") + text, say("sent message awaiting replies"))


def _queue_id(meaning: Meaning, version: int) -> Iterator[Trace]:
    if version == 10:
        return
    number = put_u64(meaning.number)
    yield _exact(locks.QUEUE_MESSAGE, b"\x15" + number, say("lock of this message"))
    if version >= 13:
        for queue in _QUEUES:
            yield _exact(
                locks.QUEUE_MESSAGE,
                b"\x15" + number + queue.ljust(8, b"\0"),
                say("lock of this message in queue %(decode)s", decode=queue.decode()),
            )
        yield _prefix(locks.QUEUE_MESSAGE, b"\x15" + number, say("lock of this message in its queue"), _longer_by(8, b"\x15" + number))
    if version >= 16:
        yield _exact(locks.TASK, b"\x17" + number, say("lock of this task"))
    else:
        yield _exact(locks.EMAIL_TASK, b"\x17\x00" + number, say("lock of the index task of this change"))


def _account(meaning: Meaning, version: int) -> Iterator[Trace]:
    if version == 10:
        text = b"%d" % meaning.number
        yield from _windows(rate_limits.HTTP_ACCOUNT, text, text, say("requests of this account"), version)
        yield _exact(locks.PURGE_ACCOUNT, b"purge:" + text, say("purge of this account"))
        return
    number = put_u32(meaning.number)
    yield from _windows(rate_limits.HTTP_ACCOUNT, number, b"", say("requests of this account"), version)
    yield _exact(quota.TOKEN_REVISION, b"\x0b" + number, say("token revision of this account"))
    yield _prefix(quota.QUOTA, b"\x0b" + number, say("uploads of this account"), _longer_by(8, b"\x0b" + number))
    yield _prefix(bayes.ACCOUNT, b"\x12" + number, say("spam filter model of this account"))
    yield _exact(locks.PURGE_ACCOUNT, b"\x14" + number, say("purge of this account"))
    for collection, name in dav_sieve.COLLECTIONS.items():
        yield _exact(dav_sieve.DAV, b"\x19" + number + bytes([collection]), say("WebDAV locks of this account, %(name)s", name=name))
    yield _prefix(dav_sieve.DAV, b"\x19" + number, say("WebDAV locks of this account"), _longer_by(1, b"\x19" + number))


_TRACERS: Final[Mapping[str, Callable[[Meaning, int], Iterator[Trace]]]] = {
    "ip": _ip, "network": _network, "address": _address, "login": _login, "domain": _domain, "asn": _asn, "message-id": _message_id,
    "queue-id": _queue_id, "account": _account,
}  # fmt: skip


def _own_keys(text: str) -> Iterator[Trace]:
    if text:
        raw = to_bytes(text)
        yield Trace("exact", raw, None, say("your own key of this name"))
        yield Trace("scan", b"", None, say("your own keys that hold this text"), _holds(raw, 0))


# pieces


def _windows(cls: KeyClass, subject: bytes, text: bytes, why: str, version: int) -> Iterator[Trace]:
    """All windows of a subject. 0.10 writes addresses and accounts as text, after one or two prefixes."""
    if version == 10:
        for prefix in cls.texts:
            start = prefix + text
            yield _prefix(cls, start, why, _longer_by(8, start))
        return
    assert cls.byte is not None
    start = bytes([cls.byte]) + subject
    yield _prefix(cls, start, why, _longer_by(8, start))


def _current(found: Iterable[Trace], now: float, rates: Mapping[str, Rate], version: int) -> list[Trace]:
    """Exact keys of the windows that run now, for every window prefix of a known period."""
    exact = []
    for trace in found:
        rate = rates.get(trace.slug or "")
        if trace.kind == "prefix" and rate is not None and trace.matches(trace.key + bytes(8)):
            exact.append(
                Trace("exact", trace.key + put_u64(int(now) // rate.period), trace.slug, say("%(why)s, in this window", why=trace.why))
            )
    return exact


def _spellings(text: str) -> list[bytes]:
    """As given and in lower case: logins are kept as the client sent them."""
    return list(dict.fromkeys([to_bytes(text), to_bytes(text.lower())]))


def _exact(cls: KeyClass, key: bytes, why: str) -> Trace:
    return Trace("exact", key, cls.slug, why)


def _prefix(cls: KeyClass, key: bytes, why: str, matches: Callable[[bytes], bool] | None = None) -> Trace:
    return Trace("prefix", key, cls.slug, why, matches or _starts(key))


def _scan(cls: KeyClass, key: bytes, why: str, matches: Callable[[bytes], bool]) -> Trace:
    return Trace("scan", key, cls.slug, why, matches)


def _starts(prefix: bytes) -> Callable[[bytes], bool]:
    return lambda key: key.startswith(prefix)


def _longer_by(length: int, prefix: bytes) -> Callable[[bytes], bool]:
    """Keys of exactly the prefix and so many bytes more: another subject may begin with the same bytes."""
    return lambda key: len(key) == len(prefix) + length and key.startswith(prefix)


def _ends(text: bytes, start: int) -> Callable[[bytes], bool]:
    return lambda key: key[start:].endswith(text)


def _ends_before_window(text: bytes) -> Callable[[bytes], bool]:
    return lambda key: key[1:-8].lower().endswith(text)


def _holds(text: bytes, start: int) -> Callable[[bytes], bool]:
    return lambda key: text in key[start:]
