"""The rules on their pages."""

from __future__ import annotations

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from stores.models import Store
from stores.models.alert import AlertRule
from stores.services import alerts, census
from stores.services.actor import Actor
from stores.services.rights import EVERYTHING
from tests.services.conftest import plant
from tests.views.pages import assert_sound, text_of

ACTOR = Actor("ana", "page", rights=EVERYTHING)


@pytest.fixture(autouse=True)
def _mailbox(settings: Settings) -> None:
    settings.KVADMIN_EMAIL = True


def test_a_rule_is_added_fires_is_silenced_and_deleted(client: Client, memory: Store) -> None:
    empty = client.get(reverse("stores:alerts"))
    assert "Nobody is told of anything" in text_of(empty)
    assert_sound(empty)
    form = client.get(reverse("stores:alert-add") + "?store=mem&kind=backlog")
    assert_sound(form)
    assert '<option value="mem" selected>' in form.content.decode()
    answer = client.post(reverse("stores:alert-add"), {"kind": "backlog", "store": "mem", "threshold": "0", "emails": "ana@example.org"})
    assert (answer.status_code, answer["Location"]) == (303, reverse("stores:alerts"))
    rule = AlertRule.objects.get()
    plant(memory, b"old", b"x", 1000)
    census.count(memory, ACTOR)
    alerts.evaluate()
    page = client.get(reverse("stores:alerts"))
    assert "1 alert fires" in text_of(page) and "1 expired keys wait" in text_of(page)
    assert_sound(page)
    overview = client.get(reverse("stores:overview"))
    assert "mem : 1 expired keys wait for a purge, more than 0. 1 alert" in text_of(overview)
    assert_sound(overview)
    act = {name: reverse("stores:alert-act", args=[rule.pk, name]) for name in ("mute", "test", "delete", "other")}
    client.post(act["mute"], {"hours": "24"})
    assert "silent until" in text_of(client.get(reverse("stores:alerts")))
    client.post(act["test"])
    assert mail.outbox[-1].subject.startswith("[kvadmin] Test: ")
    assert client.post(act["mute"], {"hours": "x"}).status_code == 422
    assert client.post(act["other"]).status_code >= 400
    client.post(act["delete"])
    assert not AlertRule.objects.exists()
    assert client.get(reverse("stores:alert", args=[rule.pk])).status_code == 404


def test_the_webhook_is_hidden_and_stays_when_untouched(client: Client, memory: Store) -> None:
    rule = alerts.save(ACTOR, AlertRule(), kind="down", store=memory, webhook="https://hooks.example.org/s3cret", emails="a@example.org")
    address = reverse("stores:alert", args=[rule.pk])
    page = client.get(address)
    assert "s3cret" not in page.content.decode()
    shown = page.context["form"]["webhook"].value()
    client.post(address, {"kind": "down", "store": "mem", "threshold": "7", "emails": "", "webhook": shown})
    rule.refresh_from_db()
    assert (rule.webhook, rule.threshold, rule.emails) == ("https://hooks.example.org/s3cret", 7, "")
    refused = client.post(address, {"kind": "down", "store": "mem", "emails": "x", "webhook": ""})
    assert refused.status_code == 422 and "is no e-mail address" in text_of(refused)
    assert_sound(refused)


def test_without_a_mail_server_the_page_says_so(client: Client, settings: Settings) -> None:
    settings.KVADMIN_EMAIL = False
    assert "No mail can be sent" in text_of(client.get(reverse("stores:alerts")))
    assert_sound(client.get(reverse("stores:alert-add")))
