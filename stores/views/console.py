"""Lookups: try an expression, a setting or a Sieve script against the real stores before it is live."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from stores.expressions.contexts import VARIABLES
from stores.forms.console import EXPRESSION, SETTING, SIEVE_SCRIPT, ConsoleForm
from stores.models import Store
from stores.registry import visible_stores
from stores.services import console as service
from stores.services.lookup import Lookups
from stores.stalwart_toml.parser import parse
from stores.views.common import actor_of, page, show

TEMPLATE = "stores/lookups.html"


@require_http_methods(["GET", "HEAD", "POST"])
@page
def lookups(request: HttpRequest) -> HttpResponse:
    """GET draws the console for a language and a context; POST evaluates and shows result and trace. Nothing is stored."""
    asked = request.POST if request.method == "POST" else request.GET
    language = asked.get("language", EXPRESSION)
    where = asked.get("context", "rcpt")
    initial = {"language": language, "context": where, "source": request.GET.get("source", ""), "version": _version()}
    form = ConsoleForm(request.POST or None, context=where if where in VARIABLES else "rcpt", language=language, initial=initial)
    context = {"form": form, "language": language, "stores": visible_stores().filter(enabled=True).values_list("pk", flat=True)}
    if request.method != "POST":
        return show(request, TEMPLATE, context, fragment="console")
    if not form.is_valid():
        return show(request, TEMPLATE, context, fragment="console", status=422)
    return show(request, TEMPLATE, context | _evaluated(request, form), fragment="console")


def _version() -> str:
    row = Store.objects.filter(default_row__isnull=False).first()
    return row.effective_version if row else "0.11"


def _evaluated(request: HttpRequest, form: ConsoleForm) -> dict[str, object]:
    data, variables = form.cleaned_data, form.variables()
    options = {"version": data["version"], "allow_writes": data["allow_writes"]}
    with Lookups(actor_of(request), allow_writes=data["allow_writes"]) as stores:
        if data["language"] == SIEVE_SCRIPT:
            return {"script": service.run_sieve(data["source"], variables, stores, **options)}
        if data["language"] == SETTING:
            return _setting(data["source"], variables, stores, options)
        result = service.evaluate_expression(data["source"].strip(), variables, stores, **options)
    return {"result": result, "shown": shown(result)}


def _setting(source: str, variables: service.Variables, stores: Lookups, options: dict[str, object]) -> dict[str, object]:
    document = parse(source if source.endswith("\n") else source + "\n")
    faults = [_("Line %(line)s: %(message)s") % {"line": fault.line, "message": fault.message} for fault in document.faults]
    keys = {name: setting.value for name, setting in document.settings.items()}
    bases = sorted({service.setting_of(name) for name in keys})
    if faults or not bases:
        return {"faults": faults or [_("There is no setting in this text.")]}
    results = [service.evaluate_setting(base, keys, variables, stores, **options) for base in bases[:20]]  # type: ignore[arg-type]
    return {"settings": [(base, result, shown(result)) for base, result in zip(bases, results, strict=False)]}


def shown(result: service.Result) -> str:
    """The value as the language would write it."""
    return "" if result.value is None else json.dumps(result.value, ensure_ascii=False)
