"""kvadmin's own database on PostgreSQL and MariaDB: migrated, used from the command line, and refused with a clear word."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.fixtures_path import ROOT
from tests.running_up import clean_environment, manage
from tests.servers import mariadb, postgresql


def url_of(kind: str) -> str:
    server = postgresql.server() if kind == "postgresql" else mariadb.server()
    found = server.settings(server.create_database())
    return f"{kind}://{found['user']}:{found['password']}@{found['host']}:{found['port']}/{found['database']}"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_definitions_and_the_audit_are_kept_in_every_database(tmp_path: Path, kind: str) -> None:
    own = {} if kind == "sqlite" else {"KVADMIN_DATABASE_URL": url_of(kind)}
    settings = {**own, "KVADMIN_DATA_DIR": str(tmp_path / "data")}
    migrated = manage("migrate", "--verbosity", "0", **settings)
    assert migrated.returncode == 0, migrated.stderr
    if kind == "postgresql":
        assert byte_order_of_keys(own["KVADMIN_DATABASE_URL"]) == "C"
    complete = manage("migrate", "--check", **settings)
    assert complete.returncode == 0, complete.stdout + complete.stderr
    added = manage("store-add", "memstore", "--type", "redis", "--set", "urls=redis://:of-the-store@127.0.0.1:1/0", "--default", **settings)
    assert added.returncode == 0, added.stderr
    scheduled = manage("store-add", "data.two", "--type", "sqlite", "--set", f"path={tmp_path}/two.sqlite3", **settings)
    assert scheduled.returncode == 0, scheduled.stderr
    alike = ["--entry", "Key=1", "--entry", "key=2", "--entry", "k\u00e9y=3", "--entry", "key =4"]
    exact = manage("store-add", "vip", "--type", "static", *alike, **settings)
    assert exact.returncode == 0, exact.stderr
    asked = manage("static-test", "vip", "key ", "--json", **settings)
    assert json.loads(asked.stdout)["value"] == 4, asked.stderr
    listed = manage("stores", "--json", **settings)
    assert listed.returncode == 0, listed.stderr
    stores = {store["id"]: store for store in json.loads(listed.stdout)}
    assert set(stores) == {"memstore", "data.two", "vip"}
    assert stores["memstore"]["default"] and not stores["data.two"]["default"]
    assert "of-the-store" not in listed.stdout
    assert (tmp_path / "data" / "kvadmin.sqlite3").exists() is (kind == "sqlite")
    processes_that_write_the_audit_at_once_make_one_chain(kind, settings)


def byte_order_of_keys(url: str) -> object:
    with psycopg.connect(url) as connection:
        sql = "SELECT collation_name FROM information_schema.columns WHERE table_name = 'stores_staticentry' AND column_name = 'key'"
        row = connection.execute(sql).fetchone()
        assert row is not None
        return row[0]


def processes_that_write_the_audit_at_once_make_one_chain(kind: str, settings: dict[str, str]) -> None:
    environment = clean_environment(DJANGO_SETTINGS_MODULE="kvadmin.settings", **settings)
    command = [sys.executable, "-m", "tests.auditors", "3", "8"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["codes"] == [0, 0, 0]
    assert (found["entries"], found["gaps"]) == (3 + 3 * 8 * 23, False)
    assert found["verdict"]["sound"], found["verdict"]
    assert found["guarded"] == {"UPDATE": kind != "mysql", "DELETE": kind != "mysql"}
    assert found["pruned"] == found["entries"] - 1, "the retention gets past the guards, up to the newest entry"
    assert found["after"]["sound"] and found["after"]["entries"] == 2


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_wrong_password_is_refused_without_showing_it(tmp_path: Path, kind: str) -> None:
    url = url_of(kind)
    password = url.split("@")[0].rpartition(":")[2]
    settings = {"KVADMIN_DATABASE_URL": url.replace(password, "wrong-and-hidden"), "KVADMIN_DATA_DIR": str(tmp_path / "data")}
    refused = manage("up", "--port", "0", **settings)
    assert refused.returncode == 1
    assert "KVADMIN_DATABASE_URL" in refused.stderr
    assert "Traceback" not in refused.stderr and "wrong-and-hidden" not in refused.stderr


ACTS = """
import sys
import django
django.setup()
from stores.models import Store
from stores.services import importer, schedules
from stores.services.actor import Actor
actor, name = Actor.command_line(), sys.argv[1]
for number in range(int(sys.argv[2])):
    text = f'''
[store."{name}"]
type = "sqlite"
path = "/nowhere/{number}.sqlite3"
purge.frequency = "{number} 3 *"
'''
    done = importer.apply(actor, importer.plan(text, "config.toml"), chosen=[name])
    assert not done.failed, done.failed
    schedules.set_schedule(actor, Store.objects.get(pk=name), f"{number} 4 *", False)
print("done")
"""
"""An import writes several entries in one transaction and sets a schedule, for which it needs a row that all schedules share."""


def test_acts_of_several_entries_at_once_do_not_wait_for_each_other(tmp_path: Path) -> None:
    settings = {"KVADMIN_DATABASE_URL": url_of("postgresql"), "KVADMIN_DATA_DIR": str(tmp_path / "data")}
    migrated = manage("migrate", "--verbosity", "0", **settings)
    assert migrated.returncode == 0, migrated.stderr
    environment = clean_environment(DJANGO_SETTINGS_MODULE="kvadmin.settings", **settings)
    commands = [[sys.executable, "-c", ACTS, name, "12"] for name in ("one", "two", "three")]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True) for command in commands]
    for process in running:
        said, problem = process.communicate(timeout=120)
        assert process.returncode == 0 and said.strip() == "done", problem[-2000:]
    checked = manage("audit-verify", **settings)
    assert checked.returncode == 0, checked.stdout + checked.stderr
