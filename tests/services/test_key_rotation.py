"""From an old key to a new one: everything is encrypted again, in steps that can be broken off, and the old key can go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django.fixtures import Settings

from kvadmin import keyfiles
from stores.models import AlertRule, MailServer, Store, TrashEntry
from stores.services import definitions, edit, key_rotation
from tests.services.conftest import ACTOR, new_memory, plant, soon

OAUTH = b"\x01" + b"A" * 40


@pytest.fixture
def old_and_new(settings: Settings, db: None) -> tuple[str, str]:
    """Everything that is encrypted, under the old key; the new one is known."""
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.KVADMIN_FIELD_KEYS = (old,)
    memory = new_memory("mem")
    for number in range(5):
        definitions.create_store(ACTOR, id=f"r{number}", type="redis", settings={"urls": f"redis://:secret{number}@127.0.0.1:1/0"})
    plant(memory, OAUTH, b"a code", soon())
    plant(memory, b"plain", b"not secret", soon())
    edit.delete_key(ACTOR, memory, OAUTH)
    edit.delete_key(ACTOR, memory, b"plain")
    MailServer.objects.create(id=1, url="https://mail.example.org", version="0.11", secret={"token": "hidden"})  # type: ignore[misc]
    AlertRule.objects.create(kind="backlog", webhook="https://hook.example.org/x")
    settings.KVADMIN_FIELD_KEYS = (new, old)
    return old, new


def test_everything_comes_under_the_new_key_and_the_old_one_can_go(old_and_new: tuple[str, str], settings: Settings) -> None:
    assert key_rotation.remains().left == 11
    done = key_rotation.rotate()
    assert (done.rotated, done.left, done.unreadable) == (11, 0, 0)
    assert key_rotation.rotate().rotated == 0
    settings.KVADMIN_FIELD_KEYS = (old_and_new[1],)
    assert Store.objects.get(pk="r3").settings["urls"].startswith("redis://:secret3@")
    assert {bytes(kept.key) for kept in TrashEntry.objects.all()} == {OAUTH, b"plain"}
    assert MailServer.objects.get().secret == {"token": "hidden"}
    settings.KVADMIN_FIELD_KEYS = (old_and_new[0],)
    with pytest.raises(ImproperlyConfigured):
        Store.objects.get(pk="r3")


def test_it_goes_on_after_it_was_broken_off(old_and_new: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    real, left = key_rotation._rotate_one, iter(range(4))

    def dying(*arguments: object) -> int:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(key_rotation, "_rotate_one", dying)
    monkeypatch.setattr(key_rotation, "BATCH", 2)
    with pytest.raises(KeyboardInterrupt):
        key_rotation.rotate()
    monkeypatch.setattr(key_rotation, "_rotate_one", real)
    rest = key_rotation.rotate()
    assert 0 < rest.rotated < 11 and rest.complete


def test_a_value_that_changes_meanwhile_is_not_overwritten(old_and_new: tuple[str, str]) -> None:
    (column,) = [each for each in key_rotation.columns() if each.label == "stores.store.settings"]
    pk, stored = next(value for value in key_rotation._values(column) if value[0] == "r1")
    definitions.update_store(ACTOR, Store.objects.get(pk="r1"), settings={"urls": "redis://:newer@127.0.0.1:1/0"})
    assert key_rotation._rotate_one(column, pk, stored) == 0
    assert "newer" in Store.objects.get(pk="r1").settings["urls"]


def test_what_no_key_opens_is_counted_and_left(old_and_new: tuple[str, str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE stores_store SET settings = %s WHERE id = 'r2'", [Fernet(Fernet.generate_key()).encrypt(b"{}").decode()])
    done = key_rotation.rotate()
    assert (done.unreadable, done.left, done.complete) == (1, 0, False)


def test_second_factors_are_encrypted_again(old_and_new: tuple[str, str]) -> None:
    old, new = old_and_new
    token = Fernet(old).encrypt(b"JBSWY3DPEHPK3PXP").decode()
    rotated = json.loads(key_rotation._inside_json(json.dumps({"secret": token, "used": [1]})))
    assert Fernet(new).decrypt(rotated["secret"].encode()) == b"JBSWY3DPEHPK3PXP"
    assert rotated["used"] == [1]


def test_the_command_takes_a_data_folder_from_one_key_to_the_next(
    tmp_path: Path, settings: Settings, db: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KVADMIN_DATA_DIR", str(tmp_path))
    settings.DATA_DIR = tmp_path
    file = tmp_path / "field.keys"

    def restart() -> list[str]:
        settings.KVADMIN_FIELD_KEYS = tuple(keyfiles.field_keys(tmp_path).split(","))
        return list(settings.KVADMIN_FIELD_KEYS)

    first = restart()
    definitions.create_store(ACTOR, id="r", type="redis", settings={"urls": "redis://:hidden@127.0.0.1:1/0"})
    call_command("rotate-keys", new_key=True)
    keys = restart()
    assert len(keys) == 2 and keys[1:] == first
    assert file.stat().st_mode & 0o077 == 0
    with pytest.raises(SystemExit):
        call_command("rotate-keys", drop_old=True)
    assert file.read_text().split() == keys
    capsys.readouterr()
    call_command("rotate-keys", json=True)
    assert json.loads(capsys.readouterr().out) == {"values": 1, "rotated": 1, "left": 0, "unreadable": 0}
    call_command("rotate-keys", drop_old=True)
    assert restart() == keys[:1]
    assert "hidden" in Store.objects.get().settings["urls"]
    monkeypatch.setenv("KVADMIN_FIELD_KEYS", Fernet.generate_key().decode())
    with pytest.raises(CommandError, match="KVADMIN_FIELD_KEYS is set"):
        call_command("rotate-keys", new_key=True)
