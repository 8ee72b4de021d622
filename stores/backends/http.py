"""HTTP lookups: `http-lookup.<id>`, a list or CSV table that the server pulls from a URL. kvadmin shows a copy of its own.

Settings: Stalwart's (`url`, `format`, `index.*`, `limits.*`, ...) and `allow-private` of kvadmin's own.
Capabilities: reading only.
Differences from Stalwart: the server's copy lives in its memory and cannot be read; this one is fetched by background work and
may be older or newer. Before the first fetch the server finds nothing, and so do `key_get` and `key_exists`; listing is an error.
Limits: those of the settings; nothing here fetches but the connection test, which gives up after five seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from stores.backends.httpfetch import fetch
from stores.backends.readonly import MemoryRows, ReadOnlyTable, Rows
from stores.codecs.httplists import parse_options
from stores.codecs.staticlookup import Typed
from stores.errors import StoreError, StoreUnavailable
from stores.texts import counted, figure, joined, say
from stores.types import ALL_KEYS, Check, CheckState, Clock, Cursor, Entry, FieldType, KeyRange, Page, Ping, SettingField

TEST_SECONDS: Final = 5.0
TEST_ENTRIES: Final = 1000


class HttpBackend(ReadOnlyTable):
    """A copy of the list, handed in by whoever fetched it."""

    TYPE = "http"
    LABEL = say("HTTP lookup")
    SETTINGS = (
        SettingField("url", FieldType.URLS, "URL", required=True, help="http or https; may hold a user and password."),
        SettingField(
            "format", FieldType.CHOICE, "Format", required=True, choices=("list", "csv"), help="A list has one key a line; CSV has columns."
        ),
        SettingField("index.key", FieldType.INTEGER, "Column of the key", help="csv only, counted from 0."),
        SettingField("index.value", FieldType.INTEGER, "Column of the value", help="csv only; empty: every value is 1."),
        SettingField("separator", label="Separator", default=",", advanced=True, help="The character between the columns of a CSV."),
        SettingField("skip-first", FieldType.BOOLEAN, "Skip the first row", default="false", help="The first row of the CSV holds titles."),
        SettingField(
            "enable", FieldType.BOOLEAN, "Enabled", default="true", advanced=True, help="Switched off, the lookup answers nothing."
        ),
        SettingField("refresh", FieldType.DURATION, "Fetch every", default="12h", help="How often the list is fetched anew."),
        SettingField(
            "retry",
            FieldType.DURATION,
            "After a failure fetch again in",
            default="1h",
            advanced=True,
            help="The wait after a fetch that failed.",
        ),
        SettingField("timeout", FieldType.DURATION, "Timeout", default="30s", advanced=True, help="A fetch that takes longer has failed."),
        SettingField("gzipped", FieldType.BOOLEAN, "Packed with gzip", default="false", help="The answer is a gzip file."),
        SettingField(
            "limits.size",
            FieldType.INTEGER,
            "Most bytes of the answer",
            default="104857600",
            advanced=True,
            help="Of a longer answer nothing is taken.",
        ),
        SettingField(
            "limits.entries",
            FieldType.INTEGER,
            "Most entries",
            default="100000",
            advanced=True,
            help="Entries beyond this number are not read.",
        ),
        SettingField(
            "limits.entry-size", FieldType.INTEGER, "Most bytes of a cell", default="512", advanced=True, help="Longer cells are left out."
        ),
        SettingField(
            "allow-private",
            FieldType.BOOLEAN,
            "Allow private addresses",
            default="false",
            help="kvadmin's own: let the URL lead into this machine or a private network.",
        ),
    )
    ADVICE = say("The URL of a text list or CSV table; only public addresses unless you allow private ones.")
    WHY_READ_ONLY = say("HTTP lookups are read only: the list comes from its URL.")
    WHY_NO_PURGE = say("Entries of HTTP lookups never expire; there is nothing to purge.")

    def __init__(
        self,
        settings: Mapping[str, str],
        *,
        entries: Iterable[tuple[str, str]] = (),
        rows: Rows | None = None,
        fetched_at: float | None = None,
        version: str = "",
        clock: Clock = time.time,
    ) -> None:
        """`entries`, or `rows` that are read only as far as they are asked for: key and value of the copy, an empty value means 1.

        `fetched_at`: Unix seconds of it, None when not known.

        Without entries and time nothing has been fetched yet. Raises BadConfig that names the option.
        """
        super().__init__(settings, MemoryRows(entries) if rows is None else rows, version=version, clock=clock)
        self.options = parse_options(settings)
        self.fetched_at = fetched_at

    @property
    def fetched(self) -> bool:
        """Whether there is a copy, be it an empty one."""
        return self.fetched_at is not None or bool(self.rows.page(b"", None, 1))

    def answer(self, text: str) -> Typed | None:
        value = self.rows.get(text.encode(errors="replace"))
        return None if value is None else value.decode() or 1

    def ping(self) -> Ping:
        """Always at once: the copy is here. Raises StoreUnavailable before the first fetch."""
        self._require_copy()
        return Ping(0.0, say("copy of a list from %(hostname)s", hostname=urlsplit(self.options.url).hostname))

    def check(self) -> list[Check]:
        """Fetches the beginning of the list, for at most five seconds."""
        own = self.options
        try:
            found = fetch(replace(own, timeout=min(TEST_SECONDS, own.timeout), max_entries=min(TEST_ENTRIES, own.max_entries)))
        except StoreError as error:
            return [Check(say("Fetch"), CheckState.FAILED, error.message, error.fix)]
        assert found.entries is not None
        if not found.entries:
            return [Check(say("Fetch"), CheckState.WARN, say("The list is empty."), say("Check the format and the column of the key."))]
        number = say("More than %(count)s", count=figure(len(found.entries))) if found.cut else str(len(found.entries))
        return [
            Check(
                say("Fetch"),
                CheckState.OK,
                say("%(number)s entries, read in %(seconds)s ms.", number=number, seconds=figure(found.seconds * 1000)),
            ),
            self._check_copy(),
        ]

    def _check_copy(self) -> Check:
        if not self.fetched:
            return Check(
                say("Copy"), CheckState.WARN, say("No copy has been fetched yet."), say("Fetch it now, or wait for the next refresh.")
            )
        age = "" if self.fetched_at is None else say("%(hours)s hours old", hours=figure(max(0, self.clock() - self.fetched_at) / 3600, 1))
        return Check(say("Copy"), CheckState.OK, joined(counted(self.rows.count()[0], "entry", "entries"), age, between=", "))

    def get(self, key: bytes) -> Entry | None:
        self._require_copy()
        return super().get(key)

    def scan(self, keys: KeyRange = ALL_KEYS, cursor: Cursor | None = None, limit: int = 100) -> Page:
        self._require_copy()
        return super().scan(keys, cursor, limit)

    def count(self, keys: KeyRange = ALL_KEYS, at_most: int = 10_000) -> tuple[int, bool]:
        self._require_copy()
        return super().count(keys, at_most)

    def _require_copy(self) -> None:
        """An empty list and a list that was never fetched are two things."""
        if not self.fetched:
            raise StoreUnavailable(say("The list has not been fetched yet."), say("Fetch it now, or wait for the next refresh."))
