"""`up` as an administrator runs it: real processes, killed in every way, with nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from celery import Celery
from django.contrib.auth.hashers import Argon2PasswordHasher
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from kvadmin import broker, processes
from kvadmin.supervisor import Program, Supervisor
from tests.running_up import RunningUp, manage, wait_for


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    running = RunningUp(tmp_path_factory.mktemp("up") / "data")
    try:
        running.wait_ready()
        yield running
    finally:
        running.end(signal.SIGKILL)


def worker_answers(running: RunningUp) -> bool:
    """Whether a worker answers a ping through the broker."""
    app = Celery(broker=broker.url_of(broker.socket_path(running.data_dir, "broker")), set_as_current=False)
    try:
        return bool(app.control.ping(timeout=1))
    except (OSError, OperationalError, RedisError):
        return False
    finally:
        app.close()


def rows(data_dir: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{data_dir}/kvadmin.sqlite3?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()


def test_first_start_answers_without_a_login_and_prints_the_password_once(up: RunningUp) -> None:
    assert up.status() == 200
    password = re.search(r"^Password: (\S+)", up.output, re.MULTILINE)
    assert password is not None
    assert password[1] not in up.log
    ((hashed, superuser),) = rows(up.data_dir, "SELECT password, is_superuser FROM auth_user")
    assert superuser and str(hashed).startswith("argon2")
    assert Argon2PasswordHasher().verify(password[1], str(hashed))


def test_first_start_makes_the_embedded_default_store_in_stalwarts_layout(up: RunningUp) -> None:
    assert rows(up.data_dir, "SELECT store_id FROM stores_defaultlookupstore") == [("embedded",)]
    with closing(sqlite3.connect(up.data_dir / "stores" / "embedded.sqlite3")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        layout = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in ("m", "y")}
    assert [column[1:3] for column in layout["m"]] == [("k", "BLOB"), ("v", "BLOB")]
    assert [column[1:3] for column in layout["y"]] == [("k", "BLOB"), ("v", "INTEGER")]


def test_everything_kept_is_closed_to_others(up: RunningUp) -> None:
    assert stat.S_IMODE(up.data_dir.stat().st_mode) == 0o700
    for name in ("secret.key", "field.keys", "kvadmin.sqlite3", "broker/valkey.sock"):
        assert not (up.data_dir / name).stat().st_mode & 0o077, name


def test_no_secret_is_written_to_the_log(up: RunningUp) -> None:
    for name in ("secret.key", "field.keys"):
        assert (up.data_dir / name).read_text().strip() not in up.log + up.output


def test_a_second_one_on_the_same_folder_is_refused(up: RunningUp) -> None:
    before = up.pids()
    refused = manage("up", "--port", "0", "--data-dir", str(up.data_dir))
    assert refused.returncode == 1
    assert "running on" in refused.stderr and "Traceback" not in refused.stderr
    assert up.pids() == before


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = manage("up", "--port", str(taken.getsockname()[1]), "--data-dir", str(tmp_path / "data"))
    assert refused.returncode == 1
    assert "Cannot serve on 127.0.0.1 port" in refused.stderr and "Traceback" not in refused.stderr
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"secret.key", "field.keys", "up.lock"}


@pytest.mark.parametrize("name", ["worker", "broker", "web", "beat"])
def test_a_killed_process_is_started_again(up: RunningUp, name: str) -> None:
    wait_for(lambda: worker_answers(up), 60, "the worker does not answer")
    killed = up.pids()[name]
    assert killed is not None
    below = [pid for pid, parent in up.all_processes().items() if parent == killed]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: up.pids()[name] not in (None, killed), 60, f"{name} was not started again")
    assert not set(below) & set(up.all_processes()), "processes of the killed one live on"
    wait_for(lambda: up.status() == 200, 60, "the page does not answer")
    wait_for(lambda: worker_answers(up), 60, "the worker does not answer")


def test_sigterm_ends_all_within_ten_seconds_and_the_next_start_finds_everything(tmp_path: Path) -> None:
    running = RunningUp(tmp_path / "data", KVADMIN_ADMIN_USER="boss", KVADMIN_ADMIN_PASSWORD="a pass phrase of mine")
    running.wait_ready()
    assert "Password" not in running.output
    ((name, hashed),) = rows(running.data_dir, "SELECT username, password FROM auth_user")
    assert name == "boss" and Argon2PasswordHasher().verify("a pass phrase of mine", str(hashed))
    assert running.end(signal.SIGTERM) < 10
    assert running.process.returncode == 0
    again = RunningUp(tmp_path / "data")
    again.wait_ready()
    assert "Password" not in again.output
    assert rows(again.data_dir, "SELECT username, password FROM auth_user") == [(name, hashed)]
    assert again.end(signal.SIGINT) < 10


def test_kill_9_of_the_supervisor_leaves_nothing(tmp_path: Path) -> None:
    running = RunningUp(tmp_path / "data")
    running.wait_ready()
    wait_for(lambda: worker_answers(running), 60, "the worker does not answer")
    assert len(running.all_processes()) >= 8
    assert running.end(signal.SIGKILL) < 10


def test_a_broker_of_ones_own_is_used_and_none_is_embedded(tmp_path: Path) -> None:
    server = broker.binary()
    assert server is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(server),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(tmp_path),
        "--requirepass",
        "s3cret-broker",
        "--save",
        "",
    ]
    supervisor = Supervisor(output=(tmp_path / "own.log").open("wb"))
    supervisor.start(Program("own", command, tmp_path))
    running = RunningUp(tmp_path / "data", KVADMIN_BROKER_URL=f"redis://:s3cret-broker@127.0.0.1:{port}/3")
    try:
        running.wait_ready()
        wait_for(lambda: "ready" in running.log, 60, "the worker did not connect")
        assert set(running.pids()) == {"web", "worker", "beat"}
        assert not (running.data_dir / "broker").exists()
        assert "s3cret-broker" not in running.log + running.output
    finally:
        running.end(signal.SIGKILL)
        supervisor.stop()


def test_a_data_folder_with_a_path_too_long_for_sockets_works(tmp_path: Path) -> None:
    folder = tmp_path / ("long-" + "x" * 60) / ("folder-" + "y" * 60) / "data"
    folder.parent.mkdir(parents=True)
    running = RunningUp(folder)
    try:
        running.wait_ready()
        wait_for(lambda: worker_answers(running), 60, "the worker does not answer")
        place = broker.socket_path(folder, "broker")
        assert len(os.fsencode(place)) <= broker.LONGEST_SOCKET
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    finally:
        running.end()


def test_demo_fills_two_stores_and_keeps_them_moving(tmp_path: Path) -> None:
    running = RunningUp(tmp_path / "data", "--demo")
    try:
        running.wait_ready()
        assert rows(running.data_dir, "SELECT id FROM stores_store ORDER BY id") == [("demo-redis",), ("demo-sqlite",), ("embedded",)]

        def total() -> int:
            with closing(sqlite3.connect(running.data_dir / "stores" / "demo.sqlite3")) as connection:
                return int(connection.execute("SELECT sum(v) FROM y WHERE k >= x'05' AND k < x'0A'").fetchone()[0])

        filled = total()
        assert filled > 1000
        wait_for(lambda: total() > filled, 60, "the traffic does not move the store")
        assert set(running.pids()) == {"broker", "web", "worker", "beat", "demo", "demo-redis"}
    finally:
        assert running.end() < 10


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("KVADMIN_PORT", "eighty", "0 to 65535"),
        ("KVADMIN_PORT", "70000", "0 to 65535"),
        ("KVADMIN_SECRET_KEY", "short", "at least 50 characters"),
        ("KVADMIN_FIELD_KEYS", "not-a-key", "Fernet keys"),
        ("KVADMIN_DATABASE_URL", "oracle://u:hidden-word@h/n", "postgresql://"),
        ("KVADMIN_BROKER_URL", "amqp://u:hidden-word@h/", "redis://"),
        ("KVADMIN_TIME_ZONE", "Mars/Olympus", "IANA name"),
        ("KVADMIN_LOG_LEVEL", "chatty", "debug, info, warning or error"),
        ("KVADMIN_ALLOWED_HOSTS", "https://kv.example.org/", "host names"),
        ("KVADMIN_HTTPS", "maybe", "on or off"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_and_the_accepted_form(tmp_path: Path, name: str, value: str, form: str) -> None:
    refused = manage("up", "--data-dir", str(tmp_path / "data"), **{name: value})
    assert refused.returncode == 1
    assert name in refused.stderr and form in refused.stderr
    assert "Traceback" not in refused.stderr and "hidden-word" not in refused.stderr
    assert not (tmp_path / "data").exists()


def test_a_missing_server_binary_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert broker.binary() is None
    assert "KVADMIN_BROKER_URL" in processes.NO_SERVER
