"""Walking over a cluster: slot by slot, each slot from the node that owns it at that moment.

A key never changes its slot, whatever node holds it. So a walk over slots, and inside a slot in the order of the keys' digests, meets
every key that stays exactly once: through failovers (the new primary has the same slots) and through migrations (a slot on the move is
read from the old owner first and then from the new one, in the order in which keys travel). Whether the node really owned the slots is
checked before and after reading them, in the same round trip.
"""

from __future__ import annotations

import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import redis
from redis.crc import key_slot
from redis.exceptions import NoScriptError, ResponseError, TryAgainError

from stores.backends.redis_cluster import ClusterLink
from stores.backends.redis_link import Command, pipelined
from stores.backends.redis_measure import CENSUS_COUNT, CLOCK_LUA, MEASURE_LUA, Tempo, measure_keyed
from stores.backends.redis_pages import STEP_KEYS, STEP_SECONDS, lost, scan_names, shared_prefix, split_position, within
from stores.backends.redis_rows import ask
from stores.backends.redis_scripts import EXPIRY_LUA, Script, learned
from stores.backends.redis_walk import Walk
from stores.types import ALL_KEYS, CensusColumns, CensusSlice, KeyRange

SLOTS: Final = 16384
SLOTS_AT_ONCE: Final = 1024
CROWD: Final = 10_000
"""A slot with more keys (a hash tag that many keys share) is walked with SCAN instead of being listed in one call."""
CENSUS_NAMES: Final = 1000
MOST_PARTS: Final = 16
"""Parts of a census at most."""

_NAMES: Final = Script(
    CLOCK_LUA
    + """
local slot, last, want, crowd = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local prefix, strings = ARGV[5], ARGV[6] == '1'
local out, seen, visited = {0, 0, 0, 0}, 0, 0
while slot <= last do
  local count = redis.call('CLUSTER', 'COUNTKEYSINSLOT', slot)
  if count > crowd then out[3] = 1 break end
  if count > 0 then
    for _, key in ipairs(redis.call('CLUSTER', 'GETKEYSINSLOT', slot, count)) do
      if string.sub(key, 1, #prefix) == prefix and (not strings or redis.call('TYPE', key).ok == 'string') then
        out[#out + 1] = key
      end
    end
  end
  slot, seen, visited = slot + 1, seen + count, visited + 1
  if #out - 4 >= want or seen >= 2000 then break end
  if visited % 16 == 0 and micros() - started > 900 then break end
end
out[1], out[2], out[4] = math.floor(micros() - started), slot, seen
return out
"""
)
_MEASURE: Final = Script(
    EXPIRY_LUA
    + CLOCK_LUA
    + MEASURE_LUA
    + """
local exact = table.remove(ARGV, 1) == '1'
local times, sizes = measure(ARGV, exact)
return {math.floor(micros() - started), times, sizes}
"""
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a walk stands: in a slot, after a key of it, or inside the SCAN of a crowded slot.

    `after` is a digest: positions travel in addresses, and a key may be a secret.
    """

    slot: int = 0
    after: bytes = b""
    scan: str = ""

    def __str__(self) -> str:
        if self.scan:
            return f"{self.slot}~{self.scan}"
        return f"{self.slot}-{urlsafe_b64encode(self.after).decode()}" if self.after else str(self.slot)

    @classmethod
    def parse(cls, position: str) -> Place:
        if not position:
            return cls()
        match = re.fullmatch(r"([0-9]{1,5})(?:-([A-Za-z0-9_-]{12})|~([0-9a-f.-]+))?", position)
        if match is None or int(match[1]) >= SLOTS:
            raise lost()
        if match[3]:
            split_position(match[3])
            return cls(int(match[1]), scan=match[3])
        return cls(int(match[1]), urlsafe_b64decode(match[2] or ""))


@dataclass(frozen=True, slots=True)
class Step:
    """The names of some slots in a row, complete for each slot from the first to before `following`."""

    names: list[bytes]
    following: int
    crowded: bool
    """The slot `following` holds too many keys to be listed."""
    seen: int
    owner: str


class SlotWalk(Walk):
    """The walk over all primaries of a cluster."""

    def __init__(self, link: ClusterLink) -> None:
        self.link = link

    def names(self, keys: KeyRange, position: str, want: int, strings: bool = False) -> tuple[list[bytes], str | None]:
        place, found = Place.parse(position), list[bytes]()
        scanned, deadline = 0, time.monotonic() + STEP_SECONDS
        while place.slot < SLOTS and len(found) < want and scanned < STEP_KEYS and time.monotonic() < deadline:
            if place.scan:
                more, place = self._crowded(place, keys, want - len(found), strings)
                if more:
                    return found + more, str(place) if place.slot < SLOTS else None
                scanned += STEP_KEYS
                continue
            step = self._read((place.slot, SLOTS), keys, want - len(found), strings)
            scanned += step.seen + 16
            found += sorted((key for key in within(step.names, keys) if _behind(key, place)), key=lambda key: (key_slot(key), _mark(key)))
            place = Place(step.following, scan="-.0" if step.crowded else "")
        if len(found) > want:
            found = found[:want]
            place = Place(key_slot(found[-1]), _mark(found[-1]))
        return found, str(place) if place.slot < SLOTS else None

    def progress(self, position: str) -> float | None:
        return Place.parse(position).slot / SLOTS

    def parts(self, most: int) -> list[tuple[str, str]]:
        """Stretches of slots of one primary each, so that all primaries work at once; even ones where owners change all the time."""
        stretches = self.link.run(self._stretches)
        if len(stretches) > MOST_PARTS:
            wanted = min(MOST_PARTS, max(most, len(self.link.run(self.link.primaries))))
            stretches = [(SLOTS * number // wanted, SLOTS * (number + 1) // wanted) for number in range(wanted)]
        while len(stretches) < most:
            start, end = max(stretches, key=lambda stretch: stretch[1] - stretch[0])
            stretches += [(start, (start + end) // 2), ((start + end) // 2, end)]
            stretches.remove((start, end))
        return [(f"{start}-{end}", str(Place(start))) for start, end in sorted(stretches)]

    def _stretches(self) -> list[tuple[int, int]]:
        owners = [self.link.owner_name(slot) for slot in range(SLOTS)]
        starts = [slot for slot in range(SLOTS) if not slot or owners[slot] != owners[slot - 1]]
        return list(zip(starts, [*starts[1:], SLOTS], strict=True))

    def census(self, position: str, mark: str = "") -> Iterator[CensusSlice]:
        start, end = stretch_of(mark)
        place, tempo = Place.parse(position), Tempo(CENSUS_COUNT)
        patience: AbstractContextManager[None] = nullcontext()
        while place.slot < end:
            with patience:
                if place.scan:
                    names, place = self._crowded(place, ALL_KEYS, CENSUS_NAMES, False)
                    owner = ""
                else:
                    step = self._read((place.slot, end), ALL_KEYS, CENSUS_NAMES, False)
                    names = [name for name in step.names if _behind(name, place)]
                    place, owner = Place(step.following, scan="-.0" if step.crowded else ""), step.owner
                columns = self._measure(names, owner, tempo)
            done, patience = place.slot >= end, self.link.working()
            share = 1.0 if done else (place.slot - start) / (end - start)
            yield CensusSlice((), "" if done else str(place), share, columns=columns)

    # one step

    def _read(self, slots: tuple[int, int], keys: KeyRange, want: int, strings: bool) -> Step:
        """The first of these slots from their owner; again when it turns out that they had another one by then."""
        return self.link.run(lambda: self._read_once(*slots, keys, want, strings))

    def _read_once(self, first: int, end: int, keys: KeyRange, want: int, strings: bool) -> Step:
        link, owner = self.link, self.link.owner_name(first)
        last = first
        while last + 1 < min(end, first + SLOTS_AT_ONCE) and link.owner_name(last + 1) == owner:
            last += 1
        prefix = shared_prefix(keys)
        step, views = self._list(owner, (first, last), want, prefix, strings)
        leaving: dict[int, str] = {}
        for view in views:
            mine = _Own(view)
            if not all(mine.owns(slot) for slot in range(first, min(step.following + step.crowded, end))):
                raise TryAgainError("the slots have moved")
            leaving |= {slot: mine.address_of(target) for slot, target in mine.leaving.items() if first <= slot < step.following}
        if not leaving:
            return step
        arrived = [name for slot, target in leaving.items() for name in self._arrived(target, slot) if name.startswith(prefix)]
        return Step(list(dict.fromkeys(step.names + self._strings(arrived, strings))), step.following, step.crowded, step.seen, owner)

    def _list(self, owner: str, slots: tuple[int, int], want: int, prefix: bytes, strings: bool) -> tuple[Step, list[Any]]:
        """Names by script, or by plain commands where scripts are forbidden, with the node's own view before and after."""
        link, client = self.link, self.link.client_of(owner)
        while link.dialect.read_scripts or link.dialect.scripts:
            suffix = "_RO" if link.dialect.read_scripts else ""
            arguments = (*slots, max(want, 1), CROWD, prefix, int(strings))
            before, reply, after = _viewed(client, [(f"EVALSHA{suffix}", _NAMES.sha, 0, *arguments)])
            if isinstance(reply, NoScriptError):
                before, reply, after = _viewed(client, [(f"EVAL{suffix}", _NAMES.text, 0, *arguments)])
            if isinstance(reply, ResponseError) and learned(link, reply):
                continue
            _raise_first([before, reply, after])
            return Step(reply[4:], int(reply[1]), bool(reply[2]), int(reply[3]), owner), [before, after]
        return self._list_plainly(owner, slots, want, prefix, strings)

    def _list_plainly(self, owner: str, slots: tuple[int, int], want: int, prefix: bytes, strings: bool) -> tuple[Step, list[Any]]:
        client = self.link.client_of(owner)
        numbers = range(slots[0], slots[1] + 1)
        counts = pipelined(client, [("CLUSTER", "COUNTKEYSINSLOT", slot) for slot in numbers])
        _raise_first(counts)
        following, seen = slots[0], 0
        for count in counts:
            if count > CROWD or seen >= max(want, 1):
                break
            following, seen = following + 1, seen + count
        filled = [slot for slot, count in zip(numbers, counts, strict=True) if count and slot < following]
        before, *lists, after = _viewed(client, [("CLUSTER", "GETKEYSINSLOT", slot, CROWD + 1) for slot in filled])
        _raise_first([before, *lists, after])
        if any(len(part) > CROWD for part in lists):
            raise TryAgainError("a slot has become crowded")
        crowded = following <= slots[1] and counts[following - slots[0]] > CROWD
        names = [name for part in lists for name in part if name.startswith(prefix)]
        return Step(self._strings(names, strings), following, crowded, seen, owner), [before, after]

    def _arrived(self, target: str, slot: int) -> list[bytes]:
        """The keys of a slot on the move that have reached its next owner."""
        (found,) = pipelined(self.link.client_of(target), [("CLUSTER", "GETKEYSINSLOT", slot, CROWD)])
        _raise_first([found])
        return list(found)

    def _strings(self, names: list[bytes], wanted: bool) -> list[bytes]:
        if not wanted or not names:
            return names
        kinds = ask(self.link, lambda: [("TYPE", name) for name in names])
        return [name for name, kind in zip(names, kinds, strict=True) if kind == b"string"]

    def _crowded(self, place: Place, keys: KeyRange, want: int, strings: bool) -> tuple[list[bytes], Place]:
        """A step of SCAN over the owner of a crowded slot; its other keys are left to their own slots."""
        client = self.link.run(lambda: self.link.owner_of_slot(place.slot))
        run_id, cursor = split_position(place.scan)
        names, following = scan_names(self.link, client, keys, ("" if cursor == 0 else run_id, cursor), want, strings)
        mine = [name for name in names if key_slot(name) == place.slot]
        return mine, Place(place.slot + 1) if following is None else Place(place.slot, scan=following)

    def _measure(self, names: Sequence[bytes], owner: str, tempo: Tempo) -> CensusColumns:
        """Expiry and length: a script for each few names, keyed commands for keys that have just moved."""
        times, sizes = list[int](), list[int]()
        while len(times) < len(names):
            _, at, size = self._measure_batch(names[len(times) : len(times) + tempo.count], owner, tempo)
            times += at
            sizes += size
        return CensusColumns(names, times, sizes)

    def _measure_batch(self, batch: Sequence[bytes], owner: str, tempo: Tempo) -> CensusColumns:
        dialect = self.link.dialect
        if owner and (dialect.read_scripts or dialect.scripts):
            reply = self.link.run(lambda: self._measured_by_script(batch, owner))
            if reply is not None:
                tempo.note(int(reply[0]))
                return CensusColumns(batch, reply[1], reply[2])
        return measure_keyed(self.link, batch)

    def _measured_by_script(self, batch: Sequence[bytes], owner: str) -> Any:
        """None when the node refuses: a key is not its own any more, or it wants to be asked in another way."""
        suffix = "_RO" if self.link.dialect.read_scripts else ""
        arguments = ("1" if self.link.dialect.pexpiretime else "0", *batch)
        (reply,) = pipelined(self.link.client_of(owner), [(f"EVALSHA{suffix}", _MEASURE.sha, 0, *arguments)])
        if isinstance(reply, NoScriptError):
            (reply,) = pipelined(self.link.client_of(owner), [(f"EVAL{suffix}", _MEASURE.text, 0, *arguments)])
        if isinstance(reply, ResponseError):
            learned(self.link, reply)
            return None
        return reply


class _Own:
    """A node's own view of itself, from the driver's reading of CLUSTER NODES."""

    def __init__(self, view: dict[str, Any]) -> None:
        self._view = view
        mine: dict[str, Any] = next((node for node in view.values() if "myself" in node["flags"]), {})
        self._ranges = [(int(part[0]), int(part[-1])) for part in mine.get("slots", []) if part[0].isdigit()]
        if "master" not in mine.get("flags", ""):
            self._ranges = []
        moves = mine.get("migrations", [])
        self.leaving = {int(move["slot"]): str(move["node_id"]) for move in moves if move["state"] == "migrating"}

    def owns(self, slot: int) -> bool:
        return any(first <= slot <= last for first, last in self._ranges)

    def address_of(self, node_id: str) -> str:
        """host:port of a node. Raises TryAgainError for one that is not known."""
        for address, node in self._view.items():
            if node["node_id"] == node_id:
                return address
        raise TryAgainError("a slot moves to an unknown node")


def stretch_of(mark: str) -> tuple[int, int]:
    """First slot and end of a part; all slots for the empty mark. Raises CursorLost for what is none."""
    if not mark:
        return 0, SLOTS
    start, _, end = mark.partition("-")
    if not (start.isdigit() and end.isdigit() and int(start) < int(end) <= SLOTS):
        raise lost()
    return int(start), int(end)


def _mark(key: bytes) -> bytes:
    """The key's digest: its place inside its slot."""
    return blake2b(key, digest_size=9).digest()


def _behind(key: bytes, place: Place) -> bool:
    """Whether a key comes after the place: all keys of later slots do."""
    return not place.after or key_slot(key) != place.slot or _mark(key) > place.after


def _viewed(client: redis.Redis, commands: Sequence[Command]) -> list[Any]:
    return pipelined(client, [("CLUSTER NODES",), *commands, ("CLUSTER NODES",)])


def _raise_first(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
