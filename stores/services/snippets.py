"""Lines to copy: how an expression and a Sieve script would read a key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from stores.services.rows import Row
from stores.texts import say
from stores.types import Kind

SENDER_DOMAIN: Final = "email_part(envelope.from, 'domain')"
"""The sender's domain in a script, which has no variables of settings."""
_AWKWARD: Final = re.compile(r"[^\w@.:/+=, -]+")
"""Signs that a string of a script may read otherwise."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """One line, where it belongs, and the language of the console that takes it."""

    place: str
    line: str
    language: Literal["expression", "sieve"] = "expression"


def of_store(store_id: str) -> tuple[Snippet, ...]:
    """Lines that name the store; empty for an id that no quotes can hold."""
    asked = _call("key_exists", store_id, "sender_domain", quote_key=False)
    scripted = _call("key_exists", store_id, SENDER_DOMAIN, quote_key=False)
    return () if asked is None or scripted is None else (Snippet(say("Expression"), asked), _sieve(scripted))


def of_key(store_id: str, row: Row) -> tuple[Snippet, ...]:
    """Lines that read this key, without those that cannot be written (`why_missing` says why)."""
    if not _can_be_named(row):
        return ()
    key = row.entry.key.decode()
    function = "counter_get" if row.entry.kind is Kind.COUNTER else "key_get"
    asked = _call(function, store_id, key) if key.isprintable() else None
    found = () if asked is None else (Snippet(say("Expression"), asked),)
    if function == "counter_get":
        return found
    plain = _sieve(asked) if asked is not None and "${" not in key else None
    scripted = plain or _spelled(store_id, row.entry.key)
    return found if scripted is None else (*found, scripted)


def why_missing(row: Row, found: tuple[Snippet, ...]) -> str:
    """One line why a key has no expression or no script that reads it; empty where it has both."""
    if row.entry.problem:
        return say("Its row is malformed: Stalwart fails on it.")
    if row.decoded.secret_key or row.decoded.secret_value:
        return say("It is secret, so no line to copy names it.")
    if not _can_be_named(row):
        return say("Rules name keys as text in UTF-8, and its bytes are none.")
    if row.entry.kind is Kind.COUNTER:
        return say("Sieve has no function that reads a counter.")
    return "" if len(found) == 2 else say("No expression can hold its control characters, backslashes or both kinds of quotes.")


def _can_be_named(row: Row) -> bool:
    if row.entry.problem or row.decoded.secret_key or row.decoded.secret_value:
        return False
    try:
        row.entry.key.decode()
    except UnicodeDecodeError:
        return False
    return True


def _call(function: str, store_id: str, key: str, *, quote_key: bool = True) -> str | None:
    store, argument = _quoted(store_id), _quoted(key) if quote_key else key
    return None if store is None or argument is None else f"{function}({store}, {argument})"


def _quoted(text: str) -> str | None:
    """The text as a string of an expression; None where no quotes can hold it (a backslash keeps itself there)."""
    if "\\" in text:
        return None
    return next((mark + text + mark for mark in "'\"" if mark not in text), None)


def _sieve(expression: str) -> Snippet:
    escaped = expression.replace('"', '\\"')
    return Snippet(say("Sieve script"), f'let "found" "{escaped}";', "sieve")


def _spelled(store_id: str, key: bytes) -> Snippet | None:
    """A script that spells the bytes of the key as hex where they are more than plain signs."""
    asked = _call("key_get", store_id, "key", quote_key=False)
    if asked is None:
        return None
    spelled = _AWKWARD.sub(lambda found: f"${{hex:{found[0].encode().hex(' ')}}}", key.decode())
    scripted = _sieve(asked)
    return Snippet(scripted.place, f'set "key" "{spelled}"; {scripted.line}', "sieve")
