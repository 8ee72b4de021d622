"""What a script asks of stores: the questions, and how many of them one run may ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stores.expressions.values import Value


class SieveLookups(Protocol):
    """What stores answer. Every method may raise EvalError: the call then yields empty text and the script goes on."""

    def exists(self, store: str, key: str) -> bool: ...
    def get(self, store: str, key: str) -> Value: ...
    def set(self, store: str, key: str, value: Value, expires_in: int | None) -> None: ...
    def in_list(self, store: str, key: str) -> bool | None: ...
    def has_list(self, store: str) -> bool: ...
    def query(self, store: str, sql: str, binds: list[Value]) -> list[list[Value]] | int: ...


@dataclass(frozen=True, slots=True)
class Counted:
    """Asks `spend` before each question; each key of a list is one."""

    lookups: SieveLookups
    spend: Callable[[], None]

    def exists(self, store: str, key: str) -> bool:
        self.spend()
        return self.lookups.exists(store, key)

    def get(self, store: str, key: str) -> Value:
        self.spend()
        return self.lookups.get(store, key)

    def set(self, store: str, key: str, value: Value, expires_in: int | None) -> None:
        self.spend()
        self.lookups.set(store, key, value, expires_in)

    def in_list(self, store: str, key: str) -> bool | None:
        self.spend()
        return self.lookups.in_list(store, key)

    def has_list(self, store: str) -> bool:
        return self.lookups.has_list(store)

    def query(self, store: str, sql: str, binds: list[Value]) -> list[list[Value]] | int:
        self.spend()
        return self.lookups.query(store, sql, binds)
