"""The trickle: what the invented mail server goes on doing, with the verbs that Stalwart uses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from stores.backends.base import Backend
from stores.errors import StoreError
from stores.keyclasses.base import minor
from stores.keyclasses.reputation import pack, unpack
from stores.registry import find_store, open_store
from stores.services.demo import classes
from stores.services.demo.world import DAY, GUESSES, HOUR, MINUTE, OWN, DemoRow, World, account, ip
from stores.types import KEEP

logger = logging.getLogger(__name__)

_HELD = 12.0
"""Seconds that the lock of a message in delivery is held."""


class Traffic:
    """Events of one demo store. `step` does one; about one a second keeps the pages moving without filling the disk."""

    def __init__(self, store_id: str, seed: int | None = None) -> None:
        self.store_id = store_id
        self._seed = int(time.time() * 1000) if seed is None else seed
        self._failing = False
        self._held: list[tuple[float, bytes]] = []

    def run(self, steps: int, pause: Callable[[], None]) -> bool:
        """Do that many events on one connection, pausing after each. False when the store is gone or out: then wait a little.

        The first failure of a row is logged, the following ones are not.
        """
        try:
            store = find_store(self.store_id)
            with open_store(store) as backend:
                for _ in range(steps):
                    self.step(backend, store.effective_version)
                    pause()
        except StoreError as error:
            if not self._failing:
                logger.warning("demo traffic of %s: %s", self.store_id, error)
            self._failing = True
            return False
        self._failing = False
        return True

    def step(self, backend: Backend, version: str) -> None:
        """One event: a failed login, a request, a delivered message, a sign-in, a script's counter; and locks let go when due."""
        self._seed += 1
        now = int(backend.clock())
        world = World(now, version, self._seed)
        event = world.random.choices((_failed_login, _request, self._message, _sign_in, _script), (30, 30, 25, 5, 10))[0]
        event(backend, world)
        while self._held and self._held[0][0] <= now:
            backend.key_delete(self._held.pop(0)[1])

    def _message(self, backend: Backend, world: World) -> None:
        """A message from outside: limiter, greylist, training, reputation, queue lock; sometimes one to outside."""
        spam = world.random.random() < 0.4
        count(backend, classes.smtp_window(world, world.random.choice(world.servers), 1, 5, 1, world.now))
        parts = world.own_address() + world.sender(good=not spam).partition("@")[2]
        count(backend, classes.smtp_window(world, parts, HOUR, 25, 1, world.now))
        put(backend, classes.greylisted(world, world.now))
        if minor(world.version) <= 14:
            for token in classes.bayes_tokens(world, spam):
                backend.counter_incr(b"\x11" + token, 1 if spam else 1 << 32)
            backend.counter_incr(b"\x11", 1 if spam else 1 << 32)
            _rate(backend, world, spam)
            put(backend, DemoRow(b"\x13" + classes.message_id(world, OWN[0]).encode(), b"", expires_at=world.now + 30 * DAY))
        lock = classes.queue_lock(world, world.now)
        put(backend, lock)
        self._held.append((world.now + _HELD, lock.key))


def count(backend: Backend, row: DemoRow) -> None:
    """Count once more under a rate window's key, as Stalwart's limiter does."""
    backend.counter_incr(row.key, 1, row.expires_at)


def put(backend: Backend, row: DemoRow) -> None:
    """Write a value or lock, whatever is there."""
    backend.put(row.data_entry() if backend.capabilities.counters else row.redis_entry())


def _failed_login(backend: Backend, world: World) -> None:
    attacker = ip(world.attacker())
    count(backend, world.window(0x05, attacker, DAY, 1, world.now))
    count(backend, world.window(0x05, f"{world.random.choice(GUESSES)}@{OWN[0]}".encode(), DAY, 1, world.now))
    if world.random.random() < 0.3:
        count(backend, world.window(world.random.choice((0x02, 0x03, 0x04)), attacker, DAY, 1, world.now))


def _request(backend: Backend, world: World) -> None:
    home = ip(world.random.choice(world.homes))
    count(backend, world.window(0x09, home, MINUTE, 1, world.now))
    count(backend, world.window(0x08, account(world.random.choice(world.accounts)), MINUTE, 1, world.now))
    if world.random.random() < 0.05:
        count(backend, world.window(0x07, home, HOUR, 1, world.now))


def _sign_in(backend: Backend, world: World) -> None:
    for row in classes.oauth_codes(world, world.now):
        put(backend, row)


def _script(backend: Backend, world: World) -> None:
    backend.counter_incr(classes.user_counter(world), 1, KEEP)


def _rate(backend: Backend, world: World, spam: bool) -> None:
    """Learn about the sending server: one more message, its score added."""
    key = b"\x0c" + ip(world.random.choice(world.attackers if spam else world.servers))
    known = backend.key_get(key)
    number, score = unpack(known) if known is not None else (0, 0.0)
    value = pack(number + 1, round(score + world.random.gauss(6.5 if spam else -1.2, 1.0), 2))
    put(backend, DemoRow(key, value, expires_at=world.now + 30 * DAY))
