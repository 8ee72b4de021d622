"""The keys of one server in two halves, which are counted side by side: while one answer is being counted, the server works on another.

SCAN walks the table in the order of the reversed bits of the keys' hashes, so the half of a key, its lowest bit, never changes, however
the table grows or shrinks. A second walk may begin at cursor 1, in the middle. The last slice of the first half reaches into the second:
what a walk from the middle to the same place meets is left out of it.
"""

from __future__ import annotations

from typing import Any, Final

from stores.backends.redis_link import Link, pipelined
from stores.backends.redis_measure import only
from stores.backends.redis_pages import join_position, place_of, scan_with_info, share_before
from stores.backends.redis_server import run_id_of, same_server
from stores.errors import CursorLost
from stores.texts import say
from stores.types import CensusColumns

FIRST, SECOND = "1", "2"
"""Marks of the halves."""
MIDDLE: Final = 1
"""The cursor in the middle of every table."""
WORTH_KEYS: Final = 50_000
"""A smaller store is counted in one go."""
FEW_KEYS: Final = 64
"""A table of fewer keys may have one bucket only, which has no halves."""
STEP: Final = 200


def halves(link: Link) -> list[tuple[str, str]]:
    """Mark and position of both halves, or of the whole where the store is small or its server does not say enough of itself."""
    client = link.run(link.primaries)[0].client
    keyspace, server = link.run(lambda: pipelined(client, [("INFO", "keyspace"), ("INFO", "server")]))
    run_id = run_id_of(server)
    if run_id == "-" or not _walks_by_hash(server) or _keys(link, keyspace) < WORTH_KEYS:
        return [("", "")]
    return [(FIRST, join_position(run_id, 0)), (SECOND, join_position(run_id, MIDDLE))]


def ends_half(mark: str, cursor: int) -> bool:
    """Whether a part ends with the slice that answered this cursor."""
    return cursor == 0 or (mark == FIRST and bool(cursor & MIDDLE))


def share_of(mark: str, cursor: int, over: bool) -> float:
    """How much of a part lies before a cursor."""
    share = share_before(cursor)
    return 1.0 if over else share * 2 if mark == FIRST else share * 2 - 1 if mark == SECOND else share


def last_of_half(link: Link, mark: str, reached: tuple[str, int], columns: CensusColumns) -> CensusColumns:
    """The last slice of a half, without keys of the other one. Raises CursorLost when hardly a key is left of the store."""
    run_id, cursor = reached
    client = link.run(link.primaries)[0].client
    keyspace, server = link.run(lambda: pipelined(client, [("INFO", "keyspace"), ("INFO", "server")]))
    same_server(run_id, run_id_of(server))
    if _keys(link, keyspace) < FEW_KEYS:
        raise CursorLost(say("The store has lost nearly all its keys meanwhile."), say("Count again."))
    if mark == SECOND:
        return columns
    others = _beyond_middle(link, run_id, cursor)
    return only(columns, lambda key: key not in others)


def _beyond_middle(link: Link, run_id: str, until: int) -> set[bytes]:
    """The keys from the middle to a place, and some more of the second half."""
    client = link.run(link.primaries)[0].client
    found: set[bytes] = set()
    cursor = MIDDLE
    while True:
        page, server = link.run(lambda: scan_with_info(client, cursor, STEP))  # noqa: B023
        same_server(run_id, run_id_of(server))
        cursor = page[0]
        found.update(page[1])
        if cursor == 0 or (until and place_of(cursor) >= place_of(until)):
            return found


def _walks_by_hash(server: Any) -> bool:
    """Whether this is a server of the Redis family, and no node of a cluster, whose cursors count slots."""
    if not isinstance(server, dict) or "redis_git_sha1" not in server:
        return False
    return (server.get("redis_mode") or server.get("server_mode")) == "standalone"


def _keys(link: Link, keyspace: Any) -> int:
    """Keys of the store's database; 0 where INFO does not tell."""
    found = keyspace.get(f"db{link.config.first.db}") if isinstance(keyspace, dict) else None
    return int(found["keys"]) if isinstance(found, dict) else 0
