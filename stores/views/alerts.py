"""Alert rules: which there are and how they stand, adding, changing, silence, a test message."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from stores.errors import BadConfig, NotSupported
from stores.forms.alerts import AlertForm
from stores.models.alert import AlertRule
from stores.registry import seen_only, visible_stores
from stores.services import alerts as service
from stores.services.alert_checks import KINDS
from stores.services.permissions import Permission
from stores.views.common import actor_of, go, needs, page, posted, show


@require_safe
@page
def alerts(request: HttpRequest) -> HttpResponse:
    """All rules, what fires first."""
    visible = seen_only(AlertRule.objects.select_related("store"), "store_id")
    rules = sorted(visible, key=lambda rule: (not rule.firing, rule.store_id or "", rule.kind))
    now = timezone.now()
    lines = [{"rule": rule, "info": KINDS[rule.kind], "muted": bool(rule.muted_until and rule.muted_until > now)} for rule in rules]
    context = {"lines": lines, "firing": sum(rule.firing for rule in rules), "mail": settings.KVADMIN_EMAIL}
    return show(request, "stores/alerts.html", context)


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@page
@needs(Permission.CONFIGURE, anywhere=True)
def alert(request: HttpRequest, rule_id: int | None = None) -> HttpResponse:
    """Add a rule, or change one."""
    rule = service.find(rule_id) if rule_id is not None else None
    initial = {"store": request.GET.get("store", ""), "kind": request.GET.get("kind", "")}
    form = AlertForm(posted(request), rule=rule, initial=initial)
    if form.is_valid():
        data = form.cleaned_data
        try:
            service.save(
                actor_of(request),
                rule or AlertRule(),
                kind=data["kind"],
                store=visible_stores().filter(pk=data["store"]).first() if data["store"] else None,
                threshold=data["threshold"],
                class_slug=data["class_slug"],
                emails=data["emails"],
                webhook=form.url,
            )
        except BadConfig as error:
            form.blame(error)
        else:
            return go(request, "stores:alerts", _("The rule is saved. It is checked every minute."))
    context = {"form": form, "rule": rule, "mail": settings.KVADMIN_EMAIL, "kinds": KINDS.values()}
    return show(request, "stores/alert_form.html", context, status=422 if form.errors else 200)


@require_POST
@page
@needs(Permission.CONFIGURE, anywhere=True)
def alert_act(request: HttpRequest, rule_id: int, act: str) -> HttpResponse:
    """Silence, end of silence, a test message, deletion."""
    rule = service.find(rule_id)
    if act == "mute":
        hours = request.POST.get("hours", "")
        service.mute(actor_of(request), rule, int(hours) if hours.isascii() and hours.isdigit() and len(hours) < 6 else -1)
        return go(request, "stores:alerts", _("The rule says nothing for now.") if rule.muted_until else _("The rule speaks again."))
    if act == "test":
        service.send_test(actor_of(request), rule)
        return go(request, "stores:alerts", _("A test message was sent."))
    if act == "delete":
        service.delete(actor_of(request), rule)
        return go(request, "stores:alerts", _("The rule is deleted."))
    raise NotSupported(_('A rule cannot be told to "%(act)s".') % {"act": act[:20]})
