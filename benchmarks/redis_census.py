"""Census, pages and bulk deletes of a Redis store against the bare commands, on the same keys in the same run.

    python -m benchmarks.redis_census [--rows 1000000] [--repeat 3] [--flavour redis|valkey] [--only-census]

Bare census: SCAN COUNT 1000, names only. Bare delete of a class: SCAN MATCH COUNT 1000 and UNLINK. `worst` is the longest single call the
server reports (SLOWLOG), `over 2 ms` how many there were. A probe in another process does a GET every millisecond meanwhile: its p99 and
maximum are what the mail server would feel. `memory` is what the client grew by; `cpu` are the seconds of processor time of the server and
of the client, which say more than the clock on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import redis

from benchmarks import fill
from stores.backends.redis import RedisBackend
from stores.services.counting import AT_ONCE, OwnParts, Work, count_parts
from stores.services.tally import Tally
from stores.types import KeyRange
from tests.servers.redis import RedisServer

GREYLIST = KeyRange.of_prefix(b"\x10")
NOW = int(time.time())
NOBODY = KeyRange.of_prefix(b"\x0a")
"""A class without any key: the whole store is searched."""


def strings(count: int, now: int) -> Iterator[tuple[bytes, bytes, int | None]]:
    """The mix of `benchmarks.fill` as Redis holds it: key, value, expiry in Unix milliseconds; nothing is expired."""
    for key, row, number in fill.rows(count, now + 90 * 86400):
        expires = None if row is None or row.startswith(fill.NEVER) else int.from_bytes(row[8:16] if number is not None else row[:8], "big")
        value = str(number).encode() if number is not None else (row or b"")[8:]
        yield key, value, None if expires is None else expires * 1000


def fill_server(server: RedisServer, count: int, only: bytes = b"") -> None:
    """Plant the keys, the same each time, or those among them that begin so: what a delete has taken."""
    with server.client() as client:
        rows = (row for row in strings(count, NOW) if row[0].startswith(only))
        while True:
            with client.pipeline(transaction=False) as pipe:
                for _, (key, value, expires) in zip(range(10_000), rows, strict=False):
                    pipe.set(key, value, pxat=expires)
                if not pipe.execute():
                    return


def bare_client(server: RedisServer) -> redis.Redis:
    """The driver's own client, over the same kind of connection as ours."""
    return redis.Redis.from_url(server.url, protocol=2)


def bare_census(server: RedisServer) -> int:
    with bare_client(server) as client:
        return sum(1 for _ in client.scan_iter(count=1000))


def bare_delete(server: RedisServer) -> int:
    with bare_client(server) as client:
        removed, cursor = 0, 0
        while True:
            cursor, names = client.scan(cursor, match=b"\x10*", count=1000)
            removed += client.unlink(*names) if names else 0
            if cursor == 0:
                return removed


def census(server: RedisServer) -> int:
    """Every key in its class, with histogram, largest values and subjects, as a worker counts it."""
    empty = partial(Tally, "0.11", int(time.time()), "redis")
    with RedisBackend({"urls": server.url}) as backend:
        parts = OwnParts(backend.census_parts(AT_ONCE))
    count_parts(Work(lambda: RedisBackend({"urls": server.url}), empty), parts, lambda at_work: False)
    return parts.whole(empty).rows


def delete(server: RedisServer) -> int:
    with RedisBackend({"urls": server.url}) as backend:
        return sum(part.count for part in backend.delete_range(GREYLIST))


@contextmanager
def watched(server: RedisServer) -> Iterator[dict[str, float]]:
    """Seconds, longest calls and what a concurrent GET felt."""
    found: dict[str, float] = {}
    with server.client() as client:
        client.config_set("slowlog-log-slower-than", 500)
        client.config_set("slowlog-max-len", 100_000)
        client.slowlog_reset()
        probe = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.redis_census", "--probe", str(server.socket)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert probe.stdout is not None
        probe.stdout.readline()
        began, busy = time.perf_counter(), _processor(client)
        yield found
        found["seconds"], found["server cpu"] = time.perf_counter() - began, _processor(client) - busy
        output, _ = probe.communicate("", timeout=60)
        calls: list[Any] = client.slowlog_get(100_000)
        durations = [call["duration"] / 1000 for call in calls if not call["command"].startswith(b"SLOWLOG")]
        client.config_set("slowlog-log-slower-than", 10_000)
    found |= {"worst": max(durations, default=0.5), "over 2 ms": sum(duration > 2 for duration in durations)} | json.loads(output)


def _processor(client: Any) -> float:
    busy = client.info("cpu")
    return float(busy["used_cpu_user"]) + float(busy["used_cpu_sys"])


def probe(socket: str) -> None:
    """One GET a millisecond until the input closes."""
    client = redis.Redis(unix_socket_path=socket, protocol=2)
    client.get("vip/news1")
    print("ready", flush=True)
    times: list[float] = []
    while not select.select([sys.stdin], [], [], 0.001)[0]:
        began = time.perf_counter()
        client.get("vip/news1")
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    print(json.dumps({"GET p99": times[int(len(times) * 0.99)] if times else 0.0, "GET max": times[-1] if times else 0.0}))


def measure(name: str, work: Callable[[RedisServer], int], server: RedisServer) -> float:
    """Run in a child process, so that its memory can be told apart; print one line; return the seconds."""
    with watched(server) as found:
        reader, writer = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=_run, args=(work, server, writer))
        child.start()
        count, grown, busy = reader.recv()
        child.join()
    rate = count / found["seconds"]
    print(
        f"{name:28} {found['seconds']:7.2f} s {rate:10,.0f} keys/s  worst {found['worst']:6.2f} ms  over 2 ms {found['over 2 ms']:4.0f}"
        f"  GET p99 {found['GET p99']:5.2f} max {found['GET max']:6.2f} ms  memory +{grown:.0f} MB"
        f"  cpu {found['server cpu']:.2f} + {busy:.2f} s",
        flush=True,
    )
    return found["seconds"]


def _run(work: Callable[[RedisServer], int], server: RedisServer, writer: Any) -> None:
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    count = work(server)
    writer.send((count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, time.process_time() - began))


def pages(server: RedisServer) -> None:
    """Milliseconds and commands of one page of 100 rows: the whole store, a large class, a class without keys."""
    with server.client() as client, RedisBackend({"urls": server.url}) as backend:
        backend.ping()
        for name, keys in (("all keys", KeyRange()), ("class 10", GREYLIST), ("class 0A (empty), one step", NOBODY)):
            times, rows = [], 0
            client.config_resetstat()
            before: Any = client.info("stats")["total_commands_processed"]
            for _ in range(30):
                began = time.perf_counter()
                rows = len(backend.scan(keys).entries)
                times.append((time.perf_counter() - began) * 1000)
            after: Any = client.info("stats")["total_commands_processed"]
            commands = (after - before) / 30
            print(
                f"page, {name:28} {statistics.median(times):7.2f} ms median {max(times):7.2f} worst  {rows} rows  {commands:.0f} commands"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a Redis store.")
    parser.add_argument("--rows", "--keys", dest="keys", type=int, default=1_000_000)
    parser.add_argument("--only-census", action="store_true", help="leave the deletes out")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--flavour", choices=["redis", "valkey"], default="redis")
    parser.add_argument("--probe", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe:
        probe(options.probe)
        return
    server = RedisServer(options.flavour)
    fill_server(server, options.keys)
    with RedisBackend({"urls": server.url}) as backend:
        print(f"{backend.ping().server}, {options.keys:,} keys")
    pages(server)
    ratios = []
    for _ in range(options.repeat):
        bare = measure("bare SCAN COUNT 1000", bare_census, server)
        ratios.append(measure("census", census, server) / bare)
    print(f"census / bare: {min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f}")
    for _ in range(0 if options.only_census else options.repeat):
        bare = measure("bare SCAN + UNLINK of a class", bare_delete, server)
        fill_server(server, options.keys, GREYLIST.start)
        print(f"speed of the delete / bare: {bare / measure('delete of a class', delete, server):.2f}")
        fill_server(server, options.keys, GREYLIST.start)
    server.kill()


if __name__ == "__main__":
    main()
