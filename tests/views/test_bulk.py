"""From the list of keys over the dry run to the run, its receipt and its undoing; export."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from stores.models import AuditEntry, Run, RunState, Store, TrashEntry
from stores.services import bulk, bulk_undo, definitions
from stores.services.actor import Actor
from stores.services.rights import EVERYTHING
from tests.services.conftest import everything, new_memory, plant, plant_counter, soon
from tests.views.pages import assert_sound, text_of

ACTOR = Actor("ana", "page", rights=EVERYTHING)
KEYS = "/stores/mem/keys/"
BULK = "/stores/mem/bulk/"
SCOPE = "prefix=757365723a"


@pytest.fixture
def filled(memory: Store) -> Store:
    for number in range(30):
        plant(memory, b"user:%02d" % number, b"v", soon())
    plant(memory, b"other", b"v")
    return memory


def token_of(response: Any) -> str:
    found = re.search(r'name="token" value="([^"]+)"', response.content.decode())
    assert found
    return found[1]


def confirm(client: Client, query: str, count: str, **more: str) -> Any:
    shown = client.get(f"{BULK}?{query}")
    return client.post(f"{BULK}start/?{query}", {"token": token_of(shown), "count": count, "pace": "fast", **more})


def test_the_list_leads_to_all_keys_that_match(client: Client, filled: Store) -> None:
    response = client.get(f"{KEYS}?{SCOPE}")
    assert f"{BULK}?{SCOPE}" in response.content.decode()
    page = client.get(f"{BULK}?{SCOPE}")
    assert_sound(page)
    assert "What to do with all keys that match" in text_of(page)


def test_a_dry_run_says_everything_and_changes_nothing(client: Client, filled: Store) -> None:
    page = client.get(f"{BULK}?{SCOPE}&do=delete&keep=on")
    assert_sound(page)
    text = text_of(page)
    assert "30 keys would be deleted" in text
    assert "exact: the scope was read to its end" in text
    assert "all, for 7 days" in text
    assert "20 samples" in text
    assert "Delete 30 keys" in text
    assert len(everything(filled)) == 31
    assert not Run.objects.exists()


def test_the_count_confirms_and_the_run_can_be_undone_and_has_a_receipt(client: Client, filled: Store) -> None:
    before = everything(filled)
    wrong = confirm(client, f"{SCOPE}&do=delete&keep=on", "29")
    assert wrong.status_code == 422
    assert "Type 30 to confirm" in text_of(wrong)
    assert_sound(wrong)
    started = confirm(client, f"{SCOPE}&do=delete&keep=on", "30")
    run = Run.objects.get()
    assert (started.status_code, started["Location"]) == (303, f"/runs/{run.pk}/")
    assert_sound(client.get(f"/runs/{run.pk}/"))
    bulk.execute(run.pk)
    page = client.get(f"/runs/{run.pk}/")
    assert_sound(page)
    assert "30 of 30 keys deleted" in text_of(page)
    assert "Restore 30 keys" in text_of(page)
    receipt = json.loads(client.get(f"/runs/{run.pk}/receipt/").content)
    assert (receipt["done"], receipt["state"], receipt["started_by"]) == (30, "done", "ana")
    trash = client.get(f"/trash/?run={run.pk}")
    assert_sound(trash)
    assert "Restore the whole run" in text_of(trash)
    assert client.post(f"/runs/{run.pk}/undo/").status_code == 303
    undo = Run.objects.exclude(pk=run.pk).get()
    ended = bulk.execute(undo.pk)
    assert ended is not None
    assert (ended.state, everything(filled)) == (RunState.DONE, before)
    assert "30 of 30 keys restored" in text_of(client.get(f"/runs/{undo.pk}/"))
    assert_sound(client.get("/runs/"))


def test_undo_leaves_what_is_newer_until_told(client: Client, filled: Store) -> None:
    confirm(client, f"{SCOPE}&do=delete&keep=on", "30")
    run = Run.objects.get()
    bulk.execute(run.pk)
    run.refresh_from_db()
    plant(filled, b"user:11", b"newer")
    undo = bulk.execute(bulk_undo.start(ACTOR, run).pk)
    assert undo is not None
    assert everything(filled)[b"user:11"].value == b"newer"
    page = client.get(f"/runs/{undo.pk}/")
    assert_sound(page)
    assert "29 of 30 keys restored" in text_of(page)
    assert "hold something newer 1" in text_of(page)
    assert "Overwrite what is there now" in text_of(page)
    client.post(f"/runs/{run.pk}/undo/", {"overwrite": "on"})
    bulk.execute(Run.objects.order_by("-created_at").values_list("pk", flat=True)[0])
    assert everything(filled)[b"user:11"].value == b"v"
    assert TrashEntry.objects.filter(restored_at=None).count() == 1, "the newer one"
    assert client.post(f"/runs/{run.pk}/undo/").status_code == 404


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("do=expiry&ttl=nonsense", "is not a duration"),
        ("do=expiry&ttl=", "Say when the keys shall expire"),
        ("do=copy", "Choose the store to copy to"),
        ("do=copy&to=nowhere", "nowhere"),
        ("do=burn", "burn"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(client: Client, filled: Store, query: str, words: str) -> None:
    new_memory("second")
    page = client.get(f"{BULK}?{SCOPE}&{query}")
    assert page.status_code == 422
    assert_sound(page)
    assert words in text_of(page)
    assert "Type the count" not in text_of(page)


def test_expiry_and_copy_show_what_they_would_do(client: Client, filled: Store) -> None:
    new_memory("second")
    page = client.get(f"{BULK}?{SCOPE}&do=expiry&ttl=2+days&keep=on")
    assert_sound(page)
    assert "30 keys would get a new expiry" in text_of(page)
    page = client.get(f"{BULK}?{SCOPE}&do=move&to=second&clash=fail&keep=on")
    assert_sound(page)
    assert "30 keys would move to second" in text_of(page)
    assert confirm(client, f"{SCOPE}&do=move&to=second&clash=fail&keep=on", "30").status_code == 303
    bulk.execute(Run.objects.get().pk)
    assert len(everything(filled)) == 1


def test_a_read_only_store_refuses_before_the_dry_run(client: Client, filled: Store) -> None:
    definitions.update_store(ACTOR, filled, read_only=True)
    assert client.get(f"{BULK}?{SCOPE}&do=delete").status_code == 403
    assert client.get(f"{BULK}?{SCOPE}&do=export").status_code == 200


def test_a_second_bulk_run_has_to_wait(client: Client, filled: Store) -> None:
    confirm(client, f"{SCOPE}&do=delete", "30")
    second = confirm(client, f"{SCOPE}&do=delete", "30")
    assert second.status_code == 422
    assert "already under way" in text_of(second)


def test_a_store_that_is_down_says_so(client: Client, down: Store) -> None:
    assert client.get("/stores/gone/bulk/").status_code == 200
    assert client.get("/stores/gone/bulk/?do=delete").status_code == 503


def exported(client: Client, format: str, query: str = "") -> str:
    response = client.post(f"{BULK}export/?{query}", {"format": format})
    assert response.status_code == 200
    assert f".{format}" in response["Content-Disposition"]
    return b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]


def test_export_streams_json_lines_without_secrets(client: Client, filled: Store) -> None:
    plant(filled, b"\x01" + b"A" * 40, b"code", soon())
    page = client.get(f"{BULK}?do=export")
    assert_sound(page)
    assert "32 keys to export" in text_of(page)
    rows = [json.loads(line) for line in exported(client, "jsonl").splitlines()]
    assert {bytes.fromhex(row["key_hex"]) for row in rows} == {b"user:%02d" % number for number in range(30)} | {b"other"}
    assert rows[0]["expires_at"] == everything(filled)[bytes.fromhex(rows[0]["key_hex"])].expires_at
    note = AuditEntry.objects.get(action="export")
    assert note.after is not None
    assert (note.outcome, note.after["rows"], note.after["left_out"]) == ("done", 31, 1)


def test_a_download_that_broke_off_goes_on_after_a_key(client: Client, filled: Store) -> None:
    assert "broke off" in text_of(client.get(f"{BULK}?do=export"))
    whole = exported(client, "jsonl").splitlines()
    address = reverse("stores:bulk-export", args=[filled.pk])
    last = json.loads(whole[10])["key_hex"]
    rest = client.post(address, {"format": "jsonl", "after": f" {last} "})
    assert b"".join(rest.streaming_content).decode().splitlines() == whole[11:]  # type: ignore[attr-defined]
    assert client.post(address, {"format": "jsonl", "after": "no hex"}).status_code == 422


def test_a_csv_runs_nothing_in_a_spreadsheet(client: Client, memory: Store) -> None:
    for text in (b"=1+1", b"+1", b"-1", b"@x", b'plain, "quoted"', b"\xff\x00"):
        plant(memory, text, text)
    plant_counter(memory, b"number", -5)
    rows = list(csv.DictReader(io.StringIO(exported(client, "csv"), newline="")))
    assert {row["key"] for row in rows} == {"'=1+1", "'+1", "'-1", "'@x", 'plain, "quoted"', "", "number"}
    assert {bytes.fromhex(row["key_hex"]) for row in rows} == set(everything(memory))
    for row in rows:
        assert not any(value.startswith(("=", "+", "@", "\t", "\r")) for value in row.values())
    assert next(row for row in rows if row["key"] == "number")["counter"] == "-5"


def test_an_export_that_breaks_does_not_look_complete(client: Client, filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from stores.backends.memory import MemoryBackend
    from stores.errors import StoreUnavailable

    response = client.post(f"{BULK}export/", {"format": "csv"})

    def broken(*arguments: object) -> object:
        raise StoreUnavailable("Gone.")

    monkeypatch.setattr(MemoryBackend, "scan", broken)
    with pytest.raises(StoreUnavailable):
        b"".join(response.streaming_content)  # type: ignore[attr-defined]
    assert AuditEntry.objects.get(action="export").outcome == "failed"


def test_a_receipt_is_of_bulk_changes_only(client: Client, memory: Store) -> None:
    client.post(reverse("stores:count", args=["mem"]))
    assert client.get(f"/runs/{Run.objects.get().pk}/receipt/").status_code == 400
