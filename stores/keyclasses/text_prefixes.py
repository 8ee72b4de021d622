"""Keys of 0.10: text prefixes and bare hashes in place of class bytes (store-formats c.3). No captured rows exist: all are unverified.

Later versions meet such rows after an upgrade. There only those prefixes count whose keys cannot be anything else; `i: f: d: a: m:` and
`purge:` could be a user's own keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from stores.codecs.bincode import decode_variable_1
from stores.keyclasses import acme_oauth, bayes, greylist_reply, locks, rate_limits, reputation
from stores.keyclasses.base import Decoded, FieldValue, KeyClass
from stores.keyclasses.rate_limits import account_fields, has_window, read_window
from stores.keyclasses.reading import Parts, Reading, Rule
from stores.keyclasses.words import account, ip_bytes, printable, printable_ascii, shown
from stores.texts import say
from stores.types import Kind

_DIGITS: Final = re.compile(rb"[0-9]{1,10}")
_PAIR: Final = re.compile(r"(?P<ip>[0-9.]+|[0-9a-fA-F:.]+)\.(?P<sender>[^@\s]+@[^@\s]+|)\.(?P<recipient>[^@\s]+@[^@\s]+)")
_GREY: Final = re.compile(rb"g:[0-9a-fA-F:.]+\.[^@\s]*@?[^@\s]*\.?[^@\s]+@[^@\s]+")


def _rule(cls: KeyClass, prefix: bytes, shape: Callable[[bytes], bool], read: Callable[[Reading], Decoded], *, loose: bool = False) -> Rule:
    def matches(key: bytes) -> bool:
        return key.startswith(prefix) and shape(key[len(prefix) :])

    return Rule(cls, prefix[:1], matches, read, cls.kind, 10, 10, text=True, loose=loose, prefix=prefix)


def _head(reading: Reading, prefix: bytes) -> tuple[int, int, str]:
    return 0, len(prefix), say("prefix, %(title)s", title=reading.cls.title)


# rate windows: prefix || subject text || u64 BE window


def _is_window(rest: bytes) -> bool:
    return len(rest) > 8 and has_window(rest) and printable(rest[:-8])


def _is_ip_window(rest: bytes) -> bool:
    return _is_window(rest) and ip_bytes(rest[:-8].decode()) is not None


def _is_account_window(rest: bytes) -> bool:
    return _is_window(rest) and _DIGITS.fullmatch(rest[:-8]) is not None


def _named(name: str, text: str, is_ip: bool = False) -> str:
    """What a stretch of the key is: `login ana`."""
    if is_ip:
        return say("address %(text)s", text=text)
    return _WHAT[name].filled(text=text) if name in _WHAT else f"{name} {text}"


_WHAT: Final = {
    "login": say("login %(text)s"),
    "rcpt": say("recipient %(text)s"),
    "recipient": say("recipient %(text)s"),
    "account": say("account %(text)s"),
    "account_id": say("account %(text)s"),
    "ip": say("address %(text)s"),
    "address": say("address %(text)s"),
    "domain": say("domain %(text)s"),
    "asn": say("AS number %(text)s"),
}


def _window_of_text(prefix: bytes, name: str) -> Callable[[Reading], Decoded]:
    def read(reading: Reading) -> Decoded:
        text = shown(reading.key[len(prefix) : -8])
        is_ip = ip_bytes(text) is not None
        fields: dict[str, FieldValue] = {"ip" if is_ip else name: text}
        if prefix == b"jauth:":
            fields["prefix"] = "jauth:"
        parts = (_head(reading, prefix), (len(prefix), len(reading.key) - 8, _named(name, text, is_ip)))
        return read_window(reading, text, fields, parts)

    return read


def _window_of_account(prefix: bytes) -> Callable[[Reading], Decoded]:
    def read(reading: Reading) -> Decoded:
        number = int(reading.key[len(prefix) : -8])
        parts = (_head(reading, prefix), (len(prefix), len(reading.key) - 8, account(number, 10)))
        return read_window(reading, account(number, 10), account_fields(number, 10), parts)

    return read


# secrets, locks, pairs


def _read_proof(reading: Reading) -> Decoded:
    return acme_oauth.read_proof(reading, reading.key[5:])


def _read_code(reading: Reading) -> Decoded:
    return acme_oauth.read_code(reading, reading.key[6:])


def _read_purge(reading: Reading) -> Decoded:
    number = int(reading.key[6:])
    parts = (_head(reading, b"purge:"), (6, len(reading.key), account(number, 10)))
    return locks.read_lock(reading, say("purge of %(number)s", number=account(number, 10)), account_fields(number, 10), parts)


def _read_pair(reading: Reading) -> Decoded:
    key, text = reading.key, shown(reading.key[2:])
    fields: dict[str, FieldValue] = {"joined": text}
    parts: Parts = (_head(reading, b"g:"), (2, len(key), say("address, sender and recipient")))
    label = text
    if found := _PAIR.fullmatch(text):
        fields |= found.groupdict()
        label = say(
            "%(found)s to %(found_2)s, from %(found_3)s", found=found["sender"] or "<>", found_2=found["recipient"], found_3=found["ip"]
        )
    words = greylist_reply.empty_value(reading, say("seen once, the next try passes"))
    return reading.decoded(label, words, fields, parts=parts, editable="greylist")


_RATES: Final = frozenset(
    cls.slug
    for cls in (
        rate_limits.RCPT, rate_limits.SCAN, rate_limits.LOITER, rate_limits.AUTH, rate_limits.CONTACT, rate_limits.HTTP_ACCOUNT,
        rate_limits.HTTP_ANONYMOUS, rate_limits.IMAP,
    )
)  # fmt: skip
_ACCOUNTS: Final = frozenset((rate_limits.HTTP_ACCOUNT.slug, rate_limits.IMAP.slug))
_FIRST_IP: Final = re.compile(rb"(?:[0-9a-fA-F]*:[0-9a-fA-F:]*)?[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?=\.)|[0-9a-fA-F:]*:[0-9a-fA-F:]*(?=\.)")
TEXT_SUBJECTS: Final = _RATES | {greylist_reply.GREYLIST.slug, greylist_reply.TRUSTED_REPLY.slug}
"""Classes of text keys whose subject lies in the key."""


def subject_of_text(slug: str, key: bytes) -> bytes | None:
    """Whom a text key is about, in the form of later keys: an IP as 4 or 16 bytes, an account as 4, a login, a domain. None without one.

    A limit names its subject, a greylisted pair the client's address, a tracked message the domain of its Message-ID.
    """
    rest = key.partition(b":")[2]
    if slug in _ACCOUNTS:
        number = int(rest[:-8]) if rest[:-8].isdigit() else -1
        return number.to_bytes(4, "big") if 0 <= number < 1 << 32 else None
    if slug in _RATES:
        return ip_bytes(shown(rest[:-8])) or rest[:-8] or None
    if slug == greylist_reply.GREYLIST.slug:
        found = _FIRST_IP.match(rest)
        return ip_bytes(found[0].decode()) if found else None
    return rest.rpartition(b"@")[2].rstrip(b">").lower() or None


def _read_message(reading: Reading) -> Decoded:
    text = shown(reading.key[2:])
    parts = (_head(reading, b"m:"), (2, len(reading.key), say("message id %(text)s", text=text)))
    words = greylist_reply.empty_value(reading, say("sent, a reply to it passes"))
    return reading.decoded(text, words, {"message_id": text}, parts=parts, editable="trusted-reply")


# reputation: Sieve Array [score, count]


def _reputation(prefix: bytes, name: str) -> Callable[[Reading], Decoded]:
    def read(reading: Reading) -> Decoded:
        text = shown(reading.key[len(prefix) :])
        fields: dict[str, FieldValue] = {name: int(text) if name == "asn" else text}
        label = f"AS{text}" if name == "asn" else text
        parts = (_head(reading, prefix), (len(prefix), len(reading.key), _named(name, text)))
        found = _score(reading.entry.value)
        if found is None:
            problem = say("Not the score and count that the scripts of 0.10 keep.")
            return reading.decoded(label, say("not readable"), fields, parts=parts, problem=problem)
        score, count = found
        fields |= reputation.score_fields(count, score)
        return reading.decoded(label, reputation.score_words(count, score), fields, parts=parts, editable="reputation-sieve")

    return read


def _score(value: bytes | None) -> tuple[float, int] | None:
    try:
        found = decode_variable_1(value or b"")
    except ValueError:
        return None
    match found:
        case [int() | float() as score, int() as count]:
            return float(score), count
    return None


# bare hashes


def _is_bare_limit(key: bytes) -> bool:
    return len(key) == 40 and has_window(key) and not printable_ascii(key[:32])


def _is_bare_token(key: bytes) -> bool:
    return len(key) == 16 and not printable(key)


def _read_token(reading: Reading) -> Decoded:
    key, totals = reading.key, reading.key == bytes(16)
    parts: Parts = ((0, 16, say("training totals")),) if totals else ((0, 8, say("xxh3 of the word")), (8, 16, say("farmhash of the word")))
    found = bayes.read_weights(reading, {}, 16 if totals else 0, parts)
    if totals:
        return found
    label = say("hashed %(key)s", key=key.hex())
    return replace(found, label=label, fields={**found.fields, "token": label, "form": "hash"})


def _is_ip(rest: bytes) -> bool:
    return printable_ascii(rest) and ip_bytes(rest.decode()) is not None


def _is_grey(rest: bytes) -> bool:
    return printable(rest) and _GREY.fullmatch(b"g:" + rest) is not None


def _is_domain(rest: bytes) -> bool:
    return printable(rest) and b"." in rest and b"@" not in rest and b" " not in rest


def _is_address(rest: bytes) -> bool:
    return printable(rest) and b" " not in rest and (b"@" in rest or rest.startswith(b"_") or b"." in rest)


RULES: Final[tuple[Rule, ...]] = (
    _rule(acme_oauth.ACME, b"acme:", acme_oauth.is_proof_key, _read_proof),
    _rule(acme_oauth.OAUTH, b"oauth:", acme_oauth.is_code, _read_code),
    _rule(rate_limits.RCPT, b"r:", _is_window, _window_of_text(b"r:", "rcpt")),
    _rule(rate_limits.SCAN, b"h:", _is_ip_window, _window_of_text(b"h:", "ip")),
    _rule(rate_limits.LOITER, b"l:", _is_ip_window, _window_of_text(b"l:", "ip")),
    _rule(rate_limits.AUTH, b"b:", _is_window, _window_of_text(b"b:", "login")),
    _rule(rate_limits.CONTACT, b"contact:", _is_ip_window, _window_of_text(b"contact:", "ip")),
    _rule(rate_limits.HTTP_ACCOUNT, b"j:", _is_account_window, _window_of_account(b"j:")),
    _rule(rate_limits.HTTP_ANONYMOUS, b"jreq:", _is_ip_window, _window_of_text(b"jreq:", "ip")),
    _rule(rate_limits.HTTP_ANONYMOUS, b"jauth:", _is_ip_window, _window_of_text(b"jauth:", "ip")),
    _rule(rate_limits.IMAP, b"ireq:", _is_account_window, _window_of_account(b"ireq:")),
    _rule(greylist_reply.GREYLIST, b"g:", _is_grey, _read_pair),
    _rule(locks.PURGE_ACCOUNT, b"purge:", lambda rest: _DIGITS.fullmatch(rest) is not None, _read_purge, loose=True),
    _rule(greylist_reply.TRUSTED_REPLY, b"m:", lambda rest: b"@" in rest and printable(rest), _read_message, loose=True),
    _rule(reputation.IP, b"i:", _is_ip, _reputation(b"i:", "ip"), loose=True),
    _rule(reputation.FROM, b"f:", _is_address, _reputation(b"f:", "address"), loose=True),
    _rule(reputation.DOMAIN, b"d:", _is_domain, _reputation(b"d:", "domain"), loose=True),
    _rule(reputation.ASN, b"a:", lambda rest: _DIGITS.fullmatch(rest) is not None, _reputation(b"a:", "asn"), loose=True),
    Rule(rate_limits.SMTP, b"", _is_bare_limit, rate_limits.read_hash, Kind.COUNTER, 10, 10, loose=True),
    Rule(bayes.GLOBAL, b"", _is_bare_token, _read_token, Kind.COUNTER, 10, 10, loose=True),
)
