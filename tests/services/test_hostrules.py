"""Where stores may be: loopback and private networks by default, nowhere else when told so, and never at a metadata service."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from pytest_django.fixtures import Settings

from stores import hostrules
from stores.errors import StoreRefused
from stores.models import Store
from stores.registry import open_store
from stores.services import definitions
from stores.services import health as connection
from stores.services.health import health
from stores.services.transport import transport
from tests.fixtures_path import ROOT
from tests.running_up import clean_environment
from tests.services.conftest import ACTOR

REDIS = "redis://:s3cret@{}:6379/0"


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "::1", "fd12::1", "203.0.113.9", "2001:db8::1"])
def test_everywhere_but_a_few_places_is_allowed(address: str) -> None:
    assert hostrules.forbidden(address) == ""


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200", "224.0.0.1", "ff02::1"]
)
def test_metadata_services_and_link_local_networks_never_are(address: str) -> None:
    assert hostrules.forbidden(address)


def test_the_lists_narrow_it(settings: Settings) -> None:
    settings.KVADMIN_STORE_NETWORKS = ("10.0.0.0/8", "::1/128")
    settings.KVADMIN_STORE_NETWORKS_DENIED = ("10.9.0.0/16",)
    found = {address: bool(hostrules.forbidden(address)) for address in ("10.1.1.1", "10.9.1.1", "127.0.0.1", "::1")}
    assert found == {"10.1.1.1": False, "10.9.1.1": True, "127.0.0.1": True, "::1": False}


@pytest.mark.parametrize(
    ("type_name", "values", "hosts"),
    [
        ("redis", {"urls": "redis://a:1/0 rediss://u:p@[::1]:2,redis+unix:///s"}, ["a", "::1"]),
        ("postgresql", {"host": " db "}, ["db"]),
        ("mysql", {}, []),
        ("sqlite", {"path": "/x", "host": "y"}, []),
        ("redis", {"urls": "redis://["}, []),
    ],
)
def test_hosts_of_the_settings(type_name: str, values: dict[str, str], hosts: list[str]) -> None:
    assert list(hostrules.hosts_of(type_name, values)) == hosts


@pytest.mark.django_db
def test_a_store_there_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: [(socket.AF_INET, 1, 6, "", ("169.254.169.254", 0))])
    store = definitions.create_store(ACTOR, id="r", type="redis", settings={"urls": REDIS.format("innocent.example")})
    with pytest.raises(StoreRefused, match=r"innocent\.example leads to 169\.254\.169\.254"):
        open_store(store)
    assert health(store).state == "refused"
    assert "s3cret" not in health(store).message
    (step,) = connection.test_connection("redis", {"urls": REDIS.format("innocent.example")})
    assert "169.254.169.254" in step.detail


def test_the_address_that_is_connected_to_is_looked_at_again() -> None:
    """What a name server or a cluster answers later cannot lead there either."""
    code = (
        "import socket; from stores import hostrules; hostrules.guard_sockets(); hostrules.guard_sockets()\n"
        "try: socket.create_connection(('169.254.169.254', 80), 1)\n"
        "except PermissionError as error: print(error)\n"
        "server = socket.create_server(('127.0.0.1', 0)); socket.create_connection(server.getsockname()).close(); print('here')"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False)
    assert found.stdout.splitlines() == ["[Errno 13] connections to 169.254.169.254 are not allowed", "here"], found.stderr


@pytest.mark.parametrize(
    ("type_name", "values", "state", "words"),
    [
        ("redis", {"urls": "redis://10.0.0.1:1"}, "warn", "Not encrypted"),
        ("redis", {"urls": "redis://127.0.0.1:1"}, "ok", "within this machine"),
        ("redis", {"urls": "rediss://r.example:1"}, "ok", "certificate is checked"),
        ("redis", {"urls": "rediss://r.example:1", "tls.allow-invalid-certs": "true"}, "warn", "any certificate"),
        ("redis", {"urls": "redis+unix:///run/x"}, "ok", "socket"),
        ("postgresql", {"host": "db.example", "tls.enable": "true"}, "ok", "certificate is checked"),
        ("mysql", {"host": "db.example"}, "warn", "Not encrypted"),
        ("http", {"url": "http://lists.example/x"}, "warn", "not encrypted"),
        ("sqlite", {"path": "/x"}, "off", "file"),
    ],
)
def test_the_page_says_how_a_store_is_reached(type_name: str, values: dict[str, str], state: str, words: str) -> None:
    found = transport(Store(id="x", type=type_name, settings=values))  # type: ignore[misc]
    assert found.state == state and words in found.text
    assert bool(found.fix) is (state == "warn")
