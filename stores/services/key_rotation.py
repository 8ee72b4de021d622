"""Encrypting again, with the newest key, whatever kvadmin's database holds encrypted, so that an older key can be given up.

Works in small steps beside the running installation: a value that changes meanwhile is left to who changed it, because that
wrote it with the newest key already. Can be stopped and started again at any time; what is done is not done twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.conf import settings
from django.db import connection, models, transaction

from stores.models.fields import SEAL, EncryptedJSONField, SealedBinaryField, cipher

BATCH: Final = 200
_BEGINS: Final = "gAAAA"
"""What a Fernet token begins with: its version and the first bytes of its time."""

Rotate = Callable[[Any], Any]
"""A stored value -> what it has to be with the newest key; the same when it is so already. Raises InvalidToken."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column that holds encrypted values, and how one of them is encrypted again."""

    model: type[models.Model]
    name: str
    rotate: Rotate

    @property
    def label(self) -> str:
        return f"{self.model._meta.label_lower}.{self.name}"


@dataclass(slots=True)
class Rotation:
    """What was done, in numbers of values. `left`: still under an older key; `unreadable`: under a key that is not known."""

    rotated: int = 0
    looked_at: int = 0
    left: int = 0
    unreadable: int = 0

    @property
    def complete(self) -> bool:
        return not self.left and not self.unreadable


def columns() -> list[Column]:
    """Every encrypted column of every installed app."""
    found = []
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, EncryptedJSONField):
                found.append(Column(model, str(field.column), _text))
            elif isinstance(field, SealedBinaryField):
                found.append(Column(model, str(field.column), _sealed))
            elif model._meta.label_lower == "mfa.authenticator" and field.name == "data":
                found.append(Column(model, str(field.column), _inside_json))
    return found


def rotate(progress: Callable[[Column, int], None] = lambda column, rotated: None) -> Rotation:
    """Encrypt everything with the first of KVADMIN_FIELD_KEYS, then look whether anything is left under another."""
    done = Rotation()
    for column in columns():
        before = done.rotated
        for pk, stored in _values(column):
            done.looked_at += 1
            done.rotated += _rotate_one(column, pk, stored)
        progress(column, done.rotated - before)
    remaining = remains()
    done.left, done.unreadable = remaining.left, remaining.unreadable
    return done


def remains() -> Rotation:
    """Look at everything, change nothing."""
    found = Rotation()
    for column in columns():
        for _, stored in _values(column):
            found.looked_at += 1
            try:
                found.left += column.rotate(stored) != stored
            except InvalidToken:
                found.unreadable += 1
    return found


def _rotate_one(column: Column, pk: Any, stored: Any) -> int:
    """Whether the value was encrypted again. What cannot be read is left as it is, and counted at the end."""
    try:
        wanted = column.rotate(stored)
    except InvalidToken:
        return 0
    if wanted == stored:
        return 0
    quote = connection.ops.quote_name
    table, name, key = quote(column.model._meta.db_table), quote(column.name), quote(_key(column.model))
    with transaction.atomic(), connection.cursor() as cursor:
        lock = " FOR UPDATE" if connection.features.has_select_for_update else ""
        cursor.execute(f"SELECT {name} FROM {table} WHERE {key} = %s{lock}", [pk])  # noqa: S608
        row = cursor.fetchone()
        if row is None or _plain(row[0]) != stored:
            return 0
        cursor.execute(f"UPDATE {table} SET {name} = %s WHERE {key} = %s", [wanted, pk])  # noqa: S608
    return 1


def _values(column: Column) -> Iterator[tuple[Any, Any]]:
    """Primary key and stored value of each row that has one, by keyset, as the database holds it."""
    quote = connection.ops.quote_name
    table, name, key = quote(column.model._meta.db_table), quote(column.name), quote(_key(column.model))
    last: Any = None
    while True:
        after = f"AND {key} > %s" if last is not None else ""
        with connection.cursor() as cursor:
            sql = f"SELECT {key}, {name} FROM {table} WHERE {name} IS NOT NULL {after} ORDER BY {key} LIMIT {BATCH}"  # noqa: S608
            cursor.execute(sql, [] if last is None else [last])
            rows = cursor.fetchall()
        if not rows:
            return
        yield from ((pk, _plain(value)) for pk, value in rows)
        last = rows[-1][0]


def _key(model: type[models.Model]) -> str:
    return str(model._meta.pk.column)


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, (memoryview, bytearray)) else value


def _token(token: bytes) -> bytes:
    """The token under the newest key; itself when it is so already."""
    newest = Fernet(settings.KVADMIN_FIELD_KEYS[0])
    try:
        newest.decrypt(token)
    except InvalidToken:
        return cipher().rotate(token)
    return token


def _text(stored: str) -> str:
    return _token(stored.encode()).decode()


def _sealed(stored: bytes) -> bytes:
    return SEAL + _token(stored.removeprefix(SEAL)) if stored.startswith(SEAL) else stored


def _inside_json(stored: Any) -> str:
    """JSON whose texts may be tokens: the secrets of second factors."""
    text = stored if isinstance(stored, str) else json.dumps(stored)
    value = json.loads(text)
    wanted = _walk(value)
    return text if wanted == value else json.dumps(wanted)


def _walk(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _walk(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_walk(part) for part in value]
    return _text(value) if isinstance(value, str) and value.startswith(_BEGINS) else value
