"""Alert rules: what is watched, who is told, silence, a test message."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Field, Router, Schema, Status

from stores.api.base import WHOLE, ApiRequest, Body, Name, Serial, Text, actor, does, one_or_all
from stores.models import Store
from stores.models.alert import AlertRule
from stores.registry import find_store, visible_stores
from stores.services import alerts, tokens
from stores.services.alert_checks import KINDS

router = Router(tags=["alerts"])


class RuleOut(Schema):
    """`webhook` says whether there is one: its address may hold a secret and is not given out."""

    id: int
    kind: str
    title: str
    store: str | None
    threshold: float
    unit: str
    class_slug: str
    emails: list[str]
    webhook: bool
    firing: bool
    text: str
    muted_until: datetime | None
    checked_at: datetime | None
    delivery_error: str


class RuleIn(Body):
    """`store` null only for the silence of the scheduler (`beat`); `threshold` null: the usual limit."""

    kind: Literal["backlog", "purge", "stale", "growth", "down", "beat"]
    store: Name | None = None
    threshold: Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)] | None = None
    class_slug: Name = ""
    emails: Annotated[list[Text], Field(max_length=20)] = []
    webhook: Annotated[Text, Field(max_length=2000)] | None = None
    """Null keeps the one that a rule has."""


class MuteIn(Body):
    """0: speak again."""

    hours: Annotated[int, Field(ge=0, le=24 * 366), WHOLE]


@router.get("/alerts", **does("read", list[RuleOut], "All rules, what fires first"))
def list_rules(request: ApiRequest, store: str = "", firing: bool | None = None) -> list[dict[str, Any]]:
    one_or_all(request, "read", store)
    found = AlertRule.objects.select_related("store")
    if store:
        found = found.filter(store=find_store(store))
    if firing is not None:
        found = found.filter(firing=firing)
    seen = set(visible_stores().values_list("pk", flat=True))
    rules = [rule for rule in found if rule.store_id is None or rule.store_id in seen]
    return [rule_out(rule) for rule in sorted(rules, key=lambda rule: (not rule.firing, rule.store_id or "", rule.kind))]


@router.post("/alerts", **does("admin", RuleOut, "Add a rule", 201))
def add_rule(request: ApiRequest, body: RuleIn) -> Status[dict[str, Any]]:
    return Status(201, rule_out(_saved(request, AlertRule(), body)))


@router.get("/alerts/{rule_id}", **does("read", RuleOut, "One rule, and how it stands"))
def get_rule(request: ApiRequest, rule_id: Serial) -> dict[str, Any]:
    return rule_out(_rule(request, rule_id, "read"))


@router.put("/alerts/{rule_id}", **does("admin", RuleOut, "Change a rule; it begins anew"))
def change_rule(request: ApiRequest, rule_id: Serial, body: RuleIn) -> dict[str, Any]:
    return rule_out(_saved(request, _rule(request, rule_id, "admin"), body))


@router.delete("/alerts/{rule_id}", **does("admin", None, "Delete a rule", 204))
def delete_rule(request: ApiRequest, rule_id: Serial) -> Status[None]:
    alerts.delete(actor(request), _rule(request, rule_id, "admin"))
    return Status(204, None)


@router.post("/alerts/{rule_id}/mute", **does("admin", RuleOut, "Say nothing for so many hours"))
def mute_rule(request: ApiRequest, rule_id: Serial, body: MuteIn) -> dict[str, Any]:
    rule = _rule(request, rule_id, "admin")
    alerts.mute(actor(request), rule, body.hours)
    return rule_out(rule)


@router.post("/alerts/{rule_id}/test", **does("admin", None, "Send a test message now", 204))
def test_rule(request: ApiRequest, rule_id: Serial) -> Status[None]:
    alerts.send_test(actor(request), _rule(request, rule_id, "admin"))
    return Status(204, None)


def rule_out(rule: AlertRule) -> dict[str, Any]:
    """A rule as the API answers it."""
    info = KINDS[rule.kind]
    names = ("kind", "threshold", "class_slug", "firing", "text", "muted_until", "checked_at", "delivery_error")
    shown = {name: getattr(rule, name) for name in names}
    more = {"title": alerts.title(rule), "unit": info.unit, "emails": rule.emails.split(), "webhook": bool(rule.webhook)}
    return {"id": rule.pk, "store": rule.store_id, **shown, **more}


def _rule(request: ApiRequest, rule_id: int, scope: str) -> AlertRule:
    tokens.require(request.auth, scope)
    rule = alerts.find(rule_id)
    one_or_all(request, scope, rule.store_id or "")
    return rule


def _saved(request: ApiRequest, rule: AlertRule, body: RuleIn) -> AlertRule:
    one_or_all(request, "admin", body.store or "")
    store: Store | None = find_store(body.store) if body.store else None
    return alerts.save(
        actor(request),
        rule,
        kind=body.kind,
        store=store,
        threshold=body.threshold,
        class_slug=body.class_slug,
        emails="\n".join(body.emails),
        webhook=str(rule.webhook) if body.webhook is None else body.webhook,
    )
