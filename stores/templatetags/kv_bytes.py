"""The only place where stored bytes become text on a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from stores import keyclasses, texts
from stores.models import Store
from stores.services.keytokens import SealedKey, token_of
from stores.services.rows import Row
from stores.templatetags import words
from stores.types import NEVER_HEADER, Entry, Kind

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

register = template.Library()

DOTS: Final = "••••••••"
LINE_BYTES: Final = 64
"""Bytes of a key that a list shows; the rest is counted."""
SHOWN_BYTES: Final = 4096
"""Bytes of a value that the key page shows in hex."""
_PER_LINE: Final = 16

Part = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class HexLine:
    """One line of a hex view: offset, bytes, meaning."""

    offset: str
    bytes: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class HexBlock:
    """A heading and its lines."""

    title: str
    lines: tuple[HexLine, ...]
    note: str = ""


def link_key(row: Row) -> bytes:
    """The key for links and forms: sealed where it is a secret."""
    return SealedKey(row.entry.key) if row.decoded.secret_key else row.entry.key


@register.simple_tag
def key_url(store: Store, row: Row, name: str = "key") -> str:
    """The address of a key's page, or of one of its forms."""
    return reverse(f"stores:{name}", args=[store.pk, link_key(row)])


@register.filter
def token(row: Row) -> str:
    """The key as a form carries it, with the digest of the row on screen."""
    return f"{token_of(link_key(row))}:{row.entry.etag}"


@register.filter
def class_byte(slug: str | None) -> str:
    """`05`; nothing for classes that have no byte."""
    found = keyclasses.CLASSES.get(slug) if slug else None
    return "" if found is None or found.byte is None else f"{found.byte:02x}"


@register.simple_tag
def chip(row: Row) -> SafeString:
    """The class of a key: its byte, then its name."""
    byte = f"{row.entry.key[0]:02x}" if row.decoded.slug and row.entry.key else ""
    if not byte:
        return format_html('<span class="kv-chip is-text">{}</span>', row.decoded.title)
    return format_html('<span class="kv-chip"><span class="kv-bytes">{}</span>{}</span>', byte, row.decoded.title)


@register.simple_tag
def keyline(row: Row) -> str:
    """The key's bytes in one line, a blank between its fields; the secret ones as dots."""
    key = row.entry.key
    if row.decoded.secret_key:
        return f"{key[:1].hex()} {DOTS}"
    if not key:
        return gettext("no bytes")
    pieces = " ".join(key[start:end].hex() for start, end, _ in _covered(row.decoded.parts, min(len(key), LINE_BYTES)))
    return pieces if len(key) <= LINE_BYTES else gettext("%(pieces)s… %(count)s bytes") % {"pieces": pieces, "count": words.count(len(key))}


@register.simple_tag
def value_line(row: Row) -> str:
    """What kind of row it is and how big, under the value in words."""
    entry = row.entry
    if entry.problem:
        return gettext("malformed, %(count)s") % {"count": words.size(len(entry.row or b""))}
    if entry.kind is Kind.COUNTER:
        return gettext("counter")
    if entry.kind is Kind.LOCK:
        return gettext("lock")
    length = words.size(len(entry.value or b"") if entry.length is None else entry.length)
    return gettext("%(length)s, with a number") % {"length": length} if entry.counter is not None else length


@register.filter
def key_title(row: Row) -> str:
    """What a key is called in a heading: its subject, or its bytes when it has none."""
    return row.decoded.label or (row.entry.key.hex() if row.entry.key else gettext("the empty key"))


@register.simple_tag
def hexview(row: Row, masked: bool = True) -> list[HexBlock]:
    """Key and stored row, field by field. Secret parts are dots unless they were revealed."""
    return list(_blocks(row, masked))


def _blocks(row: Row, masked: bool) -> Iterator[HexBlock]:
    entry, decoded = row.entry, row.decoded
    yield _block(
        gettext("Key, %(bytes)s") % {"bytes": words.plural(len(entry.key), "byte")},
        entry.key,
        decoded.parts,
        masked and decoded.secret_key,
        1,
    )
    if entry.row is None:
        if entry.counter is not None:
            yield HexBlock(
                gettext("The number is in y: %(counter)s. There is no row in m, so it never expires.")
                % {"counter": words.count(entry.counter)},
                (),
            )
        return
    number = (
        ""
        if entry.counter is None or entry.expires_at_ms is not None
        else gettext("; the number is in y: %(counter)s") % {"counter": words.count(entry.counter)}
    )
    header = _header(entry)
    parts = (*header, *((start + _width(header), end + _width(header), text) for start, end, text in decoded.value_parts))
    where = gettext("Row in m") if header or entry.problem else gettext("Value")
    secret = masked and decoded.secret_value
    yield _block(f"{where}, {words.plural(len(entry.row), 'byte')}{number}", entry.row, parts, secret, _width(header))


def _header(entry: Entry) -> tuple[Part, ...]:
    """The expiry header of a data store's row; Redis rows and static values have none."""
    row = entry.row or b""
    if entry.problem or len(row) < 8 or (entry.value is not None and len(row) == len(entry.value)):
        return ()
    if row[:8] == bytes(8) and entry.value is None:
        return ((0, 8, gettext("marks a counter")), (8, 16, gettext("expires %(row)s") % {"row": _moment(row[8:16])}))
    return ((0, 8, gettext("never expires") if row[:8] == NEVER_HEADER else gettext("expires %(row)s") % {"row": _moment(row[:8])}),)


def _moment(stamp: bytes) -> str:
    return words.absolute(int.from_bytes(stamp, "big"), "utc")


def _width(header: Sequence[Part]) -> int:
    return header[-1][1] if header else 0


def _block(title: str, data: bytes, parts: Sequence[Part], secret: bool, visible: int) -> HexBlock:
    """The lines of one run of bytes; of a secret one only the first `visible` bytes."""
    shown = data[:visible] if secret else data[:SHOWN_BYTES]
    width = 2 if len(data) <= 256 else 4 if len(data) <= 1 << 16 else 6
    lines = []
    for start, end, meaning in _covered(parts, len(shown)):
        for at in range(start, end, _PER_LINE):
            text = shown[at : min(end, at + _PER_LINE)]
            lines.append(HexLine(f"{at:0{width}x}", text.hex(" "), meaning if at == start else _ascii(text, meaning)))
    if secret and len(data) > visible:
        lines.append(
            HexLine(f"{visible:0{width}x}", DOTS, gettext("hidden, %(bytes)s") % {"bytes": words.plural(len(data) - visible, "byte")})
        )
        return HexBlock(title, tuple(lines))
    rest = len(data) - len(shown)
    return HexBlock(title, tuple(lines), gettext("%(rest)s more bytes are not shown here.") % {"rest": words.count(rest)} if rest else "")


def _ascii(text: bytes, meaning: str) -> str:
    return "" if meaning else "".join(chr(byte) if 32 <= byte < 127 else "." for byte in text)


def _covered(parts: Sequence[Part], length: int) -> Iterator[Part]:
    """The parts in order, the gaps between them filled, cut at `length`."""
    at = 0
    for start, end, meaning in sorted(parts):
        if at < min(start, length):
            yield at, min(start, length), ""
            at = min(start, length)
        if start >= at and start < length and end > start:
            yield start, min(end, length), meaning
            at = end
    if at < length:
        yield at, length, ""


TITLES: Final[Mapping[str, StrOrPromise]] = {
    "ip": gettext_lazy("Address"),
    "asn": gettext_lazy("AS number"),
    "rcpt": gettext_lazy("Recipient"),
    "account_id": gettext_lazy("Account"),
    "client_id": gettext_lazy("Client"),
    "dmarc_pass": gettext_lazy("DMARC pass"),
    "message_id": "Message-ID",
    "account_jmap_id": gettext_lazy("Account id"),
    "acme_identifier": gettext_lazy("ACME identifier"),
    "address": gettext_lazy("Address"),
    "challenge": gettext_lazy("Challenge"),
    "code": gettext_lazy("Code"),
    "code_challenge": gettext_lazy("Code challenge"),
    "collection": gettext_lazy("Collection"),
    "count": gettext_lazy("Count"),
    "data": gettext_lazy("Data"),
    "document_id": gettext_lazy("Document"),
    "domain": gettext_lazy("Domain"),
    "due": gettext_lazy("Due"),
    "due_raw": gettext_lazy("Due, as stored"),
    "encoding": gettext_lazy("Encoding"),
    "form": gettext_lazy("Form"),
    "ham": gettext_lazy("Ham"),
    "index": gettext_lazy("Index"),
    "issuer": gettext_lazy("Issuer"),
    "joined": gettext_lazy("Joined text"),
    "key_authorization": gettext_lazy("Key authorization"),
    "lock_tokens": gettext_lazy("Lock tokens"),
    "login": gettext_lazy("Login"),
    "mean": gettext_lazy("Mean"),
    "messages": gettext_lazy("Messages"),
    "migration": gettext_lazy("Migration"),
    "names": gettext_lazy("Names"),
    "network": gettext_lazy("Network"),
    "nonce": gettext_lazy("Nonce"),
    "not_after": gettext_lazy("Not after"),
    "not_before": gettext_lazy("Not before"),
    "number": gettext_lazy("Number"),
    "paths": gettext_lazy("Paths"),
    "policy_hash": gettext_lazy("Policy hash"),
    "prefix": gettext_lazy("Prefix"),
    "queue_name": gettext_lazy("Queue"),
    "recipient": gettext_lazy("Recipient"),
    "report": gettext_lazy("Report"),
    "resources": gettext_lazy("Resources"),
    "schedule": gettext_lazy("Schedule"),
    "score": gettext_lazy("Score"),
    "sender": gettext_lazy("Sender"),
    "spam": gettext_lazy("Spam"),
    "status": gettext_lazy("Status"),
    "store": gettext_lazy("Store"),
    "subject": gettext_lazy("Subject"),
    "task": gettext_lazy("Task"),
    "uploads": gettext_lazy("Uploads"),
    "hash": gettext_lazy("Hash of the limit"),
    "digest": gettext_lazy("Digest of the code"),
    "candidates": gettext_lazy("It could be"),
    "created_at": gettext_lazy("Created"),
    "held_until": gettext_lazy("Held until"),
    "token": gettext_lazy("Word"),
    "queue_id": gettext_lazy("Queue id"),
    "params": gettext_lazy("Parameters"),
}
"""Names of decoded parts whose title is more than the name with a capital."""

TIMES: Final = ("created_at", "held_until", "not_before", "not_after", "due", "due_at", "expires", "expires_at")
"""Parts that hold Unix seconds."""

FOLDED: Final = frozenset(
    ("window_index", "window_period", "window_start", "window_end", "running", "held", "ambiguous", "joined", "token_hex", "queue_id_hex")
)
"""Parts that other parts, or the value in words, say better."""


@register.simple_tag
def facts(row: Row) -> list[tuple[str, SafeString | str]]:
    """The decoded parts as titles and texts. What the heading or the value already says is left out."""
    fields, said = row.decoded.fields, {row.decoded.label, row.decoded.value_label}
    found: list[tuple[str, SafeString | str]] = []
    for name, value in fields.items():
        if name in FOLDED or value is None or value == "" or (name == "count" and value == row.entry.counter):
            continue
        if name in ("key", "value", "type") or (name == "candidates" and not fields.get("ambiguous")) or str(value) in said:
            continue
        found.append((str(TITLES.get(name, name.replace("_", " ").capitalize())), _part_text(name, value)))
    if (window := _window(fields)) is not None:
        found.append((gettext("Window"), window))
    return found


def _part_text(name: str, value: Any) -> SafeString | str:
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, list):
        return ", ".join(texts.shown(item) if isinstance(item, str) else str(item) for item in value)
    if isinstance(value, float):
        return words.figure(value, 2)
    if isinstance(value, int) and name in TIMES:
        return format_html('{} <span class="kv-muted">{}</span>', words.absolute(value), words.relative(value))
    if isinstance(value, str):
        return gettext("text") if name == "encoding" and value == "text" else texts.shown(value)
    return words.count(value) if isinstance(value, int) and name in ("ham", "spam", "count", "bytes", "uploads") else str(value)


def _window(fields: Mapping[str, Any]) -> SafeString | None:
    """`1 d, Sat 02:00 CEST to Sun 02:00 CEST`."""
    period, start, end = (fields.get(name) for name in ("window_period", "window_start", "window_end"))
    if not (isinstance(period, int) and isinstance(start, int) and isinstance(end, int)):
        return None
    over = "" if fields.get("running") else format_html(' <span class="kv-muted">{}</span>', gettext("not running now"))
    until = gettext("%(start)s to %(end)s") % {"start": words.absolute(start, "short"), "end": words.absolute(end, "short")}
    return format_html("{}, {}{}", words.span(period), until, over)
