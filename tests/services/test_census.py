from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from stores.backends.memory import MemoryBackend
from stores.errors import Busy, CursorLost, StoreRefused
from stores.models import AuditEntry, Census, Run, RunState, Store
from stores.services import census, run_control
from stores.services.actor import Actor
from stores.services.tally import BUCKET_NAMES, SUBJECTS, Tally
from stores.types import CensusRow, CensusSlice, Kind
from tests.services.conftest import opened, plant, plant_counter, plant_raw, soon

WINDOW = (7).to_bytes(8, "big")
SUMS = {"keys", "counters", "locks", "key_bytes", "value_bytes", "never", "expired"}


def test_every_row_is_counted_once_in_its_class(memory: Store, actor: Actor) -> None:
    plant(memory, b"vip", b"x")
    plant(memory, b"old", b"xyz", soon(-5))
    plant_counter(memory, b"visits", 3)
    for number in range(3):
        plant_counter(memory, b"\x05\x01\x01\x01" + bytes([number]) + WINDOW, 5, soon())
    plant(memory, b"\x15" + bytes(8), b"", soon(-1))
    with opened(memory) as backend:
        backend.key_set(b"both", b"v", None)
        backend.counter_incr(b"both", 3)
    plant_raw(memory, b"broken", b"abc")
    found = census.json_census(census.count(memory, actor))
    assert list(found) == ["store", "at", "seconds", "exact", "corrupt", "total", "classes"]
    assert (found["store"], found["exact"], found["corrupt"]) == ("mem", True, 1)
    assert abs(found["at"] - time.time()) < 5
    assert found["classes"] == [
        {"class": "rate-auth", "byte": 5, "keys": 0, "counters": 3, "locks": 0, "key_bytes": 39, "value_bytes": 72, "never": 0,
         "expired": 0},
        {"class": "lock-queue-message", "byte": 21, "keys": 0, "counters": 0, "locks": 1, "key_bytes": 9, "value_bytes": 8, "never": 0,
         "expired": 1},
        {"class": None, "byte": None, "keys": 4, "counters": 1, "locks": 0, "key_bytes": 22, "value_bytes": 9 + 11 + 8 + 9 + 8 + 3,
         "never": 3, "expired": 1},
    ]  # fmt: skip
    assert found["total"] == {name: sum(row[name] for row in found["classes"]) for name in SUMS}
    json.dumps(found)


def test_details(memory: Store, actor: Actor) -> None:
    for seconds in (-5, 30, 200, 3000, 20_000, 80_000, 500_000, 2_000_000, 30_000_000, 90_000_000):
        plant(memory, b"k%d" % seconds, b"x", soon(seconds))
    plant(memory, b"never")
    plant(memory, b"big", b"x" * 500)
    plant(memory, b"\x01" + b"A" * 40, b"s" * 1000, soon(30))
    for number in range(9):
        plant_counter(memory, b"\x05\xcb\x00\x71\x14" + number.to_bytes(8, "big"), 5, soon())
    plant_counter(memory, b"\x05" + b"john" * 3 + WINDOW, 5, soon())
    plant_counter(memory, b"\x03\xc6\x33\x64\x07" + WINDOW, 5, soon())
    details = census.count(memory, actor).details
    assert details["histogram"]["names"] == list(BUCKET_NAMES)
    assert details["histogram"]["total"] == [1, 2, 1, 12, 1, 1, 1, 1, 1, 1, 2]
    assert sum(sum(row["counts"]) for row in details["histogram"]["classes"]) == 24
    assert details["largest"][0] == {"class": "oauth", "key_hex": None, "bytes": 1049}
    assert details["largest"][1] == {"class": None, "key_hex": b"big".hex(), "bytes": 511}
    assert details["subjects"][0] == {"class": "rate-scan", "subject": "198.51.100.7", "keys": 1, "missed": 0}
    assert details["subjects"][1:] == [
        {"class": "rate-auth", "subject": "203.0.113.20", "keys": 9, "missed": 0},
        {"class": "rate-auth", "subject": "johnjohnjohn", "keys": 1, "missed": 0},
    ]
    assert details["left_over"] == []
    assert details["expired"]["total"] == {"values": 1, "counters": 0, "locks": 0, "bytes": 3 + 9}


def test_the_latest_one_is_kept_with_its_age(memory: Store, actor: Actor) -> None:
    assert census.latest(memory) is None
    first = census.count(memory, actor)
    plant(memory, b"k")
    Census.objects.update(at="2026-01-01T00:00:00Z")
    second = census.count(memory, actor)
    assert census.latest(memory) == second != first
    assert second.total["keys"] == 1


def test_details_are_kept_of_the_newest(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census, "DETAILED", 2)
    now = timezone.now()
    for number in range(5):
        counted = census.count(memory, actor)
        Census.objects.filter(pk=counted.pk).update(at=now - timedelta(hours=9 - number))
    census.count(memory, actor)
    assert [bool(found.details) for found in Census.objects.order_by("-at")] == [True, True, False, False, False, False]


def test_what_an_older_version_left_is_named(memory: Store, actor: Actor) -> None:
    memory.version = "0.15"
    memory.save()
    plant(memory, b"\x0c\xcb\x00\x71\x14", b"\x00" * 12, soon())
    plant(memory, b"vip")
    assert census.count(memory, actor).details["left_over"] == [{"class": "reputation-ip", "keys": 1}]


def test_memory_stays_flat() -> None:
    """A quarter of a million subjects, each once, and one that comes often."""
    tally = Tally("0.11", 1_900_000_000, "data")
    often = b"\x05\xcb\x00\x71\x14"
    tracemalloc.start()
    peaks = []
    for chunk in range(60):
        rows = [
            CensusRow(b"\x05" + (chunk * 4000 + number).to_bytes(4, "big") + WINDOW, Kind.COUNTER, 1_900_000_100, 13, 24)
            for number in range(4000)
        ]
        rows += [CensusRow(often + number.to_bytes(8, "big"), Kind.COUNTER, 1_900_000_100, 13, 24) for number in range(200)]
        tally.add(rows)
        peaks.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(peaks[30:]) < max(peaks[:10]) * 1.5 + 500_000
    assert tally.total()["counters"] == 60 * 4200
    subjects = tally.details()["subjects"]
    assert len(subjects) <= SUBJECTS
    assert subjects[0]["subject"] == "203.0.113.20"
    assert subjects[0]["keys"] + subjects[0]["missed"] >= 12_000
    assert subjects[0]["keys"] <= 12_000


def test_a_server_that_loses_its_place_is_counted_again_from_the_start(
    memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        plant(memory, b"own%d" % number)
    whole, lost = MemoryBackend.census, iter([True, False])

    def interrupted(self: MemoryBackend, position: str = "") -> Iterator[CensusSlice]:
        yield from whole(self, position)
        if next(lost):
            raise CursorLost("The server was restarted.")

    monkeypatch.setattr(MemoryBackend, "census", interrupted)
    assert census.count(memory, actor).total["keys"] == 5


def test_a_server_that_never_keeps_its_place_is_an_error_and_no_count(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(self: MemoryBackend, position: str = "") -> Iterator[CensusSlice]:
        yield CensusSlice(())
        raise CursorLost("The server was restarted.")

    monkeypatch.setattr(MemoryBackend, "census", lost)
    with pytest.raises(CursorLost):
        census.count(memory, actor)
    assert census.latest(memory) is None


def test_a_count_that_failed_is_made_again_from_its_start(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        plant(memory, b"own%d" % number)
    whole, faults = MemoryBackend.census, [True]

    def refused(self: MemoryBackend, position: str = "") -> Iterator[CensusSlice]:
        for step in whole(self, position):
            yield step if not faults else CensusSlice(step.rows, "somewhere")
            if faults.pop() if faults else False:
                raise StoreRefused("No more of this.", "Try again.")

    monkeypatch.setattr(MemoryBackend, "census", refused)
    monkeypatch.setattr("stores.services.counting.SAVE_SECONDS", 0.0)
    failed = census.execute(census.start(actor, memory).pk)
    assert failed is not None
    assert (failed.state, Census.objects.count(), run_control.can_go_on(failed)) == (RunState.FAILED, 0, True)
    Run.objects.filter(pk=failed.pk).update(seconds=1000.0, scanned=77)
    again = run_control.go_on(actor, failed)
    assert (again.state, again.started_at, again.seconds, again.scanned, again.params) == (RunState.QUEUED, None, 0, 0, {})
    with pytest.raises(Busy):
        census.start(actor, memory)
    ended = census.execute(again.pk)
    assert ended is not None
    assert (ended.state, ended.error, ended.scanned) == (RunState.DONE, "", 5)
    counted = Census.objects.get(run=ended)
    assert (counted.total["keys"], counted.seconds < 500) == (5, True)
    assert AuditEntry.objects.filter(action="census-go-on").count() == 1
    assert not run_control.can_go_on(ended)


@pytest.mark.parametrize("version", ["0.10", "0.15"])
def test_the_subjects_of_text_keys(memory: Store, actor: Actor, version: str) -> None:
    """Those of 0.10, and those that an upgrade left behind: an address or account is the same one in both forms."""
    memory.version = version
    memory.save()
    for number in range(3):
        plant_counter(memory, b"b:203.0.113.20" + number.to_bytes(8, "big"), 5, soon())
        plant_counter(memory, b"jreq:2001:db8::5" + number.to_bytes(8, "big"), 5, soon())
        plant_counter(memory, b"j:17" + number.to_bytes(8, "big"), 5, soon())
        plant(memory, b"g:192.0.2.7.a%d@example.org.ana@example.com" % number, b"", soon())
        plant(memory, b"m:<%d.x@Mail.example.org>" % number, b"", soon())
    plant_counter(memory, b"b:ana@example.org" + WINDOW, 5, soon())
    plant(memory, b"g:2001:db8::7..ana@example.com", b"", soon())
    if version != "0.10":
        plant_counter(memory, b"\x05\xcb\x00\x71\x14" + WINDOW, 5, soon())
    found = {(row["class"], row["subject"]): row["keys"] for row in census.count(memory, actor).details["subjects"]}
    wanted = {
        ("rate-auth", "203.0.113.20"): 3 if version == "0.10" else 4,
        ("rate-auth", "ana@example.org"): 1,
        ("rate-http-anonymous", "2001:db8::5"): 3,
        ("rate-http-authenticated", "account 17"): 3,
        ("greylist", "192.0.2.7"): 3,
        ("greylist", "2001:db8::7"): 1,
        ("trusted-reply", "mail.example.org"): 3,
    }
    if version != "0.10":
        del wanted[("trusted-reply", "mail.example.org")]
    assert found == wanted
