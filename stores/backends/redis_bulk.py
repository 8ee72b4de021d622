"""Removing many keys: each one only as it was seen, or a whole range unlinked. Both in short calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from stores.backends.redis_errors import translate
from stores.backends.redis_link import Command, Link
from stores.backends.redis_scripts import Answer, Write, answer_of
from stores.backends.redis_walk import Walk
from stores.errors import StoreError, StoreUnavailable
from stores.types import KeyRange

T = TypeVar("T")
Choose = Callable[[list[bytes]], list[bytes]]
"""Which of some names are to go."""

SCRIPTS_AT_ONCE: Final = 50
"""Scripts of one pipeline; each is a handful of single-key commands, together about a millisecond."""
STEP_NAMES: Final = 1000
"""Names of one step of a range that is deleted."""
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


def delete_range(link: Link, ahead: Walk, keys: KeyRange, position: str, choose: Choose) -> Iterator[tuple[list[bytes], int, str]]:
    """Unlink the chosen string keys of the range; yields their names, how many of them were still there, and the position, empty at
    the end. Whenever it yields, every key that it has unlinked is told of.

    While the names of a step are being chosen from, the server unlinks those of the step before, and looks for those of the next one
    on a link of its own, that of `ahead`.
    """
    with ThreadPoolExecutor(2) as hands:
        coming: Future[tuple[list[bytes], str | None]] | None = hands.submit(ahead.names, keys, position, STEP_NAMES, True)
        going: Future[tuple[list[bytes], int, str]] | None = None
        while coming is not None:
            try:
                names, following = coming.result()
            except StoreError:
                if going is not None:
                    yield going.result()
                raise
            coming = None if following is None else hands.submit(ahead.names, keys, following, STEP_NAMES, True)
            chosen = choose(names)
            if going is not None:
                yield going.result()
            going = hands.submit(_unlinked, link, chosen, following or "")
        if going is not None:
            yield going.result()


def _unlinked(link: Link, chosen: list[bytes], following: str) -> tuple[list[bytes], int, str]:
    return chosen, unlink(link, chosen), following


def unlink(link: Link, keys: Sequence[bytes]) -> int:
    """UNLINK many keys, however they are spread over servers; the number that was there.

    One server after the other, so that one which is gone is noticed before anything is sent to it.
    """
    gone = 0
    for batches in link.run(lambda: _by_server(link, keys)):
        commands: list[Command] = [("UNLINK", *batch) for batch in batches]
        for reply in link.run(lambda: link.pipeline(commands), write_to=batches[0][0]):  # noqa: B023
            if isinstance(reply, Exception):
                raise translate(reply, link.config)
            gone += int(reply)
    return gone


def _by_server(link: Link, keys: Sequence[bytes]) -> list[list[list[bytes]]]:
    """The keys in groups that one command may name, those of one server together. Raises driver errors."""
    found: dict[int, list[list[bytes]]] = {}
    for batch in link.batches(keys, UNLINKED_AT_ONCE):
        found.setdefault(id(link.node_of(batch[0])), []).append(batch)
    return list(found.values())
