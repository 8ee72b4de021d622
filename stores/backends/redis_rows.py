"""Reading rows: what is stored under keys, as entries, in few round trips and with a bound on memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final

from redis.exceptions import ResponseError

from stores.backends.redis_errors import code_of, translate
from stores.backends.redis_link import Command, Link
from stores.backends.redis_scripts import EXPIRY_LUA, Script, learned
from stores.texts import say
from stores.types import Entry, Kind

FIRST_BYTES: Final = 65_536
"""How much of each value a page reads at first."""
WHOLE_BYTES: Final = 1 << 20
"""Values up to this size are complete in a page; of longer ones the page has the first part and says so."""
LONG_VALUES: Final = 16
"""How many values over `FIRST_BYTES` one page reads further; the others keep their first part."""
KEYS_AT_ONCE: Final = 150
"""Keys of one pipeline: two short commands each."""

_EXPIRY: Final = Script(EXPIRY_LUA + "return expiry(KEYS[1], false)")


def expiry_command(link: Link, key: bytes) -> Command:
    """What asks for the expiry of a key in Unix milliseconds: -1 never, -2 no key."""
    return ("PEXPIRETIME", key) if link.dialect.pexpiretime else ("EVAL", _EXPIRY.text, 1, key)


def ask(link: Link, commands: Callable[[], Sequence[Command]]) -> list[Any]:
    """Replies to keyed commands; asks again in the server's dialect where a command turns out to be missing. Raises StoreError."""
    while True:
        replies = link.read(commands())
        if not any(isinstance(reply, ResponseError) and learned(link, reply) for reply in replies):
            return replies


def read_entry(link: Link, key: bytes) -> Entry | None:
    """Value and expiry of one key as of one moment: the expiry is read before and after the value until both agree."""
    while True:
        before, value, after = ask(link, lambda: [expiry_command(link, key), ("GET", key), expiry_command(link, key)])
        if _code(value) == "WRONGTYPE":
            (kind,) = ask(link, lambda: [("TYPE", key)])
            return _odd(link, key, kind)
        checked = [_checked(link, reply) for reply in (before, value, after)]
        if before == after:
            return None if checked[1] is None else make_entry(key, checked[1], int(before))


def read_entries(link: Link, keys: Sequence[bytes]) -> list[Entry]:
    """The entries of the keys that are there, in order. Two commands a key, one round trip for `KEYS_AT_ONCE` keys.

    Value and expiry of a key are read one after the other, so a key that is written meanwhile may show the old value with the new
    expiry; a conditional write then meets a conflict and changes nothing.
    """
    found: list[Entry] = []
    todo = iter(keys)
    while batch := list(islice(todo, KEYS_AT_ONCE)):
        found += _read_batch(link, batch)
    return found


def read_each(link: Link, keys: Sequence[bytes]) -> list[Entry | None]:
    """As `read_entries`, but whole values, and None for a key that is not there. Long values are read one by one."""
    found = {entry.key: entry for entry in read_entries(link, keys)}
    return [read_entry(link, key) if key in found and found[key].length is not None else found.get(key) for key in keys]


def make_entry(key: bytes, value: bytes, expires_ms: int, length: int | None = None) -> Entry:
    """An entry of a Redis string; a negative expiry means never."""
    never = expires_ms < 0
    return Entry(
        key,
        Kind.UNKNOWN,
        value,
        expires_at=None if never else expires_ms // 1000,
        row=value,
        expires_at_ms=None if never else expires_ms,
        length=length,
    )


def odd_entry(key: bytes, kind: str) -> Entry:
    """An entry for a key that holds no string. Its content is neither read nor ever written."""
    return Entry(key, Kind.UNKNOWN, problem=say("a Redis %(kind)s; Stalwart stores only strings", kind=kind))


def _read_batch(link: Link, keys: list[bytes]) -> list[Entry]:
    replies = ask(link, lambda: [part for key in keys for part in (("GETRANGE", key, 0, FIRST_BYTES - 1), expiry_command(link, key))])
    rows = list(zip(keys, replies[::2], replies[1::2], strict=True))
    odd = [key for key, value, _ in rows if _code(value) == "WRONGTYPE"]
    long = [key for key, value, _ in rows if isinstance(value, bytes) and len(value) == FIRST_BYTES]
    more = _read_more(link, odd, long) if odd or long else {}
    found = []
    for key, value, expires in rows:
        if _code(value) == "WRONGTYPE":
            entry = _odd(link, key, more[key][0])
        else:
            entry = _row(link, key, _checked(link, value), _checked(link, expires), more.get(key))
        if entry is not None:
            found.append(entry)
    return found


def _read_more(link: Link, odd: list[bytes], long: list[bytes]) -> dict[bytes, list[Any]]:
    """The type of keys that are no strings; the length, and mostly the rest, of long values. One round trip."""
    whole = set(long[:LONG_VALUES])
    commands: list[Command] = [("TYPE", key) for key in odd]
    for key in long:
        commands.append(("STRLEN", key))
        if key in whole:
            commands.append(("GETRANGE", key, 0, WHOLE_BYTES - 1))
    found: dict[bytes, list[Any]] = {}
    for command, reply in zip(commands, ask(link, lambda: commands), strict=True):
        found.setdefault(command[1], []).append(reply)
    return found


def _row(link: Link, key: bytes, value: bytes, expires_ms: int, more: list[Any] | None) -> Entry | None:
    if expires_ms == -2:
        return None
    if more is None:
        return make_entry(key, value, expires_ms)
    length = int(_checked(link, more[0]))
    value = _checked(link, more[1]) if len(more) > 1 else value
    return make_entry(key, value, expires_ms, length if length > len(value) else None)


def _odd(link: Link, key: bytes, reply: Any) -> Entry | None:
    kind = bytes(_checked(link, reply)).decode()
    return None if kind in ("none", "string") else odd_entry(key, kind)


def _code(reply: Any) -> str:
    return code_of(reply) if isinstance(reply, ResponseError) else ""


def _checked(link: Link, reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise translate(reply, link.config)
    return reply
