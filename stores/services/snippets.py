"""Lines to copy: how an expression and a Sieve script would read a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stores.services.rows import Row
from stores.texts import say
from stores.types import Kind

SENDER_DOMAIN: Final = "email_part(envelope.from, 'domain')"
"""The sender's domain in a script, which has no variables of settings."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """One line and where it belongs."""

    place: str
    line: str


def of_store(store_id: str) -> tuple[Snippet, ...]:
    """Lines that name the store; empty for an id that no quotes can hold."""
    asked = _call("key_exists", store_id, "sender_domain", quote_key=False)
    scripted = _call("key_exists", store_id, SENDER_DOMAIN, quote_key=False)
    return () if asked is None or scripted is None else (Snippet(say("Expression"), asked), Snippet(say("Sieve script"), _sieve(scripted)))


def of_key(store_id: str, row: Row) -> tuple[Snippet, ...]:
    """Lines that read this key. None for the server's own classes, which rules have no business with, and for keys that are no
    plain text: an expression cannot write their bytes."""
    if row.decoded.slug is not None or row.entry.problem:
        return ()
    try:
        key = row.entry.key.decode()
    except UnicodeDecodeError:
        return ()
    if not key.isprintable():
        return ()
    function = "counter_get" if row.entry.kind is Kind.COUNTER else "key_get"
    asked = _call(function, store_id, key)
    if asked is None:
        return ()
    sieve = () if function == "counter_get" else (Snippet(say("Sieve script"), _sieve(asked)),)
    return (Snippet(say("Expression"), asked), *sieve)


def _call(function: str, store_id: str, key: str, *, quote_key: bool = True) -> str | None:
    store, argument = _quoted(store_id), _quoted(key) if quote_key else key
    return None if store is None or argument is None else f"{function}({store}, {argument})"


def _quoted(text: str) -> str | None:
    """The text as a string of an expression; None where no quotes can hold it (a backslash keeps itself there)."""
    if "\\" in text:
        return None
    return next((mark + text + mark for mark in "'\"" if mark not in text), None)


def _sieve(expression: str) -> str:
    escaped = expression.replace('"', '\\"')
    return f'let "found" "{escaped}";'
