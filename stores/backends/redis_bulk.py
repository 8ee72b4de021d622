"""Removing many keys: each one only as it was seen, or a whole range unlinked. Both in short calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from stores.backends.redis_errors import translate
from stores.backends.redis_link import Command, Link
from stores.backends.redis_pages import LARGEST_COUNT
from stores.backends.redis_scripts import Answer, Write, answer_of
from stores.backends.redis_walk import Walk
from stores.errors import StoreError, StoreUnavailable
from stores.types import KeyRange

T = TypeVar("T")
Choose = Callable[[list[bytes]], list[bytes]]
"""Which of some names are to go."""

SCRIPTS_AT_ONCE: Final = 50
"""Scripts of one pipeline; each is a handful of single-key commands, together about a millisecond."""
UNLINKED_AT_ONCE: Final = 100
"""Keys of one UNLINK: a tenth of a millisecond."""


def write_each(link: Link, changes: Sequence[Write], alone: Callable[[int], T]) -> list[Answer | T | StoreError]:
    """Conditional writes, each atomic by itself; one round trip for `SCRIPTS_AT_ONCE`.

    `alone` does the n-th write by itself: for servers without scripts, and for answers that need a second look.
    """
    answers: list[Answer | T | StoreError] = []
    for first in range(0, len(changes), SCRIPTS_AT_ONCE):
        batch = changes[first : first + SCRIPTS_AT_ONCE]
        if not link.dialect.scripts:
            answers += [_alone(first + number, alone) for number in range(len(batch))]
            continue
        exact = link.dialect.pexpiretime
        commands: list[Command] = [("EVALSHA", change.script.sha, 1, change.key, *change.arguments(exact)) for change in batch]
        replies = link.run(lambda: link.pipeline(commands), write_to=batch[0].key)  # noqa: B023
        for number, reply in enumerate(replies):
            done = not isinstance(reply, Exception) and reply[0] == b"ok"
            answers.append(answer_of(reply) if done else _alone(first + number, alone))
    return answers


def _alone(number: int, alone: Callable[[int], T]) -> T | StoreError:
    try:
        return alone(number)
    except StoreUnavailable:
        raise
    except StoreError as error:
        return error


def delete_range(link: Link, walk: Walk, keys: KeyRange, position: str, choose: Choose) -> Iterator[tuple[list[bytes], int, str]]:
    """Unlink the chosen string keys of the range; yields their names, how many of them were still there, and the position, empty at
    the end. While the names of a step are being chosen from, the server looks for those of the next one.
    """
    with ThreadPoolExecutor(1) as ahead:
        found: tuple[list[bytes], str | None] | None = walk.names(keys, position, LARGEST_COUNT, strings=True)
        while found is not None:
            names, following = found
            coming = None if following is None else ahead.submit(walk.names, keys, following, LARGEST_COUNT, True)
            try:
                chosen = choose(names)
            finally:
                found = None if coming is None else coming.result()
            yield chosen, unlink(link, chosen), following or ""


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
