"""Telling people: rules are checked every minute, their beginning and their end are sent by e-mail and webhook."""

from __future__ import annotations

import smtplib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from stores import keyclasses, sight
from stores.errors import BadConfig, KeyNotFound, NotSupported
from stores.models import Store
from stores.models.alert import AlertKind, AlertRule
from stores.registry import seen_only
from stores.services import audit, webhooks
from stores.services.actor import Actor
from stores.services.alert_checks import KINDS, hold, problem
from stores.services.beatrows import purges
from stores.services.filters import CUSTOM
from stores.services.permissions import Permission, require
from stores.services.webhooks import NotDelivered
from stores.texts import say

ONCE_IN: Final = timedelta(seconds=30)
"""A rule is not checked again within this time, so that two workers do not tell it twice."""
_LONGEST_WAIT: Final = 60
"""Minutes between tries to deliver, at most."""


def find(rule_id: int) -> AlertRule:
    """Raises KeyNotFound."""
    rule = AlertRule.objects.select_related("store").filter(pk=rule_id).first()
    if rule is None or not sight.current().sees(rule.store_id or ""):
        raise KeyNotFound(say("There is no such rule."), say("It may have been deleted."))
    return rule


def save(actor: Actor, rule: AlertRule, *, kind: str, store: Store | None, threshold: float | None = None, class_slug: str = "",
         emails: str = "", webhook: str = "") -> AlertRule:  # fmt: skip
    """Create or change a rule; it begins anew, as if nothing had been told. Raises BadConfig that names the field."""
    require(actor, Permission.CONFIGURE, store)
    if rule.store_id and rule.store_id != (store and store.pk):
        require(actor, Permission.CONFIGURE, rule.store_id)
    if kind not in KINDS:
        raise BadConfig(say('There is no rule "%(kind)s".', kind=kind[:20]), say("Rules: %(names)s.", names=", ".join(KINDS)), "kind")
    if (store is None) != (kind == AlertKind.BEAT):
        raise BadConfig(say("Only the silence of the scheduler is about no store."), say("Choose a store."), "store")
    if store is not None and kind in (AlertKind.BACKLOG, AlertKind.PURGE) and not purges(store.type):
        raise BadConfig(say("%(store_id)s expires its keys by itself.", store_id=store.pk), say("Choose another rule or store."), "kind")
    addresses = _addresses(emails)
    if webhook:
        webhooks.check_url(webhook)
    if not addresses and not webhook:
        raise BadConfig(say("Nobody would be told."), say("Enter an e-mail address or a webhook."), "emails")
    if class_slug and class_slug != CUSTOM and class_slug not in keyclasses.CLASSES:
        raise BadConfig(say('There is no key class "%(class_slug)s".', class_slug=class_slug[:40]), "", "class_slug")
    fresh = AlertRule(pk=rule.pk, kind=kind, store=store, emails="\n".join(addresses), webhook=webhook, muted_until=rule.muted_until)
    fresh.class_slug = class_slug if kind == AlertKind.GROWTH else ""
    fresh.threshold = _threshold(kind, threshold)
    fresh.created_at = rule.created_at or timezone.now()
    with transaction.atomic():
        fresh.save()
        audit.record(actor, "alert-rule", store or "", after=summary(fresh))
    return fresh


def delete(actor: Actor, rule: AlertRule) -> None:
    """Forget a rule."""
    require(actor, Permission.CONFIGURE, rule.store_id)
    with transaction.atomic():
        store, before = rule.store or "", summary(rule)
        rule.delete()
        audit.record(actor, "alert-delete", store, before=before)


def mute(actor: Actor, rule: AlertRule, hours: int) -> None:
    """Say nothing for so many hours, 0: speak again. What still fires at the end of it is told then."""
    require(actor, Permission.CONFIGURE, rule.store_id)
    if not 0 <= hours <= 24 * 366:
        raise BadConfig(say("A rule can be silent for a year at most."), field="hours")
    rule.muted_until = timezone.now() + timedelta(hours=hours) if hours else None
    with transaction.atomic():
        rule.save(update_fields=["muted_until"])
        audit.record(actor, "alert-mute", rule.store or "", after={**summary(rule), "hours": hours})


def send_test(actor: Actor, rule: AlertRule) -> None:
    """Send a message that says it is a test, now. Raises NotSupported with the reason where it does not arrive."""
    require(actor, Permission.CONFIGURE, rule.store_id)
    text = say("This is a test: the rule is in place and its messages arrive.")
    try:
        if rule.emails:
            _mail(rule, "test", text)
        if rule.webhook:
            webhooks.post(rule.webhook, document(rule, "test", text))
    except NotDelivered as error:
        raise NotSupported(str(error)) from None


def summary(rule: AlertRule) -> dict[str, Any]:
    """What the audit keeps of a rule: not where its webhook is."""
    found = {"kind": rule.kind, "threshold": rule.threshold, "class": rule.class_slug, "emails": rule.emails.split()}
    return {**found, "webhook": bool(rule.webhook)}


def evaluate(now: datetime | None = None, *, background: bool = False) -> list[AlertRule]:
    """Check every rule and send what is to be said; answers the rules that were checked.

    `background`: only the rules about the scheduler, which beat itself cannot check.
    """
    moment = now or timezone.now()
    rules = AlertRule.objects.select_related("store").filter(Q(kind=AlertKind.BEAT) if background else ~Q(kind=AlertKind.BEAT))
    return [rule for rule in rules if _claimed(rule, moment) and _check(rule, moment)]


def firing() -> list[AlertRule]:
    """The rules that fire now, whether told or muted."""
    return list(seen_only(AlertRule.objects.filter(firing=True).select_related("store"), "store_id"))


def _claimed(rule: AlertRule, now: datetime) -> bool:
    """Whether this process may check the rule; another one may have done so a moment ago."""
    if rule.checked_at is not None and timedelta() <= now - rule.checked_at < ONCE_IN:
        return False
    return bool(AlertRule.objects.filter(pk=rule.pk, checked_at=rule.checked_at).update(checked_at=now))


def _check(rule: AlertRule, now: datetime) -> bool:
    rule.checked_at = now
    text = problem(rule, now)
    if text:
        rule.bad_since = rule.bad_since or now
        rule.text = text
    else:
        rule.bad_since = None
    rule.firing = rule.bad_since is not None and now - rule.bad_since >= hold(rule)
    if not (rule.muted_until and now < rule.muted_until) and not (rule.retry_at and now < rule.retry_at):
        _tell(rule, now)
    fields = ["bad_since", "text", "firing", "told_email", "told_webhook", "failures", "retry_at", "delivery_error"]
    AlertRule.objects.filter(pk=rule.pk, checked_at=now).update(**{name: getattr(rule, name) for name in fields})
    return True


def _tell(rule: AlertRule, now: datetime) -> None:
    """Send the state by each way that has heard another one; what fails is tried again later and later."""
    state = "firing" if rule.firing else "recovered"
    errors = []
    if rule.emails and rule.told_email != rule.firing:
        try:
            _mail(rule, state, rule.text)
            rule.told_email = rule.firing
        except NotDelivered as error:
            errors.append(str(error))
    if rule.webhook and rule.told_webhook != rule.firing:
        try:
            webhooks.post(rule.webhook, document(rule, state, rule.text))
            rule.told_webhook = rule.firing
        except NotDelivered as error:
            errors.append(str(error))
    if errors:
        rule.failures += 1
        rule.retry_at = now + timedelta(minutes=min(_LONGEST_WAIT, 2 ** min(rule.failures - 1, 6)))
        rule.delivery_error = " ".join(errors)
    else:
        rule.failures, rule.retry_at, rule.delivery_error = 0, None, ""


def document(rule: AlertRule, state: str, text: str) -> dict[str, Any]:
    """What a webhook receives; a public interface. `state` is firing, recovered or test; times are Unix seconds."""
    return {
        "rule": rule.pk,
        "kind": rule.kind,
        "store": rule.store_id,
        "state": state,
        "title": title(rule),
        "text": text,
        "since": int(rule.bad_since.timestamp()) if rule.bad_since else None,
        "url": _url(rule),
    }


def title(rule: AlertRule) -> str:
    """`memstore: Expired keys wait for a purge`."""
    name = KINDS[rule.kind].title
    return f"{rule.store_id}: {name}" if rule.store_id else name


def _url(rule: AlertRule) -> str:
    path = reverse("stores:store", args=[rule.store_id]) if rule.store_id else reverse("stores:overview")
    return f"{settings.KVADMIN_PUBLIC_URL}{path}" if settings.KVADMIN_PUBLIC_URL else ""


def _mail(rule: AlertRule, state: str, text: str) -> None:
    if not settings.KVADMIN_EMAIL:
        raise NotDelivered(say("No mail can be sent: KVADMIN_EMAIL_URL is not set."))
    word = {"firing": "", "recovered": "Over: ", "test": "Test: "}[state]
    said = {"firing": text, "recovered": say("It is over. It was: %(text)s", text=text), "test": text}[state]
    since = f"\n\nSince {rule.bad_since:%Y-%m-%d %H:%M} UTC." if rule.bad_since else ""
    link = f"\n\n{_url(rule)}" if _url(rule) else ""
    message = EmailMessage(f"[kvadmin] {word}{title(rule)}", f"{said}{since}{link}\n", settings.DEFAULT_FROM_EMAIL, rule.emails.split())
    message.extra_headers = {"Auto-Submitted": "auto-generated"}
    try:
        message.send()
    except (smtplib.SMTPException, OSError) as error:
        raise NotDelivered(say("The mail was not sent: %(name)s.", name=type(error).__name__)) from None


def _addresses(text: str) -> list[str]:
    found = list(dict.fromkeys(text.replace(",", " ").split()))
    for address in found:
        try:
            validate_email(address)
        except ValidationError:
            raise BadConfig(
                say('"%(address)s" is no e-mail address.', address=address[:80]), say("Write one address a line."), "emails"
            ) from None
    if len(found) > 20:
        raise BadConfig(say("More than 20 addresses."), say("Use a mailing list."), "emails")
    return found


def _threshold(kind: str, number: float | None) -> float:
    info = KINDS[kind]
    if not info.unit:
        return 0
    if number is None:
        return info.default
    if not 0 <= number <= 1e12:
        raise BadConfig(say("The limit is out of range."), say("Enter %(unit)s, 0 or more.", unit=info.unit), "threshold")
    return number


def choices() -> Iterable[tuple[str, str]]:
    """Kinds to choose from, with the unit of their limit."""
    return [
        (kind, say("%(title)s (%(unit)s)", title=info.title, unit=info.unit) if info.unit else info.title) for kind, info in KINDS.items()
    ]
