"""Importing configurations into definitions: every captured one, twice, with changes, without secrets in sight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django_celery_beat.models import PeriodicTask

from stores import registry
from stores.errors import BadConfig
from stores.models import AuditEntry, StaticEntry, Store
from stores.registry import BACKENDS, backend_class, supported
from stores.services import definitions, importer, schedules
from stores.services.actor import Actor
from stores.services.importer import Difference, ImportResult, PreviewRow, State
from stores.stalwart_toml import Mark, parse
from stores.stalwart_toml.options import OPTIONS, options_of
from tests.fixtures_path import FIXTURES, needs_fixtures
from tests.services.conftest import ACTOR, new_memory

CONFIG = """
[storage]
data = "data"
blob = "data"
fts = "data"
lookup = "mem"

[store."mem"]
type = "redis"
urls = "redis://u:hunter2@127.0.0.1:6379/1"
timeout = "10s"

[store."data"]
type = "sqlite"
path = "/var/lib/x.db"
purge.frequency = "0 3 *"

[store."future"]
type = "sql-read-replica"
primary = "data"
password = "hunter2"

[store."blobs"]
type = "s3"
secret-key = "hunter2"

[lookup."list"]
"a" = "1"
"b" = "x"

[http-lookup."web"]
url = "https://h/list"
format = "list"
"""

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _a_type_without_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing serves sql-read-replica here, so that there is a type to be kept for later."""
    monkeypatch.setattr(registry, "BACKENDS", {name: target for name, target in registry.BACKENDS.items() if name != "sql-read-replica"})


def run(text: str = CONFIG, **options: Any) -> ImportResult:
    return importer.apply(ACTOR, importer.plan(text, "config.toml"), **options)


def rows(text: str = CONFIG) -> dict[str, PreviewRow]:
    return {row.id: row for row in importer.preview(importer.plan(text, "config.toml"))}


def everything() -> str:
    """All definitions, schedules and acts, to see whether anything has changed."""
    stores = [(s.pk, s.type, s.settings, s.version, s.enabled, s.purge_frequency, s.origin, str(s.updated_at)) for s in Store.objects.all()]
    tasks = list(PeriodicTask.objects.values_list("name", "enabled", "date_changed"))
    return repr((stores, list(StaticEntry.objects.values_list()), tasks, AuditEntry.objects.count(), definitions.default_id()))


class TestCreating:
    def test_everything_of_a_configuration(self) -> None:
        result = run()
        assert set(result.created) == {"mem", "data", "future", "list", "web"}
        assert (result.updated, result.unchanged, result.differing, result.failed) == ((), (), (), ())
        assert result.default == definitions.default_id() == "mem"
        mem = Store.objects.get(pk="mem")
        assert mem.settings == {"urls": "redis://u:hunter2@127.0.0.1:6379/1", "timeout": "10s"}
        assert mem.origin == "import of config.toml"
        assert list(StaticEntry.objects.values_list("store", "key", "value")) == [("list", "a", "1"), ("list", "b", "x")]
        assert Store.objects.get(pk="data").purge_frequency == "0 3 *"
        assert PeriodicTask.objects.get().name == "purge data"

    def test_stores_without_a_backend_are_kept_for_later(self) -> None:
        result = run()
        assert "future" in result.unsupported
        info = definitions.info(Store.objects.get(pk="future"))
        assert not info.supported and "not supported yet" in info.why
        assert set(result.unsupported) == {store_id for store_id in result.created if not supported(Store.objects.get(pk=store_id).type)}

    def test_schedule_of_a_data_store_without_a_backend_waits(self) -> None:
        run(CONFIG.replace('primary = "data"', 'primary = "data"\npurge.frequency = "5 *"'))
        assert Store.objects.get(pk="future").purge_frequency == "5 *"
        assert not PeriodicTask.objects.get(name="purge future").enabled

    def test_macros_stay_until_the_store_is_opened(self) -> None:
        run('[store.m]\ntype = redis\nurls = "redis://:%{env:KV_TEST_PW}%@h"\ntimeout = "%{file:/run/t}%"')
        assert Store.objects.get().settings == {"urls": "redis://:%{env:KV_TEST_PW}%@h", "timeout": "%{file:/run/t}%"}

    def test_only_what_is_chosen(self) -> None:
        result = run(chosen={"data", "list"}, switched_off={"data"})
        assert set(result.created) == {"data", "list"}
        assert set(result.left_out) == {"mem", "future", "web"}
        assert not Store.objects.get(pk="data").enabled
        assert not PeriodicTask.objects.get().enabled
        assert result.default == "data"

    def test_nothing_chosen(self) -> None:
        before = everything()
        assert not run(chosen=()).changed
        assert everything() == before

    def test_members_come_before_what_is_made_of_them(self) -> None:
        text = "[store.a]\ntype = sharded-in-memory\nstores = [b, c]\n"
        text += "".join(f'[store.{name}]\ntype = redis\nurls = "redis://{name}"\n' for name in "bc")
        assert run(text).created == ("b", "c", "a")

    def test_an_old_default_gives_way_to_the_new_store_of_the_file(self, actor: Actor) -> None:
        new_memory("embedded")
        assert definitions.default_id() == "embedded"
        assert run().default == "mem"

    def test_default_is_left_alone_on_request(self) -> None:
        new_memory("embedded")
        assert run(make_default=False).default == ""
        assert definitions.default_id() == "embedded"

    def test_a_default_chosen_since_is_kept_unless_told(self) -> None:
        run()
        definitions.set_default(ACTOR, Store.objects.get(pk="data"))
        assert run().default == ""
        assert definitions.default_id() == "data"
        assert run(make_default=True).default == "mem"


class TestAgain:
    def test_twice_changes_nothing(self) -> None:
        run()
        before = everything()
        result = run()
        assert not result.changed
        assert set(result.unchanged) == {"mem", "data", "future", "list", "web"}
        assert everything() == before
        assert not run(chosen={"mem", "data", "list"}).changed
        assert everything() == before
        assert {row.state for row in rows().values()} == {State.UNCHANGED}

    def test_what_differs_is_reported_and_left(self) -> None:
        run()
        before = everything()
        changed = (
            CONFIG.replace("10s", "20s")
            .replace("hunter2@", "other@")
            .replace('"b" = "x"', '"b" = "y"\n"c" = "z"')
            .replace("0 3 *", "0 4 *")
        )
        found = {row.id: row.differences for row in rows(changed).values() if row.state is State.DIFFERS}
        masked = "redis://u:••••••••@127.0.0.1:6379/1"
        assert found == {
            "mem": (Difference("timeout", "10s", "20s"), Difference("urls", masked, "another secret")),
            "data": (Difference("purge.frequency", "0 3 *", "0 4 *"),),
            "list": (Difference("entries", "2 entries", "3 entries: 1 added, 1 changed"),),
        }
        result = run(changed)
        assert set(result.differing) == {"mem", "data", "list"}
        assert everything() == before

    def test_what_differs_is_changed_when_told(self) -> None:
        run()
        changed = CONFIG.replace("10s", "20s").replace('"b" = "x"', '"c" = "z"').replace("0 3 *", "0 4 *")
        result = run(changed, chosen={"mem", "list"})
        assert set(result.updated) == {"mem", "list"}
        assert Store.objects.get(pk="mem").settings["timeout"] == "20s"
        assert list(StaticEntry.objects.values_list("key", "value")) == [("a", "1"), ("c", "z")]
        assert Store.objects.get(pk="data").purge_frequency == "0 3 *"
        assert run(changed, chosen={"data"}).updated == ("data",)
        assert Store.objects.get(pk="data").purge_frequency == "0 4 *"
        assert not run(changed).changed

    def test_settings_and_a_schedule_of_kvadmins_own_survive(self) -> None:
        run(CONFIG.replace('purge.frequency = "0 3 *"\n', ""))
        mem, data = Store.objects.get(pk="mem"), Store.objects.get(pk="data")
        definitions.update_store(ACTOR, mem, settings={**mem.settings, "tls.ca-file": "/etc/ssl/ca.pem"})
        schedules.set_schedule(ACTOR, data, "0 6 *", paused=True)
        assert {row.state for row in rows(CONFIG.replace('purge.frequency = "0 3 *"\n', "")).values()} == {State.UNCHANGED}
        run(CONFIG.replace("10s", "20s"), chosen={"mem", "data"})
        assert Store.objects.get(pk="mem").settings["tls.ca-file"] == "/etc/ssl/ca.pem"
        data.refresh_from_db()
        assert (data.purge_frequency, data.purge_paused) == ("0 3 *", True)

    def test_a_removed_setting_differs(self) -> None:
        run()
        (difference,) = rows(CONFIG.replace('timeout = "10s"\n', ""))["mem"].differences
        assert difference == Difference("timeout", "10s", "not set")

    def test_another_type_is_never_changed(self) -> None:
        new_memory("mem")
        row = rows()["mem"]
        assert row.differences == (Difference("type", "memory", "redis"),)
        result = run(chosen={"mem"})
        assert result.failed[0].id == "mem" and "delete the definition" in result.failed[0].message
        assert Store.objects.get(pk="mem").type == "memory"

    def test_order_of_entries_counts_in_0_16_only(self) -> None:
        one = {"namespace": "n", "key": "a*", "value": "1", "isGlobPattern": True}
        two = {"namespace": "n", "key": "*", "value": "2", "isGlobPattern": True}
        texts = [
            json.dumps({"objects": [{"object": "MemoryLookupKeyValue", "value": value} for value in pair]})
            for pair in ((one, two), (two, one))
        ]
        run(texts[0])
        assert Store.objects.get().version == "0.16"
        assert rows(texts[1])["n"].differences == (Difference("entries", "2 entries", "2 entries: in another order"),)


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "part"),
        [
            ("[store.s]\ntype = sqlite", "path is missing"),
            ('[store."a/b"]\ntype = sqlite\npath = "/p"', "cannot be an id"),
            ('[lookup."add"]\na = 1', "cannot be an id"),
            ('[http-lookup.x]\nurl = "http://h"', "format is missing"),
        ],
    )
    def test_what_cannot_be_created(self, text: str, part: str) -> None:
        (row,) = rows(text).values()
        assert row.state is State.BLOCKED and part in row.why
        result = run(text)
        assert part in result.failed[0].message and not result.created
        assert not Store.objects.exists()

    def test_one_that_fails_does_not_undo_the_others(self) -> None:
        result = run(CONFIG.replace('path = "/var/lib/x.db"\n', ""))
        assert [failure.id for failure in result.failed] == ["data"]
        assert "mem" in result.created

    def test_not_a_configuration(self) -> None:
        with pytest.raises(BadConfig):
            importer.plan("", "x")

    def test_file_names_are_cut_to_their_last_part(self) -> None:
        assert importer.plan("a = 1", "C:\\Users\\x\\config.toml").source == "config.toml"
        assert importer.plan("a = 1", "/etc/stalwart/config.toml").source == "config.toml"
        assert importer.plan("a = 1", "").source == "pasted text"


class TestShowing:
    def test_rows(self) -> None:
        found = rows(CONFIG + '"c" = "true"\n')
        assert {row.id: row.label for row in found.values()} == {
            "mem": "Redis, single",
            "data": "SQLite",
            "future": "sql-read-replica",
            "list": "static, 2 entries: 1 text, 1 number",
            "web": "HTTP list, fetched every 12h",
        }
        assert [row.id for row in found.values() if row.default] == ["mem"]
        assert (found["data"].purge, found["data"].purge_words) == ("0 3 *", "Every day at 03:00")
        assert (found["mem"].first_line, found["mem"].last_line) == (9, 11)
        assert not found["future"].supported and "not supported yet" in found["future"].why
        assert [note.message for note in found["future"].notes] == ["store.future.password is not understood."]

    def test_json(self) -> None:
        text = json.dumps([row.as_json() for row in rows().values()] + [run().as_json()])
        assert "hunter2" not in text
        assert json.loads(text)[0]["state"] == "new"

    def test_no_secret_anywhere(self) -> None:
        planned = importer.plan(CONFIG, "config.toml")
        shown = [planned, planned.stores, importer.preview(planned), importer.source(CONFIG, planned)]
        shown += [run(), rows(CONFIG.replace("hunter2", "hunter3")), importer.preview(planned)]
        shown += [list(AuditEntry.objects.values_list("before", "after"))]
        assert "hunter" not in repr(shown)

    def test_source_lines(self) -> None:
        planned = importer.plan(CONFIG, "config.toml")
        marks = {line.number: line.mark for line in importer.source(CONFIG, planned)}
        assert marks[9] is Mark.USED and marks[8] is Mark.USED

    def test_repair(self) -> None:
        text = '[lookup.g]\n* = "all"\nok = 1'
        assert importer.plan(text, "x").stores[0].entries == (("ok", "1"),)
        assert importer.plan(text, "x", repair=True).stores[0].entries == (("*", "all"), ("ok", "1"))


class TestExport:
    def test_definitions_as_toml(self) -> None:
        run()
        written = importer.export(secrets=True)
        again = importer.plan(written.text, "x")
        assert {row.state for row in importer.preview(again)} == {State.UNCHANGED}
        assert again.default == "mem"

    def test_without_secrets(self) -> None:
        run()
        text = importer.export().text
        assert "hunter2" not in text
        assert parse(text).settings["store.mem.urls.0000"].value == "redis://u:••••••••@127.0.0.1:6379/1"


class TestOptions:
    def test_backends_declare_what_stalwart_has(self) -> None:
        """An option that a backend does not declare would be lost by an import; one of another kind would be refused."""
        for type_name in BACKENDS:
            if supported(type_name) and type_name in OPTIONS:
                declared = {field.name: field for field in backend_class(type_name).SETTINGS}
                for option in options_of(type_name).values():
                    field = declared[option.name]
                    assert (field.type, field.required) == (option.kind, option.required), (type_name, option.name)
                    assert set(option.choices) <= set(field.choices)


CAPTURED = sorted(
    path
    for path in FIXTURES.rglob("*")
    if path.match("config*.toml") or path.name in ("config.json", "objects.json", "setup-requests.json", "db-settings-table-s.json")
)


@needs_fixtures
class TestCaptured:
    def test_they_are_all_there(self) -> None:
        assert len(CAPTURED) == 17

    @pytest.mark.parametrize("path", CAPTURED, ids=lambda path: "/".join(path.parts[-3:]))
    def test_imports_with_no_manual_step_and_twice_changes_nothing(self, path: Path) -> None:
        planned = importer.plan(path.read_text(), path.name)
        result = importer.apply(ACTOR, planned)
        assert result.failed == () and result.differing == ()
        assert set(result.created) == {store.id for store in planned.stores}
        for row in importer.preview(planned):
            assert row.state is State.UNCHANGED, row
            assert row.dropped == ()
        before = everything()
        assert not importer.apply(ACTOR, planned).changed
        assert everything() == before
        assert "hrowaway" not in repr([planned, result, importer.preview(planned), importer.source(path.read_text(), planned)]).replace(
            "All secrets are throw-away values", ""
        )

    @pytest.mark.parametrize("path", [path for path in CAPTURED if path.suffix == ".toml"], ids=lambda path: "/".join(path.parts[-3:]))
    def test_what_comes_of_a_config_toml(self, path: Path) -> None:
        importer.apply(ACTOR, importer.plan(path.read_text(), path.name))
        assert definitions.default_id() == "memstore"
        version = "0.15" if "0.15.5" in str(path) else "0.11"
        assert {store.version for store in Store.objects.all()} == {version}
        assert set(Store.objects.values_list("pk", flat=True)) == {
            "memstore",
            "datastore",
            "static-typed",
            "static-glob",
            "static-list",
            "httplist",
            "httpcsv",
        }
        glob = StaticEntry.objects.filter(store="static-glob").count()
        assert glob == (1 if "oddities" in str(path) else 5)

    def test_config_json_is_the_default(self) -> None:
        path = FIXTURES / "stalwart-0.16.18/sqlite/config.json"
        importer.apply(ACTOR, importer.plan(path.read_text(), path.name))
        store = Store.objects.get()
        assert (store.pk, store.type, store.version, store.settings) == (
            "datastore",
            "sqlite",
            "0.16",
            {"path": "/var/lib/stalwart/data.db"},
        )
        assert definitions.default_id() == "datastore"
        objects = FIXTURES / "stalwart-0.16.18/sqlite/objects.json"
        result = importer.apply(ACTOR, importer.plan(objects.read_text(), objects.name))
        assert set(result.created) == {"other", "set1", "kv1", "httplist", "httpcsv"}
        assert definitions.default_id() == "datastore"

    def test_the_file_with_the_settings_of_its_data_store(self) -> None:
        folder = FIXTURES / "stalwart-0.11.8/sqlite"
        table = json.loads((folder / "db-settings-table-s.json").read_text())
        planned = importer.plan((folder / "config-long.toml").read_text(), "config.toml", table=table)
        limits = {limit.name: limit.text for limit in planned.limits if limit.name}
        assert limits["ip"] == "1000/3650d"
        assert planned.find("memstore") is not None
