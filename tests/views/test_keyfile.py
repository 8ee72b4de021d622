"""The import page: upload, dry run, confirmation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from stores.models import Run, RunState, Store
from stores.services import bulk, definitions
from stores.services.actor import Actor
from stores.services.rights import EVERYTHING
from tests.services.conftest import everything, plant
from tests.views.pages import assert_sound, text_of

ACTOR = Actor("ana", "page", rights=EVERYTHING)
DATA = b'{"key": "a", "value": "1"}\n{"key": "b", "value": "2"}\n{"key": "c", "value": "there"}\n'


@pytest.fixture(autouse=True)
def uploads(tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    return tmp_path / "data" / "imports"


def sent(client: Client, store: Store, data: bytes, **choices: str) -> Any:
    chosen = {"clash": "skip", "wrong": "stop", "keep": "on"} | choices
    return client.post(reverse("stores:keys-import", args=[store.pk]), {"file": SimpleUploadedFile("keys.jsonl", data), **chosen})


def test_from_the_upload_to_the_run(client: Client, memory: Store, uploads: Path) -> None:
    plant(memory, b"c", b"there")
    assert_sound(client.get(reverse("stores:keys-import", args=[memory.pk])))
    page = sent(client, memory, DATA)
    assert_sound(page)
    words = text_of(page)
    assert "2 keys would be written" in words
    assert "there already 1" in words
    assert set(everything(memory)) == {b"c"}
    start = reverse("stores:keys-import-start", args=[memory.pk])
    token = page.context["preview"].token
    refused = client.post(start, {"token": token, "count": "3", "pace": "fast"})
    assert refused.status_code == 422
    assert "Type 2 to confirm" in text_of(refused)
    assert token in refused.content.decode(), "the count can be typed again"
    assert client.post(start, {"token": token, "count": "2", "pace": "fast"}).status_code == 303
    run = bulk.execute(Run.objects.get().pk)
    assert run is not None
    assert (run.state, run.params["do"], set(everything(memory))) == (RunState.DONE, "import", {b"a", b"b", b"c"})
    assert not list(uploads.glob("*"))
    assert "Import of mem" in text_of(client.get(reverse("stores:run", args=[run.pk])))


def test_wrong_lines_are_named_and_nothing_can_be_started(client: Client, memory: Store, uploads: Path) -> None:
    page = sent(client, memory, DATA + b'{"key": "d", "value": "", "ttl": 5}\n')
    assert "Line 4, field ttl" in text_of(page)
    assert "keys-import-start" not in page.content.decode()
    assert "import/start" not in page.content.decode()
    assert not list(uploads.glob("*"))
    assert "import/start" in sent(client, memory, DATA + b"{}\n", wrong="skip").content.decode()


def test_files_that_are_none_are_refused_at_the_field(client: Client, memory: Store, uploads: Path) -> None:
    page = sent(client, memory, b"\x1f\x8b" + bytes(50))
    assert page.status_code == 422
    assert "compressed file (gzip)" in text_of(page)
    assert sent(client, memory, b"").status_code == 422
    assert not list(uploads.glob("*"))


def test_stores_that_take_no_writes_have_no_import(client: Client, memory: Store) -> None:
    definitions.update_store(ACTOR, memory, read_only=True)
    assert client.get(reverse("stores:keys-import", args=[memory.pk])).status_code in (400, 403)
    assert "keys/import" not in client.get(reverse("stores:keys", args=[memory.pk])).content.decode()
