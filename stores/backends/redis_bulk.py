"""Removing many keys: with a copy of each, or a whole range without one. Both in short calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from redis.exceptions import NoScriptError, ResponseError

from stores.backends.redis_errors import translate
from stores.backends.redis_link import Command, Link
from stores.backends.redis_rows import make_entry
from stores.backends.redis_scripts import DELETE, Outcome, Write, learned, write
from stores.backends.redis_walk import LARGEST_COUNT, Walk
from stores.errors import StoreError, StoreUnavailable
from stores.types import ANYTHING, Entry, KeyRange

KEYS_AT_ONCE: Final = 200
"""Scripts of one pipeline; each is a handful of single-key commands."""
UNLINKED_AT_ONCE: Final = 100
"""Keys of one UNLINK: a tenth of a millisecond."""


def delete_keys(link: Link, keys: Sequence[bytes]) -> list[Entry]:
    """Remove keys, each atomically with reading it, and return what they held. One round trip for `KEYS_AT_ONCE` keys."""
    found: list[Entry] = []
    unique = list(dict.fromkeys(keys))
    for first in range(0, len(unique), KEYS_AT_ONCE):
        found += _delete_batch(link, unique[first : first + KEYS_AT_ONCE])
    return found


def delete_seen(link: Link, seen: Sequence[Entry], alone: Callable[[Entry], Entry | None]) -> list[Entry | StoreError | None]:
    """Remove keys, each atomically and only if it is as it was seen; one round trip for `KEYS_AT_ONCE`.

    `alone` deletes one key by itself: for servers without scripts, and for answers that need a second look.
    """
    answers: list[Entry | StoreError | None] = []
    for first in range(0, len(seen), KEYS_AT_ONCE):
        batch = seen[first : first + KEYS_AT_ONCE]
        if not link.dialect.scripts:
            answers += [_alone(entry, alone) for entry in batch]
            continue
        commands: list[Command] = [
            ("EVALSHA", DELETE.sha, 1, entry.key, *Write(DELETE, entry.key, entry).arguments(link.dialect.pexpiretime)) for entry in batch
        ]
        for entry, reply in zip(batch, _pipelined(link, commands, batch[0].key), strict=True):
            done = not isinstance(reply, Exception) and reply[0] == b"ok"
            answers.append(make_entry(entry.key, reply[1], int(reply[2])) if done else _alone(entry, alone))
    return answers


def _alone(entry: Entry, delete: Callable[[Entry], Entry | None]) -> Entry | StoreError | None:
    try:
        return delete(entry)
    except StoreUnavailable:
        raise
    except StoreError as error:
        return error


def _delete_batch(link: Link, keys: list[bytes]) -> list[Entry]:
    found: list[Entry] = []
    if not link.dialect.scripts or len(keys) == 1:
        return [entry for key in keys if (entry := _delete_one(link, key))]
    replies = _run_pipelined(link, keys)
    for key, reply in zip(keys, replies, strict=True):
        if isinstance(reply, Exception):
            entry = _retry(link, key, reply)
        else:
            entry = make_entry(key, reply[1], int(reply[2])) if reply[0] == b"ok" else None
        if entry is not None:
            found.append(entry)
    return found


def _run_pipelined(link: Link, keys: list[bytes]) -> list[Any]:
    """The script for every key; a connection that breaks half-way raises, and the keys done by then are gone."""
    arguments = Write(DELETE, b"", ANYTHING).arguments(link.dialect.pexpiretime)
    commands: list[Command] = [("EVALSHA", DELETE.sha, 1, key, *arguments) for key in keys]
    return _pipelined(link, commands, keys[0])


def _pipelined(link: Link, commands: list[Command], key: bytes) -> list[Any]:
    return link.run(lambda: link.pipeline(commands), write_to=key)


def _retry(link: Link, key: bytes, error: Exception) -> Entry | None:
    """A refusal of one key: the server has not met the script yet, or wants to be asked in another way."""
    if isinstance(error, NoScriptError) or (isinstance(error, ResponseError) and learned(link, error)):
        return _delete_one(link, key)
    raise translate(error, link.config)


def _delete_one(link: Link, key: bytes) -> Entry | None:
    answer = write(link, Write(DELETE, key, ANYTHING))
    if answer.outcome is not Outcome.OK or answer.value is None:
        return None
    return make_entry(key, answer.value, answer.expires_ms)


def delete_range(link: Link, walk: Walk, keys: KeyRange, position: str) -> Iterator[tuple[int, str]]:
    """Unlink every string key of the range; yields how many went and the position, empty at the end."""
    following: str | None = position
    while following is not None:
        names, following = walk.names(keys, following, LARGEST_COUNT, strings=True)
        yield unlink(link, names), following or ""


def unlink(link: Link, keys: Sequence[bytes]) -> int:
    """UNLINK many keys, however they are spread over servers; the number that was there."""
    batches = link.batches(keys, UNLINKED_AT_ONCE)
    if not batches:
        return 0
    replies = link.run(lambda: link.pipeline([("UNLINK", *batch) for batch in batches]), write_to=batches[0][0])
    for reply in replies:
        if isinstance(reply, Exception):
            raise translate(reply, link.config)
    return sum(int(reply) for reply in replies)
