"""The command line in this process: shapes, filters, exit codes. A real process is in test_commands_process.py."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from stores.models import AuditEntry, Run, RunState, Store, TrashEntry
from stores.services import definitions
from stores.services.store_settings import MASK
from tests.services.conftest import ACTOR, everything, plant, plant_counter, plant_raw, soon, stored

WINDOW = (7).to_bytes(8, "big")
AUTH = b"\x05" + bytes([203, 0, 113, 20]) + WINDOW
OAUTH = b"\x01" + b"A" * 40
ROW = ["key_hex", "kind", "class", "value_hex", "counter", "expires_at", "expired", "label", "fields"]

Run_ = Callable[..., tuple[int, str]]


@pytest.fixture
def run() -> Run_:
    """Run a command; answers exit code and stdout. Errors are on `run.errors`."""

    def call(*arguments: str) -> tuple[int, str]:
        out, err = io.StringIO(), io.StringIO()
        code = 0
        try:
            call_command(*arguments, stdout=out, stderr=err)
        except CommandError as error:
            code = error.returncode
            err.write(str(error))
        except SystemExit as ended:
            code = int(ended.code or 0)
        call.errors = err.getvalue()  # type: ignore[attr-defined]
        return code, out.getvalue()

    return call


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_stores_can_be_defined_listed_and_tried(db: None, run: Run_) -> None:
    assert run("stores", "--json") == (0, "[]\n")
    assert run("store-add", "mem.one", "--type", "memory", "--set", "name=t1", "--version", "0.12")[0] == 0
    assert run("store-add", "vip", "--type", "static", "--entry", "ana@example.org=7", "--entry", "x=", "--default", "--read-only")[0] == 0
    code, text = run("stores", "--json")
    first, second = json.loads(text)
    assert code == 0
    assert list(first) == ["id", "type", "default", "version", "purge", "enabled", "read_only", "supported", "settings"]
    assert (first["id"], first["type"], first["default"], first["version"], first["settings"]) == (
        "mem.one", "memory", False, "0.12", {"name": "t1"},
    )  # fmt: skip
    assert (second["id"], second["type"], second["default"], second["read_only"]) == ("vip", "static", True, True)
    assert "mem.one" in run("stores")[1]
    code, text = run("store-test", "mem.one", "--json")
    assert (code, json.loads(text)["ok"]) == (0, True)
    assert json.loads(run("store-test", "", "--json")[1])["store"] == "vip"
    assert run("get", "", "ana@example.org", "--raw")[0] == 0


def test_secrets_are_masked(db: None, run: Run_) -> None:
    url = "redis://user:geheim@127.0.0.1:1/0"
    code, text = run("store-add", "r", "--type", "redis", "--set", f"urls={url}", "--json")
    assert code == 0
    assert "geheim" not in text
    assert json.loads(text)["settings"]["urls"] == f"redis://user:{MASK}@127.0.0.1:1/0"
    assert "geheim" not in run("stores", "--json")[1]
    assert Store.objects.get(pk="r").settings["urls"] == url


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("store-add", "a b", "--type", "memory"), 1),
        (("store-add", "a", "--type", "memcached"), 1),
        (("store-add", "a", "--type", "memory", "--set", "nonsense=1"), 1),
        (("store-add", "a", "--type", "memory", "--set", "nonsense"), 2),
        (("keys", "nowhere"), 1),
        (("keys", "mem", "--class", "nonsense"), 2),
        (("keys", "mem", "--prefix", "0"), 2),
        (("keys", "mem", "--kind", "thing"), 2),
        (("get", "mem", "zz", "--hex"), 2),
        (("get", "mem", "nothing"), 1),
        (("get", "mem", "counter", "--raw"), 1),
        (("set", "mem", "k"), 2),
        (("set", "mem", "k", "v", "--value-hex", "00"), 2),
        (("set", "mem", "k", "v", "--ttl", "soon"), 2),
        (("set", "mem", "k", "x", "--counter"), 2),
        (("set", "mem", "k", "--file", "/nowhere/at/all"), 1),
        (("set", "mem", "live", "v", "--new"), 1),
        (("ttl", "mem", "nothing", "1h"), 1),
        (("ttl", "mem", "nothing"), 1),
        (("incr", "mem", "live"), 1),
        (("delete", "mem"), 2),
        (("delete", "mem", "live", "--class", "custom"), 2),
        (("delete", "mem", "live"), 2),
        (("delete", "mem", "nothing", "--yes"), 1),
        (("restore", "mem"), 2),
        (("restore", "mem", "live"), 1),
        (("restore", "mem", "--run", "nonsense"), 1),
        (("census", "nowhere"), 1),
        (("purge", "vip"), 1),
        (("purge", "vip", "--dry-run"), 1),
        (("set", "vip", "a", "2"), 1),
    ],
)
def test_exit_codes_say_who_is_wrong_and_nothing_changes(memory: Store, run: Run_, arguments: tuple[str, ...], code: int) -> None:
    definitions.create_store(ACTOR, id="vip", type="static", settings={}, entries=[("a", "1")])
    plant(memory, b"live", b"x", soon())
    plant_counter(memory, b"counter", 3)
    before = everything(memory)
    found, text = run(*arguments)
    assert found == code
    assert text in ("", "0 keys deleted.\n", "0 restored, 0 hold something newer, 1 failed.\n")
    assert run.errors  # type: ignore[attr-defined]
    assert everything(memory) == before
    assert Store.objects.count() == 2


def test_keys_as_json_lines(memory: Store, run: Run_) -> None:
    plant(memory, b"live", b"x", at := soon())
    plant_counter(memory, AUTH, 37, at)
    plant(memory, b"", b"\x00\xff", soon(-5))
    plant_raw(memory, b"broken", b"abc")
    plant(memory, OAUTH, b"s" * 30)
    code, text = run("keys", "mem", "--json")
    found = lines(text)
    assert code == 0
    assert all(list(row) == ROW for row in found)
    assert [row["key_hex"] for row in found] == sorted(row["key_hex"] for row in found)
    assert found[0] | {"label": "", "fields": {}} == {
        "key_hex": "", "kind": "value", "class": None, "value_hex": "00ff", "counter": None, "expires_at": soon(-5), "expired": True,
        "label": "", "fields": {},
    }  # fmt: skip
    assert "A" * 40 not in found[1]["label"]
    assert lines(run("keys", "mem", "--json", "--class", "rate-auth")[1])[0]["counter"] == 37
    assert len(lines(run("keys", "mem", "--json", "--limit", "2")[1])) == 2
    assert len(lines(run("keys", "mem", "--json", "--expired")[1])) == 1
    assert len(lines(run("keys", "mem", "--json", "--live", "--match", "l*")[1])) == 1
    assert len(lines(run("keys", "mem", "--json", "--never", "--class", "custom")[1])) == 0
    assert len(lines(run("keys", "mem", "--json", "--text", "203.0.113.0/24", "--count", "30")[1])) == 1
    assert run("keys", "mem", "--prefix", "ff") == (0, "")
    human = run("keys", "mem")[1]
    assert "203.0.113.20" in human
    assert "(empty key)" in human


def test_a_key_is_written_read_renewed_and_counted(memory: Store, run: Run_) -> None:
    assert run("set", "mem", "k", "hello\nthere", "--ttl", "1h")[0] == 0
    row = json.loads(run("get", "mem", "k", "--json")[1])
    assert bytes.fromhex(row["value_hex"]) == b"hello\nthere"
    assert abs(row["expires_at"] - soon()) <= 2
    row = json.loads(run("set", "mem", "k", "bye", "--json")[1])
    assert abs(row["expires_at"] - soon()) <= 2
    assert json.loads(run("ttl", "mem", "k", "never", "--json")[1])["expires_at"] is None
    assert run("ttl", "mem", "k") == (0, "never\n")
    assert run("ttl", "mem", "k", "2 days")[0] == 0
    assert run("incr", "mem", "n") == (0, "1\n")
    assert run("incr", "mem", "n", "-5") == (0, "-4\n")
    assert json.loads(run("incr", "mem", "n", "1", "--ttl", "1h", "--json")[1])["counter"] == -3
    assert run("set", "mem", "n", "100", "--counter")[0] == 0
    assert json.loads(run("get", "mem", "n", "--json")[1])["counter"] == 100
    assert run("set", "mem", "00ff", "--hex", "--value-hex", "fffe00")[0] == 0
    entry = stored(memory, b"\x00\xff")
    assert entry is not None
    assert entry.value == b"\xff\xfe\x00"
    assert run("set", "mem", "", "")[0] == 0
    assert stored(memory, b"") is not None
    assert "hello" not in run("get", "mem", "k")[1]
    assert {(note.via, note.outcome) for note in AuditEntry.objects.exclude(actor="ana")} == {("command line", "done")}


def test_escape_sequences_never_reach_the_terminal(memory: Store, run: Run_) -> None:
    plant(memory, b"\x1b[31mred\x07", b"\x1b]0;title\x07\xe2\x80\xae")
    for arguments in (("keys", "mem"), ("get", "mem", "1b5b33316d72656407", "--hex"), ("delete", "mem", "--match", "*red*", "--dry-run")):
        code, text = run(*arguments)
        assert code == 0
        assert not {"\x1b", "\x07", "\u202e"} & set(text)


def test_values_come_from_files_too(memory: Store, run: Run_, tmp_path: Any) -> None:
    data = bytes(range(256)) * 4096
    (tmp_path / "value").write_bytes(data)
    assert run("set", "mem", "big", "--file", str(tmp_path / "value"))[0] == 0
    entry = stored(memory, b"big")
    assert entry is not None
    assert entry.value == data


def test_deleting_by_name_and_bringing_back(memory: Store, run: Run_) -> None:
    before = {key: plant(memory, key, b"v", soon()) for key in (b"a", b"b")}
    assert json.loads(run("delete", "mem", "a", "b", "--dry-run", "--json")[1])["matched"] == 2
    assert everything(memory) == before
    code, text = run("delete", "mem", "a", "b", "none", "--yes", "--json")
    assert (code, json.loads(text)) == (
        1, {"store": "mem", "dry_run": False, "matched": 2, "deleted": 2, "kept": 0, "bytes": None, "run": None},
    )  # fmt: skip
    assert everything(memory) == {}
    listed = lines(run("restore", "mem", "--list", "--json")[1])
    assert {row["key_hex"] for row in listed} == {"61", "62"}
    assert listed[0]["deleted_by"] == "command line"
    assert run("restore", "mem", "61", "--hex", "--json") == (0, '{"store": "mem", "restored": 1, "conflicts": 0, "failed": 0}\n')
    plant(memory, b"b", b"newer")
    assert run("restore", "mem", "b")[0] == 1
    assert run("restore", "mem", "b", "--overwrite")[0] == 0
    assert everything(memory) == before


def test_deleting_by_filter_is_one_run_that_can_be_undone(memory: Store, run: Run_) -> None:
    before = {b"user:%03d" % number: plant(memory, b"user:%03d" % number, b"v", soon()) for number in range(450)}
    before[AUTH] = plant_counter(memory, AUTH, 37, soon())
    code, text = run("delete", "mem", "--match", "user:*", "--dry-run", "--json")
    assert (code, json.loads(text)["matched"]) == (0, 450)
    assert json.loads(text)["bytes"] == sum(entry.size for key, entry in before.items() if key != AUTH)
    assert "450 keys would be deleted" in run("delete", "mem", "--match", "user:*", "--dry-run")[1]
    assert everything(memory) == before
    code, text = run("delete", "mem", "--match", "user:*", "--yes", "--json")
    found = json.loads(text)
    assert code == 0
    assert (found["deleted"], found["kept"]) == (450, 0)
    assert set(everything(memory)) == {AUTH}
    done = Run.objects.get(pk=found["run"])
    assert (done.state, done.values, done.started_by, done.action) == (RunState.DONE, 450, "command line", "bulk")
    assert TrashEntry.objects.filter(run=done).count() == 450
    assert run("restore", "mem", "--run", found["run"])[0] == 0
    assert everything(memory) == before
    assert run("delete", "mem", "--class", "custom", "--match", "nobody*", "--yes") == (0, "0 keys deleted.\n")


def test_census_and_purge(memory: Store, run: Run_) -> None:
    plant(memory, b"gone", b"x", soon(-5))
    plant(memory, b"live", b"x", soon())
    plant_counter(memory, AUTH, 37, soon(-5))
    found = json.loads(run("census", "mem", "--json")[1])
    assert list(found) == ["store", "at", "seconds", "exact", "corrupt", "total", "classes"]
    assert found["total"]["expired"] == 2
    assert "rate-auth" in run("census", "mem")[1]
    code, text = run("purge", "mem", "--dry-run", "--json")
    shown = json.loads(text)
    assert (code, shown["state"], shown["values"], shown["counters"]) == (0, "dry-run", 1, 1)
    assert [row["class"] for row in shown["classes"]] == ["rate-auth", None]
    assert len(everything(memory)) == 3
    code, text = run("purge", "mem", "--pace", "fast", "--json")
    done = json.loads(text)
    assert code == 0
    assert {name: done[name] for name in ("scanned", "values", "counters", "locks", "corrupt", "state", "error")} == {
        "scanned": done["scanned"], "values": 1, "counters": 1, "locks": 0, "corrupt": 0, "state": "done", "error": None,
    }  # fmt: skip
    assert set(everything(memory)) == {b"live"}
    assert "0 of" in run("purge", "mem", "--dry-run")[1]
    assert run("purge", "mem")[0] == 0


def test_a_purge_that_meets_another_is_refused(memory: Store, run: Run_) -> None:
    from stores.services import purge

    purge.start(ACTOR, memory)
    assert run("purge", "mem")[0] == 1
    assert "already under way" in run.errors  # type: ignore[attr-defined]


def test_ctrl_c_ends_a_purge_between_transactions(memory: Store, run: Run_, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    plant(memory, b"gone", b"x", soon(-5))
    monkeypatch.setattr("stores.services.leases.Lease.wait", interrupted)
    assert run("purge", "mem")[0] == 1
    assert Run.objects.get().state == RunState.CANCELLED
    monkeypatch.undo()
    assert run("purge", "mem")[0] == 0


def test_without_tables_the_way_out_is_named(run: Run_, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    def missing(*_: object) -> None:
        raise OperationalError("no such table: stores_store")

    monkeypatch.setattr(definitions, "list_stores", missing)
    assert run("stores")[0] == 1
    assert "migrate" in run.errors  # type: ignore[attr-defined]


def test_every_shape_is_in_the_help(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("keys", "get", "set", "ttl", "incr"):
        with pytest.raises(SystemExit):
            call_command(command, "--help")
        text = capsys.readouterr().out
        assert all(name in text for name in ROW)


def test_the_description_names_every_command_and_option() -> None:
    from argparse import SUPPRESS

    from django.core.management import load_command_class

    from tests.fixtures_path import ROOT

    text = (ROOT / "docs" / "command-line.md").read_text()
    names = [path.stem for path in (ROOT / "stores/management/commands").glob("*.py") if path.stem != "__init__"]
    assert len(names) >= 14
    common = {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color", "--force-color"}
    for name in names:
        assert f"`{name} " in text or f"`{name}`" in text, name
        parser = load_command_class("stores", name).create_parser("kvadmin", name)
        for action in parser._actions:
            for option in action.option_strings:
                if option.startswith("--") and option not in common and action.help != SUPPRESS:
                    assert option in text, f"{name} {option}"
