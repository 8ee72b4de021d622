"""ACME proofs (class 00) and OAuth codes (01): secrets, decoded as far as that gives nothing away (store-formats c.5, c.8).

The private key of a tls-alpn-01 certificate is never part of a result. `reveal` shows codes, tokens and what belongs to them.
"""

from __future__ import annotations

import re
from typing import Final

from stores.codecs import bincode, rkyv
from stores.codecs.bincode import OAuthCode
from stores.codecs.certificates import Certificate, read_certificate
from stores.codecs.lz4block import unpack
from stores.keyclasses.base import Decoded, FieldValue, KeyClass
from stores.keyclasses.rate_limits import account_fields
from stores.keyclasses.reading import Parts, Reading, Rule, rule
from stores.keyclasses.words import RECOVERY, account, digest, shown, utf8
from stores.texts import counted, joined, say
from stores.types import Kind

ACME: Final = KeyClass(
    "acme",
    say("ACME challenges"),
    say("proofs for new certificates"),
    "acme",
    "acme",
    0x00,
    Kind.VALUE,
    "0.10",
    secret=True,
    texts=(b"acme:",),
)
OAUTH: Final = KeyClass(
    "oauth",
    say("OAuth codes"),
    say("sign-in codes not yet used"),
    "oauth",
    "oauth",
    0x01,
    Kind.VALUE,
    "0.10",
    secret=True,
    texts=(b"oauth:",),
)
CLASSES: Final = (ACME, OAUTH)

_CODE: Final = re.compile(rb"[A-Za-z0-9]{40}|[A-Za-z0-9]{4}-[A-Za-z0-9]{4}")
_TOKEN: Final = re.compile(rb"[A-Za-z0-9_-]{1,200}")
_DOMAIN: Final = re.compile(rb"(?:\*\.)?[^\x00-\x20/:@\\\x7f]{1,253}")
_STATUS: Final = ("Authorized", "TokenIssued", "Pending")
_STATUS_WORDS: Final = (say("authorized"), say("token issued"), say("waiting for approval"))
HIDDEN: Final = say("hidden")


# OAuth


def is_code(code: bytes) -> bool:
    """Form of an authorization or device code (40 letters and digits) or a user code (XXXX-XXXX)."""
    return _CODE.fullmatch(code) is not None


def decode_oauth(value: bytes, minor: int) -> tuple[OAuthCode, str]:
    """The code and its encoding: first as the version writes it, then as others did. Raises ValueError when none fits."""
    order = ("bincode 1", "rkyv 36", "rkyv 68") if minor < 12 else ("rkyv 36", "rkyv 68", "bincode 1")
    if minor >= 16:
        order = ("rkyv 68", "rkyv 36", "bincode 1")
    problem = ValueError("no known layout")
    for index, encoding in enumerate(order):
        try:
            if encoding == "bincode 1":
                return bincode.decode_oauth(unpack(value)), encoding
            return rkyv.decode_oauth(value, int(encoding[5:])), encoding
        except ValueError as error:
            problem = error if index == 0 else problem
    raise problem


def read_code(reading: Reading, code: bytes) -> Decoded:
    """A code with its key given without class byte or prefix."""
    form = say("user code") if len(code) == 9 else say("sign-in code")
    shape = "XXXX-XXXX" if len(code) == 9 else say("%(count)s characters", count=len(code))
    fields: dict[str, FieldValue] = {"form": form, "digest": digest(code)}
    if reading.reveal:
        fields["code"] = shown(code)
    start = len(reading.key) - len(code)
    parts: Parts = (
        (0, start, say("class, %(title)s", title=reading.cls.title)),
        (start, len(reading.key), joined(form, shape, between=", ")),
    )
    label, words, problem, value_parts = joined(form, str(fields["digest"])), say("not readable"), "", ()
    if reading.entry.value is not None:
        try:
            found, encoding = decode_oauth(reading.entry.value, reading.minor)
        except ValueError as error:
            problem = say("The code's data cannot be read: %(error)s.", error=error)
        else:
            fields |= _code_fields(found, encoding, reading)
            who = say("nobody yet") if found.status == 2 and found.account_id == RECOVERY else account(found.account_id, reading.minor)
            label = say("%(form)s for %(who)s, %(fields)s", form=form, who=who, fields=fields["digest"])
            words = say(
                "%(status_words)s for %(encode)s, not used yet",
                status_words=_STATUS_WORDS[found.status],
                encode=shown(found.client_id.encode(), 80),
            )
    return reading.decoded(
        label, words, fields, parts=parts, value_parts=value_parts, problem=problem, secret_key=True, secret_value=True
    )  # fmt: skip


def _code_fields(found: OAuthCode, encoding: str, reading: Reading) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {
        "status": _STATUS[found.status], **account_fields(found.account_id, reading.minor), "client_id": found.client_id,
        "nonce": _masked(found.nonce, reveal=reading.reveal), "params": _masked(found.params, reveal=reading.reveal), "encoding": encoding,
    }  # fmt: skip
    if encoding == "rkyv 68":
        fields |= {
            "challenge_method": found.challenge_method, "code_challenge": _masked(found.code_challenge, reveal=reading.reveal),
            "scope": found.scope, "resources": list(found.resources),
        }  # fmt: skip
    return fields


def _masked(text: str | None, *, reveal: bool) -> str | None:
    """A secret text: itself when revealed, else its length; nothing stays nothing."""
    return text if reveal or not text else joined(HIDDEN, counted(len(text), "character"), between=", ")


def _read_oauth(reading: Reading) -> Decoded:
    return read_code(reading, reading.key[1:])


# ACME


def is_proof_key(key: bytes) -> bool:
    """Challenge token (base64url) or domain name."""
    return _TOKEN.fullmatch(key) is not None or _DOMAIN.fullmatch(key) is not None


def _certificate(value: bytes, minor: int) -> bytes | None:
    """DER of the certificate, the private key left behind; None when the value holds none."""
    for archived in (minor >= 12, minor < 12):
        try:
            certificate, _ = rkyv.decode_certificate(value) if archived else bincode.decode_certificate(unpack(value))
        except ValueError:
            continue
        if certificate[:1] == b"\x30":
            return certificate
    return None


def read_proof(reading: Reading, name: bytes) -> Decoded:
    """An ACME proof with its key given without class byte or prefix."""
    value = reading.entry.value
    der = _certificate(value, reading.minor) if value else None
    if der is not None:
        return _read_certificate(reading, name, der)
    text = utf8(value) if value is not None else None
    is_http = text is not None and text.isprintable() and text.startswith(shown(name) + ".")
    fields: dict[str, FieldValue] = {"challenge": "http-01" if is_http else None, "digest": digest(name)}
    if reading.reveal:
        fields |= {"token": shown(name), "key_authorization": text}
    problem = "" if is_http or value is None else say("Neither the proof of an http-01 challenge nor a tls-alpn-01 certificate.")
    return reading.decoded(
        say("challenge %(fields)s", fields=fields['digest']), say("http-01 proof") if is_http else say("not readable"), fields,
        parts=_proof_parts(reading, name, say("challenge token")), problem=problem, secret_key=True, secret_value=True,
    )  # fmt: skip


def _read_certificate(reading: Reading, name: bytes, der: bytes) -> Decoded:
    host = shown(name)
    fields: dict[str, FieldValue] = {"challenge": "tls-alpn-01", "domain": host}
    words, problem = "certificate", ""
    try:
        found = read_certificate(der)
    except ValueError as error:
        problem = say("The certificate cannot be read: %(error)s.", error=error)
    else:
        fields |= _certificate_fields(found)
        words = say("tls-alpn-01 certificate for %(names)s", names=", ".join(found.names[:3]) or found.subject)
    return reading.decoded(
        host, words, fields, parts=_proof_parts(reading, name, say("domain %(host)s", host=host)), problem=problem, secret_value=True
    )  # fmt: skip


def _certificate_fields(found: Certificate) -> dict[str, FieldValue]:
    return {
        "subject": found.subject, "issuer": found.issuer, "names": list(found.names), "not_before": found.not_before,
        "not_after": found.not_after, "acme_identifier": found.acme,
    }  # fmt: skip


def _proof_parts(reading: Reading, name: bytes, meaning: str) -> Parts:
    start = len(reading.key) - len(name)
    return (0, start, say("class, %(title)s", title=reading.cls.title)), (start, len(reading.key), meaning)


def _read_acme(reading: Reading) -> Decoded:
    return read_proof(reading, reading.key[1:])


RULES: Final[tuple[Rule, ...]] = (
    rule(ACME, lambda key: is_proof_key(key[1:]), _read_acme, until=16, verified=(11, 16)),
    rule(OAUTH, lambda key: is_code(key[1:]), _read_oauth, verified=(11, 15, 16)),
)
