"""Rate windows: classes 02 to 0A, key = class || subject || u64 BE window (store-formats b.2, c.1, c.8).

The window's number n and the expiry E give the period, P = E / (n + 1); the window is [n P, (n + 1) P). The limit itself is only in
Stalwart's configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from stores.codecs.numbers import base32_id, u32, u64
from stores.keyclasses.base import Decoded, FieldValue, KeyClass
from stores.keyclasses.reading import ALL_LATER, Parts, Reading, Rule, rule
from stores.keyclasses.words import account, ip_text, is_utf8, printable_ascii, shown, span
from stores.texts import figure, joined, say
from stores.types import Kind

AREA_BAN: Final = "fail2ban"
AREA_RATE: Final = "rate limiting"


def _class(
    slug: str, title: str, use: str, byte: int, area: str, texts: tuple[bytes, ...], *, personal: bool = False, bare: bool = False
) -> KeyClass:
    return KeyClass(slug, title, use, area, "limits", byte, Kind.COUNTER, "0.10", personal=personal, texts=texts, bare=bare)


RCPT: Final = _class(
    "rate-rcpt", say("Unknown recipients"), say("auto-ban: mail to unknown addresses"), 0x02, AREA_BAN, (b"r:",), personal=True
)
SCAN: Final = _class("rate-scan", "Scans", say("auto-ban: port and web scanners"), 0x03, AREA_BAN, (b"h:",))
LOITER: Final = _class("rate-loiter", "Loitering", say("auto-ban: idle connections"), 0x04, AREA_BAN, (b"l:",))
AUTH: Final = _class("rate-auth", say("Failed logins"), say("auto-ban: wrong passwords"), 0x05, AREA_BAN, (b"b:",), personal=True)
SMTP: Final = _class("rate-smtp", say("SMTP limits"), say("queue and report limits, inbound and outbound"), 0x06, AREA_RATE, (), bare=True)
CONTACT: Final = _class("rate-contact", say("Contact form"), say("form submissions by address"), 0x07, AREA_RATE, (b"contact:",))
HTTP_ACCOUNT: Final = _class("rate-http-authenticated", say("HTTP, signed in"), say("requests by account"), 0x08, AREA_RATE, (b"j:",))
HTTP_ANONYMOUS: Final = _class(
    "rate-http-anonymous", say("HTTP, anonymous"), say("requests by address"), 0x09, AREA_RATE, (b"jreq:", b"jauth:")
)
IMAP: Final = _class(
    "rate-imap", say("IMAP requests"), say("IMAP, POP3 and ManageSieve; read but never written"), 0x0A, AREA_RATE, (b"ireq:",)
)

CLASSES: Final = (RCPT, SCAN, LOITER, AUTH, SMTP, CONTACT, HTTP_ACCOUNT, HTTP_ANONYMOUS, IMAP)

_NO_EXPIRY: Final = say("No expiry is stored: the period is unknown, and nothing removes the counter by itself.")
WINDOW: Final = 8
"""Bytes of the window number at the end of a key."""
_TOLERANCE: Final = 2
"""Seconds between the end of a window and the stored expiry; more means that the expiry was changed by hand."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rate window. `period`, `start` and `end` in seconds, None when the expiry does not tell them."""

    index: int
    period: int | None
    start: int | None
    end: int | None

    @property
    def fields(self) -> dict[str, FieldValue]:
        return {"window_index": self.index, "window_period": self.period, "window_start": self.start, "window_end": self.end}


def window(index: int, expires_at: int | None) -> Window:
    """Recover the period from number and expiry; exact for windows whose expiry nobody has edited."""
    if expires_at is None or not 0 < expires_at < 1 << 40:
        return Window(index, None, None, None)
    period = (expires_at + (index + 1) // 2) // (index + 1)
    if period < 1 or abs(period * (index + 1) - expires_at) > _TOLERANCE:
        return Window(index, None, None, None)
    return Window(index, period, index * period, (index + 1) * period)


def has_window(key: bytes) -> bool:
    """The last 8 bytes can be a window number: periods are whole seconds, so it stays far below 2^40."""
    return key[-8:-5] == b"\0\0\0"


def read_window(reading: Reading, label: str, fields: dict[str, FieldValue], parts: Parts, *, note: str = "") -> Decoded:
    """The part that all rate classes share: count and window."""
    key, count = reading.key, reading.number
    found = window(u64(key[-WINDOW:]), reading.entry.expires_at)
    running = found.start is not None and found.end is not None and found.start <= reading.now < found.end
    fields |= {"count": count, **found.fields, "running": running if found.period else None}
    value: str
    if count is None:
        value = say("no number")
    elif found.period is None:
        value = figure(count)
    else:
        value = say("%(count)s in this window", count=figure(count)) if running else say("%(count)s, window over", count=figure(count))
    at = say("window %(index)s", index=figure(found.index))
    if found.period:
        at = say("window %(index)s of %(span)s", index=figure(found.index), span=span(found.period))
    if found.period is None:
        why = _NO_EXPIRY if reading.entry.expires_at is None else say("The expiry does not fit the window, so the period is unknown.")
        note = joined(note, why)
    parts = tuple(part for part in parts if part[0] < part[1])
    return reading.decoded(
        label, value, fields, parts=(*parts, (len(key) - WINDOW, len(key), at)),
        editable="counter", note=note, problem=reading.number_problem,
    )  # fmt: skip


def is_text(subject: bytes) -> bool:
    """The rule for subjects of 4 or 16 bytes, which may be an address or a text (store-formats c.8)."""
    if len(subject) not in (4, 16):
        return True
    return printable_ascii(subject) and (len(subject) == 4 or b"@" in subject)


def subject_fields(subject: bytes, text_name: str) -> tuple[str, dict[str, FieldValue], str, str]:
    """Label, fields, meaning of the bytes and a note for a subject that is an IP or a text."""
    if is_text(subject):
        text = shown(subject)
        note = say("These bytes could also be the address %(subject)s.", subject=ip_text(subject)) if len(subject) in (4, 16) else ""
        return (
            text or say("(empty %(text_name)s)", text_name=text_name),
            {text_name: text},
            say("recipient %(text)s", text=text) if text_name == "rcpt" else say("login %(text)s", text=text),
            note,
        )
    text = ip_text(subject)
    return text, {"ip": text}, say("address %(text)s", text=text), ""


_NAMES: Final = {"rcpt": "recipient", "login": "login"}


def _read_ip(reading: Reading) -> Decoded:
    text = ip_text(reading.key[1:-WINDOW])
    return read_window(
        reading, text, {"ip": text}, (_class_part(reading), (1, len(reading.key) - WINDOW, say("address %(text)s", text=text)))
    )


def _read_subject(name: str) -> Callable[[Reading], Decoded]:
    def read(reading: Reading) -> Decoded:
        label, fields, meaning, note = subject_fields(reading.key[1:-WINDOW], name)
        return read_window(reading, label, fields, (_class_part(reading), (1, len(reading.key) - WINDOW, meaning)), note=note)

    return read


def _read_account(reading: Reading) -> Decoded:
    number = u32(reading.key[1:5])
    return read_window(
        reading, account(number, reading.minor), account_fields(number, reading.minor),
        (_class_part(reading), (1, 5, account(number, reading.minor))),
    )  # fmt: skip


def account_fields(number: int, minor: int) -> dict[str, FieldValue]:
    """The account by number, and by its JMAP id where the version shows one."""
    return {"account_id": number, "account_jmap_id": base32_id(number)} if minor >= 16 else {"account_id": number}


def read_hash(reading: Reading) -> Decoded:
    """SMTP limits: the subject is behind a BLAKE3 hash; `smtp_limit_key` finds it from a candidate."""
    key = reading.key
    start = len(key) - WINDOW - 32
    digest = key[start:-WINDOW].hex()
    parts = ((start, len(key) - WINDOW, say("BLAKE3 of limiter and subject")),)
    return read_window(
        reading, say("limit %(digest)s…", digest=digest[:12]), {"hash": digest}, (_class_part(reading), *parts) if start else parts
    )


def _class_part(reading: Reading) -> tuple[int, int, str]:
    return 0, 1, say("class, %(title)s", title=reading.cls.title)


def _ip_shape(key: bytes) -> bool:
    return len(key) in (13, 25) and has_window(key)


def _subject_shape(key: bytes) -> bool:
    return len(key) > 9 and has_window(key) and (len(key) in (13, 25) or is_utf8(key[1:-8]))


def _login_shape(key: bytes) -> bool:
    return len(key) >= 9 and has_window(key) and (len(key) in (13, 25) or is_utf8(key[1:-8]))


def every_window(keys: Sequence[bytes]) -> bool:
    """`has_window` of all of them."""
    return {key[-8:-5] for key in keys} == {b"\0\0\0"}


def _every_subject(shortest: int) -> Callable[[Sequence[bytes]], bool]:
    def every(keys: Sequence[bytes]) -> bool:
        lengths = set(map(len, keys))
        if min(lengths) < shortest or not every_window(keys):
            return False
        return lengths <= {13, 25} or is_utf8(b"\n".join([key[1:-8] for key in keys if len(key) not in (13, 25)]))

    return every


def _account_shape(key: bytes) -> bool:
    return len(key) == 13 and has_window(key)


def _hash_shape(key: bytes) -> bool:
    return len(key) == 41 and has_window(key)


RULES: Final[tuple[Rule, ...]] = (
    rule(RCPT, _subject_shape, _read_subject("rcpt"), verified=ALL_LATER, every=_every_subject(10)),
    rule(SCAN, _ip_shape, _read_ip, verified=ALL_LATER, sees="window"),
    rule(LOITER, _ip_shape, _read_ip, verified=ALL_LATER, sees="window"),
    rule(AUTH, _login_shape, _read_subject("login"), verified=ALL_LATER, every=_every_subject(9)),
    rule(SMTP, _hash_shape, read_hash, verified=ALL_LATER, sees="window"),
    rule(CONTACT, _ip_shape, _read_ip, verified=ALL_LATER, sees="window"),
    rule(HTTP_ACCOUNT, _account_shape, _read_account, verified=ALL_LATER, sees="window"),
    rule(HTTP_ANONYMOUS, _ip_shape, _read_ip, verified=ALL_LATER, sees="window"),
    rule(IMAP, _account_shape, _read_account, sees="window"),
)
