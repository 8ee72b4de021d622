"""Every `KVADMIN_` variable: accepted forms, refusals, and what is generated when nothing is given."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kvadmin import broker, keyfiles
from kvadmin.databases import database
from kvadmin.environment import VARIABLES, BadEnvironment, Environment, unknown_variables

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OTHER_KEY = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="


def read(data_dir: Path, **values: str) -> Environment:
    return Environment.read({"KVADMIN_DATA_DIR": str(data_dir), "KVADMIN_TIME_ZONE": "UTC", **values})


def test_defaults_generate_what_is_secret_and_keep_it(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    first, second = read(folder), read(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("secret.key", "field.keys"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert len(first.secret_key) >= 50
    assert (first.secret_key, first.field_keys) == (second.secret_key, second.field_keys)
    assert read(tmp_path / "other").secret_key != first.secret_key
    assert first.database_url == f"sqlite:///{folder}/kvadmin.sqlite3"
    assert first.embedded_broker and first.broker_url == broker.url_of(broker.socket_path(folder, "broker"))
    assert {"localhost", "127.0.0.1", "[::1]"} <= set(first.allowed_hosts)
    assert not first.debug and not first.https
    assert (first.host, first.port, first.trash_days) == ("127.0.0.1", 8000, 7)


def test_no_secret_is_in_the_repr(tmp_path: Path) -> None:
    env = read(tmp_path, KVADMIN_ADMIN_PASSWORD="a-pass-phrase")
    assert env.secret_key not in repr(env) and "a-pass-phrase" not in repr(env)


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: keyfiles.secret_key(tmp_path), range(64)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    read(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert keyfiles.open_to_others(folder)


@pytest.mark.parametrize(
    ("name", "value", "attribute", "expected"),
    [
        ("KVADMIN_FIELD_KEYS", f"{KEY}, {OTHER_KEY}", "field_keys", (KEY, OTHER_KEY)),
        ("KVADMIN_ALLOWED_HOSTS", "kv.example.org, .example.net,[::1]", "allowed_hosts", ("kv.example.org", ".example.net", "[::1]")),
        ("KVADMIN_TRUSTED_ORIGINS", "https://kv.example.org", "trusted_origins", ("https://kv.example.org",)),
        ("KVADMIN_TRUSTED_PROXIES", "10.0.0.0/8,::1", "trusted_proxies", ("10.0.0.0/8", "::1")),
        ("KVADMIN_HTTPS", "On", "https", True),
        ("KVADMIN_DEBUG", "0", "debug", False),
        ("KVADMIN_PORT", "65535", "port", 65535),
        ("KVADMIN_LOG_LEVEL", "WARNING", "log_level", "warning"),
        ("KVADMIN_TIME_ZONE", "Australia/Lord_Howe", "time_zone", "Australia/Lord_Howe"),
        ("KVADMIN_BROKER_URL", "sentinel://:p%40@a:26379;sentinel://b:26379", "broker_url", "sentinel://:p%40@a:26379;sentinel://b:26379"),
        ("KVADMIN_BROKER_URL", "redis+socket:///run/valkey.sock", "embedded_broker", False),
        ("KVADMIN_HOST", "", "host", "127.0.0.1"),
    ],
)
def test_accepted_forms(tmp_path: Path, name: str, value: str, attribute: str, expected: object) -> None:
    assert getattr(read(tmp_path, **{name: value}), attribute) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KVADMIN_FIELD_KEYS", "c2hvcnQ="),
        ("KVADMIN_FIELD_KEYS", ","),
        ("KVADMIN_FIELD_KEYS", KEY.replace("M", "!", 1)),
        ("KVADMIN_ALLOWED_HOSTS", "kv.example.org:8000"),
        ("KVADMIN_ALLOWED_HOSTS", "a b"),
        ("KVADMIN_TRUSTED_ORIGINS", "kv.example.org"),
        ("KVADMIN_TRUSTED_ORIGINS", "https://kv.example.org/path"),
        ("KVADMIN_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("KVADMIN_PORT", "-1"),
        ("KVADMIN_PORT", "8٠٠٠"),
        ("KVADMIN_TASK_WORKERS", "0"),
        ("KVADMIN_SESSION_HOURS", "721"),
        ("KVADMIN_ADMIN_USER", "a b"),
        ("KVADMIN_DATABASE_URL", "sqlite://"),
        ("KVADMIN_DATABASE_URL", "postgresql://host"),
        ("KVADMIN_DATABASE_URL", "mysql://host:port/name"),
        ("KVADMIN_BROKER_URL", "redis://"),
        ("KVADMIN_BROKER_URL", "redis://a;redis://b"),
        ("KVADMIN_BROKER_URL", "redis+socket://"),
        ("KVADMIN_TIME_ZONE", "../../etc/passwd"),
        ("KVADMIN_SECRET_KEY", "x" * 49),
    ],
)
def test_refusals_name_the_variable_and_the_form_and_make_nothing(tmp_path: Path, name: str, value: str) -> None:
    variable = next(variable for variable in VARIABLES if variable.name == name)
    with pytest.raises(BadEnvironment) as refused:
        read(tmp_path / "data", **{name: value})
    assert name in str(refused.value) and variable.form in str(refused.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KVADMIN_DATABASE_URL", "oracle://u:hidden@h/n"),
        ("KVADMIN_BROKER_URL", "amqp://u:hidden@h"),
        ("KVADMIN_SECRET_KEY", "hidden"),
        ("KVADMIN_FIELD_KEYS", "hidden"),
        ("KVADMIN_ADMIN_PASSWORD", "hidden\n"),
    ],
)
def test_refusals_never_show_a_secret(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(BadEnvironment) as refused:
        read(tmp_path / "data", **{name: value})
    assert "hidden" not in str(refused.value)


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadEnvironment, match="KVADMIN_DATA_DIR"):
            read(path)


def test_secrets_can_be_files(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    env = read(tmp_path / "data", KVADMIN_ADMIN_PASSWORD_FILE=str(tmp_path / "password"))
    assert env.admin_password == "from a file"
    with pytest.raises(BadEnvironment, match="KVADMIN_ADMIN_PASSWORD_FILE"):
        read(tmp_path / "data", KVADMIN_ADMIN_PASSWORD_FILE=str(tmp_path / "missing"))


def test_misspelt_variables_are_noticed() -> None:
    source = {"KVADMIN_ALOWED_HOSTS": "x", "KVADMIN_PORT": "1", "KVADMIN_SECRET_KEY_FILE": "f", "KVADMIN_TEST_X": "1", "HOME": "/"}
    assert unknown_variables(source) == ["KVADMIN_ALOWED_HOSTS"]


def test_the_address_served_on_is_an_allowed_host(tmp_path: Path) -> None:
    assert "kv.example.org" in read(tmp_path, KVADMIN_HOST="kv.example.org").allowed_hosts
    assert "[2001:db8::1]" in read(tmp_path, KVADMIN_HOST="2001:db8::1").allowed_hosts
    assert "0.0.0.0" not in read(tmp_path, KVADMIN_HOST="0.0.0.0").allowed_hosts


def test_databases(tmp_path: Path) -> None:
    sqlite = database("sqlite:///sub/kv.sqlite3", tmp_path)
    assert sqlite["NAME"] == tmp_path / "sub" / "kv.sqlite3"
    assert sqlite["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert database("sqlite:////var/lib/kv.sqlite3", tmp_path)["NAME"] == Path("/var/lib/kv.sqlite3")
    postgres = database("postgresql://kv:p%40ss@db:5433/kvadmin?sslmode=require", tmp_path)
    assert (postgres["ENGINE"], postgres["PASSWORD"], postgres["PORT"]) == ("django.db.backends.postgresql", "p@ss", 5433)
    assert postgres["OPTIONS"]["sslmode"] == "require"
    mysql = database("mysql://kv:pw@db/kvadmin", tmp_path)
    assert (mysql["ENGINE"], mysql["OPTIONS"]["charset"]) == ("django.db.backends.mysql", "utf8mb4")
