"""Importing keys from a file: looked at first, then written a chunk at a time as a bulk run that goes on where it stopped.

Wrong lines end the run, or are left out and named. Rows that give access to something are left out unless whoever imports may see
such. Rows that have expired are skipped. What is overwritten goes to the trash, what is new is noted there: an import can be undone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from django.core import signing
from django.utils.translation import gettext as _

from stores.errors import BadConfig, StoreError
from stores.models import Run, RunAction, Store
from stores.services import access, runs
from stores.services.actor import Actor
from stores.services.bulk_change import Change, Clash, Do
from stores.services.bulk_copy import converted, same_content
from stores.services.bulk_preview import Spread, estimate
from stores.services.filters import KeyFilter
from stores.services.keyfile_lines import FORMATS, Format, Line, Wrong, format_of, lines
from stores.services.keyfile_spool import accept, open_file, size_of
from stores.services.permissions import Permission, allows, require
from stores.services.rows import Row, settle
from stores.services.trash_room import Cover, cover
from stores.services.writing import Writing
from stores.types import Entry, Kind, Pace

__all__ = ["Clash", "Found", "Options", "Preview", "WrongLines", "accept", "confirmed", "params_of", "preview", "start"]

NAMED: Final = 50
"""Wrong lines that a dry run names; all that it meets are counted."""
CHUNK: Final = 500
VALID_SECONDS: Final = 3600
_SALT: Final = "stores.keyfile"


class WrongLines(StrEnum):
    """What happens at a line that cannot be read."""

    STOP = "stop"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Options:
    """How a file is imported. `format` None: as its first bytes tell. `at` is the moment from which durations count."""

    clash: Clash = Clash.SKIP
    wrong: WrongLines = WrongLines.STOP
    undo: bool = True
    format: Format | None = None
    at: float = 0.0


@dataclass(slots=True)
class Found:
    """What is in a file, as far as it was read: to its end when `exact`."""

    rows: int = 0
    """Rows that would be written."""
    new: int = 0
    clashes: int = 0
    """Keys that the store holds with another content; they are among `rows` only where they are to be overwritten."""
    same: int = 0
    expired: int = 0
    left_out: int = 0
    """Rows that give access to something, which this account may not import."""
    impossible: int = 0
    """Rows that this type of store cannot hold; `problems` names the first."""
    wrong: int = 0
    bytes: int = 0
    exact: bool = True
    problems: list[Wrong] = field(default_factory=list)
    samples: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """The dry run of an import. `token` is the file and the options, sealed: a run is started with it and with nothing else."""

    format: Format
    options: Options
    found: Found
    cover: Cover | None
    seconds: Mapping[Pace, float]
    """How long it would take; of a file that was not read to its end by the share that was."""
    measured: bool
    """The times are from an earlier import into this store."""
    token: str

    @property
    def blocked(self) -> str:
        """Why it cannot be started, empty when it can."""
        if self.found.wrong and self.options.wrong is WrongLines.STOP:
            return _("The file has wrong lines: mend them, or choose to leave them out.")
        if self.found.exact and not self.found.rows:
            return _("Nothing in this file would be written.")
        return ""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A dry run that came back with its confirmation."""

    upload: str
    options: Options
    rows: int
    exact: bool
    bytes: int


def preview(actor: Actor, store: Store, upload: str, options: Options, budget_seconds: float | None = 2.0) -> Preview:
    """Read a file and compare it with the store for as long as the budget allows (None: to the end); changes nothing.

    `upload` is what `accept` answered. Raises BadConfig(field="file") for a file that is none, Forbidden, ReadOnly, and what
    the store says.
    """
    require(actor, Permission.BULK, store)
    deadline = None if budget_seconds is None else time.monotonic() + budget_seconds
    with open_file(upload) as file, access.open_for_write(store) as backend:
        format = options.format or format_of(file)
        at = Writing(actor, store, backend)
        began = time.monotonic()
        found = _look(at, lines(file, format, options.at), options, allows(actor, Permission.REVEAL, store), deadline)
        share = 1.0 if found.exact else max(0.001, file.tell() / max(1, size_of(upload)))
    seconds, measured = estimate(store, Do.IMPORT, round(found.rows / share), (time.monotonic() - began) / share)
    chosen = Options(options.clash, options.wrong, options.undo, format, options.at)
    covered = cover(found.rows, found.bytes if options.clash is Clash.OVERWRITE else 0) if options.undo else None
    sealed = {"store": store.id, "upload": upload, **_plain(chosen), "rows": found.rows, "exact": found.exact, "bytes": found.bytes}
    return Preview(format, chosen, found, covered, seconds, measured, signing.dumps(sealed, salt=_SALT, compress=True))


def confirmed(store: Store, token: str, typed: str) -> Confirmed:
    """What a token of `preview` says, when the typed count is the counted one. Raises BadConfig(field="count" or "token")."""
    try:
        sealed: dict[str, Any] = signing.loads(token, salt=_SALT, max_age=VALID_SECONDS)
    except signing.BadSignature:
        raise BadConfig(_("This dry run is none of kvadmin's, or more than an hour old."), _("Upload the file again."), "token") from None
    if sealed["store"] != store.id:
        raise BadConfig(_("This dry run is of another store."), _("Upload the file again."), "token")
    if "".join(char for char in typed if char not in ",. '\u202f\u00a0") != str(sealed["rows"]):
        raise BadConfig(_("That is not the count."), _("Type %(count)d to confirm.") % {"count": sealed["rows"]}, "count")
    return Confirmed(sealed["upload"], _options(sealed), sealed["rows"], sealed["exact"], sealed["bytes"])


def start(actor: Actor, store: Store, wanted: Confirmed, pace: Pace = Pace.GENTLE) -> Run:
    """Record a confirmed import and hand it to the workers. Raises Busy, Forbidden, ReadOnly, BadConfig(field="file")."""
    run = _created(actor, store, wanted, pace)
    runs.queue(run)
    return run


def claimed(actor: Actor, store: Store, wanted: Confirmed, pace: Pace) -> Run:
    """The same for a process that does it itself."""
    return runs.claim_here(_created(actor, store, wanted, pace))


def _created(actor: Actor, store: Store, wanted: Confirmed, pace: Pace) -> Run:
    require(actor, Permission.BULK, store)
    access.require_writable(store)
    with open_file(wanted.upload):
        pass
    before = {"keys": wanted.rows, "exact": wanted.exact, "bytes": wanted.bytes}
    params = params_of(wanted, allows(actor, Permission.REVEAL, store))
    params |= {"before": before, "via": actor.via, "address": actor.address, "user_id": actor.user_id}
    return runs.create(actor, store, RunAction.BULK, pace=pace, params=params)


def params_of(wanted: Confirmed, secrets: bool) -> dict[str, Any]:
    """As a run keeps an import; the part that every bulk change has, and the file."""
    options = wanted.options
    change = Change(Do.IMPORT, KeyFilter(), options.at, clash=options.clash, undo=options.undo)
    return {**change.params(), "upload": wanted.upload, "format": options.format, "wrong": options.wrong.value, "secrets": secrets}


def _plain(options: Options) -> dict[str, Any]:
    return {
        "clash": options.clash.value,
        "wrong": options.wrong.value,
        "undo": options.undo,
        "format": options.format,
        "at": options.at,
    }


def _options(plain: dict[str, Any]) -> Options:
    assert plain["format"] in FORMATS
    return Options(Clash(plain["clash"]), WrongLines(plain["wrong"]), plain["undo"], plain["format"], plain["at"])


def secret(at: Writing, entry: Entry) -> bool:
    """Whether key or value give access to something."""
    decoded = at.row(entry).decoded
    return decoded.secret_key or decoded.secret_value


def as_held(entry: Entry, at: Writing) -> Entry:
    """A row of a file as this family of stores holds it. Raises BadConfig for what it cannot hold."""
    from_redis = entry.kind is Kind.UNKNOWN or (entry.kind is Kind.LOCK and bool(entry.value))
    found = converted(entry, "redis" if from_redis else "data", at.kind)
    return settle(found, at.version, at.kind)[1] if at.kind == "redis" else found


def _look(at: Writing, rows: Iterable[Line], options: Options, secrets: bool, deadline: float | None) -> Found:
    found, spread = Found(), Spread()
    pieces = chunks(rows, CHUNK)
    for chunk in pieces:
        wanted = [entry for line in chunk if (entry := _readable(at, line, options, secrets, found)) is not None]
        for entry, there in zip(wanted, at.backend.get_each([entry.key for entry in wanted]), strict=True):
            if there is not None and same_content(there, entry, at):
                found.same += 1
                continue
            alive = there is not None and not there.expired(time.time())
            found.clashes += alive
            if alive and options.clash is not Clash.OVERWRITE:
                continue
            found.new += not alive
            found.rows += 1
            found.bytes += len(entry.key) + len(entry.value or b"") + 16
            spread.offer(entry)
        if deadline is not None and time.monotonic() >= deadline:
            found.exact = next(pieces, None) is None
            break
    found.samples = tuple(at.row(entry) for entry in spread.chosen())
    return found


def _readable(at: Writing, line: Line, options: Options, secrets: bool, found: Found) -> Entry | None:
    """The entry of a line, or None after counting why there is none."""
    entry = line.entry
    if isinstance(entry, Wrong):
        found.wrong += 1
        _name(found, entry)
        return None
    if entry.expired(time.time()):
        found.expired += 1
        return None
    try:
        held = as_held(entry, at)
    except StoreError as error:
        found.impossible += 1
        _name(found, Wrong(line.number, getattr(error, "field", None) or "", str(error)))
        return None
    if not secrets and secret(at, held):
        found.left_out += 1
        return None
    return held


def _name(found: Found, wrong: Wrong) -> None:
    if len(found.problems) < NAMED:
        found.problems.append(wrong)


def chunks(rows: Iterable[Line], size: int | Callable[[], int]) -> Iterator[list[Line]]:
    """The lines in pieces of at most `size`, 4 MB, and no key twice: the second time it meets what the first one wrote."""
    piece: list[Line] = []
    keys: set[bytes] = set()
    weight = 0
    for line in rows:
        entry = line.entry
        if piece and (len(piece) >= (size if isinstance(size, int) else size()) or weight > 4 << 20 or _key(entry) in keys):
            yield piece
            piece, keys, weight = [], set(), 0
        piece.append(line)
        if isinstance(entry, Entry):
            keys.add(entry.key)
            weight += len(entry.key) + len(entry.value or b"")
    if piece:
        yield piece


def _key(entry: Entry | Wrong) -> bytes | None:
    return entry.key if isinstance(entry, Entry) else None
