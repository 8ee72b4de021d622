"""Import of keys: what export writes comes back as it was; what is wrong in a file names the line and the field."""

from __future__ import annotations

import gzip
import io
import json
import os
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from stores.backends.memory import MemoryBackend
from stores.errors import BadConfig, Forbidden, NotSupported, ReadOnly, StoreRefused
from stores.models import Run, RunState, Store, TrashEntry
from stores.services import bulk, bulk_undo, definitions, keyfile_import, keyfile_run, keyfile_spool, run_control, runs
from stores.services.actor import Actor
from stores.services.bulk_change import Clash
from stores.services.bulk_export import export
from stores.services.bulk_record import Record
from stores.services.filters import KeyFilter
from stores.services.keyfile_import import Options, Preview, WrongLines
from stores.services.keyfile_lines import LONGEST, Format, Wrong, lines
from stores.services.rights import Rights, Role
from stores.types import Entry, Pace
from tests.servers.redis import RedisServer, single
from tests.services.conftest import everything, new_memory, plant, plant_counter, plant_raw, soon

AUTH = b"\x05\x01\x02\x03\x04" + (7).to_bytes(8, "big")
LOCK = b"\x15abc"
SECRET = b"\x01" + b"A" * 40
OPERATOR = Actor("otto", "page", rights=Rights(Role.OPERATOR))


@pytest.fixture(autouse=True)
def uploads(tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    return tmp_path / "data" / "imports"


@pytest.fixture
def filled(memory: Store) -> Store:
    for number in range(60):
        plant(memory, b"user:%02d" % number, b"=v\x00%d\xff" % number, soon(1000 + number))
    plant(memory, b"=cmd|' /C calc'!A0", b"=HYPERLINK(1)")
    plant(memory, 'schlüssel\n,"'.encode(), b'a "quoted"\nvalue,\r\n')
    plant(memory, b"empty", b"", soon())
    plant_counter(memory, AUTH, -5, soon())
    plant_counter(memory, b"forever", 9)
    plant(memory, LOCK, b"", soon())
    plant(memory, SECRET, b"code", soon())
    return memory


@pytest.fixture
def second(db: None) -> Store:
    return new_memory("second")


def looked(actor: Actor, store: Store, data: bytes, **options: object) -> Preview:
    upload = keyfile_import.accept([data])
    return keyfile_import.preview(actor, store, upload, Options(at=time.time(), **options), None)  # type: ignore[arg-type]


def imported(actor: Actor, store: Store, data: bytes, **options: object) -> Run:
    shown = looked(actor, store, data, **options)
    assert not shown.blocked
    return bulk.import_in_foreground(actor, store, keyfile_import.confirmed(store, shown.token, str(shown.found.rows)), Pace.FAST)


def file_of(actor: Actor, store: Store, format: Format, **options: bool) -> bytes:
    return b"".join(export(actor, store, KeyFilter(), format, **options))  # type: ignore[arg-type]


def problems(actor: Actor, store: Store, data: bytes) -> list[tuple[int, str]]:
    return [(each.line, each.field) for each in looked(actor, store, data).found.problems]


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_what_export_writes_comes_back_as_it_was(filled: Store, second: Store, actor: Actor, uploads: Path, format: Format) -> None:
    data = file_of(actor, filled, format, secrets=True)
    run = imported(actor, second, data)
    assert (run.state, Record.of(run).done, Record.of(run).failed) == (RunState.DONE, 67, 0)
    assert everything(second) == everything(filled)
    assert not list(uploads.glob("*")), "a file is gone when its run is done"
    again = looked(actor, second, data)
    assert (again.found.same, again.found.rows, again.blocked != "") == (67, 0, True)


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_secrets_are_left_out_on_both_sides_unless_permitted(filled: Store, second: Store, actor: Actor, format: Format) -> None:
    assert SECRET.hex().encode() not in file_of(actor, filled, format)
    with pytest.raises(Forbidden):
        export(OPERATOR, filled, KeyFilter(), format, secrets=True)
    data = file_of(actor, filled, format, secrets=True)
    run = imported(OPERATOR, second, data)
    assert (Record.of(run).done, Record.of(run).left_out, SECRET in everything(second)) == (66, 1, False)
    assert looked(OPERATOR, new_memory("third"), data).found.left_out == 1
    with pytest.raises(Forbidden):
        looked(Actor("vera", "page", rights=Rights(Role.VIEWER)), second, data)


@pytest.fixture(scope="module")
def server() -> RedisServer:
    return single("valkey")


@pytest.fixture
def cache(server: RedisServer, db: None, actor: Actor) -> Iterator[Store]:
    client: redis.Redis = server.client()
    client.flushall()
    yield definitions.create_store(actor, id="redis", type="redis", settings={"urls": server.url}, version="0.11")
    client.close()


def test_through_redis_and_back(filled: Store, second: Store, cache: Store, actor: Actor) -> None:
    definitions.update_store(actor, filled, version="0.11")
    definitions.update_store(actor, second, version="0.11")
    there = imported(actor, cache, file_of(actor, filled, "jsonl", secrets=True))
    assert (there.state, Record.of(there).done) == (RunState.DONE, 67)
    back = imported(actor, second, file_of(actor, cache, "csv", secrets=True))
    assert back.state == RunState.DONE
    wanted, found = everything(filled), everything(second)
    assert {key: (entry.value, entry.expires_at) for key, entry in found.items() if key != b"forever"} == {
        key: (entry.value, entry.expires_at) for key, entry in wanted.items() if key != b"forever"
    }
    assert (found[AUTH], found[LOCK].row, found[b"forever"].value) == (wanted[AUTH], wanted[LOCK].row, b"9")


def test_files_written_by_hand(second: Store, actor: Actor) -> None:
    at = soon(90_000)
    data = """\ufeffkey,value,counter,expires
vip/ana@example.org,'=1+1,,never
hits,,7,2 days
"two
lines",text,,2090-01-31 18:00
""".encode()
    run = imported(actor, second, data)
    assert run.state == RunState.DONE, run.error
    found = everything(second)
    assert found[b"vip/ana@example.org"].value == b"=1+1"
    assert found[b"hits"].counter == 7
    assert abs((found[b"hits"].expires_at or 0) - time.time() - 172_800) < 5
    assert found[b"two\nlines"].value == b"text"
    rows = [
        {"key": "k", "value": "v", "expires_at": at},
        {"key_hex": "00ff", "value_hex": "", "expires": "never"},
        {"key": "c", "counter": 1},
    ]
    assert imported(actor, second, "\n\n".join(map(json.dumps, rows)).encode()).state == RunState.DONE
    found = everything(second)
    assert (found[b"k"].expires_at, found[b"\x00\xff"].value, found[b"c"].counter) == (at, b"", 1)


@pytest.mark.parametrize("clash", list(Clash))
def test_what_the_store_holds_already(second: Store, actor: Actor, clash: Clash) -> None:
    theirs = plant(second, b"b", b"theirs")
    plant(second, b"c", b"long gone", int(time.time()) - 5)
    plant(second, b"d", b"same")
    data = b"\n".join(
        json.dumps({"key": key, "value": value}).encode() for key, value in (("a", "1"), ("b", "2"), ("c", "3"), ("d", "same"))
    )
    shown = looked(actor, second, data, clash=clash)
    assert (shown.found.rows, shown.found.new, shown.found.clashes, shown.found.same) == (2 + (clash is Clash.OVERWRITE), 2, 1, 1)
    run = imported(actor, second, data, clash=clash)
    found = everything(second)
    if clash is Clash.FAIL:
        assert (run.state, b"b".hex() in run.error, found[b"b"]) == (RunState.FAILED, True, theirs)
        return
    assert (run.state, found[b"a"].value, found[b"c"].value) == (RunState.DONE, b"1", b"3")
    assert found[b"b"].value == (b"2" if clash is Clash.OVERWRITE else b"theirs")
    back = bulk.execute(bulk_undo.start(actor, run).pk)
    assert back is not None
    assert Record.of(back).failed == 0
    now = everything(second)
    assert (set(now), now[b"b"]) == ({b"b", b"c", b"d"}, theirs)


WRONG = {
    b"{": (1, ""),
    b"[1]": (1, ""),
    b'{"key": "a", "value": "b", "ttl": 5}': (1, "ttl"),
    b'{"value": "b"}': (1, "key_hex"),
    b'{"key_hex": "xyz", "value": ""}': (1, "key_hex"),
    b'{"key": 5, "value": ""}': (1, "key"),
    b'{"key": "a"}': (1, "value_hex"),
    b'{"key": "a", "value_hex": "0"}': (1, "value_hex"),
    b'{"key": "a", "kind": "counter"}': (1, "counter"),
    b'{"key": "a", "kind": "list", "value": ""}': (1, "kind"),
    b'{"key": "a", "kind": ["x"], "value": ""}': (1, "kind"),
    b'{"key": "a", "counter": 9223372036854775808}': (1, "counter"),
    b'{"key": "a", "counter": 1.5}': (1, "counter"),
    b'{"key": "a", "counter": true}': (1, "counter"),
    b'{"key": "a", "value": "", "expires_at": -1}': (1, "expires_at"),
    b'{"key": "a", "value": "", "expires_at": "soon"}': (1, "expires_at"),
    b'{"key": "a", "value": "", "expires": "2001-01-01"}': (1, "expires"),
    b'{"key": "\\ud800", "value": ""}': (1, "key"),
    b'{"key": "\xe4", "value": ""}': (1, ""),
    b'{"key": "a", "value": ' + b"[" * 100_000: (1, ""),
    b"key,value\na,b\nc,d,e\n": (3, ""),
    b"key,value\n\n\xff,b\n": (3, ""),
    b"key_hex,value_hex\n61,zz\n": (2, "value_hex"),
    b'key,value\na,"b"c\n': (2, ""),
    b"key,value\n" + b"\n" * 5000 + b"a\x00b,c\n": (5002, ""),
    b'{"key": "a", "value": ""}' + b" " * 5000 + b'\n{"key": "a\x00b", "value": ""}\n': (2, ""),
    b'{"counter": ' + b"9" * 5000 + b', "key": "a"}\n': (1, ""),
    b'{"key": "a", "value": "", "x\\ud800": 1}\n': (1, "x\\ud800"),
    b'{"key": "a", "value": "", "expires": "\\ud800"}\n': (1, "expires"),
    b"[" * 100_000 + b"\n": (1, ""),
    b"key_hex,kind,value_hex\n61,malformed,\n": (2, "kind"),
}


@pytest.mark.parametrize("data", list(WRONG))
def test_what_is_wrong_names_line_and_field(second: Store, actor: Actor, data: bytes) -> None:
    shown = looked(actor, second, data)
    assert [(each.line, each.field) for each in shown.found.problems] == [WRONG[data]]
    assert "wrong lines" in shown.blocked
    assert everything(second) == {}


def test_wrong_lines_end_a_run_or_are_left_out(second: Store, actor: Actor) -> None:
    data = b'{"key": "a", "value": "1"}\n{"key": "b"}\n{"key": "c", "value": "3"}\n'
    with pytest.raises(AssertionError):
        imported(actor, second, data)
    run = imported(actor, second, data, wrong=WrongLines.SKIP)
    record = Record.of(run)
    assert (run.state, record.done, record.failed, set(everything(second))) == (RunState.DONE, 2, 1, {b"a", b"c"})
    assert record.failures[0][0] == "Line 2, field value_hex"
    assert "Line 2" in str(run.log)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (gzip.compress(bytes(1 << 20)), "gzip"),
        (b"PK\x03\x04" + bytes(100), "zip"),
        ("key,value\na,b\n".encode("utf-16"), "UTF-8"),
        ("key,value\na,b\n".encode("utf-16-le"), "UTF-8"),
        (b"", "empty"),
        (b"\xef\xbb\xbf \n", "empty"),
        (b"name,value\na,b\n", "key_hex"),
        (b"key,value,ttl\na,b,5\n", "ttl"),
        (b"key,value,value\na,b,5\n", "value"),
    ],
)
def test_files_that_are_none_are_refused_as_a_whole(second: Store, actor: Actor, data: bytes, why: str) -> None:
    with pytest.raises(BadConfig, match=why) as refused:
        looked(actor, second, data)
    assert refused.value.field == "file"


def test_an_oversize_line_is_named_and_stepped_over_without_being_held() -> None:
    long = b'{"key": "' + b"a" * (2 * LONGEST) + b'", "value": ""}\n'
    found = list(lines(io.BytesIO(long + b'{"key": "b", "value": ""}\n'), "jsonl", 0.0))
    first, last = found[0].entry, found[1].entry
    assert isinstance(first, Wrong)
    assert "8 MB" in str(first)
    assert isinstance(last, Entry)
    assert (last.key, found[1].number) == (b"b", 2)


@pytest.mark.parametrize(("head", "size"), [(b'{"key": "', 1 << 30), (b"key,value\na,", 1 << 27), (b'key,value\na,"', 1 << 27)])
def test_a_gigabyte_without_a_newline_is_refused_in_bounded_memory(
    second: Store, actor: Actor, uploads: Path, head: bytes, size: int
) -> None:
    uploads.mkdir(parents=True)
    name = str(uuid4())
    with (uploads / name).open("wb") as file:
        file.write(head + b"a" * 5000)
        file.truncate(size)
        file.seek(size)
        file.write(b"\n")
    tracemalloc.start()
    try:
        shown = keyfile_import.preview(actor, second, name, Options(at=time.time()), None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [each.message for each in shown.found.problems] == ["The line is longer than 8 MB."]
    assert shown.blocked
    assert peak < 5 * LONGEST


def test_a_quote_that_stays_open_is_cut_at_the_longest_line() -> None:
    row = b"x" * 4000 + b"\n"
    quoted = next(lines(io.BytesIO(b'key,value\na,"' + row * (LONGEST // 4000 + 2)), "csv", 0.0))
    assert isinstance(quoted.entry, Wrong)


def test_too_large_an_upload_leaves_nothing_behind(uploads: Path, settings: Any) -> None:
    settings.KVADMIN_IMPORT_MB = 1
    with pytest.raises(BadConfig, match="1 MB"):
        keyfile_spool.accept(bytes(1 << 16) for _ in range(20))
    assert not list(uploads.glob("*"))


def test_a_run_goes_on_where_it_stopped(second: Store, actor: Actor) -> None:
    text = "".join(f'k{number},"v\n{number}"\n' for number in range(300))
    shown = looked(actor, second, f"key,value\n{text}".encode())
    run = keyfile_import.start(actor, second, keyfile_import.confirmed(second, shown.token, "300"), Pace.FAST)
    Run.objects.update(pause_requested=True)
    paused = bulk.execute(run.pk)
    assert paused is not None
    assert paused.state == RunState.PAUSED
    assert 0 < Record.of(paused).done < 300
    runs.resume(actor, paused)
    ended = bulk.execute(run.pk)
    assert ended is not None
    assert (ended.state, Record.of(ended).done, Record.of(ended).same, len(everything(second))) == (RunState.DONE, 300, 0, 300)
    assert TrashEntry.objects.filter(run=run).count() == 300


@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_a_run_that_ended_early_goes_on_with_its_file(
    second: Store, actor: Actor, uploads: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    text = "".join(f'k{number},"v\n{number}"\n' for number in range(300))
    shown = looked(actor, second, f"key,value\n{text}".encode())
    run = keyfile_import.start(actor, second, keyfile_import.confirmed(second, shown.token, "300"), Pace.FAST)
    real = MemoryBackend.put_each

    def ending(self: MemoryBackend, wanted: Any) -> Any:
        if how == "cancelled":
            Run.objects.update(cancel_requested=True)
        elif Run.objects.filter(scanned__gt=0).exists():
            raise StoreRefused("Not today.")
        return real(self, wanted)

    monkeypatch.setattr(MemoryBackend, "put_each", ending)
    ended = bulk.execute(run.pk)
    monkeypatch.undo()
    assert ended is not None
    assert (ended.state, 0 < Record.of(ended).done < 300, run_control.can_go_on(ended)) == (how, True, True)
    (file,) = uploads.glob("*")
    kept = file.read_bytes()
    day = time.time() - keyfile_spool.KEPT_SECONDS
    os.utime(file, (day, day))
    bulk._closed(ended, actor)
    assert keyfile_run.remove_old_files() == 0, "kept for a day from its end"
    file.unlink()
    assert not run_control.can_go_on(ended)
    with pytest.raises(NotSupported, match="not here"):
        run_control.go_on(actor, ended)
    file.write_bytes(kept)
    rest = bulk.execute(run_control.go_on(actor, ended).pk)
    assert rest is not None
    record = Record.of(rest)
    assert (rest.state, record.done, record.same, record.undoable, len(everything(second))) == (RunState.DONE, 300, 0, 300, 300)
    assert TrashEntry.objects.filter(run=run).count() == 300
    assert not list(uploads.glob("*"))


def test_refusals(second: Store, actor: Actor) -> None:
    data = b'{"key": "a", "value": "1"}\n'
    shown = looked(actor, second, data)
    with pytest.raises(BadConfig, match="Type 1"):
        keyfile_import.confirmed(second, shown.token, "2")
    with pytest.raises(BadConfig, match="another store"):
        keyfile_import.confirmed(new_memory("other"), shown.token, "1")
    wanted = keyfile_import.confirmed(second, shown.token, "1")
    for upload in ("../../etc/passwd", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(NotSupported, match="not here"):
            keyfile_import.start(actor, second, replace(wanted, upload=upload))
    definitions.update_store(actor, second, read_only=True)
    with pytest.raises(ReadOnly):
        keyfile_import.start(actor, second, wanted)
    assert not Run.objects.exists()


def test_malformed_rows_do_not_come_back(second: Store, actor: Actor) -> None:
    plant_raw(second, b"broken", b"abc")
    assert problems(actor, second, file_of(actor, second, "csv")) == [(2, "kind")]
    assert problems(actor, second, file_of(actor, second, "jsonl")) == [(1, "fields")]


def test_export_goes_on_after_a_key(filled: Store, cache: Store, actor: Actor) -> None:
    whole = file_of(actor, filled, "jsonl").splitlines()
    last = json.loads(whole[20])["key_hex"]
    rest = b"".join(export(actor, filled, KeyFilter(), "jsonl", after=bytes.fromhex(last))).splitlines()
    assert whole[21:] == rest
    with pytest.raises(NotSupported):
        export(actor, cache, KeyFilter(), "jsonl", after=b"x")
