"""What holds a subject back, from what was found of it: one sentence, the evidence, and what can be done."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from stores.errors import BadConfig
from stores.keyclasses import CLASSES, Meaning, build_key
from stores.models import Store
from stores.services.find import Finding, Found
from stores.services.limited import BANNING, Window, named, window_of
from stores.services.limits import SMTP, Ban
from stores.services.relief import ACTIONS, Target
from stores.services.traces import split
from stores.texts import counted, say

_REPUTATION: Final = ACTIONS["neutral"].classes
_LOCKS: Final = ACTIONS["release"].classes
_EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "rate-auth": (say("failed login"), say("failed logins")),
    "rate-rcpt": (say("unknown recipient"), say("unknown recipients")),
    "rate-scan": (say("scan"), say("scans")),
    "rate-loiter": (say("idle connection"), say("idle connections")),
    "rate-contact": (say("form"), say("forms")),
    "rate-http-authenticated": (say("request"), say("requests")),
    "rate-http-anonymous": (say("request"), say("requests")),
    SMTP: (say("message"), say("messages")),
}
"""What a counter counts, one and many."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Something to do, with the keys it is about."""

    action: str
    label: str
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer. `level`: bad (held back now), warn (soon, or partly), ok. Titles are sentences; `lines` explain them."""

    level: Literal["bad", "warn", "ok"]
    title: str
    until: int | None
    """Unix seconds at which the title ends to be true by itself."""
    lines: tuple[str, ...]
    proposals: tuple[Proposal, ...]
    windows: tuple[Window, ...]
    over: int
    """Windows that are over: they count for nothing."""
    greylist: tuple[Finding, ...]
    reputation: tuple[Finding, ...]
    locks: tuple[Finding, ...]
    codes: tuple[Finding, ...]
    replies: tuple[Finding, ...]
    others: tuple[Finding, ...]
    bans: tuple[Ban, ...]
    absent: tuple[str, ...]
    """Titles of classes that were looked for and hold nothing."""
    twice: tuple[str, ...]
    """Stores that count the same subject under the same class at the same time."""


def judge(found: Found, stores: Mapping[str, Store], now: float | None = None) -> Verdict:
    """No I/O. `stores`: the searched ones by id."""
    moment = time.time() if now is None else now
    versions = {store_id: store.effective_version for store_id, store in stores.items()}
    windowed = [finding for finding in found.findings if (finding.row.decoded.slug or "").startswith("rate-")]
    running = [window for finding in windowed if (window := window_of(finding.store_id, finding.row)) is not None]
    windows = tuple(sorted(named(running, found.limits, versions, split(found.subject)), key=_pressing))
    of = {name: _of(found.findings, classes) for name, classes in _SECTIONS.items()}
    shown = {finding.row.entry.key for finding in (*windowed, *(each for section in of.values() for each in section))}
    bans = _bans(found)
    level, title, until, lines = _sentence(found, windows, bans, of, moment)
    return Verdict(
        level, title, until, tuple(lines), tuple(_proposals(windows, of, found, stores)), windows, len(windowed) - len(running),
        of["greylist"], of["reputation"], of["locks"], of["codes"], of["replies"],
        tuple(finding for finding in found.findings if finding.row.entry.key not in shown), bans, _absent(found), _twice(windows),
    )  # fmt: skip


_SECTIONS: Final[Mapping[str, frozenset[str]]] = {
    "greylist": ACTIONS["allow"].classes,
    "reputation": _REPUTATION,
    "locks": _LOCKS,
    "codes": ACTIONS["revoke"].classes,
    "replies": ACTIONS["forget"].classes,
}


def _of(findings: Iterable[Finding], classes: frozenset[str]) -> tuple[Finding, ...]:
    return tuple(finding for finding in findings if finding.row.decoded.slug in classes)


def _pressing(window: Window) -> tuple[bool, float, int]:
    """Full ones first, then by the share of the limit, then by count."""
    share = window.count / window.limit.requests if window.limit else 0.0
    return not window.full, -share, -window.count


def _bans(found: Found) -> tuple[Ban, ...]:
    hits: dict[str, Ban] = {}
    for meaning in found.meanings:
        if meaning.sort in ("ip", "network"):
            wanted = ipaddress.ip_network(meaning.text, strict=False)
            for ban in found.limits.bans:
                banned = ipaddress.ip_network(ban.network, strict=False)
                if banned.version == wanted.version and banned.overlaps(wanted):
                    hits.setdefault(f"{ban.store_id} {ban.setting}", ban)
    return tuple(hits.values())


_Sentence = tuple[Literal["bad", "warn", "ok"], str, int | None, list[str]]


def _sentence(found: Found, windows: Sequence[Window], bans: Sequence[Ban], of: Mapping[str, tuple[Finding, ...]], now: float) -> _Sentence:
    name = _name(found)
    lines: list[str] = []
    full = next((window for window in windows if window.full), None)
    if bans:
        lines.append(
            say(
                "The setting `%(setting)s` in %(store_id)s blocks it, whatever is counted here.",
                setting=bans[0].setting,
                store_id=bans[0].store_id,
            )
        )
        lines += _counts(windows)
        return "bad", say("%(name)s is banned", name=name), None, lines
    if full is not None:
        lines += [_full_line(full, found), *_counts(windows, full)]
        return "bad", _full_title(full, name), full.end, lines
    bad = [finding for finding in of["reputation"] if _score(finding) > 0 and not finding.row.expired]
    held = [finding for finding in of["locks"] if finding.row.decoded.fields.get("held") and not finding.row.expired]
    near = next((window for window in windows if window.near), None)
    lines += _counts(windows)
    pairs = [finding for finding in of["greylist"] if not finding.row.expired]
    if pairs:
        lines.append(
            say("%(count)s known: their next attempt passes.", count=counted(len(pairs), "greylist pair is", "greylist pairs are"))
        )
    if held:
        lines.append(say("%(count)s held.", count=counted(len(held), "lock is", "locks are")))
    if bad:
        worst = max(bad, key=_score)
        lines.append(
            say(
                "The spam filter leans towards spam: %(label)s, %(value_label)s.",
                label=worst.row.decoded.label,
                value_label=worst.row.decoded.value_label,
            )
        )
    if near is not None:
        return "warn", say("%(name)s is close to a limit", name=name), near.end, lines
    if held:
        return "warn", say("Work on %(name)s is locked", name=name), held[0].row.entry.expires_at, lines
    if bad:
        return "warn", say("Nothing blocks %(name)s, but its reputation is bad", name=name), None, lines
    if found.failed and not found.findings:
        return (
            "warn",
            say("Nothing known holds %(name)s back", name=name),
            None,
            [say("Not all stores answered, so this may not be the whole truth."), *lines],
        )
    if not found.findings:
        return "ok", say("No trace of %(name)s", name=name), None, [say("No store counts, delays, locks or rates it.")]
    unknown = [window for window in windows if window.limit is None]
    if unknown:
        lines.append(say("Where the limit is not known it cannot be said how close the counter is to it."))
    return "ok", say("Nothing holds %(name)s back", name=name), None, lines


def _full_title(window: Window, name: str) -> str:
    if window.slug in BANNING:
        return say("The next %(events)s bans %(subject)s", events=_EVENTS[window.slug][0], subject=window.subject)
    if window.slug == SMTP:
        return say("Mail to %(name)s waits", name=name) if "outbound" in window.rule else say("Mail from %(name)s waits", name=name)
    if window.slug == "rate-contact":
        return say("Forms of %(subject)s are refused", subject=window.subject)
    return say("Requests of %(subject)s are refused", subject=window.subject)


def _full_line(window: Window, found: Found) -> str:
    assert window.limit is not None  # it is full
    said = say(
        "`%(rule)s` has counted %(count)s of %(requests)s %(events)s in this window.",
        rule=window.rule,
        count=f"{window.count:,}",
        requests=f"{window.limit.requests:,}",
        events=_EVENTS[window.slug][1],
    )
    if window.slug not in BANNING:
        return said
    if found.limits.readable:
        return say("%(said)s The settings in %(names)s hold no ban of it yet.", said=said, names=", ".join(found.limits.readable))
    return say("%(said)s Whether it is banned already is in the server's settings, which cannot be read from here.", said=said)


def _counts(windows: Sequence[Window], told: Window | None = None) -> list[str]:
    """The two most pressing counters in words."""
    lines: list[str] = []
    for window in windows:
        if window is told or window.limit is None or 10 * window.count < window.limit.requests or len(lines) == 2:
            continue
        many = _EVENTS[window.slug][1]
        then = say("bans") if window.slug in BANNING else say("waits") if window.slug == SMTP else say("is refused")
        used = say(
            "%(count)s of %(requests)s %(many)s of %(subject)s",
            count=f"{window.count:,}",
            requests=f"{window.limit.requests:,}",
            many=many,
            subject=window.subject,
        )
        lines.append(
            say("%(used)s: %(left)s more pass, the one after %(then)s.", used=used, left=f"{window.left:,}", then=then)
            if window.left
            else say("%(used)s: the next one %(then)s.", used=used, then=then)
        )
    return lines


def _proposals(
    windows: Sequence[Window], of: Mapping[str, tuple[Finding, ...]], found: Found, stores: Mapping[str, Store]
) -> Iterable[Proposal]:
    def targets(findings: Iterable[Finding]) -> tuple[Target, ...]:
        return tuple(Target.of_row(finding.store_id, finding.row) for finding in findings)

    mail = [window for window in windows if window.slug == SMTP and window.full]
    if mail:
        yield Proposal("reset", say("Let its mail through now"), _windows(mail))
    banning = [window for window in windows if window.slug in BANNING]
    for slug in dict.fromkeys(window.slug for window in banning):
        yield Proposal(
            "reset", say("Reset %(events)s", events=_EVENTS[slug][1]), _windows(window for window in banning if window.slug == slug)
        )
    rest = [window for window in windows if window.full and window.slug not in BANNING and window.slug != SMTP]
    if rest:
        yield Proposal("reset", say("Let its requests in now"), _windows(rest))
    if of["greylist"]:
        yield Proposal("allow", say("Let its next attempts in"), targets(of["greylist"]))
    elif pair := _new_pair(found, stores):
        yield pair
    if bad := [finding for finding in of["reputation"] if _score(finding) != 0]:
        yield Proposal("neutral", say("Make its reputation neutral"), targets(bad))
    if of["locks"]:
        yield Proposal("release", say("Release its locks"), targets(of["locks"]))
    if of["codes"]:
        yield Proposal("revoke", say("Revoke its sign-in codes"), targets(of["codes"]))
    if of["replies"]:
        yield Proposal("forget", say("Forget the Message-ID"), targets(of["replies"]))


def _windows(windows: Iterable[Window]) -> tuple[Target, ...]:
    return tuple(Target.of_row(window.store_id, window.row) for window in windows)


def _new_pair(found: Found, stores: Mapping[str, Store]) -> Proposal | None:
    """A greylist pair that is not known yet, where sender and recipient were given; for the default store."""
    addresses = [meaning.text for meaning in found.meanings if meaning.sort == "address"]
    default = next((store for store in stores.values() if hasattr(store, "default_row")), None)
    answered = {searched.store_id for searched in found.stores if searched.error is None}
    if len(addresses) != 2 or default is None or default.pk not in answered or default.type == "static" or default.read_only:
        return None
    address = next((meaning.text for meaning in found.meanings if meaning.sort == "ip"), "")
    try:
        fields = {"ip": address, "sender": addresses[0], "recipient": addresses[1]}
        key = build_key("greylist", fields, default.effective_version)
    except BadConfig:
        return None
    return Proposal(
        "allow",
        say("Let %(addresses)s write to %(addresses_2)s at once", addresses=addresses[0], addresses_2=addresses[1]),
        (Target(default.pk, key, ""),),
    )


def _absent(found: Found) -> tuple[str, ...]:
    there = {finding.row.decoded.slug for finding in found.findings}
    looked = [title for slug, title in _LOOKED.items() if not there & {each for each in CLASSES if each.startswith(slug)}]
    return tuple(looked) if found.meanings else ()


_LOOKED: Final[Mapping[str, str]] = {
    "rate-auth": say("failed logins"),
    "rate-rcpt": say("unknown recipients"),
    "rate-scan": say("scans"),
    "rate-loiter": say("idle connections"),
    SMTP: say("SMTP limits"),
    "rate-contact": say("contact form"),
    "rate-http": say("HTTP limits"),
    "reputation": say("reputation"),
    "greylist": say("greylist"),
    "trusted-reply": say("trusted replies"),
    "lock-": say("locks"),
    "acme": say("certificate challenges"),
}


def _twice(windows: Sequence[Window]) -> tuple[str, ...]:
    seen: dict[tuple[str, str], set[str]] = {}
    for window in windows:
        seen.setdefault((window.slug, window.subject), set()).add(window.store_id)
    several = [ids for ids in seen.values() if len(ids) > 1]
    return tuple(sorted(set().union(*several)))


def _name(found: Found) -> str:
    subjects = split(found.subject)
    first: dict[str, Meaning] = {}
    for meaning in found.meanings:
        first.setdefault(meaning.sort, meaning)
    main = next((first[sort].text for sort in ("ip", "network", "address", "domain", "asn") if sort in first), None)
    return main if main is not None and len(subjects) > 1 else found.subject


def _score(finding: Finding) -> float:
    value = finding.row.decoded.fields.get("score")
    return float(value) if isinstance(value, int | float) else 0.0
