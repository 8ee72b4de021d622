"""The connection test of a Redis store: one step after the other, each with what to do when it fails."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import redis
from redis.exceptions import RedisError

from stores.backends.clocks import clock_words
from stores.backends.redis_errors import translate
from stores.backends.redis_link import Command, Link, Node, pipelined
from stores.backends.redis_rights import Rights, acl_line, try_rights
from stores.backends.redis_sentinel import SentinelLink
from stores.backends.redis_server import refuse_part, server_name
from stores.backends.redis_settings import Address, RedisConfig
from stores.errors import StoreError, StoreRefused
from stores.texts import counted, figure, joined, say
from stores.types import Check, CheckState, Clock

OK, WARN, FAILED = CheckState.OK, CheckState.WARN, CheckState.FAILED
CLOCK_SECONDS: Final = 2.0
"""A difference of clocks that is worth a warning."""
LAG_SECONDS: Final = 10
_OLDEST: Final = (6, 0)


def check_store(config: RedisConfig, link: Link, clock: Clock) -> list[Check]:
    """All steps up to the first that fails. Never raises a StoreError."""
    found: list[Check] = []
    try:
        for check in _steps(config, link, clock):
            found.append(check)
            if check.state is FAILED:
                break
    except StoreError as error:
        found.append(Check(say("Answer"), FAILED, error.message, error.fix))
    return found


def _steps(config: RedisConfig, link: Link, clock: Clock) -> Iterator[Check]:
    reached: list[Address] = []
    yield from _way(config, reached)
    if config.secure:
        yield _tls(config, reached[0])
    if isinstance(link, SentinelLink):
        yield _sentinels(config, link)
    nodes: list[Node] = []
    yield from _login(config, link, nodes)
    if config.mode == "cluster":
        yield _cluster(config, link, nodes)
    server = _info(link, nodes[0], "server")
    yield _version(server)
    refuse_part(link, nodes[0].client, server)
    rights = link.run(lambda: try_rights(nodes[0].client, config.mode == "cluster"))
    yield _reading(config, rights)
    yield _writing(config, rights)
    yield _role(config, [_info(link, node, "replication") for node in nodes])
    yield _memory([_info(link, node, "memory") for node in nodes])
    yield _keys(config, [_info(link, node, "keyspace") for node in nodes])
    yield _clock(link, nodes, clock)
    yield Check(
        say("Least rights"),
        OK,
        say(
            "To read: %(read)s\nTo read and write: %(write)s",
            read=acl_line(config, rights.modern),
            write=acl_line(config, rights.modern, True),
        ),
    )


# the way to the server


def _way(config: RedisConfig, reached: list[Address]) -> Iterator[Check]:
    """Name and connection of every address; one that is reached is enough for a cluster and for sentinels."""
    if config.first.path:
        yield _connect(config, [config.first], reached)
        return
    known, problem = [], ""
    for address in config.addresses:
        try:
            socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            known.append(address)
        except (OSError, UnicodeError) as error:
            problem = problem or f"{address.host}: {getattr(error, 'strerror', None) or error}"
    names = ", ".join(dict.fromkeys(address.host for address in known))
    if not known:
        yield Check(
            say("Name"),
            FAILED,
            say("The host name cannot be resolved (%(problem)s).", problem=problem),
            say("Correct the host in urls or the name service."),
        )
        return
    yield Check(
        say("Name"),
        WARN if problem else OK,
        joined(say("%(names)s resolved", names=names), say("not %(problem)s", problem=problem) if problem else "", between="; "),
        _fix(problem, say("Correct urls.")),
    )
    yield _connect(config, known, reached)


def _connect(config: RedisConfig, addresses: Sequence[Address], reached: list[Address]) -> Check:
    problems, best = [], 0.0
    for address in addresses:
        started = time.perf_counter()
        try:
            _open_socket(address, config.connect_seconds).close()
        except OSError as error:
            problems.append(f"{address}: {error.strerror or error}")
            continue
        best = best or (time.perf_counter() - started) * 1000
        reached.append(address)
    if not reached:
        return Check(
            say("Connection"), FAILED, "; ".join(problems), say("Check that the server runs, listens there and is not behind a firewall.")
        )
    detail = joined(
        say("%(server)s in %(time)s ms", server=", ".join(map(str, reached)), time=figure(best, 1)),
        say("not %(problem)s", problem="; ".join(problems)) if problems else "",
        between="; ",
    )
    return Check(
        say("Connection"), WARN if problems else OK, detail, _fix(problems, say("Start the missing servers, or remove them from urls."))
    )


def _open_socket(address: Address, seconds: float) -> socket.socket:
    if not address.path:
        return socket.create_connection((address.host, address.port), seconds)
    found = socket.socket(socket.AF_UNIX)
    found.settimeout(seconds)
    try:
        found.connect(address.path)
    except OSError:
        found.close()
        raise
    return found


def _tls(config: RedisConfig, address: Address) -> Check:
    try:
        context = ssl.create_default_context(cafile=config.ca_file or None)
        if not config.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if config.client_cert:
            context.load_cert_chain(config.client_cert, config.client_key or None)
        with _open_socket(address, config.connect_seconds) as plain, context.wrap_socket(plain, server_hostname=address.host) as secure:
            version, until = secure.version() or "TLS", (secure.getpeercert() or {}).get("notAfter", "")
    except (OSError, ValueError) as error:
        found = translate(error, config)
        return Check(
            say("TLS"), FAILED, found.message if isinstance(found, StoreRefused) else say("TLS failed: %(error)s", error=error), found.fix
        )
    if not config.verify:
        return Check(
            say("TLS"),
            WARN,
            say("%(version)s; the certificate is not verified", version=version),
            say("Remove #insecure and give tls.ca-file."),
        )
    return Check(say("TLS"), OK, say("%(version)s, certificate valid until %(until)s", version=version, until=until))


def _sentinels(config: RedisConfig, link: SentinelLink) -> Check:
    alive, problems = 0, []
    for sentinel in link.sentinel.sentinels:
        client: Any = sentinel
        try:
            client.ping()
            alive += 1
        except RedisError as error:
            problems.append(translate(error, config).message)
    if not alive:
        return Check(say("Sentinels"), FAILED, problems[0], say("Check that the sentinels run, and sentinelUsername and sentinelSecret."))
    sentinel_client: Any = link.sentinel
    host, port = link.run(lambda: sentinel_client.discover_master(config.service))
    detail = say(
        "%(alive)s of %(count)s answer; %(service)s is at %(host)s:%(port)s",
        alive=alive,
        count=len(config.addresses),
        service=config.service,
        host=host,
        port=port,
    )
    return Check(say("Sentinels"), WARN if problems else OK, detail, _fix(problems, say("Start the missing sentinels.")))


def _login(config: RedisConfig, link: Link, nodes: list[Node]) -> Iterator[Check]:
    """Log in at every primary and send PING."""
    slowest = 0.0
    try:
        nodes += link.run(link.primaries)
        for node in nodes:
            client: Any = node.client
            started = time.perf_counter()
            link.run(client.ping)
            slowest = max(slowest, (time.perf_counter() - started) * 1000)
    except StoreError as error:
        yield Check(say("Login"), FAILED, error.message, error.fix)
        return
    yield Check(
        say("Login"),
        OK,
        joined(say("as %(user)s", user=config.user or "default"), "" if config.password else say("without a password"), between=", "),
    )
    yield Check(
        "PING",
        OK,
        joined(
            say("%(milliseconds)s ms", milliseconds=figure(slowest, 1)),
            say("the slowest of %(count)s primaries", count=len(nodes)) if len(nodes) > 1 else "",
            between=", ",
        ),
    )


# what the server says of itself


def _info(link: Link, node: Node, section: str) -> dict[str, Any]:
    """A section of INFO; empty where it is forbidden."""
    (reply,) = link.run(lambda: pipelined(node.client, [("INFO", section)]))
    return reply if isinstance(reply, dict) else {}


def _cluster(config: RedisConfig, link: Link, nodes: Sequence[Node]) -> Check:
    (info,) = link.run(lambda: pipelined(nodes[0].client, [("CLUSTER INFO",)]))
    if not isinstance(info, dict):
        return Check(
            say("Cluster"),
            WARN,
            say("CLUSTER INFO is not allowed"),
            f"ACL SETUSER {config.user or 'default'} +cluster|info",
        )
    covered = int(info.get("cluster_slots_ok", 0))
    detail = say(
        "%(covered)s of 16384 slots on %(count)s primaries, state %(state)s",
        covered=covered,
        count=len(nodes),
        state=info.get("cluster_state"),
    )
    if covered < 16384 or info.get("cluster_state") != "ok":
        return Check(say("Cluster"), FAILED, detail, say("Bring the missing nodes back, or give their slots to others."))
    return Check(say("Cluster"), OK, detail)


def _version(server: dict[str, Any]) -> Check:
    if not server:
        return Check(
            say("Version"),
            WARN,
            say("unknown: INFO is not allowed"),
            say("Allow INFO to the user, so that a restart during a scan is noticed."),
        )
    numbers = str(server.get("redis_version", "0")).split(".")[:2]
    version = tuple(int(number) for number in numbers if number.isdigit())
    if version < _OLDEST:
        return Check(say("Version"), FAILED, server_name(server), say("kvadmin needs Redis 6.0 or newer, or Valkey."))
    return Check(say("Version"), OK, server_name(server))


def _reading(config: RedisConfig, rights: Rights) -> Check:
    missing = rights.missing_to_read
    if not missing:
        return Check(
            say("Reading"),
            OK,
            say("every command that is needed works")
            if rights.scripts
            else say("every command that is needed works; without scripts a census is slower"),
        )
    names = ", ".join(name.replace("|", " ").upper() for name in missing)
    fix = f"ACL SETUSER {config.user or 'default'} {' '.join('+' + name for name in missing)}"
    if not rights.blocking:
        return Check(say("Reading"), WARN, say("works; not allowed: %(names)s", names=names), fix)
    return Check(say("Reading"), FAILED, say("not allowed: %(names)s", names=names), fix)


def _writing(config: RedisConfig, rights: Rights) -> Check:
    missing = rights.missing_to_write
    if not missing:
        return Check(
            say("Writing"),
            OK,
            joined(say("every command that is needed works"), "" if rights.write_scripts else say("without scripts"), between="; "),
        )
    names = ", ".join(name.upper() for name in missing)
    fix = say("To write: %(command)s", command=f"ACL SETUSER {config.user or 'default'} {' '.join('+' + name for name in missing)}")
    return Check(say("Writing"), WARN, say("this user can only read; not allowed: %(names)s", names=names), fix)


def _role(config: RedisConfig, nodes: Sequence[dict[str, Any]]) -> Check:
    if not all(nodes):
        return Check(say("Role"), CheckState.SKIPPED, say("INFO is not allowed"))
    followers = [node for node in nodes if node.get("role") != "master"]
    if followers:
        return Check(say("Role"), WARN, _follower(followers[0]), say("Point urls at the primary, or use sentinels."))
    replicas = [value for node in nodes for name, value in node.items() if name.startswith("slave") and isinstance(value, dict)]
    lag = max((int(replica.get("lag", 0)) for replica in replicas), default=0)
    detail = joined(counted(len(nodes), "primary", "primaries"), counted(len(replicas), "replica"), between=", ")
    if lag > LAG_SECONDS:
        return Check(
            say("Role"),
            WARN,
            say("%(detail)s, one %(lag)s s behind", detail=detail, lag=lag),
            say("Look at the replica's log and its connection."),
        )
    return Check(say("Role"), OK, joined(detail, say("at most %(lag)s s behind", lag=lag) if replicas else "", between=", "))


def _follower(node: dict[str, Any]) -> str:
    """A replica in words: of whom, and how far behind."""
    words = say("a replica of %(address)s: it takes no writes", address=f"{node.get('master_host')}:{node.get('master_port')}")
    if node.get("master_link_status") != "up":
        return say(
            "%(words)s, and has had no connection to its primary for %(seconds)s s",
            words=words,
            seconds=node.get("master_link_down_since_seconds", "?"),
        )
    waiting = max(0, int(node.get("slave_read_repl_offset", 0)) - int(node.get("slave_repl_offset", 0)))
    return say(
        "%(words)s; heard from its primary %(seconds)s s ago, %(bytes)s to apply",
        words=words,
        seconds=node.get("master_last_io_seconds_ago", "?"),
        bytes=counted(waiting, "byte"),
    )


def _memory(nodes: Sequence[dict[str, Any]]) -> Check:
    if not all(nodes):
        return Check(say("Memory"), CheckState.SKIPPED, say("INFO is not allowed"))
    used = sum(int(node.get("used_memory", 0)) for node in nodes)
    limits = [int(node.get("maxmemory", 0)) for node in nodes]
    policies = {str(node.get("maxmemory_policy", "")) for node in nodes}
    detail = f"{used / 1e6:.1f} MB used"
    if not any(limits):
        return Check(say("Memory"), OK, say("%(detail)s, no limit", detail=detail))
    detail += say(", limit %(sum)s MB, policy %(policies)s", sum=figure(sum(limits) / 1e6), policies=", ".join(sorted(policies)))
    if policies == {"noeviction"}:
        return Check(say("Memory"), OK, detail)
    what = (
        say("spam training, locks and rate limits")
        if any(name.startswith("allkeys") for name in policies)
        else say("locks and rate limits")
    )
    return Check(
        say("Memory"),
        WARN,
        say("%(detail)s: when it is full, Redis drops %(what)s without a word", detail=detail, what=what),
        say("Set maxmemory-policy noeviction."),
    )


def _keys(config: RedisConfig, nodes: Sequence[dict[str, Any]]) -> Check:
    counts: dict[str, int] = {}
    for node in nodes:
        for name, value in node.items():
            if name.startswith("db") and isinstance(value, dict):
                counts[name] = counts.get(name, 0) + int(value.get("keys", 0))
    own = f"db{config.first.db}"
    others = ", ".join(say("%(name)s has %(number)s", name=name, number=figure(number)) for name, number in counts.items() if name != own)
    if not counts.get(own) and others:
        return Check(
            say("Keys"),
            WARN,
            say("database %(db)s is empty, but %(others)s", db=config.first.db, others=others),
            say("Check the number at the end of the URL."),
        )
    return Check(say("Keys"), OK, say("about %(get)s in database %(db)s", get=figure(counts.get(own, 0)), db=config.first.db))


def _clock(link: Link, nodes: Sequence[Node], clock: Clock) -> Check:
    worst = 0.0
    for node in nodes:
        client: Any = node.client
        before = clock()
        reply = _try(link, client, ("TIME",))
        if isinstance(reply, Exception):
            return Check(say("Clock"), CheckState.SKIPPED, say("TIME is not allowed"))
        after = clock()
        difference = int(reply[0]) + int(reply[1]) / 1e6 - (before + after) / 2
        worst = max(worst, difference, key=abs)
    if abs(worst) > CLOCK_SECONDS:
        fix = say("Set both clocks by NTP: expiries are absolute times.")
        return Check(say("Clock"), WARN, clock_words(worst), fix)
    return Check(say("Clock"), OK, say("%(milliseconds)s ms apart", milliseconds=figure(abs(worst) * 1000)))


def _try(link: Link, client: redis.Redis, command: Command) -> Any:
    (reply,) = link.run(lambda: pipelined(client, [command]))
    return reply


def _fix(problem: object, text: str) -> str:
    return text if problem else ""
