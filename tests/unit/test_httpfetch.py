"""Fetching lists over HTTP: what is read, what is refused, and that nobody on the other side can hurt."""

from __future__ import annotations

import base64
import datetime
import gzip
import itertools
import socket
import ssl
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from stores.backends.http import HttpBackend
from stores.backends.httpfetch import fetch
from stores.backends.httpwire import forbidden
from stores.codecs.httplists import HttpOptions
from stores.errors import BadConfig, ReadOnly, StoreError, StoreRefused, StoreUnavailable
from stores.types import Kind
from tests.servers.listserver import ListServer, ok

Send = Callable[[bytes], None]


def options(url: str, **changes: Any) -> HttpOptions:
    return replace(HttpOptions(url, csv=False, allow_private=True, timeout=10.0), **changes)


def test_a_list_is_fetched() -> None:
    with ListServer(ok(b"a\nb\n", 'ETag: "v1"\r\n')) as server:
        found = fetch(options(server.url + "/some list?x=1"))
    assert found.entries == (("a", ""), ("b", ""))
    assert (found.cut, found.bytes, found.etag) == (False, 4, '"v1"')
    (path, headers), *others = server.requests
    assert path == "/some%20list?x=1"
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert "authorization" not in headers
    assert others == []


def test_a_packed_table_is_fetched() -> None:
    body = gzip.compress(b"a,1\n") + gzip.compress(b"b,2\n")
    with ListServer(ok(body)) as server:
        found = fetch(options(server.url, csv=True, value_index=1, gzipped=True))
    assert found.entries == (("a", "1"), ("b", "2"))
    with ListServer(ok(gzip.compress(b"c\n"), "Content-Encoding: gzip\r\n")) as server:
        assert fetch(options(server.url)).entries == (("c", ""),)


def test_pieces_of_unknown_length_are_put_together() -> None:
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\nb\r\n2\r\nc\n\r\n0\r\n\r\n"
    with ListServer(body) as server:
        assert fetch(options(server.url)).entries == (("a", ""), ("bc", ""))
    with ListServer(b"HTTP/1.0 200 OK\r\n\r\na\nb\n") as server:
        assert fetch(options(server.url)).entries == (("a", ""), ("b", ""))


def test_an_unchanged_list_is_not_sent_again() -> None:
    def answer(path: str, headers: dict[str, str], send: Send) -> None:
        send(b"HTTP/1.1 304 Not Modified\r\n\r\n" if headers.get("if-none-match") == '"v1"' else ok(b"a\n"))

    with ListServer(answer) as server:
        assert fetch(options(server.url), etag='"v1"').entries is None
        assert fetch(options(server.url), etag='"v0"').entries == (("a", ""),)


def test_redirects_are_followed_and_the_password_stays_at_home() -> None:
    with ListServer(ok(b"a\n")) as other:

        def answer(path: str, headers: dict[str, str], send: Send) -> None:
            target = {"/start": "/next", "/next": f"http://localhost:{other.port}/there"}[path]
            send(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())

        with ListServer(answer) as server:
            url = server.url.replace("//", "//me:s%40cret@")
            assert fetch(options(url + "/start")).entries == (("a", ""),)
    sent = [headers.get("authorization") for _, headers in server.requests]
    assert sent == ["Basic " + base64.b64encode(b"me:s@cret").decode()] * 2
    assert [(path, headers.get("authorization")) for path, headers in other.requests] == [("/there", None)]


@pytest.mark.parametrize(
    ("location", "kind", "words"),
    [
        ("file:///etc/passwd", BadConfig, "not one of http or https"),
        ("http://0.0.0.0/", StoreRefused, "no address of a machine"),
        ("http://[ff02::1]/", StoreRefused, "no address of a machine"),
        ("/again", StoreRefused, "redirects more than 5 times"),
        ("http://host:port/", BadConfig, "cannot be read"),
    ],
)
def test_redirects_are_checked_again(location: str, kind: type[StoreError], words: str) -> None:
    with (
        ListServer(f"HTTP/1.1 301 Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()) as server,
        pytest.raises(kind, match=words),
    ):
        fetch(options(server.url))


@pytest.mark.parametrize(("status", "words"), [(404, "answered 404"), (500, "answered 500"), (304, "answered 304")])
def test_other_answers_than_2xx_are_failures(status: int, words: str) -> None:
    with ListServer(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()) as server:
        with pytest.raises(StoreRefused, match=words) as caught:
            fetch(options(server.url.replace("//", "//me:secret@") + "/x?token=secret"))
        assert "secret" not in str(caught.value)


# reach


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1", "this machine"),
        ("127.8.8.8", "this machine"),
        ("::1", "this machine"),
        ("10.1.2.3", "private"),
        ("192.168.1.1", "private"),
        ("172.16.0.1", "private"),
        ("100.64.0.1", "private"),
        ("fc00::1", "private"),
        ("169.254.169.254", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("0.0.0.0", "no address"),
        ("::", "no address"),
        ("224.0.0.1", "no address"),
        ("240.0.0.1", "private"),
        ("::ffff:127.0.0.1", "this machine"),
        ("64:ff9b::7f00:1", "this machine"),
        ("2002:7f00:1::", "this machine"),
        ("::127.0.0.1", "private"),
        ("192.0.2.1", "private"),
        ("1.1.1.1", ""),
        ("2606:4700::1111", ""),
        ("::ffff:1.1.1.1", ""),
    ],
)
def test_which_addresses_are_refused(address: str, words: str) -> None:
    why = forbidden(address, False)
    assert (words in why) if words else (why == "")
    assert forbidden(address, True) == ("" if words != "no address" else why)


def test_this_machine_is_refused_unless_allowed() -> None:
    with ListServer(ok(b"a\n")) as server:
        for url in (server.url, f"http://localhost:{server.port}", f"http://[::ffff:127.0.0.1]:{server.port}"):
            with pytest.raises(StoreRefused, match="an address of this machine") as caught:
                fetch(options(url, allow_private=False))
            assert "allow-private" in caught.value.fix
        assert server.requests == []
        assert fetch(options(server.url)).entries == (("a", ""),)


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("1.1.1.1", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    with pytest.raises(StoreRefused, match=r"leads to 10\.0\.0\.1"):
        fetch(options("http://public.example/", allow_private=False))


def test_the_address_that_was_checked_is_the_one_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []

    def connect(address: Any, timeout: float) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 80))])
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(StoreUnavailable, match="refuses connections"):
        fetch(options("http://public.example/", allow_private=False))
    assert connected == [("1.1.1.1", 80)]


# those who send too much, too slowly, or nonsense


def test_an_endless_answer_is_cut_at_its_limit() -> None:
    def answer(path: str, headers: dict[str, str], send: Send) -> None:
        send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            send(b"x" * 65_536)

    with ListServer(answer) as server, pytest.raises(StoreRefused, match="more than 3,000,000 bytes"):
        fetch(options(server.url, max_size=3_000_000))
    with ListServer(ok(b"a\nb\n")) as server:
        assert fetch(options(server.url, max_size=4)).entries is not None
        with pytest.raises(StoreRefused, match="more than 3 bytes"):
            fetch(options(server.url, max_size=3))


def test_an_endless_list_ends_with_the_limit_of_entries() -> None:
    def answer(path: str, headers: dict[str, str], send: Send) -> None:
        send(b"HTTP/1.1 200 OK\r\n\r\n")
        for number in itertools.count():
            send(b"".join(b"%d\n" % n for n in range(number * 1000, number * 1000 + 1000)))

    with ListServer(answer) as server:
        found = fetch(options(server.url, max_entries=5000))
    assert found.entries is not None
    assert len(found.entries) == 5000
    assert found.cut


def test_a_gzip_bomb_stays_small() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    nested = gzip.compress(b"x" * 1000) * 5000
    for body in (bomb, nested):
        with ListServer(ok(body)) as server:
            tracemalloc.start()
            with pytest.raises(StoreRefused, match="more than 1,000,000 bytes after unpacking"):
                fetch(options(server.url, gzipped=True, max_size=1_000_000))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 5_000_000


@pytest.mark.parametrize("where", ["header", "body", "nothing"])
def test_a_slow_sender_is_cut_at_the_deadline(where: str) -> None:
    def answer(path: str, headers: dict[str, str], send: Send) -> None:
        if where == "body":
            send(b"HTTP/1.1 200 OK\r\n\r\na\n")
        elif where == "header":
            send(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not server.wait(0.02):
            if where != "nothing":
                send(b"x")

    with ListServer(answer) as server:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"not read within 0\.4 s"):
            fetch(options(server.url, timeout=0.4))
        assert 0.3 < time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na\n", "ended before all"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na\n", "could not be read"),
        (b"not HTTP at all\r\n\r\n", "could not be read"),
        (b"", "could not be read"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", "could not be read"),
    ],
)
def test_broken_answers_are_failures(answer: bytes, words: str) -> None:
    with ListServer(answer) as server, pytest.raises(StoreUnavailable, match=words):
        fetch(options(server.url))


def test_broken_gzip_is_a_failure() -> None:
    with ListServer(ok(b"plain text")) as server, pytest.raises(StoreRefused, match="not packed with gzip"):
        fetch(options(server.url, gzipped=True))
    with ListServer(ok(gzip.compress(b"a\nb\n" * 100)[:-9])) as server, pytest.raises(StoreUnavailable, match="ended before all"):
        fetch(options(server.url, gzipped=True))


def test_nobody_there() -> None:
    with ListServer(b"") as server:
        port = server.port
    with pytest.raises(StoreUnavailable, match="refuses connections"):
        fetch(options(f"http://me:secret@127.0.0.1:{port}/"))
    with pytest.raises(StoreUnavailable, match="not known"):
        fetch(options("http://no-such-name.invalid/"))


def test_a_certificate_that_is_not_trusted_is_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with ListServer(ok(b"a\n"), context) as server, pytest.raises(StoreRefused, match="certificate of localhost is not trusted"):
        fetch(options(f"https://localhost:{server.port}/"))


# the backend


def backend(url: str = "https://lists.example.org/x", **extras: Any) -> HttpBackend:
    return HttpBackend({"url": url, "format": "list", "allow-private": "true"}, clock=lambda: 7200.0, **extras)


def test_before_the_first_fetch_nothing_matches_and_nothing_is_listed() -> None:
    with backend() as store:
        assert (store.key_get(b"a"), store.key_exists(b"a")) == (None, False)
        for attempt in (store.scan, store.ping, store.count, lambda: store.get(b"a"), lambda: next(store.census())):
            with pytest.raises(StoreUnavailable, match="not been fetched yet"):
                attempt()
    with backend(fetched_at=0.0) as store:
        assert store.scan().entries == ()
        assert store.count() == (0, True)


def test_the_copy_answers_as_the_server_does() -> None:
    with backend(entries=(("a", ""), ("b", "text"), ("*", ""), ("n", "7"))) as store:
        assert [store.answer(key) for key in ("a", "b", "*", "c", "n", "A")] == [1, "text", 1, None, "7", None]
        assert (store.key_get(b"a"), store.key_get(b"b"), store.key_exists(b"c")) == (b"1", b"text", False)
        assert [(entry.key, entry.value, entry.kind) for entry in store.scan(limit=2).entries] == [
            (b"*", b"", Kind.VALUE),
            (b"a", b"", Kind.VALUE),
        ]
        with pytest.raises(ReadOnly, match="HTTP lookups are read only"):
            store.key_set(b"a", b"v")
        assert store.ping().server == "copy of a list from lists.example.org"


def test_the_connection_test_fetches_a_beginning() -> None:
    body = b"".join(b"%d\n" % number for number in range(5000))
    with ListServer(ok(body)) as server:
        fresh, known = backend(server.url).check(), backend(server.url, entries=(("a", ""),), fetched_at=0.0).check()
    assert [(check.name, check.state) for check in fresh] == [("Fetch", "ok"), ("Copy", "warn")]
    assert fresh[0].detail.startswith("More than 1,000 entries")
    assert known[1].detail == "1 entry, 2.0 hours old"
    with ListServer(ok(b"\n")) as server:
        assert [check.state for check in backend(server.url).check()] == ["warn"]
    (failed,) = backend(server.url).check()
    assert (failed.state, bool(failed.fix)) == ("failed", True)
