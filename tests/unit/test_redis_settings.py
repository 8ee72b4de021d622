"""Settings of a Redis store: every URL form, and clear refusals that never repeat a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from stores.backends.redis import RedisBackend
from stores.backends.redis_settings import SETTINGS, read_settings, read_url, split_urls
from stores.errors import BadConfig

SECRET = "s3cret/p@ss"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://10.0.0.5", ("10.0.0.5", 6379, 0, "", "", False)),
        ("redis://mail.example.org:6380/3", ("mail.example.org", 6380, 3, "", "", False)),
        ("redis://:s3cret%2Fp%40ss@h", ("h", 6379, 0, "", SECRET, False)),
        ("redis://st%40lwart:s3cret%2Fp%40ss@h:1/15", ("h", 1, 15, "st@lwart", SECRET, False)),
        ("rediss://user:pw@h", ("h", 6379, 0, "user", "pw", True)),
        ("rediss://h/1#insecure", ("h", 6379, 1, "", "", True)),
        ("redis://[::1]:7000", ("::1", 7000, 0, "", "", False)),
        ("redis://h?db=4", ("h", 6379, 4, "", "", False)),
        ("h:7000", ("h", 7000, 0, "", "", False)),
        ("h", ("h", 6379, 0, "", "", False)),
    ],
)
def test_urls_of_servers(url: str, expected: tuple[object, ...]) -> None:
    found = read_url(url)
    assert (found.host, found.port, found.db, found.user, found.password, found.secure) == expected
    assert found.insecure == url.endswith("#insecure")
    assert SECRET not in repr(found)


@pytest.mark.parametrize("scheme", ["redis+unix", "unix"])
def test_urls_of_sockets(scheme: str) -> None:
    found = read_url(f"{scheme}:///run/redis%20x/redis.sock?db=2&user=u&pass=s3cret%2Fp%40ss")
    assert (found.path, found.db, found.user, found.password) == ("/run/redis x/redis.sock", 2, "u", SECRET)
    assert str(found) == "/run/redis x/redis.sock"


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "redis://",
        "redis://:s3cret@/0",
        "redis://h:port",
        "redis://h:99999",
        "redis://h/zero",
        "redis://h/0/1",
        "redis://h/-1",
        "redis+unix://relative",
        "redis+unix://",
        "redis://user:s3cret@[::1",
    ],
)
def test_wrong_urls_are_refused_by_name(url: str) -> None:
    with pytest.raises(BadConfig) as refused:
        read_url(url)
    assert refused.value.field == "urls"
    assert refused.value.fix
    assert "s3cret" not in str(refused.value)


def test_a_single_server_takes_only_the_first_url() -> None:
    config = read_settings({"urls": "redis://a:1\nredis://b:2"})
    assert [str(address) for address in config.addresses] == ["a:1"]


def test_lists_are_a_url_a_line() -> None:
    assert split_urls(" redis://a \n\nredis://b,redis://c\r\nd:1 ") == ["redis://a", "redis://b", "redis://c", "d:1"]
    assert split_urls("redis://:a,b@h") == ["redis://:a,b@h"], "a comma may be part of a password"


def test_a_cluster_takes_all_urls_and_its_own_login() -> None:
    config = read_settings({"redis-type": "cluster", "urls": "redis://a:1\nredis://b:2", "user": "u", "password": "pw"})
    assert [str(address) for address in config.addresses] == ["a:1", "b:2"]
    assert (config.user, config.password) == ("u", "pw")
    assert "pw" not in repr(config)
    config = read_settings({"redis-type": "cluster", "urls": "redis://u2:pw2@a:1"})
    assert (config.user, config.password) == ("u2", "pw2")


def test_a_single_server_takes_its_login_from_the_url_only() -> None:
    config = read_settings({"urls": "redis://u:pw@a", "user": "other", "password": "other"})
    assert (config.user, config.password) == ("u", "pw")


def test_sentinels_have_a_login_of_their_own() -> None:
    settings = {"redis-type": "sentinel", "urls": "redis://s1\nredis://s2:26380", "authUsername": "u", "authSecret": "pw"}
    config = read_settings({**settings, "sentinelUsername": "su", "sentinelSecret": "spw"})
    assert [str(address) for address in config.addresses] == ["s1:26379", "s2:26380"]
    assert (config.user, config.password, config.sentinel_user, config.sentinel_password) == ("u", "pw", "su", "spw")
    assert config.service == "mymaster"
    assert read_settings({**settings, "serviceName": "mail"}).service == "mail"
    config = read_settings({"redis-type": "sentinel", "urls": "redis://:spw@s1"})
    assert (config.password, config.sentinel_password) == ("", "spw")


@pytest.mark.parametrize(("text", "seconds"), [("", 2.0), ("10s", 10.0), ("1m", 60.0), ("1500", 1.5), ("250ms", 0.25), ("disable", 2.0)])
def test_the_connect_timeout_is_a_duration(text: str, seconds: float) -> None:
    assert read_settings({"urls": "redis://h", "timeout": text}).connect_seconds == seconds


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "urls"),
        ({"urls": "  "}, "urls"),
        ({"urls": "redis://h", "redis-type": "ring"}, "redis-type"),
        ({"urls": "redis://h", "timeout": "soon"}, "timeout"),
        ({"urls": "redis://h", "protocol-version": "resp4"}, "protocol-version"),
        ({"urls": "rediss://h", "tls.ca-file": "/nonexistent/ca.pem"}, "tls.ca-file"),
        ({"urls": "redis://a\nrediss://b", "redis-type": "cluster"}, "urls"),
        ({"urls": "redis://a/2", "redis-type": "cluster"}, "urls"),
        ({"urls": "redis+unix:///run/r", "redis-type": "cluster"}, "urls"),
        ({"urls": "redis+unix:///run/r", "redis-type": "sentinel"}, "urls"),
    ],
)
def test_wrong_settings_are_refused_by_name_when_the_store_is_opened(settings: dict[str, str], name: str) -> None:
    with pytest.raises(BadConfig) as refused:
        RedisBackend(settings)
    assert refused.value.field == name


def test_tls_verifies_unless_told_otherwise(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("x")
    strict = read_settings({"urls": "rediss://h", "tls.ca-file": str(ca)}).tls_arguments()
    assert (strict["ssl_cert_reqs"], strict["ssl_check_hostname"], strict["ssl_ca_certs"]) == ("required", True, str(ca))
    for settings in ({"urls": "rediss://h#insecure"}, {"urls": "rediss://h", "tls.allow-invalid-certs": "true"}):
        loose = read_settings(settings).tls_arguments()
        assert (loose["ssl_cert_reqs"], loose["ssl_check_hostname"]) == ("none", False)
    assert read_settings({"urls": "redis://h"}).tls_arguments() == {}


def test_every_setting_that_is_read_is_declared() -> None:
    names = {field.name for field in SETTINGS}
    assert {"urls", "redis-type", "user", "password", "timeout", "serviceName", "authUsername", "authSecret"} <= names
    assert {"sentinelUsername", "sentinelSecret", "protocol-version", "read-from-replicas", "retry.total"} <= names
    assert {field.name for field in SETTINGS if field.secret} == {"urls", "password", "authSecret", "sentinelSecret"}
