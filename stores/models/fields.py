"""Fields that hold secrets: encrypted with MultiFernet, so that keys can be rotated."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


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
        try:
            return json.loads(cipher().decrypt(value.encode()))
        except InvalidToken:
            raise ImproperlyConfigured(
                "A stored secret cannot be decrypted: put the key it was written with back into KVADMIN_FIELD_KEYS."
            ) from None

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.get_prep_value(self.value_from_object(obj)))


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
