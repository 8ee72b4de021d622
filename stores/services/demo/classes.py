"""Rows of every class that a Stalwart of the given version writes, a few thousand in all, many of them expired."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Final

import blake3
import xxhash

from stores.codecs import bincode
from stores.codecs.bincode import OAuthCode
from stores.codecs.numbers import put_leb128, put_u32, put_u64
from stores.keyclasses.base import minor
from stores.keyclasses.bayes import join_weights
from stores.keyclasses.reputation import pack
from stores.services.demo import archives
from stores.services.demo.world import BAD, DAY, GOOD, GUESSES, HAM_WORDS, HOUR, MINUTE, OWN, SPAM_WORDS, DemoRow, World, account, ip

Rows = Iterator[DemoRow]


def rows(now: int, version: str, seed: int = 1) -> Rows:
    """All rows of a store of that version ("0.11" or "0.16") at that time, the same ones for the same seed; keys are unique."""
    world = World(now, version, seed)
    seen: set[bytes] = set()
    for since, until, make in _CLASSES:
        if since <= minor(version) <= until:
            for row in make(world):
                if row.key not in seen:
                    seen.add(row.key)
                    yield row


def smtp_window(world: World, parts: str, period: int, limit: int, count: int, at: int) -> DemoRow:
    """A window of an SMTP limiter: BLAKE3 over the subject, the rate and the direction (store-formats c.6)."""
    digest = blake3.blake3(parts.encode() + put_u64(period) + put_u64(limit) + b"inbound").digest()
    return world.window(0x06, digest, period, count, at)


def message_id(world: World, domain: str) -> str:
    return f"{world.token(12)}.{world.random.randrange(10**9)}@{domain}"


def _acme(world: World) -> Rows:
    for _ in range(3):
        token = hashlib.sha256(world.token(20).encode()).hexdigest()[:43]
        yield DemoRow(b"\x00" + token.encode(), f"{token}.{world.token(43)}".encode(), expires_at=world.ago(2 * HOUR) + HOUR)
    for name in (f"mx1.{OWN[0]}", f"autoconfig.{OWN[0]}"):
        yield DemoRow(
            b"\x00" + name.encode(), archives.certificate(name, world.now - 5 * MINUTE, world.version), expires_at=world.now + 55 * MINUTE
        )


def oauth_codes(world: World, start: int) -> Rows:
    """One authorization begun at `start`: an authorization code, or a device code with its user code."""
    number, later = world.random.choice(world.accounts), minor(world.version) >= 16
    pkce = ("S256", world.token(43), "openid") if later else (None, None, None)
    if world.random.random() < 0.5:
        code = OAuthCode(0, number, "webadmin", world.token(16), f"https://mail.{OWN[0]}/callback", *pkce)
        yield DemoRow(b"\x01" + world.token(40).encode(), archives.oauth(code, world.version), expires_at=start + 10 * MINUTE)
        return
    device, user = world.token(40), f"{world.token(4)}-{world.token(4)}".upper()
    code = OAuthCode(2, 0xFFFFFFFF, "thunderbird", None, device, *pkce)
    for key in (device, user):
        yield DemoRow(b"\x01" + key.encode(), archives.oauth(code, world.version), expires_at=start + 30 * MINUTE)


def _oauth(world: World) -> Rows:
    for _ in range(18):
        yield from oauth_codes(world, world.ago(2 * HOUR))


def _fail2ban(world: World) -> Rows:
    few = world.random.expovariate
    for _ in range(150):
        yield world.window(0x05, ip(world.attacker()), DAY, 1 + int(few(0.08)), world.ago(4 * DAY))
        yield world.window(0x05, f"{world.random.choice(GUESSES)}@{OWN[0]}".encode(), DAY, 1 + int(few(0.2)), world.ago(4 * DAY))
    for _ in range(60):
        yield world.window(0x02, ip(world.attacker()), DAY, 1 + int(few(0.2)), world.ago(4 * DAY))
        yield world.window(
            0x02,
            f"{world.random.choice(GUESSES)}{world.random.randrange(40)}@{OWN[0]}".encode(),
            DAY,
            1 + int(few(0.5)),
            world.ago(4 * DAY),
        )
    for _ in range(120):
        yield world.window(0x03, ip(world.attacker()), DAY, 1 + int(few(0.1)), world.ago(6 * DAY))
    for _ in range(50):
        yield world.window(0x04, ip(world.attacker()), DAY, 1 + int(few(0.1)), world.ago(6 * DAY))


def _requests(world: World) -> Rows:
    for _ in range(25):
        yield world.window(0x07, ip(world.random.choice(world.homes)), HOUR, world.random.randint(1, 5), world.ago(12 * HOUR))
    for number in world.accounts:
        for _ in range(4):
            yield world.window(0x08, account(number), MINUTE, world.random.randint(1, 90), world.ago(20 * MINUTE))
    for _ in range(220):
        yield world.window(
            0x09, ip(world.random.choice(world.homes + world.attackers)), MINUTE, world.random.randint(1, 30), world.ago(30 * MINUTE)
        )


def _smtp(world: World) -> Rows:
    for _ in range(180):
        yield smtp_window(world, world.random.choice(world.servers), 1, 5, world.random.randint(1, 6), world.ago(5 * MINUTE))
    for _ in range(160):
        parts = world.own_address() + world.sender().partition("@")[2]
        yield smtp_window(world, parts, HOUR, 25, 1 + int(world.random.expovariate(0.3)), world.ago(5 * HOUR))


def _token_revisions(world: World) -> Rows:
    for number in world.accounts[:14]:
        yield DemoRow(b"\x0b" + account(number), counter=world.random.randint(1, 9), expires_at=world.ago(20 * DAY) + 30 * DAY)


def _quota(world: World) -> Rows:
    for number in world.accounts[:10]:
        uploads = world.random.randint(1, 12)
        row = world.window(
            0x0B, account(number), HOUR, uploads << 44 | uploads * world.random.randint(20_000, 900_000), world.ago(3 * HOUR)
        )
        yield row


def _score(world: World, good: bool) -> bytes:
    count = 1 + int(world.random.expovariate(0.05))
    return pack(count, round(count * world.random.gauss(-1.2 if good else 6.5, 1.0), 2))


def _reputation(world: World) -> Rows:
    def expiry() -> int:
        return world.ago(38 * DAY) + 30 * DAY

    for address in world.servers:
        yield DemoRow(b"\x0c" + ip(address), _score(world, True), expires_at=expiry())
    for address in world.attackers:
        yield DemoRow(b"\x0c" + ip(address), _score(world, False), expires_at=expiry())
    for _ in range(140):
        good = world.random.random() < 0.7
        sender = world.sender(good=good)
        text = sender if good else f"_{sender.partition('@')[2]}"
        yield DemoRow(b"\x0d" + text.encode(), _score(world, good), expires_at=expiry())
    for domain in GOOD:
        yield DemoRow(b"\x0e" + domain.encode(), _score(world, True), expires_at=expiry())
    for domain in BAD:
        yield DemoRow(b"\x0e_" + domain.encode(), _score(world, False), expires_at=expiry())
    for number in range(64496, 64512):
        yield DemoRow(b"\x0f" + put_u32(number), _score(world, number % 3 != 0), expires_at=expiry())


def greylisted(world: World, at: int) -> DemoRow:
    """A pair of sender and recipient, glued as Stalwart does."""
    sender = world.sender(good=world.random.random() < 0.5) if world.random.random() < 0.96 else ""
    return DemoRow(b"\x10" + sender.encode() + world.own_address().encode(), b"", expires_at=at + 30 * DAY)


def _greylist(world: World) -> Rows:
    for _ in range(320):
        yield greylisted(world, world.ago(36 * DAY))


def bayes_tokens(world: World, spam: bool) -> list[bytes]:
    """Tokens of one message: words, short pairs in clear, long ones hashed, typed ones."""
    words = SPAM_WORDS if spam else HAM_WORDS
    first, second = world.random.choice(words), world.random.choice(words)
    pair = f"{first} {second}".encode()
    hashed = xxhash.xxh3_64_digest(pair) + hashlib.blake2b(pair, digest_size=8).digest()
    typed = world.sender(good=not spam).partition("@")[2].encode()[:15] + b"\x02"
    return [first.encode()[:16], pair if len(pair) <= 16 else hashed, typed, ip(world.random.choice(world.servers)) + b"\x04"]


def _weights(world: World, spam: bool) -> int:
    many, few = 1 + int(world.random.expovariate(0.06)), int(world.random.expovariate(0.8))
    return join_weights(few, many) if spam else join_weights(many, few)


def _bayes(world: World) -> Rows:
    yield DemoRow(b"\x11", counter=join_weights(2140, 1893))
    for _ in range(420):
        spam = world.random.random() < 0.5
        for token in bayes_tokens(world, spam):
            yield DemoRow(b"\x11" + token, counter=_weights(world, spam))
    for number in world.accounts[:5]:
        yield DemoRow(b"\x12" + account(number), counter=join_weights(world.random.randint(20, 90), world.random.randint(10, 60)))
        for _ in range(30):
            spam = world.random.random() < 0.5
            for token in bayes_tokens(world, spam)[:2]:
                yield DemoRow(b"\x12" + account(number) + token, counter=_weights(world, spam))


def _replies(world: World) -> Rows:
    for _ in range(240):
        yield DemoRow(b"\x13" + message_id(world, OWN[0]).encode(), b"", expires_at=world.ago(38 * DAY) + 30 * DAY)


def queue_lock(world: World, at: int) -> DemoRow:
    """The lock of a message in delivery; with the name of its queue from 0.13 on."""
    later = minor(world.version) >= 13
    key = b"\x15" + put_u64(at << 20 | world.random.randrange(1 << 20)) + (b"remote\0\0" if later else b"")
    return DemoRow(key, expires_at=at + (600 if later else 300), lock=True)


def _locks(world: World) -> Rows:
    for _ in range(9):
        yield queue_lock(world, world.ago(20 * MINUTE))
    if minor(world.version) >= 16:
        for _ in range(5):
            yield DemoRow(b"\x17" + put_u64(world.random.getrandbits(62)), expires_at=world.ago(90 * MINUTE) + HOUR, lock=True)
        return
    for number in world.accounts[:3]:
        yield DemoRow(b"\x14" + account(number), expires_at=world.ago(2 * HOUR) + HOUR, lock=True)
    due, policy = world.now // DAY * DAY, world.random.getrandbits(63)
    yield DemoRow(b"\x16\x00" + put_u64(due) + GOOD[0].encode(), expires_at=world.now + 200, lock=True)
    yield DemoRow(b"\x16\x01" + put_u64(due) + put_u64(policy) + GOOD[1].encode(), expires_at=world.now - 90, lock=True)
    yield DemoRow(b"\x17\x00" + put_u64(world.now << 16), expires_at=world.now + 120, lock=True)
    yield DemoRow(b"\x17\x01" + put_leb128(7) + put_leb128(4711), expires_at=world.now + 1500, lock=True)
    for kind in range(3):
        yield DemoRow(bytes([0x18, kind]) + put_u32(kind), expires_at=world.now - 300 + kind * 400, lock=True)


def _dav(world: World) -> Rows:
    for number in world.accounts[:6]:
        expires = world.ago(2 * HOUR) + HOUR
        value = archives.dav_locks(f"http://{OWN[0]}/~{world.random.choice('abcd')}", number, world.random.getrandbits(64), expires)
        yield DemoRow(b"\x19" + account(number) + bytes([world.random.choice((8, 10, 12))]), value, expires_at=world.now + expires)


def _seen(world: World) -> Rows:
    for number in world.accounts:
        for _ in range(4):
            subject = put_u32(number) + put_u32(world.random.getrandbits(32)) + world.token(20).encode()
            yield DemoRow(b"\x1a" + blake3.blake3(subject).digest(), b"", expires_at=world.ago(8 * DAY) + 7 * DAY)


def user_counter(world: World) -> bytes:
    """A key that an expression counts under."""
    return f"sent:{world.own_address()}".encode()


def _custom(world: World) -> Rows:
    encode = bincode.encode_variable_1 if minor(world.version) < 12 else bincode.encode_variable_2
    for _ in range(20):
        yield DemoRow(user_counter(world), counter=1 + int(world.random.expovariate(0.02)))
    for domain in GOOD[:6]:
        yield DemoRow(f"partner:{domain}".encode(), b"tls-required")
    for _ in range(30):
        key = f"vacation:{world.own_address()}:{world.sender()}".encode()
        yield DemoRow(key, encode("sent"), expires_at=world.ago(10 * DAY) + 7 * DAY)
    yield DemoRow("möwe".encode(), encode("Grüße von der Küste"))
    yield DemoRow(b"limits", encode([25, 1.5, "per hour"]))
    yield DemoRow(b"last-digest", encode(world.now - 5 * HOUR), expires_at=world.now + DAY)


_CLASSES: Final[tuple[tuple[int, int, Callable[[World], Rows]], ...]] = (
    (11, 16, _acme),
    (11, 16, _oauth),
    (11, 16, _fail2ban),
    (11, 16, _smtp),
    (11, 16, _requests),
    (11, 12, _token_revisions),
    (16, 16, _quota),
    (11, 14, _reputation),
    (11, 16, _greylist),
    (11, 14, _bayes),
    (11, 14, _replies),
    (11, 16, _locks),
    (12, 16, _dav),
    (12, 16, _seen),
    (11, 16, _custom),
)
"""First and last minor version that writes them."""
