"""What a server says of itself: its product, its process, and whether it is only a part of a cluster."""

from __future__ import annotations

from typing import Any, Final

import redis

from stores.backends.redis_link import Link, pipelined
from stores.errors import CursorLost, StoreRefused
from stores.texts import say

RAW_INFO: Final = b"INFO"
"""INFO under a name for which the driver has no reader of its own: that takes ten times as long as `lines_of`."""


def lines_of(info: Any) -> Any:
    """The lines of a section as a mapping; a refusal as it came."""
    if not isinstance(info, (bytes, str)):
        return info
    text = info.decode(errors="replace") if isinstance(info, bytes) else info
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def server_name(server: Any) -> str:
    """Product and version from INFO server: "Valkey 9.1.2", "Redis 7.0.15"."""
    if not isinstance(server, dict):
        return "Redis"
    if "valkey_version" in server:
        return f"Valkey {server['valkey_version']}"
    return f"Redis {server.get('redis_version', '')}".strip()


def run_id_of(server: Any) -> str:
    """A server's run id shortened to 10 characters; "-" where INFO is forbidden, which gives up noticing a restart."""
    return str(server.get("run_id", "-"))[:10] if isinstance(server, dict) else "-"


def refuse_part(link: Link, client: redis.Redis, server: Any) -> None:
    """Raise StoreRefused when a node of a cluster is used as if it were the whole: its keys are only a part."""
    if (
        link.config.mode == "cluster"
        or not isinstance(server, dict)
        or (server.get("redis_mode") or server.get("server_mode")) != "cluster"
    ):
        return
    (info,) = link.run(lambda: pipelined(client, [("CLUSTER INFO",)]))
    if not isinstance(info, dict) or int(info.get("cluster_size", 0)) != 1:
        raise StoreRefused(
            say("Redis at %(where)s is only one node of a cluster.", where=link.config.where), say("Set redis-type to cluster.")
        )


def same_server(before: str, now: str) -> str:
    """The run id to go on with. Raises CursorLost when the walk began on another server process."""
    if before not in ("", now):
        raise CursorLost(
            say("The Redis server has restarted or another one took over; its list begins anew."), say("Start again from the first page.")
        )
    return now
