"""Shapes shared by every layer: frozen, slotted, without I/O and without Django."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple, NewType

from stores.texts import Text

NEVER_HEADER: Final = b"\xff" * 8

Clock = Callable[[], float]
"""Returns Unix seconds; tests pass a settable one instead of sleeping."""

Cursor = NewType("Cursor", str)
"""Where a scan goes on. Opaque, URL-safe, made and read only by the backend that issued it."""


class Kind(StrEnum):
    """What a row is. Data stores know counters; Redis does not and answers UNKNOWN until the key class settles it."""

    VALUE = "value"
    COUNTER = "counter"
    LOCK = "lock"
    UNKNOWN = "unknown"


class Keep(StrEnum):
    """Sentinel for an expiry that stays as it is."""

    EXPIRY = "keep"


KEEP: Final = Keep.EXPIRY


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a store as it is stored, expired or not, well-formed or not.

    A key that has both a value in `m` and a number in `y` is one entry of kind VALUE whose `counter` is set too.
    """

    key: bytes
    kind: Kind
    value: bytes | None = None
    """Payload without the expiry header; None for a counter of a data store and for a malformed row."""
    counter: int | None = None
    """The number in `y`. On Redis set only where the key class says that the text is a counter."""
    expires_at: int | None = None
    """Unix seconds, None = never."""
    row: bytes | None = None
    """The stored bytes: the `m` row with its header, or the Redis string. None when the key has no `m` row."""
    expires_at_ms: int | None = None
    """Redis only: the exact expiry in Unix milliseconds."""
    problem: str = ""
    """Why the row is malformed, in words; empty when it is well-formed."""
    length: int | None = None
    """Set only when `value` and `row` hold just the first part, as scans of Redis do for values over 1 MB: the true length in bytes."""

    def expired(self, now: float) -> bool:
        """Valid means `expires_at > now` (store-formats fact 5)."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def size(self) -> int:
        """Bytes of key and stored row; a number counts 8."""
        return len(self.key) + (self.length or len(self.row or b"")) + (8 if self.counter is not None else 0)

    @property
    def etag(self) -> str:
        """Digest of everything a writer could have changed; equal etags mean the same stored row."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.key, self.row, str(self.counter).encode(), str(self.expires_at_ms).encode()):
            digest.update(b"-" if part is None else b"+%d:" % len(part) + part)
        if self.length is not None:
            digest.update(b"of %d" % self.length)
        return digest.hexdigest()


class Expect(StrEnum):
    """What a writer expects to find, when it is not an Entry it has read."""

    ANYTHING = "anything"
    ABSENT = "absent"


ANYTHING: Final = Expect.ANYTHING
ABSENT: Final = Expect.ABSENT
Expected = Expect | Entry
"""A write happens only if the row is still as expected, else Conflict. ANYTHING skips the check."""


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys with `start <= key` and, when `end` is given, `key < end`. `prefix` is set when the range is exactly a prefix."""

    start: bytes = b""
    end: bytes | None = None
    prefix: bytes | None = b""

    @classmethod
    def of_prefix(cls, prefix: bytes) -> KeyRange:
        """All keys that begin with the prefix, FF FF FF tails included."""
        return cls(prefix, prefix_end(prefix), prefix)

    def __contains__(self, key: bytes) -> bool:
        return self.start <= key and (self.end is None or key < self.end)


ALL_KEYS: Final = KeyRange()


def prefix_end(prefix: bytes) -> bytes | None:
    """The smallest key after every key with this prefix; None when there is none (empty or all FF)."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None


@dataclass(frozen=True, slots=True)
class Page:
    """One step of a scan. `next` None ends the walk; an empty page with a cursor is legal."""

    entries: tuple[Entry, ...]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this open store can do. The same flag hides the button, guards the service and gates the contract test."""

    writes: bool = True
    counters: bool = True
    """Numbers live apart from values and the store knows which is which (false on Redis and static)."""
    expiry: bool = True
    purges: bool = True
    """Expired rows stay until a purge removes them."""
    tidies: bool = False
    """Space that removed rows leave can be given back from here, see `Backend.tidy_offer`."""
    ordered_scan: bool = True
    conditional_write: bool = True
    max_key: int = 1 << 20
    """Longest key in bytes."""
    max_value: int = 1 << 27
    """Longest payload in bytes."""
    why: Mapping[str, str] = field(default_factory=dict)
    """Capability name -> one line that says why it is missing, for the page."""


@dataclass(frozen=True, slots=True)
class TidyWay:
    """One way to give space back, with what it costs, said before it is begun."""

    name: str
    does: str
    statements: tuple[str, ...]
    locks: str
    """Who waits for it, and how long."""
    seconds: float
    """A rough guess by the size."""
    room: int = 0
    """Bytes of disk that it needs for a while, beside what the store occupies."""
    disk: int | None = None
    """Bytes free on that disk; None where it is another machine's."""
    asks: str = ""
    """What has to be confirmed first; empty where nobody feels it."""
    refused: str = ""
    """Why it cannot be done now."""


@dataclass(frozen=True, slots=True)
class TidyOffer:
    """What can be done about the space that removed rows leave; without ways `why` says why nothing can or need be done."""

    ways: tuple[TidyWay, ...] = ()
    size: int | None = None
    """Bytes on the disk, free ones included."""
    free: int | None = None
    """Of these unused, as far as the store tells."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class TidyStep:
    """A sign of life of work on space: the share that is done, None when unknown."""

    progress: float | None = None


class Pace(StrEnum):
    """How hard background work may press on the store."""

    GENTLE = "gentle"
    NORMAL = "normal"
    FAST = "fast"


@dataclass(frozen=True, slots=True)
class PurgeSlice:
    """What one committed transaction of a purge did. Sum the slices for the run."""

    scanned: int = 0
    """Logical keys looked at."""
    values: int = 0
    counters: int = 0
    """Counters removed; a counter with its marker is one."""
    locks: int = 0
    corrupt: int = 0
    corrupt_keys: tuple[bytes, ...] = ()
    """The first few malformed keys met in this slice."""
    bytes: int = 0
    """Key and stored bytes removed; a number counts 8."""
    position: str = ""
    """Resume from here after this slice; opaque to all but the backend."""
    progress: float | None = None
    """Share of the store that is done, 0 to 1, None when unknown."""


@dataclass(frozen=True, slots=True)
class RangeSlice:
    """One step of a removal by name alone."""

    names: Sequence[bytes]
    """The names that were asked to go."""
    count: int
    """How many of them were still there."""
    position: str = ""
    """Resume from here after this slice; empty at the end."""
    progress: float | None = None


class CensusRow(NamedTuple):
    """What a census needs to know of one key. A plain tuple: millions are made, and a dataclass takes five times as long."""

    key: bytes
    kind: Kind
    expires_at: int | None
    key_bytes: int
    value_bytes: int
    """Stored row bytes; a number counts 8."""
    corrupt: bool = False


class CensusColumns(NamedTuple):
    """Keys of a Redis, each once, with what a census needs to know of them, as lists side by side."""

    keys: Sequence[bytes]
    expires_ms: Sequence[int]
    """Unix milliseconds; -1 never, -2 gone meanwhile."""
    lengths: Sequence[int]
    """Bytes of the value; -1 for a key that holds no string."""


class CensusGroup(NamedTuple):
    """Rows that a server has counted together: same first byte, kind and bucket, and what else tells their class."""

    byte: int
    """First byte of the keys; -1 for the empty key."""
    length: int
    """Bytes of each key; 0 where groups are not told apart by it."""
    window: bool
    """Whether the keys end like those of a rate window; True where it does not matter."""
    kind: Kind
    bucket: int
    """How many of the plan's edges are not above the expiry."""
    rows: int
    key_bytes: int
    value_bytes: int
    keys: bytes = b""
    """All the keys, one after the other, where the plan wants to see them."""
    sample: bytes = b""
    """One of the keys, where they are with another group of the same keys."""


class CensusPair(NamedTuple):
    """Keys of a counter class that have a number and a row of `m`; `rows` of them, told apart like a group."""

    byte: int
    length: int
    window: bool
    rows: int
    keys: bytes = b""


class CensusLink(NamedTuple):
    """A number under a key that has a row in `m` too: what the row says of its expiry."""

    key: bytes
    expires_at: int | None
    corrupt: bool


@dataclass(frozen=True, slots=True)
class CensusPlan:
    """What a census has to see of keys, by their first byte, so that their classes are exact. From the key classes, for the engines.

    Bytes in none of the sets belong to no class, whatever the rest of the key.
    """

    edges: tuple[bytes, ...]
    """Ends of the buckets, 8 bytes each, ascending: 1, then one more than the end of each bucket, then never."""
    lengths: frozenset[int]
    """The length of the key decides."""
    windows: frozenset[int]
    """The length decides, and whether a rate window ends it."""
    texts: frozenset[int]
    """The text has to be looked at; it holds no control characters, so many can be looked at at once."""
    keys: frozenset[int]
    """The key has to be looked at."""
    sent: frozenset[int]
    """The keys are wanted: to look at them, or for the subject in them."""
    counters: frozenset[int]
    """Classes of counters: a number there normally has a row in `m`."""
    uniform: Callable[[int, int, int, bool, bytes], bool]
    """Whether keys belong to one class: how many, first byte, length (0: various), window, the keys joined (empty: not sent).

    False for keys of no class that begin like those of a counter class.
    """
    smallest: Callable[[], int]
    """Bytes that a row must have to be one of the largest so far."""


@dataclass(frozen=True, slots=True)
class CensusSlice:
    """A bounded step of a census: what was read, and where to go on.

    A plain census has `rows` only. A survey may come with groups, pairs and links, or with `columns`; sizes of rows leave the number
    beside them out where pairs and links add it.
    """

    rows: tuple[CensusRow, ...]
    position: str = ""
    progress: float | None = None
    groups: tuple[CensusGroup, ...] = ()
    pairs: tuple[CensusPair, ...] = ()
    links: tuple[CensusLink, ...] = ()
    large: tuple[tuple[int, bytes], ...] = ()
    """Size and key of rows in `groups` that are large enough for the plan."""
    numbers: bool = False
    """Rows and groups are numbers without a row in `m`."""
    columns: CensusColumns | None = None
    """Keys that are not in `rows`."""


@dataclass(frozen=True, slots=True)
class Ping:
    """The store answered: round trip in milliseconds, product and version as the server says it."""

    milliseconds: float
    server: str


class CheckState(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One step of a connection test, with what to do when it failed."""

    name: str
    state: CheckState
    detail: str = ""
    fix: str = ""


class FieldType(StrEnum):
    TEXT = "text"
    PASSWORD = "password"  # noqa: S105
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DURATION = "duration"
    PATH = "path"
    URLS = "urls"
    """One or more URLs that may hold a password; shown with the password masked."""
    CHOICE = "choice"
    STORES = "stores"
    """Ids of other stores."""
    STORE = "store"


@dataclass(frozen=True, slots=True)
class SettingField:
    """One setting of a backend, named as Stalwart's own option; forms, the importer and the command line draw from it."""

    name: str
    type: FieldType = FieldType.TEXT
    label: str = ""
    required: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()
    help: str = ""
    advanced: bool = False
    """Folded away in the form."""
    used: bool = True
    """False: kept and exported for Stalwart's sake, kvadmin itself does not act on it."""
    modes: tuple[str, ...] = ()
    """Kinds of set-up that read it, where not all do; forms show it for those only."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", Text(self.label))
        object.__setattr__(self, "help", Text(self.help))

    @property
    def secret(self) -> bool:
        return self.type in (FieldType.PASSWORD, FieldType.URLS)
