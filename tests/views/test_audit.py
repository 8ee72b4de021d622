"""The page of the audit: found by everything that is on record, its mark, its exports."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from stores.models import AuditEntry, Store
from stores.services import audit, audit_search, audit_verify
from stores.services.actor import Actor
from stores.services.audit_chain import GENESIS
from tests.views.pages import assert_sound, text_of

EVE = Actor("eve", "api", address="203.0.113.9")


@pytest.fixture
def entries(memory: Store) -> None:
    audit.record(EVE, "edit", memory, key=b"user:ana".hex(), class_slug="greylist", before={"value": "old"}, after={"value": "=cmd()"})
    audit.record(EVE, "purge-start", memory, outcome=audit.FAILED)
    audit.record(EVE, "edit", "gone-store", key="00ff")
    audit.record(Actor("nobody", "page"), "sign-in", after={"account": "root", "known": False}, outcome=audit.REFUSED)


def lines(client: Client, **query: str) -> str:
    response = client.get(reverse("stores:audit"), query)
    assert response.status_code == 200
    assert_sound(response)
    text = text_of(response)
    return text[text.index("More filters") :]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"group": "runs"}, "eve started a purge"),
        ({"group": "accounts", "outcome": "refused"}, "under a name that is no account"),
        ({"slug": "greylist"}, "eve wrote the value of"),
        ({"text": "203.0.113.9", "group": "runs"}, "eve started a purge"),
        ({"text": "user:an"}, "eve wrote the value of"),
        ({"text": "OLD"}, "eve wrote the value of"),
        ({"store": "gone-store"}, "00ff"),
        ({"outcome": "failed"}, "eve started a purge. It failed."),
        ({"actor": "eve", "since": "2020-01-01", "until": "2100-01-01"}, "eve started a purge"),
    ],
)
def test_entries_are_found(client: Client, entries: None, query: dict[str, str], found: str) -> None:
    text = lines(client, **query)
    assert found in text
    assert ("eve wrote" in text) is ("wrote" in found or "slug" in query or query.get("actor") == "eve" or "store" in query)


@pytest.mark.parametrize("query", [{"text": "nowhere"}, {"until": "2020-01-01"}, {"since": "2100-01-01"}, {"actor": "ev"}])
def test_what_is_not_there_is_not_found(client: Client, entries: None, query: dict[str, str]) -> None:
    assert "Nothing matches" in lines(client, **query)


def test_a_search_looks_at_a_part_at_a_time(client: Client, entries: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(30):
        audit.record(EVE, "expiry", "mem", key="01")
    monkeypatch.setattr(audit_search, "WINDOW", 10)
    cursor, rounds = "", 0
    seen: list[AuditEntry] = []
    while True:
        page = audit_search.find(audit_search.Wanted(text="old"), cursor)
        seen += page.entries
        rounds += 1
        if not page.next:
            break
        assert page.partial
        cursor = page.next
    assert [entry.action for entry in seen] == ["edit"] and rounds >= 3
    assert "Nothing found yet" in lines(client, text="old")


@pytest.mark.parametrize("query", [{"since": "yesterday"}, {"group": "x"}, {"slug": "x"}, {"outcome": "x"}, {"text": "x" * 300}])
def test_a_filter_that_cannot_be_read_is_refused(client: Client, entries: None, query: dict[str, str]) -> None:
    assert client.get(reverse("stores:audit"), query).status_code == 400


def test_the_mark_says_when_it_was_verified_and_what_is_wrong(client: Client, entries: None) -> None:
    assert "has not been verified yet" in text_of(client.get(reverse("stores:audit")))
    done = client.post(reverse("stores:audit-check"), follow=True)
    assert "an unbroken chain" in text_of(done)
    entry = AuditEntry.chain.get(action="purge-start")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE stores_auditentry SET actor = 'ana' WHERE id = %s", [entry.pk])
    audit_verify.check(whole=True)
    page = client.get(reverse("stores:audit"))
    assert_sound(page)
    assert f"Entry {entry.pk} is not as it was written" in text_of(page)


def exported(client: Client, format: str, **query: str) -> str:
    address = reverse("stores:audit-export") + "?" + "&".join(f"{name}={value}" for name, value in query.items())
    response = client.post(address, {"format": format})
    assert response.status_code == 200 and "attachment" in response["Content-Disposition"]
    return b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]


def test_csv_has_no_formula_and_what_the_filter_says(client: Client, entries: None) -> None:
    audit.record(Actor("=HYPERLINK(1)", "page"), "edit", "mem", key="aa", before={"a": 1})
    rows = list(csv.DictReader(io.StringIO(exported(client, "csv", group="keys"))))
    assert [row["actor"] for row in rows] == ["'=HYPERLINK(1)", "eve", "eve"]
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert json.loads(rows[0]["before"]) == {"a": 1}
    assert AuditEntry.objects.first().action == "audit-export"


def test_json_lines_can_be_verified_by_anybody(client: Client, entries: None) -> None:
    note = audit.record(EVE, "edit", "mem", outcome=audit.STARTED)
    audit.settle(note, audit.DONE, {"é": "\u202e"})
    found = [json.loads(line) for line in exported(client, "jsonl").splitlines()]
    previous = GENESIS
    for line in reversed(found):
        text = json.dumps(line["content"], separators=(",", ":"))
        assert hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest() == line["hash"]
        assert line["content"][0] == line["number"]
        previous = line["hash"]
    assert found[1]["settles"] == found[2]["number"]


def test_an_export_in_another_format_is_refused(client: Client, entries: None) -> None:
    assert client.post(reverse("stores:audit-export"), {"format": "xml"}).status_code == 422
    assert client.get(reverse("stores:audit-export")).status_code == 405


def test_sign_ins_are_on_record_and_typed_passwords_are_not(db: None, django_user_model: type) -> None:
    django_user_model.objects.create_user("ana", password="correct horse")  # type: ignore[attr-defined]
    browser = Client(REMOTE_ADDR="198.51.100.4")
    address = reverse("stores:sign-in")
    for name, word in (("ana", "wrong"), ("my secret password", "x"), ("ana", "correct horse")):
        browser.post(address, {"username": name, "password": word})
    browser.post(reverse("stores:sign-out"))
    found = list(AuditEntry.objects.order_by("pk").values_list("action", "outcome", "actor", "address"))
    assert [each[:2] for each in found] == [("sign-in", "refused"), ("sign-in", "refused"), ("sign-in", "done"), ("sign-out", "done")]
    assert {each[3] for each in found} == {"198.51.100.4"}
    assert "my secret password" not in str(list(AuditEntry.chain.values()))
    assert timezone.now() - AuditEntry.objects.latest("at").at < timedelta(minutes=1)
