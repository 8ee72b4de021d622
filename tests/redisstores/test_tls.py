"""TLS to clusters and sentinels: with its authority and a client certificate, with an unknown authority, with any certificate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stores.backends.redis import RedisBackend
from stores.errors import StoreError, StoreRefused
from stores.types import CheckState
from tests.servers.redis import Cluster, RedisServer, SentinelSet
from tests.servers.tls import Certificates

KEYS = [b"k%04d" % number for number in range(300)]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=["cluster", "sentinel"])
def secure(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Cluster | SentinelSet]:
    """Servers that take nothing but TLS and ask for a client certificate (Valkey's wheel has no TLS inside, so Redis 7)."""
    made: Cluster | SentinelSet = (
        Cluster("redis", tls=certificates) if request.param == "cluster" else SentinelSet("redis", tls=certificates)
    )
    yield made
    made.close()


def servers(made: Cluster | SentinelSet) -> list[RedisServer]:
    return made.nodes if isinstance(made, Cluster) else [made.primary, *made.replicas, *made.sentinels]


def open_store(made: Cluster | SentinelSet, **changes: str) -> RedisBackend:
    return RedisBackend({**made.settings(), **{name.replace("_", "-"): value for name, value in changes.items()}})


def test_everything_goes_through_tls(secure: Cluster | SentinelSet, certificates: Certificates) -> None:
    with open_store(secure, **certificates.settings()) as backend:
        for key in KEYS:
            backend.key_set(key, b"v")
        found, cursor = [], None
        while True:
            page = backend.scan(cursor=cursor)
            found += [entry.key for entry in page.entries]
            cursor = page.next
            if cursor is None:
                break
        assert sorted(found) == KEYS
        assert sorted(row.key for step in backend.census() for row in step.rows) == KEYS
        some = backend.scan().entries[:50]
        assert backend.delete_each(some) == list(some)
        steps = backend.check()
        assert not [step for step in steps if step.state is CheckState.FAILED], steps
        assert any(step.name == "TLS" and step.detail.startswith("TLSv1.") for step in steps), steps


def test_an_unknown_authority_is_refused(secure: Cluster | SentinelSet, certificates: Certificates) -> None:
    client_only = {name: value for name, value in certificates.settings().items() if name != "tls.ca-file"}
    with open_store(secure, **client_only) as backend:
        backend.link.patience = 0.5
        for call in (backend.ping, backend.scan, lambda: backend.key_set(b"k", b"v")):
            with pytest.raises(StoreRefused, match="certificate") as caught:
                call()
            assert "tls.ca-file" in caught.value.fix
        assert backend.check()[-1].state is CheckState.FAILED


def test_any_certificate_is_accepted_when_told_so_and_that_is_said(secure: Cluster | SentinelSet, certificates: Certificates) -> None:
    client_only = {name: value for name, value in certificates.settings().items() if name != "tls.ca-file"}
    with open_store(secure, **client_only, **{"tls.allow-invalid-certs": "true"}) as backend:
        backend.key_set(b"any", b"v")
        assert backend.key_get(b"any") == b"v"
        assert any(step.name == "TLS" and step.state is CheckState.WARN for step in backend.check())


def test_without_a_client_certificate(secure: Cluster | SentinelSet, certificates: Certificates) -> None:
    with open_store(secure, **{"tls.ca-file": str(certificates.ca)}) as backend, pytest.raises(StoreError) as caught:
        backend.ping()
    assert caught.value.fix


def test_without_tls(secure: Cluster | SentinelSet) -> None:
    plain = {"urls": secure.settings()["urls"].replace("rediss:", "redis:"), "timeout": "500ms", "read-timeout": "500ms"}
    with open_store(secure, **plain) as backend, pytest.raises(StoreError) as caught:
        backend.ping()
    assert caught.value.fix
