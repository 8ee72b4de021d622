"""What goes wrong on the way or on the server, as an error with a fix and without a password."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from redis import exceptions as driver

from stores.backends.redis import RedisBackend
from stores.backends.redis_errors import translate
from stores.backends.redis_settings import read_settings
from stores.errors import BadConfig, ReadOnly, StoreError, StoreRefused, StoreUnavailable
from stores.types import CheckState, Entry, Kind
from tests.servers.redis import RedisServer, SentinelSet, free_port
from tests.servers.tls import Certificates

SECRET = "s3cret-of-the-tests"


def _raised(answers: list[Entry | StoreError | None]) -> None:
    """Raise the first error of a deletion of several keys."""
    for answer in answers:
        if isinstance(answer, StoreError):
            raise answer


CALLS: list[Callable[[RedisBackend], object]] = [
    lambda backend: backend.ping(),
    lambda backend: backend.get(b"k"),
    lambda backend: backend.scan(),
    lambda backend: backend.count(),
    lambda backend: list(backend.census()),
    lambda backend: backend.key_set(b"k", b"v"),
    lambda backend: backend.delete(b"k"),
    lambda backend: backend.counter_incr(b"k", 1),
    lambda backend: _raised(backend.delete_each([Entry(b"k", Kind.UNKNOWN, b"v", row=b"v"), Entry(b"l", Kind.UNKNOWN, b"v", row=b"v")])),
    lambda backend: backend.key_exists(b"k"),
    lambda backend: backend.size_bytes(),
]


def every_call_fails(settings: dict[str, str], kind: type[StoreError], *words: str) -> None:
    """All verbs answer with one kind of error that names the trouble and a fix, and the connection test ends with it."""
    with RedisBackend(settings) as backend:
        for call in CALLS:
            with pytest.raises(kind) as failed:
                call(backend)
            assert failed.value.fix
            for word in words:
                assert word.lower() in str(failed.value).lower()
            assert SECRET not in str(failed.value)
        checks = backend.check()
    assert checks[-1].state is CheckState.FAILED
    assert checks[-1].fix
    assert SECRET not in repr(checks)


def test_nobody_listens() -> None:
    port = free_port()
    every_call_fails({"urls": f"redis://:{SECRET}@127.0.0.1:{port}"}, StoreUnavailable, f"127.0.0.1:{port}", "refused the connection")


def test_no_such_host() -> None:
    every_call_fails({"urls": f"redis://:{SECRET}@kvadmin-test.invalid"}, StoreUnavailable, "kvadmin-test.invalid", "resolved")


def test_no_such_socket(tmp_path: Path) -> None:
    every_call_fails({"urls": f"redis+unix://{tmp_path}/none?pass={SECRET}"}, StoreUnavailable, "no socket")


def test_no_node_of_a_cluster_answers() -> None:
    settings = {"redis-type": "cluster", "urls": f"redis://127.0.0.1:{free_port()}\nredis://127.0.0.1:{free_port()}", "password": SECRET}
    with RedisBackend(settings) as backend:
        backend.link.patience = 0.2
        with pytest.raises(StoreUnavailable, match="refused the connection"):
            backend.get(b"k")


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    server = RedisServer("valkey", password=SECRET)
    yield server
    server.stop()


def test_wrong_missing_and_needless_passwords(guarded: RedisServer) -> None:
    place = f"127.0.0.1:{guarded.port}"
    every_call_fails({"urls": f"redis://{place}"}, StoreRefused, "asks for a password", "redis://user:password@host")
    every_call_fails({"urls": f"redis://:{SECRET}x@{place}"}, StoreRefused, "refused user default or its password")
    every_call_fails({"urls": f"redis://nobody:{SECRET}@{place}"}, StoreRefused, "refused user nobody or its password")
    with RedisBackend({"urls": f"redis://:{SECRET}@{place}"}) as backend:
        assert backend.ping().server.startswith("Valkey")


def test_a_password_that_is_not_needed(server: RedisServer) -> None:
    every_call_fails({"urls": f"redis://:{SECRET}@127.0.0.1:{server.port}"}, StoreRefused, "has no password", "remove the password")


def test_a_cluster_that_is_none(server: RedisServer) -> None:
    every_call_fails({"urls": server.url, "redis-type": "cluster"}, StoreRefused, "not part of a cluster", "redis-type to single")


def test_a_password_that_changes_under_an_open_store(guarded: RedisServer) -> None:
    with RedisBackend({"urls": f"redis://:{SECRET}@127.0.0.1:{guarded.port}"}) as backend:
        backend.key_set(b"k", b"v")
        with guarded.client() as client:
            client.config_set("requirepass", f"{SECRET}-new")
            client.execute_command("CLIENT", "KILL", "SKIPME", "yes", "TYPE", "normal")
        try:
            with pytest.raises(StoreRefused, match="refused user"):
                backend.get(b"k")
        finally:
            with guarded.client(password=f"{SECRET}-new") as client:
                client.config_set("requirepass", SECRET)
        read = backend.get(b"k")
        assert read is not None, "it goes on by itself when the password is right again"


def test_a_command_that_is_forbidden_is_named_with_the_line_that_allows_it(server: RedisServer) -> None:
    with server.client() as client:
        client.execute_command(
            f"ACL SETUSER reader reset on >{SECRET} ~* +@read +@connection +info +time +eval_ro +evalsha_ro +pexpiretime"
        )
    with RedisBackend({"urls": f"redis://reader:{SECRET}@127.0.0.1:{server.port}"}) as backend:
        assert backend.scan().entries == ()
        assert next(iter(backend.census())).rows == ()
        with pytest.raises(StoreRefused) as refused:
            backend.key_set(b"k", b"v")
        assert "ACL SETUSER reader +" in refused.value.fix
        steps = {step.name: step for step in backend.check()}
        assert steps["Reading"].state is CheckState.OK
        assert steps["Writing"].state is CheckState.WARN
        assert "+set" in steps["Writing"].fix
    with server.client() as client:
        client.execute_command(f"ACL SETUSER narrow reset on >{SECRET} ~mine:* +@all")
    with RedisBackend({"urls": f"redis://narrow:{SECRET}@127.0.0.1:{server.port}"}) as backend:
        with pytest.raises(StoreRefused, match=r"~\*"):
            backend.get(b"k")
        with pytest.raises(StoreRefused, match=r"~\*"):
            backend.key_set(b"k", b"v")
        assert backend.key_set(b"mine:k", b"v").value == b"v"


@pytest.mark.parametrize("lacking", ["pexpireat", "persist", "get", "set", "unlink", "incrby", "type", "strlen"])
def test_a_write_that_lacks_a_right_changes_nothing_at_all(server: RedisServer, lacking: str) -> None:
    with server.client() as client:
        client.set("k", "7", ex=600)
        before = (client.get("k"), client.pexpiretime("k"))
        client.execute_command(f"ACL SETUSER partly reset on >pw ~* +@all -{lacking}")
    soon = int(time.time()) + 900
    with RedisBackend({"urls": f"redis://partly:pw@127.0.0.1:{server.port}"}) as backend:
        for attempt in (
            lambda: backend.key_set(b"k", b"8", soon),
            lambda: backend.key_set(b"k", b"8", None),
            lambda: backend.counter_incr(b"k", 1, soon),
            lambda: backend.set_expiry(b"k", soon),
            lambda: backend.delete(b"k"),
        ):
            try:
                attempt()
            except StoreRefused as refused:
                assert lacking.upper() in str(refused)
                with server.client() as client:
                    assert (client.get("k"), client.pexpiretime("k")) == before
            with server.client() as client:
                client.set("k", "7", pxat=before[1])


def test_a_full_server(server: RedisServer) -> None:
    with server.client() as client, RedisBackend({"urls": server.url}) as backend:
        client.set("k", "v")
        client.config_set("maxmemory", "1")
        try:
            for attempt in (lambda: backend.key_set(b"k", b"w"), lambda: backend.counter_incr(b"c", 1)):
                with pytest.raises(StoreRefused, match="maxmemory"):
                    attempt()
            assert backend.key_get(b"k") == b"v"
            assert backend.delete(b"k") is not None, "deleting is still possible"
        finally:
            client.config_set("maxmemory", "0")


def test_a_server_that_cannot_save() -> None:
    own = RedisServer("valkey", "--save", "3600 1", "--stop-writes-on-bgsave-error", "yes")
    with own.client() as client, RedisBackend({"urls": own.url}) as backend:
        client.set("k", "v")
        (own.folder / "dump.rdb").mkdir()
        client.bgsave()
        deadline = time.monotonic() + 20
        while client.info("persistence")["rdb_last_bgsave_status"] == "ok" and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(StoreRefused, match="cannot save"):
            backend.key_set(b"k", b"w")
        assert backend.key_get(b"k") == b"v"
    own.kill()  # it would not end politely without saving


def test_a_replica_is_read_only(server: RedisServer) -> None:
    replica = RedisServer(server.flavour, "--replicaof", f"127.0.0.1 {server.port}", "--repl-diskless-sync-delay", "0")
    with server.client() as client, replica.client() as copy, RedisBackend({"urls": replica.url}) as backend:
        client.config_set("repl-diskless-sync-delay", "0")
        client.set("k", "v")
        deadline = time.monotonic() + 20
        while copy.get("k") != b"v" and time.monotonic() < deadline:
            time.sleep(0.02)
        assert backend.key_get(b"k") == b"v"
        for attempt in (
            lambda: backend.key_set(b"k", b"w"),
            lambda: backend.delete(b"k"),
            lambda: backend.counter_incr(b"c", 1),
            lambda: backend.key_delete(b"k"),
        ):
            with pytest.raises(ReadOnly) as refused:
                attempt()
            assert "replica" in str(refused.value)
        (role,) = [step for step in backend.check() if step.name == "Role"]
        assert role.state is CheckState.WARN
    replica.stop()


def test_a_policy_that_drops_keys_is_warned_of(server: RedisServer) -> None:
    with server.client() as client, RedisBackend({"urls": server.url}) as backend:
        for policy, limit, expected in (
            ("noeviction", "100mb", CheckState.OK),
            ("allkeys-lru", "100mb", CheckState.WARN),
            ("volatile-ttl", "100mb", CheckState.WARN),
            ("allkeys-lru", "0", CheckState.OK),
        ):
            client.config_set("maxmemory-policy", policy)
            client.config_set("maxmemory", limit)
            (memory,) = [step for step in backend.check() if step.name == "Memory"]
            assert memory.state is expected, policy
        client.config_set("maxmemory-policy", "noeviction")


def _shifted(difference: float) -> float:
    return time.time() - difference


def test_a_clock_that_is_wrong_is_warned_of(server: RedisServer) -> None:
    for difference, expected in ((-30.0, "behind"), (45.0, "ahead of"), (0.0, "")):
        with RedisBackend({"urls": server.url}, clock=partial(_shifted, difference)) as backend:
            (clock,) = [step for step in backend.check() if step.name == "Clock"]
        assert clock.state is (CheckState.WARN if expected else CheckState.OK)
        assert expected in clock.detail


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(certificates: Certificates) -> Iterator[tuple[RedisServer, str]]:
    """A server that takes only TLS with a client certificate on its second port (Valkey's wheel has no TLS inside)."""
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", str(certificates.server), "--tls-key-file", str(certificates.server_key)]
    server = RedisServer("redis", *options, "--tls-ca-cert-file", str(certificates.ca), "--tls-auth-clients", "yes")
    yield server, f"127.0.0.1:{port}"
    server.stop()


def test_tls_with_its_authority_and_a_client_certificate(secure: tuple[RedisServer, str], certificates: Certificates) -> None:
    settings = {"urls": f"rediss://{secure[1]}", **certificates.settings()}
    with RedisBackend(settings) as backend:
        backend.key_set(b"k", b"v")
        assert backend.key_get(b"k") == b"v"
        steps = {step.name: step for step in backend.check()}
        assert all(step.state is CheckState.OK for step in steps.values())
        assert steps["TLS"].detail.startswith("TLSv1.")


def test_tls_with_an_unknown_authority(secure: tuple[RedisServer, str], certificates: Certificates) -> None:
    client_only = {name: value for name, value in certificates.settings().items() if name != "tls.ca-file"}
    every_call_fails({"urls": f"rediss://{secure[1]}", **client_only}, StoreRefused, "certificate", "tls.ca-file")
    for settings in ({"urls": f"rediss://{secure[1]}#insecure"}, {"urls": f"rediss://{secure[1]}", "tls.allow-invalid-certs": "true"}):
        with RedisBackend({**settings, **client_only}) as backend:
            assert backend.key_exists(b"k") in (True, False)
            (tls,) = [step for step in backend.check() if step.name == "TLS"]
            assert tls.state is CheckState.WARN


def test_tls_for_another_host(secure: tuple[RedisServer, str], certificates: Certificates) -> None:
    port = secure[1].partition(":")[2]
    every_call_fails({"urls": f"rediss://localhost:{port}", **certificates.settings()}, StoreRefused, "certificate")


def test_tls_where_there_is_none_and_none_where_there_is(
    server: RedisServer, secure: tuple[RedisServer, str], certificates: Certificates
) -> None:
    settings = {"urls": server.url.replace("redis:", "rediss:"), "timeout": "500ms", "read-timeout": "500ms", **certificates.settings()}
    with RedisBackend(settings) as backend, pytest.raises(StoreError):
        backend.ping()
    with RedisBackend({"urls": f"redis://{secure[1]}", "read-timeout": "500ms"}) as backend, pytest.raises(StoreUnavailable):
        backend.ping()


def test_tls_without_a_client_certificate(secure: tuple[RedisServer, str], certificates: Certificates) -> None:
    with (
        RedisBackend({"urls": f"rediss://{secure[1]}", "tls.ca-file": str(certificates.ca)}) as backend,
        pytest.raises(StoreError) as failed,
    ):
        backend.ping()
    assert failed.value.fix


# what cannot be provoked


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (driver.BusyLoadingError("Redis is loading the dataset in memory", status_code="LOADING"), StoreUnavailable, "still loading"),
        (driver.ResponseError("BUSY Redis is busy running a script."), StoreUnavailable, "busy running a script"),
        (driver.ResponseError("NOREPLICAS Not enough good replicas to write."), StoreRefused, "too few replicas"),
        (driver.MasterDownError("Link with MASTER is down"), StoreUnavailable, "lost its primary"),
        (driver.ClusterDownError("The cluster is down"), StoreUnavailable, "Part of the cluster"),
        (driver.SlotNotCoveredError("slot 5"), StoreUnavailable, "Part of the cluster"),
        (
            driver.ResponseError("Can not execute a command 'type' while the cluster is down script: on @user_script:18."),
            StoreUnavailable,
            "Part of the cluster",
        ),
        (driver.TryAgainError("Multiple keys request during rehashing of slot"), StoreUnavailable, "moving this key"),
        (driver.MovedError("1 127.0.0.1:7000"), StoreRefused, "redis-type to cluster"),
        (driver.ConnectionError("max number of clients reached"), StoreUnavailable, "maxclients"),
        (driver.ResponseError("DENIED Redis is running in protected mode because"), StoreRefused, "protected mode"),
        (driver.MaxConnectionsError("Too many connections"), StoreUnavailable, "in use"),
        (driver.TimeoutError("Timeout connecting to server"), StoreUnavailable, "accept a connection within 2 s"),
        (driver.TimeoutError("Timeout reading from h:1"), StoreUnavailable, "answer within 5 s"),
        (ConnectionResetError(104, "Connection reset by peer"), StoreUnavailable, "broke"),
        (driver.ResponseError(f"ERR what about {SECRET}?"), StoreRefused, "what about ***?"),
        (
            driver.ResponseError(
                "Error running script (call to f_1): @user_script:1: -READONLY You can't write against a read only replica."
            ),
            StoreRefused,
            "read only replica",
        ),
    ],
)
def test_replies_that_are_hard_to_provoke(error: Exception, kind: type[StoreError], words: str) -> None:
    found = translate(error, read_settings({"urls": f"redis://:{SECRET}@h:1"}))
    assert isinstance(found, kind)
    assert words in str(found)
    assert found.fix
    assert SECRET not in str(found)


# stalls


def test_a_stalled_server_is_given_up_within_the_timeout(server: RedisServer) -> None:
    own = RedisServer(server.flavour)
    with RedisBackend({"urls": own.url, "read-timeout": "500ms"}) as backend:
        backend.key_set(b"k", b"v")
        own.pause()
        try:
            for call in (lambda: backend.get(b"k"), lambda: backend.scan(), lambda: backend.key_set(b"k", b"w"), lambda: backend.ping()):
                started = time.monotonic()
                with pytest.raises(StoreUnavailable, match=r"within 0\.5 s|not known"):
                    call()
                assert time.monotonic() - started < 2.5
        finally:
            own.resume()
        assert backend.key_get(b"k") in (b"v", b"w"), "recovery needs no restart"
    own.stop()


def test_a_server_that_never_accepts() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with RedisBackend({"urls": f"redis://127.0.0.1:{port}", "timeout": "300ms", "read-timeout": "300ms"}) as backend:
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                backend.ping()
            assert time.monotonic() - started < 2
        for filler in fillers:
            filler.close()


def test_a_write_whose_answer_was_lost_says_that_nobody_knows(server: RedisServer) -> None:
    """A proxy that swallows the answer: the change may have been made, and only a look can tell."""
    with _Proxy(server.port) as proxy, RedisBackend({"urls": f"redis://127.0.0.1:{proxy.port}"}) as backend:
        assert backend.counter_incr(b"c", 1) == 1
        proxy.swallow = True
        with pytest.raises(StoreUnavailable, match="not known whether the change was made"):
            backend.counter_incr(b"c", 1)
        proxy.swallow = False
        assert backend.counter_get(b"c") == 2, "sent once, never twice"


class _Proxy:
    """Forwards to a server; with `swallow` it breaks the connection instead of passing on an answer."""

    def __init__(self, target: int) -> None:
        self.target, self.swallow = target, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open: list[socket.socket] = []

    def __enter__(self) -> _Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self.listener, *self.open):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", self.target))
            self.open += [client, upstream]
            threading.Thread(target=self._pump, args=(client, upstream, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(upstream, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if answers and self.swallow:
                    break
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def test_sentinels_say_what_is_wrong() -> None:
    owner = SentinelSet("valkey", password="pw-data", sentinel_password="pw-watch")
    try:
        settings = owner.settings()
        with RedisBackend(settings) as backend:
            assert backend.ping().server
            assert all(step.state is CheckState.OK for step in backend.check())
        for wrong, kind, words in (
            ({"sentinelSecret": SECRET}, StoreRefused, "sentinelSecret"),
            ({"authSecret": SECRET}, StoreRefused, "authSecret"),
            ({"serviceName": "other"}, StoreUnavailable, "serviceName"),
        ):
            with RedisBackend({**settings, **wrong}) as backend:
                backend.link.patience = 0.2
                with pytest.raises(kind, match=words):
                    backend.get(b"k")
                last = backend.check()[-1]
                assert last.state is CheckState.FAILED
                assert SECRET not in repr(last)
    finally:
        owner.close()


def test_a_bad_setting_opens_nothing() -> None:
    with pytest.raises(BadConfig):
        RedisBackend({"urls": ""})
