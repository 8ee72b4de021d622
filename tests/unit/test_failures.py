"""What the page says when kvadmin's own database is away, and when kvadmin made a mistake."""

from __future__ import annotations

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from stores.services import definitions


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error", [OperationalError("database is locked"), InterfaceError("connection already closed"), ZeroDivisionError()]
)
def test_an_outage_of_the_database_is_said_and_is_no_mistake(
    error: Exception, monkeypatch: pytest.MonkeyPatch, django_user_model: type
) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(django_user_model.objects.create_superuser("ana", password="correct horse"))  # type: ignore[attr-defined]

    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(definitions, "list_stores", broken)
    response = client.get("/settings/")
    away = not isinstance(error, ZeroDivisionError)
    assert response.status_code == (503 if away else 500)
    assert ("own database does not answer" in response.content.decode()) is away
    assert b"database is locked" not in response.content
    assert response.headers.get("Retry-After") == ("5" if away else None)
