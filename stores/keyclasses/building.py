"""From the parts of a key to its bytes: the reverse of the `fields` that `decode` gives, for keys made or found in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stores.codecs.numbers import U32_MAX, U64_MAX, put_leb128, put_u32, put_u64
from stores.errors import BadConfig
from stores.keyclasses.base import FieldValue, minor
from stores.keyclasses.dav_sieve import COLLECTIONS
from stores.keyclasses.locks import TASKS
from stores.keyclasses.words import ip_bytes, to_bytes
from stores.texts import say

Fields = Mapping[str, FieldValue]
_STORES: Final = {"data": 0, "blob": 1, "in-memory": 2}
_QUEUE_NAME: Final = 8


def build_key(slug: str, fields: Fields, version: str) -> bytes:
    """The key of a class from its parts, named as `decode` names them; numbers may be given as text.

    `build_key(d.slug, d.fields, version) == entry.key` for `d = decode(entry, ..., reveal=True)` of every well-formed key whose texts
    are plain and not cut. Raises BadConfig that names the part.
    """
    number = minor(version)
    build = (_BUILDERS_010 if number == 10 else _BUILDERS).get(slug)
    if build is None:
        raise BadConfig(
            say("Keys of class %(slug)s cannot be made from parts in 0.%(number)s.", slug=slug, number=number),
            say("Give the key as hex."),
            field="class",
        )
    return build(fields, number)


# parts


def _bytes(fields: Fields, name: str, longest: int = 4096) -> bytes:
    raw = to_bytes(str(fields.get(name) or ""))
    if not raw:
        raise BadConfig(say("%(name)s is missing.", name=name), say("Give %(name)s.", name=name), field=name)
    if len(raw) > longest:
        raise BadConfig(say("%(name)s is too long.", name=name), say("At most %(longest)s bytes.", longest=longest), field=name)
    return raw


def _int(fields: Fields, name: str, highest: int) -> int:
    try:
        number = int(str(fields.get(name, "")))
    except ValueError:
        number = -1
    if not 0 <= number <= highest:
        raise BadConfig(
            say("%(name)s is not a number from 0 to %(highest)s.", name=name, highest=highest),
            say("Give %(name)s as a whole number.", name=name),
            field=name,
        )
    return number


def _hex(fields: Fields, name: str, length: int) -> bytes:
    try:
        raw = bytes.fromhex(str(fields.get(name, "")))
    except ValueError:
        raw = b""
    if len(raw) != length:
        raise BadConfig(
            say("%(name)s is not %(length)s bytes of hex.", name=name, length=length),
            say("Give %(length)s hex digits.", length=length * 2),
            field=name,
        )
    return raw


def _ip(fields: Fields) -> bytes:
    raw = ip_bytes(str(fields.get("ip", "")).strip())
    if raw is None:
        raise BadConfig(say("ip is not an IP address."), say("Give one such as 203.0.113.20 or 2001:db8::1."), field="ip")
    return raw


def _account(fields: Fields) -> bytes:
    return put_u32(_int(fields, "account_id", U32_MAX))


def _window(fields: Fields) -> bytes:
    return put_u64(_int(fields, "window_index", (1 << 40) - 1))


def _ip_or(name: str) -> Callable[[Fields], bytes]:
    def read(fields: Fields) -> bytes:
        if fields.get("ip"):
            return _ip(fields)
        return b"" if name == "login" and fields.get(name) == "" else _bytes(fields, name)

    return read


def _text_ip_or(name: str) -> Callable[[Fields], bytes]:
    def read(fields: Fields) -> bytes:
        return to_bytes(str(fields["ip"])) if fields.get("ip") else _bytes(fields, name)

    return read


# keys


def _windowed(prefix: bytes, subject: Callable[[Fields], bytes]) -> Callable[[Fields, int], bytes]:
    return lambda fields, version: prefix + subject(fields) + _window(fields)


def _plain(prefix: bytes, subject: Callable[[Fields], bytes]) -> Callable[[Fields, int], bytes]:
    return lambda fields, version: prefix + subject(fields)


def _named(prefix: bytes, name: str) -> Callable[[Fields, int], bytes]:
    return lambda fields, version: prefix + _bytes(fields, name)


def _sender(fields: Fields) -> bytes:
    if fields.get("address"):
        return _bytes(fields, "address")
    return b"_" + _bytes(fields, "domain")


def _domain(fields: Fields) -> bytes:
    return (b"" if fields.get("dmarc_pass", True) in (True, "true", "1") else b"_") + _bytes(fields, "domain")


def _pair(fields: Fields) -> bytes:
    """Sender and recipient in lower case; the sender may be empty."""
    if not fields.get("recipient") and fields.get("joined"):
        return _bytes(fields, "joined")
    return to_bytes(str(fields.get("sender") or "").lower()) + _bytes(fields, "recipient").lower()


def _message_id(fields: Fields) -> bytes:
    return _bytes(fields, "message_id").removeprefix(b"<").removesuffix(b">")


def _token(fields: Fields) -> bytes:
    text = str(fields.get("token_hex", ""))
    return _hex(fields, "token_hex", min(16, len(text) // 2))


def _proof(fields: Fields) -> bytes:
    return _bytes(fields, "domain" if fields.get("domain") else "token")


def _queue_lock(fields: Fields, version: int) -> bytes:
    number = put_u64(_int(fields, "queue_id", U64_MAX))
    name = _bytes(fields, "queue_name", _QUEUE_NAME).ljust(_QUEUE_NAME, b"\0") if fields.get("queue_name") else b""
    return b"\x15" + number + name


def _report_lock(fields: Fields, version: int) -> bytes:
    due, domain = put_u64(_int(fields, "due", U64_MAX)), _bytes(fields, "domain")
    if fields.get("report") == "TLS":
        return b"\x16\x00" + due + domain
    return b"\x16\x01" + due + _hex(fields, "policy_hash", 8) + domain


def _index_lock(fields: Fields, version: int) -> bytes:
    return b"\x17\x00" + put_u64(_int(fields, "change_id", U64_MAX))


def _train_lock(fields: Fields, version: int) -> bytes:
    return b"\x17\x01" + put_leb128(_int(fields, "account_id", U32_MAX)) + put_leb128(_int(fields, "document_id", U32_MAX))


def _email_lock(fields: Fields, version: int) -> bytes:
    """Index and train tasks up to 0.12, and the tasks with a due time after that."""
    if "change_id" in fields:
        return _index_lock(fields, version)
    if "due_raw" not in fields:
        return _train_lock(fields, version)
    kind = next((number for number, name in TASKS.items() if name == fields.get("task")), None)
    if kind is None:
        raise BadConfig(say("task is not known."), say("Choose one of %(names)s.", names=", ".join(TASKS.values())), field="task")
    index = bytes([_int(fields, "index", 255)]) if "index" in fields else b""
    return bytes([0x17, kind]) + put_u64(_int(fields, "due_raw", U64_MAX)) + _train_lock(fields, version)[2:] + index


def _purge_lock(fields: Fields, version: int) -> bytes:
    if fields.get("migration"):
        return b"\x18migrate_" + _bytes(fields, "migration") + (b"_done" if fields.get("done") else b"_lock")
    kind = _STORES.get(str(fields.get("store")))
    if kind is None:
        raise BadConfig(say("store is not data, blob or in-memory."), say("Choose one of them."), field="store")
    return b"\x18" + bytes([kind]) + put_u32(_int(fields, "schedule", U32_MAX))


def _dav(fields: Fields, version: int) -> bytes:
    number = next((number for number, name in COLLECTIONS.items() if name == fields.get("collection")), None)
    if number is None:
        raise BadConfig(
            say("collection is not known."), say("Choose one of %(names)s.", names=", ".join(COLLECTIONS.values())), field="collection"
        )
    return b"\x19" + _account(fields) + bytes([number])


_BUILDERS: Final[Mapping[str, Callable[[Fields, int], bytes]]] = {
    "acme": _plain(b"\x00", _proof),
    "oauth": _named(b"\x01", "code"),
    "rate-rcpt": _windowed(b"\x02", _ip_or("rcpt")),
    "rate-scan": _windowed(b"\x03", _ip),
    "rate-loiter": _windowed(b"\x04", _ip),
    "rate-auth": _windowed(b"\x05", _ip_or("login")),
    "rate-smtp": _windowed(b"\x06", lambda fields: _hex(fields, "hash", 32)),
    "rate-contact": _windowed(b"\x07", _ip),
    "rate-http-authenticated": _windowed(b"\x08", _account),
    "rate-http-anonymous": _windowed(b"\x09", _ip),
    "rate-imap": _windowed(b"\x0a", _account),
    "token-revision": _plain(b"\x0b", _account),
    "quota-blob": _windowed(b"\x0b", _account),
    "reputation-ip": _plain(b"\x0c", _ip),
    "reputation-from": _plain(b"\x0d", _sender),
    "reputation-domain": _plain(b"\x0e", _domain),
    "reputation-asn": _plain(b"\x0f", lambda fields: put_u32(_int(fields, "asn", U32_MAX))),
    "greylist": _plain(b"\x10", _pair),
    "bayes-global": _plain(b"\x11", _token),
    "bayes-account": _plain(b"\x12", lambda fields: _account(fields) + _token(fields)),
    "trusted-reply": _plain(b"\x13", _message_id),
    "lock-purge-account": _plain(b"\x14", _account),
    "lock-queue-message": _queue_lock,
    "lock-queue-report": _report_lock,
    "lock-email-task": _email_lock,
    "lock-task": _plain(b"\x17", lambda fields: put_u64(_int(fields, "task_id", U64_MAX))),
    "lock-housekeeper": _purge_lock,
    "lock-dav": _dav,
    "sieve-seen-id": _plain(b"\x1a", lambda fields: _hex(fields, "hash", 32)),
}


def _text_account(fields: Fields) -> bytes:
    return b"%d" % _int(fields, "account_id", U32_MAX)


def _prefix_010(fields: Fields) -> bytes:
    return b"jauth:" if fields.get("prefix") == "jauth:" else b"jreq:"


def _text_pair(fields: Fields) -> bytes:
    return b".".join((_bytes(fields, "ip"), to_bytes(str(fields.get("sender") or "")), _bytes(fields, "recipient")))


_BUILDERS_010: Final[Mapping[str, Callable[[Fields, int], bytes]]] = {
    "acme": _plain(b"acme:", _proof),
    "oauth": _named(b"oauth:", "code"),
    "rate-rcpt": _windowed(b"r:", _text_ip_or("rcpt")),
    "rate-scan": _windowed(b"h:", _text_ip_or("ip")),
    "rate-loiter": _windowed(b"l:", _text_ip_or("ip")),
    "rate-auth": _windowed(b"b:", _text_ip_or("login")),
    "rate-smtp": _windowed(b"", lambda fields: _hex(fields, "hash", 32)),
    "rate-contact": _windowed(b"contact:", _text_ip_or("ip")),
    "rate-http-authenticated": _windowed(b"j:", _text_account),
    "rate-http-anonymous": lambda fields, version: _prefix_010(fields) + to_bytes(str(fields.get("ip", ""))) + _window(fields),
    "rate-imap": _windowed(b"ireq:", _text_account),
    "greylist": _plain(b"g:", _text_pair),
    "trusted-reply": _plain(b"m:", _message_id),
    "lock-purge-account": _plain(b"purge:", _text_account),
    "reputation-ip": _plain(b"i:", _text_ip_or("ip")),
    "reputation-from": _named(b"f:", "address"),
    "reputation-domain": _named(b"d:", "domain"),
    "reputation-asn": _plain(b"a:", lambda fields: b"%d" % _int(fields, "asn", U32_MAX)),
    "bayes-global": lambda fields, version: bytes(16) if fields.get("form") == "totals" else _hex(fields, "token_hex", 16),
}
