"""What an import would do, as plain data. Nothing in here shows a secret by repr or in a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class Severity(StrEnum):
    """ERROR: something is left out because of it; WARNING: it works here, or not in Stalwart, otherwise than it looks; NOTE."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Problem:
    """One remark on the configuration, with its place (lines from 1, 0 when it has none) and what to do."""

    severity: Severity
    message: str
    fix: str = ""
    key: str = ""
    """Full name of the setting it is about."""
    line: int = 0
    column: int = 0
    start_line: int = 0
    """First line of what was left out because of it."""
    end_line: int = 0
    store: str = ""
    """Id of the store it is about."""
    repairs: tuple[str, ...] = ()
    """Settings that can be read as if their keys were in quotes."""
    repaired: bool = False

    @property
    def place(self) -> str:
        """ "line 42", "lines 3 to 7", or nothing."""
        if not self.line:
            return ""
        return f"lines {self.line} to {self.end_line}" if self.end_line > self.line else f"line {self.line}"


@dataclass(frozen=True, slots=True)
class PlannedStore:
    """One store that can be created. `settings` are Stalwart's options as text, macros of environment and files unresolved."""

    id: str
    type: str
    """As Stalwart names it; `static` for `lookup.<id>`, `http` for `http-lookup.<id>`."""
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    entries: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Key and value pairs of a static store, in the order in which Stalwart asks them."""
    purge: str = ""
    """Its purge schedule, valid and in its plain form; empty: none is set."""
    lines: tuple[int, int] = (0, 0)
    """First and last line of its settings."""
    blocked: str = ""
    """Why it cannot be created as it is; empty when it can."""
    hidden: frozenset[str] = frozenset()
    """Secret settings that exist and that the server does not show."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A store that has nothing to do with lookups, or cannot be told from the text."""

    id: str
    type: str
    reason: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Limit:
    """A configured rate or lifetime, so that a counter can be shown as "37 of 100".

    For a rate `count` per `period` seconds; for a lifetime `count` is None and `period` the seconds. `disabled`: switched off.
    """

    key: str
    classes: tuple[str, ...]
    """Slugs of the key classes it bounds."""
    text: str
    """As configured."""
    count: int | None = None
    period: float = 0.0
    disabled: bool = False
    parts: tuple[str, ...] = ()
    """SMTP limiters: what the key is made of."""
    direction: Literal["", "inbound", "outbound"] = ""
    name: str = ""
    """SMTP limiters: the limiter's id."""
    line: int = 0


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Everything a configuration says about lookup stores, and everything it says that is not used."""

    source: str
    """Name of the file."""
    dialect: Literal["toml", "config.json", "settings", "objects"]
    stores: tuple[PlannedStore, ...] = ()
    default: str = ""
    """Id of the default lookup store; empty when the text does not say."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """`storage.*`: data, blob, lookup, fts, directory -> id."""
    version: str = ""
    """Stalwart version the settings fit, "0.11"; empty when several differ too much to choose."""
    version_note: str = ""
    """How that was told, in words."""
    limits: tuple[Limit, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    problems: tuple[Problem, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Settings that have nothing to do with lookup stores: first part of the name -> how many."""
    used: frozenset[str] = field(default=frozenset(), repr=False)
    """Names of the settings that the plan is made of."""

    def find(self, store_id: str) -> PlannedStore | None:
        """A planned store by id."""
        return next((store for store in self.stores if store.id == store_id), None)

    def of_severity(self, severity: Severity) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity is severity)

    @property
    def ignored_count(self) -> int:
        return sum(self.ignored.values())
