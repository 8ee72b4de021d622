"""The mail server's management API: bans lifted and verified, maintenance without its traps."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from stores.errors import BadConfig, StoreRefused, StoreUnavailable
from stores.models import AuditEntry, MailServer, Store
from stores.services import mailserver, unban
from tests.servers.stalwart import Stalwart, stalwart
from tests.services.conftest import ACTOR, new_memory, plant, plant_counter, stored
from tests.services.test_limited import IP
from tests.views.pages import assert_sound, text_of
from tests.views.test_limited import field

pytestmark = pytest.mark.django_db


@pytest.fixture
def far() -> Iterator[Stalwart]:
    with stalwart() as state:
        yield state


def define(far: Stalwart, version: str, token: str = "API_secret") -> MailServer:
    return mailserver.save(ACTOR, far.url, version, token, False)


def ban(far: Stalwart, version: str, *addresses: str) -> None:
    far.banned = {f"id{number}" if version == "0.16" else address: address for number, address in enumerate(addresses)}
    far.loaded = dict(far.banned)


@pytest.mark.parametrize("version", ["0.11", "0.15", "0.16"])
def test_a_ban_is_deleted_reloaded_and_looked_for_again(db: None, far: Stalwart, version: str) -> None:
    at = define(far, version)
    ban(far, version, "203.0.113.20", "198.51.100.7")
    assert [each.network for each in mailserver.bans_of(at, "203.0.113.20")] == ["203.0.113.20"]
    steps = mailserver.lift(ACTOR, at, "203.0.113.20")
    assert [step.ok for step in steps] == [True, True, True] and "no ban of it is left" in steps[-1].text
    assert list(far.loaded.values() if version == "0.16" else far.loaded) == ["198.51.100.7"], "in force, not only stored"
    assert AuditEntry.objects.get(action="lift-ban").outcome == "done"
    assert mailserver.lift(ACTOR, at, "203.0.113.20") == [mailserver.Step(True, "The server holds no ban of 203.0.113.20")]


def test_an_unknown_class_never_reaches_the_server_where_it_would_be_a_full_purge(db: None, far: Stalwart) -> None:
    at = define(far, "0.11")
    for slug in ("rate-hash", "nonsense", "token-revision", "../data", "lock-dav"):
        with pytest.raises(BadConfig) as caught:
            mailserver.maintain(ACTOR, at, "memstore", slug)
        assert caught.value.field == "class"
    assert not far.asked and not far.done
    mailserver.maintain(ACTOR, at, "memstore", "rate-auth")
    mailserver.maintain(ACTOR, at, "", "greylist")
    steps = mailserver.maintain(ACTOR, at, "memstore")
    assert far.done == ["reset rate-auth of memstore", "reset greylist of default", "purge of memstore"]
    assert "before the work" in steps[-1].text
    assert "bayes-global" in mailserver.choices("0.11") and "bayes-global" not in mailserver.choices("0.15")
    with pytest.raises(StoreRefused):
        mailserver.maintain(ACTOR, at, "elsewhere")


@pytest.mark.parametrize(("slug", "kind"), [("", "purgeData"), ("rate-auth", "resetRateLimiters"), ("oauth", "removeAuthTokens")])
def test_tasks_of_0_16_always_have_a_type_and_are_followed_to_their_end(db: None, far: Stalwart, slug: str, kind: str) -> None:
    at = define(far, "0.16")
    far.polls = 2
    steps = mailserver.maintain(ACTOR, at, "", slug)
    assert far.done == [kind] and steps[-1].ok and "has done it" in steps[-1].text


def test_failures_of_tasks_are_shown(db: None, far: Stalwart, monkeypatch: pytest.MonkeyPatch) -> None:
    at = define(far, "0.16")
    far.fails = "Data corruption detected (store.data-corruption)"
    steps = mailserver.maintain(ACTOR, at)
    assert not steps[-1].ok and "Data corruption" in steps[-1].text
    far.fails, far.polls = "", 10_000
    monkeypatch.setattr(mailserver, "FOLLOW_SECONDS", 0.0)
    assert "not been done yet" in mailserver.maintain(ACTOR, at)[-1].text
    far.forbidden = True
    with pytest.raises(StoreRefused, match="Insufficient permissions"):
        mailserver.maintain(ACTOR, at)
    with pytest.raises(BadConfig):
        mailserver.maintain(ACTOR, at, "memstore")


def test_outages_and_refusals_are_errors_without_the_credential(db: None, far: Stalwart) -> None:
    wrong = define(far, "0.11", "API_wrong")
    with pytest.raises(StoreRefused) as refused:
        mailserver.bans(wrong)
    gone = mailserver.save(ACTOR, "http://127.0.0.1:1", "0.11", "API_wrong", False)
    with pytest.raises(StoreUnavailable) as unavailable:
        mailserver.bans(gone)
    assert "API_wrong" not in f"{refused.value} {unavailable.value}"
    for url in ("ftp://x", "https://name:secret@mail.example.org", "mail.example.org", "https://", "http://x:y"):
        with pytest.raises(BadConfig) as caught:
            mailserver.save(ACTOR, url, "0.11", "API_secret", False)
        assert caught.value.field == "url" and "secret" not in str(caught.value)


def test_the_credential_is_encrypted_and_kept_only_for_the_same_address(db: None, far: Stalwart) -> None:
    define(far, "0.11")
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM stores_mailserver")
        assert "API_secret" not in cursor.fetchone()[0]
    assert mailserver.save(ACTOR, far.url, "0.15", "", False).secret == {"token": "API_secret"}
    with pytest.raises(BadConfig):
        mailserver.save(ACTOR, "https://other.example.org", "0.15", "", False)


@pytest.fixture
def client(db: None, django_user_model: type) -> Client:
    user = django_user_model.objects.create_superuser("ana", password="correct horse")  # type: ignore[attr-defined]
    found = Client()
    found.force_login(user)
    return found


def test_the_page_saves_tests_maintains_and_forgets(client: Client, far: Stalwart) -> None:
    new_memory("memstore")
    assert_sound(client.get("/settings/mail-server/"))
    saved = client.post("/settings/mail-server/", {"do": "save", "url": far.url, "version": "0.11", "token": "API_secret"})
    assert saved.status_code == 303
    page = client.get("/settings/mail-server/")
    assert_sound(page)
    assert "API_secret" not in page.content.decode()
    assert "names its bans: 0" in text_of(client.post("/settings/mail-server/", {"do": "test"}))
    unsure = client.post("/settings/mail-server/", {"do": "maintain", "store": "memstore", "slug": "rate-auth"})
    assert "Tick this" in text_of(unsure) and not far.done
    done = client.post("/settings/mail-server/", {"do": "maintain", "store": "memstore", "slug": "rate-auth", "sure": "on"})
    assert_sound(done)
    assert far.done == ["reset rate-auth of memstore"] and "taken it over" in text_of(done)
    wrong = client.post("/settings/mail-server/", {"do": "maintain", "slug": "nonsense", "sure": "on"})
    assert "The server was not asked" in text_of(wrong) and len(far.done) == 1
    wrong = client.post("/settings/mail-server/", {"do": "save", "url": "ftp://x", "version": "0.11", "token": "t"})
    assert wrong.status_code == 422
    client.post("/settings/mail-server/", {"do": "forget"})
    assert not MailServer.objects.exists()


def test_a_ban_is_lifted_from_the_3_a_m_page(client: Client, far: Stalwart) -> None:
    memory: Store = new_memory("mem")
    now = int(time.time())
    counter = b"\x05" + IP + (now // 86400).to_bytes(8, "big")
    plant_counter(memory, counter, 37, (now // 86400 + 1) * 86400)
    define(far, "0.11")
    ban(far, "0.11", "203.0.113.20")
    page = client.get("/3am/?q=203.0.113.20")
    assert_sound(page)
    assert "Look for bans of 203.0.113.20" in text_of(page)
    preview = client.post("/3am/", {"q": "203.0.113.20", "lift": "203.0.113.20"})
    assert_sound(preview)
    assert "server.blocked-ip.203.0.113.20" in text_of(preview) and far.loaded
    assert "Then 1 counter of its running windows" in text_of(preview) and stored(memory, counter) is not None
    done = client.post("/3am/", {"q": "203.0.113.20", "lift": "203.0.113.20", "confirmed": "yes"})
    assert_sound(done)
    assert "no ban of it is left" in text_of(done) and not far.loaded
    assert "Failed logins in mem reset" in text_of(done) and stored(memory, counter) is None
    back = client.post("/3am/", {"q": "203.0.113.20", "undo": field(done.content.decode(), "undo")})
    assert_sound(back)
    assert stored(memory, counter) is not None
    assert client.post("/3am/", {"q": "x", "lift": "nonsense"}).status_code == 422


def test_counters_stay_where_the_ban_could_not_be_lifted(db: None, far: Stalwart, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = new_memory("mem")
    now = int(time.time())
    counter = b"\x05" + IP + (now // 86400).to_bytes(8, "big")
    plant_counter(memory, counter, 37, (now // 86400 + 1) * 86400)
    at = define(far, "0.16")
    ban(far, "0.16", "203.0.113.20")
    monkeypatch.setattr(mailserver, "lift", lambda *_: [mailserver.Step(False, "still banned")])
    lifted = unban.lift(ACTOR, at, "203.0.113.20")
    assert [step.ok for step in lifted.steps] == [False] and not lifted.undo
    assert stored(memory, counter) is not None


def test_a_store_that_keeps_its_counters_is_told(db: None, far: Stalwart) -> None:
    memory = new_memory("mem")
    now = int(time.time())
    plant_counter(memory, b"\x05" + IP + (now // 86400).to_bytes(8, "big"), 37, (now // 86400 + 1) * 86400)
    Store.objects.filter(pk="mem").update(read_only=True)
    at = define(far, "0.11")
    ban(far, "0.11", "203.0.113.20")
    assert len(unban.plan(at, "203.0.113.20").counters) == 1
    lifted = unban.lift(ACTOR, at, "203.0.113.20")
    assert [step.ok for step in lifted.steps] == [True, True, True, False] and "read only" in lifted.steps[-1].text


def test_a_lock_of_0_16_leads_to_its_message(client: Client, far: Stalwart) -> None:
    memory = new_memory("mem", version="0.16")
    key = b"\x15" + (0x04C0316A45E03000).to_bytes(8, "big") + b"local\0\0\0"
    plant(memory, key, b"", int(time.time()) + 300)
    address = reverse("stores:key", args=["mem", key])
    page = client.get(address)
    assert "x:QueuedMessage jqbrnjc1amaa" in text_of(page) and f"{address}owner/" not in page.content.decode()
    define(far, "0.16")
    assert f"{address}owner/" in client.get(address).content.decode()
    gone = client.get(f"{address}owner/")
    assert_sound(gone)
    assert "no longer has it" in text_of(gone)
    recipients = {"ana@example.org": {"status": {"@type": "Scheduled"}}}
    far.messages["jqbrnjc1amaa"] = {"id": "jqbrnjc1amaa", "returnPath": "<b>bo", "recipients": recipients, "blobId": "cx"}
    shown = client.get(f"{address}owner/")
    assert_sound(shown)
    text = text_of(shown)
    assert "recipients.ana@example.org.status.@type Scheduled" in text and "&lt;b&gt;bo" in shown.content.decode() and "cx" not in text
    mailserver.forget(ACTOR)
    assert client.get(f"{address}owner/").status_code == 422
