"""In-memory static stores: `lookup.<id>.<key> = value`.

Settings: none; the entries are kept beside the definition and come in as `entries`.
Capabilities: reading only.
Differences from Stalwart: none in what a lookup answers; `lookup` also tells which entry answered and what it shadows.
Limits: the whole table is held in memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from stores.backends.readonly import MemoryRows, ReadOnlyTable
from stores.codecs.staticlookup import StaticAnswer, StaticTable, Typed
from stores.errors import BadConfig
from stores.texts import counted, say
from stores.types import Check, CheckState, Clock, Ping


class StaticBackend(ReadOnlyTable):
    """The entries of one static store, typed and matched as the server does it (store-formats e.4)."""

    TYPE = "static"
    LABEL = say("In-memory static")
    ADVICE = say("Keys and values that never change by themselves: trusted domains, spam traps, redirectors.")
    WHY_READ_ONLY = say("In-memory static stores are read only: the server takes their entries from its configuration.")
    WHY_NO_PURGE = say("Entries of in-memory static stores never expire; there is nothing to purge.")

    def __init__(
        self, settings: Mapping[str, str], *, entries: Iterable[tuple[str, str]] = (), version: str = "", clock: Clock = time.time
    ) -> None:
        """Raises BadConfig for an empty key, which the server refuses too."""
        self.entries = tuple(entries)
        super().__init__(settings, MemoryRows(self.entries), version=version, clock=clock)
        if any(not key for key, _ in self.entries):
            raise BadConfig(say("An entry has no key."), say("Give every entry a key."), field="entries")
        self._table = StaticTable(dict(self.entries).items(), version)

    def lookup(self, key: str) -> StaticAnswer | None:
        """What the server answers for a key, from which entry, and which entries that one shadows. None: nothing matches."""
        return self._table.lookup(key)

    def answer(self, text: str) -> Typed | None:
        return self._table.first(text)

    def ping(self) -> Ping:
        return Ping(0.0, say("in-memory static"))

    def check(self) -> list[Check]:
        if not self.entries:
            return [
                Check(say("Entries"), CheckState.WARN, say("The store has no entries: every lookup finds nothing."), say("Add entries."))
            ]
        return [
            Check(
                say("Entries"),
                CheckState.OK,
                say(
                    "%(entries)s, %(globs)s of them patterns.",
                    entries=counted(self.rows.count()[0], "entry", "entries"),
                    globs=self._table.globs,
                ),
            )
        ]
