"""`import-config` and `schedule`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from stores.models import Store
from stores.services import definitions
from tests.fixtures_path import FIXTURES, needs_fixtures
from tests.services.conftest import ACTOR, new_memory

pytestmark = pytest.mark.django_db

TOML = """
[store."mem"]
type = "sqlite"
path = "/nowhere/m.db"
purge.frequency = "0 3 *"

[store."cache"]
type = "redis"
urls = "redis://user:geheim@127.0.0.1:6379/0"

[store."files"]
type = "fs"
path = "/tmp"

[storage]
lookup = "mem"
"""


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command(*arguments, stdout=out, stderr=err)
    except CommandError as error:
        code = error.returncode
        err.write(str(error))
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.toml"
    path.write_text(TOML)
    return str(path)


def test_a_dry_run_shows_everything_and_changes_nothing(config: str) -> None:
    code, out, _ = run("import-config", config, "--dry-run", "--json")
    shown = json.loads(out)
    assert code == 0
    assert list(shown) == ["file", "dialect", "version", "default", "dry_run", "stores", "skipped", "problems", "ignored", "result"]
    assert {row["id"]: row["state"] for row in shown["stores"]} == {"mem": "new", "cache": "new"}
    assert [row["id"] for row in shown["skipped"]] == ["files"]
    assert (shown["default"], shown["result"], shown["dry_run"]) == ("mem", None, True)
    assert not Store.objects.exists()
    assert "Nothing was changed" in run("import-config", config, "--dry-run")[1]


def test_importing_twice_changes_nothing_and_shows_no_secret(config: str) -> None:
    code, out, err = run("import-config", config, "--json")
    assert (code, json.loads(out)["result"]["created"]) == (0, ["mem", "cache"])
    assert definitions.default_id() == "mem"
    assert Store.objects.get(pk="mem").purge_frequency == "0 3 *"
    again = run("import-config", config)
    assert "0 created, 0 updated, 2 unchanged" in again[1]
    assert "geheim" not in out + err + again[1] + again[2]
    assert Store.objects.get(pk="cache").settings["urls"] == "redis://user:geheim@127.0.0.1:6379/0"


def test_differences_are_kept_unless_told(config: str) -> None:
    run("import-config", config)
    Path(config).write_text(TOML.replace("/nowhere/m.db", "/elsewhere/m.db"))
    assert json.loads(run("import-config", config, "--json")[1])["result"]["differing"] == ["mem"]
    assert Store.objects.get(pk="mem").settings["path"] == "/nowhere/m.db"
    assert json.loads(run("import-config", config, "--json", "--update")[1])["result"]["updated"] == ["mem"]
    assert Store.objects.get(pk="mem").settings["path"] == "/elsewhere/m.db"


@pytest.mark.parametrize(("content", "code"), [(b"\xff\xfe\x00", 1), (b'{"a": ', 1), (b'{"@type": "Tape"}', 1)])
def test_what_is_no_configuration_is_refused(tmp_path: Path, content: bytes, code: int) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    found, _, err = run("import-config", str(path))
    assert found == code
    assert err
    assert not Store.objects.exists()


def test_files_that_are_not_there(tmp_path: Path) -> None:
    code, _, err = run("import-config", str(tmp_path / "none.toml"))
    assert code == 1
    assert "cannot be read" in err
    assert run("import-config", str(tmp_path))[0] == 1
    (tmp_path / "t.json").write_text("[1]")
    (tmp_path / "c.toml").write_text(TOML)
    assert run("import-config", str(tmp_path / "c.toml"), "--table", str(tmp_path / "t.json"))[0] == 2


@needs_fixtures
@pytest.mark.parametrize("path", sorted(str(path.relative_to(FIXTURES)) for path in FIXTURES.glob("**/config*") if path.suffix != ".md"))
def test_every_captured_configuration_imports_with_no_manual_step(path: str) -> None:
    code, out, err = run("import-config", str(FIXTURES / path), "--json")
    result = json.loads(out)["result"]
    assert code == 0, err
    assert result["created"]
    assert definitions.default_id()
    assert json.loads(run("import-config", str(FIXTURES / path), "--json")[1])["result"]["created"] == []


# schedules


def test_a_schedule_in_words_with_its_next_runs() -> None:
    new_memory("mem")
    assert run("schedule", "mem")[1] == "Store mem has no schedule.\n"
    assert json.loads(run("schedule", "mem", "--json")[1])["frequency"] is None
    code, out, _ = run("schedule", "mem", "--set", "0 3 *", "--json")
    shown = json.loads(out)
    assert code == 0
    assert list(shown) == ["store", "frequency", "words", "paused", "pace", "zone", "next", "notes"]
    assert (shown["frequency"], shown["paused"], len(shown["next"])) == ("0 3 *", False, 6)
    assert "03:00" in shown["words"]
    assert Store.objects.get().purge_frequency == "0 3 *"


def test_runs_across_a_clock_change() -> None:
    new_memory("mem")
    run("schedule", "mem", "--set", "30 2 *")
    shown = json.loads(run("schedule", "mem", "--from", "2027-03-26T12:00", "--zone", "Europe/Berlin", "--json")[1])
    assert shown["zone"] == "Europe/Berlin"
    assert shown["next"][0] == "2027-03-27T02:30:00+01:00"
    assert shown["next"][2] == "2027-03-29T02:30:00+02:00"


def test_pausing_and_resuming() -> None:
    new_memory("mem")
    assert run("schedule", "mem", "--pause")[0] == 1
    run("schedule", "mem", "--set", "0 3 *", "--pace", "fast")
    assert "paused" in run("schedule", "mem", "--pause")[1]
    assert Store.objects.get().purge_paused
    run("schedule", "mem", "--set", "0 4 *")
    assert Store.objects.get().purge_paused, "another time does not end a pause"
    assert "paused" not in run("schedule", "mem", "--resume")[1]
    store = Store.objects.get()
    assert (store.purge_frequency, store.purge_pace, store.purge_paused) == ("0 4 *", "fast", False)
    run("schedule", "mem", "--set", "")
    assert Store.objects.get().purge_frequency == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("nowhere",), 1),
        (("mem", "--set", "0 24 *"), 2),
        (("mem", "--set", "0 3 8"), 2),
        (("mem", "--set", "*/5 * *"), 2),
        (("mem", "--zone", "Mars/Olympus"), 2),
        (("mem", "--zone", "../etc"), 2),
        (("mem", "--from", "tomorrow"), 2),
        (("vip", "--set", "0 3 *"), 1),
    ],
)
def test_what_is_refused_changes_nothing(arguments: tuple[str, ...], code: int) -> None:
    new_memory("mem")
    definitions.create_store(ACTOR, id="vip", type="static", settings={}, entries=[("a", "1")])
    found, out, err = run("schedule", *arguments)
    assert (found, out) == (code, "")
    assert err
    assert set(Store.objects.values_list("purge_frequency", flat=True)) == {""}
