"""Rules that are checked at set moments, mail in a box, and webhooks to a server of this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.core import mail
from pytest_django.fixtures import Settings

from stores.errors import BadConfig, NotSupported
from stores.models import AuditEntry, Census, RunAction, RunState, Store
from stores.models.alert import AlertKind, AlertRule
from stores.services import alerts, census, definitions, runs
from stores.services.actor import Actor
from stores.services.alert_checks import problem
from tests.servers.smtp import MailSink
from tests.services.conftest import plant
from tests.services.test_history import counted

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Receiver:
    """A web server that notes what it was sent and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[dict[str, object]] = []
        self.paths: list[str] = []
        self.status = 204
        self.location = ""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.paths.append(self.path)
                receiver.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?key=s3cret"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    settings.KVADMIN_ALERT_PRIVATE_HOSTS = True
    found = Receiver()
    yield found
    found.close()


@pytest.fixture(autouse=True)
def _mailbox(settings: Settings) -> None:
    settings.KVADMIN_EMAIL = True
    settings.KVADMIN_PUBLIC_URL = "https://kvadmin.example.org"


def rule(actor: Actor, store: Store | None, kind: str, threshold: float | None = None, **fields: str) -> AlertRule:
    fields.setdefault("emails", "ana@example.org")
    return alerts.save(actor, AlertRule(), kind=kind, store=store, threshold=threshold, **fields)


def again(found: AlertRule) -> AlertRule:
    found.refresh_from_db()
    return found


def test_beginning_and_end_are_told_once_each(memory: Store, actor: Actor, receiver: Receiver) -> None:
    rule(actor, memory, "backlog", 10, webhook=receiver.url)
    counted(memory, NOW - timedelta(hours=2), expired=10, own=20)
    alerts.evaluate(NOW)
    assert (mail.outbox, receiver.got) == ([], [])
    counted(memory, NOW, expired=11, own=20)
    for minute in (1, 2, 3):
        alerts.evaluate(NOW + minute * MINUTE)
    assert [message.subject for message in mail.outbox] == ["[kvadmin] mem: Expired keys wait for a purge"]
    body = str(mail.outbox[0].body)
    assert "11 expired keys wait for a purge, more than 10." in body and "https://kvadmin.example.org/stores/mem/" in body
    assert mail.outbox[0].to == ["ana@example.org"]
    assert len(receiver.got) == 1 and receiver.paths == ["/hook?key=s3cret"]
    assert {name: receiver.got[0][name] for name in ("kind", "store", "state", "text")} == {
        "kind": "backlog", "store": "mem", "state": "firing", "text": "11 expired keys wait for a purge, more than 10."}  # fmt: skip
    assert receiver.got[0]["since"] == (NOW + MINUTE).timestamp()
    assert [found.store_id for found in alerts.firing()] == ["mem"]
    counted(memory, NOW + 4 * MINUTE, expired=0, own=9)
    for minute in (5, 6):
        alerts.evaluate(NOW + minute * MINUTE)
    assert mail.outbox[-1].subject == "[kvadmin] Over: mem: Expired keys wait for a purge" and len(mail.outbox) == 2
    assert [sent["state"] for sent in receiver.got] == ["firing", "recovered"]
    assert alerts.firing() == []


def test_a_muted_rule_speaks_of_what_still_fires_when_the_silence_ends(memory: Store, actor: Actor) -> None:
    found = rule(actor, memory, "backlog", 0)
    counted(memory, NOW, expired=1, own=1)
    found.muted_until = NOW + timedelta(hours=1)
    found.save()
    alerts.evaluate(NOW + MINUTE)
    assert again(found).firing and mail.outbox == []
    alerts.evaluate(NOW + timedelta(hours=1, minutes=1))
    assert len(mail.outbox) == 1
    alerts.mute(actor, again(found), 24)
    assert again(found).muted_until is not None
    alerts.mute(actor, found, 0)
    assert again(found).muted_until is None
    assert AuditEntry.objects.filter(action="alert-mute").count() == 2
    with pytest.raises(BadConfig):
        alerts.mute(actor, found, -1)


def test_what_began_and_ended_in_silence_is_never_told(memory: Store, actor: Actor) -> None:
    found = rule(actor, memory, "backlog", 0)
    AlertRule.objects.update(muted_until=NOW + timedelta(hours=1))
    counted(memory, NOW, expired=1, own=1)
    alerts.evaluate(NOW + MINUTE)
    counted(memory, NOW + 2 * MINUTE, expired=0, own=1)
    alerts.evaluate(NOW + 3 * MINUTE)
    alerts.evaluate(NOW + timedelta(hours=2))
    assert mail.outbox == [] and not again(found).firing


def test_what_is_not_delivered_is_tried_again_later_and_the_other_way_is_not_repeated(
    memory: Store, actor: Actor, receiver: Receiver
) -> None:
    found = rule(actor, memory, "backlog", 0, webhook=receiver.url)
    counted(memory, NOW, expired=1, own=1)
    receiver.status = 500
    alerts.evaluate(NOW)
    assert (len(mail.outbox), len(receiver.got)) == (1, 1)
    assert again(found).delivery_error == "127.0.0.1 answered 500."
    assert "s3cret" not in found.delivery_error
    alerts.evaluate(NOW + MINUTE)
    alerts.evaluate(NOW + 2 * MINUTE)
    assert len(receiver.got) == 2
    receiver.status = 200
    alerts.evaluate(NOW + 3 * MINUTE)
    alerts.evaluate(NOW + 4 * MINUTE)
    assert (len(mail.outbox), len(receiver.got)) == (1, 3)
    assert (again(found).failures, found.delivery_error, found.told_webhook) == (0, "", True)


def test_two_workers_tell_it_once(memory: Store, actor: Actor) -> None:
    rule(actor, memory, "backlog", 0)
    counted(memory, NOW, expired=1, own=1)
    assert len(alerts.evaluate(NOW)) == 1
    assert alerts.evaluate(NOW + timedelta(seconds=5)) == []
    assert len(mail.outbox) == 1


def test_webhooks_stay_out_of_private_networks_and_follow_no_redirect(
    memory: Store, actor: Actor, receiver: Receiver, settings: Settings
) -> None:
    found = rule(actor, memory, "backlog", 0, webhook=receiver.url, emails="")
    receiver.status, receiver.location = 302, receiver.url
    with pytest.raises(NotSupported, match="redirect"):
        alerts.send_test(actor, found)
    assert len(receiver.got) == 1
    settings.KVADMIN_ALERT_PRIVATE_HOSTS = False
    for url in (receiver.url, "http://localhost:1/", "http://[::1]:1/", "http://[::ffff:10.0.0.1]/"):
        found.webhook = url
        with pytest.raises(NotSupported, match="private network"):
            alerts.send_test(actor, found)
    assert len(receiver.got) == 1
    settings.KVADMIN_ALERT_PRIVATE_HOSTS = True
    for url in ("http://169.254.169.254/latest", "http://[fe80::1]/", "http://100.100.100.200/"):
        found.webhook = url
        with pytest.raises(NotSupported, match="no webhook may be"):
            alerts.send_test(actor, found)
    found.webhook = "http://127.0.0.1:1/"
    with pytest.raises(NotSupported, match="ConnectionRefusedError"):
        alerts.send_test(actor, found)


def test_a_test_message_goes_both_ways(memory: Store, actor: Actor, receiver: Receiver, settings: Settings) -> None:
    found = rule(actor, memory, "down", webhook=receiver.url)
    alerts.send_test(actor, found)
    assert mail.outbox[0].subject == "[kvadmin] Test: mem: The store does not answer"
    assert receiver.got[0]["state"] == "test"
    settings.KVADMIN_EMAIL = False
    with pytest.raises(NotSupported, match="KVADMIN_EMAIL_URL"):
        alerts.send_test(actor, found)


def test_mails_go_through_a_real_server(memory: Store, actor: Actor, settings: Settings) -> None:
    sink = MailSink()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.DEFAULT_FROM_EMAIL = "127.0.0.1", sink.port, "kvadmin@example.org"
    found = rule(actor, memory, "backlog", 0, emails="ana@example.org\nben@example.org")
    counted(memory, NOW, expired=3, own=3)
    try:
        sink.refuse = "550 5.1.1 unknown"
        alerts.evaluate(NOW)
        assert (again(found).failures, sink.mails) == (1, [])
        assert again(found).delivery_error == "The mail was not sent: SMTPRecipientsRefused."
        sink.refuse = ""
        alerts.evaluate(NOW + 2 * MINUTE)
        (sent,) = sink.mails
        assert (sent.sender, sent.recipients) == ("kvadmin@example.org", ["ana@example.org", "ben@example.org"])
        assert sent.message["Subject"] == "[kvadmin] mem: Expired keys wait for a purge"
        assert sent.message["Auto-Submitted"] == "auto-generated"
        assert b"3 expired keys wait for a purge" in bytes(sent.message.get_payload(decode=True))
        assert (again(found).failures, again(found).delivery_error) == (0, "")
    finally:
        sink.close()
    counted(memory, NOW + 3 * MINUTE, expired=0, own=3)
    alerts.evaluate(NOW + 4 * MINUTE)
    assert again(found).delivery_error == "The mail was not sent: ConnectionRefusedError."
    assert again(found).told_email, "its end is told when the server is there again"


def test_a_purge_that_failed_or_was_missed(memory: Store, actor: Actor) -> None:
    found = rule(actor, memory, "purge")
    assert problem(found, NOW) == ""
    for minute, (state, said) in enumerate(((RunState.FAILED, "failed"), (RunState.MISSED, "was missed"))):
        runs.record_unstarted(memory, RunAction.PURGE, state, "the reason.", NOW + minute * MINUTE)
        assert problem(found, NOW) == f"The last purge {said}: the reason."
    runs.record_unstarted(memory, RunAction.PURGE, RunState.DONE, "", NOW + 5 * MINUTE)
    assert problem(found, NOW) == ""


def test_a_count_that_is_too_old_or_was_never_made(memory: Store, actor: Actor) -> None:
    found = rule(actor, memory, "stale", 6)
    Store.objects.update(created_at=NOW)
    found.store = Store.objects.get()
    assert problem(found, NOW + timedelta(hours=5)) == ""
    assert problem(found, NOW + timedelta(hours=7)) == "Not counted in the 7.0 hours since it was defined."
    counted(memory, NOW + timedelta(hours=7), own=1)
    assert problem(found, NOW + timedelta(hours=12)) == ""
    assert problem(found, NOW + timedelta(hours=13, minutes=30)) == "The last count is 6.5 hours old."


def test_a_class_that_grows_too_fast(memory: Store, actor: Actor) -> None:
    every, greylist = rule(actor, memory, "growth", 50), rule(actor, memory, "growth", 50, class_slug="greylist")
    counted(memory, NOW - timedelta(days=1), own=1000, greylist=1000, oauth=10)
    counted(memory, NOW, own=1600, greylist=1400, oauth=90, acme=200)
    assert problem(every, NOW) == "Your own keys grew by 60 % in a day, +600 keys; ACME challenges grew from nothing in a day, +200 keys."
    assert problem(greylist, NOW) == ""
    greylist.threshold = 30
    assert problem(greylist, NOW) == "Greylist grew by 40 % in a day, +400 keys."


def test_a_store_that_does_not_answer_for_a_while(db: None, actor: Actor) -> None:
    gone = definitions.create_store(actor, id="gone", type="redis", settings={"urls": "redis://127.0.0.1:1/0", "timeout": "1s"})
    found = rule(actor, gone, "down", 2)
    alerts.evaluate(NOW)
    alerts.evaluate(NOW + MINUTE)
    assert again(found).bad_since == NOW and not found.firing and mail.outbox == []
    alerts.evaluate(NOW + 2 * MINUTE)
    assert again(found).firing and "does not answer" in str(mail.outbox[0].body)
    Store.objects.update(enabled=False)
    alerts.evaluate(NOW + 3 * MINUTE)
    assert not again(found).firing


def test_the_silence_of_the_scheduler_is_not_checked_by_its_own_schedule(db: None, actor: Actor) -> None:
    found = rule(actor, None, "beat", 5)
    assert alerts.evaluate(NOW) == []
    runs.sign_of_life(runs.BEAT)
    now = datetime.now(UTC)
    assert len(alerts.evaluate(now, background=True)) == 1 and mail.outbox == []
    alerts.evaluate(now + 6 * MINUTE, background=True)
    assert mail.outbox[0].subject == "[kvadmin] The scheduler is silent"
    assert again(found).firing


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "nothing"}, "kind"),
        ({"kind": "beat"}, "store"),
        ({"emails": "", "webhook": ""}, "emails"),
        ({"emails": "no address"}, "emails"),
        ({"webhook": "ftp://example.org/"}, "webhook"),
        ({"webhook": "https://name:word@example.org/"}, "webhook"),
        ({"webhook": "https://exa mple.org/"}, "webhook"),
        ({"threshold": -1.0}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"class_slug": "nothing"}, "class_slug"),
    ],
)
def test_wrong_rules_are_refused_and_change_nothing(memory: Store, actor: Actor, changes: dict[str, object], field: str) -> None:
    wanted = {"kind": "backlog", "store": memory, "emails": "a@example.org"} | changes
    with pytest.raises(BadConfig) as error:
        alerts.save(actor, AlertRule(), **wanted)  # type: ignore[arg-type]
    assert error.value.field == field
    assert not AlertRule.objects.exists() and not AuditEntry.objects.filter(action="alert-rule").exists()


def test_a_store_that_expires_by_itself_has_no_backlog(db: None, actor: Actor) -> None:
    redis = definitions.create_store(actor, id="redis", type="redis", settings={"urls": "redis://127.0.0.1:1/0"})
    with pytest.raises(BadConfig) as error:
        rule(actor, redis, "backlog")
    assert error.value.field == "kind"


def test_the_webhook_is_encrypted_and_not_in_the_audit(memory: Store, actor: Actor) -> None:
    from django.db import connection

    found = rule(actor, memory, AlertKind.DOWN, webhook="https://example.org/s3cret")
    with connection.cursor() as cursor:
        cursor.execute("SELECT webhook FROM stores_alertrule")
        assert "s3cret" not in cursor.fetchone()[0]
    assert again(found).webhook == "https://example.org/s3cret"
    assert "s3cret" not in json.dumps(AuditEntry.objects.get(action="alert-rule").after)
    changed = alerts.save(actor, found, kind="stale", store=memory, emails="b@example.org")
    assert (changed.pk, again(found).kind, found.webhook, found.threshold) == (found.pk, "stale", "", 6)
    alerts.delete(actor, found)
    assert not AlertRule.objects.exists()


def test_a_real_count_feeds_the_rule(memory: Store, actor: Actor) -> None:
    rule(actor, memory, "backlog", 0)
    plant(memory, b"old", b"x", 1000)
    census.count(memory, actor)
    alerts.evaluate()
    assert Census.objects.count() == 1 and len(mail.outbox) == 1
