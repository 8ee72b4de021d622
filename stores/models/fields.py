"""Fields that hold secrets: encrypted with MultiFernet, so that keys can be rotated."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils.crypto import salted_hmac


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def cipher() -> MultiFernet:
    """The cipher of the present keys: the first encrypts, all decrypt."""
    return _cipher(tuple(settings.KVADMIN_FIELD_KEYS))


class EncryptedJSONField(models.TextField):  # type: ignore[type-arg]
    """A JSON value stored as one Fernet token; the database and its dumps show nothing of it."""

    def get_prep_value(self, value: Any) -> Any:
        if value is None:
            return None
        return cipher().encrypt(json.dumps(value, sort_keys=True).encode()).decode()

    def from_db_value(self, value: str | None, expression: object, connection: object) -> Any:
        if value is None:
            return None
        return json.loads(_opened(value.encode()))

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.get_prep_value(self.value_from_object(obj)))


SEAL: Final = b"\xffkvadmin-sealed:"
"""What sealed bytes begin with. Bytes that begin so by themselves are sealed too, so that the two cannot be confused."""


class SealedBinaryField(models.BinaryField):  # type: ignore[type-arg]
    """Bytes that are stored as a Fernet token where the row says `sealed`, and as they are elsewhere; read back alike."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = getattr(model_instance, self.attname)
        if value is None or not (model_instance.sealed or bytes(value).startswith(SEAL)):  # type: ignore[attr-defined]
            return value
        return SEAL + cipher().encrypt(bytes(value))

    def from_db_value(self, value: Any, expression: object, connection: object) -> bytes | None:
        if value is None:
            return None
        found = bytes(value)
        return _opened(found.removeprefix(SEAL)) if found.startswith(SEAL) else found


class MarkField(models.CharField):  # type: ignore[type-arg]
    """A short keyed digest of a binary field of the same row, by which equal ones are found without telling what they are."""

    def __init__(self, *args: Any, of: str = "key", **kwargs: Any) -> None:
        self.of = of
        super().__init__(*args, **{"max_length": 16, "blank": True, **kwargs})

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        setattr(model_instance, self.attname, mark_of_bytes(getattr(model_instance, self.of)))
        return super().pre_save(model_instance, add)


def mark_of_bytes(data: bytes) -> str:
    """The digest that a MarkField holds."""
    return salted_hmac("stores.mark", bytes(data), algorithm="sha256").hexdigest()[:16]


def _opened(token: bytes) -> bytes:
    try:
        return cipher().decrypt(token)
    except InvalidToken:
        raise ImproperlyConfigured(
            "A stored secret cannot be decrypted: put the key it was written with back into KVADMIN_FIELD_KEYS."
        ) from None


class CanonicalJSONField(models.TextField):  # type: ignore[type-arg]
    """A JSON value stored as text in one form (`canonical`), so that what is read back hashes as what was written."""

    _pyi_private_set_type: Any
    _pyi_private_get_type: Any

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else canonical(value)

    def from_db_value(self, value: str | None, expression: object, connection: object) -> Any:
        return None if value is None else json.loads(value)

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.get_prep_value(self.value_from_object(obj)))


def canonical(value: Any) -> str:
    """JSON in ASCII with sorted names and without blanks; dates and the like as their text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
